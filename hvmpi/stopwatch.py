"""Where the time of a step goes: seconds by parts that a physicist knows.

Code says what its time is spent on, ``with spent_on(Part.ACTS): ...``. That costs nothing worth
naming unless a `Stopwatch` is running, which it is in a step that was told ``--profile``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ContextDecorator, contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Part", "Stopwatch", "parts_of", "spent_on"]

Each = TypeVar("Each")

_ROUNDED_S = 0.01
"""By which rounded parts may sum up to more than the whole."""


class Part(IntEnum):
    """What the time of a step is spent on; files and tables have the names, in lower case."""

    WHOLE = 0
    """All of it, of a step that does not say more."""
    START = 1
    """Until the step began: process, interpreter and imports; of a warm one the fork, and of a
    server's first what that loads."""
    LOAD = 2
    """Libraries, geometry, the minimum-bias library, Pythia's initialisation."""
    READ = 3
    """Event files and products read; events as arrays."""
    PYTHIA = 4
    ACTS = 5
    CONVERT = 6
    """Events brought into ACTS's containers and taken out of them."""
    CALORIMETER = 7
    """Showers."""
    PILE_UP = 8
    """Minimum-bias interactions chosen and laid over events."""
    READOUT = 9
    """Digitization of the calorimeters' cells and of the tracker's noise."""
    CLUSTERS = 10
    JETS = 11
    """FastJet, and what is made of its jets."""
    OBJECTS = 12
    """Vertices, leptons, missing momentum."""
    VARIABLES = 13
    """Of training files."""
    WRITE = 14
    OTHER = 15


class Stopwatch:
    """Seconds by parts: those of a part within another are not the other's.

    Parameters
    ----------
    clock : callable
        Gives seconds.

    Attributes
    ----------
    began : float
        By the clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._under_way = [Part.OTHER]
        self._seconds = dict.fromkeys(Part, 0.0)
        self.began = self._since = clock()

    def begin(self, part: Part) -> None:
        """Let what follows be spent on a part."""
        self._take()
        self._under_way.append(part)

    def end(self) -> None:
        """Let what follows be spent on what was under way before the last `begin`."""
        self._take()
        self._under_way.pop()

    def seconds(self) -> dict[Part, float]:
        """Give the seconds so far, of the parts that have any."""
        self._take()
        return {part: spent for part, spent in self._seconds.items() if spent}

    def _take(self) -> None:
        now = self._clock()
        self._seconds[self._under_way[-1]] += now - self._since
        self._since = now

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let `spent_on` count here, in this process."""
        global _running
        before, _running = _running, self
        try:
            yield
        finally:
            _running = before

    def report(self) -> dict[str, Any]:
        """Give what `parts_of` reads, as plain values."""
        seconds = {part.name.lower(): spent for part, spent in self.seconds().items()}
        return {"began": self.began, "parts": seconds}


_running: Stopwatch | None = None


class spent_on(ContextDecorator):  # noqa: N801 - it is read as a sentence
    """What its time is spent on, of a block (``with``) or of a function (``@``).

    Parameters
    ----------
    part : Part
    """

    def __init__(self, part: Part) -> None:
        self._part = part

    def __enter__(self) -> None:
        if _running is not None:
            _running.begin(self._part)

    def __exit__(self, *_: object) -> None:
        if _running is not None:
            _running.end()

    def each(self, values: Iterable[Each]) -> Iterator[Each]:
        """Give values whose making is the part; what is done with them is not."""
        made = iter(values)
        nothing = object()
        while True:
            with self:
                value = next(made, nothing)
            if value is nothing:
                return
            yield value  # type: ignore[misc]


def parts_of(report: Path | None, began: float, wall_s: float) -> dict[str, float]:
    """Give the parts of a step's wall time, which they sum up to.

    Parameters
    ----------
    report : Path or None
        What the step said of itself.
    began : float
        When its payload was asked for, by the monotonic clock of this host.
    wall_s : float
        From there to its end.

    Returns
    -------
    dict of str to float
        Seconds by the parts' names; all of them are ``whole`` where the step said nothing.
    """
    parts = _said(report, began)
    if not sum(parts.values()) <= wall_s + _ROUNDED_S:
        # It does not speak of this time.
        parts = {}
    left = round(wall_s - sum(parts.values()), 4)
    rest = (Part.OTHER if parts else Part.WHOLE).name.lower()
    return parts | ({rest: left} if left > 0 else {})


def _said(report: Path | None, began: float) -> dict[str, float]:
    """Give the parts that a step named, but for what is left of its time."""
    try:
        told = json.loads(report.read_text())["profile"] if report is not None else None
        if told is None:
            return {}
        seconds = {Part[name.upper()]: float(spent) for name, spent in told["parts"].items()}
        seconds[Part.START] = float(told["began"]) - began
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    if not all(0.0 <= spent < math.inf for spent in seconds.values()):
        return {}
    rounded = {part: round(seconds[part], 4) for part in sorted(seconds) if part != Part.OTHER}
    return {part.name.lower(): spent for part, spent in rounded.items() if spent > 0}
