"""A study of the validation: its goals, tables and pictures, how they look and where they go.

Every script makes one `Study`. It prints the tables, writes pictures and a JSON file of the numbers
to one directory, from which `page.py` fills the tables of ``docs/validation.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
from rich.console import Console
from rich.table import Table

import hvmpi
from hvmpi.files import write_whole

FIGURES = Path(__file__).parent / "figures"
LABEL = "Simulation (open chain)"
COLOURS = ("#3f90da", "#bd1f01", "#94a4a2", "#832db6", "#ffa90e", "#a96b59")
"""Told apart by the colour-blind, too (M. A. Petroff, arXiv:2107.02270)."""

Cell = float | int | str | bool | dict[str, float] | None
"""A number, a text, yes or no, a number with an error or an interval, or nothing."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: heading with unit, and how numbers are written."""

    heading: str
    format: str = ""


def with_error(value: float, error: float) -> Cell:
    """Return a number with its error."""
    return {"value": float(value), "error": float(error)}


def within(value: float, interval: tuple[float, float]) -> Cell:
    """Return a number with its interval."""
    return {"value": float(value), "low": float(interval[0]), "high": float(interval[1])}


def text_of(cell: Cell, form: str = "") -> str:
    """Return a cell as people read it."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, dict):
        value = format(cell["value"], form)
        if "error" in cell:
            return f"{value} ± {cell['error']:{form.removeprefix('+')}}"
        return f"{value} ({cell['low']:{form}} - {cell['high']:{form}})"
    return cell if isinstance(cell, str) else format(cell, form)


@dataclass
class Study:
    """Goals, tables and pictures of one script.

    Attributes
    ----------
    name : str
        Of the script, its JSON file, and the beginning of its pictures' names.
    output : Path
        Directory of what is written.
    pdf : bool
        Whether pictures are written as PDF, too.
    made : dict
        What the numbers were made of.
    """

    name: str
    output: Path
    pdf: bool
    made: dict[str, Any] = field(default_factory=dict)
    goals: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        self.made = {"hvmpi_version": hvmpi.__version__} | self.made
        mpl.use("Agg")
        mpl.style.use(mplhep.style.ROOT)
        mpl.rcParams.update(
            {
                "axes.prop_cycle": mpl.cycler(color=COLOURS),
                "figure.figsize": (8.0, 6.0),
                "figure.constrained_layout.use": True,
                "font.size": 16.0,
                "legend.fontsize": 14.0,
                "lines.markersize": 6.0,
                "savefig.bbox": None,
            }
        )

    def goal(
        self, what: str, asked: str, measured: Cell, reached: bool | None, form: str = ""
    ) -> None:
        """Set a measured value beside what was asked for; None: too few entries to say."""
        self.goals.append(
            {
                "what": what,
                "asked": asked,
                "measured": measured,
                "text": text_of(measured, form),
                "reached": None if reached is None else bool(reached),
            }
        )

    def table(self, name: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Add a table."""
        self.tables[name] = {
            "columns": [column.heading for column in columns],
            "text": [
                [text_of(cell, column.format) for cell, column in zip(row, columns, strict=True)]
                for row in rows
            ],
            "rows": [list(row) for row in rows],
        }

    def picture(self, name: str, figure: Any) -> None:
        """Write a picture, ``STUDY_NAME.png``."""
        for kind in ("png", "pdf") if self.pdf else ("png",):
            # Neither time nor version: the same numbers give the same picture.
            metadata = {"Software": None} if kind == "png" else {"CreationDate": None}
            with write_whole(self.output / f"{self.name}_{name}.{kind}") as beside:
                figure.savefig(beside, format=kind, dpi=80, metadata=metadata)
        mpl.pyplot.close(figure)

    def finish(self) -> None:
        """Print the tables, and write the numbers."""
        # Neither a file nor a pipe has a width.
        console = Console(width=None if sys.stdout.isatty() else 150)
        for name, table in self.tables.items():
            _print(console, name, table["columns"], table["text"])
        rows = [[goal["what"], goal["asked"], goal["text"], answer(goal)] for goal in self.goals]
        _print(console, "goals", ["figure", "asked", "measured", "reached"], rows)
        numbers = {"study": self.name, "made": self.made, "goals": self.goals}
        text = json.dumps(rounded(numbers | {"tables": self.tables}), indent=1) + "\n"
        with write_whole(self.output / f"{self.name}.json") as beside:
            beside.write_text(text, encoding="utf-8")


def answer(goal: Mapping[str, Any]) -> str:
    """Return whether a goal is reached, as people read it."""
    return "too few" if goal["reached"] is None else text_of(goal["reached"])


def _print(console: Console, title: str, columns: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title.replace("_", " "), title_justify="left")
    for heading in columns:
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def rounded(value: Any) -> Any:
    """Return numbers with six figures."""
    # More than six figures would be noise.
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def axes(
    horizontal: str, vertical: str, *, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Any, Any]:
    """Return a figure and its axes, labelled; with several, an array of them."""
    import matplotlib.pyplot as plt

    figure, made = plt.subplots(rows, columns, squeeze=False, **options)
    for panel in made[-1]:
        panel.set_xlabel(horizontal)
    for panel in made[:, 0]:
        panel.set_ylabel(vertical)
    made[0, 0].set_title(LABEL, loc="left", style="italic", fontsize=15.0)
    return figure, made if rows * columns > 1 else made[0, 0]


def plain_log(axis: Any, ticks: Sequence[float]) -> None:
    """Make an axis logarithmic, with some plain numbers at it."""
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every study."""
    made = argparse.ArgumentParser(description=(about or "").splitlines()[0], allow_abbrev=False)
    made.add_argument("--output", type=Path, default=FIGURES, help="directory of what is written")
    made.add_argument("--pdf", action="store_true", help="write pictures as PDF, too")
    return made
