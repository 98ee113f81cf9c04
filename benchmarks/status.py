"""How long ``status`` takes: of a run of a million jobs, and of a small one.

Start of Python and the table included. The large run is the one that `benchmarks.master` left; it
is made here where that did not run.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure, Measured, Measurement, at_most
from benchmarks.launching import hvmpi, the_run
from benchmarks.simulation import Simulation

TITLE = "status of a run of a million jobs"

LIMIT_S = 0.5
SMALL_JOBS = 100


def measure(given: Measurement) -> Measured:
    """Look at runs."""
    jobs = given.size(1_000_000, 20_000)
    large = large_run(given, jobs)
    small = given.scratch / "small"
    Simulation(small, SMALL_JOBS, ranks=2).end()
    figures = []
    for run, count in ((large, jobs), (the_run(small / "runs"), SMALL_JOBS)):
        words = ["status", run.name, f"--run-dir={run.parent}"]
        ends = [hvmpi(words, given.scratch / "look") for _ in range(given.pairs)]
        figures.append(
            Figure(
                f"status of a run of {count:,} jobs",
                values=tuple(end.wall_s for end in ends),
                goal=at_most(LIMIT_S),
                unit="s",
            )
        )
    return Measured(tuple(figures))


def large_run(given: Measurement, jobs: int) -> Path:
    """Give a run of so many jobs: the one that `benchmarks.master` left, or a new one."""
    left = given.shared / "master" / "runs"
    if left.is_dir() and _is_over(the_run(left)):
        return the_run(left)
    place = given.scratch / "large"
    Simulation(place, jobs, ranks=64).end()
    return the_run(place / "runs")


def _is_over(run: Path) -> bool:
    return (run / "status.h5").is_file() and not (run / "lock.json").exists()
