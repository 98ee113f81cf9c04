"""How close a campaign with 16 workers comes to the shortest time that it could take.

See `benchmarks.clockwork`. The times of the jobs are lognormal with sigma 1 around a minute, and
their own: a second attempt takes as long as the first. What is given is the makespan over
max(sum / 16, longest), which no order of them can beat, for each seed. Known times are those that
an earlier campaign of the same events measured (``times-from``).

Two further tables show what the parts are worth: duplicates, where one host of 16 is ten times
slower than the others; and job-size auto, where events take lognormal times, and each job 50 ms
more.

Run: ``python -m benchmarks tail``, or ``python -m benchmarks.tail [SEEDS]`` for its figures alone.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.clockwork import campaign
from benchmarks.figures import Figure, Measured, Measurement, at_most
from benchmarks.simulation import make_event_files
from hvmpi.campaign.jobs import Job

TITLE = "the end of a campaign, 16 simulated workers"

WORKERS = 16
_MEDIAN_S = 60.0
_SLOW_RANK = 3
_SLOWER = 10.0
_START_S = 0.05
_EVENTS = 20_000
_EVENT_S = 0.1

Times = npt.NDArray[np.float64]


def measure(given: Measurement) -> Measured:
    """Simulate all."""
    return Measured(tuple(figures(given.scratch, given.size(15, 2))))


def figures(scratch: Path, seeds: int) -> Iterator[Figure]:
    """Give each row, its values one a seed."""
    bound = "max(sum / 16, longest)"
    many = [_both(scratch, 2000, seed) for seed in range(seeds)]
    few = [_both(scratch, 200, seed) for seed in range(seeds)]
    for jobs, ratios, unknown, known in ((2000, many, 1.05, 1.01), (200, few, None, 1.03)):
        what = f"{jobs:,} jobs, lognormal times of sigma 1"
        goal = at_most(unknown) if unknown else None
        yield Figure(f"{what}, unknown", bound, tuple(one[0] for one in ratios), goal)
        yield Figure(f"{what}, known", bound, tuple(one[1] for one in ratios), at_most(known))
    slow = [_with_a_slow_host(scratch, seed) for seed in range(seeds)]
    what = "200 jobs of about a minute, one host of 16 ten times slower: makespan"
    yield Figure(f"{what}, duplicates", "no duplicates", tuple(one[0] for one in slow))
    yield Figure(
        f"{what}, duplicates", "the same without the slow host", tuple(one[1] for one in slow)
    )
    sizes = [_by_job_size(scratch, seed) for seed in range(seeds)]
    what = f"{_EVENTS:,} events, lognormal times of sigma 1, {_START_S:g} s a start, job-size auto"
    yield Figure(what, "sum of events / 16", tuple(one[0] for one in sizes))
    yield Figure(what, "job-size 50", tuple(one[1] for one in sizes))
    yield Figure(what, "job-size 500", tuple(one[2] for one in sizes))


def _both(scratch: Path, jobs: int, seed: int) -> tuple[float, float]:
    """Run a campaign twice, the second time with what the first has measured."""
    takes_s = _lognormal(seed, jobs, _MEDIAN_S)
    shortest_s = max(takes_s.sum() / WORKERS, takes_s.max())

    def takes(job: Job, _rank: int) -> float:
        return float(takes_s[job.skip_events])

    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        place = Path(directory)
        make_event_files(place / "evnt", 1, jobs)
        unknown = campaign(place, WORKERS, takes, "--job-size=1")
        known = campaign(place, WORKERS, takes, "--job-size=1", f"--times-from={unknown.directory}")
    return unknown.makespan_s / shortest_s, known.makespan_s / shortest_s


def _with_a_slow_host(scratch: Path, seed: int) -> tuple[float, float]:
    takes_s = np.random.default_rng(seed).normal(_MEDIAN_S, 0.1 * _MEDIAN_S, 200)

    def takes(job: Job, rank: int) -> float:
        slower = _SLOWER if rank == _SLOW_RANK else 1.0
        return float(takes_s[job.skip_events]) * slower

    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        place = Path(directory)
        make_event_files(place / "evnt", 1, len(takes_s))
        with_them = campaign(place, WORKERS, takes, "--job-size=1")
        without = campaign(place, WORKERS, takes, "--job-size=1", "--no-duplicates")
        good = campaign(place, WORKERS - 1, lambda job, _: takes(job, 1), "--job-size=1")
    return with_them.makespan_s / without.makespan_s, with_them.makespan_s / good.makespan_s


def _by_job_size(scratch: Path, seed: int) -> tuple[float, float, float]:
    events_s = _lognormal(seed, _EVENTS, _EVENT_S)
    until_s = np.concatenate([[0.0], np.cumsum(events_s)])

    def takes(job: Job, _rank: int) -> float:
        first = job.first_event - 1
        return _START_S + float(until_s[first + job.events] - until_s[first])

    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        place = Path(directory)
        make_event_files(place / "evnt", 20, _EVENTS // 20)
        sized = [campaign(place, WORKERS, takes, f"--job-size={size}") for size in (50, 500)]
        times_from = f"--times-from={sized[0].directory}"
        auto = campaign(place, WORKERS, takes, "--job-size=auto", times_from)
    shortest_s = float(until_s[-1]) / WORKERS
    fifty, fivehundred = (auto.makespan_s / one.makespan_s for one in sized)
    return auto.makespan_s / shortest_s, fifty, fivehundred


def _lognormal(seed: int, count: int, median_s: float) -> Times:
    return median_s * np.random.default_rng(seed).lognormal(0.0, 1.0, count)


def main(argv: list[str]) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        for one in figures(Path(directory), int(argv[0]) if argv else 25):
            print(f"{one.what} / {one.against}: {one.text} {one.goal_text} {one.answer}")


if __name__ == "__main__":
    main(sys.argv[1:])
