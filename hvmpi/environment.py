"""The environment of payloads: what they get of ours, and what is the same for all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["child_environment", "inherited_environment"]

_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "LD_LIBRARY_PATH")

# A child that itself sees a launcher's variables takes itself for a rank and hangs; threads of
# numerical libraries would fight with the other ranks of the host.
_FIXED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


def inherited_environment() -> dict[str, str]:
    """Give what a payload gets of our environment: an allow-list, nothing of MPI or Slurm."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith("LC_")
    }


def child_environment(
    tmp: Path, added: Mapping[str, str], inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Build a payload's environment.

    Parameters
    ----------
    tmp : Path
        The attempt's working directory, its ``TMPDIR``.
    added : mapping
        What the step asks for.
    inherited : mapping, optional
        As `inherited_environment` gave it before.
    """
    of_ours = inherited_environment() if inherited is None else inherited
    return {**of_ours, **_FIXED, "TMPDIR": str(tmp), **added}
