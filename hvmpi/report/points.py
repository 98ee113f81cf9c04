"""Curves that are measured bin by bin: efficiency, resolutions, response; with their errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table
from hvmpi.report.estimates import core, core_error, effective, half_width, interval, mean
from hvmpi.report.variables import Quantity

__all__ = ["CURVES", "Binned", "Points", "averaged", "measured"]

Floats = NDArray[np.float64]

_LEAST = 20.0
"""Entries that a bin needs to have a width, and twice as many for a core."""


@dataclass(frozen=True)
class Points:
    """Values in bins.

    Attributes
    ----------
    values : ndarray, shape (n_bins,)
        NaN where there are too few entries.
    errors : ndarray, shape (n_bins, 2)
        Downwards and upwards.
    entries : ndarray, shape (n_bins,)
        Effective ones.
    """

    values: Floats
    errors: Floats
    entries: Floats


_TOLD = 0.8
"""Least share of a bin's entries that are of samples that have a value there."""

Estimate = tuple[float, float, float]
"""Value, and errors downwards and upwards."""


@dataclass(frozen=True)
class Binned:
    """How a curve is measured.

    Attributes
    ----------
    name : str
    quantity : Quantity
        What it is made of.
    x, y : str
        Columns.
    edges : tuple of float
        Of x.
    estimate : callable
        Makes one value of y and weights.
    least : float
        Entries that a bin needs.
    """

    name: str
    quantity: Quantity
    x: str
    y: str
    edges: tuple[float, ...]
    estimate: Callable[[Floats, Floats], Estimate]
    least: float


def _share(passed: Floats, weights: Floats) -> Estimate:
    entries = effective(weights)
    value = float((passed * weights).sum() / weights.sum())
    low, high = interval(value * entries, entries)
    return value, max(value - low, 0.0), max(high - value, 0.0)


def _half_width(values: Floats, _weights: Floats) -> Estimate:
    # Each once: an event's weight says nothing of how well its tracks are measured.
    width, error = half_width(values)
    return width, error, error


def _mean(values: Floats, weights: Floats) -> Estimate:
    value, error = mean(values, weights)
    return value, error, error


def _core(values: Floats, _weights: Floats) -> Estimate:
    middle, width = (float(one) for one in core(values))
    error = core_error(values, middle, width)
    return 100.0 * width / middle, 100.0 * error / middle, 100.0 * error / middle


RADII_MM = (0.0, 5.0, 25.0, 60.0, 110.0, 170.0, 250.0, 350.0)
"""As in ``benchmarks/tracking.py``."""

TRACK_PT_GEV = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
JET_PT_GEV = (25.0, 30.0, 40.0, 60.0, 90.0, 110.0, 160.0, 250.0, 350.0, 500.0)
"""As in ``docs/validation/jets.py``."""

CURVES = (
    Binned("track_efficiency", Quantity.PARTICLES, "radius", "found", RADII_MM, _share, 1.0),
    *(
        Binned(f"track_{y}", Quantity.TRACKS, "pt", y, TRACK_PT_GEV, _half_width, _LEAST)
        for y in ("d0", "z0", "relative_pt")
    ),
    *(
        Binned(f"jet_{name}", Quantity.MATCHED_JETS, "pt", "response", JET_PT_GEV, how, least)
        for name, how, least in (("response", _mean, 10.0), ("resolution", _core, 2.0 * _LEAST))
    ),
)


def measured(curve: Binned, table: Table) -> Points:
    """Measure a curve."""
    values, errors, entries = [], [], []
    for low, high in itertools.pairwise(curve.edges):
        inside = (table[curve.x] >= low) & (table[curve.x] < high)
        weights = table["weight"][inside]
        entries.append(effective(weights))
        value, down, up = (
            curve.estimate(table[curve.y][inside].astype(np.float64), weights)
            if entries[-1] >= curve.least
            else (np.nan, np.nan, np.nan)
        )
        values.append(value)
        errors.append((down, up))
    return Points(np.array(values), np.array(errors), np.array(entries))


def averaged(components: Sequence[Points], shares: Sequence[Floats]) -> Points:
    """Average curves of several samples, by the entries of each in each bin.

    Parameters
    ----------
    components : sequence of Points
    shares : sequence of ndarray, shape (n_bins,)
        Entries of each that the curve to be compared with has.
    """
    # What has no value in a bin has nothing to say there; if it is too much of the whole, nobody has.
    known = np.stack([np.isfinite(points.values) for points in components])
    share = np.stack(shares)
    total, told = share.sum(axis=0), (share * known).sum(axis=0)
    enough = (told > 0.0) & (told >= _TOLD * total)
    part = np.divide(share * known, told, out=np.zeros_like(share), where=enough)
    values = np.stack([np.nan_to_num(points.values) for points in components])
    errors = np.stack([np.nan_to_num(points.errors) for points in components])
    average = (part * values).sum(axis=0)
    error = np.sqrt(((part[..., None] * errors) ** 2).sum(axis=0))
    return Points(
        np.where(enough, average, np.nan),
        np.where(enough[:, None], error, np.nan),
        np.stack([points.entries for points in components]).sum(axis=0),
    )
