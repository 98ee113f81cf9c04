"""Energy of the calorimeters in a view: clusters layer by layer, and towers around them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hvmpi.display.paths import along_layers
from hvmpi.display.scene import EM
from hvmpi.display.shapes import Shape
from hvmpi.display.view import TOWERS_MM, Projection, View
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.flight import BORE_Z_MM
from hvmpi.openchain.layers import OUTER_R_MM, OUTER_Z_MM
from hvmpi.openchain.schemas import LAYERS

__all__ = ["Towers", "gev_of_longest", "layers", "towers"]

Floats = NDArray[np.float64]

_CLUSTER_WIDTH = 0.1
"""In eta and phi, drawn; an AOD does not say how wide clusters are."""

_TOWERS_AROUND = 64
_TOWER_WIDTH = 2.0 * math.pi / _TOWERS_AROUND
"""In phi, and in eta."""

_LEAST_GEV = 0.2
"""Less energy in a layer is not drawn."""

_LEAST_SCALE_GEV = 10.0
"""What the longest tower and the strongest colour stand for, at least: noise is not a jet."""

_FAINTEST = 0.25
"""Opacity of what has nearly no energy; the most has 1."""

_TILES = np.array([layer.startswith("tile") for layer in LAYERS])
_END_CAPS = np.array([layer.startswith(("hec", "fcal")) for layer in LAYERS])


def layers(projection: Projection, clusters: Table) -> Iterator[Shape]:
    """Yield each cluster's energy where it was left, by layer: the more, the fuller the colour.

    The transverse view shows the barrel only.
    """
    energy = np.stack([clusters[f"e_{layer}"] for layer in LAYERS], axis=1).astype(np.float64)
    eta, phi = (clusters[name].astype(np.float64) for name in ("eta", "phi"))
    half = 0.5 * _CLUSTER_WIDTH
    near, _ = along_layers(eta, phi)
    shown = (energy > _LEAST_GEV) & np.isfinite(near)
    if projection.view is View.TRANSVERSE:
        barrel = _TILES | (near * np.abs(np.tanh(eta))[:, None] < BORE_Z_MM)
        shown &= barrel & ~_END_CAPS
    corners = _corners(projection, eta, phi, half)
    largest = max(float(energy.max(initial=0.0)), _LEAST_SCALE_GEV)
    opacity = _FAINTEST + (1.0 - _FAINTEST) * np.sqrt(np.maximum(energy, 0.0) / largest)
    for row, layer in np.argwhere(shown).tolist():
        yield Shape(
            "em" if EM[layer] else "had",
            row,
            corners[row, layer],
            closed=True,
            opacity=float(opacity[row, layer]),
        )


def _corners(projection: Projection, eta: Floats, phi: Floats, half: float) -> Floats:
    """Return the corners of each cluster's areas, shape (n, layers, 4, 2)."""
    near, far = along_layers(eta, phi)
    edges = []
    for step in (-half, half):
        if projection.view is View.TRANSVERSE:
            ways = np.stack([near, far], axis=-1) / np.cosh(eta)[:, None, None]
            unit = np.stack([np.cos(phi + step), np.sin(phi + step)], axis=-1)
        else:
            own = along_layers(eta + step, phi)
            # Where the edge of a cluster misses the layer, it is as long as the middle.
            ways = np.stack(
                [np.where(np.isnan(own[0]), near, own[0]), np.where(np.isnan(own[0]), far, own[1])],
                axis=-1,
            )
            side = projection.side(phi)
            unit = np.stack([np.tanh(eta + step), side / np.cosh(eta + step)], axis=-1)
        edges.append(ways[..., None] * unit[:, None, None])
    low, high = edges
    return np.concatenate([low, high[:, :, ::-1]], axis=2)


@dataclass(frozen=True, slots=True)
class Towers:
    """Transverse energy of clusters, summed in bins of phi, or of eta above and below the axis.

    Attributes
    ----------
    middle : ndarray, shape (n,)
        Of the bins: phi, or eta.
    side : ndarray, shape (n,)
        Sign of r.
    em, had : ndarray, shape (n,)
        GeV.
    """

    middle: Floats
    side: Floats
    em: Floats
    had: Floats

    def shapes(self, view: View, gev_of_longest: float, first: int) -> Iterator[Shape]:
        """Yield bars outside of the calorimeters, hadronic energy on electromagnetic."""
        gap, longest = TOWERS_MM
        for row, at in enumerate(self.middle.tolist()):
            across, along = 1.0 / math.cosh(at), abs(math.tanh(at))
            if view is View.TRANSVERSE:
                unit, width, base = np.array([math.cos(at), math.sin(at)]), 1.0, OUTER_R_MM
            else:
                unit, width = np.array([math.tanh(at), self.side[row] * across]), across
                base = min(OUTER_R_MM / across, OUTER_Z_MM / max(along, 1e-9))
            begin = base + gap
            half = 0.42 * _TOWER_WIDTH * width * begin * np.array([-unit[1], unit[0]])
            for style, energy in (("em_towers", self.em[row]), ("had_towers", self.had[row])):
                end = begin + longest * energy / gev_of_longest
                if end > begin:
                    low, high = begin * unit, end * unit
                    points = np.stack([low - half, high - half, high + half, low + half])
                    yield Shape(style, first + row, points, closed=True)
                begin = end


def towers(projection: Projection, clusters: Table) -> Towers:
    """Sum the transverse energy of clusters in the bins of a view."""
    across = 1.0 / np.cosh(clusters["eta"].astype(np.float64))
    if projection.view is View.TRANSVERSE:
        bins = np.floor(np.mod(clusters["phi"], 2.0 * math.pi) / _TOWER_WIDTH) % _TOWERS_AROUND
        side = np.ones_like(bins)
    else:
        bins = np.floor(clusters["eta"] / _TOWER_WIDTH)
        side = projection.side(clusters["phi"])
    keys, where = np.unique(np.stack([bins, side], axis=1), axis=0, return_inverse=True)
    em, had = np.zeros((2, len(keys)))
    np.add.at(em, where.ravel(), np.maximum(clusters["e_em"], 0.0) * across)
    np.add.at(had, where.ravel(), np.maximum(clusters["e_had"], 0.0) * across)
    return Towers((keys[:, 0] + 0.5) * _TOWER_WIDTH, keys[:, 1], em, had)


def gev_of_longest(by_view: Mapping[View, Towers]) -> float:
    """Return the transverse energy that the longest tower stands for, GeV; one for all views."""
    sums = [float((shown.em + shown.had).max(initial=0.0)) for shown in by_view.values()]
    return max(_LEAST_SCALE_GEV, *sums)
