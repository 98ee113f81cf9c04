"""Plain, well-aligned tables, the same in a terminal, a pipe and a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

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
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    to_the_right = set(right)
    for column in columns:
        justify = "right" if column in to_the_right else "left"
        table.add_column(column, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*map(printable, row))
    # A path that is cut or wrapped cannot be copied.
    console = Console(
        file=sys.stdout, width=10_000, color_system=None, markup=False, highlight=False, emoji=False
    )
    with console.capture() as text:
        console.print(table)
    print("\n".join(line.rstrip() for line in text.get().rstrip("\n").splitlines()))
