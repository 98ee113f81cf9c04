"""Text that may hold names and words of others, as it may reach a terminal."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from hvmpi.ranks import launched_rank

if TYPE_CHECKING:
    from hvmpi.terminal import Terminal

__all__ = [
    "cells",
    "clock",
    "fitted",
    "flush",
    "folded",
    "located",
    "paragraph",
    "printable",
    "say",
    "say_all",
    "say_if_heard",
    "tell",
    "terminal",
    "width",
]

_COLUMNS = 80
_FEWEST_COLUMNS = 20
_ELLIPSIS = "\u2026"
_COMBINING = "\u0300"
"""The first sign that may take another number of columns than one."""


def printable(text: str) -> str:
    """Write what would move the cursor, change colours or cannot be encoded as its code.

    Names of files hold any bytes, and so do messages about what stands in them.
    """
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    shown = "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )
    encoding = _encoding()
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def say(text: str, file: TextIO | None = None) -> None:
    """Print what `printable` makes of a text, at once."""
    print(printable(text), file=file or sys.stdout, flush=True)


def flush() -> OSError | None:
    """Write what was printed; give why it cannot be, and let it and all that follows be lost."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def say_if_heard(text: str, file: TextIO | None = None) -> None:
    """Print as `say` does; a campaign goes on where nobody reads, or that disk is full."""
    with contextlib.suppress(OSError):
        say(text, file)


def say_all(lines: Iterable[str]) -> None:
    """Print lines, as `say` does."""
    for line in lines:
        say(line)


def tell(text: str, indent: str = "") -> None:
    """Print what `paragraph` makes of a text."""
    say_all(paragraph(text, indent))


def terminal() -> Terminal | None:
    """Find the terminal that a person sees this output in; None where it is a file or a pipe."""
    if launched_rank() is None and not (sys.stdout and sys.stdout.isatty()):
        return None
    # What a look at a run in a pipe has no use for.
    from hvmpi.terminal import find_terminal

    return find_terminal(os.environ)


def width() -> int:
    """Give the columns that a line may take: 80 where no terminal says otherwise."""
    columns = shutil.get_terminal_size((0, 0)).columns
    if not columns:
        found = terminal()
        columns = found.width() if found else _COLUMNS
    return max(columns, _FEWEST_COLUMNS)


def paragraph(text: str, indent: str = "") -> list[str]:
    """Break a text between words into lines that fit; a path is never broken.

    Parameters
    ----------
    text : str
    indent : str
        What the first line begins with; the others begin two spaces behind it.
    """
    lines: list[str] = []
    line = ""
    # The library's textwrap takes wide signs for narrow ones, that of rich takes its time to load.
    for word in printable(text).split():
        longer = f"{line} {word}" if line else f"{indent}{word}"
        if line and cells(longer) > width():
            lines.append(line)
            longer = f"{indent}  {word}"
        line = longer
    return [*lines, line] if line else []


def located(text: str, path: object, indent: str = "") -> list[str]:
    """Say something of a path, which stands in a line of its own where one line is too short."""
    line = f"{indent}{text} {path}"
    if cells(printable(line)) <= width():
        return [line]
    return [*paragraph(text, indent), f"{indent}  {path}"]


def folded(text: str, indent: str) -> list[str]:
    """Break a line of a log where the terminal ends, blanks kept."""
    room = max(width() - len(indent) - 2, 1)
    first, rest = text[: room + 2], text[room + 2 :]
    others = [f"{indent}  {rest[at : at + room]}" for at in range(0, len(rest), room)]
    return [f"{indent}{first}", *others]


def cells(text: str) -> int:
    """Count the columns that a text takes."""
    # Of Latin letters each takes one; others are known to rich, which takes its time to load.
    if text.isascii() or max(text.replace(_ELLIPSIS, "") or "a") < _COMBINING:
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fitted(text: str, columns: int) -> str:
    """Cut a text that is too long for so many columns, and let that be seen."""
    if cells(text) <= columns:
        return text
    ellipsis = _ELLIPSIS if printable(_ELLIPSIS) == _ELLIPSIS else "..."
    room = max(columns - len(ellipsis), 0)
    if cells(text) == len(text):
        return f"{text[:room]}{ellipsis}"
    from rich.cells import set_cell_size

    return f"{set_cell_size(text, room).rstrip()}{ellipsis}"


def clock(seconds: float, digits: int = 1) -> str:
    """Write a time: ``12.3 s``, from a minute on as squeue does: ``2:05``, ``1-02:03:04``."""
    if round(seconds, digits) < 60:
        return f"{seconds:.{digits}f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if not hours:
        return f"{minute}:{second:02d}"
    day = f"{days}-{hour:02d}" if days else f"{hour}"
    return f"{day}:{minute:02d}:{second:02d}"
