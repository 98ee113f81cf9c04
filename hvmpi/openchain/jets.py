"""Jets: anti-kt with FastJet, from clusters and from true particles.

M. Cacciari, G. P. Salam and G. Soyez, JHEP 04 (2008) 063; Eur. Phys. J. C 72 (2012) 1896.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import awkward
import fastjet
import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.angles import distances
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.layers import cells
from hvmpi.openchain.schemas import LAYERS
from hvmpi.stopwatch import Part, spent_on

if TYPE_CHECKING:
    from hvmpi.openchain.calibration import Calibration
    from hvmpi.openchain.clusters import Clusters

__all__ = ["RADIUS", "reconstruct_jets", "settings", "truth_jets"]

RADIUS = 0.4
_MIN_TRUTH_PT_GEV, _MAX_ABS_TRUTH_ETA = 5.0, 4.9
# A true jet of 20 GeV leaves about half of that at electromagnetic scale, 30 % more or less.
_MIN_PT_EM_GEV = 4.0
_MATCH = 0.3
_TOWER, _TOWER_PHI = 0.1, 2.0 * math.pi / 64.0
_MIN_TOWER_ET_GEV = 0.5


def settings() -> dict[str, object]:
    """Return every number of the jets, for the settings hash of a product."""
    return {
        "radius": RADIUS,
        "min_truth_pt_gev": _MIN_TRUTH_PT_GEV,
        "max_abs_truth_eta": _MAX_ABS_TRUTH_ETA,
        "min_pt_em_gev": _MIN_PT_EM_GEV,
        "match": _MATCH,
        "min_tower_et_gev": _MIN_TOWER_ET_GEV,
    }


@spent_on(Part.JETS)
def truth_jets(particles: Table) -> Table:
    """Find the true jets of one event: pT above 5 GeV, abs(eta) below 4.9.

    Parameters
    ----------
    particles : Table
        What is to be seen: stable particles without muons and neutrinos, and what leaves nothing
        like them. Arrays `px`, `py`, `pz`, `e` in GeV.

    Returns
    -------
    Table
        Fields of an AOD's truth jets, by falling pT.
    """
    momenta = np.stack([particles[name] for name in ("px", "py", "pz", "e")]).astype(np.float64)
    jet_of_particle, sums = _anti_kt(momenta, _MIN_TRUTH_PT_GEV)
    made = _directions(sums) | {"n_particles": _count(jet_of_particle, sums.shape[1])}
    order, _ = _order(made["pt"], jet_of_particle, np.abs(made["eta"]) < _MAX_ABS_TRUTH_ETA)
    return {name: values[order] for name, values in made.items()}


@spent_on(Part.JETS)
def reconstruct_jets(
    clusters: Clusters,
    cell: NDArray[np.integer],
    energy: NDArray[np.floating],
    truth_jets: Table,
    calibration: Calibration,
) -> tuple[Table, NDArray[np.int64]]:
    """Find the jets of one event.

    Constituents are the clusters of positive energy, at electromagnetic scale; jets with pT above
    4 GeV at that scale are kept. Calibration multiplies pT and mass. A tower counts if the cells
    in it, of the jet's clusters, have a transverse energy above 0.5 GeV; a cell that is larger
    lies where its centre does. True jets, by falling pT, take the nearest jet within dR 0.3 that
    is still free.

    Parameters
    ----------
    clusters : Clusters
    cell : ndarray of int, shape (n_read,)
        The cells that the clusters were found in.
    energy : ndarray of float, shape (n_read,)
        GeV.
    truth_jets : Table
        From `truth_jets`.
    calibration : Calibration

    Returns
    -------
    jets : Table
        Fields of an AOD's jets, by falling calibrated pT.
    jet_of_cluster : ndarray of int64, shape (n_clusters,)
        Row of the jet; -1: none.
    """
    table = clusters.table
    used = np.flatnonzero(table["e"] > 0.0)
    e, pt, eta, phi = (table[name][used] for name in ("e", "pt", "eta", "phi"))
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), e])
    jet_of_used, sums = _anti_kt(momenta, _MIN_PT_EM_GEV)
    made = _directions(sums)
    factor = calibration.factor(made["eta"], made["pt"])
    order, place = _order(made["pt"] * factor, jet_of_used, np.ones(len(factor), dtype=np.bool_))
    jet_of_cluster = np.full(len(clusters), -1)
    jet_of_cluster[used] = place[jet_of_used]
    made = {name: values[order] for name, values in made.items()}
    factor = factor[order]
    jets = {
        "pt": made["pt"] * factor,
        "eta": made["eta"],
        "phi": made["phi"],
        "mass": made["mass"] * factor,
        "pt_em": made["pt"],
        "mass_em": made["mass"],
        "n_clusters": _count(jet_of_cluster, len(order)),
        "n_towers": _towers(clusters, cell, energy, jet_of_cluster, len(order)),
        **_by_layer(table, jet_of_cluster, len(order)),
    }
    return jets | {"truth_jet": _match(jets, truth_jets)}, jet_of_cluster


# --- FastJet ---------------------------------------------------------------------------------


@cache
def _definition() -> Any:
    # FastJet's banner would go to our standard output.
    fastjet.multi_inheritor.set_fastjet_banner_stream(None)
    return fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)


def _anti_kt(
    momenta: NDArray[np.float64], min_pt: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the jet of each particle, -1 for none, and the jets' momenta.

    Both as px, py, pz, e: shape (4, n_particles) and (4, n_jets). Momenta are summed here and not
    asked for, which would take as long again as the rest of the overhead.
    """
    size = momenta.shape[1]
    content = awkward.contents
    # One event as a list of events: FastJet would make one of anything else, at a higher price.
    event = content.ListOffsetArray(
        awkward.index.Index64(np.array([0, size])),
        content.RecordArray(
            [content.NumpyArray(values) for values in momenta], ["px", "py", "pz", "E"]
        ),
    )
    sequence = fastjet.ClusterSequence(awkward.Array(event), _definition())
    layout = sequence.constituent_index(min_pt).layout.content
    offsets = np.asarray(layout.offsets.data)
    jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    jet_of_particle = np.full(size, -1)
    jet_of_particle[layout.content.data[: len(jet)]] = jet
    # In the order of the particles, not of the sequence.
    inside = np.flatnonzero(jet_of_particle >= 0)
    sums = np.zeros((len(offsets) - 1, 4))
    np.add.at(sums, jet_of_particle[inside], momenta.T[inside])
    return jet_of_particle, sums.T


def _directions(momenta: NDArray[np.float64]) -> Table:
    px, py, pz, e = momenta
    pt = np.hypot(px, py)
    return {
        "pt": pt,
        "eta": np.arcsinh(pz / pt),
        "phi": np.arctan2(py, px),
        "mass": np.sqrt(np.maximum(e**2 - pt**2 - pz**2, 0.0)),
    }


def _order(
    pt: NDArray[np.float64], jet_of_particle: NDArray[np.int64], keep: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the kept jets by falling pT, and the place of each jet among them.

    Of equals, the one with the lowest constituent comes first. The places have one more at the
    end, so that no jet, -1, has the place -1.
    """
    first = np.full(len(pt) + 1, len(jet_of_particle))
    np.minimum.at(first, jet_of_particle, np.arange(len(jet_of_particle)))
    order = np.lexsort((first[:-1], -pt))
    order = order[keep[order]]
    place = np.full(len(pt) + 1, -1)
    place[order] = np.arange(len(order))
    return order, place


# --- what a jet is made of -------------------------------------------------------------------


def _count(jet_of_particle: NDArray[np.int64], jets: int) -> NDArray[np.int64]:
    return np.bincount(jet_of_particle[jet_of_particle >= 0], minlength=jets)


def _by_layer(table: Table, jet_of_cluster: NDArray[np.int64], jets: int) -> Table:
    inside = np.flatnonzero(jet_of_cluster >= 0)
    names = [f"e_{layer}" for layer in LAYERS]
    sums = np.zeros((jets, len(names)))
    energies = np.stack([table[name] for name in names], axis=1)
    np.add.at(sums, jet_of_cluster[inside], energies[inside])
    return dict(zip(names, sums.T, strict=True))


@cache
def _tower_of_cell() -> NDArray[np.int64]:
    table = cells()
    # Centres that lie on an edge go to the upper side, however they are rounded.
    row, column = (
        np.floor(values / step + 1e-6).astype(np.int64)
        for values, step in ((table.eta, _TOWER), (table.phi, _TOWER_PHI))
    )
    return np.asarray((row - row.min()) * (np.ptp(column) + 1) + column - column.min())


def _towers(
    clusters: Clusters,
    cell: NDArray[np.integer],
    energy: NDArray[np.floating],
    jet_of_cluster: NDArray[np.int64],
    jets: int,
) -> NDArray[np.int64]:
    tower = _tower_of_cell()
    # No cluster, -1, has no jet.
    jet = np.append(jet_of_cluster, -1)[clusters.cluster_of_cell]
    inside = np.flatnonzero(jet >= 0)
    number, transverse = cell[inside], energy[inside] / np.cosh(cells().eta[cell[inside]])
    key, where = np.unique(jet[inside] * len(tower) + tower[number], return_inverse=True)
    counts = np.bincount(where, transverse, minlength=len(key)) > _MIN_TOWER_ET_GEV
    return np.bincount(key[counts] // len(tower), minlength=jets)


def _match(jets: Table, truth: Table) -> NDArray[np.int64]:
    distance = distances(truth["eta"], truth["phi"], jets["eta"], jets["phi"])
    truth_jet = np.full(len(jets["pt"]), -1)
    for row in np.flatnonzero((distance < _MATCH).any(axis=1)).tolist():
        column = int(distance[row].argmin())
        if distance[row, column] < _MATCH:
            truth_jet[column] = row
            distance[:, column] = np.inf
    return truth_jet
