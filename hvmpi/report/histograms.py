"""Histograms of the report: fine ones, as the reference has them, and as few bins as they bear."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

import hist
import numpy as np
from numpy.typing import NDArray

from hvmpi.report.estimates import effective

__all__ = ["JETS", "coarseness", "filled", "rebinned", "regular"]

Floats = NDArray[np.float64]

_FACTORS = (1, 2, 5, 10)


def regular(bins: int, low: float, high: float, *, log: bool = False) -> Any:
    """Return an axis of equal bins; on a logarithmic scale if that is asked for."""
    transform = hist.axis.transform.log if log else None
    return hist.axis.Regular(bins, low, high, transform=transform)


JETS: Mapping[str, Any] = {
    "pt": regular(60, 20.0, 2000.0, log=True),
    "eta": regular(50, -2.5, 2.5),
    "emf": regular(50, 0.0, 1.0 + 1e-9),
    "log10_EH_EEM": regular(70, -3.0, 4.0),
}
"""Of jets, by column; pT in GeV."""


def filled(axis: Any, values: NDArray[Any], weights: NDArray[Any]) -> Any:
    """Return a histogram with sums of weights and of their squares."""
    return hist.Hist(axis, storage=hist.storage.Weight()).fill(values, weight=weights)


def coarseness(axis: Sized, *weights: NDArray[Any]) -> int:
    """Return how many bins to join: as many are left as the fewest entries bear.

    In the manner of Rice's rule: 2.5 times the cube root of the number of entries.
    """
    fewest = min((entries for w in weights if (entries := effective(w)) > 0.0), default=0.0)
    bearable = max(2.5 * fewest ** (1.0 / 3.0), 7.0)
    return next((factor for factor in _FACTORS if len(axis) / factor <= bearable), _FACTORS[-1])


def rebinned(values: Floats, factor: int) -> Floats:
    """Join bins; the first and the last are underflow and overflow, and stay.

    Parameters
    ----------
    values : ndarray, shape (n_bins + 2,)
        Sums of weights, or of their squares.
    factor : int
        Divides the number of bins.
    """
    inner = values[1:-1].reshape(-1, factor).sum(axis=1)
    return np.concatenate([values[:1], inner, values[-1:]])
