"""How fast a run goes, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hvmpi.campaign.overview import Overview
from hvmpi.campaign.speed import Speed
from hvmpi.campaign.status import look_at_current
from tests.view.conftest import Telling, begin

__all__ = ["begin"]

Begin = Callable[..., Telling]


def speed(told: Telling, state: str = "running") -> Speed:
    told.write(state)
    return look_at_current(told.directory, Overview.of).speed


def test_nobody_knows_the_time_before_a_job_is_done(begin: Begin) -> None:
    told = begin(5)
    assert speed(told) == Speed(None, None, None, "no reconstruction job is done yet")


def test_the_rest_is_shared_by_the_ranks_that_run_jobs(begin: Begin) -> None:
    told = begin(6)
    told.done(0, 1, 0.0, 30.0)
    told.start(1, 1, 90.0)
    told.start(2, 2, 90.0)
    found = speed(told)
    # Two jobs that took 10 s of their 30, and three that nobody has.
    assert found.left_s == pytest.approx((2 * 20.0 + 3 * 30.0) / 2, abs=3.0)
    assert found.jobs_per_hour == pytest.approx(36.0, rel=0.05)
    assert found.events_per_hour == pytest.approx(72.0, rel=0.05)


def test_it_takes_as_long_as_the_longest_job(begin: Begin) -> None:
    told = begin(3)
    told.done(0, 1, 0.0, 40.0)
    told.start(1, 1, 60.0)
    told.start(2, 2, 98.0)
    assert speed(told).left_s == pytest.approx(38.0, abs=3.0)


def test_where_nothing_runs_nobody_knows(begin: Begin) -> None:
    told = begin(3)
    told.done(0, 1, 0.0, 30.0)
    assert speed(told).left_s is None
    assert speed(told).unknown == "no rank runs a job"


def test_a_run_that_has_ended_went_as_fast_as_it_did_until_its_last_job(begin: Begin) -> None:
    told = begin(2)
    told.done(0, 1, 0.0, 10.0)
    told.done(1, 1, 10.0, 10.0)
    found = speed(told, "complete")
    assert found.jobs_per_hour == pytest.approx(360.0)
    assert (found.left_s, found.unknown) == (None, "")


def test_a_run_with_a_pause_in_it_has_no_speed(begin: Begin) -> None:
    told = begin(1, launches=2)
    told.done(0, 1, 0.0, 10.0)
    assert speed(told, "complete") == Speed(None, None, None, "")
