"""``doctor``: check this machine for what a campaign needs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from hvmpi.engine import make_engine
from hvmpi.hosts import usable_cores
from hvmpi.settings import Settings, load
from hvmpi.versions import mpi_library
from hvmpi.view.table import print_table

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns 1 if something is missing."""
    checks = list(_checks(load("doctor", argv)))
    print_table(
        ("CHECK", "RESULT", "FOUND"),
        [(name, "ok" if good else "FAULT", found) for name, good, found in checks],
    )
    return 0 if all(good for _, good, _ in checks) else 1


def _checks(settings: Settings) -> Iterator[tuple[str, bool, str]]:
    yield "python", (3, 11) <= sys.version_info < (3, 14), sys.version.split()[0]
    library = mpi_library()
    yield "MPI library", not library.startswith("not found"), library
    mpirun = shutil.which("mpirun") or shutil.which("mpirun", path=str(Path(sys.executable).parent))
    yield "mpirun", mpirun is not None, mpirun or "not found; one rank works without it"
    engine = make_engine(settings)
    missing = engine.preflight()
    versions = ", ".join(f"{name} {version}" for name, version in engine.versions().items())
    yield f"engine {engine.name}", not missing, "; ".join(missing) or versions or "nothing needed"
    yield _room("run-dir", Path(settings.run_dir))
    yield _room("tmp-dir", Path(settings.tmp_dir or settings.run_dir))
    cores = usable_cores()
    yield "cores", cores >= 1, f"{cores} usable"
    gigabytes = psutil.virtual_memory().available / 1e9
    yield "memory", gigabytes > 0.5 * cores, f"{gigabytes:.1f} GB free"


def _room(name: str, directory: Path) -> tuple[str, bool, str]:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return name, False, f"{there} cannot be written"
    free = shutil.disk_usage(there).free / 1e9
    return name, free > 1.0, f"{directory}, {free:.0f} GB free"
