"""Which jobs are ready, in the order in which they are given out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.ready import Ready, ReadyJobs
from hvmpi.campaign.rows import JOB_FIELDS

JOBS = 12
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["start", "wait", "again", "elsewhere", "hold", "release", "all"]),
        st.integers(0, JOBS - 1),
        st.integers(0, 2),
    ),
    max_size=60,
)


class Model:
    """What is ready, by looking at all jobs."""

    def __init__(self) -> None:
        self.jobs = np.zeros(JOBS, dtype=JOB_FIELDS)
        self.jobs["kind"] = [job % 3 for job in range(JOBS)]
        self.jobs["state"] = JobState.READY
        self.avoid: dict[int, tuple[int, ...]] = {}
        self.held: set[int] = set()

    def heads(self) -> list[Ready]:
        groups: dict[tuple[int, tuple[int, ...]], int] = {}
        for job in range(JOBS):
            if self.jobs["state"][job] == JobState.READY and job not in self.held:
                groups.setdefault((job % 3, self.avoid.get(job, ())), job)
        found = [Ready(job, Kind(kind), avoid) for (kind, avoid), job in groups.items()]
        return sorted(found, key=lambda ready: ready.job)


@given(CHANGES, st.booleans())
def test_the_heads_are_what_a_look_at_all_jobs_gives(
    changes: list[tuple[str, int, int]], look_often: bool
) -> None:
    model = Model()
    ready = ReadyJobs(model.jobs)
    for what, job, host in changes:
        if what in ("start", "wait"):
            model.jobs["state"][job] = JobState.RUNNING if what == "start" else JobState.WAITING
        elif what in ("again", "elsewhere") and model.jobs["state"][job] != JobState.READY:
            if what == "elsewhere":
                ready.avoid(job, host)
                before = [other for other in model.avoid.get(job, ()) if other != host]
                model.avoid[job] = (*before, host)
            else:
                ready.forget(job)
                model.avoid.pop(job, None)
            model.jobs["state"][job] = JobState.READY
            ready.push(job)
        elif what == "hold":
            ready.hold(job)
            model.held.add(job)
        elif what == "release":
            ready.release(job)
            model.held.discard(job)
        elif what == "all":
            ready.queue_all()
            model.avoid.clear()
            model.held.clear()
        if look_often:
            assert ready.heads() == model.heads()
    assert ready.heads() == model.heads()
