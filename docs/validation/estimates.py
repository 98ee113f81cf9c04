"""Estimates from few numbers: bootstrap samples, binomial shares, half points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import erf

from hvmpi.report.estimates import effective, interval

Floats = NDArray[np.float64]

STEP_SAMPLES = 60


def resampled(
    values: Floats, random: np.random.Generator, weights: Floats | None = None, number: int = 200
) -> tuple[Floats, Floats | None]:
    """Return bootstrap samples of values and of their weights, shape (number, n)."""
    rows = random.integers(0, len(values), (number, len(values)))
    return values[rows], None if weights is None else weights[rows]


def share(
    passed: NDArray[np.bool_], weights: Floats | None = None, level: float = 0.6827
) -> tuple[float, tuple[float, float]]:
    """Return the share that passes, and its interval; NaN and 0 to 1 of nothing."""
    if len(passed) == 0:
        return math.nan, (0.0, 1.0)
    weight = np.ones(len(passed)) if weights is None else weights
    number, found = effective(weight), float(weight[passed].sum() / weight.sum())
    return found, interval(found * number, number, level)


def step(
    place: Floats, passed: NDArray[np.bool_], plateau: float, start: tuple[float, float]
) -> dict[str, float]:
    """Fit an error function to what passes, by maximum likelihood without bins.

    Parameters
    ----------
    place : ndarray, shape (n,)
    passed : ndarray of bool, shape (n,)
    plateau : float
        Height of the step.
    start : tuple of float
        First guess of the half point, and of the width: above 0 where the step rises, below where
        it falls.

    Returns
    -------
    dict
        ``half``, ``width`` and, from the bootstrap, their ``half_error``, ``width_error``.
    """
    found = _step(place, passed, plateau, start)
    random = np.random.Generator(np.random.Philox(1))
    samples = []
    for _ in range(STEP_SAMPLES):
        rows = random.integers(0, len(place), len(place))
        samples.append(_step(place[rows], passed[rows], plateau, start))
    errors = np.std(samples, axis=0)
    return {
        "half": found[0],
        "width": found[1],
        "half_error": float(errors[0]),
        "width_error": float(errors[1]),
    }


def _step(
    place: Floats, passed: NDArray[np.bool_], plateau: float, start: tuple[float, float]
) -> tuple[float, float]:
    sign = math.copysign(1.0, start[1])

    def cost(parameters: Any) -> float:
        half, log_width = parameters
        turn = sign * (place - half) / (math.sqrt(2.0) * math.exp(log_width))
        chance = np.clip(0.5 * plateau * (1.0 + erf(turn)), 1e-4, 1.0 - 1e-4)
        return -float(np.log(np.where(passed, chance, 1.0 - chance)).sum())

    # Without bounds the width of a sharp step would go on shrinking for ever.
    found = minimize(
        cost,
        [start[0], math.log(abs(start[1]))],
        method="Nelder-Mead",
        bounds=[(place.min(), place.max()), (math.log(1e-3), math.log(10.0))],
        options={"xatol": 1e-4, "fatol": 1e-3},
    )
    return float(found.x[0]), math.exp(found.x[1])
