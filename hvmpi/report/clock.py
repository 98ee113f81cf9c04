"""The time of a run, over all its launches, and what happened in it, by bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "Clock", "Floats", "Launch", "counted", "in_bins", "shares", "spread"]

BINS = 600
"""Of time, in a picture of all ranks."""

_LEAST_PAUSE = 0.02
"""Of the time in all: shorter pauses between launches are left as they are."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Launch:
    """From one start of the run to its end, or to the last that is known of it; Unix seconds.

    ``command`` took the run up again, and what ran before got the ``reason``; the first has none.
    """

    began: float
    ended: float
    command: str = ""
    reason: str = ""


class Clock:
    """Time at work: pauses between launches are cut short.

    Parameters
    ----------
    launches : sequence of Launch

    Attributes
    ----------
    launches : tuple of Launch
    total_s : float
        From the first start to the last end, the pauses as short as they are shown.
    worked_s : float
        The same without pauses.
    """

    def __init__(self, launches: list[Launch]) -> None:
        self.launches = tuple(launches)
        lasted = np.array([max(one.ended - one.began, 0.0) for one in launches])
        # A run that ended at once is shown, too.
        self.worked_s = max(float(lasted.sum()), 1e-3)
        began = np.array([one.began for one in launches])
        pauses = np.maximum(began[1:] - (began + lasted)[:-1], 0.0)
        shown = np.minimum(pauses, _LEAST_PAUSE * self.worked_s)
        self.has_cut = bool((shown < pauses).any())
        steps = np.zeros(2 * len(launches) - 1)
        steps[::2], steps[1::2] = lasted, shown
        self._shown = np.concatenate([[0.0], np.cumsum(steps)])
        self._real = np.column_stack([began, began + lasted]).ravel()
        self.total_s = max(float(self._shown[-1]), 1e-3)

    def at(self, times: npt.NDArray[Any] | float) -> Floats:
        """Give when something was, in seconds from the first start."""
        return np.asarray(np.interp(times, self._real, self._shown), dtype=np.float64)

    @property
    def restarts_s(self) -> list[float]:
        """When the run was taken up again, in seconds from the first start."""
        return [float(self.at(one.began)) for one in self.launches[1:]]


def in_bins(clock: Clock, first: npt.NDArray[Any], last: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Give from where to where in units of bins."""
    scale = BINS / clock.total_s
    return (
        np.clip(clock.at(first) * scale, 0.0, BINS),
        np.clip(clock.at(last) * scale, 0.0, BINS),
    )


def counted(clock: Clock, times: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Count moments by their bins."""
    at = (clock.at(times) * (BINS / clock.total_s)).astype(np.int64)
    return np.bincount(np.clip(at, 0, BINS - 1), minlength=BINS)


def spread(
    grid: Floats,
    lines: npt.NDArray[np.integer[Any]],
    first: Floats,
    last: Floats,
    weights: npt.NDArray[Any],
) -> None:
    """Add intervals to lines of bins, as what `shares` sums up.

    What begins within a bin has a part of that one and all of those behind it; what ends takes the
    same away.
    """
    width = grid.shape[1]
    for at, sign in ((first, 1.0), (last, -1.0)):
        bins = at.astype(np.int64)
        behind = at - bins
        flat = lines * width + bins
        for shift, part in ((0, 1.0 - behind), (1, behind)):
            grid += np.bincount(flat + shift, sign * weights * part, minlength=grid.size).reshape(
                grid.shape
            )


def shares(grid: Floats) -> Floats:
    """Sum up what `spread` added: of each bin the weights of intervals by their part of it."""
    return np.cumsum(grid, axis=1)[:, :BINS]
