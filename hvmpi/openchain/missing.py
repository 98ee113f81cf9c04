"""Missing transverse momentum: what balances everything that was seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.angles import distances
from hvmpi.openchain.clusters import Clusters
from hvmpi.openchain.eventdata import Table
from hvmpi.stopwatch import Part, spent_on

__all__ = ["MIN_JET_PT_GEV", "missing_et", "settings"]

MIN_JET_PT_GEV = 20.0
"""Softer jets count as their clusters."""

_ELECTRON_JET = 0.2


def settings() -> dict[str, object]:
    """Return every number of it, for the settings hash of a product."""
    return {"min_jet_pt_gev": MIN_JET_PT_GEV, "electron_jet": _ELECTRON_JET}


@spent_on(Part.OBJECTS)
def missing_et(
    jets: Table,
    clusters: Clusters,
    jet_of_cluster: NDArray[np.int64],
    electrons: Table,
    muons: Table,
) -> Table:
    """Return the missing transverse momentum of one event.

    The negative vector sum of the calibrated jets with pT above 20 GeV, of the clusters of
    positive energy outside of them, at electromagnetic scale, and of the muons. Electrons are in
    it as clusters and jets: a jet within dR 0.2 of an electron enters at electromagnetic scale.
    What muons leave in the calorimeters, 3 GeV or so, counts twice.

    Parameters
    ----------
    jets, electrons, muons : Table
        Fields of the AOD's collections.
    clusters : Clusters
    jet_of_cluster : ndarray of int64, shape (n_clusters,)
        From `hvmpi.openchain.jets.reconstruct_jets`.

    Returns
    -------
    Table
        Fields of an AOD's missing_et, one row; `sum_et` is the sum of the pT of all these.
    """
    hard = jets["pt"] > MIN_JET_PT_GEV
    distance = distances(jets["eta"], jets["phi"], electrons["eta"], electrons["phi"])
    electron = (distance < _ELECTRON_JET).any(axis=1)
    jet_pt = np.where(electron, jets["pt_em"], jets["pt"])[hard]
    # A cluster of no jet has -1, the last.
    soft = (clusters.table["e"] > 0.0) & ~np.append(hard, False)[jet_of_cluster]
    pt = np.concatenate([jet_pt, clusters.table["pt"][soft], muons["pt"]])
    phi = np.concatenate([jets["phi"][hard], clusters.table["phi"][soft], muons["phi"]])
    return {
        "px": np.array([-(pt * np.cos(phi)).sum()]),
        "py": np.array([-(pt * np.sin(phi)).sum()]),
        "sum_et": np.array([pt.sum()]),
    }
