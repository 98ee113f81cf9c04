"""What a benchmark measures and how it is told: figures with goal and spread, plots, tables.

A benchmark is a module with a ``TITLE``, one line, and ``measure(Measurement) -> Measured``; its
name and its time limit stand in `benchmarks.suite.BENCHMARKS`.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "Bars",
    "BenchmarkError",
    "Curve",
    "Figure",
    "Goal",
    "Measured",
    "Measurement",
    "Plot",
    "Table",
    "at_least",
    "at_most",
    "measured_from",
    "number",
    "paired",
    "skipped",
]


Size = TypeVar("Size")


class BenchmarkError(Exception):
    """A benchmark could not be carried out; its row says why."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """How a benchmark is to measure.

    Attributes
    ----------
    scratch : Path
        An empty directory of its own.
    shared : Path
        A directory that all benchmarks of this call share: what one made, another may use.
    quick : bool
        Few and small, to see that all works.
    peers : Path or None
        Python of the environment that holds the peers.
    """

    scratch: Path
    shared: Path
    quick: bool = False
    peers: Path | None = None

    @property
    def pairs(self) -> int:
        """How often what is compared runs in turns."""
        return self.size(5, 2)

    def size(self, full: Size, quick: Size) -> Size:
        """Choose by whether it shall be quick."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be: at most or at least so much."""

    bound: float
    least: bool = False

    def reached(self, value: float) -> bool:
        """Say whether a value is good enough."""
        return value >= self.bound if self.least else value <= self.bound


def at_most(bound: float) -> Goal:
    """Make the goal of what should be small."""
    return Goal(bound)


def at_least(bound: float) -> Goal:
    """Make the goal of what should be large."""
    return Goal(bound, least=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    Attributes
    ----------
    what, against : str
        What is measured; what it is compared with, empty where it stands for itself.
    values : tuple of float
        One a pair of interleaved runs, or a repetition. Ratios, unless `unit` says otherwise.
    goal : Goal, optional
        None for a figure that only tells something.
    unit : str
    note : str
        What the figure was made of.
    reason : str
        Why there are no values.
    """

    what: str
    against: str = ""
    values: tuple[float, ...] = ()
    goal: Goal | None = None
    unit: str = ""
    note: str = ""
    reason: str = ""

    @property
    def median(self) -> float:
        """The figure."""
        return statistics.median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none, or nothing was measured."""
        return self.goal.reached(self.median) if self.goal and self.values else None

    @property
    def text(self) -> str:
        """Median, with the least and the most."""
        if not self.values:
            return "-"
        text = number(self.median)
        if len(self.values) > 1:
            text += f" ({number(min(self.values))} to {number(max(self.values))})"
        return f"{text} {self.unit}".rstrip()

    @property
    def goal_text(self) -> str:
        """The goal, as people read it."""
        if self.goal is None:
            return ""
        word = "at least" if self.goal.least else "at most"
        return f"{word} {number(self.goal.bound)} {self.unit}".rstrip()

    @property
    def answer(self) -> str:
        """Whether it is reached, as people read it."""
        if self.reason:
            return self.reason
        return "" if self.reached is None else "yes" if self.reached else "NO"


def skipped(what: str, reason: str, against: str = "", goal: Goal | None = None) -> Figure:
    """Make the row of what could not be measured."""
    return Figure(what, against, goal=goal, reason=reason)


def number(value: float) -> str:
    """Write a number with the digits that mean something."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def paired(
    pairs: int, ours: Callable[[int], float], theirs: Callable[[int], float]
) -> list[tuple[float, float]]:
    """Measure two things in turns, each first every other time; give what both said.

    Parameters
    ----------
    pairs : int
    ours, theirs : callable
        Gets the number of the pair.
    """
    both = []
    for pair in range(pairs):
        if pair % 2:
            second = theirs(pair)
            both.append((ours(pair), second))
        else:
            first = ours(pair)
            both.append((first, theirs(pair)))
    return both


@dataclass(frozen=True, slots=True)
class Curve:
    """Points that belong together."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of curves."""

    name: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """A picture of parts of a whole."""

    name: str
    x_label: str
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Table:
    """A table for the page."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """All that a benchmark gives."""

    figures: tuple[Figure, ...]
    plots: tuple[Plot, ...] = ()
    bars: tuple[Bars, ...] = ()
    tables: tuple[Table, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return dataclasses.asdict(self)


def measured_from(values: dict[str, Any]) -> Measured:
    """Undo `Measured.as_dict`."""
    return Measured(
        figures=tuple(_figure(one) for one in values["figures"]),
        plots=tuple(
            Plot(**{**one, "curves": tuple(_curve(curve) for curve in one["curves"])})
            for one in values["plots"]
        ),
        bars=tuple(Bars(**one) for one in values["bars"]),
        tables=tuple(
            Table(one["name"], tuple(one["columns"]), tuple(map(tuple, one["rows"])))
            for one in values["tables"]
        ),
    )


def _figure(values: dict[str, Any]) -> Figure:
    goal = values["goal"]
    numbers: Sequence[float] = values["values"]
    return Figure(**{**values, "values": tuple(numbers), "goal": Goal(**goal) if goal else None})


def _curve(values: dict[str, Any]) -> Curve:
    return Curve(values["name"], tuple(values["x"]), tuple(values["y"]))
