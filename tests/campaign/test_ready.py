"""Which jobs are ready, in the order in which they are given out."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.ready import Ready, ReadyJobs
from hvmpi.campaign.rows import JOB_FIELDS

JOBS = 12
KINDS = [0, 0, 0, 1, 0, 2, 2, 2, 2, 1, 2, 2]
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
        self.jobs["kind"] = [KINDS[job] for job in range(JOBS)]
        self.jobs["state"] = JobState.READY
        self.avoid: dict[int, tuple[int, ...]] = {}
        self.held: set[int] = set()

    def heads(self) -> list[Ready]:
        groups: dict[tuple[int, tuple[int, ...]], int] = {}
        for job in range(JOBS):
            if self.jobs["state"][job] == JobState.READY and job not in self.held:
                groups.setdefault((KINDS[job], self.avoid.get(job, ())), job)
        found = [Ready(job, Kind(kind), avoid) for (kind, avoid), job in groups.items()]
        return sorted(found, key=lambda ready: ready.job)

    def next_jobs(self, head: Ready, most: int) -> list[int]:
        """Give a head and what is behind it of its group, before the job of another group."""
        groups = {
            job: (KINDS[job], self.avoid.get(job, ()))
            for job in range(JOBS)
            if self.jobs["state"][job] == JobState.READY and job not in self.held
        }
        behind = [job for job in sorted(groups) if job >= head.job]
        mine = itertools.takewhile(lambda job: groups[job] == groups[head.job], behind)
        return list(itertools.islice(mine, most))


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
            for head in model.heads()[:1]:
                jobs = ready.first(head, 3)
                # At least one; fewer where some became ready only later.
                assert jobs
                assert jobs == model.next_jobs(head, 3)[: len(jobs)]
    assert ready.heads() == model.heads()
