"""Whether the master's CPU time a job stays what it is while a campaign grows.

See `benchmarks.simulation`. A campaign of 1,000 jobs of one event and two workers, and then the
same with ten times the events, with 64 workers, with a million jobs. The large one pauses every
tenth, and campaigns of 1,000 jobs run to compare with, so that both are measured in turns.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

from benchmarks.figures import Curve, Figure, Measured, Measurement, Plot, at_most, paired
from benchmarks.simulation import Simulation

TITLE = "growth of the master's CPU time a job"

SMALL_JOBS = 1000
FEW, MANY = 2, 64
TIMES = 10
REPEATED = 3
"""Small campaigns that make one value: each is over in a tenth of a second."""


def measure(given: Measurement) -> Measured:
    """Compare campaigns."""
    made = 0

    def small(ranks: int = FEW, events: int = 1, jobs: int = SMALL_JOBS) -> float:
        """Give the CPU time a job of small campaigns, the median of some."""
        nonlocal made
        taken = []
        for _ in range(REPEATED):
            made += 1
            place = given.scratch / str(made)
            simulation = Simulation(place, jobs, ranks, events)
            # From the first job that is done: greetings and the first snapshot are no job's.
            before, after = simulation.work(1), simulation.work(jobs)
            simulation.end()
            taken.append((after.cpu_s - before.cpu_s) / (after.jobs - before.jobs))
            shutil.rmtree(place)
        return sorted(taken)[len(taken) // 2]

    small()
    more_jobs = given.size(SMALL_JOBS * 3, SMALL_JOBS)

    def of(**other: int) -> Callable[[int], float]:
        return lambda _: small(jobs=more_jobs, **other)

    events = paired(given.size(7, 3), of(events=TIMES), of())
    ranks = paired(given.size(7, 3), of(ranks=MANY), of())
    jobs, curve = _large(given, small)
    return Measured(
        (
            _figure(f"events of each job 1 to {TIMES}", events),
            _figure(f"workers {FEW} to {MANY}, simulated", ranks),
            _figure(f"jobs {SMALL_JOBS:,} to {given.size(1_000_000, 20_000):,}", jobs),
        ),
        plots=(Plot("jobs", "jobs done", "master's CPU time a job (us)", curve),),
    )


def _figure(what: str, pairs: list[tuple[float, float]]) -> Figure:
    return Figure(
        f"master's CPU time a job, {what}",
        "the smaller",
        tuple(ours / theirs for ours, theirs in pairs),
        at_most(1.10),
        note=f"{1e6 * min(theirs for _, theirs in pairs):.0f} us a job at least",
    )


def _large(
    given: Measurement, small: Callable[[], float]
) -> tuple[list[tuple[float, float]], tuple[Curve, ...]]:
    jobs, parts = given.size((1_000_000, 10), (20_000, 4))
    simulation = Simulation(given.scratch / "large", jobs, FEW)
    before = simulation.work(1)
    pairs, at = [], []
    for part in range(1, parts + 1):
        after = simulation.work(part * jobs // parts)
        pairs.append(((after.cpu_s - before.cpu_s) / (after.jobs - before.jobs), small()))
        at.append(float(after.jobs))
        before = after
    simulation.end()
    curves = (
        Curve(f"a campaign of {jobs:,} jobs", tuple(at), tuple(1e6 * ours for ours, _ in pairs)),
        Curve(
            f"campaigns of {SMALL_JOBS:,} jobs meanwhile",
            tuple(at),
            tuple(1e6 * theirs for _, theirs in pairs),
        ),
    )
    return pairs, curves
