"""The two views of a display, and how what has three dimensions is seen in them."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hvmpi.display.detector import Part, Ring, rings
from hvmpi.openchain.detector import WORLD_R_MM, WORLD_Z_MM
from hvmpi.openchain.layers import OUTER_R_MM, OUTER_Z_MM

__all__ = ["TOWERS_MM", "Projection", "View", "close_limits", "limits", "outlines"]

Floats = NDArray[np.float64]

TOWERS_MM = (80.0, 1000.0)
"""Towers of energy begin so far outside of the calorimeters; the highest is so long."""

_MARGIN_MM = 150.0
_THIN_MM = 12.0
"""Parts that are thinner are lines."""


class View(enum.Enum):
    """A plane to look at."""

    TRANSVERSE = "x-y"
    LONGITUDINAL = "r-z"

    @property
    def axes(self) -> tuple[str, str]:
        """What is across, and what is up."""
        return ("x", "y") if self is View.TRANSVERSE else ("z", "r")


def limits(view: View) -> tuple[float, float]:
    """Return the largest coordinates, across and up, mm; views are symmetric."""
    beyond = sum(TOWERS_MM) + _MARGIN_MM
    across = OUTER_R_MM if view is View.TRANSVERSE else OUTER_Z_MM
    return across + beyond, OUTER_R_MM + beyond


def close_limits(view: View) -> tuple[float, float]:
    """Return the same for the tracker alone."""
    across = WORLD_R_MM if view is View.TRANSVERSE else WORLD_Z_MM
    return across + _MARGIN_MM, WORLD_R_MM + _MARGIN_MM


@dataclass(frozen=True, slots=True)
class Projection:
    """From three dimensions to a view.

    Attributes
    ----------
    view : View
    azimuth : float
        In the longitudinal view, r is positive within 90 degrees of it.
    """

    view: View
    azimuth: float

    def side(self, phi: Floats) -> Floats:
        """Return the sign of r at azimuths."""
        return np.where(np.cos(phi - self.azimuth) >= 0.0, 1.0, -1.0)

    def points(self, points: Floats) -> Floats:
        """Project points, shape (n, 3), each by itself; gives shape (n, 2)."""
        if self.view is View.TRANSVERSE:
            return points[:, :2]
        r = np.hypot(points[:, 0], points[:, 1])
        side = self.side(np.arctan2(points[:, 1], points[:, 0]))
        return np.stack([points[:, 2], side * r], axis=1)

    def pieces(self, path: Floats) -> Iterator[Floats]:
        """Project a line, shape (n, 3); it is cut where r changes its sign."""
        if self.view is View.TRANSVERSE:
            yield path[:, :2]
            return
        ahead = path[:, 0] * math.cos(self.azimuth) + path[:, 1] * math.sin(self.azimuth)
        side = np.where(ahead >= 0.0, 1.0, -1.0)
        cuts = np.flatnonzero(np.diff(side))
        share = (ahead[cuts] / (ahead[cuts] - ahead[cuts + 1]))[:, None]
        crossings = path[cuts] + share * (path[cuts + 1] - path[cuts])
        # A crossing ends one piece and begins the next.
        parts = np.split(
            np.insert(path, np.repeat(cuts + 1, 2), np.repeat(crossings, 2, 0), 0),
            cuts + 2 * np.arange(len(cuts)) + 2,
        )
        for sign, piece in zip(side[[0, *(cuts + 1)]], parts, strict=True):
            yield np.stack([piece[:, 2], sign * np.hypot(piece[:, 0], piece[:, 1])], axis=1)


def outlines(view: View) -> Iterator[tuple[Part | None, Floats, bool]]:
    """Yield the detector: parts (None: rims of areas), points, and whether these are an area."""
    for ring in rings():
        thin = min(ring.r[1] - ring.r[0], ring.z[1] - ring.z[0]) < _THIN_MM
        if view is View.LONGITUDINAL:
            for points in _boxes(ring, thin=thin):
                yield ring.part, points, not thin
                if not thin:
                    yield None, points[[0, 1, 2, 3, 0]], False
        elif ring.is_barrel:
            inside, outside = (radius * _circle() for radius in ring.r)
            if thin:
                yield ring.part, 0.5 * (inside + outside), False
            else:
                yield ring.part, np.concatenate([inside, outside[::-1]]), True
                yield from ((None, rim, False) for rim in (inside, outside))


def _circle() -> Floats:
    angles = np.linspace(0.0, 2.0 * math.pi, 97)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _boxes(ring: Ring, *, thin: bool) -> Iterator[Floats]:
    """Yield its sections above and below the axis, at both sides or through the middle."""
    behind = (-ring.z[1], -ring.z[0])
    for low, high in (ring.r, (-ring.r[1], -ring.r[0])):
        for back, front in [(-ring.z[1], ring.z[1])] if ring.is_barrel else [ring.z, behind]:
            if not thin:
                yield np.array([(back, low), (front, low), (front, high), (back, high)])
            elif high - low < front - back:
                yield np.array([(back, 0.5 * (low + high)), (front, 0.5 * (low + high))])
            else:
                yield np.array([(0.5 * (back + front), low), (0.5 * (back + front), high)])
