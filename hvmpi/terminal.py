"""The terminal that a person watches a campaign in, which is not where rank 0 writes to.

Open MPI gives the standard output of rank 0 a terminal of its own, 0 columns wide, whatever its own
is; MPICH gives it a pipe. So the launcher is asked: the bytes come out of it as they went in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hvmpi.ranks import launched_rank

__all__ = ["TERMINAL", "Terminal", "find_terminal"]

TERMINAL = "HVMPI_TERMINAL"
"""Variable in which ``run_chain.sh`` tells ranks on other machines of its terminal."""

_OWN_OUTPUT = "/proc/self/fd/1"
_LAUNCHERS = frozenset({"mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun"})
_UNFIT = frozenset({"", "dumb", "unknown"})
"""Values of ``TERM`` of what cannot move its cursor."""
_COLUMNS = 80


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a person looks at.

    Attributes
    ----------
    columns : int
        Its width when it was found.
    colour, utf8 : bool
        Whether it is to get these.
    device : str
        The file that tells its width; empty where it is on another machine.
    """

    columns: int = _COLUMNS
    colour: bool = True
    utf8: bool = True
    device: str = ""

    @classmethod
    def at(cls, device: str, environ: Mapping[str, str]) -> Self | None:
        """Look whether a file is a terminal that can move its cursor."""
        if environ.get("TERM", "") in _UNFIT:
            return None
        columns = _columns(device)
        if columns is None:
            return None
        return cls(columns, not environ.get("NO_COLOR"), _is_utf8(environ), device)

    @classmethod
    def of_words(cls, words: str) -> Self | None:
        """Read what `words` wrote."""
        columns, *can = words.split() or [""]
        if not (columns.isascii() and columns.isdigit() and int(columns)):
            return None
        return cls(int(columns), "colour" in can, "utf8" in can)

    @property
    def words(self) -> str:
        """What is told to other machines."""
        can = ["colour"] * self.colour + ["utf8"] * self.utf8
        return " ".join([str(self.columns), *can])

    def width(self) -> int:
        """Give the columns that it has now."""
        return (_columns(self.device) if self.device else None) or self.columns


def find_terminal(environ: Mapping[str, str], *, insist: bool = False) -> Terminal | None:
    """Find the terminal that this process's standard output ends in; None where it does not.

    Parameters
    ----------
    environ : mapping of str to str
    insist : bool
        Take one for granted where only the launcher, on another machine, could tell.
    """
    if launched_rank() is None:
        return Terminal.at(_OWN_OUTPUT, environ) if sys.stdout.isatty() else None
    # What a look at a run has no use for.
    import psutil

    names = ((process.name(), process.pid) for process in psutil.Process().parents())
    launcher = next((pid for name, pid in names if name in _LAUNCHERS), None)
    if launcher is not None:
        return Terminal.at(f"/proc/{launcher}/fd/1", environ)
    told = Terminal.of_words(environ.get(TERMINAL, ""))
    if told is None and insist and sys.stdout.isatty():
        return Terminal.at(_OWN_OUTPUT, {**environ, "TERM": environ.get("TERM") or "xterm"})
    return told


def _columns(device: str) -> int | None:
    """Give the width of a terminal; None if the file is none."""
    try:
        file = os.open(device, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.get_terminal_size(file).columns or _COLUMNS
    except OSError:
        return None
    finally:
        os.close(file)


def _is_utf8(environ: Mapping[str, str]) -> bool:
    # Python itself takes C for UTF-8, and says so in LC_CTYPE; a locale that is not set says
    # nothing of the terminal.
    named = [environ.get(name, "") for name in ("LC_ALL", "LANG")]
    if {"C", "POSIX"} & set(named):
        return False
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
