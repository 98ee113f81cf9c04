"""Ways through the detector, as the open chain's particles fly: points to draw lines through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.flight import Helices, Rays, cut, fly
from hvmpi.openchain.schemas import LAYERS

__all__ = ["along_layers", "curved", "directions", "straight"]

Floats = NDArray[np.float64]

_POINTS = 24
"""Of a track. They lie closer where it begins."""

_STUB_MM = 1000.0
"""Drawn of what is born outside of the detector."""

_NEAR_MM = 10.0
"""What a track may pass its particle's origin at; one that misses it by more has lost its way."""


def directions(eta: Floats, phi: Floats) -> Floats:
    """Return unit vectors, shape (n, 3)."""
    across = 1.0 / np.cosh(eta)
    return np.stack([across * np.cos(phi), across * np.sin(phi), np.tanh(eta)], axis=1)


def _rays(start: Floats, direction: Floats) -> Rays:
    still = np.zeros(len(start))
    return fly(
        {"charge": still}
        | dict(zip(("x", "y", "z"), start.T, strict=True))
        | dict(zip(("px", "py", "pz"), direction.T, strict=True))
    )


def straight(start: Floats, direction: Floats) -> Floats:
    """Return the ends of straight lines, where they leave the detector.

    Parameters
    ----------
    start, direction : ndarray, shape (n, 3)
        mm; of any length. What starts outside gets a short line.

    Returns
    -------
    ndarray, shape (n, 3)
        mm.
    """
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    rays = _rays(start, unit)
    way = rays.flown + rays.length
    return np.asarray(start + unit * np.where(way > 0.0, way, _STUB_MM)[:, None])


def along_layers(eta: Floats, phi: Floats) -> tuple[Floats, Floats]:
    """Return where rays from the origin enter and leave each layer of the calorimeters.

    Parameters
    ----------
    eta, phi : ndarray, shape (n,)

    Returns
    -------
    (ndarray, ndarray), each of shape (n, len(LAYERS))
        Ways along the ray, mm; NaN for layers that it misses.
    """
    rays = _rays(np.zeros((len(eta), 3)), directions(eta, phi))
    segments = cut(rays)
    begin = rays.flown[segments.particle] + segments.along
    end = begin + segments.length
    # Pieces that follow each other in a layer are one; of barrel and end-cap the longer counts.
    apart = np.ones(len(begin), dtype=bool)
    apart[1:] = (
        (np.diff(segments.particle) != 0)
        | (np.diff(segments.layer) != 0)
        | (begin[1:] - end[:-1] > 1.0)
    )
    first = np.flatnonzero(apart)
    last = np.append(first[1:], len(apart))[: len(first)] - 1
    order = np.argsort(end[last] - begin[first], kind="stable")
    first, last = first[order], last[order]
    first, last = (rows[segments.layer[first] < len(LAYERS)] for rows in (first, last))
    at = segments.particle[first], segments.layer[first]
    near, far = np.full((2, len(eta), len(LAYERS)), np.nan)
    near[at], far[at] = begin[first], end[last]
    return near, far


def curved(perigee: Floats, charge: Floats, born: Floats) -> Floats:
    """Return the ways of charged particles in the solenoid's field, to its end.

    Parameters
    ----------
    perigee : ndarray, shape (n, 5)
        d0, z0 (mm), phi, theta (rad), q/p (1/GeV) at the point closest to the z axis.
    charge : ndarray, shape (n,)
        e.
    born : ndarray, shape (n, 2)
        Where they are known to come from, across z, mm; NaN: they are drawn from the point closest
        to the z axis.

    Returns
    -------
    ndarray, shape (n, points, 3)
        mm. What curls up ends after half a turn.
    """
    d0, z0, phi, theta, q_over_p = perigee.T
    start = np.stack([-d0 * np.sin(phi), d0 * np.cos(phi), z0], axis=1)
    momentum = 1.0 / np.abs(q_over_p)
    unit = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1
    )
    rays = fly(
        {"charge": charge}
        | dict(zip(("x", "y", "z"), start.T, strict=True))
        | dict(zip(("px", "py", "pz"), (momentum[:, None] * unit).T, strict=True))
    )
    helices = Helices.of(start, unit, momentum, charge)
    half_turn = np.pi * helices.radius / helices.transverse
    end = np.minimum(rays.flown, half_turn)
    begin = np.minimum(_way_to(helices, born), end)
    steps = np.linspace(0.0, 1.0, _POINTS) ** 2
    return np.stack([helices.at(begin + step * (end - begin))[0] for step in steps], axis=1)


def _way_to(helices: Helices, born: Floats) -> Floats:
    """Return the ways to where a helix is closest to points, negative if these are behind it."""
    seen = born - helices.centre
    # From the centre a particle is seen a right angle aside of where it flies.
    heading = np.arctan2(seen[:, 1], seen[:, 0]) - helices.sign * np.pi / 2.0
    turned = np.mod(helices.sign * (helices.azimuth - heading) + np.pi, 2.0 * np.pi) - np.pi
    missed = np.abs(np.hypot(seen[:, 0], seen[:, 1]) - helices.radius)
    trusted = missed < _NEAR_MM
    return np.where(trusted, turned * helices.radius / helices.transverse, 0.0)
