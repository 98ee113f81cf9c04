"""Starts what is measured: hvmpi and its peers, as a user would, with nothing of other launches."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import BenchmarkError

__all__ = ["MPIRUN", "Ended", "environment", "hvmpi", "hvmpi_words", "mpirun", "run", "the_run"]

MPIRUN = str(Path(sys.executable).parent / "mpirun")

_LAUNCHERS = ("OMPI_", "PMIX_", "PRTE_", "PMI", "HYDRA_", "SLURM_", "HVMPI_")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended well.

    Attributes
    ----------
    wall_s : float
    max_rss_mb : float
        Of the largest process that this one ever waited for.
    started : float
        Unix seconds.
    output : str
        What it said on standard output.
    """

    wall_s: float
    max_rss_mb: float
    started: float
    output: str


def environment() -> dict[str, str]:
    """Give our environment without what a launcher or a user of hvmpi would have put there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LAUNCHERS)}
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    # A report is no part of a campaign's time.
    root["HVMPI_REPORT"] = "false"
    # As payloads have it: two loops with threads of their own would fight for two cores.
    return kept | root | dict.fromkeys(_ONE_THREAD, "1")


def mpirun(ranks: int, *, survives: bool = False) -> list[str]:
    """Give the words that start ranks: for hvmpi as ``run_chain.sh`` does, with ULFM."""
    ulfm = ["--with-ft", "ulfm"] if survives else []
    return [MPIRUN, *ulfm, "-n", str(ranks), "--oversubscribe", "--bind-to", "none"]


def hvmpi_words(words: Sequence[str], ranks: int = 0) -> list[str]:
    """Give the words of a command of hvmpi, under mpirun if ranks are given."""
    launcher = mpirun(ranks, survives=True) if ranks else []
    return [*launcher, sys.executable, "-P", "-m", "hvmpi", *words]


def hvmpi(words: Sequence[str], place: Path, ranks: int = 0) -> Ended:
    """Run a command of hvmpi to its end."""
    return run(hvmpi_words(words, ranks), place)


def run(argv: Sequence[str], place: Path, *, stdin: str | None = None) -> Ended:
    """Run a command to its end.

    Parameters
    ----------
    argv : sequence of str
    place : Path
        Its working directory, made if it is not there.
    stdin : str, optional
        What it reads; nothing if not given.

    Raises
    ------
    BenchmarkError
        If it does not end with 0; with the last that it said.
    """
    place.mkdir(parents=True, exist_ok=True)
    given = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    started, began = time.time(), time.perf_counter()
    with (place / "stderr").open("w+") as errors:
        process = subprocess.Popen(
            list(argv),
            cwd=place,
            env=environment(),
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        output, _ = process.communicate(stdin)
        wall_s = time.perf_counter() - began
        errors.seek(0)
        said = (output + errors.read()).strip().splitlines()
    if process.returncode:
        last = " / ".join(said[-3:]) or "nothing"
        msg = f"{' '.join(map(str, argv[-8:]))!r} ended with {process.returncode}: {last}"
        raise BenchmarkError(msg[:500])
    largest_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Ended(wall_s, largest_kb / 1024, started, output)


def the_run(run_dir: Path) -> Path:
    """Give the only run in a directory of runs."""
    (only,) = run_dir.iterdir()
    return only
