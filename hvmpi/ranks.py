"""Whether this process is one rank of many, and which."""

from __future__ import annotations

import os
from typing import Any

from hvmpi.errors import SetupError

__all__ = ["launched_rank", "world"]

_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MPI_RANKID")
_SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")


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
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        msg = f"mpirun started this rank, but mpi4py finds no MPI library ({error})"
        raise SetupError(msg) from error
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
