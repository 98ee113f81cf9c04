"""From Pythia's event record to HepMC3, in whole arrays.

Pythia lists particles with their mothers; HepMC3 wants a graph of vertices. Each particle's mothers
end in one vertex, the one where it is produced. A branching of the final-state shower (radiator
and recoiler in; two emitted and the recoiler out) is one vertex, not two, and so is a string that
collapses to one hadron with the partons that take its recoil: so momentum is conserved there.
It is not where Pythia boosts partons without a record of whence: in the initial-state shower and
the beam remnants' transverse momentum, all at the interaction point and before hadronization; and
in a few events where a collapsing string recoils against partons that come from another s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.errors import RunError

__all__ = ["Record", "from_hepevt_arguments"]

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

LEAST_FLIGHT = 1e-9
"""Resonances fly less than this, mm/c (W 1e-13), and keep Pythia's status."""

NEAR = 0.1
"""Partons of one decay are produced within this, mm/c, when a string among them collapses."""

# Status codes of Pythia, https://pythia.org/latest-manual/ParticleProperties.html
_EMITTED, _RECOILED = 51, 52
_STRING_RECOILED = 72
_COLLAPSED = (81, _STRING_RECOILED)
_BEAM = 12
_INCOMING = (-21, -31, -34, -41, -42, -45, -46, -53, -54, -61)
_DECAY_PRODUCTS = (91, 92, 93, 94)
_HEPMC_FINAL, _HEPMC_DECAYED, _HEPMC_BEAM = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Record:
    """Pythia's event record without its line 0 (the whole system); indices count from 0.

    Attributes
    ----------
    pid, status : ndarray of int32, shape (n,)
        PDG code; Pythia's status, negative once the particle is no more.
    mother1, mother2 : ndarray of int32, shape (n,)
        -1: none. How they are read depends on `status`.
    px, py, pz, e, m : ndarray, shape (n,)
        GeV.
    x, y, z, t : ndarray, shape (n,)
        Where the particle is produced, mm (time in mm/c).
    """

    pid: Ints
    status: Ints
    mother1: Ints
    mother2: Ints
    px: Floats
    py: Floats
    pz: Floats
    e: Floats
    m: Floats
    x: Floats
    y: Floats
    z: Floats
    t: Floats


def from_hepevt_arguments(record: Record) -> tuple[Any, ...]:
    """Give what ``GenEvent.from_hepevt`` takes after the event number, by position.

    Particles with the same production vertex stand together, and each vertex after those where
    its incoming particles are produced: ``WriterAscii`` then writes files that can be read back.

    Returns
    -------
    tuple
        px, py, pz, energy, mass (GeV), PDG code, HepMC3 status (1 final; 2 decayed, in particular
        what has flown before; 4 beam; else the absolute value of Pythia's), None for the parents,
        first and last child of shape (n, 2) counted from 0 (-1: none), x, y, z, t (mm).
    """
    order, status, children = _ordered(record, *_production_vertices(record))
    columns = (record.px, record.py, record.pz, record.e, record.m, record.pid)
    position = (record.x, record.y, record.z, record.t)
    return (
        *(column[order] for column in columns),
        status,
        None,
        children,
        *(column[order] for column in position),
    )


def _production_vertices(record: Record) -> tuple[Ints, Ints]:
    """Give each particle's production and end vertex by number, -1 for none."""
    first, second = record.mother1, record.mother2
    code = np.abs(record.status)
    size = len(code)
    several = (second >= 0) & (second != first)
    hadrons = ((code > 80) & (code < 90)) | ((code > 100) & (code < 107))
    ranges = several & hadrons & (first < second)
    pairs = several & ~ranges
    lows, highs = np.divmod(np.unique(first[ranges].astype(np.int64) * size + second[ranges]), size)
    lengths = highs - lows
    starts = np.repeat(lows, lengths)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    branching = np.flatnonzero(
        (code[:-2] == _EMITTED)
        & (code[1:-1] == _EMITTED)
        & (code[2:] == _RECOILED)
        & (first[:-2] == first[1:-1])
    )
    # The recoil may go to the partons of another decay: these stay a vertex of their own.
    recoiling = 1 + np.flatnonzero(
        (code[1:] == _STRING_RECOILED)
        & np.isin(code[:-1], _COLLAPSED)
        & (np.abs(record.t[1:] - record.t[:-1]) < NEAR)
    )
    left = np.concatenate([first[pairs], starts, first[branching], first[recoiling - 1]])
    right = np.concatenate(
        [second[pairs], starts + within + 1, first[branching + 2], first[recoiling]]
    )
    ends = _joined(size, left, right)
    production = np.where(first >= 0, ends[first], -1)
    labels, numbered = np.unique(production[first >= 0], return_inverse=True)
    number = np.full(size, -1, dtype=np.int32)
    number[labels] = np.arange(len(labels))
    end = number[ends]
    production = production.astype(np.int32)
    production[first >= 0] = numbered
    return production, end


def _joined(size: int, left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Label the sets that `left[i]` and `right[i]` being together makes of 0 to `size` - 1."""
    label = np.arange(size)
    while True:
        low = np.minimum(label[left], label[right])
        np.minimum.at(label, left, low)
        np.minimum.at(label, right, low)
        label = label[label]
        if np.array_equal(label[left], label[right]):
            return label


def _ordered(
    record: Record, production: Ints, end: Ints
) -> tuple[npt.NDArray[np.intp], Ints, Ints]:
    size = len(production)
    produced = np.flatnonzero(production >= 0)
    count = int(production.max()) + 1 if size else 0
    # Pythia finds the incoming partons backwards, from the hard process to the beams.
    key = np.arange(size)
    backwards = np.isin(record.status, _INCOMING)
    key[backwards] *= -1
    earliest = np.full(count, size)
    np.minimum.at(earliest, production[produced], key[produced])
    rank = np.empty(count + 1, dtype=np.int32)
    rank[np.argsort(earliest, kind="stable")] = np.arange(count)
    rank[-1] = -1
    passing = produced[end[produced] >= 0]
    if (rank[production[passing]] >= rank[end[passing]]).any():
        rank[:-1] = _ranks(count, production[passing], end[passing])
    ranked = rank[production]
    order = np.argsort(ranked, kind="stable")
    edges = np.searchsorted(ranked[order], np.arange(count + 1))
    end_rank = rank[end[order]]
    children = np.stack([edges[end_rank], edges[end_rank + 1] - 1], axis=1).astype(np.int32)
    children[end_rank < 0] = -1
    return order, _status(record, order, children), children


def _ranks(count: int, before: Ints, after: Ints) -> Ints:
    """Rank vertices so that each `before[i]` comes ahead of its `after[i]`."""
    level = np.zeros(count, dtype=np.int32)
    for _ in range(count + 1):
        higher = level.copy()
        np.maximum.at(higher, after, level[before] + 1)
        if np.array_equal(higher, level):
            rank = np.empty(count, dtype=np.int32)
            rank[np.argsort(level, kind="stable")] = np.arange(count)
            return rank
        level = higher
    raise RunError("an event of Pythia's has a particle among its own ancestors")


def _status(record: Record, order: npt.NDArray[np.intp], children: Ints) -> Ints:
    status, pid = record.status[order], record.pid[order]
    hepmc = np.abs(status)
    child = children[:, 0]
    time = record.t[order]
    # Les Houches events bring decays as part of the hard process: flight tells them.
    alone = np.bincount(child[child >= 0], minlength=len(child))[child] == 1
    flown = alone & (time[child] > time + LEAST_FLIGHT)
    decay = np.isin(hepmc[child], _DECAY_PRODUCTS) | flown
    decayed = (child >= 0) & decay & (pid[child] != pid)
    hepmc[status > 0] = _HEPMC_FINAL
    hepmc[decayed] = _HEPMC_DECAYED
    hepmc[status == -_BEAM] = _HEPMC_BEAM
    return hepmc
