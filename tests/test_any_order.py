"""Whatever happens in whatever order: no job is lost, none done twice, none charged for nothing."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections import Counter, deque
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hvmpi import __version__
from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, Job, JobState, Outcome
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.replay import replay
from hvmpi.campaign.run import begin_run, resume_run
from hvmpi.channel import LocalChannel
from hvmpi.engine import make_engine
from hvmpi.master import Master
from hvmpi.messages import (
    Alive,
    Assign,
    Cancel,
    GiveBack,
    Goodbye,
    Held,
    Hello,
    Message,
    Report,
    Stop,
)
from hvmpi.settings import load

RANKS = 3
JOBS = 30
LEASE_S = 3
A_RANK = st.integers(1, RANKS)
FAILURES = st.sampled_from(
    [
        (Outcome.PAYLOAD_FAILED, FailureClass.NONE),
        (Outcome.TIMED_OUT, FailureClass.RESOURCES),
        (Outcome.SETUP_FAILED, FailureClass.PASSING),
        (Outcome.BAD_INPUT, FailureClass.RESOURCES),
    ]
)


class Worker:
    """A worker as the master sees it: it runs the first of its jobs, and may be deaf for a time."""

    def __init__(self, rank: int, end: LocalChannel) -> None:
        self.rank = rank
        self.end = end
        self.jobs: deque[Job] = deque()
        self.begun: set[tuple[int, int]] = set()
        self.stopping = self.left = self.dead = self.hangs = False

    @property
    def works(self) -> bool:
        return not (self.left or self.dead or self.hangs)

    def say(self, message: Message) -> None:
        self.end.send(0, message)

    def report(self, job: Job, outcome: Outcome, failure: FailureClass = FailureClass.NONE) -> None:
        began = 1.0 if (job.number, job.attempt) in self.begun else 0.0
        events = job.events if outcome is Outcome.DONE else -1
        self.say(
            Report(job.number, job.attempt, outcome, "why", 1.0, 0, 0, events,
                   failure=failure, began=began)
        )  # fmt: skip

    def listen(self) -> None:
        for _, message in self.end.receive():
            if isinstance(message, Assign):
                self.jobs.append(message.job)
            elif isinstance(message, Cancel | GiveBack):
                self._let_go(message)
            elif isinstance(message, Stop):
                self.stopping = True
        if self.stopping and not self.left:
            while self.jobs:
                self.report(self.jobs.popleft(), Outcome.INTERRUPTED)
            self.say(Goodbye())
            self.left = True
        if self.jobs:
            self.begun.add((self.jobs[0].number, self.jobs[0].attempt))

    def _let_go(self, message: Cancel | GiveBack) -> None:
        for place, job in enumerate(self.jobs):
            if (job.number, job.attempt) == (message.job, message.attempt):
                if place or isinstance(message, Cancel):
                    self.jobs.remove(job)
                    self.report(job, Outcome.INTERRUPTED)
                return


class AnyOrder(RuleBasedStateMachine):
    """A master, three workers, and everything that may happen to them."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.now = itertools.count(time.monotonic() + 10.0, 0.2)
        self.at = next(self.now)
        self.clock = mock.patch("time.monotonic", self.time)
        self.clock.start()
        (self.root / "evnt").mkdir()
        numbers = "".join(f"{number}\n" for number in range(1, JOBS + 1))
        (self.root / "evnt/304795.30.1.evnt.txt").write_text(numbers)
        words = ["--engine=noop", f"--evnt-dir={self.root}/evnt", "--job-size=1"]
        words += [f"--run-dir={self.root}/runs", f"--lease={LEASE_S}", "--retry-pause=0"]
        settings = load("reconstruct", [*words, "--max-attempts=3", "--max-lost=5"])
        engine = make_engine(settings)
        self.run = begin_run(settings, engine, make_plan(settings, engine))
        self.reported = Counter[int]()
        self.blows = 0
        self.take_up()

    def take_up(self) -> None:
        """Begin a launch: a master and its workers."""
        boxes: list[deque[tuple[int, bytes]]] = [deque() for _ in range(RANKS + 1)]
        ends = [LocalChannel(rank, boxes) for rank in range(RANKS + 1)]
        self.died: list[int] = []
        ends[0].failed = self.newly_dead  # type: ignore[method-assign]
        self.workers = {rank: Worker(rank, ends[rank]) for rank in range(1, RANKS + 1)}
        self.master = Master(self.run, ends[0], lambda _: None)
        self.master.begin()
        for rank, worker in self.workers.items():
            worker.say(Hello(f"host{rank % 2}", 1, "", 1, __version__, time.time()))

    def time(self) -> float:
        return self.at

    def newly_dead(self) -> list[int]:
        died, self.died = self.died, []
        return died

    def step(self) -> None:
        self.at = next(self.now)
        for worker in self.workers.values():
            if worker.works:
                worker.say(Alive())
        self.master.step()
        for worker in self.workers.values():
            if worker.works:
                worker.listen()

    @rule()
    def time_passes(self) -> None:
        self.step()

    @rule(rank=A_RANK, most=st.integers(1, 4))
    def jobs_are_done(self, rank: int, most: int) -> None:
        worker = self.workers[rank]
        for _ in range(most):
            if worker.works and worker.jobs:
                job = worker.jobs.popleft()
                worker.begun.add((job.number, job.attempt))
                worker.report(job, Outcome.DONE)

    @rule(rank=A_RANK, how=FAILURES)
    def a_job_fails(self, rank: int, how: tuple[Outcome, FailureClass]) -> None:
        worker = self.workers[rank]
        if worker.works and worker.jobs:
            job = worker.jobs.popleft()
            worker.report(job, *how)
            self.reported[job.number] += 1

    @precondition(lambda self: not self.master.over)
    @rule(rank=A_RANK)
    def a_rank_dies(self, rank: int) -> None:
        worker = self.workers[rank]
        if not (worker.dead or worker.left):
            worker.dead = True
            self.died.append(rank)
            self.blows += 1

    @rule(rank=A_RANK)
    def a_rank_hangs(self, rank: int) -> None:
        worker = self.workers[rank]
        self.blows += not worker.hangs
        worker.hangs = True

    @rule()
    def a_lease_passes(self) -> None:
        for _ in range(6 * LEASE_S):
            self.step()

    @rule(rank=A_RANK)
    def a_rank_goes_on(self, rank: int) -> None:
        worker = self.workers[rank]
        if worker.hangs and not worker.dead:
            worker.hangs = False
            worker.say(Alive())

    @rule(rank=A_RANK, full=st.booleans())
    def memory_is_full_or_not(self, rank: int, full: bool) -> None:
        if self.workers[rank].works:
            self.workers[rank].say(Held("full" if full else ""))

    @rule(rank=A_RANK)
    def a_rank_gets_a_signal(self, rank: int) -> None:
        if self.workers[rank].works:
            self.workers[rank].stopping = True

    @rule()
    def the_master_dies_and_another_takes_up(self) -> None:
        self.run.journal.write()
        self.run.close()
        restart = {"HVMPI_RESTART": "the master died"}
        with mock.patch.dict("os.environ", restart):
            settings = self.run.settings
            again = load("rerun", [self.run.paths.timestamp, f"--run-dir={self.root}/runs"])
            assert again.max_lost == settings.max_lost
            self.run = resume_run(again, make_engine(again))
        self.take_up()

    @invariant()
    def nothing_is_charged_that_did_not_happen(self) -> None:
        if not hasattr(self, "run"):
            return
        ledger = self.run.ledger
        for job in range(JOBS):
            spent = ledger.spent(job)
            assert spent.charged <= self.reported[job]
        # What waits behind the job that a rank runs is not lost with the rank.
        assert np.count_nonzero(ledger.attempts["outcome"] == Outcome.WORKER_LOST) <= self.blows

    def teardown(self) -> None:
        if not hasattr(self, "run"):
            return
        try:
            self.go_on_to_the_end()
        finally:
            self.run.close()
            self.clock.stop()
            shutil.rmtree(self.root)

    def go_on_to_the_end(self) -> None:
        """Let new workers do what is left, and see what the journal says of it all."""
        for worker in self.workers.values():
            worker.listen()
        self.the_master_dies_and_another_takes_up()
        for _ in range(500):
            self.step()
            for worker in self.workers.values():
                if worker.jobs:
                    worker.report(worker.jobs.popleft(), Outcome.DONE)
            if self.master.over:
                break
        assert self.master.over
        ledger = self.run.ledger
        assert ledger.counts[JobState.DONE] + ledger.counts[JobState.FAILED] == JOBS
        self.run.journal.write()
        path = self.run.paths.journal
        entries = list(journal.read_entries(path))
        accepted = [entry.job for entry in entries if isinstance(entry, journal.Accepted)]
        assert len(accepted) == len(set(accepted)) == ledger.counts[JobState.DONE]
        started = [(e.job, e.attempt) for e in entries if isinstance(e, journal.Started)]
        assert len(started) == len(set(started))
        assert replay(path).counts == ledger.counts


AnyOrder.TestCase.settings = hypothesis_settings(
    max_examples=15, stateful_step_count=40, deadline=None
)
TestAnyOrder = AnyOrder.TestCase
