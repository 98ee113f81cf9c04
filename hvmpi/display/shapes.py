"""What a view consists of: lines, areas, marks and words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Label", "Shape", "apart"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A line, an area or a mark.

    Attributes
    ----------
    style : str
        Key of `hvmpi.display.styles.STYLES`.
    row : int
        Of the object among those of its style.
    points : ndarray, shape (n, 2)
        mm; one point is a mark.
    closed : bool
        Whether it is an area.
    opacity : float
        In units of the style's.
    """

    style: str
    row: int
    points: NDArray[np.float64]
    closed: bool = False
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Label:
    """A few words; `at` is their middle, mm."""

    style: str
    text: str
    at: tuple[float, float]


_WIDE_MM, _HIGH_MM = 170.0, 420.0
"""Room for a character, and for a line."""


def apart(labels: Iterable[Label], limits: tuple[float, float]) -> list[Label]:
    """Move labels until they lie within a view, and away from those before them, up or down."""
    placed: list[Label] = []
    for label in labels:
        half = 0.5 * _WIDE_MM * len(label.text)
        x, y = label.at
        x = max(half - limits[0], min(limits[0] - half, x))
        step = -_HIGH_MM if y > 0.0 else _HIGH_MM
        while any(
            abs(y - other.at[1]) < 0.9 * _HIGH_MM
            and abs(x - other.at[0]) < half + 0.5 * _WIDE_MM * len(other.text)
            for other in placed
        ):
            y += step
        placed.append(replace(label, at=(x, y)))
    return placed
