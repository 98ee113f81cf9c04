"""Estimates from numbers with weights: means, widths of cores, shares; each with its error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["core", "core_error", "effective", "half_width", "interval", "mean"]

Floats = NDArray[np.float64]

_CORE = 2.5
"""Half the core, in its standard deviations."""

_ROUNDS = 12
_DENSITY = math.exp(-0.5 * _CORE**2) / math.sqrt(2.0 * math.pi)
_INSIDE = math.erf(_CORE / math.sqrt(2.0))
# A normal distribution that is cut there is narrower.
_CUT = math.sqrt(1.0 - 2.0 * _CORE * _DENSITY / _INSIDE)
# A core that is found wider by 1 % takes in more, and its square is larger by so many percent.
_FEEDBACK = 2.0 * _CORE * _DENSITY * (_CORE**2 - _CUT**2) / (_INSIDE * _CUT**2)


def effective(weights: NDArray[Any]) -> float:
    """Return the number of entries of equal weight that are worth as much."""
    squares = float((weights**2).sum())
    return float(weights.sum() ** 2 / squares) if squares > 0.0 else 0.0


def mean(values: Floats, weights: Floats) -> tuple[float, float]:
    """Return the weighted mean and its error, from the sum of squared weights."""
    middle = float(np.average(values, weights=weights))
    return middle, float(np.sqrt(((weights * (values - middle)) ** 2).sum()) / weights.sum())


def core(values: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the Gaussian core.

    Iterated: of what lies within 2.5 standard deviations of the mean, both anew, the width
    corrected for the cut.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        Of several samples, each for itself.
    weights : ndarray, shape (..., n), optional

    Returns
    -------
    mean, width : ndarray, shape (...)
    """
    weight = np.ones_like(values) if weights is None else weights
    middle = np.median(values, axis=-1)
    low, high = np.quantile(values, [0.16, 0.84], axis=-1)
    width = (high - low) / 2.0
    for _ in range(_ROUNDS):
        inside = np.abs(values - middle[..., None]) <= _CORE * width[..., None]
        chosen = weight * inside
        total = chosen.sum(axis=-1)
        middle = (chosen * values).sum(axis=-1) / total
        square = (chosen * (values - middle[..., None]) ** 2).sum(axis=-1) / total
        width = np.sqrt(square) / _CUT
    return middle, width


def core_error(values: Floats, middle: float, width: float) -> float:
    """Return the statistical error of a core's width.

    The error of the second moment inside of the cut, from the fourth, is carried through the
    iteration: a wider core takes in more, which makes it wider. Of a normal distribution it comes
    to 1.23 width / sqrt(2 n).

    Parameters
    ----------
    values : ndarray, shape (n,)
    middle, width : float
        From `core`.
    """
    inside = np.abs(values - middle) <= _CORE * width
    squares = (values[inside] - middle) ** 2
    if len(squares) < 2 or not squares.mean() > 0.0:
        return math.nan
    relative = float(squares.std(ddof=1) / squares.mean()) / math.sqrt(len(squares))
    return 0.5 * width * relative / (1.0 - 0.5 * _FEEDBACK)


def half_width(values: Floats) -> tuple[float, float]:
    """Return half of what holds the central 68 %, and its error; of a Gaussian, sigma.

    The error is that of the two quantiles (Kendall and Stuart, The Advanced Theory of Statistics,
    vol. 1, 10.10), with the density around them from the numbers themselves.

    Parameters
    ----------
    values : ndarray, shape (n,)
        10 or more.
    """
    share = 0.5 * (1.0 - math.erf(1.0 / math.sqrt(2.0)))
    spread = math.sqrt(share * (1.0 - share) / len(values))
    at = np.array([share, 1.0 - share])
    low, high = np.quantile(values, at)
    left, right = (np.quantile(values, np.clip(at + way, 0.0, 1.0)) for way in (-spread, spread))
    errors = 0.5 * (right - left)
    covariance = errors[0] * errors[1] * share / (1.0 - share)
    variance = 0.25 * (errors[0] ** 2 + errors[1] ** 2 - 2.0 * covariance)
    return float(high - low) / 2.0, math.sqrt(max(float(variance), 0.0))


def interval(passed: float, total: float, level: float = 0.6827) -> tuple[float, float]:
    """Return the central interval of a binomial share (Clopper and Pearson, Biometrika 26 (1934)).

    For weights give effective numbers; they need not be whole.
    """
    from scipy.special import betaincinv

    tail = (1.0 - level) / 2.0
    failed = total - passed
    low = betaincinv(passed, failed + 1.0, tail) if passed > 0.0 else 0.0
    high = betaincinv(passed + 1.0, failed, 1.0 - tail) if failed > 0.0 else 1.0
    return float(low), float(high)
