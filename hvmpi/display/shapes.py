"""What a view consists of: lines, areas, marks and words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Label", "Shape"]


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
