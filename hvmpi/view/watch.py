"""A run that is looked at again and again until it is over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hvmpi.campaign.overview import MOST_ROWS, Overview
from hvmpi.campaign.standing import Selection, Standing
from hvmpi.campaign.status import look_at_current
from hvmpi.errors import PlanningError
from hvmpi.terminal import Terminal
from hvmpi.view.status import failure_lines, job_table, more_lines, show_status, total_lines
from hvmpi.view.text import cells, clock, say, terminal

__all__ = ["watch"]

_FEWEST_ROWS = 3
_MOST_GROUPS = 3


def watch(directory: Path, selection: Selection, pause_s: float) -> None:
    """Show a run until it is over, or Ctrl-C: redrawn in place, in a pipe a line a change.

    It is the run's directory that is looked at, so it may be on any host that sees it.

    Parameters
    ----------
    directory : Path
        The run.
    selection : Selection
        The jobs to be shown; in a pipe all are counted.
    pause_s : float
        Seconds between two looks.

    Raises
    ------
    HvmpiError
        If the run cannot be read.
    """
    found = terminal()
    with contextlib.suppress(KeyboardInterrupt):
        if found is None:
            _print_changes(directory, selection, pause_s)
            return
        _redraw(directory, selection, pause_s, found)
        show_status(directory, selection=selection)


def _looks(directory: Path, selection: Selection, pause_s: float, most: int) -> Iterator[Overview]:
    """Look at a run until it is over."""
    look = partial(Overview.of, selection=selection, most=most)
    while True:
        with contextlib.suppress(PlanningError):
            run = look_at_current(directory, look)
            yield run
            if run.attributes["state"] != "running":
                return
        time.sleep(pause_s)


def _print_changes(directory: Path, selection: Selection, pause_s: float) -> None:
    before = None
    for run in _looks(directory, selection, pause_s, 0):
        state = (run.attributes["state"], run.states)
        if state == before:
            continue
        before = state
        say(_line(run))


def _line(run: Overview) -> str:
    when = time.strftime("%H:%M:%S", time.gmtime(run.attributes["updated"]))
    state, speed = run.attributes["state"], run.speed
    counts = [
        f"{run.states[standing]} {standing.name.lower()}"
        for standing in (Standing.RUNNING, Standing.FAILED)
        if run.states[standing]
    ]
    done = f"{run.states[Standing.DONE]} of {run.states.total()} jobs done"
    rate = "" if speed.events_per_hour is None else f"{speed.events_per_hour:.0f} events/h"
    left = "" if speed.left_s is None else f"about {clock(speed.left_s, 0)} left"
    told = "; ".join(filter(None, [", ".join([done, *counts]), rate, left]))
    return f"{when} {told}" if state == "running" else f"{when} {state}: {told}"


def _redraw(directory: Path, selection: Selection, pause_s: float, found: Terminal) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(
        force_terminal=True,
        color_system="standard" if found.colour else None,
        width=found.width(),
    )
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for run in _looks(directory, selection, pause_s, MOST_ROWS):
            console.width = found.width()
            below = ["", *total_lines(run), *failure_lines(run, _MOST_GROUPS)]
            # A path that is longer than a line goes on in the next.
            taken = sum(-(-cells(line) // console.width) or 1 for line in below)
            # The head, the line that says how many more there are, and the one of the cursor.
            shown = run.fewer(max(console.height - taken - 3, _FEWEST_ROWS))
            lines = [*more_lines(shown), *below]
            live.update(
                Group(job_table(shown.shown).coloured(), Text("\n".join(lines))), refresh=True
            )
