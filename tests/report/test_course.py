"""The course of a run: what ran where and when, in bins and one by one."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hvmpi.campaign.jobs import Kind, Outcome
from hvmpi.campaign.status import StatusFile
from hvmpi.report.clock import BINS, Clock, Launch, counted, in_bins, shares, spread
from hvmpi.report.course import Course
from tests.conftest import Place, RunOnDisk, clean_environment, shell

RUN = ("run", "-b8", "-n1", "--job-size=2", "--max-attempts=1")


@pytest.fixture(scope="module")
def taken_up(tmp_path_factory: pytest.TempPathFactory) -> RunOnDisk:
    """A run of four jobs, of which the second failed before a rerun."""
    place = Place(tmp_path_factory.mktemp("course"), clean_environment())
    script = f'sleep 0.1; [ "$1" != 2 ] || [ -e "{place.root}/mended" ] || exit 3; cat "$3" > "$4"'
    at = f"--run-dir={place.run_dir}"
    assert place.hvmpi(*RUN, *shell(script), at).code == 1
    (place.root / "mended").touch()
    assert place.hvmpi("rerun", place.run().timestamp, at).code == 0
    return place.run()


def course_of(path: Path) -> Course:
    with StatusFile(path) as file:
        return Course.of(file)


# Time


def test_pauses_between_launches_are_cut_short() -> None:
    clock = Clock([Launch(1000.0, 1010.0), Launch(5000.0, 5030.0, "rerun")])
    assert clock.worked_s == 40.0
    assert clock.total_s == pytest.approx(40.8)
    assert clock.has_cut
    assert clock.at(np.array([1000.0, 1004.0, 3005.0, 5000.0, 5030.0])) == pytest.approx(
        [0.0, 4.0, 10.4, 10.8, 40.8]
    )
    assert clock.restarts_s == [pytest.approx(10.8)]


def test_a_short_pause_stays_as_it_is() -> None:
    clock = Clock([Launch(0.0, 100.0), Launch(101.0, 200.0)])
    assert clock.total_s == 200.0
    assert not clock.has_cut


def test_a_run_that_ended_at_once_has_a_time_axis() -> None:
    clock = Clock([Launch(7.0, 7.0)])
    assert clock.total_s > 0.0
    assert clock.at(7.0) == 0.0


def test_intervals_are_spread_over_the_bins_that_they_touch() -> None:
    rng = np.random.default_rng(5)
    first = rng.uniform(0.0, BINS, 200)
    last = np.minimum(first + rng.exponential(5.0, 200), BINS)
    weights, lines = rng.uniform(0.1, 2.0, 200), rng.integers(0, 3, 200)
    grid = np.zeros((3, BINS + 2))
    spread(grid, lines, first, last, weights)
    edges = np.arange(BINS)
    expected = np.zeros((3, BINS))
    for line, begin, end, weight in zip(lines, first, last, weights, strict=True):
        covered = np.clip(np.minimum(end, edges + 1) - np.maximum(begin, edges), 0.0, None)
        expected[line] += weight * covered
    assert shares(grid) == pytest.approx(expected, abs=1e-9)


def test_what_lies_outside_counts_at_the_edge() -> None:
    clock = Clock([Launch(0.0, 60.0)])
    assert counted(clock, np.array([-5.0, 0.0, 60.0, 99.0]))[[0, -1]].tolist() == [2, 2]
    first, last = in_bins(clock, np.array([-5.0]), np.array([99.0]))
    assert (first[0], last[0]) == (0.0, BINS)


# A run


def test_a_run_taken_up_again_is_one_course(taken_up: RunOnDisk) -> None:
    course = course_of(taken_up.directory / "status.h5")
    status = taken_up.status()
    assert (course.hosts, course.ranks) == (1, 1)
    assert course.attempts == len(status.attempts) == 6
    assert course.failed == 1
    assert len(course.clock.launches) == 2
    assert course.clock.launches[1].command.startswith("python -m hvmpi")
    assert course.done[-1] == 5
    assert course.lost[-1] == course.failures.sum() == 1
    assert course.busy.shape == (1, BINS)
    in_jobs = float(status.attempts["wall_s"].sum())
    assert course.busy_s == pytest.approx(in_jobs, rel=1e-5)
    width_s = course.clock.total_s / BINS
    assert course.busy.sum() * width_s == pytest.approx(in_jobs, rel=0.02)


def test_rates_sum_up_to_the_events(taken_up: RunOnDisk) -> None:
    course = course_of(taken_up.directory / "status.h5")
    width_s = course.clock.total_s / BINS
    for kind in (Kind.GENERATION, Kind.RECONSTRUCTION):
        assert course.rates[kind].sum() * width_s == pytest.approx(8.0, rel=1e-6)


def test_attempts_of_a_rank_follow_each_other(taken_up: RunOnDisk) -> None:
    bars = course_of(taken_up.directory / "status.h5").bars
    assert bars is not None
    assert bars.failed.sum() == 1
    assert not bars.again.any()
    assert not bars.going.any()
    assert (bars.last > bars.first).all()
    assert (bars.first[1:] >= bars.last[:-1] - 1e-3).all()
    assert set(bars.kind) == {Kind.GENERATION, Kind.RECONSTRUCTION}


def test_many_ranks_are_shown_by_host_and_not_one_by_one(
    taken_up: RunOnDisk, tmp_path: Path
) -> None:
    path = tmp_path / "status.h5"
    path.write_bytes((taken_up.directory / "status.h5").read_bytes())
    hosts, ranks = 40, 4000
    with h5py.File(path, "r+") as file:
        one = file["attempts"][:1]
        rows = np.repeat(one, ranks)
        rows["rank"] = np.arange(1, ranks + 1)
        rows["host"] = np.arange(ranks) % hosts
        rows["outcome"][7] = Outcome.TIMED_OUT
        del file["attempts"], file["hosts"]
        file["attempts"] = rows
        names = [(f"tev{at:02d}".encode(),) for at in range(hosts)[::-1]]
        file["hosts"] = np.array(names, dtype=[("name", h5py.string_dtype("utf-8", 5))])
    course = course_of(path)
    assert course.lanes_are == "hosts"
    assert course.lanes == tuple(f"tev{at:02d}" for at in range(hosts))
    assert [group.ranks for group in course.groups] == [100] * hosts
    assert course.bars is None
    assert course.failed == 1
    assert course.failures.sum(axis=1)[course.lanes.index("tev32")] == 1
    assert (course.busy <= 1.0).all()


def test_a_file_of_before_restarts_were_in_it_has_one_launch(
    taken_up: RunOnDisk, tmp_path: Path
) -> None:
    path = tmp_path / "status.h5"
    path.write_bytes((taken_up.directory / "status.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["restarts"], file.attrs["versions"], file.attrs["ended"]
    course = course_of(path)
    assert len(course.clock.launches) == 1
    assert course.attempts == 6
    with StatusFile(path) as file:
        assert (file.versions, file.ended) == ({}, "")
