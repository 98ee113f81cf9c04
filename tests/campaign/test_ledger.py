"""The ledger: legal sequences never break its counts, illegal ones raise."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import (
    NO_EVENT_FILE,
    TRANSITIONS,
    FailureClass,
    JobState,
    Kind,
    Outcome,
    check_transition,
)
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.ready import Ready
from hvmpi.campaign.retry import Budget, Spent, budget_of, goes_elsewhere
from hvmpi.errors import JournalError

BATCHES = 3
JOBS_A_BATCH = 2
JOBS = BATCHES * (1 + JOBS_A_BATCH)


def batches(library: list[int]) -> list[journal.Entry]:
    """Three batches of four events, each a generation job and two others.

    These wait for the rows of `library`, too.
    """
    entries: list[journal.Entry] = []
    for batch in range(BATCHES):
        name = f"1.4.{batch + 1}"
        path = f"evnt/{name}.evnt.txt"
        after = [*library, len(library) + 2 * batch]
        entries += [
            journal.EventFileListed(
                path, "s", 1, batch + 1, 4, 4 * batch + 1, name, -1, "", -1, ""
            ),
            journal.JobsPlanned(Kind.GENERATION, batch, 4, 4, [], []),
            journal.JobsPlanned(Kind.RECONSTRUCTION, batch, 2, 4, after, []),
        ]
    return entries


def plan() -> list[journal.Entry]:
    """Batches and nothing else: jobs 0, 3 and 6 generate."""
    return [*batches([]), journal.PlanComplete(BATCHES, JOBS)]


MERGE = JOBS + 1


def whole_plan() -> list[journal.Entry]:
    """A library, batches behind it, of which jobs 1, 4 and 7 generate, and a merge of all."""
    return [
        journal.JobsPlanned(Kind.LIBRARY, -1, 20, 20, [], []),
        *batches([0]),
        journal.JobsPlanned(Kind.MERGE, -1, 12, 12, [2, 4, 6], []),
        journal.PlanComplete(BATCHES, MERGE + 1),
    ]


GENERATION = range(1, MERGE, 1 + JOBS_A_BATCH)
READERS = {job: (job + 1, job + 2) for job in GENERATION}
"""The jobs that read what a generation job makes."""

AFTER: dict[int, set[int]] = {
    **{job: set() for job in (0, *GENERATION)},
    **{reader: {0, job} for job, readers in READERS.items() for reader in readers},
    MERGE: {reader for readers in READERS.values() for reader in readers},
}
"""What each job waits for."""


def ledger_of(entries: list[journal.Entry]) -> Ledger:
    ledger = Ledger()
    for entry in entries:
        ledger.apply(entry)
    return ledger


def started(job: int, attempt: int, rank: int = 1) -> journal.Started:
    return journal.Started(job, attempt, rank, f"host{rank}", 5.0)


def accepted(job: int, attempt: int) -> journal.Accepted:
    steps = [["noop", 1.0, 0.5, 30.0, 0]]
    return journal.Accepted(job, attempt, 6.0, 1.0, 2, [["evnt", "p", "f", 9, "ab"]], steps, "")


def failed(
    job: int,
    attempt: int,
    *,
    again: bool,
    outcome: int = Outcome.PAYLOAD_FAILED,
    failure: FailureClass = FailureClass.NONE,
) -> journal.Failed:
    where = f"noop.log:{int(failure)}"
    return journal.Failed(
        job, attempt, 6.0, 1.0, outcome, 3, 0, "why", again, [], failure, where, "again"
    )


def named(ledger: Ledger) -> list[tuple[int, Kind, tuple[str, ...]]]:
    """Give the ready jobs that come first, with the names of the hosts that they avoid."""
    return [
        (ready.job, ready.kind, tuple(ledger.hosts[host] for host in ready.avoid))
        for ready in ledger.ready()
    ]


class Campaign(RuleBasedStateMachine):
    """Random legal sequences beside a model of plain dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = whole_plan()
        self.ledger = ledger_of(self.entries)
        self.states = {
            job: JobState.WAITING if AFTER[job] else JobState.READY for job in range(len(AFTER))
        }
        self.attempts: Counter[int] = Counter()
        self.charged: Counter[int] = Counter()
        self.lost: Counter[int] = Counter()
        self.rank_of: dict[tuple[int, int], int] = {}
        self.avoid: dict[int, list[str]] = {}
        self.accepted: dict[int, int] = {}
        self.open: dict[int, list[int]] = {}

    def apply(self, entry: journal.Entry) -> None:
        self.entries.append(entry)
        self.ledger.apply(entry)

    def jobs(self, state: JobState) -> list[int]:
        return [job for job, is_in in self.states.items() if is_in is state]

    def unmet(self, job: int) -> int:
        return sum(self.states[other] is not JobState.DONE for other in AFTER[job])

    @property
    def under_way(self) -> list[int]:
        """The jobs that run and have nothing accepted."""
        return [job for job in self.jobs(JobState.RUNNING) if job not in self.accepted]

    def close(self, job: int, attempt: int) -> None:
        self.open[job].remove(attempt)
        if not self.open[job]:
            del self.open[job]

    def heads(self) -> list[tuple[int, Kind, tuple[str, ...]]]:
        """Give the lowest ready job of each kind and hosts to avoid."""
        heads: dict[tuple[Kind, tuple[str, ...]], int] = {}
        for job in self.jobs(JobState.READY):
            kind = Kind(int(self.ledger.jobs["kind"][job]))
            heads.setdefault((kind, tuple(self.avoid.get(job, ()))), job)
        return sorted((job, *group) for group, job in heads.items())

    @precondition(lambda self: self.jobs(JobState.READY))
    @rule(data=st.data(), rank=st.integers(1, 3))
    def start(self, data: st.DataObject, rank: int) -> None:
        job = data.draw(st.sampled_from(self.heads()))[0]
        self.attempts[job] += 1
        self.rank_of[job, self.attempts[job]] = rank
        assert self.ledger.job(job).attempt == self.attempts[job]
        self.apply(started(job, self.attempts[job], rank))
        self.open[job] = [*self.open.get(job, []), self.attempts[job]]
        self.states[job] = JobState.RUNNING

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), rank=st.integers(1, 3))
    def start_another(self, data: st.DataObject, rank: int) -> None:
        """A second attempt of a job that runs; the first answer wins."""
        job = data.draw(st.sampled_from(self.under_way))
        self.attempts[job] += 1
        self.apply(started(job, self.attempts[job], rank))
        self.open[job].append(self.attempts[job])
        self.rank_of[job, self.attempts[job]] = rank

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.under_way))
        attempt = data.draw(st.sampled_from(self.open[job]))
        self.apply(accepted(job, attempt))
        self.close(job, attempt)
        self.accepted[job] = attempt
        row = self.ledger.jobs[job]
        assert (row["rank"], row["outcome"]) == (self.rank_of[job, attempt], Outcome.DONE)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.accepted)))
        self.apply(journal.Published(job, self.accepted.pop(job)))
        self.states[job] = JobState.DONE
        self.avoid.pop(job, None)
        for other in self.jobs(JobState.WAITING):
            if not self.unmet(other):
                self.states[other] = JobState.READY

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), again=st.booleans())
    def withdraw(self, data: st.DataObject, again: bool) -> None:
        job = data.draw(st.sampled_from(sorted(self.accepted)))
        attempt = self.accepted.pop(job)
        self.apply(journal.Withdrawn(job, attempt, "taken", again, "again"))
        self.charged[job] += 1
        if job not in self.open:
            if not again:
                self.avoid.pop(job, None)
            self.states[job] = JobState.READY if again else JobState.FAILED
            self.put_aside(job)

    @precondition(lambda self: self.open)
    @rule(
        data=st.data(),
        again=st.booleans(),
        outcome=st.sampled_from(list(Outcome)[2:]),
        failure=st.sampled_from(FailureClass),
    )
    def fail(
        self, data: st.DataObject, again: bool, outcome: Outcome, failure: FailureClass
    ) -> None:
        job = data.draw(st.sampled_from(sorted(self.open)))
        attempt = data.draw(st.sampled_from(self.open[job]))
        self.apply(failed(job, attempt, again=again, outcome=outcome, failure=failure))
        self.close(job, attempt)
        self.charged[job] += budget_of(outcome, failure) is Budget.PAYLOAD
        self.lost[job] += budget_of(outcome, failure) is Budget.LOST
        if job in self.open or job not in self.under_way:
            return
        self.states[job] = JobState.READY if again else JobState.FAILED
        host = f"host{self.rank_of[job, attempt]}"
        if not again:
            self.avoid.pop(job, None)
        elif goes_elsewhere(outcome, failure):
            self.avoid[job] = [h for h in self.avoid.get(job, []) if h != host] + [host]
        elif outcome is not Outcome.INTERRUPTED:
            self.avoid.pop(job, None)
        self.put_aside(job)

    def put_aside(self, job: int) -> None:
        if job in GENERATION and self.states[job] is JobState.FAILED:
            self.apply(journal.FilePutAside(GENERATION.index(job), "not made"))
            for other in READERS[job]:
                self.states[other] = JobState.FAILED

    @precondition(lambda self: self.ledger.stuck)
    @rule()
    def bar(self) -> None:
        """Nothing can start any more, as the master finds."""
        for kind, jobs in (
            (Kind.RECONSTRUCTION, AFTER[MERGE]),
            (Kind.MERGE, {MERGE}),
        ):
            self.apply(journal.Barred(kind, "it will not be"))
            for job in jobs & set(self.jobs(JobState.WAITING)):
                self.states[job] = JobState.FAILED

    def is_late(self, entry: journal.Accepted | journal.Failed) -> bool:
        """Whether another attempt made the job's outputs before."""
        return isinstance(entry, journal.Accepted) and entry.job not in self.under_way

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A result that was written before changes nothing."""
        results = [e for e in self.entries if isinstance(e, journal.Accepted | journal.Failed)]
        over = [e for e in results if e.attempt not in self.open.get(e.job, []) or self.is_late(e)]
        if over:
            before = np.array(self.ledger.jobs)
            self.apply(data.draw(st.sampled_from(over)))
            assert np.array_equal(self.ledger.jobs, before)

    @rule()
    def resume(self) -> None:
        under_way = self.under_way
        self.open.clear()
        self.apply(journal.Resumed(7.0, "again", {}, "launch", "ended while the job ran"))
        for forgotten in (self.charged, self.lost, self.avoid):
            forgotten.clear()
        for job in under_way:
            self.states[job] = JobState.READY
        for job in self.jobs(JobState.FAILED):
            self.states[job] = JobState.WAITING if self.unmet(job) else JobState.READY

    @rule()
    def restart(self) -> None:
        """The supervisor's restart gives nobody new attempts."""
        self.apply(journal.Resumed(7.0, "again", {}, "launch", "lost", fresh=False))
        self.avoid.clear()
        under_way = self.under_way
        self.open.clear()
        for job in under_way:
            self.states[job] = JobState.READY

    @invariant()
    def agrees(self) -> None:
        ledger = self.ledger
        assert [ledger.state(job) for job in AFTER] == [self.states[job] for job in AFTER]
        assert [ledger.waiting_on(job) for job in AFTER] == [self.unmet(job) for job in AFTER]
        counts = Counter(self.states.values())
        assert {state: ledger.counts[state] for state in JobState} == {
            state: counts[state] for state in JobState
        }
        over = counts[JobState.DONE] + counts[JobState.FAILED]
        assert ledger.unfinished == len(AFTER) - over
        # What waits can start some day, or the master is told that it cannot.
        assert ledger.stuck == (
            ledger.unfinished > 0 and ledger.unfinished == counts[JobState.WAITING]
        )
        assert ledger.running() == sorted(self.open)
        assert [list(ledger.running_attempts(job)) for job in AFTER] == [
            self.open.get(job, []) for job in AFTER
        ]
        assert {job: one.attempt for job, one in ledger.accepted.items()} == self.accepted
        numbers = range(len(AFTER))
        assert ledger.jobs["attempts"].tolist() == [self.attempts[job] for job in numbers]
        assert [ledger.spent(job) for job in numbers] == [
            Spent(self.charged[job], self.lost[job]) for job in numbers
        ]
        assert named(ledger) == self.heads()
        assert len(ledger.attempts) == self.attempts.total()

    def teardown(self) -> None:
        replayed = ledger_of(self.entries)
        for name in ("jobs", "attempts", "steps"):
            assert np.array_equal(getattr(replayed, name), getattr(self.ledger, name))
        for name in ("hosts", "reasons", "places"):
            assert getattr(replayed, name) == getattr(self.ledger, name)
        assert named(replayed) == named(self.ledger)
        for job in range(len(AFTER)):
            assert replayed.spent(job) == self.ledger.spent(job)


TestCampaign = Campaign.TestCase
TestCampaign.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_table_of_moves() -> None:
    for before in JobState:
        for after in JobState:
            if after in TRANSITIONS[before]:
                check_transition(1, before, after)
            else:
                with pytest.raises(JournalError, match="job 1 cannot go from"):
                    check_transition(1, before, after)
    assert not TRANSITIONS[JobState.DONE]


ILLEGAL: dict[str, list[journal.Entry]] = {
    "a job that waits is started": [started(1, 1)],
    "a job of which an attempt was accepted is started": [
        started(0, 1),
        started(0, 2),
        accepted(0, 1),
        started(0, 3),
    ],
    "a done job is started": [
        started(0, 1),
        accepted(0, 1),
        journal.Published(0, 1),
        started(0, 2),
    ],
    "a failed job is started": [started(0, 1), failed(0, 1, again=False), started(0, 2)],
}


@pytest.mark.parametrize("entries", ILLEGAL.values(), ids=ILLEGAL)
def test_an_illegal_move_raises(entries: list[journal.Entry]) -> None:
    ledger = ledger_of([*plan(), *entries[:-1]])
    before = ledger.counts.copy()
    with pytest.raises(JournalError, match="cannot go from"):
        ledger.apply(entries[-1])
    assert ledger.counts == before


def test_an_attempt_begins_once() -> None:
    ledger = ledger_of([*plan(), started(0, 1)])
    with pytest.raises(JournalError, match="attempt 1 of job 0 began before"):
        ledger.apply(started(0, 1))


@pytest.mark.parametrize("wrong", [{"event_files": 2}, {"jobs": 8}])
def test_a_plan_that_is_not_whole_raises(wrong: dict[str, Any]) -> None:
    *rest, last = plan()
    assert isinstance(last, journal.PlanComplete)
    with pytest.raises(JournalError, match="the lines before it plan"):
        ledger_of([*rest, structs.replace(last, **wrong)])


def test_what_a_job_is_told() -> None:
    ledger = ledger_of(plan())
    job = ledger.job(8)
    assert (job.kind, job.skip_events, job.first_event, job.events) == (2, 2, 11, 2)
    assert job.stem == "1.4.3.2.2"
    assert ledger.job(6).stem == "1.4.3"


def test_what_jobs_without_an_event_file_are_told() -> None:
    ledger = ledger_of(whole_plan())
    library, merge = ledger.job(0), ledger.job(MERGE)
    assert (library.kind, library.stem, library.events) == (Kind.LIBRARY, "minbias.20", 20)
    assert (merge.kind, merge.stem, merge.events) == (Kind.MERGE, "train", 12)
    assert library.event_file == merge.event_file == NO_EVENT_FILE
    assert ledger.jobs["event_file"][[0, MERGE]].tolist() == [-1, -1]


@pytest.mark.parametrize("after", [[0], [1], [-1]])
def test_a_row_that_waits_for_itself_or_a_later_one_raises(after: list[int]) -> None:
    wrong = journal.JobsPlanned(Kind.LIBRARY, -1, 20, 20, after, [])
    with pytest.raises(JournalError, match="row 0 of the plan's jobs waits for rows"):
        ledger_of([wrong, journal.PlanComplete(0, 1)])


def test_of_two_attempts_the_first_answer_wins() -> None:
    ledger = ledger_of([*plan(), started(0, 1, rank=1), started(0, 2, rank=2)])
    assert ledger.running_attempts(0) == (1, 2)
    for entry in (accepted(0, 1), accepted(0, 2), journal.Published(0, 1)):
        ledger.apply(entry)
    assert ledger.state(0) is JobState.DONE
    assert (ledger.jobs["rank"][0], ledger.jobs["attempts"][0]) == (1, 2)
    assert ledger.running_attempts(0) == (2,)
    ledger.apply(failed(0, 2, again=True, outcome=Outcome.INTERRUPTED))
    assert (ledger.running(), ledger.state(0)) == ([], JobState.DONE)
    assert ledger.attempts["outcome"].tolist() == [Outcome.DONE, Outcome.INTERRUPTED]


def test_a_job_runs_until_its_last_attempt_failed() -> None:
    ledger = ledger_of([*plan(), started(0, 1, rank=1), started(0, 2, rank=2)])
    ledger.apply(failed(0, 2, again=True, failure=FailureClass.PASSING))
    assert (ledger.state(0), named(ledger)[0][0]) == (JobState.RUNNING, 3)
    ledger.apply(failed(0, 1, again=True, failure=FailureClass.PASSING))
    assert (ledger.state(0), ledger.jobs["rank"][0]) == (JobState.READY, 1)
    assert named(ledger)[0] == (0, Kind.GENERATION, ("host1",))


def test_texts_stand_once() -> None:
    entries = [e for n in range(1, 6) for e in (started(0, n), failed(0, n, again=True))]
    ledger = ledger_of([*plan(), *entries])
    assert (ledger.hosts, ledger.reasons) == (["host1"], ["why", "again"])
    assert ledger.places == ["noop.log:0"]
    assert set(ledger.attempts["reason"].tolist()) == {0}
    assert set(ledger.attempts["decision"].tolist()) == {1}
    assert ledger.jobs["reason"].tolist() == [0] + [-1] * 8


def test_a_job_avoids_the_hosts_of_its_last_failures() -> None:
    passing = FailureClass.PASSING
    seen = []
    ledger = ledger_of(plan())
    for attempt, (rank, failure) in enumerate(
        [(1, passing), (2, passing), (1, passing), (3, FailureClass.ONCE_MORE)], 1
    ):
        ledger.apply(started(0, attempt, rank))
        ledger.apply(failed(0, attempt, again=True, failure=failure))
        seen.append(next(ready[2] for ready in named(ledger) if ready[0] == 0))
    assert seen == [("host1",), ("host1", "host2"), ("host2", "host1"), ()]


def test_a_job_that_avoids_a_host_stands_in_no_ones_way() -> None:
    lost = failed(0, 1, again=True, failure=FailureClass.PASSING)
    ledger = ledger_of([*plan(), started(0, 1), lost])
    generation = Kind.GENERATION
    assert ledger.ready() == [Ready(0, generation, (0,)), Ready(3, generation)]
    ledger.apply(journal.Resumed(7.0, "again", {}, "launch", "ended"))
    assert ledger.ready() == [Ready(0, generation)]


def test_who_was_left_out_is_of_the_newest_launch_only() -> None:
    ledger = ledger_of(plan())
    out = [journal.LeftOut("tev03", rank, "no CVMFS", 5.0) for rank in (1, 2)]
    for entry in out:
        ledger.apply(entry)
    assert ledger.left_out == out
    ledger.apply(journal.Resumed(7.0, "again", {}, "launch", "ended"))
    assert ledger.left_out == []
