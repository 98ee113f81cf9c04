"""Electrons and muons: those of the event record, found with an efficiency and smeared.

Efficiencies follow roughly, by eye and for all abs(eta) alike, ATLAS's reconstruction and
'Medium' identification in Run 2: electrons Eur. Phys. J. C 79 (2019) 639, muons Eur. Phys. J. C 81
(2021) 578. Nothing else is taken for a lepton, and no charge is mistaken.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table
from hvmpi.stopwatch import Part, spent_on

__all__ = ["find_electrons", "find_muons", "settings"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is found of one kind of lepton.

    Attributes
    ----------
    pdg_id : int
    min_pt_gev, max_abs_eta : float
    efficiency : tuple of (float, float)
        pT in GeV and the efficiency there; in between linear in ln(pT), beyond constant.
    """

    pdg_id: int
    min_pt_gev: float
    max_abs_eta: float
    efficiency: tuple[tuple[float, float], ...]


_ELECTRON = _Kind(
    11,
    5.0,
    2.47,
    ((5.0, 0.55), (10.0, 0.70), (20.0, 0.78), (40.0, 0.87), (80.0, 0.92), (200.0, 0.94)),
)
_MUON = _Kind(13, 3.0, 2.7, ((3.0, 0.50), (4.0, 0.75), (6.0, 0.94), (10.0, 0.97), (100.0, 0.97)))

# Born farther out, they belong to no track that such an identification would take.
_MAX_BIRTH_R_MM = 100.0
# Resolutions: of the energy, in sqrt(GeV) and alone (the calorimeter's); of the pT, alone and in
# 1/GeV, so that it is 2 % at 10 GeV, 2.5 % at 100 GeV.
_ELECTRON_STOCHASTIC, _ELECTRON_CONSTANT = 0.101, 0.007
_MUON_CONSTANT, _MUON_RISING = 0.02, 1.5e-4

_GENERATED = 2**32
"""Barcodes above were made in simulation."""


def settings() -> dict[str, object]:
    """Return every number of the leptons, for the settings hash of a product."""
    return {
        "kinds": [asdict(kind) for kind in (_ELECTRON, _MUON)],
        "max_birth_r_mm": _MAX_BIRTH_R_MM,
        "electron_resolution": (_ELECTRON_STOCHASTIC, _ELECTRON_CONSTANT),
        "muon_resolution": (_MUON_CONSTANT, _MUON_RISING),
    }


@spent_on(Part.OBJECTS)
def find_electrons(truth: Table, tracks: Table, random: np.random.Generator) -> Table:
    """Find the electrons of one event.

    Stable ones of the event record with pT above 5 GeV and abs(eta) below 2.47, born within
    r < 100 mm. The energy is smeared with 10.1 %/sqrt(E) and 0.7 %, the direction is the true one.

    Parameters
    ----------
    truth : Table
        Fields of an AOD's truth.
    tracks : Table
        Fields of an AOD's tracks, of which `truth` and `match` are used.
    random : numpy.random.Generator
        The event's own.

    Returns
    -------
    Table
        Fields of an AOD's electrons, by falling pT.
    """
    rows, pt, eta = _candidates(truth, _ELECTRON, random)
    energy = pt * np.cosh(eta)
    spread = np.hypot(_ELECTRON_STOCHASTIC / np.sqrt(energy), _ELECTRON_CONSTANT)
    return _leptons(truth, tracks, rows, pt * _smearing(spread, random), eta)


@spent_on(Part.OBJECTS)
def find_muons(truth: Table, tracks: Table, random: np.random.Generator) -> Table:
    """Find the muons of one event.

    Stable ones of the event record with pT above 3 GeV and abs(eta) below 2.7, born within
    r < 100 mm. The pT is smeared with 2 % and 0.015 % pT/GeV, the direction is the true one.

    Parameters and result are those of `find_electrons`.
    """
    rows, pt, eta = _candidates(truth, _MUON, random)
    spread = np.hypot(_MUON_CONSTANT, _MUON_RISING * pt)
    return _leptons(truth, tracks, rows, pt * _smearing(spread, random), eta)


def _candidates(
    truth: Table, kind: _Kind, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return rows, pT and eta of the true leptons that are found."""
    rows = np.flatnonzero(
        (np.abs(truth["pdg_id"]) == kind.pdg_id)
        & (truth["status"] == 1)
        & (truth["barcode"] < _GENERATED)
        & (np.hypot(truth["x"], truth["y"]) < _MAX_BIRTH_R_MM)
    )
    px, py, pz = (truth[axis][rows].astype(np.float64) for axis in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    inside = (pt > kind.min_pt_gev) & (np.abs(pz) < pt * np.sinh(kind.max_abs_eta))
    rows, pt, pz = rows[inside], pt[inside], pz[inside]
    at, efficiency = zip(*kind.efficiency, strict=True)
    found = random.uniform(size=len(rows)) < np.interp(np.log(pt), np.log(at), efficiency)
    return rows[found], pt[found], np.arcsinh(pz[found] / pt[found])


def _smearing(spread: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    # Above zero, whatever is drawn.
    return np.asarray(np.maximum(1.0 + spread * random.standard_normal(len(spread)), 0.05))


def _leptons(
    truth: Table,
    tracks: Table,
    rows: NDArray[np.int64],
    pt: NDArray[np.float64],
    eta: NDArray[np.float64],
) -> Table:
    order = np.lexsort((rows, -pt))
    rows = rows[order]
    return {
        "pt": pt[order],
        "eta": eta[order],
        "phi": np.arctan2(truth["py"][rows], truth["px"][rows]),
        "charge": np.rint(truth["charge"][rows]),
        "truth": rows,
        "track": _track_of(tracks, len(truth["pdg_id"]))[rows],
    }


def _track_of(tracks: Table, particles: int) -> NDArray[np.int64]:
    """Return the track of each particle: the one with most of its measurements from it."""
    linked = np.flatnonzero(tracks["truth"] >= 0)
    # Of several assignments to a row the last one holds.
    linked = linked[np.lexsort((-linked, tracks["match"][linked]))]
    track = np.full(particles, -1)
    track[tracks["truth"][linked]] = linked
    return track
