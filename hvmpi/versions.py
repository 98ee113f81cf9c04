"""The versions of hvmpi, of MPI, and of everything that makes events."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from hvmpi import __version__

__all__ = ["all_versions", "library_versions", "mpi_library"]

OPEN_CHAIN = ("pythia8mc", "awkward", "pyhepmc", "pyacts")
_CORE = ("mpi4py", "numpy", "h5py", "ConfigArgParse", "psutil", "rich")


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Give the versions of installed packages; ``not installed`` for the others."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def mpi_library() -> str:
    """Name the MPI library that mpi4py uses, without starting it."""
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        mpi4py.rc.finalize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        return f"not found ({str(error).strip().splitlines()[0]})"
    return MPI.Get_library_version().partition("\n")[0].partition(",")[0].strip("\0 ")


def all_versions() -> dict[str, str]:
    """Give all versions, hvmpi's first."""
    return {
        "hvmpi": __version__,
        "Python": platform.python_version(),
        "MPI": mpi_library(),
        **library_versions(_CORE),
        **library_versions(OPEN_CHAIN),
    }
