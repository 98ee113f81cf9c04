"""How well two measurements agree: chi-squared and Kolmogorov-Smirnov, with their probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Agreement", "of_counts", "of_histograms", "of_points", "with_distribution"]

Floats = NDArray[np.float64]

_LEAST = 5.0
"""Entries that are expected of a bin; bins with fewer are joined with the next."""


@dataclass(frozen=True)
class Agreement:
    """The outcome of a test.

    Attributes
    ----------
    statistic : str
        What was found.
    probability : float
        That a worse one would be found by chance if there were no difference.
    """

    statistic: str
    probability: float

    def __str__(self) -> str:
        value = self.probability
        shown = f"p = {value:.2f}" if value >= 0.01 else f"p = {value:.1e}"
        return f"{self.statistic}, {shown}"


def _chi_squared(chi2: float, ndf: int) -> Agreement | None:
    from scipy.special import chdtrc

    if ndf < 1:
        return None
    return Agreement(f"chi2/ndf = {chi2:.1f}/{ndf}", float(chdtrc(ndf, chi2)))


def of_points(difference: Floats, error: Floats) -> Agreement | None:
    """Compare values, bin by bin, with others; None: there is no bin in both.

    Parameters
    ----------
    difference, error : ndarray, shape (n,)
        NaN or 0 in `error`: does not count.
    """
    there = np.isfinite(difference) & np.isfinite(error) & (error > 0.0)
    chi2 = float(((difference[there] / error[there]) ** 2).sum())
    return _chi_squared(chi2, int(there.sum()))


def of_histograms(
    found: Floats, expected: Floats, statistical: Floats, systematic: Floats
) -> Agreement | None:
    """Compare a histogram with what is expected of it, both of the same sum.

    Pearson's chi-squared: the variance is that of what is expected, so that bins without an entry
    count as they should. Neighbouring bins are joined until at least 5 entries are expected.

    Parameters
    ----------
    found, expected : ndarray, shape (n_bins,)
        Sums of weights, overflow and underflow among them.
    statistical : ndarray, shape (n_bins,)
        Sums of squared weights that are expected.
    systematic : ndarray, shape (n_bins,)
        Variance of what is expected.
    """
    chi2, bins = _pearson(np.stack([found, expected, statistical, systematic], axis=1))
    return _chi_squared(chi2, bins - 1)


def of_counts(
    found: Floats, expected: Floats, statistical: Floats, systematic: Floats
) -> Agreement | None:
    """Compare counts that are rare, bin by bin, with what is expected; as `of_histograms`.

    Their sum is free. Where fewer than 5 are expected in all bins together, the probability is that
    of Poisson's distribution, on the side where the sum lies, doubled.
    """
    from scipy.special import pdtr, pdtrc

    chi2, bins = _pearson(np.stack([found, expected, statistical, systematic], axis=1))
    if bins or not expected.sum() > 0.0:
        return _chi_squared(chi2, bins)
    seen, mean = round(float(found.sum())), float(expected.sum())
    above = float(pdtrc(seen - 1, mean)) if seen else 1.0
    probability = min(2.0 * min(float(pdtr(seen, mean)), above), 1.0)
    return Agreement(f"{seen} where {mean:.1f} are expected", probability)


def _pearson(columns: Floats) -> tuple[float, int]:
    """Return chi-squared, and the number of bins after neighbours were joined."""
    sums, joined = np.zeros(4), []
    for column in columns:
        sums = sums + column
        if sums[1] ** 2 >= _LEAST * sums[2] > 0.0:
            joined.append(sums)
            sums = np.zeros(4)
    if not joined:
        return 0.0, 0
    # What is left over belongs to the last that was enough.
    joined[-1] = joined[-1] + sums
    found, expected, statistical, systematic = np.array(joined).T
    return float(((found - expected) ** 2 / (statistical + systematic)).sum()), len(joined)


def with_distribution(cumulative: NDArray[Any], weights: NDArray[Any]) -> Agreement | None:
    """Compare numbers with the distribution that they should have, by Kolmogorov and Smirnov.

    Parameters
    ----------
    cumulative : ndarray, shape (n,)
        The distribution's cumulative function at each number; uniform from 0 to 1 if all is well.
    weights : ndarray, shape (n,)

    Notes
    -----
    The probability is asymptotic, with the correction of Stephens, J. R. Stat. Soc. B 32 (1970)
    115, which is good from 5 entries on; of weights, so many that they are worth.
    """
    from scipy.special import kolmogorov

    from hvmpi.report.estimates import effective

    entries = effective(weights)
    if entries < _LEAST:
        return None
    order = np.argsort(cumulative)
    sums = np.cumsum(weights[order]) / weights.sum()
    ordered = cumulative[order]
    distance = float(max((sums - ordered).max(), (ordered - np.append(0.0, sums[:-1])).max()))
    root = math.sqrt(entries)
    probability = float(kolmogorov((root + 0.12 + 0.11 / root) * distance))
    return Agreement(f"KS distance {distance:.3f}", probability)
