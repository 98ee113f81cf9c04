"""Truth: what an event record says of the particles, as arrays.

A table is a dictionary from field names to arrays of one length. The tables of this module have
the fields of `hvmpi.openchain.schemas.TRUTH`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import BadEventFileError
from hvmpi.openchain.detector import WORLD_R_MM, WORLD_Z_MM
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.field import C_MM_PER_NS
from hvmpi.openchain.record import EventRecord

__all__ = [
    "LONG_LIVED",
    "GeneratedEvent",
    "charge",
    "from_record",
]

LONG_LIVED = (35, 36, 4900111, 4900211)
"""PDG numbers of what may decay in the detector: the s (35; 36 in other models), dark pions."""

# What is simulated: softer and more forward particles leave no track to be found. A photon's
# electrons share its momentum.
MIN_PT_GEV = 0.1
MIN_PHOTON_PT_GEV = 0.5
MAX_ABS_ETA = 4.0

_LONG_LIVED_BOTH = (*LONG_LIVED, *(-number for number in LONG_LIVED))
_STABLE = 1
_PHOTON = 22


def settings() -> dict[str, float]:
    """Return the cuts on what is simulated, for the settings hash of a product."""
    return {
        "min_pt_gev": MIN_PT_GEV,
        "min_photon_pt_gev": MIN_PHOTON_PT_GEV,
        "max_abs_eta": MAX_ABS_ETA,
        "world_r_mm": WORLD_R_MM,
        "world_z_mm": WORLD_Z_MM,
    }


@cache
def charge(pdg_id: int) -> float:
    """Return a particle's charge from its number.

    Parameters
    ----------
    pdg_id : int
        Numbered as the Particle Data Group does (Review of Particle Physics, Monte Carlo particle
        numbering scheme).

    Returns
    -------
    float
        In units of e; 0 for numbers that the scheme does not define a charge for.

    Examples
    --------
    >>> charge(211), charge(-11), charge(3312), charge(35)
    (1.0, 1.0, -1.0, 0.0)
    """
    number = abs(pdg_id)
    sign = 1 if pdg_id > 0 else -1
    if number >= 1_000_000_000:
        return sign * float(number // 10_000 % 1000)
    if 4_900_000 <= number < 5_000_000:
        return 0.0
    # Superpartners (1000000, 2000000) and excited states carry their partner's digits.
    core = number % 10_000
    quarks = [core // 10 % 10, core // 100 % 10, core // 1000 % 10]
    if number % 1_000_000 < 100:
        thirds = {11: -3, 13: -3, 15: -3, 17: -3, 24: 3, 34: 3, 37: 3}.get(core, 0)
        if 1 <= core <= 8:
            thirds = _quark_thirds(core)
    elif quarks[2]:
        thirds = sum(_quark_thirds(quark) for quark in quarks)
    else:
        light, heavy, _ = quarks
        thirds = _quark_thirds(heavy) - _quark_thirds(light)
        # A meson's positive number belongs to the one with the heavier quark if that is
        # up-type, else with its antiquark.
        if heavy % 2:
            thirds = -thirds
    return sign * thirds / 3.0


def _quark_thirds(quark: int) -> int:
    if not 1 <= quark <= 8:
        return 0
    return 2 if quark % 2 == 0 else -1


@dataclass(frozen=True, slots=True)
class GeneratedEvent:
    """One event of an event file, as the simulation wants it.

    Attributes
    ----------
    run_number, event_number : int
    weight : float
    truth : Table
        The hard process, the long-lived particles with their decay products, and every particle
        that is simulated; `parent` and `llp` are rows of this table.
    simulated : ndarray of int64
        Rows of `truth` that are simulated, ascending.
    keep : ndarray of bool
        Rows of `truth` that stay, whether they leave hits or not.
    stable : Table
        Every stable particle, for the calorimeters and truth jets: ``pdg_id``, ``charge``,
        ``mass``, ``px``, ``py``, ``pz``, ``x``, ``y``, ``z``, ``t``.
    """

    run_number: int
    event_number: int
    weight: float
    truth: Table
    simulated: NDArray[np.int64]
    keep: NDArray[np.bool_]
    stable: Table


def _is_hard_process(status: NDArray[np.int32]) -> NDArray[np.bool_]:
    # Pythia marks its hardest subprocess 21-29; older records of others use 3.
    return np.asarray(((status >= 21) & (status <= 29)) | (status == 3))


class _Graph:
    """Who comes from whom in an event record; particles and vertices by row, -1 for none.

    Every array has one row more, for "none": -1 finds it.

    Parameters
    ----------
    record : EventRecord

    Attributes
    ----------
    production, end : ndarray of int64, shape (n_particles + 1,)
        Vertices.
    positions : ndarray of float64, shape (n_vertices + 1, 4)
        mm and ns. A vertex without a position has that of the vertex before it.
    """

    def __init__(self, record: EventRecord) -> None:
        size, vertices = len(record.pid), len(record.positions) - 1
        self._pid = np.append(record.pid, 0)
        self._incoming = _Groups(*record.incoming, vertices)
        self._outgoing = _Groups(*record.outgoing, vertices)
        self.production = np.full(size + 1, -1)
        self.production[self._outgoing.members] = self._outgoing.owners
        self.end = np.full(size + 1, -1)
        self.end[self._incoming.members] = self._incoming.owners
        self.positions = self._positions(record.positions.copy())

    def _positions(self, own: NDArray[np.float64]) -> NDArray[np.float64]:
        own[:, 3] /= C_MM_PER_NS
        placed = np.asarray(own.any(axis=1))
        placed[-1] = True
        return np.asarray(own[_nearest(self.production[self._incoming.nth(0)], placed)])

    def children(self, vertex: int) -> NDArray[np.int64]:
        """Return the particles that a vertex produces."""
        return self._outgoing.of(vertex)

    def descendants(self, vertex: int) -> list[int]:
        """Return all particles that come from a vertex."""
        starts, members = self._outgoing.starts.tolist(), self._outgoing.members.tolist()
        ends = self.end.tolist()
        stack, seen, found = [vertex], {vertex}, []
        while stack:
            here = stack.pop()
            for child in members[starts[here] : starts[here + 1]]:
                found.append(child)
                end = ends[child]
                if end >= 0 and end not in seen:
                    seen.add(end)
                    stack.append(end)
        return found

    def ancestors(self, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return each particle's nearest ancestor that is kept."""
        mothers = self._mothers()
        return np.asarray(_nearest(mothers, np.append(kept, True))[mothers[:-1]])

    def _mothers(self) -> NDArray[np.int64]:
        """Return the previous copies or the only mothers; -1 where partons hadronize."""
        entering = self._incoming.counts[self.production]
        first, second, third = (self._incoming.nth(n)[self.production] for n in range(3))
        mothers = np.where(entering == 1, first, -1)
        # A shower's branching holds two partons and their recoiler.
        branching = (entering == 2) | (entering == 3)
        for mother in (third, second, first):
            copy = branching & (mother >= 0) & (self._pid[mother] == self._pid)
            mothers[copy] = mother[copy]
        return mothers


class _Groups:
    """Particles by the vertex that they enter or leave, in the order of the links.

    Attributes
    ----------
    owners, members : ndarray of int64, shape (n_links,)
        Vertices, ascending, and their particles.
    counts : ndarray of int64, shape (n_vertices + 1,)
        Members of each vertex; none of the last, which stands for no vertex.
    starts : ndarray of int64, shape (n_vertices + 1,)
        The members of vertex v are ``members[starts[v] : starts[v + 1]]``.
    """

    def __init__(self, owners: NDArray[Any], members: NDArray[Any], vertices: int) -> None:
        order = np.argsort(owners, kind="stable")
        self.owners, self.members = owners[order], members[order]
        self.counts = np.bincount(owners, minlength=vertices + 1)
        self.starts = np.cumsum(self.counts) - self.counts

    def of(self, vertex: int) -> NDArray[np.int64]:
        return np.asarray(self.members[self.starts[vertex] : self.starts[vertex + 1]])

    def nth(self, place: int) -> NDArray[np.int64]:
        """Return each vertex's particle at a place from 0 on; -1 if it has no such."""
        found = np.full(len(self.counts), -1)
        there = self.counts > place
        found[there] = self.members[self.starts[there] + place]
        return found


def _nearest(before: NDArray[np.int64], stop: NDArray[Any]) -> NDArray[np.int64]:
    """Follow ``before`` from each place to the first, itself included, where it may stop.

    The last place stands for none, may always stop, and is given as -1.
    """
    here = np.arange(len(before))
    here[-1] = -1
    to = np.where(stop, here, before)
    # Each round doubles the steps; a circle, which no sound record has, ends all the same.
    for _ in range(len(before).bit_length()):
        further = to[to]
        if np.array_equal(further, to):
            break
        to = further
    return to


def from_record(record: EventRecord, run_number: int, event_number: int) -> GeneratedEvent:
    """Turn an event record into what the simulation wants.

    Parameters
    ----------
    record : EventRecord
    run_number, event_number : int
        The identity to give it.

    Returns
    -------
    GeneratedEvent

    Raises
    ------
    BadEventFileError
        If a momentum or position is not a number.
    """
    graph = _Graph(record)
    pid, status = record.pid, record.status
    keep = _is_hard_process(status)
    llp = np.full(len(pid), -1)
    for row in np.flatnonzero(np.isin(pid, _LONG_LIVED_BOTH)).tolist():
        end = int(graph.end[row])
        if end < 0 or (pid[graph.children(end)] == pid[row]).any():
            continue
        keep[row] = True
        keep[graph.children(end)] = True
        llp[graph.descendants(end)] = row

    # Of all others neither momentum nor place matters.
    is_stable = status == _STABLE
    wanted = np.flatnonzero(keep | is_stable)
    kinematics = _kinematics(record, graph, wanted)
    if not all(np.isfinite(kinematics[name]).all() for name in _KINEMATICS[2:]):
        raise BadEventFileError(
            f"event {event_number} holds a momentum, mass or position that is not a number"
        )
    simulated = is_stable[wanted] & _is_simulated(kinematics)
    chosen = np.flatnonzero(keep[wanted] | simulated)
    rows = wanted[chosen]
    table = {name: values[chosen] for name, values in kinematics.items()}
    stable = np.flatnonzero(is_stable[wanted])
    decayed = graph.positions[graph.end[rows]]
    decayed[~keep[rows] | (graph.end[rows] < 0)] = math.nan
    radius = np.hypot(table["x"], table["y"])
    inside = (radius < WORLD_R_MM) & (np.abs(table["z"]) < WORLD_Z_MM)

    new_row = np.full(len(pid) + 1, -1)
    new_row[rows] = np.arange(len(rows))
    truth: Table = {
        "barcode": rows + 1,
        "pdg_id": table["pdg_id"],
        "status": status[rows],
        **{name: table[name] for name in _KINEMATICS[1:]},
        "decay_x": decayed[:, 0],
        "decay_y": decayed[:, 1],
        "decay_z": decayed[:, 2],
        "decay_t": decayed[:, 3],
        "parent": new_row[graph.ancestors(keep)[rows]],
        "llp": new_row[llp[rows]],
    }
    return GeneratedEvent(
        run_number=run_number,
        event_number=event_number,
        weight=record.weight,
        truth=truth,
        simulated=np.flatnonzero(simulated[chosen] & inside),
        keep=keep[rows],
        stable={name: values[stable] for name, values in kinematics.items()},
    )


_KINEMATICS = ("pdg_id", "charge", "mass", "px", "py", "pz", "x", "y", "z", "t")


def _kinematics(record: EventRecord, graph: _Graph, rows: NDArray[np.int64]) -> Table:
    pid = record.pid[rows]
    distinct, where = np.unique(pid, return_inverse=True)
    charges = np.array([charge(pdg_id) for pdg_id in distinct.tolist()], dtype=np.float64)[where]
    px, py, pz, mass = record.momenta(rows)
    born = graph.positions[graph.production[rows]]
    return dict(zip(_KINEMATICS, (pid, charges, mass, px, py, pz, *born.T), strict=True))


def _is_simulated(stable: Table) -> NDArray[np.bool_]:
    pt = np.hypot(stable["px"], stable["py"])
    # |eta| < limit, without a division by a vanishing pT
    central = np.abs(stable["pz"]) < pt * math.sinh(MAX_ABS_ETA)
    photon = (stable["pdg_id"] == _PHOTON) & (pt > MIN_PHOTON_PT_GEV)
    visible = ((stable["charge"] != 0.0) & (pt > MIN_PT_GEV)) | photon
    return np.asarray(visible & central)
