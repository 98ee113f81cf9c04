"""Efficiencies of a discriminant, with their intervals. Needs scikit-learn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hvmpi.report.estimates import interval

__all__ = ["CONFIDENCE", "Discriminant", "Efficiency", "auc_error", "binomial"]

Floats = NDArray[np.float64]

CONFIDENCE = 0.683
"""Of all intervals: one standard deviation of a Gaussian."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """A share of jets that pass, with its binomial interval.

    Attributes
    ----------
    value, low, high : float
    passed, total : int
    """

    value: float
    low: float
    high: float
    passed: int
    total: int


def binomial(passed: int, total: int) -> Efficiency:
    """Return an efficiency with its interval of Clopper and Pearson, Biometrika 26 (1934) 404.

    Examples
    --------
    >>> round(binomial(0, 10).high, 3)
    0.168
    """
    low, high = interval(passed, total, CONFIDENCE)
    return Efficiency(passed / total, low, high, passed, total)


def auc_error(auc: float, signal: int, background: int) -> float:
    """Return the standard error of an area under a ROC curve.

    Hanley and McNeil, Radiology 143 (1982) 29; jets of one event are taken as independent.

    Parameters
    ----------
    auc : float
    signal, background : int
        Numbers of jets.
    """
    pair_of_signal = auc / (2.0 - auc)
    pair_of_background = 2.0 * auc**2 / (1.0 + auc)
    variance = (
        auc * (1.0 - auc)
        + (signal - 1) * (pair_of_signal - auc**2)
        + (background - 1) * (pair_of_background - auc**2)
    ) / (signal * background)
    return math.sqrt(max(variance, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Discriminant:
    """Values of something that is larger for signal.

    Attributes
    ----------
    name : str
    signal, background : ndarray of float64
        Of the jets of either kind.
    background_weights : ndarray of float64
        Cross-sections of the jets of background, pb; NaN: not known.
    """

    name: str
    signal: Floats
    background: Floats
    background_weights: Floats

    @property
    def weighted(self) -> bool:
        """Whether the cross-section of every jet of background is known."""
        return bool(np.isfinite(self.background_weights).all())

    def auc(self, *, weighted: bool = False) -> float:
        """Return the area under the ROC curve, every jet counted once or by its cross-section."""
        from sklearn.metrics import roc_auc_score

        values = np.concatenate([self.signal, self.background])
        truth = np.repeat([1, 0], [len(self.signal), len(self.background)])
        weights = np.ones(len(values))
        if weighted:
            weights[len(self.signal) :] = self.background_weights
        return float(roc_auc_score(truth, values, sample_weight=weights))

    def curve(self) -> tuple[Floats, Floats, Floats]:
        """Return the ROC curve: efficiencies of signal and of background, and the thresholds."""
        from sklearn.metrics import roc_curve

        values = np.concatenate([self.signal, self.background])
        truth = np.repeat([1, 0], [len(self.signal), len(self.background)])
        background, signal, thresholds = roc_curve(truth, values, drop_intermediate=True)
        return signal, background, thresholds

    def threshold(self, efficiency: float) -> float:
        """Return the highest value that at least this share of the signal reaches."""
        count = max(math.ceil(efficiency * len(self.signal) - 1e-9), 1)
        return float(np.sort(self.signal)[::-1][count - 1])

    def background_efficiency(self, threshold: float) -> Efficiency:
        """Return the share of background that reaches a value."""
        return binomial(int((self.background >= threshold).sum()), len(self.background))

    def signal_efficiency(self, threshold: float) -> Efficiency:
        """Return the share of signal that reaches a value."""
        return binomial(int((self.signal >= threshold).sum()), len(self.signal))

    def weighted_background(self, threshold: float) -> tuple[float, float]:
        """Return the share of the background's cross-section, and its statistical error."""
        weights = self.background_weights
        passed = self.background >= threshold
        share = weights[passed].sum() / weights.sum()
        # Of sums of weights that pass and that do not, each with the root of its sum of squares.
        squares = (1.0 - share) ** 2 * (weights[passed] ** 2).sum()
        squares += share**2 * (weights[~passed] ** 2).sum()
        return float(share), float(math.sqrt(squares) / weights.sum())
