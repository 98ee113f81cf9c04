"""The variables of jets, from arrays: what either engine's reconstruction is turned into.

Both engines' files are read into a `Block` of events, and `training_rows` makes rows of it. Nothing
here knows of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.angles import wrapped
from hvmpi.openchain.schemas import LAYERS
from hvmpi.stopwatch import Part, spent_on
from hvmpi.training.columns import (
    BACKGROUND,
    DATASETS,
    ELECTROMAGNETIC,
    HADRONIC,
    NO_TRACK_DR,
    RADIUS,
    SIGNAL,
    UNLABELLED,
)

__all__ = [
    "Block",
    "Rows",
    "Table",
    "delta_r",
    "nearest",
    "pairs",
    "pseudorapidity",
    "settings",
    "training_rows",
]

Table = dict[str, NDArray[Any]]
"""Arrays of one length by name."""

Rows = dict[str, NDArray[Any]]
"""Rows of the datasets of a training file, by name."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MIN_PT_GEV = 20.0
MAX_ABS_ETA = 2.5
MIN_TRACK_PT_GEV = 0.5
MIN_HARD_TRACK_PT_GEV = 2.0
ENERGY_FLOOR_GEV = 0.1
N90_SHARE = 0.9
CHARGE_EXPONENT = 0.5

_CLUSTER_SHARES = {
    "l1ecal": ("presampler",),
    "l2ecal": ("em1",),
    "l3ecal": ("em2",),
    "l4ecal": ("em3", "fcal1"),
    "l1hcal": ("tile1", "hec1", "fcal2"),
    "l2hcal": ("tile2", "hec2", "fcal3"),
    "l3hcal": ("tile3", "hec3"),
    "l4hcal": ("hec4",),
}

_TRACK_COLUMNS = (
    *("pt", "eta", "phi", "d0", "z0", "chi2"),
    *("n_pixel", "n_strip", "holes_pixel", "holes_strip", "shared", "vertex_n"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """Some events, as either engine reconstructed them.

    Every table has a column ``event``, the row of the event in this block, ascending.

    Attributes
    ----------
    run_number, event_number : ndarray of int64, shape (n_events,)
    weight : ndarray of float64, shape (n_events,)
    m_phi, m_s : float
        Nominal masses, GeV; NaN where they are not known.
    jets : Table
        ``pt eta phi mass n_towers`` and ``e_LAYER``; where it has ``width n90 time``, they go
        before those made of the clusters.
    tracks : Table
        ``pt eta phi charge d0 z0 chi2 n_pixel n_strip holes_pixel holes_strip shared vertex_n``.
    clusters : Table or None
        ``e pt eta phi time e_LAYER`` and ``jet``, the row of the jet in this block that it belongs
        to (-1: none); None where the file has no clusters.
    long_lived : Table
        ``pt eta phi mass`` of the long-lived particles, ``decay_eta decay_phi lxy lz`` of the point
        of their decay (NaN: it did not decay) and ``decay``.
    """

    run_number: Ints
    event_number: Ints
    weight: Floats
    m_phi: float
    m_s: float
    jets: Table
    tracks: Table
    clusters: Table | None
    long_lived: Table


def settings(*, unmatched: bool) -> dict[str, Any]:
    """Return every number that the rows depend on, for the settings hash of a training file."""
    return {
        "min_pt_gev": MIN_PT_GEV,
        "max_abs_eta": MAX_ABS_ETA,
        "radius": RADIUS,
        "min_track_pt_gev": MIN_TRACK_PT_GEV,
        "min_hard_track_pt_gev": MIN_HARD_TRACK_PT_GEV,
        "energy_floor_gev": ENERGY_FLOOR_GEV,
        "n90_share": N90_SHARE,
        "charge_exponent": CHARGE_EXPONENT,
        "unmatched": unmatched,
    }


@spent_on(Part.VARIABLES)
def training_rows(block: Block, *, unmatched: bool = False) -> Rows:
    """Turn events into rows of jets, tracks and clusters.

    Parameters
    ----------
    block : Block
    unmatched : bool
        Keep the jets of signal events that no s is near to, with label -1.

    Returns
    -------
    Rows
        ``jets`` of shape (N,), ``tracks`` (N, 40), ``clusters`` (N, 30), in the order of the events
        and, in each, of the block's jets.
    """
    jets = block.jets
    chosen = np.flatnonzero((jets["pt"] > MIN_PT_GEV) & (np.abs(jets["eta"]) < MAX_ABS_ETA))
    label, partner = _labels(block, chosen)
    if not unmatched:
        chosen, partner, label = (
            values[label != UNLABELLED] for values in (chosen, partner, label)
        )
    axis = {name: jets[name][chosen] for name in ("event", "pt", "eta", "phi")}
    rows = {name: dataset.padded(len(chosen)) for name, dataset in DATASETS.items()}
    if block.clusters is not None:
        _fill_clusters(rows, axis, _constituents(block.clusters, chosen, len(jets["pt"])))
    _fill_calorimeter(rows["jets"], {name: values[chosen] for name, values in jets.items()})
    _fill_tracks(rows, axis, block.tracks)
    _fill_truth(rows["jets"], block, label, partner)
    event = axis["event"]
    rows["jets"]["runNumber"] = block.run_number[event]
    rows["jets"]["eventNumber"] = block.event_number[event]
    rows["jets"]["mcEventWeight"] = block.weight[event]
    return rows


# --- geometry --------------------------------------------------------------------------------


def delta_r(
    eta: NDArray[Any], phi: NDArray[Any], other_eta: NDArray[Any], other_phi: NDArray[Any]
) -> Floats:
    """Return the distances of directions, one by one, in pseudorapidity and azimuth.

    Examples
    --------
    >>> zero, phi = np.zeros(1), np.array([3.0])
    >>> delta_r(zero, phi, zero, -phi).round(4)
    array([0.2832])
    """
    turn = wrapped(np.subtract(phi, other_phi, dtype=np.float64))
    return np.asarray(np.hypot(np.subtract(eta, other_eta, dtype=np.float64), turn))


def pseudorapidity(across: Floats, along: Floats) -> Floats:
    """Return the pseudorapidity of vectors from their lengths across and along the z axis."""
    slope = np.divide(along, across, out=np.copysign(np.inf, along), where=across != 0.0)
    return np.asarray(np.arcsinh(slope))


def pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of rows of two tables that belong to the same event.

    Parameters
    ----------
    first, second : ndarray of int
        The events of the rows; those of `second` ascend.

    Returns
    -------
    tuple of ndarray of int64
        The rows of either; those of the first ascend.
    """
    start = np.searchsorted(second, first, side="left")
    count = np.searchsorted(second, first, side="right") - start
    offset = np.cumsum(count) - count
    of_first = np.repeat(np.arange(len(first)), count)
    return of_first, np.arange(len(of_first)) + np.repeat(start - offset, count)


def nearest(table: Table, others: Table, counts: NDArray[np.bool_] | None = None) -> Floats:
    """Return the distance dR of each row to the nearest other of its event; infinite: none.

    Parameters
    ----------
    table, others : Table
        ``event``, ``eta``, ``phi``; of the same table no row is its own neighbour.
    counts : ndarray of bool, optional
        Which of the others count.
    """
    row, other = pairs(table["event"], others["event"])
    use = np.ones(len(row), dtype=np.bool_) if counts is None else counts[other]
    if table is others:
        use &= row != other
    row, other = row[use], other[use]
    distance = delta_r(
        table["eta"][row], table["phi"][row], others["eta"][other], others["phi"][other]
    )
    found = np.full(len(table["event"]), np.inf)
    np.minimum.at(found, row, distance)
    return found


def _place(
    rows: NDArray[Any], owner: Ints, pt: Floats, table: Table, columns: tuple[str, ...]
) -> None:
    """Put constituents into their owners' rows, the largest pT first, as far as there is room."""
    order = np.lexsort((-pt, owner))
    count = np.bincount(owner, minlength=len(rows))
    slot = np.arange(len(owner)) - (np.cumsum(count) - count)[owner[order]]
    fits = slot < rows.shape[1]
    constituent, where = order[fits], (owner[order][fits], slot[fits])
    for column in columns:
        rows[column][where] = table[column][constituent]
    rows["valid"][where] = True


# --- truth -----------------------------------------------------------------------------------


def _labels(block: Block, chosen: Ints) -> tuple[Ints, Ints]:
    """Give each chosen jet its label and its s; -1: none."""
    event, particles = block.jets["event"][chosen], block.long_lived
    has_long_lived = np.zeros(len(block.event_number), dtype=bool)
    has_long_lived[particles["event"]] = True
    jet, particle = pairs(event, particles["event"])
    distance = delta_r(
        block.jets["eta"][chosen][jet],
        block.jets["phi"][chosen][jet],
        particles["decay_eta"][particle],
        particles["decay_phi"][particle],
    )
    near = distance < RADIUS
    partner = _nearest_first(
        jet[near], particle[near], distance[near], len(chosen), len(particles["event"])
    )
    label = np.where(has_long_lived[event], UNLABELLED, BACKGROUND)
    label[partner >= 0] = SIGNAL
    return label, partner


def _nearest_first(jet: Ints, particle: Ints, distance: Floats, jets: int, particles: int) -> Ints:
    """Give each jet a particle and each particle a jet at most, the nearest pairs first."""
    order = np.lexsort((particle, jet, distance))
    jet, particle, rank = jet[order], particle[order], np.arange(len(order))
    partner = np.full(jets, -1)
    while len(rank):
        # A pair that is the nearest of both its members comes before any other of theirs.
        best_of_jet = np.full(jets, len(order))
        best_of_particle = np.full(particles, len(order))
        np.minimum.at(best_of_jet, jet, rank)
        np.minimum.at(best_of_particle, particle, rank)
        taken = (rank == best_of_jet[jet]) & (rank == best_of_particle[particle])
        partner[jet[taken]] = particle[taken]
        left = ~np.isin(jet, jet[taken]) & ~np.isin(particle, particle[taken])
        jet, particle, rank = jet[left], particle[left], rank[left]
    return partner


def _fill_truth(jets: NDArray[Any], block: Block, label: Ints, partner: Ints) -> None:
    jets["label"] = label
    matched = partner >= 0
    particle = {name: values[partner[matched]] for name, values in block.long_lived.items()}
    for column, name in (
        *((f"llp_{name}", name) for name in ("pt", "eta", "phi", "decay")),
        ("llp_Lxy", "lxy"),
        ("llp_mS", "mass"),
    ):
        jets[column][matched] = particle[name]
    jets["llp_Lz"][matched] = np.abs(particle["lz"])
    jets["llp_mH"][matched] = block.m_phi
    if np.isfinite(block.m_s):
        jets["llp_mS"][matched] = block.m_s


# --- calorimeter -----------------------------------------------------------------------------


def _sum_layers(table: Table, layers: tuple[str, ...]) -> Floats:
    energies = [table[f"e_{layer}"] for layer in layers]
    return np.asarray(np.sum(energies, axis=0, dtype=np.float64))


def _fill_calorimeter(jets: NDArray[Any], table: Table) -> None:
    names = ("pt", "eta", "phi", "mass", "n_towers", *(f"e_{layer}" for layer in LAYERS))
    for name in (*names, *(name for name in ("width", "n90", "time") if name in table)):
        jets[name] = table[name]
    electromagnetic = _sum_layers(table, ELECTROMAGNETIC)
    hadronic = _sum_layers(table, HADRONIC)
    total = electromagnetic + hadronic
    # Noise makes energies below 0; a jet of nothing but noise has no share to speak of.
    share = np.divide(electromagnetic, total, out=np.zeros_like(total), where=total > 0.0)
    jets["emf"] = np.clip(share, 0.0, 1.0)
    floored = [np.maximum(energy, ENERGY_FLOOR_GEV) for energy in (hadronic, electromagnetic)]
    jets["log10_EH_EEM"] = np.log10(floored[0] / floored[1])


def _constituents(clusters: Table, chosen: Ints, jets: int) -> Table:
    """Return the clusters of the chosen jets; their ``jet`` counts among the chosen."""
    row_of = np.full(jets + 1, -1)
    row_of[chosen] = np.arange(len(chosen))
    # The last place stands for -1, no jet.
    owner = row_of[clusters["jet"]]
    kept = owner >= 0
    return {name: values[kept] for name, values in clusters.items()} | {"jet": owner[kept]}


def _fill_clusters(rows: Rows, axis: Table, clusters: Table) -> None:
    jets, owner, count = rows["jets"], clusters["jet"], len(axis["pt"])
    energy, pt = (np.maximum(clusters[name].astype(np.float64), 0.0) for name in ("e", "pt"))
    distance = delta_r(clusters["eta"], clusters["phi"], axis["eta"][owner], axis["phi"][owner])
    jets["width"] = _mean(distance, pt, owner, count)
    jets["n90"] = _n90(energy, owner, count)
    timed = np.isfinite(clusters["time"])
    jets["time"] = _mean(
        np.where(timed, clusters["time"], 0.0), np.where(timed, energy**2, 0.0), owner, count
    )
    table = clusters | _cluster_shares(clusters)
    _place(rows["clusters"], owner, pt, table, ("pt", "eta", "phi", "time", *_CLUSTER_SHARES))


def _mean(values: Floats, weights: Floats, owner: Ints, count: int) -> Floats:
    """Return weighted means by owner; 0 where there is no weight."""
    total = np.bincount(owner, weights, minlength=count)
    product = np.bincount(owner, weights * values, minlength=count)
    return np.divide(product, total, out=np.zeros(count), where=total > 0.0)


def _n90(energy: Floats, owner: Ints, count: int) -> Ints:
    """Count, for each owner, the fewest that hold 90 % of the energy."""
    order = np.lexsort((-energy, owner))
    owner, energy = owner[order], energy[order]
    total = np.bincount(owner, energy, minlength=count)
    before = np.cumsum(energy) - energy - (np.cumsum(total) - total)[owner]
    # One is needed if those before it fall short; by more than the rounding of the sums.
    needed = (energy > 0.0) & (before < N90_SHARE * total[owner] * (1.0 - 1e-9))
    return np.bincount(owner[needed], minlength=count)


def _cluster_shares(clusters: Table) -> Table:
    # Below 0 is noise; what is above adds up to the whole.
    positive = {
        f"e_{layer}": np.maximum(clusters[f"e_{layer}"].astype(np.float64), 0.0) for layer in LAYERS
    }
    total = _sum_layers(positive, LAYERS)
    unknown = np.where(np.isnan(total), np.nan, 0.0)
    return {
        name: np.divide(_sum_layers(positive, layers), total, out=unknown.copy(), where=total > 0.0)
        for name, layers in _CLUSTER_SHARES.items()
    }


# --- tracks ----------------------------------------------------------------------------------


def _fill_tracks(rows: Rows, axis: Table, tracks: Table) -> None:
    jets, count = rows["jets"], len(axis["pt"])
    owner, track = pairs(axis["event"], tracks["event"])
    pt = tracks["pt"][track].astype(np.float64)
    distance = delta_r(
        tracks["eta"][track], tracks["phi"][track], axis["eta"][owner], axis["phi"][owner]
    )
    nearest = np.full(count, NO_TRACK_DR)
    hard = pt > MIN_HARD_TRACK_PT_GEV
    np.minimum.at(nearest, owner[hard], distance[hard])
    jets["min_dr_track"] = nearest

    inside = (distance < RADIUS) & (pt > MIN_TRACK_PT_GEV)
    owner, pt, track = owner[inside], pt[inside], track[inside]
    own = {name: values[track] for name, values in tracks.items()}
    jets["n_tracks"] = np.bincount(owner, minlength=count)
    jets["sum_pt_tracks"] = np.bincount(owner, pt, minlength=count)
    jets["charge"] = _charge(own["charge"], pt, owner, axis["pt"])
    jets["dispersion"] = _dispersion(pt, owner, count)
    _place(rows["tracks"], owner, pt, own, _TRACK_COLUMNS)


def _charge(charge: Ints, pt: Floats, owner: Ints, jet_pt: Floats) -> Floats:
    """Return the jet charge, the sum of q pT^k over that of the jet's pT^k, k = 0.5.

    Field and Feynman, Nucl. Phys. B 136 (1978) 1; with the jet's pT below the line and this k in
    ATLAS, Phys. Rev. D 93 (2016) 052003.
    """
    weighted = np.bincount(owner, charge * pt**CHARGE_EXPONENT, minlength=len(jet_pt))
    return np.asarray(weighted / jet_pt.astype(np.float64) ** CHARGE_EXPONENT)


def _dispersion(pt: Floats, owner: Ints, count: int) -> Floats:
    """Return the root of the sum of pT squared over the sum of pT; 1 for a single track.

    pTD of CMS, JME-13-002; ATLAS has much the same of calorimeter clusters.
    """
    squares = np.bincount(owner, pt**2, minlength=count)
    total = np.bincount(owner, pt, minlength=count)
    return np.divide(np.sqrt(squares), total, out=np.zeros(count), where=total > 0.0)
