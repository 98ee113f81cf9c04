"""The progress of a campaign while it runs: a bar for who watches, else lines, or nothing."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Self

from hvmpi.campaign.pace import Pace, Progress
from hvmpi.campaign.run import Run
from hvmpi.terminal import find_terminal
from hvmpi.view.text import clock, say_if_heard

__all__ = ["Lines", "Quiet", "per_time", "show_progress"]

_FIRST_LINE_S, _LONGEST_PAUSE_S = 10.0, 60.0
_PAUSE_SHARE = 0.1


def show_progress(choice: str, run: Run) -> Quiet:
    """Choose how the progress of a run is shown.

    Parameters
    ----------
    choice : str
        The option ``progress``. Where a bar finds no terminal, lines take its place.
    run : Run
    """
    if choice == "none":
        return Quiet()
    pace = Pace(run.ledger, run.order.expected_s)
    if choice != "line":
        terminal = find_terminal(os.environ, insist=choice == "bar")
        if terminal is not None:
            # What logs have no use for.
            from hvmpi.view.bar import Bar

            return Bar(pace, terminal)
    return Lines(pace)


class Quiet:
    """Says what happens, and nothing of how far the run is; in ``with`` while the run goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.end(whole=kind is None)

    def say(self, line: str) -> None:
        """Print a line; where it cannot be printed any more, the run goes on."""
        say_if_heard(f"hvmpi: {line}")

    def due(self) -> bool:
        """Tell whether it is time for `show`; asked in each step of the master."""
        return False

    def show(self, running: int, held: str) -> None:
        """Show how far the run is.

        Parameters
        ----------
        running : int
            Jobs that ranks work on.
        held : str
            Which hosts are too full, as the end of a sentence.
        """

    def end(self, *, whole: bool) -> None:
        """Show the last state; of a run that ends with an error only close what is open."""


class Lines(Quiet):
    """A line after 10 s, and then each time the run has lasted a tenth longer, or a minute.

    Parameters
    ----------
    pace : Pace
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._began = time.monotonic()
        self._next = self._began + _FIRST_LINE_S

    def due(self) -> bool:
        """Tell whether it is time for a line."""
        return time.monotonic() >= self._next

    def show(self, running: int, held: str) -> None:
        """Print a line."""
        now = time.monotonic()
        pause = _PAUSE_SHARE * (now - self._began)
        self._next = now + min(max(pause, _FIRST_LINE_S), _LONGEST_PAUSE_S)
        self.say(_line(self._pace.look(), running) + held)

    def end(self, *, whole: bool) -> None:
        """Print the last line."""
        if whole:
            self.say(_line(self._pace.look(), 0))


def _line(progress: Progress, running: int) -> str:
    parts = [f"{progress.jobs_done} of {progress.jobs} jobs done"]
    if progress.events:
        rate = f" ({per_time(progress.events_per_s)})" if progress.events_per_s else ""
        parts.insert(0, f"{progress.events_done} of {progress.events} events{rate}")
    if running:
        parts.append(f"{running} running")
    parts.append(f"{progress.failed} failed")
    if progress.left_s:
        parts.append(f"{clock(progress.left_s, 0)} left")
    return f"{clock(progress.elapsed_s, 0)}: {', '.join(parts)}"


def per_time(per_s: float) -> str:
    """Write a rate by the second, minute or hour, whichever makes a number above one."""
    for rate, unit in ((per_s, "s"), (60 * per_s, "min"), (3600 * per_s, "h")):
        if rate >= 1 or unit == "h":
            break
    return f"{rate:.0f}/{unit}" if rate >= 100 else f"{rate:.1f}/{unit}"
