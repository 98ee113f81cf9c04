"""Clusters of calorimeter cells: found by significance, split at local maxima.

Topological clusters 4-2-0 (ATLAS, Eur. Phys. J. C 77 (2017) 490): neighbours count across layers
and sub-detectors, as `hvmpi.openchain.layers` has them, between cells that were read out.
Simplified: no cell is divided between two clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from hvmpi.openchain.angles import distances, wrapped
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.layers import HADRONIC_LAYERS, cells
from hvmpi.openchain.schemas import LAYERS
from hvmpi.stopwatch import Part, spent_on

__all__ = ["Clusters", "cell_sums", "find_clusters", "settings"]

# In units of the noise: a seed, a cell that the cluster grows through, a cell that gives its time.
_SEED, _GROWTH, _TIMED = 4.0, 2.0, 2.0
_MAXIMUM_GEV, _MAXIMUM_NEIGHBOURS = 0.5, 4
_PRIMARY = ("em2", "em3", "fcal1")
_SECONDARY = ("em1", *HADRONIC_LAYERS)

# Cells that only touch do not overlap, however their edges are rounded.
_TOUCHING = 1e-9
# By layer: 2 where a maximum is primary, 1 where it is secondary, 0 where there is none.
_AUTHORITY = np.array([2 * (layer in _PRIMARY) + (layer in _SECONDARY) for layer in LAYERS])


def settings() -> dict[str, object]:
    """Return every number of the clustering, for the settings hash of a product."""
    return {
        "seed": _SEED,
        "growth": _GROWTH,
        "timed": _TIMED,
        "maximum_gev": _MAXIMUM_GEV,
        "maximum_neighbours": _MAXIMUM_NEIGHBOURS,
        "primary": _PRIMARY,
        "secondary": _SECONDARY,
    }


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters of one event.

    Attributes
    ----------
    table : Table
        Fields of an AOD's clusters but for `jet`; by falling energy, those below zero too.
    cluster_of_cell : ndarray of int64, shape (n_read,)
        Row of `table` for each cell that was read out; -1: in none.
    """

    table: Table
    cluster_of_cell: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.table["e"])


@spent_on(Part.CLUSTERS)
def find_clusters(
    cell: NDArray[np.integer],
    energy: NDArray[np.floating],
    time: NDArray[np.floating],
    sigma: NDArray[np.floating],
) -> Clusters:
    """Find the clusters of one event.

    Cells with abs(E) > 2 sigma that are connected make a cluster if one of them has
    abs(E) > 4 sigma; all their neighbours join, each the cluster of its most significant one (of
    equals, the one of the lowest number).

    A cluster is split if it has two or more local maxima: cells with E > 500 MeV, at least 4
    neighbours in the cluster, and none with more energy (of equals, the lowest number has more).
    In the layers em2, em3 and fcal1 they are primary. Those of the strips (em1) and of the
    hadronic layers are secondary: they count where no primary one of the cluster, nor a
    secondary one of more energy, overlaps with them in eta and phi, so that one shower is not
    split along its depth. The presampler has none. Every cell goes with its most energetic
    neighbour, up to where none has more; what gets to no maximum that counts goes to the nearest
    in eta and phi (of equals, a primary one, then the one of most energy).

    The direction is the mean of the cells' weighted with abs(E) (EPJ C 77 490, eq. 7), the time
    that of the cells with E > 2 sigma weighted with E squared, 0 if there is none.

    Parameters
    ----------
    cell : ndarray of int, shape (n_read,)
        The cells that were read out, ascending: rows of `hvmpi.openchain.layers.cells`.
    energy : ndarray of float, shape (n_read,)
        GeV, electromagnetic scale; may be below zero.
    time : ndarray of float, shape (n_read,)
        ns.
    sigma : ndarray of float, shape (n_read,)
        Noise, GeV; above zero.

    Returns
    -------
    Clusters
    """
    read = _ReadOut(cell, np.asarray(energy, dtype=np.float64), sigma)
    label = _split(read, _grow(read))
    clustered = np.flatnonzero(label >= 0)
    _, first, cluster = np.unique(label[clustered], return_index=True, return_inverse=True)
    table = _measure(read, time, clustered, cluster, len(first))
    # Where energies are equal, the cluster with the lowest cell comes first.
    order = np.lexsort((first, -table["e"]))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    cluster_of_cell = np.full(len(label), -1)
    cluster_of_cell[clustered] = place[cluster]
    return Clusters({name: values[order] for name, values in table.items()}, cluster_of_cell)


@spent_on(Part.CLUSTERS)
def cell_sums(
    cell: NDArray[np.integer],
    energy: NDArray[np.floating],
    cluster_of_cell: NDArray[np.int64],
) -> Table:
    """Sum the cells by layer; fields of an AOD's cell sums, one row a layer.

    Parameters
    ----------
    cell : ndarray of int, shape (n_read,)
    energy : ndarray of float, shape (n_read,)
        GeV.
    cluster_of_cell : ndarray of int64, shape (n_read,)
        From `find_clusters`.
    """
    layer, size = cells().layer[cell], len(LAYERS)
    inside = cluster_of_cell >= 0
    return {
        "layer": np.arange(size),
        "e": _sums(layer[inside], energy[inside], size),
        "e_read": _sums(layer, energy, size),
        "n_cells": np.bincount(layer, minlength=size),
    }


class _ReadOut:
    """The cells that were read out; a row is a position among them."""

    def __init__(
        self,
        cell: NDArray[np.integer],
        energy: NDArray[np.float64],
        sigma: NDArray[np.floating],
    ) -> None:
        table = cells()
        self.cell, self.energy = cell, energy
        self.significance = energy / sigma
        self._row = np.full(len(table), -1, dtype=np.int32)
        self._row[cell] = np.arange(len(cell), dtype=np.int32)

    def __len__(self) -> int:
        return len(self.cell)

    def neighbours(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the pairs of some ascending rows and their neighbours, ascending in both."""
        table = cells()
        chosen = self.cell[rows]
        first = table.first[chosen]
        count = table.first[chosen + 1] - first
        stop = np.cumsum(count)
        place = np.arange(stop[-1] if len(stop) else 0) + np.repeat(first - stop + count, count)
        other = self._row[table.neighbours[place]]
        there = np.flatnonzero(other >= 0)
        return np.repeat(rows, count)[there], other[there]


def _grow(read: _ReadOut) -> NDArray[np.int64]:
    """Return the cluster of each row before splitting; -1: none."""
    size = np.abs(read.significance)
    grows = size > _GROWTH
    growth = np.flatnonzero(grows)
    left, right = read.neighbours(growth)
    within = grows[right]

    node = np.cumsum(grows) - 1
    count = np.bincount(node[left[within]], minlength=len(growth))
    graph = csr_array(
        (np.ones(count.sum()), node[right[within]], np.concatenate([[0], np.cumsum(count)])),
        shape=(len(growth), len(growth)),
    )
    # Every pair is there both ways, and strong components need no transposed copy.
    parts, part = connected_components(graph, directed=True, connection="strong")
    seeded = np.zeros(parts, dtype=np.bool_)
    seeded[part[size[growth] > _SEED]] = True
    number = np.where(seeded, np.cumsum(seeded) - 1, -1)
    cluster = np.full(len(read), -1)
    cluster[growth] = number[part]

    edge = ~within & (cluster[left] >= 0)
    left, right = left[edge], right[edge]
    # Of several assignments to a row the last one holds.
    order = np.lexsort((-left, size[left]))
    cluster[right[order]] = cluster[left[order]]
    return cluster


def _split(read: _ReadOut, cluster: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cluster of each row after splitting; -1: none."""
    rows = np.flatnonzero(cluster >= 0)
    left, right = read.neighbours(rows)
    same = cluster[left] == cluster[right]
    left, right = left[same], right[same]
    # One order of all: where energies are equal, the lower row has more.
    rank = np.empty(len(read), dtype=np.int64)
    order = rows[np.lexsort((-rows, read.energy[rows]))]
    rank[order] = np.arange(len(order))

    upward = np.arange(len(read))
    count = np.bincount(left, minlength=len(read))
    paired = np.flatnonzero(count)
    if len(paired):
        starts = np.cumsum(count[paired]) - count[paired]
        best = np.maximum.reduceat(rank[right], starts)
        rises = best > rank[paired]
        upward[paired[rises]] = order[best[rises]]

    maxima = _maxima(read, cluster, rows[(upward == np.arange(len(read)))[rows]], count)
    number = np.bincount(cluster[maxima], minlength=cluster.max(initial=-1) + 1)
    maxima = maxima[number[cluster[maxima]] > 1]
    if len(maxima) == 0:
        return cluster
    while not np.array_equal(upward, further := upward[upward]):
        upward = further
    split = rows[number[cluster[rows]] > 1]
    tops, of_top = np.unique(upward[split], return_inverse=True)
    label = cluster.copy()
    label[split] = len(number) + _nearest(read, cluster, tops, maxima)[of_top]
    return label


def _maxima(
    read: _ReadOut,
    cluster: NDArray[np.int64],
    tops: NDArray[np.int64],
    count: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the local maxima that count, out of the rows with no neighbour of more energy."""
    table = cells()
    authority = _AUTHORITY[table.layer[read.cell[tops]]]
    good = (
        (authority > 0) & (read.energy[tops] > _MAXIMUM_GEV) & (count[tops] >= _MAXIMUM_NEIGHBOURS)
    )
    tops, authority = tops[good], authority[good]
    order = np.lexsort((tops, -read.energy[tops], -authority))
    tops, authority = tops[order], authority[order]
    secondary = np.flatnonzero(authority == 1)
    cell, other = read.cell[tops[secondary], None], read.cell[tops]
    d_eta = np.abs(table.eta[cell] - table.eta[other])
    d_phi = np.abs(wrapped(table.phi[cell] - table.phi[other]))
    hidden = (
        (cluster[tops[secondary], None] == cluster[tops])
        & (d_eta < (table.d_eta[cell] + table.d_eta[other]) / 2.0 - _TOUCHING)
        & (d_phi < (table.d_phi[cell] + table.d_phi[other]) / 2.0 - _TOUCHING)
        & (secondary[:, None] > np.arange(len(tops)))
    ).any(axis=1)
    return np.delete(tops, secondary[hidden])


def _nearest(
    read: _ReadOut,
    cluster: NDArray[np.int64],
    tops: NDArray[np.int64],
    maxima: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return, for each top, the position of the nearest maximum in its cluster."""
    table = cells()
    cell, other = read.cell[tops], read.cell[maxima]
    distance = distances(table.eta[cell], table.phi[cell], table.eta[other], table.phi[other])
    # On a grid many are equally far, but for their rounding: the first of the maxima wins.
    distance = np.round(distance, 9)
    distance[cluster[tops, None] != cluster[None, maxima]] = np.inf
    # Another layer's cell at the very same place is no nearer than the maximum itself.
    distance[tops[:, None] == maxima] = -1.0
    return np.asarray(distance.argmin(axis=1))


def _measure(
    read: _ReadOut,
    time: NDArray[np.floating],
    rows: NDArray[np.int64],
    cluster: NDArray[np.int64],
    number: int,
) -> Table:
    """Return the table of clusters, given the cluster of each of some rows."""

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _sums(cluster, values, number)

    table = cells()
    cell, energy = read.cell[rows], read.energy[rows]
    weight = np.abs(energy)
    sum_of_weights = total(weight)
    e, eta = total(energy), total(weight * table.eta[cell]) / sum_of_weights
    # A mean azimuth needs a direction to count from: the one of the sum of unit vectors.
    phi = table.phi[cell]
    middle = np.arctan2(total(weight * np.sin(phi)), total(weight * np.cos(phi)))
    offset = total(weight * wrapped(phi - middle[cluster])) / sum_of_weights

    timed = np.where(read.significance[rows] > _TIMED, energy**2, 0.0)
    sum_of_timed = total(timed)
    part, parts = cluster * len(LAYERS) + table.layer[cell], number * len(LAYERS)
    by_layer = _sums(part, energy, parts).reshape(-1, len(LAYERS))
    return {
        "e": e,
        "pt": e / np.cosh(eta),
        "eta": eta,
        "phi": wrapped(middle + offset),
        "time": total(timed * time[rows]) / np.where(sum_of_timed > 0.0, sum_of_timed, 1.0),
        "n_cells": np.bincount(cluster, minlength=number),
        **{f"e_{layer}": by_layer[:, column] for column, layer in enumerate(LAYERS)},
    }


def _sums(group: NDArray[np.int64], values: NDArray[Any], groups: int) -> NDArray[np.float64]:
    # Of no values at all, bincount makes integers.
    return np.bincount(group, values, minlength=groups).astype(np.float64, copy=False)
