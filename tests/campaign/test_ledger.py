"""The ledger: legal sequences never break its counts, illegal ones raise."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import (
    CHARGED,
    TRANSITIONS,
    JobState,
    Kind,
    Outcome,
    check_transition,
)
from hvmpi.campaign.ledger import Ledger
from hvmpi.errors import JournalError

BATCHES = 3
JOBS_A_BATCH = 2
JOBS = BATCHES * (1 + JOBS_A_BATCH)


def plan() -> list[journal.Entry]:
    """Three batches of four events, each a generation job and two others."""
    entries: list[journal.Entry] = []
    for row in range(BATCHES):
        name = f"1.4.{row + 1}"
        path = f"evnt/{name}.evnt.txt"
        entries += [
            journal.EventFileListed(path, "s", 1, row + 1, 4, 4 * row + 1, name, -1, "", -1, ""),
            journal.JobsPlanned(Kind.GENERATION, row, 4, 4, [], []),
            journal.JobsPlanned(Kind.RECONSTRUCTION, row, 2, 4, [2 * row], []),
        ]
    return [*entries, journal.PlanComplete(BATCHES, JOBS)]


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
    job: int, attempt: int, *, again: bool, outcome: int = Outcome.PAYLOAD_FAILED
) -> journal.Failed:
    return journal.Failed(job, attempt, 6.0, 1.0, outcome, 3, 0, "why", again, [])


class Campaign(RuleBasedStateMachine):
    """Random legal sequences beside a model of plain dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = plan()
        self.ledger = ledger_of(self.entries)
        self.states = {
            job: JobState.READY if job % 3 == 0 else JobState.WAITING for job in range(JOBS)
        }
        self.attempts: Counter[int] = Counter()
        self.charged: Counter[int] = Counter()
        self.accepted: set[int] = set()

    def apply(self, entry: journal.Entry) -> None:
        self.entries.append(entry)
        self.ledger.apply(entry)

    def jobs(self, state: JobState) -> list[int]:
        return [job for job, is_in in self.states.items() if is_in is state]

    @property
    def under_way(self) -> list[int]:
        return [job for job in self.jobs(JobState.RUNNING) if job not in self.accepted]

    @precondition(lambda self: self.jobs(JobState.READY))
    @rule(rank=st.integers(1, 5))
    def start(self, rank: int) -> None:
        job = self.ledger.next_ready()
        assert job == min(self.jobs(JobState.READY))
        self.attempts[job] += 1
        assert self.ledger.job(job).attempt == self.attempts[job]
        self.apply(started(job, self.attempts[job], rank))
        self.states[job] = JobState.RUNNING

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.under_way))
        self.apply(accepted(job, self.attempts[job]))
        self.accepted.add(job)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.accepted)))
        self.apply(journal.Published(job, self.attempts[job]))
        self.accepted.discard(job)
        self.states[job] = JobState.DONE
        if job % 3 == 0:
            for other in (job + 1, job + 2):
                if self.states[other] is JobState.WAITING:
                    self.states[other] = JobState.READY

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), again=st.booleans(), outcome=st.sampled_from(list(Outcome)[2:]))
    def fail(self, data: st.DataObject, again: bool, outcome: Outcome) -> None:
        job = data.draw(st.sampled_from(self.under_way))
        self.apply(failed(job, self.attempts[job], again=again, outcome=outcome))
        self.states[job] = JobState.READY if again else JobState.FAILED
        self.charged[job] += outcome in CHARGED
        if job % 3 == 0 and not again:
            self.apply(journal.FilePutAside(job // 3, "not made"))
            for other in (job + 1, job + 2):
                self.states[other] = JobState.FAILED

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A result that was written before changes nothing."""
        results = [e for e in self.entries if isinstance(e, journal.Accepted | journal.Failed)]
        over = [
            e for e in results if e.job not in self.under_way or e.attempt < self.attempts[e.job]
        ]
        if over:
            before = copy.deepcopy(self.ledger.jobs)
            self.apply(data.draw(st.sampled_from(over)))
            assert np.array_equal(self.ledger.jobs, before)

    @rule()
    def resume(self) -> None:
        self.apply(journal.Resumed(7.0, "again", {}, "launch", "ended while the job ran"))
        self.charged.clear()
        for job in self.under_way:
            self.states[job] = JobState.READY
        for job in self.jobs(JobState.FAILED):
            made = job % 3 == 0 or self.states[job - job % 3] is JobState.DONE
            self.states[job] = JobState.READY if made else JobState.WAITING

    @invariant()
    def agrees(self) -> None:
        ledger = self.ledger
        assert [ledger.state(job) for job in range(JOBS)] == list(self.states.values())
        counts = Counter(self.states.values())
        assert {state: ledger.counts[state] for state in JobState} == {
            state: counts[state] for state in JobState
        }
        over = counts[JobState.DONE] + counts[JobState.FAILED]
        assert ledger.unfinished == JOBS - over
        assert ledger.running() == self.under_way
        assert set(ledger.accepted) == self.accepted
        assert ledger.jobs["attempts"].tolist() == [self.attempts[job] for job in range(JOBS)]
        assert [ledger.charged(job) for job in range(JOBS)] == [
            self.charged[job] for job in range(JOBS)
        ]
        assert len(ledger.attempts) == self.attempts.total()

    def teardown(self) -> None:
        replayed = ledger_of(self.entries)
        for name in ("jobs", "attempts", "steps"):
            assert np.array_equal(getattr(replayed, name), getattr(self.ledger, name))


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
    "a job is started twice": [started(0, 1), started(0, 2)],
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


@pytest.mark.parametrize("wrong", [{"event_files": 2}, {"jobs": 8}])
def test_a_plan_that_is_not_whole_raises(wrong: dict[str, Any]) -> None:
    *rest, last = plan()
    assert isinstance(last, journal.PlanComplete)
    with pytest.raises(JournalError, match="the plan has"):
        ledger_of([*rest, journal.PlanComplete(**(vars(last) | wrong))])


def test_what_a_job_is_told() -> None:
    ledger = ledger_of(plan())
    job = ledger.job(8)
    assert (job.kind, job.skip_events, job.first_event, job.events) == (2, 2, 11, 2)
    assert job.stem == "1.4.3.2.2"
    assert ledger.job(6).stem == "1.4.3"


def test_texts_stand_once() -> None:
    entries = [e for n in range(1, 6) for e in (started(0, n), failed(0, n, again=True))]
    ledger = ledger_of([*plan(), *entries])
    assert (ledger.hosts, ledger.reasons) == (["host1"], ["why"])
    assert set(ledger.attempts["reason"].tolist()) == {0}
    assert ledger.jobs["reason"].tolist() == [0] + [-1] * 8
