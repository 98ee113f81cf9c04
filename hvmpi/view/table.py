"""Well-aligned tables: coloured in a terminal, the same letters in a pipe and a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

from hvmpi.view.text import cells, fitted, printable, terminal, width

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["Table", "print_table", "table_of"]

_GAP, _NARROW_GAP = 2, 1
_MOST_COLOURED = 1000
"""Rows that are coloured: rich takes a hundred times as long for one."""


@dataclass(frozen=True)
class Table:
    """Rows under column names, in columns whose widths are known.

    Attributes
    ----------
    rows : list of list of list of str
        The lines of the cells; the first row is that of the names.
    widths : list of int
    right : list of bool
        Which columns are aligned to the right.
    gap : int
        Blanks between two columns.
    colours : dict of str to str
        Of cells with one of these words, in a terminal that has colours.
    """

    rows: list[list[list[str]]]
    widths: list[int]
    right: list[bool]
    gap: int
    colours: Mapping[str, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """The columns of the terminal that it takes."""
        return sum(self.widths) + self.gap * (len(self.widths) - 1)

    def lines(self) -> Iterable[str]:
        """Give the lines."""
        for row in self.rows:
            for parts in zip_longest(*row, fillvalue=""):
                padded = [
                    _padded(part, columns, to_the_right=is_right)
                    for part, columns, is_right in zip(parts, self.widths, self.right, strict=True)
                ]
                yield (" " * self.gap).join(padded).rstrip()

    def coloured(self) -> RichTable:
        """Make a table of rich, with the same letters at the same places."""
        from rich.table import Column
        from rich.table import Table as RichTable
        from rich.text import Text

        heads, *rows = self.rows
        columns = [
            Column(
                # Text, as names of others may look like rich's markup.
                Text("\n".join(head)),
                justify="right" if is_right else "left",
                width=columns,
                no_wrap=True,
            )
            for head, columns, is_right in zip(heads, self.widths, self.right, strict=True)
        ]
        table = RichTable(
            *columns, box=None, padding=(0, self.gap, 0, 0), pad_edge=False, header_style="bold"
        )
        for row in rows:
            texts = ["\n".join(cell) for cell in row]
            table.add_row(*(Text(text, style=self.colours.get(text, "")) for text in texts))
        return table

    def show(self) -> None:
        """Print it."""
        found = terminal() if len(self.rows) <= _MOST_COLOURED else None
        if found is None or not found.colour:
            for line in self.lines():
                print(line)
            return
        from rich.console import Console

        console = Console(
            force_terminal=True, color_system="standard", width=max(self.width, width())
        )
        console.print(self.coloured())


def table_of(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Iterable[str] = (),
    *,
    shrink: Mapping[str, int] | None = None,
    spare: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
) -> Table:
    """Lay out a table; what cannot be printed stands as its code.

    Parameters
    ----------
    columns : sequence of str
    rows : iterable of sequence of str
    right : iterable of str
        The columns that are aligned to the right: numbers.
    shrink : mapping of str to int, optional
        Columns that are cut, in this order and as far as down to so many signs, where the
        terminal is too narrow. Others are never cut: a part of a path cannot be copied.
    spare : sequence of str
        Columns that are left out where that does not do, in this order.
    colours : mapping of str to str, optional
        Of cells with one of these words, in a terminal that has colours.
    """
    texts = [
        [printable(text).expandtabs().splitlines() or [""] for text in row]
        for row in (columns, *rows)
    ]
    natural = {
        name: max(cells(line) for row in texts for line in row[place])
        for place, name in enumerate(columns)
    }
    widths, gap = natural, _GAP
    if shrink or spare:
        widths, gap = _narrowed(natural, shrink or {}, spare)
    kept = [(place, widths[name]) for place, name in enumerate(columns) if name in widths]
    to_the_right = set(right)
    return Table(
        rows=[
            [[fitted(line, wide) for line in row[place]] for place, wide in kept] for row in texts
        ],
        widths=list(widths.values()),
        right=[name in to_the_right for name in widths],
        gap=gap,
        colours=dict(colours or {}),
    )


def _narrowed(
    natural: Mapping[str, int], shrink: Mapping[str, int], spare: Sequence[str]
) -> tuple[dict[str, int], int]:
    """Give widths with which a table fits the terminal, and the gap between its columns."""

    def excess(widths: Mapping[str, int], gap: int) -> int:
        return sum(widths.values()) + gap * (len(widths) - 1) - width()

    widths = dict(natural)
    if excess(widths, _GAP) <= 0:
        return widths, _GAP
    least = {name: min(shrink.get(name, wide), wide) for name, wide in natural.items()}
    for name in spare:
        if excess(least, _NARROW_GAP) <= 0:
            break
        del widths[name], least[name]
    for name in shrink:
        if name in widths:
            too_wide = max(excess(widths, _NARROW_GAP), 0)
            widths[name] = max(widths[name] - too_wide, least[name])
    return widths, _NARROW_GAP


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Iterable[str] = (),
) -> None:
    """Print rows under column names as `table_of` lays them out, nothing cut."""
    table_of(columns, rows, right).show()


def _padded(line: str, columns: int, *, to_the_right: bool) -> str:
    blank = " " * (columns - cells(line))
    return blank + line if to_the_right else line + blank
