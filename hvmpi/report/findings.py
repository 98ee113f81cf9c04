"""What the report says of the physics: plots, numbers beside what was asked, what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hvmpi.report.plot import Plot

__all__ = ["Figure", "Physics", "joined"]


@dataclass(frozen=True)
class Figure:
    """One measured number beside what was asked for.

    Attributes
    ----------
    quantity : str
        What was measured, with its unit and the sample.
    asked : str
        What it should be, or the reference; empty where nothing was asked.
    measured : str
        With its uncertainty.
    agreement : str
        How well the two agree; empty where nothing was asked.
    """

    quantity: str
    asked: str
    measured: str
    agreement: str


@dataclass(frozen=True)
class Physics:
    """What a report shows of the physics of a run.

    Attributes
    ----------
    plots : tuple of Plot
        In the order to be shown.
    notes : tuple of str
        A sentence each: what is not shown, and why.
    figures : tuple of Figure
        The table of what was asked and what was measured.
    """

    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()


def joined(parts: Iterable[Physics]) -> Physics:
    """Put parts behind each other; what several of them note stands once."""
    every = list(parts)
    return Physics(
        tuple(plot for part in every for plot in part.plots),
        tuple(dict.fromkeys(note for part in every for note in part.notes)),
        tuple(figure for part in every for figure in part.figures),
    )
