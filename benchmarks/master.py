"""How many jobs a second one master serves, and what memory it needs, with 1,000 workers.

See `benchmarks.simulation`. The rate is taken in each fifth of the campaign: jobs over the time
that the master spent in its own calls, writing and syncing the journal and writing snapshots
included, planning excluded. Memory is the peak of the whole process, planning and the simulated
workers included.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from benchmarks.figures import Curve, Figure, Measured, Measurement, Plot, at_least, at_most
from benchmarks.simulation import Simulation

TITLE = "master serving 1,000 simulated workers"

RANKS = 1000
PARTS = 5


def measure(given: Measurement) -> Measured:
    """Serve a campaign."""
    jobs = given.size(1_000_000, 20_000)
    simulation = Simulation(given.shared / "master", jobs, RANKS)
    spent = [simulation.work(part * jobs // PARTS) for part in range(PARTS + 1)]
    last = simulation.end()
    rates = []
    for before, after in itertools.pairwise(spent):
        rates.append((after.jobs - before.jobs) / (after.wall_s - before.wall_s))
    journal = simulation.directory / "journal.jsonl"
    size = journal.stat().st_size
    what = f"master, {RANKS:,} simulated workers, {jobs:,} jobs"
    return Measured(
        (
            Figure(
                f"{what}: jobs a second of its own time",
                values=tuple(rates),
                goal=at_least(20_000),
                unit="jobs/s",
                note=f"{1e6 * last.cpu_s / last.jobs:.0f} us of CPU time a job, journal "
                f"{size / last.jobs:.0f} bytes a job",
            ),
            Figure(
                f"{what}: peak memory of the process",
                values=(peak_mb(),),
                goal=at_most(200),
                unit="MB",
            ),
        ),
        plots=(
            Plot(
                "rate",
                "jobs done",
                "jobs a second of the master's own time",
                (
                    Curve(
                        f"{RANKS:,} simulated workers",
                        tuple(float(after.jobs) for after in spent[1:]),
                        tuple(rates),
                    ),
                ),
            ),
        ),
    )


def peak_mb() -> float:
    """Give the most memory that this process had, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024
    return float("nan")
