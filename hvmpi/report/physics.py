"""The physics of a run: its plots, and how what was made agrees with what was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hvmpi.campaign.status import StatusFile
from hvmpi.report.plot import Plot

__all__ = ["Figure", "Physics", "physics_plots"]


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


def physics_plots(status: StatusFile) -> Physics:
    """Look at the events of a run, at most some of its files, and say what there is to be drawn.

    Parameters
    ----------
    status : StatusFile
        Open; of any run, also of one in progress or of another engine.

    Returns
    -------
    Physics
        Files that cannot be read, and what is not in them, are in its notes.
    """
    return Physics(notes=(f"No events of run {status.path.parent.name} were looked at.",))
