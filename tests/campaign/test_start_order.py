"""The ready jobs in an order that may change, beside a list that is sorted each time."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.ready import Ready, ReadyJobs
from hvmpi.campaign.rows import JOB_FIELDS

JOBS = 12
NUMBERS = st.integers(0, JOBS - 1)


class Queue(RuleBasedStateMachine):
    """Jobs that become ready, are taken, held, and sent elsewhere."""

    @initialize(
        kinds=st.lists(st.sampled_from(Kind), min_size=JOBS, max_size=JOBS),
        ready=st.lists(st.booleans(), min_size=JOBS, max_size=JOBS),
    )
    def begin(self, kinds: list[Kind], ready: list[bool]) -> None:
        self.jobs = np.zeros(JOBS, dtype=JOB_FIELDS)
        self.jobs["kind"] = kinds
        self.jobs["state"] = np.where(ready, JobState.READY, JobState.WAITING)
        self.queue = ReadyJobs(self.jobs)
        self.order = list(range(JOBS))
        self.held: set[int] = set()
        self.avoid: dict[int, tuple[int, ...]] = {}

    @rule(order=st.permutations(range(JOBS)))
    def start_in(self, order: list[int]) -> None:
        self.order = order
        self.queue.start_in(np.array(order))

    @precondition(lambda self: self.queue.heads())
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.queue.heads())).job
        self.jobs["state"][job] = JobState.RUNNING

    @rule(job=NUMBERS, host=st.sampled_from([None, 1, 2]))
    def make_ready(self, job: int, host: int | None) -> None:
        if self.jobs["state"][job] == JobState.READY:
            return
        if host is None:
            self.queue.forget(job)
            self.avoid.pop(job, None)
        else:
            self.queue.avoid(job, host)
            self.avoid[job] = (*(h for h in self.avoid.get(job, ()) if h != host), host)
        self.jobs["state"][job] = JobState.READY
        self.queue.push(job)

    @rule(job=NUMBERS)
    def hold(self, job: int) -> None:
        self.queue.hold(job)
        self.held.add(job)

    @rule(job=NUMBERS)
    def release(self, job: int) -> None:
        self.queue.release(job)
        self.held.discard(job)

    @rule()
    def queue_all(self) -> None:
        self.queue.queue_all()
        self.held.clear()
        self.avoid.clear()

    @invariant()
    def agrees(self) -> None:
        expected: dict[tuple[int, tuple[int, ...]], Ready] = {}
        for job in self.order:
            if self.jobs["state"][job] == JobState.READY and job not in self.held:
                group = Kind(int(self.jobs["kind"][job])), self.avoid.get(job, ())
                expected.setdefault(group, Ready(job, *group))
        assert self.queue.heads() == list(expected.values())


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
