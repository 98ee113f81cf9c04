"""A bar at the foot of the terminal of who watches a campaign.

The cursor waits in the line below it: mpirun of Open MPI 5 hands on whole lines only, and what it
says itself when it or rank 0 is killed begins in a line of its own.
"""

from __future__ import annotations

import contextlib
import sys
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hvmpi.campaign.pace import Pace, Progress
from hvmpi.terminal import Terminal
from hvmpi.view.progress import Quiet, per_time
from hvmpi.view.text import clock, printable

__all__ = ["Bar"]

_NAME = "hvmpi:"
_REDRAW_S = 0.25
_COST_SHARE = 0.05
"""Of the master's time, what drawing may take: with a million jobs it takes 10 ms."""
_LEAST_BAR = 8
_LEAST_COLUMNS = 60
"""A narrower terminal gets the numbers alone."""


class Bar(Quiet):
    """A bar that is redrawn in place, four times a second at most; what is said stands above it.

    Parameters
    ----------
    pace : Pace
    terminal : Terminal
    """

    def __init__(self, pace: Pace, terminal: Terminal) -> None:
        self._pace = pace
        self._terminal = terminal
        self._said: list[str] = []
        self._next = 0.0
        self._held = ""
        self._drawn: RenderableType = ""
        console = _Console(terminal)
        self._live = Live(
            console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def say(self, line: str) -> None:
        """Keep a line until the bar is drawn, for a quarter of a second as a rule."""
        self._said.append(printable(f"{_NAME} {line}"))

    def due(self) -> bool:
        """Tell whether it is time to draw."""
        return time.monotonic() >= self._next

    def show(self, running: int, held: str) -> None:  # noqa: ARG002 - there is no room for both
        """Draw the bar; of hosts that are too full say so when it becomes known."""
        if held and held != self._held:
            self.say(held.removeprefix("; "))
        self._held = held
        cpu_s = time.thread_time()
        self._draw()
        pause_s = (time.thread_time() - cpu_s) / _COST_SHARE
        self._next = time.monotonic() + max(pause_s, _REDRAW_S)

    def end(self, *, whole: bool) -> None:
        """Draw the bar for the last time, and leave it to what is printed next."""
        if whole:
            self._draw()
        with contextlib.suppress(OSError):
            self._print_said()
            self._live.update(self._drawn)
            self._live.stop()

    def _draw(self) -> None:
        columns = self._live.console.width = self._terminal.width()
        self._drawn = _drawn(self._pace.look(), columns)
        # Where the terminal is gone, the run goes on.
        with contextlib.suppress(OSError):
            self._print_said()
            self._live.update(Group(self._drawn, ""), refresh=True)

    def _print_said(self) -> None:
        if self._said:
            said = Text("\n".join(self._said))
            self._said.clear()
            self._live.console.print(said, soft_wrap=True)


class _Console(Console):
    """A console for a terminal that this process may know by hearsay only."""

    def __init__(self, terminal: Terminal) -> None:
        self._utf8 = terminal.utf8
        super().__init__(
            file=sys.stdout,
            force_terminal=True,
            force_interactive=True,
            color_system="standard" if terminal.colour else None,
            width=terminal.columns,
            # That it can move its cursor is known; TERM may be that of another machine's ssh.
            _environ={"TERM": "xterm"},
        )

    @property
    def encoding(self) -> str:
        """What the bar is drawn with."""
        return "utf-8" if self._utf8 else "ascii"

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
        """Leave the cursor: a rank that is killed could not bring it back."""
        return False


def _drawn(progress: Progress, columns: int) -> RenderableType:
    # A sign in the last column would make some terminals begin a new line.
    room = columns - len(_NAME) - 2
    if columns < _LEAST_COLUMNS:
        return Text(f"{_NAME} ").append_text(_told(progress, room))
    text = _told(progress, room - _LEAST_BAR - 1)
    done, of = progress.events_done, progress.events
    line = Table.grid(padding=(0, 1, 0, 0), expand=True)
    line.add_column()
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    bar = ProgressBar(of, done, complete_style="green", finished_style="green", style="dim")
    line.add_row(_NAME, bar, text)
    return line


def _told(progress: Progress, room: int) -> Text:
    """Tell as much as there is room for: what matters least is left out first."""
    jobs = f"{progress.jobs_done}/{progress.jobs} jobs"
    events = f"{progress.events_done}/{progress.events}"
    left = f"{clock(progress.left_s, 0)} left" if progress.left_s else ""
    told = {
        "events": f"{events} events",
        "jobs": jobs,
        "rate": per_time(progress.events_per_s) if progress.events_per_s else "",
        "left": left if progress.unfinished else f"in {clock(progress.elapsed_s, 0)}",
        "failed": f"{progress.failed} failed" if progress.failed else "",
    }
    for part, shorter in (("jobs", ""), ("rate", ""), ("events", events), ("left", "")):
        if len(_joined(told)) > room:
            told[part] = shorter
    text = Text(_joined(told)[:room], no_wrap=True, overflow="crop")
    text.highlight_regex(r"\d+ failed", "red")
    return text


def _joined(told: dict[str, str]) -> str:
    return "  ".join(filter(None, told.values()))
