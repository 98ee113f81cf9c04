"""How long ``report`` takes: of the demo, and of a run of a million jobs; and the size of its page.

Start of Python, physics and files of all plots included. The large run is the one that
`benchmarks.master` left; it is made here where that did not run.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure, Measured, Measurement, at_most
from benchmarks.launching import hvmpi, the_run
from benchmarks.machine import ROOT
from benchmarks.status import large_run

TITLE = "report of the demo and of a million jobs"

DEMO_S = 10.0
LARGE_S = 60.0
LARGE_MB = 5.0
DEMO_RANKS = 3


def measure(given: Measurement) -> Measured:
    """Make reports."""
    jobs = given.size(1_000_000, 20_000)
    large = large_run(given, jobs)
    demo = given.scratch / "demo"
    config = ROOT / "configs" / "demo.toml"
    hvmpi(["run", f"-c{config}", f"--run-dir={demo / 'runs'}"], demo, ranks=DEMO_RANKS)
    figures = []
    for run, what, limit_s in (
        (the_run(demo / "runs"), "report of the demo", DEMO_S),
        (large, f"report of a run of {jobs:,} jobs", LARGE_S),
    ):
        page = given.scratch / run.name / "page.html"
        page.parent.mkdir()
        walls = tuple(_make(run, page) for _ in range(given.pairs))
        figures.append(Figure(what, values=walls, goal=at_most(limit_s), unit="s"))
    size_mb = page.stat().st_size / 1e6
    figures.append(Figure("its page", values=(size_mb,), goal=at_most(LARGE_MB), unit="MB"))
    return Measured(tuple(figures))


def _make(run: Path, page: Path) -> float:
    words = ["report", run.name, f"--run-dir={run.parent}", f"--output={page}"]
    return hvmpi(words, page.parent).wall_s
