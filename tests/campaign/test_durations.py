"""What done jobs say of the time that others take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.durations import Durations, measured_in
from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.rows import JOB_FIELDS
from hvmpi.errors import InputError


def _jobs(
    *rows: tuple[Kind, int, int, int, float], state: JobState = JobState.DONE
) -> npt.NDArray[Any]:
    """Make jobs of kind, run number, first event, events and wall time."""
    jobs = np.zeros(len(rows), dtype=JOB_FIELDS)
    for name, column in zip(
        ("kind", "run_number", "first_event", "events", "wall_s"),
        zip(*rows, strict=True),
        strict=True,
    ):
        jobs[name] = column
    jobs["state"] = state
    return jobs


RECONSTRUCTION, GENERATION = Kind.RECONSTRUCTION, Kind.GENERATION


@given(
    walls=st.lists(st.floats(0.125, 100.0, width=32), min_size=1, max_size=30),
    size=st.integers(1, 50),
    new_size=st.integers(1, 80),
)
def test_the_same_events_take_the_same_time_whatever_the_job_size(
    walls: list[float], size: int, new_size: int
) -> None:
    before = _jobs(*((RECONSTRUCTION, 7, 1 + size * n, size, w) for n, w in enumerate(walls)))
    events = size * len(walls)
    firsts = range(1, events + 1, new_size)
    after = _jobs(
        *((RECONSTRUCTION, 7, n, min(new_size, events + 1 - n), 0.0) for n in firsts),
        state=JobState.READY,
    )
    durations = Durations([before])
    assert durations.expected_s(after).sum() == pytest.approx(sum(walls), rel=1e-6)
    assert durations.expected_s(before) == pytest.approx(walls, rel=1e-4, abs=1e-4)


def test_events_that_were_not_measured_take_the_mean_of_their_sample_then_of_their_kind() -> None:
    done = _jobs(
        (RECONSTRUCTION, 7, 1, 10, 10.0),
        (RECONSTRUCTION, 7, 21, 10, 30.0),
        (RECONSTRUCTION, 8, 1, 20, 80.0),
        (GENERATION, 7, 1, 30, 3.0),
    )
    durations = Durations([done[:1], done[1:]])
    asked = _jobs(
        (RECONSTRUCTION, 7, 11, 10, 0.0),
        (RECONSTRUCTION, 7, 31, 10, 0.0),
        (RECONSTRUCTION, 7, 26, 10, 0.0),
        (RECONSTRUCTION, 9, 1, 10, 0.0),
        (GENERATION, 9, 1, 10, 0.0),
        (Kind.MERGE, 0, 0, 10, 0.0),
    )
    assert durations.expected_s(asked) == pytest.approx([20.0, 20.0, 25.0, 30.0, 1.0, 10.0])
    assert durations.event_s(RECONSTRUCTION, 8) == pytest.approx(4.0)
    assert durations.event_s(RECONSTRUCTION, 9) == pytest.approx(3.0)
    assert durations.event_s(Kind.MERGE, 0) is None


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.DONE])
def test_what_is_not_done_says_nothing(state: JobState) -> None:
    durations = Durations([_jobs((RECONSTRUCTION, 7, 1, 10, 10.0), state=state)])
    assert not durations
    assert durations.event_s(RECONSTRUCTION, 7) is None


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"times-from: .*status\.h5"):
        measured_in(tmp_path)
