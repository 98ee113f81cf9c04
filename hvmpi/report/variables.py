"""What the report shows of events: arrays, made of an AOD's collections, some events at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hvmpi.hdf5 import InputFile
from hvmpi.openchain.eventdata import Collection, Table
from hvmpi.openchain.evnt import is_normalisation
from hvmpi.openchain.field import perigee
from hvmpi.openchain.schemas import AOD, EVENTS, LAYERS
from hvmpi.training.aod import block_rows, long_lived, long_lived_rows
from hvmpi.training.variables import Block, nearest, training_rows

__all__ = ["VARIABLES", "AodFile", "Events", "Quantity", "matched_jets"]

_EVENTS = 256
"""Events that are read at a time; bounds the memory."""

MIN_PT_GEV, MAX_ABS_ETA, MIN_HITS = 1.0, 2.5, 7
"""Charged particles that a track is looked for."""

MAX_RADIUS_MM = 20.0
"""Tracks whose particle is made farther out are not asked how well they point back: there is
material in between."""

ISOLATION, NEIGHBOUR_PT_GEV, JET_ISOLATION = 1.0, 7.0, 0.6
"""Matched jets: no other true jet above that pT nearer than the first, no other jet nearer than
the last."""

_FROM_SIMULATION = 2**32
"""Barcodes of particles that the simulation made begin here."""


class Quantity(Enum):
    """What is looked at; the value says what it is made of, in words for a note."""

    DECAYS = "decays of the s"
    RESONANCES = "masses"
    JETS = "jets"
    PARTICLES = "track efficiency"
    TRACKS = "track resolutions"
    MATCHED_JETS = "response of jets"


class AodFile:
    """An AOD of which collections are looked for when they are needed.

    Used as a context.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    events : structured ndarray
    normalisation : structured ndarray, shape (1,)
    provenance : dict

    Raises
    ------
    InputError
        If it is missing, damaged, no AOD, of another version, or not of one event file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = InputFile(path)
        try:
            self._file.check_schema(AOD.name, AOD.version)
            self.provenance = self._file.json("provenance")
            self.events = self._file.table("events", EVENTS)
            self.normalisation = self._file.table("normalisation")
            if len(self.normalisation) != 1 or not is_normalisation(self.normalisation.dtype):
                self._file.refuse("normalisation", "is not that of one event file")
        except BaseException:
            self._file.close()
            raise
        self._collections: dict[str, Collection] = {}

    def collection(self, name: str) -> Collection:
        """Return a collection; refuse the file if it is not there or does not fit the events."""
        if name not in self._collections:
            made = Collection(self._file, name, AOD.collections[name], len(self.events))
            self._collections[name] = made
        return self._collections[name]

    def blocks(self) -> Iterator[Events]:
        """Yield the events, some at a time."""
        for first in range(0, len(self.events), _EVENTS):
            yield Events(self, first, min(_EVENTS, len(self.events) - first))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Events:
    """Some events of an AOD; what is read is kept for the next who asks.

    Parameters
    ----------
    aod : AodFile
    first, number : int
        The first event, from 0 on, and how many.
    """

    def __init__(self, aod: AodFile, first: int, number: int) -> None:
        self.path = aod.path
        self._aod, self._first, self._number = aod, first, number
        self._tables: dict[str, Table] = {}
        self.events = aod.events[first : first + number]

    def table(self, name: str, *fields: str) -> Table:
        """Return columns of a collection, and ``event``, the row of the event."""
        collection = self._aod.collection(name)
        index = collection.index[self._first : self._first + self._number + 1]
        if name not in self._tables:
            of_event = np.repeat(np.arange(self._number), np.diff(index))
            self._tables[name] = {"event": of_event}
        table = self._tables[name]
        for field in fields:
            if field not in table:
                table[field] = collection.read(field, int(index[0]), int(index[-1]))
        return table

    def truth(self) -> Table:
        """Return what is needed of true particles."""
        return self.table(
            "truth",
            *("barcode", "pdg_id", "status", "charge", "mass", "px", "py", "pz", "x", "y", "z"),
            *("decay_x", "decay_y", "decay_z", "parent", "llp", "hits"),
        )

    def masses(self) -> tuple[float, float]:
        """Return the nominal masses of Phi and s, GeV; NaN: none."""
        (made,) = self._aod.normalisation
        return float(made["m_phi"]), float(made["m_s"])


# --- true decays -----------------------------------------------------------------------------


def _momenta(truth: Table, rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return E, px, py and pz; shape (4, n)."""
    mass, px, py, pz = (truth[name][rows].astype(np.float64) for name in ("mass", "px", "py", "pz"))
    return np.stack([np.sqrt(mass**2 + px**2 + py**2 + pz**2), px, py, pz])


def _masses(momenta: NDArray[np.float64]) -> NDArray[np.float64]:
    energy, *momentum = momenta
    square = energy**2 - sum(part**2 for part in momentum)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def _sums(momenta: NDArray[np.float64], owner: NDArray[Any], owners: int) -> NDArray[np.float64]:
    return np.stack([np.bincount(owner, part, minlength=owners) for part in momenta])


def _decays(events: Events) -> Table:
    """Return the long-lived particles: proper lifetime, decay radius, and what links the two."""
    truth = events.truth()
    rows = long_lived_rows(events.path, truth)
    x, y, z = (
        truth[f"decay_{axis}"][rows].astype(np.float64) - truth[axis][rows] for axis in "xyz"
    )
    _, px, py, pz = _momenta(truth, rows)
    momentum = np.sqrt(px**2 + py**2 + pz**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        boost = truth["mass"][rows] / momentum
        proper = np.sqrt(x**2 + y**2 + z**2) * boost
        stretch = np.hypot(px, py) / truth["mass"][rows]
    known = np.isfinite(proper) & np.isfinite(stretch)
    return {
        "ctau": proper[known],
        "lxy": np.hypot(truth["decay_x"], truth["decay_y"])[rows][known].astype(np.float64),
        "stretch": stretch[known],
        "weight": _weights(events, truth["event"][rows][known]),
    }


def _resonances(events: Events) -> Table:
    """Return masses: of the s from what it decays to, of Phi from its two s."""
    truth = events.truth()
    rows = long_lived_rows(events.path, truth)
    parent = block_rows(events.path, "truth/parent", truth, "parent", truth)
    products = np.flatnonzero(np.isin(parent, rows))
    of_product = np.searchsorted(rows, parent[products])
    momenta = _sums(_momenta(truth, products), of_product, len(rows))
    decayed = np.isin(np.arange(len(rows)), of_product)
    of_s = _masses(momenta)[decayed]
    mothers, owner, count = np.unique(parent[rows], return_inverse=True, return_counts=True)
    two = (count == 2) & (mothers >= 0)
    of_phi = _masses(_sums(_momenta(truth, rows), owner, len(mothers)))[two]
    mass = np.concatenate([of_s, of_phi])
    event = truth["event"][np.concatenate([rows[decayed], mothers[two]])]
    return {
        "mass": mass,
        "is_phi": np.repeat([False, True], [len(of_s), len(of_phi)]),
        "weight": _weights(events, event),
    }


def _weights(events: Events, event: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(events.events["weight"][event], dtype=np.float64)


# --- jets ------------------------------------------------------------------------------------

JET_COLUMNS = ("pt", "eta", "emf", "log10_EH_EEM")

_NO_TRACKS = (
    *("event", "pt", "eta", "phi", "charge", "d0", "z0", "chi2", "n_pixel", "n_strip"),
    *("holes_pixel", "holes_strip", "shared", "vertex_n"),
)


def _jets(events: Events) -> Table:
    """Return the jets of training files: near an s, or of events without one."""
    energies = [f"e_{layer}" for layer in LAYERS]
    m_phi, m_s = events.masses()
    block = Block(
        run_number=events.events["run_number"].astype(np.int64),
        event_number=events.events["event_number"],
        weight=events.events["weight"],
        m_phi=m_phi,
        m_s=m_s,
        jets=events.table("jets", "pt", "eta", "phi", "mass", "n_towers", *energies),
        tracks={name: np.zeros(0, dtype=np.int64) for name in _NO_TRACKS},
        clusters=None,
        long_lived=long_lived(events.path, events.truth()),
    )
    return jets_of(training_rows(block)["jets"])


def jets_of(rows: NDArray[Any]) -> Table:
    """Return what is shown of rows of ``jets`` of a training file."""
    columns = {name: rows[name].astype(np.float64) for name in JET_COLUMNS}
    return columns | {
        "label": rows["label"],
        "run_number": rows["runNumber"],
        "weight": rows["mcEventWeight"].astype(np.float64),
    }


def matched_jets(jets: Table, true: Table) -> Table:
    """Pair true jets with their jets.

    Parameters
    ----------
    jets : Table
        ``event pt eta phi truth_jet`` of an AOD's jets.
    true : Table
        ``event pt eta phi`` of its true jets.

    Returns
    -------
    Table
        ``event``; ``pt`` (GeV) and ``abs_eta`` of the true jet; ``response``, pT over true pT;
        ``isolated``, whether no true jet above 7 GeV is within 1.0 of the true one, and no other
        jet within 0.6 of the jet.
    """
    alone = nearest(true, true, true["pt"] > NEIGHBOUR_PT_GEV) >= ISOLATION
    clear = nearest(jets, jets) >= JET_ISOLATION
    rows = np.flatnonzero(jets["truth_jet"] >= 0)
    first = np.searchsorted(true["event"], jets["event"][rows])
    partner = first + jets["truth_jet"][rows]
    pt = true["pt"][partner].astype(np.float64)
    return {
        "event": jets["event"][rows],
        "pt": pt,
        "abs_eta": np.abs(true["eta"][partner]).astype(np.float64),
        "response": jets["pt"][rows] / pt,
        "isolated": alone[partner] & clear[rows],
    }


def _matched_jets(events: Events) -> Table:
    jets = events.table("jets", "pt", "eta", "phi", "truth_jet")
    true = events.table("truth_jets", "pt", "eta", "phi")
    block_rows(events.path, "jets/truth_jet", jets, "truth_jet", true)
    found = matched_jets(jets, true)
    kept = found["isolated"] & (found["abs_eta"] < MAX_ABS_ETA)
    return {
        "pt": found["pt"][kept],
        "response": found["response"][kept],
        "weight": _weights(events, found["event"][kept]),
    }


# --- tracks ----------------------------------------------------------------------------------


def _particles(events: Events) -> Table:
    """Return charged particles that should have a track, and whether one was found."""
    truth = events.truth()
    tracks = events.table("tracks", "truth")
    pt = np.hypot(truth["px"], truth["py"])
    wanted = (truth["charge"] != 0) & (truth["status"] == 1) & (truth["hits"] >= MIN_HITS)
    wanted &= (truth["barcode"] < _FROM_SIMULATION) & (pt > MIN_PT_GEV)
    wanted &= np.abs(truth["pz"]) < pt * math.sinh(MAX_ABS_ETA)
    rows = np.flatnonzero(wanted)
    found = block_rows(events.path, "tracks/truth", tracks, "truth", truth)
    return {
        "radius": np.hypot(truth["x"], truth["y"])[rows].astype(np.float64),
        "found": np.isin(rows, found),
        "weight": _weights(events, truth["event"][rows]),
    }


def _tracks(events: Events) -> Table:
    """Return how far tracks are off the particle that they belong to, at the beam line."""
    truth = events.truth()
    tracks = events.table("tracks", "truth", "d0", "z0", "pt")
    particle = block_rows(events.path, "tracks/truth", tracks, "truth", truth)
    track = np.flatnonzero(particle >= 0)
    row = particle[track]
    true = {
        name: truth[name][row].astype(np.float64)
        for name in ("x", "y", "z", "px", "py", "pz", "charge")
    }
    pt = np.hypot(true["px"], true["py"])
    kept = (pt > MIN_PT_GEV) & (np.abs(true["pz"]) < pt * math.sinh(MAX_ABS_ETA))
    kept &= (np.hypot(true["x"], true["y"]) < MAX_RADIUS_MM) & (true["charge"] != 0.0)
    true = {name: values[kept] for name, values in true.items()}
    track, pt = track[kept], pt[kept]
    d0, z0 = perigee(
        (true["x"], true["y"], true["z"]), (true["px"], true["py"], true["pz"]), true["charge"]
    )
    return {
        "pt": pt,
        "d0": 1000.0 * (tracks["d0"][track] - d0),
        "z0": 1000.0 * (tracks["z0"][track] - z0),
        "relative_pt": 100.0 * (tracks["pt"][track] / pt - 1.0),
        "weight": _weights(events, tracks["event"][track]),
    }


VARIABLES: Mapping[Quantity, Callable[[Events], Table]] = {
    Quantity.DECAYS: _decays,
    Quantity.RESONANCES: _resonances,
    Quantity.JETS: _jets,
    Quantity.PARTICLES: _particles,
    Quantity.TRACKS: _tracks,
    Quantity.MATCHED_JETS: _matched_jets,
}
"""How each is made; raises `InputError` where a collection is missing or damaged."""
