"""Whether this process is one rank of many, and which."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

from hvmpi.errors import SetupError

__all__ = ["launched_rank", "launched_ranks", "leave", "leave_some_behind", "survives", "world"]

_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MPI_RANKID")
_SLURM_RANK = "SLURM_PROCID"
_SLURM_SIZE = "SLURM_STEP_NUM_TASKS"
"""Of what srun starts, whether MPI knows of it or not; a batch script has the first one too."""
_ULFM = "OMPI_MCA_mpi_ft_enable"
_SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")
_CURES = {
    "mpirun": "start with the mpirun of that MPI, or set MPI4PY_LIBMPI",
    "srun": "start with srun --mpi=pmix, set MPI4PY_LIBMPI to an MPI that `srun --mpi=list` knows, "
    "or start with run_chain.sh, which takes mpirun: docs/clusters.md",
}
_START_S = 300.0
"""How long MPI may take to start: it waits for every rank, for ever where one died before."""


def launched_rank() -> int | None:
    """Give the rank that mpirun or srun gave to this process; None where none did."""
    for name in _RANK_VARIABLES:
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    # Tasks that srun started without an MPI: each would be the master of a run of its own.
    return int(os.environ.get(_SLURM_RANK, "0")) if _slurm_tasks() > 1 else None


def launched_ranks() -> int:
    """Count the ranks that mpirun or srun started together with this process."""
    if _launcher() == "srun":
        return _slurm_tasks()
    return max(int(os.environ.get(name, "") or 1) for name in _SIZE_VARIABLES)


def _slurm_tasks() -> int:
    """Count the tasks of the step that srun started this process in; 1 outside of one."""
    return int(os.environ.get(_SLURM_SIZE, "") or 1)


def world() -> Any | None:
    """Start MPI where a launcher asks for it; give its communicator if it has several ranks.

    Raises
    ------
    SetupError
        If a launcher started this process but MPI does not start, or does not see the launcher.
    """
    rank = launched_rank()
    if rank is None:
        return None
    # No handler: MPI_Init holds the interpreter, and only the kernel can end this rank meanwhile.
    signal.setitimer(signal.ITIMER_REAL, _START_S)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        msg = f"{_launcher()} started this rank, but mpi4py finds no MPI library ({error})"
        raise SetupError(msg) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    comm = MPI.COMM_WORLD
    asked = launched_ranks()
    if comm.Get_size() == 1 and asked > 1:
        if rank != 0:
            # The first one speaks; a code of another would have it killed before.
            leave(0)
        library = MPI.Get_library_version().split(",")[0].strip()
        msg = (
            f"{_launcher()} started {asked} ranks, but mpi4py uses another MPI ({library}) and "
            f"sees one; {_CURES[_launcher()]}"
        )
        raise SetupError(msg)
    return comm if comm.Get_size() > 1 else None


def _launcher() -> str:
    """Say what started this rank; what srun starts in the place of mpirun has no ``OMPI_``."""
    by_mpirun = "OMPI_COMM_WORLD_SIZE" in os.environ or "HYDI_CONTROL_FD" in os.environ
    return "srun" if _slurm_tasks() > 1 and not by_mpirun else "mpirun"


def survives() -> bool:
    """Say whether ranks go on when one dies: Open MPI started with ``--with-ft ulfm``."""
    return os.environ.get(_ULFM, "").lower() in ("1", "true")


def leave(code: int) -> NoReturn:
    """End this rank at once: after a rank died, or while one may, ``MPI_Finalize`` hangs."""
    _flush()
    os._exit(code)


def leave_some_behind(code: int) -> NoReturn:
    """End this rank, and those that hang: mpirun would wait for them for ever."""
    from mpi4py import MPI

    _flush()
    MPI.COMM_WORLD.Abort(code)
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
