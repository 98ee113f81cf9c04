"""The solenoid's field, and how it bends tracks. Needs nothing of ACTS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["C_MM_PER_NS", "FIELD_T", "bending_radius", "perigee"]

FIELD_T = 2.0
"""The solenoid's field along z, tesla; homogeneous (ATLAS: JINST 3 (2008) S08003)."""

C_MM_PER_NS = 299.792458
"""The speed of light."""

Floats = NDArray[np.float64]


def bending_radius(pt: NDArray[Any], charge: NDArray[Any]) -> Floats:
    """Return the radii of tracks in the field, mm, from pT (GeV) and charge (e)."""
    # p = 0.2998 q B R, in GeV, tesla, metres.
    return np.asarray(pt / (C_MM_PER_NS * 1e-6 * FIELD_T * np.abs(charge)), dtype=np.float64)


def perigee(
    position: tuple[Floats, Floats, Floats],
    momentum: tuple[Floats, Floats, Floats],
    charge: Floats,
) -> tuple[Floats, Floats]:
    """Follow helices to the point closest to the z axis.

    Parameters
    ----------
    position : tuple of ndarray, shape (n,)
        x, y and z, mm.
    momentum : tuple of ndarray, shape (n,)
        Its components there, GeV; none along z.
    charge : ndarray, shape (n,)
        In units of e, none 0.

    Returns
    -------
    d0, z0 : ndarray, shape (n,)
        mm, with the signs of ACTS: d0 is positive where the axis is to the left of the track,
        seen along it.
    """
    x, y, z = position
    px, py, pz = momentum
    pt = np.hypot(px, py)
    # Of a clockwise turn, as positive particles make it, the centre is to the right.
    signed = np.sign(charge) * bending_radius(pt, charge)
    centre_x, centre_y = x + signed * py / pt, y - signed * px / pt
    distance = np.hypot(centre_x, centre_y)
    d0 = np.sign(signed) * (np.abs(signed) - distance)
    # How far it turns between the two points: the angle between them, seen from the centre.
    ahead = np.arctan2(y - centre_y, x - centre_x)
    nearest = np.arctan2(-centre_y, -centre_x)
    turn = np.remainder(nearest - ahead + np.pi, 2.0 * np.pi) - np.pi
    return d0, z - signed * turn * pz / pt
