"""The calorimeters: what stands where, in which layer, and the cells of each layer.

Outlines follow ATLAS (JINST 3 (2008) S08003; the Tile's layers its detector description,
TileDetDescr: 2300-2600-3440-3820 mm in the barrel, 2300-2600-3140-3820 mm in the extended one).
The Tile's outer radius of 4.25 m includes its girder, which is dead: 7.4 interaction lengths of
20.7 cm end at 3.82 m. Simplified: every layer is one projective grid through barrel and end-cap,
the strips of the first layer are merged to 0.025 x 0.1, and volumes are rings with edges along
r and z. All is the same at z and -z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.schemas import LAYERS
from hvmpi.stopwatch import Part, spent_on

__all__ = [
    "BEHIND",
    "DEAD",
    "EM_LAYERS",
    "HADRONIC_LAYERS",
    "VOLUMES",
    "Cells",
    "Map",
    "Volume",
    "cells",
    "map_of_volumes",
]

DEAD, BEHIND = len(LAYERS), len(LAYERS) + 1
"""Stand for a layer where there is only dead material, or nothing any more."""

EM_LAYERS = ("presampler", "em1", "em2", "em3", "fcal1")
HADRONIC_LAYERS = tuple(layer for layer in LAYERS if layer not in EM_LAYERS)

OUTER_R_MM, OUTER_Z_MM = 4250.0, 6100.0
"""What is born beyond leaves nothing."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A ring around the beam line, at both sides. mm; depths from its inner to its outer face.

    Faces are those in r where ``along`` is ``r``, else those in z; ``layer`` is one of `LAYERS` or
    ``dead``.
    """

    layer: str
    r: tuple[float, float]
    z: tuple[float, float]
    along: str
    x0: float
    lambdas: float


def _rings(
    names: tuple[str, ...],
    edges: tuple[float, ...],
    across: tuple[float, float],
    along: str,
    x0: tuple[float, ...],
    lambdas: tuple[float, ...],
) -> list[Volume]:
    return [
        Volume(
            name,
            (low, high) if along == "r" else across,
            across if along == "r" else (low, high),
            along,
            depth,
            thickness,
        )
        for name, low, high, depth, thickness in zip(
            names, edges[:-1], edges[1:], x0, lambdas, strict=True
        )
    ]


# Depths at normal incidence. Electromagnetic layers: 4.3, 16, 2 X0 in the barrel; lead and liquid
# argon have 16 X0 in an interaction length. Copper has 10.7, steel with scintillator 9.4, and
# aluminium 4.5. The forward modules' depths are those of S08003, section 5.3.
_EM_RATIO, _STEEL_RATIO, _COPPER_RATIO = 1.0 / 16.0, 9.4, 10.7
_TILE_MM = 207.0
_TILES = ("tile1", "tile2", "tile3")

VOLUMES = (
    # Solenoid (0.66 X0) and cryostat. Before the end-caps less than in ATLAS, whose presampler and
    # calibration make up for it.
    Volume("dead", (1150.0, 1400.0), (0.0, 2650.0), "r", 1.3, 0.29),
    # 11 mm of liquid argon.
    Volume("presampler", (1440.0, 1451.0), (0.0, 3200.0), "r", 0.08, 0.013),
    *_rings(
        ("em1", "em2", "em3"),
        (1500.0, 1590.0, 1928.0, 1970.0),
        (0.0, 3200.0),
        "r",
        (4.3, 16.0, 2.0),
        (4.3 * _EM_RATIO, 16.0 * _EM_RATIO, 2.0 * _EM_RATIO),
    ),
    # Electronics and cryostat in front of the Tile: 0.5 interaction lengths.
    Volume("dead", (2050.0, 2280.0), (0.0, 3200.0), "r", 2.25, 0.5),
    # Services of the tracker between barrel and end-cap; the end-cap's cryostat.
    Volume("dead", (1150.0, 2000.0), (3250.0, 3600.0), "z", 0.4, 0.1),
    Volume("presampler", (1200.0, 1720.0), (3650.0, 3661.0), "z", 0.08, 0.013),
    Volume("dead", (330.0, 2100.0), (3661.0, 3700.0), "z", 0.6, 0.14),
    *_rings(
        ("em1", "em2", "em3"),
        (3700.0, 3790.0, 4150.0, 4250.0),
        (330.0, 2090.0),
        "z",
        (4.4, 18.0, 4.6),
        (4.4 * _EM_RATIO, 18.0 * _EM_RATIO, 4.6 * _EM_RATIO),
    ),
    *_rings(
        ("hec1", "hec2", "hec3", "hec4"),
        (4300.0, 4580.0, 5110.0, 5600.0, 6090.0),
        (475.0, 2030.0),
        "z",
        (1.3 * _COPPER_RATIO, 2.5 * _COPPER_RATIO, 2.25 * _COPPER_RATIO, 2.25 * _COPPER_RATIO),
        (1.3, 2.5, 2.25, 2.25),
    ),
    Volume("fcal1", (72.0, 455.0), (4668.0, 5119.0), "z", 27.6, 2.66),
    Volume("fcal2", (72.0, 455.0), (5160.0, 5611.0), "z", 91.3, 3.68),
    Volume("fcal3", (72.0, 455.0), (5648.0, 6099.0), "z", 89.2, 3.60),
    # The end-cap's cryostat under the extended Tile.
    Volume("dead", (2100.0, 2280.0), (3500.0, 6100.0), "r", 1.8, 0.4),
    *(
        Volume(
            name,
            (low, high),
            z,
            "r",
            (high - low) / _TILE_MM * _STEEL_RATIO,
            (high - low) / _TILE_MM,
        )
        for z, parts in (
            (
                (0.0, 2820.0),
                zip(_TILES, (2300.0, 2600.0, 3440.0), (2600.0, 3440.0, 3820.0), strict=True),
            ),
            (
                (3500.0, 6100.0),
                zip(_TILES, (2300.0, 2600.0, 3140.0), (2600.0, 3140.0, 3820.0), strict=True),
            ),
            # The plug in the gap between them.
            ((3150.0, 3500.0), zip(_TILES[1:], (2990.0, 3440.0), (3440.0, 3820.0), strict=True)),
        )
        for name, low, high in parts
    ),
    # Cables in that gap; the girder that holds the Tile.
    Volume("dead", (2300.0, 3820.0), (2820.0, 3150.0), "r", 1.5, 0.3),
    Volume("dead", (3820.0, 4250.0), (0.0, 6100.0), "r", 14.0, 1.5),
)


@dataclass(frozen=True, slots=True)
class Map:
    """The volumes on a grid of all their edges.

    Attributes
    ----------
    r_mm, z_mm : ndarray of float64, shape (n_r + 1,), (n_z + 1,)
        Edges, from 0 on.
    layer : ndarray of int64, shape (n_r, n_z)
        Row of `LAYERS`, `DEAD`, or `BEHIND` where there is no material.
    x0, lambdas : ndarray of float64, shape (n_r, n_z)
        Radiation and interaction lengths in a millimetre.
    """

    r_mm: NDArray[np.float64]
    z_mm: NDArray[np.float64]
    layer: NDArray[np.int64]
    x0: NDArray[np.float64]
    lambdas: NDArray[np.float64]


@cache
@spent_on(Part.LOAD)
def map_of_volumes() -> Map:
    """Return the map of material; made once a process."""
    r = np.unique([0.0, OUTER_R_MM, *(edge for volume in VOLUMES for edge in volume.r)])
    z = np.unique([0.0, OUTER_Z_MM, *(edge for volume in VOLUMES for edge in volume.z)])
    shape = len(r) - 1, len(z) - 1
    layer = np.full(shape, BEHIND)
    x0, lambdas = np.zeros(shape), np.zeros(shape)
    for volume in VOLUMES:
        rows, columns = (
            slice(*np.searchsorted(edges, span).tolist())
            for edges, span in ((r, volume.r), (z, volume.z))
        )
        low, high = volume.r if volume.along == "r" else volume.z
        layer[rows, columns] = DEAD if volume.layer == "dead" else LAYERS.index(volume.layer)
        x0[rows, columns] = volume.x0 / (high - low)
        lambdas[rows, columns] = volume.lambdas / (high - low)
    return Map(r, z, layer, x0, lambdas)


# --- cells -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cells of one size in one layer: eta from `low` to `high`, phi all around.

    `high` may be left of `low`'s mirror image: grids beyond abs(eta) 0 stand at both sides.
    """

    layer: str
    low: float
    high: float
    n_eta: int
    n_phi: int


def _both(layer: str, low: float, high: float, n_eta: int, n_phi: int) -> tuple[_Grid, _Grid]:
    return (
        _Grid(layer, -high, -low, n_eta, n_phi),
        _Grid(layer, low, high, n_eta, n_phi),
    )


_GRIDS = (
    _Grid("presampler", -1.8, 1.8, 144, 64),
    _Grid("em1", -2.5, 2.5, 200, 64),
    *_both("em1", 2.5, 3.2, 7, 64),
    _Grid("em2", -2.5, 2.5, 200, 256),
    *_both("em2", 2.5, 3.2, 7, 64),
    _Grid("em3", -2.5, 2.5, 100, 256),
    *_both("em3", 2.5, 3.2, 7, 64),
    _Grid("tile1", -1.7, 1.7, 34, 64),
    _Grid("tile2", -1.7, 1.7, 34, 64),
    _Grid("tile3", -1.7, 1.7, 17, 64),
    *(
        grid
        for layer in ("hec1", "hec2", "hec3", "hec4")
        for grid in (*_both(layer, 1.5, 2.5, 10, 64), *_both(layer, 2.5, 3.3, 4, 32))
    ),
    *(grid for layer in ("fcal1", "fcal2", "fcal3") for grid in _both(layer, 3.1, 4.9, 9, 32)),
)

# Layers behind one another, or side by side: cells that overlap in eta and phi are neighbours.
_ADJACENT = (
    *(("presampler", "em1"), ("em1", "em2"), ("em2", "em3")),
    *(("em3", "tile1"), ("tile1", "tile2"), ("tile2", "tile3")),
    *(("em3", "hec1"), ("hec1", "hec2"), ("hec2", "hec3"), ("hec3", "hec4")),
    *(("tile1", "hec1"), ("tile2", "hec2"), ("tile3", "hec3")),
    *(("em3", "fcal1"), ("fcal1", "fcal2"), ("fcal2", "fcal3")),
    *(("hec1", "fcal1"), ("hec2", "fcal1"), ("hec3", "fcal2"), ("hec4", "fcal3")),
)


@dataclass(frozen=True, slots=True)
class Cells:
    """All cells; the row of a cell is its number.

    Attributes
    ----------
    layer : ndarray of int64, shape (n_cells,)
        Row of `LAYERS`.
    eta, phi : ndarray of float64, shape (n_cells,)
        Centre, seen from the origin; phi from -pi to pi.
    d_eta, d_phi : ndarray of float64, shape (n_cells,)
        Full widths.
    first : ndarray of int64, shape (n_cells + 1,)
    neighbours : ndarray of int32
        Those of cell i are ``neighbours[first[i] : first[i + 1]]``, ascending: in its own layer
        what touches it, corners too; in layers beside its own what overlaps in eta and phi.
    """

    layer: NDArray[np.int64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]
    d_eta: NDArray[np.float64]
    d_phi: NDArray[np.float64]
    first: NDArray[np.int64]
    neighbours: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.layer)

    def find(
        self, layer: NDArray[np.int64], eta: NDArray[np.float64], phi: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return the cells at some places of some layers; beyond a layer's end, its last cell.

        Parameters
        ----------
        layer : ndarray of int64
            Rows of `LAYERS`.
        eta, phi : ndarray of float64
            Seen from the origin.
        """
        table = _lookup()
        # A layer has three grids at most: one beyond its ends is nearest to what misses all.
        side = np.searchsorted(table.flat_edges, eta + layer * _SPAN, side="right") - 1
        grid = table.grid_of_edge[side]
        low, step, n_eta, n_phi, start = (column[grid] for column in table.columns)
        row = np.clip(((eta - low) / step).astype(np.int64), 0, n_eta - 1)
        turn = (phi + math.pi) * n_phi / (2.0 * math.pi)
        column = np.floor(turn).astype(np.int64) % n_phi
        return np.asarray(start + row * n_phi + column)


# Apart in one ascending axis: no eta is larger.
_SPAN = 100.0


@dataclass(frozen=True, slots=True)
class _Lookup:
    flat_edges: NDArray[np.float64]
    grid_of_edge: NDArray[np.int64]
    columns: tuple[NDArray[Any], ...]


def _starts() -> NDArray[np.int64]:
    sizes = [grid.n_eta * grid.n_phi for grid in _GRIDS]
    return np.concatenate([[0], np.cumsum(sizes)])


@cache
def _lookup() -> _Lookup:
    edges: list[float] = []
    rows: list[int] = []
    for number, layer in enumerate(LAYERS):
        own = sorted((grid.low, row) for row, grid in enumerate(_GRIDS) if grid.layer == layer)
        for place, (low, row) in enumerate(own):
            # Between two grids that do not touch, the middle decides.
            below = _GRIDS[own[place - 1][1]].high if place else -_SPAN / 2.0
            edges.append(number * _SPAN + (low + below) / 2.0)
            rows.append(row)
    columns = (
        np.array([grid.low for grid in _GRIDS]),
        np.array([(grid.high - grid.low) / grid.n_eta for grid in _GRIDS]),
        np.array([grid.n_eta for grid in _GRIDS]),
        np.array([grid.n_phi for grid in _GRIDS]),
        _starts()[:-1],
    )
    return _Lookup(np.array(edges), np.array(rows), columns)


@cache
@spent_on(Part.LOAD)
def cells() -> Cells:
    """Return the table of cells; made once a process."""
    columns: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("layer", "eta", "phi", "d_eta", "d_phi")
    }
    for grid in _GRIDS:
        size = grid.n_eta * grid.n_phi
        d_eta, d_phi = (grid.high - grid.low) / grid.n_eta, 2.0 * math.pi / grid.n_phi
        eta, phi = np.meshgrid(
            grid.low + d_eta * (np.arange(grid.n_eta) + 0.5),
            -math.pi + d_phi * (np.arange(grid.n_phi) + 0.5),
            indexing="ij",
        )
        columns["layer"].append(np.full(size, LAYERS.index(grid.layer)))
        columns["eta"].append(eta.ravel())
        columns["phi"].append(phi.ravel())
        columns["d_eta"].append(np.full(size, d_eta))
        columns["d_phi"].append(np.full(size, d_phi))
    first, neighbours = _neighbours()
    return Cells(
        **{name: np.concatenate(parts) for name, parts in columns.items()},
        first=first,
        neighbours=neighbours,
    )


def _neighbours() -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    pairs: list[NDArray[np.int64]] = []
    starts = _starts()
    for a, one in enumerate(_GRIDS):
        for b, other in enumerate(_GRIDS):
            same = one.layer == other.layer
            adjacent = (one.layer, other.layer) in _ADJACENT or (
                other.layer,
                one.layer,
            ) in _ADJACENT
            if same or adjacent:
                pairs.append(_overlaps(one, other, starts[a], starts[b], touching=same))
    left, right = np.concatenate(pairs, axis=1)
    size = int(starts[-1])
    # Every pair was found once.
    key = np.sort((left * size + right)[left != right])
    left, right = np.divmod(key, size)
    first = np.concatenate([[0], np.cumsum(np.bincount(left, minlength=size))])
    return first, right.astype(np.int32)


def _overlaps(one: _Grid, other: _Grid, start: int, other_start: int, *, touching: bool) -> Any:
    """Return the pairs of cells of two grids that overlap or, if so wanted, touch."""
    # In units so small that all edges are whole numbers.
    slack = 1e-9 if touching else -1e-9
    eta, other_eta = (np.linspace(grid.low, grid.high, grid.n_eta + 1) for grid in (one, other))
    phi, other_phi = (np.linspace(0.0, 1.0, grid.n_phi + 1) for grid in (one, other))
    rows = _meet(eta, other_eta, slack)
    columns = _meet(phi, other_phi, slack)
    if touching:
        # The last column touches the first.
        columns[0, -1] = columns[-1, 0] = True
    row, other_row = np.nonzero(rows)
    column, other_column = np.nonzero(columns)
    left = start + (row[:, None] * one.n_phi + column[None, :]).ravel()
    right = other_start + (other_row[:, None] * other.n_phi + other_column[None, :]).ravel()
    return np.stack([left, right])


def _meet(
    edges: NDArray[np.float64], others: NDArray[np.float64], slack: float
) -> NDArray[np.bool_]:
    low, high = edges[:-1, None] - slack, edges[1:, None] + slack
    return np.asarray((low < others[None, 1:]) & (high > others[None, :-1]))


def settings() -> dict[str, object]:
    """Return every number of the geometry, for the settings hash of a product."""

    def values(parts: tuple[Any, ...]) -> list[list[object]]:
        return [[getattr(part, field.name) for field in fields(part)] for part in parts]

    return {"volumes": values(VOLUMES), "grids": values(_GRIDS), "adjacent": _ADJACENT}
