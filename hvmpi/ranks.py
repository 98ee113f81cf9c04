"""Whether this process is one rank of many, and which."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

from hvmpi.errors import SetupError

__all__ = ["launched_rank", "leave", "leave_some_behind", "survives", "world"]

_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MPI_RANKID")
_ULFM = "OMPI_MCA_mpi_ft_enable"
_SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")
_START_S = 300.0
"""How long MPI may take to start: it waits for every rank, for ever where one died before."""


def launched_rank() -> int | None:
    """Give the rank that mpirun or srun gave to this process; None where none did."""
    for name in _RANK_VARIABLES:
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return None


def world() -> Any | None:
    """Start MPI where a launcher asks for it; give its communicator if it has several ranks.

    Raises
    ------
    SetupError
        If a launcher started this process but MPI does not start, or does not see the launcher.
    """
    if launched_rank() is None:
        return None
    # No handler: MPI_Init holds the interpreter, and only the kernel can end this rank meanwhile.
    signal.setitimer(signal.ITIMER_REAL, _START_S)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        msg = f"mpirun started this rank, but mpi4py finds no MPI library ({error})"
        raise SetupError(msg) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    comm = MPI.COMM_WORLD
    asked = max((int(os.environ.get(name, "1") or 1) for name in _SIZE_VARIABLES), default=1)
    if comm.Get_size() == 1 and asked > 1:
        msg = (
            f"mpirun started {asked} ranks, but mpi4py uses another MPI "
            f"({MPI.Get_library_version().split(',')[0].strip()}) and sees one; "
            "start with the mpirun of that MPI, or set MPI4PY_LIBMPI"
        )
        raise SetupError(msg)
    return comm if comm.Get_size() > 1 else None


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
