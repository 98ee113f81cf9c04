"""Azimuths and distances in eta and phi."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["distances", "wrapped"]


def wrapped(phi: NDArray[Any]) -> NDArray[np.float64]:
    """Return azimuths, or their differences, brought to -pi to pi."""
    return np.asarray(phi - 2.0 * math.pi * np.round(phi / (2.0 * math.pi)))


def distances(
    eta: NDArray[Any], phi: NDArray[Any], other_eta: NDArray[Any], other_phi: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the distance dR = hypot(d eta, d phi) of each direction from each other one.

    Parameters
    ----------
    eta, phi : ndarray of float, shape (n,)
    other_eta, other_phi : ndarray of float, shape (m,)

    Returns
    -------
    ndarray of float64, shape (n, m)
    """
    d_eta, d_phi = np.subtract.outer(eta, other_eta), np.subtract.outer(phi, other_phi)
    return np.asarray(np.hypot(d_eta, wrapped(d_phi)))
