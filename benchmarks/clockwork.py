"""A campaign whose master is real, and whose workers and clock are not: hours pass in a second.

The master is `hvmpi.master.Master` with its plan, ledger and journal; the workers take from it what
it sends and answer when their clock says so. Nothing is waited for: the clock is set to when the
next thing happens. Snapshots are left out, which would be written every two seconds of that clock.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from hvmpi import __version__
from hvmpi.campaign.jobs import Job, Outcome
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.run import begin_run
from hvmpi.channel import LocalChannel
from hvmpi.engine import make_engine
from hvmpi.master import Master
from hvmpi.messages import Assign, Cancel, GiveBack, Goodbye, Hello, Message, Report, Stop, Welcome
from hvmpi.settings import load

__all__ = ["Ended", "Takes", "campaign"]

Takes = Callable[[Job, int], float]
"""Gives the seconds that a job takes on a rank."""

_TICK_S = 1.0
"""How often the master looks when nothing happens and a worker is idle."""


class _Clock:
    """What stands in the place of the machine's clocks."""

    def __init__(self) -> None:
        self.now = 1000.0

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        began = time.time()

        def monotonic() -> float:
            return self.now

        def unix() -> float:
            return began + self.now

        # A mock in their place would remember each of a million calls.
        with mock.patch("time.monotonic", monotonic), mock.patch("time.time", unix):
            yield


@dataclass
class _Worker:
    """A rank that runs the jobs it is given, one after the other."""

    channel: LocalChannel
    takes: Takes
    row: deque[Job] = field(default_factory=deque)
    began: float = 0.0
    ends: float = float("inf")
    runs: Job | None = None

    def hear(self, message: Message, clock: _Clock) -> None:
        if isinstance(message, Welcome):
            rank = self.channel.rank
            hello = Hello(f"node{rank:04d}", 1, "", 64, __version__, time.time())
            self.channel.send(0, hello)
        elif isinstance(message, Assign):
            self.row.append(message.job)
        elif isinstance(message, Stop):
            self.channel.send(0, Goodbye())
        elif isinstance(message, Cancel | GiveBack):
            wanted = (message.job, message.attempt)
            for job in [job for job in self.row if (job.number, job.attempt) == wanted]:
                self.row.remove(job)
                self._report(job, Outcome.INTERRUPTED, 0.0)
            runs = self.runs
            cancelled = runs is not None and (runs.number, runs.attempt) == wanted
            if runs is not None and cancelled and isinstance(message, Cancel):
                self._end(runs, Outcome.INTERRUPTED, clock)
        self._begin(clock)

    def advance(self, clock: _Clock) -> bool:
        if self.runs is None or self.ends > clock.now:
            return False
        self._end(self.runs, Outcome.DONE, clock)
        self._begin(clock)
        return True

    def _begin(self, clock: _Clock) -> None:
        if self.runs is None and self.row:
            self.runs = self.row.popleft()
            self.began = clock.now
            self.ends = clock.now + self.takes(self.runs, self.channel.rank)

    def _end(self, job: Job, outcome: Outcome, clock: _Clock) -> None:
        self._report(job, outcome, clock.now - self.began)
        self.runs, self.ends = None, float("inf")

    def _report(self, job: Job, outcome: Outcome, wall_s: float) -> None:
        reason = "" if outcome is Outcome.DONE else "cancelled"
        events = job.events if outcome is Outcome.DONE else -1
        began = time.time() - wall_s if wall_s else 0.0
        self.channel.send(
            0,
            Report(job.number, job.attempt, outcome, reason, wall_s, 0, 0, events, began=began),
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a simulated campaign ended.

    Attributes
    ----------
    directory : Path
        Of its run.
    makespan_s : float
        From the first job's start to the last one's end.
    jobs, attempts : int
    """

    directory: Path
    makespan_s: float
    jobs: int
    attempts: int


def campaign(place: Path, workers: int, takes: Takes, *words: str) -> Ended:
    """Run a campaign of the event files in ``place/evnt`` on so many workers, a host each.

    Parameters
    ----------
    place : Path
    workers : int
    takes : callable
    words : str
        Further options of ``reconstruct``.
    """
    settings = load(
        "reconstruct",
        [
            "--engine=noop", f"--evnt-dir={place / 'evnt'}", f"--run-dir={place / 'runs'}",
            "--lease=1e9", "--job-timeout=1e9", *words,
        ],
    )  # fmt: skip
    engine = make_engine(settings)
    run = begin_run(settings, engine, make_plan(settings, engine, workers))
    clock = _Clock()
    boxes: list[deque[tuple[int, bytes]]] = [deque() for _ in range(workers + 1)]
    ranks = [_Worker(LocalChannel(rank, boxes), takes) for rank in range(1, workers + 1)]
    with clock.in_place(), mock.patch.object(run, "write_status", return_value=0.0):
        master = Master(run, LocalChannel(0, boxes), lambda _: None)
        began = clock.now
        makespan_s = 0.0
        master.begin()
        while not master.over:
            _settle(master, ranks, clock)
            if not makespan_s and not run.ledger.unfinished:
                makespan_s = clock.now - began
            _wait(ranks, clock)
        master.end()
    run.write_status("complete")
    run.close()
    attempts = len(run.ledger.attempts)
    return Ended(run.paths.directory, makespan_s, len(run.ledger.jobs), attempts)


def _settle(master: Master, ranks: Sequence[_Worker], clock: _Clock) -> None:
    """Let master and workers talk until there is nothing more to say."""
    happened = True
    while happened:
        happened = master.step()
        for rank in ranks:
            happened |= rank.advance(clock)
            for _, message in rank.channel.receive():
                rank.hear(message, clock)
                happened = True


def _wait(ranks: Sequence[_Worker], clock: _Clock) -> None:
    ends = min(rank.ends for rank in ranks)
    idle = any(rank.runs is None for rank in ranks)
    clock.now = min(ends, clock.now + _TICK_S) if idle else ends
