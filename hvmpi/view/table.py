"""Plain, well-aligned tables, the same in a terminal, a pipe and a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.cells import cell_len

from hvmpi.view.text import printable

__all__ = ["print_table"]


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()
) -> None:
    """Print rows under column names; what cannot be printed stands as its code.

    Parameters
    ----------
    columns : sequence of str
    rows : iterable of sequence of str
    right : iterable of str
        The columns that are aligned to the right: numbers.
    """
    # Of rich only the widths: its tables take longer to be imported than a status to be read.
    cells = [
        [printable(text).expandtabs().splitlines() for text in row] for row in (columns, *rows)
    ]
    widths = [
        max(cell_len(line) for cell in column for line in cell or [""])
        for column in zip(*cells, strict=True)
    ]
    are_right = [column in set(right) for column in columns]
    for row in cells:
        for lines in zip_longest(*row, fillvalue=""):
            # A path that is cut or wrapped cannot be copied.
            padded = [
                _padded(line, width, to_the_right=is_right)
                for line, width, is_right in zip(lines, widths, are_right, strict=True)
            ]
            print("  ".join(padded).rstrip())


def _padded(line: str, width: int, *, to_the_right: bool) -> str:
    blank = " " * (width - cell_len(line))
    return blank + line if to_the_right else line + blank
