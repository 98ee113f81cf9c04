"""Flight: particles from where they are born to the calorimeters, and straight through them.

In the bore of the solenoid charged particles run on helices; beyond it everything flies straight.
A ray through the calorimeters is cut at the faces of all volumes, so that its way through each is
exact. What is born in a calorimeter, flies inwards or leaves again is nothing special.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.field import bending_radius
from hvmpi.openchain.layers import BEHIND, OUTER_R_MM, OUTER_Z_MM, map_of_volumes

__all__ = ["Rays", "Segments", "cut", "fly", "running_sums"]

Floats = NDArray[np.float64]

BORE_R_MM, BORE_Z_MM = 1150.0, 3200.0
"""The field's region: radius of the solenoid's bore, and where the end-caps begin."""

_FAR_MM = 1e8


@dataclass(frozen=True, slots=True)
class Rays:
    """Straight lines, one a particle.

    Attributes
    ----------
    start, direction : ndarray, shape (n, 3)
        mm; unit vectors.
    length : ndarray, shape (n,)
        Up to where the ray leaves the calorimeters; 0 where it misses them. mm.
    flown : ndarray, shape (n,)
        Way of the particle from its birth to `start`, mm.
    """

    start: Floats
    direction: Floats
    length: Floats
    flown: Floats


@dataclass(frozen=True, slots=True)
class Segments:
    """Pieces of rays, each within one volume, in the order of the particles and of their flight.

    Attributes
    ----------
    particle, layer : ndarray of int64, shape (n,)
        Layers are rows of `LAYERS`, or `DEAD`.
    along, length : ndarray of float64, shape (n,)
        Where it begins on the ray, and how long it is, mm.
    x0, lambdas : ndarray of float64, shape (n,)
        Depth from the ray's beginning to that of the segment.
    d_x0, d_lambdas : ndarray of float64, shape (n,)
        Depth of the segment.
    """

    particle: NDArray[np.int64]
    layer: NDArray[np.int64]
    along: Floats
    length: Floats
    x0: Floats
    lambdas: Floats
    d_x0: Floats
    d_lambdas: Floats


def fly(particles: Table) -> Rays:
    """Bring particles to where they leave the solenoid's field.

    Parameters
    ----------
    particles : Table
        ``charge``, ``px``, ``py``, ``pz`` (GeV), ``x``, ``y``, ``z`` (mm); momenta above 0.
    """
    position = np.stack([particles[axis] for axis in ("x", "y", "z")], axis=1).astype(np.float64)
    momentum = np.stack([particles[axis] for axis in ("px", "py", "pz")], axis=1)
    momentum = momentum.astype(np.float64)
    size = np.sqrt(np.einsum("ij,ij->i", momentum, momentum))
    direction = momentum / size[:, None]
    flown = np.zeros(len(size))
    inside = (np.hypot(position[:, 0], position[:, 1]) < BORE_R_MM) & (
        np.abs(position[:, 2]) < BORE_Z_MM
    )
    bent = inside & (particles["charge"] != 0.0) & (np.hypot(*momentum[:, :2].T) > 0.0)
    rows = np.flatnonzero(inside & ~bent)
    flown[rows] = _way_out(position[rows], direction[rows], BORE_R_MM, BORE_Z_MM)
    position[rows] += direction[rows] * flown[rows, None]
    rows = np.flatnonzero(bent)
    position[rows], direction[rows], flown[rows] = _helix(
        position[rows], direction[rows], size[rows], particles["charge"][rows].astype(np.float64)
    )
    within = (np.hypot(position[:, 0], position[:, 1]) < OUTER_R_MM) & (
        np.abs(position[:, 2]) < OUTER_Z_MM
    )
    # What circles for good in the bore.
    within &= flown < _FAR_MM
    length = np.where(within, _way_out(position, direction, OUTER_R_MM, OUTER_Z_MM), 0.0)
    return Rays(position, direction, length, flown)


def _way_out(position: Floats, direction: Floats, radius: float, half_length: float) -> Floats:
    """Return the way from inside of a cylinder straight to its surface."""
    return np.minimum(
        _to_radii(position, direction, np.array([radius]))[1][:, 0],
        _to_planes(position, direction, np.array([half_length]))[:, 0],
    )


def _to_radii(position: Floats, direction: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """Return the way to where a line enters and leaves each cylinder; far where it does not."""
    a = np.maximum(direction[:, 0] ** 2 + direction[:, 1] ** 2, 1e-18)[:, None]
    b = np.einsum("ij,ij->i", position[:, :2], direction[:, :2])[:, None]
    c = (position[:, 0] ** 2 + position[:, 1] ** 2)[:, None] - radii**2
    under = b * b - a * c
    root = np.sqrt(np.maximum(under, 0.0))
    misses = under < 0.0
    return (
        np.where(misses, _FAR_MM, (-b - root) / a),
        np.where(misses, _FAR_MM, (-b + root) / a),
    )


def _to_planes(position: Floats, direction: Floats, planes: Floats) -> Floats:
    """Return the way to planes at z, on the side to which the line flies."""
    along = np.where(direction[:, 2] < 0.0, -1.0, 1.0) * np.maximum(np.abs(direction[:, 2]), 1e-12)
    sign = np.sign(along)
    return np.asarray((sign[:, None] * planes - position[:, 2:]) / along[:, None])


def _helix(
    position: Floats, direction: Floats, momentum: Floats, charge: Floats
) -> tuple[Floats, Floats, Floats]:
    """Follow a helix around z to the end of the field; position, direction there, and the way."""
    transverse = np.hypot(direction[:, 0], direction[:, 1])
    sign = np.sign(charge)
    radius = bending_radius(momentum * transverse, charge)
    azimuth = np.arctan2(direction[:, 1], direction[:, 0])
    centre = position[:, :2] + (sign * radius)[:, None] * np.stack(
        [np.sin(azimuth), -np.cos(azimuth)], axis=1
    )
    distance = np.maximum(np.hypot(centre[:, 0], centre[:, 1]), 1e-9)
    # A positive particle turns clockwise; seen from the centre it is a right angle ahead.
    cosine = (BORE_R_MM**2 - distance**2 - radius**2) / (2.0 * distance * radius)
    reaches = np.abs(cosine) < 1.0
    opening = np.arccos(np.clip(cosine, -1.0, 1.0))
    seen = azimuth + sign * math.pi / 2.0 - np.arctan2(centre[:, 1], centre[:, 0])
    turns = [np.mod(sign * (seen - side * opening), 2.0 * math.pi) for side in (1.0, -1.0)]
    turn = np.where(reaches, np.minimum(*turns), np.inf)
    along = _to_planes(position, direction, np.array([BORE_Z_MM]))[:, 0]
    way = np.minimum(turn * radius / transverse, along)
    turned = azimuth - sign * way * transverse / radius
    out = np.empty_like(position)
    out[:, 0] = centre[:, 0] - sign * radius * np.sin(turned)
    out[:, 1] = centre[:, 1] + sign * radius * np.cos(turned)
    out[:, 2] = position[:, 2] + way * direction[:, 2]
    heading = np.stack(
        [transverse * np.cos(turned), transverse * np.sin(turned), direction[:, 2]], axis=1
    )
    return out, heading, way


def cut(rays: Rays) -> Segments:
    """Cut rays at the faces of the volumes; what is in none is left out."""
    volumes = map_of_volumes()
    edges = _crossings(rays, volumes.r_mm[1:-1], volumes.z_mm[1:-1])
    length = np.diff(edges, axis=1)
    row, column = np.nonzero(length > 1e-6)
    length, along = length[row, column], edges[row, column]
    middle = rays.start[row] + rays.direction[row] * (along + 0.5 * length)[:, None]
    at = (
        np.searchsorted(volumes.r_mm, np.hypot(middle[:, 0], middle[:, 1]), side="right") - 1,
        np.searchsorted(volumes.z_mm, np.abs(middle[:, 2]), side="right") - 1,
    )
    layer = volumes.layer[at]
    d_x0, d_lambdas = volumes.x0[at] * length, volumes.lambdas[at] * length
    x0, lambdas = (
        np.maximum(running_sums(depth, row, len(rays.length)) - depth, 0.0)
        for depth in (d_x0, d_lambdas)
    )
    columns: tuple[NDArray[Any], ...] = (row, layer, along, length, x0, lambdas, d_x0, d_lambdas)
    kept = layer != BEHIND
    return Segments(*(values[kept] for values in columns))


def _crossings(rays: Rays, radii: Floats, planes: Floats) -> Floats:
    """Return where each ray crosses a face, ascending, from 0 to its length."""
    start, direction = rays.start, rays.direction
    entering, leaving = _to_radii(start, direction, radii)
    ahead = _to_planes(start, direction, planes)
    parts = [np.zeros((len(rays.length), 1)), leaving, ahead, rays.length[:, None]]
    # Few fly inwards; only they meet a face from outside.
    inwards = np.einsum("ij,ij->i", start[:, :2], direction[:, :2]) < 0.0
    inwards |= (start[:, 2] * direction[:, 2] < 0.0) & (np.abs(start[:, 2]) > planes.min())
    rows = np.flatnonzero(inwards)
    if len(rows):
        more = np.zeros((len(rays.length), len(radii) + len(planes)))
        more[rows, : len(radii)] = entering[rows]
        more[rows, len(radii) :] = _to_planes(start[rows], direction[rows], -planes)
        parts.append(more)
    edges = np.concatenate(parts, axis=1)
    np.clip(edges, 0.0, rays.length[:, None], out=edges)
    edges.sort(axis=1)
    return edges


def running_sums(values: Floats, owner: NDArray[np.int64], owners: int) -> Floats:
    """Return the sum, for each entry, of its owner's entries up to and with it.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Not negative.
    owner : ndarray of int64, shape (n,)
        Ascending, from 0 to `owners` - 1.
    owners : int
    """
    total = np.cumsum(values)
    starts = np.searchsorted(owner, np.arange(owners))
    before = np.concatenate([[0.0], total])[starts][owner]
    # Rounding may take a sum a hair below zero.
    sums: Floats = np.maximum(total - before, 0.0)
    return sums
