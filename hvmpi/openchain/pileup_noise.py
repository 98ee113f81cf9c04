"""Pile-up noise: how much minimum-bias interactions let a cell's energy fluctuate.

A cell's variance is mu times the mean square of what one interaction leaves in it, times the sum of
the squares of the readout's weights of all crossings (Campbell's theorem). The table is measured
on a library of minimum-bias HITS: ``python -m hvmpi.openchain pileup-noise LIBRARY -o FILE``.
"""

from __future__ import annotations

import csv
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hvmpi.files import write_whole
from hvmpi.openchain.layers import cells
from hvmpi.openchain.schemas import LAYERS

__all__ = ["ETA_BIN", "measure", "pileup_noise", "table_hash", "write"]

_FILE = "pileup_noise.csv"

ETA_BIN = 0.2
"""Width of the table's bins in abs(eta)."""

_BINS = 25


def _text() -> str:
    return resources.files("hvmpi.openchain").joinpath("data", _FILE).read_text("utf-8")


def table_hash() -> str:
    """Return the SHA-256 of the table."""
    return hashlib.sha256(_text().encode()).hexdigest()


@cache
def pileup_noise() -> NDArray[np.float64]:
    """Return the standard deviation of every cell at mu = 1, GeV; it grows as sqrt(mu)."""
    text = _text()
    table = np.zeros((len(LAYERS), _BINS))
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        table[LAYERS.index(row["layer"]), round(float(row["eta_min"]) / ETA_BIN)] = float(
            row["sigma_gev"]
        )
    return np.asarray(table[cells().layer, _bin_of_cells()])


def _bin_of_cells() -> NDArray[np.int64]:
    return np.minimum((np.abs(cells().eta) / ETA_BIN).astype(np.int64), _BINS - 1)


def measure(
    cell: NDArray[np.int64], energy: NDArray[np.float64], events: int, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the table for some minimum-bias events.

    Parameters
    ----------
    cell : ndarray of int64, shape (n,)
    energy : ndarray of float64, shape (n,)
        What each deposit would measure, GeV.
    events : int
    weights : ndarray of float64
        What 1 GeV in each crossing adds to a cell's energy.

    Returns
    -------
    ndarray of float64, shape (n_layers, n_bins)
        Standard deviation at mu = 1, GeV.
    """
    bins = cells().layer * _BINS + _bin_of_cells()
    size = len(LAYERS) * _BINS
    squares = np.bincount(bins[cell], weights=energy**2, minlength=size)
    count = np.bincount(bins, minlength=size)
    mean = squares / np.maximum(count, 1) / events
    return np.asarray(np.sqrt(mean * float(weights @ weights))).reshape(len(LAYERS), _BINS)


def write(table: NDArray[np.float64], path: Path, comment: str) -> None:
    """Write the table as a CSV file, whole or not at all."""
    lines = [f"# {comment}", "layer,eta_min,eta_max,sigma_gev"]
    for layer, row in zip(LAYERS, table, strict=True):
        for number in np.flatnonzero(row).tolist():
            edges = f"{number * ETA_BIN:.1f},{(number + 1) * ETA_BIN:.1f}"
            lines.append(f"{layer},{edges},{row[number]:.6f}")
    with write_whole(path) as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
