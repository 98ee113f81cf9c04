"""How long it takes from ``mpirun -n 3`` to the first payload, over an empty script of mpi4py.

The payload of the noop engine is ``/bin/date``, which tells when it began itself. A payload of the
open chain cannot; that row takes the start of the first attempt from ``status.h5``. The empty
script is ``from mpi4py import MPI``, whole, from mpirun's start to its end.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import hvmpi as package
from benchmarks.figures import BenchmarkError, Figure, Measured, Measurement, at_most
from benchmarks.launching import hvmpi, mpirun, run, the_run
from benchmarks.simulation import make_event_files

TITLE = "start of mpirun -n 3 to the first payload"

RANKS = 3
GOAL = at_most(1.0)
AGAINST = "mpirun -n 3 of an empty mpi4py script"


def measure(given: Measurement) -> Measured:
    """Start and start again."""
    make_event_files(given.scratch / "evnt", 1, RANKS)
    ours: dict[str, list[float]] = {"noop": [], "openchain": []}
    empty = []
    for pair in range(given.pairs):
        place = given.scratch / str(pair)
        empty.append(_empty(place / "empty"))
        ours["noop"].append(_noop(given.scratch / "evnt", place / "noop"))
        ours["openchain"].append(_openchain(place / "openchain"))
        shutil.rmtree(place)
    return Measured(
        tuple(
            Figure(
                f"{TITLE}, {engine} engine",
                AGAINST,
                tuple(a - b for a, b in zip(taken, empty, strict=True)),
                GOAL,
                unit="s more",
                note=f"{min(taken):.2f} s, the empty script {min(empty):.2f} s, at least",
            )
            for engine, taken in ours.items()
        )
    )


def _empty(place: Path) -> float:
    argv = [*mpirun(RANKS), sys.executable, "-c", "from mpi4py import MPI"]
    return run(argv, place).wall_s


def _noop(event_files: Path, place: Path) -> float:
    words = ["reconstruct", "--engine=noop", "--job-size=1", f"--evnt-dir={event_files}"]
    words += ["--noop-command=/bin/date", "--noop-command=+%s.%N", "--keep-logs"]
    ended = hvmpi([*words, f"--run-dir={place / 'runs'}", "--nice=0"], place, RANKS)
    logs = (the_run(place / "runs") / "logs").glob("*/*/attempt1/noop.log")
    begun = [float(log.read_text().split()[-1]) for log in logs]
    if not begun:
        msg = "no payload left the time of its beginning in its log"
        raise BenchmarkError(msg)
    return min(begun) - ended.started


def _openchain(place: Path) -> float:
    words = ["generate", "--process=gghss", "--run-number=304795", "--num-batches=2"]
    words += ["--batch-size=1", f"--run-dir={place / 'runs'}", "--nice=0"]
    ended = hvmpi(words, place, RANKS)
    status = package.read_status(the_run(place / "runs"))
    return float(status.jobs["started"].min()) - ended.started
