"""AODs and DAODs of athena, read into blocks of events for the training variables.

What a file lacks of the variables that need not be there (`hvmpi.training.xaod.VARIABLES`) is NaN,
-1 or, for the counts of a track's measurements, 0. Different from the open chain: ``Width``,
``N90Constituents`` and ``Timing`` of the jets go before what would be made of clusters, of which
DAODs keep few; a cluster belongs to the nearest jet within dR 0.4; a track belongs to the primary
vertex if it passes it within 3 mm, abs(dz sin(theta)), as in the loose association of ATLAS; the
sums of weights are those of the events in the file, which in a DAOD are not all that were made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError, UsageError
from hvmpi.files import sha256_of
from hvmpi.openchain.evnt import NORMALISATION_FIELDS
from hvmpi.openchain.processes import DARK_PION, S
from hvmpi.openchain.schemas import LAYERS
from hvmpi.training.books import normalisation_table, only_run, versions
from hvmpi.training.columns import RADIUS
from hvmpi.training.truth import LONG_LIVED, heaviest_products, long_lived_table
from hvmpi.training.variables import Block, Table, delta_r, pairs, pseudorapidity
from hvmpi.training.xaod import SAMPLINGS, TRACK_COUNTS, Store

__all__ = ["AthenaAOD", "AthenaSample"]

_EVENTS = 200
_PRIMARY_VERTEX = 1
_LOOSE_MM = 3.0


@dataclass(frozen=True, slots=True)
class AthenaSample:
    """What a file of athena does not say of itself.

    Attributes
    ----------
    name, process : str
        As they are to stand in the table of normalisation; empty: not known. A process has at most
        12 letters.
    m_phi, m_s : float
        Nominal masses, GeV; NaN: not known.
    jets : str
        The container of jets; empty: the first of `CONTAINERS` that is there.
    long_lived : tuple of int
        PDG numbers, without sign, of the long-lived particles.
    """

    name: str = ""
    process: str = ""
    m_phi: float = math.nan
    m_s: float = math.nan
    jets: str = ""
    long_lived: tuple[int, ...] = (S, 36, DARK_PION, 4900211)

    def __post_init__(self) -> None:
        longest = np.dtype(dict(NORMALISATION_FIELDS)["process"]).itemsize
        if len(self.process.encode()) > longest:
            raise UsageError(f"process {self.process!r} has more than {longest} letters")
        for name, mass in (("m-phi", self.m_phi), ("m-s", self.m_s)):
            if not (math.isnan(mass) or 0.0 < mass < math.inf):
                raise UsageError(f"{name} must be a mass above 0 GeV, not {mass:g}")


class AthenaAOD:
    """An open AOD or DAOD of athena.

    Used as a context.

    Parameters
    ----------
    path : Path
    sample : AthenaSample

    Attributes
    ----------
    source : dict
        What is known of its making.

    Raises
    ------
    InputError
        If it is no such file, or lacks variables; names their branches.
    SetupError
        If uproot is not installed.
    """

    def __init__(self, path: Path, sample: AthenaSample) -> None:
        self._path, self._sample = path, sample
        self._store = Store(path, sample.jets)
        try:
            self._store.check()
        except InputError:
            self._store.close()
            raise
        self.source = {
            "engine": "athena",
            "jets": self._store.names["jets"],
            "extraction": versions("awkward", "uproot"),
        }

    def blocks(self) -> Iterator[Block]:
        """Yield the events, block by block; raise `InputError` where the file is damaged."""
        for start in range(0, len(self._store), _EVENTS):
            stop = min(start + _EVENTS, len(self._store))
            event = self._store.event(start, stop)
            jets = self._jets(start, stop)
            yield Block(
                run_number=event["mcChannelNumber" if "mcChannelNumber" in event else "runNumber"],
                event_number=event["eventNumber"],
                weight=event["weight"],
                m_phi=self._sample.m_phi,
                m_s=self._sample.m_s,
                jets=jets,
                tracks=self._tracks(start, stop),
                clusters=self._clusters(start, stop, jets),
                long_lived=self._long_lived(start, stop),
            )

    def _jets(self, start: int, stop: int) -> Table:
        read = self._store.table("jets", start, stop)
        jets = {name: read[name] for name in ("event", "pt", "eta", "phi")}
        own = {"m": "mass", "Width": "width", "N90Constituents": "n90", "Timing": "time"}
        jets |= {own[name]: read[name] for name in own if name in read}
        jets["n_towers"] = np.full(len(jets["pt"]), -1)
        return jets | _layers(read["EnergyPerSampling"])

    def _clusters(self, start: int, stop: int, jets: Table) -> Table | None:
        scale = next((s for s in ("raw", "cal") if self._store.has("clusters", *_axes(s))), None)
        if scale is None:
            return None
        read = self._store.table("clusters", start, stop)
        energy, eta, phi = (read[name] for name in _axes(scale))
        unknown = np.full(len(energy), np.nan)
        clusters = {
            "event": read["event"],
            "e": energy,
            "pt": energy / np.cosh(eta),
            "eta": eta,
            "phi": phi,
            "time": read.get("time", unknown),
            "jet": _nearest_jet(read["event"], eta, phi, jets),
        }
        by_sampling = read.get("e_sampl", np.full((len(energy), len(SAMPLINGS)), np.nan))
        return clusters | _layers(by_sampling)

    def _tracks(self, start: int, stop: int) -> Table:
        found = [self._track_table("tracks", start, stop)]
        if self._store.has("large-radius tracks", "d0", "z0", "phi", "theta", "qOverP"):
            found.append(self._track_table("large-radius tracks", start, stop))
        tracks = {name: np.concatenate([some[name] for some in found]) for name in found[0]}
        order = np.argsort(tracks["event"], kind="stable")
        tracks = {name: values[order] for name, values in tracks.items()}
        tracks["vertex_n"] = self._in_primary_vertex(tracks, start, stop)
        return tracks

    def _track_table(self, kind: str, start: int, stop: int) -> Table:
        read = self._store.table(kind, start, stop)
        count = len(read["event"])
        theta, q_over_p = (read[name].astype(np.float64) for name in ("theta", "qOverP"))
        # A straight track has no end of momentum.
        momentum = np.divide(1.0, np.abs(q_over_p), out=np.zeros(count), where=q_over_p != 0.0)
        tracks = {name: read[name] for name in ("event", "d0", "z0", "phi")}
        tracks |= {
            "theta": theta,
            "pt": momentum * np.sin(theta),
            "eta": pseudorapidity(np.sin(theta), np.cos(theta)),
            "charge": np.sign(q_over_p),
            "chi2": read.get("chiSquared", np.full(count, np.nan)),
            "z": read["z0"] + read.get("vz", 0.0),
        }
        for column in ("n_pixel", "n_strip", "holes_pixel", "holes_strip", "shared"):
            names = [name for name, of in TRACK_COUNTS.items() if of == column and name in read]
            tracks[column] = np.sum([read[name] for name in names], axis=0) + np.zeros(count, int)
        return tracks

    def _in_primary_vertex(self, tracks: Table, start: int, stop: int) -> NDArray[Any]:
        if not self._store.has("vertices", "z", "vertexType"):
            return np.zeros(len(tracks["pt"]), dtype=bool)
        vertices = self._store.table("vertices", start, stop)
        primary = vertices["vertexType"] == _PRIMARY_VERTEX
        z = np.full(stop - start, np.nan)
        z[vertices["event"][primary]] = vertices["z"][primary]
        distance = (tracks["z"] - z[tracks["event"]]) * np.sin(tracks["theta"])
        return np.asarray(np.abs(distance) < _LOOSE_MM)

    def _long_lived(self, start: int, stop: int) -> Table:
        particles = self._store.table("truth particles", start, stop)
        vertices = self._store.table("truth vertices", start, stop)
        if "pdgId" not in particles or "x" not in vertices:
            none = np.zeros(0, dtype=np.int64)
            return long_lived_table(dict.fromkeys(LONG_LIVED, none))
        pdg_id = np.abs(particles["pdgId"])
        made, decayed = (_vertex(particles, vertices, link) for link in ("prod", "decay"))
        rows = np.flatnonzero(np.isin(pdg_id, self._sample.long_lived))
        rows, parent, product = _products(rows, made, decayed, pdg_id)
        mass = particles["m"]
        decay = heaviest_products(parent, mass[product], pdg_id[product], len(rows))
        # The last place stands for -1, no vertex.
        point = {axis: np.append(vertices[axis], np.nan)[decayed[rows]] for axis in ("x", "y", "z")}
        kept = {name: particles[name][rows] for name in ("event", "px", "py", "pz")}
        return long_lived_table(kept | point | {"mass": mass[rows], "decay": decay})

    def normalisation(self, ranges: NDArray[Any], weights: NDArray[Any], /) -> NDArray[Any]:
        """Return the table of normalisation of the events, one row."""
        values = {
            "process": self._sample.process.encode(),
            "m_phi": self._sample.m_phi,
            "m_s": self._sample.m_s,
            "run_number": only_run(ranges),
            "first_event": ranges["first_event"].min(),
            "events": len(weights),
            "sum_weights": math.fsum(weights),
            "sum_weights2": math.fsum(weights**2),
            "input_sha256": sha256_of(self._path).encode(),
            "source": 0,
        }
        return normalisation_table(self._sample.name.encode(), values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _axes(scale: str) -> tuple[str, str, str]:
    return f"{scale}E", f"{scale}Eta", f"{scale}Phi"


def _layers(by_sampling: NDArray[np.float64]) -> Table:
    return {
        f"e_{layer}": by_sampling[:, [place == layer for place in SAMPLINGS]].sum(axis=1)
        for layer in LAYERS
    }


def _nearest_jet(
    event: NDArray[np.int64], eta: NDArray[Any], phi: NDArray[Any], jets: Table
) -> NDArray[np.int64]:
    cluster, jet = pairs(event, jets["event"])
    distance = delta_r(eta[cluster], phi[cluster], jets["eta"][jet], jets["phi"][jet])
    near = distance < RADIUS
    cluster, jet = cluster[near], jet[near]
    nearest_last = np.lexsort((-distance[near], cluster))
    nearest = np.full(len(event), -1)
    nearest[cluster[nearest_last]] = jet[nearest_last]
    return nearest


def _vertex(particles: Table, vertices: Table, link: str) -> NDArray[np.int64]:
    """Return the row, in the table of vertices, that each particle is linked to; -1: none."""
    key, index = (
        particles[f"{link}VtxLink.{part}"].astype(np.int64) for part in ("m_persKey", "m_persIndex")
    )
    first = np.searchsorted(vertices["event"], particles["event"])
    stop = np.searchsorted(vertices["event"], particles["event"], side="right")
    # Links to vertices that a derivation left out point nowhere.
    return np.where((key != 0) & (index < stop - first), first + index, -1)


def _products(
    rows: NDArray[np.int64],
    made: NDArray[np.int64],
    decayed: NDArray[np.int64],
    pdg_id: NDArray[Any],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return those of the rows that are no copies, and of each product its parent and row.

    The parents are counted among the rows that are returned. A particle that ends where another of
    the same kind begins is a copy of that.
    """
    by_vertex = np.argsort(made, kind="stable")
    decaying = np.flatnonzero(decayed[rows] >= 0)
    of_decaying, place = pairs(decayed[rows[decaying]], made[by_vertex])
    parent, product = decaying[of_decaying], by_vertex[place]
    copy = np.zeros(len(rows), dtype=bool)
    copy[parent[pdg_id[product] == pdg_id[rows[parent]]]] = True
    kept = ~copy[parent]
    return rows[~copy], (np.cumsum(~copy) - 1)[parent[kept]], product[kept]
