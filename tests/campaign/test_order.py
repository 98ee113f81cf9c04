"""In which order jobs start: the longest first, where the plan leaves a choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.order import longest_first
from hvmpi.campaign.rows import JOB_FIELDS

BATCHES = st.lists(
    st.tuples(st.booleans(), st.lists(st.floats(0.5, 50.0), min_size=1, max_size=5)), max_size=8
)
"""Event files: whether a job makes them, and the times of the jobs that read them."""


def _plan(
    batches: list[tuple[bool, list[float]]],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    rows = [(Kind.LIBRARY, -1, 7.0)]
    for file, (generated, times) in enumerate(batches):
        rows += [(Kind.GENERATION, file, 3.0)] * generated
        rows += [(Kind.RECONSTRUCTION, file, time) for time in times]
    rows.append((Kind.MERGE, -1, 100.0))
    jobs = np.zeros(len(rows), dtype=JOB_FIELDS)
    jobs["kind"], jobs["event_file"] = [row[0] for row in rows], [row[1] for row in rows]
    return jobs, np.array([row[2] for row in rows])


@given(BATCHES)
def test_each_job_has_its_turn_and_batches_stay_together(
    batches: list[tuple[bool, list[float]]],
) -> None:
    jobs, expected_s = _plan(batches)
    order = longest_first(jobs["kind"], jobs["event_file"], expected_s)
    assert sorted(order.tolist()) == list(range(len(jobs)))
    assert (order[0], order[-1]) == (0, len(jobs) - 1)
    generated = {file for file, (made, _) in enumerate(batches) if made}
    inner = order[1:-1]
    for file in generated:
        places = np.flatnonzero(jobs["event_file"][inner] == file)
        assert places.tolist() == list(range(places[0], places[-1] + 1))
        assert jobs["kind"][inner[places[0]]] == Kind.GENERATION
        times = expected_s[inner[places[1:]]].tolist()
        assert times == sorted(times, reverse=True)
    free = [job for job in inner.tolist() if jobs["event_file"][job] not in generated]
    times = expected_s[free].tolist()
    assert times == sorted(times, reverse=True)


@given(BATCHES)
def test_among_equals_the_plans_order_holds(batches: list[tuple[bool, list[float]]]) -> None:
    jobs, expected_s = _plan(batches)
    order = longest_first(jobs["kind"], jobs["event_file"], np.ones_like(expected_s))
    assert order.tolist() == list(range(len(jobs)))


def test_a_campaign_without_jobs_has_an_order() -> None:
    jobs = np.zeros(0, dtype=JOB_FIELDS)
    assert longest_first(jobs["kind"], jobs["event_file"], np.zeros(0)).tolist() == []
