"""Truth: what an event record says of the particles, as arrays.

A table is a dictionary from field names to arrays of one length. The tables of this module have
the fields of `hvmpi.openchain.schemas.TRUTH`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyhepmc
from numpy.typing import NDArray

from hvmpi.errors import BadEventFileError
from hvmpi.openchain.detector import WORLD_R_MM, WORLD_Z_MM
from hvmpi.openchain.eventdata import Table

__all__ = [
    "C_MM_PER_NS",
    "LONG_LIVED",
    "GeneratedEvent",
    "charge",
    "from_genevent",
]

C_MM_PER_NS = 299.792458

LONG_LIVED = frozenset({35, 36, 4900111, 4900211})
"""PDG numbers of what may decay in the detector: the s (35; 36 in other models), dark pions."""

# What is simulated: softer and more forward particles leave no track to be found. A photon's
# electrons share its momentum.
MIN_PT_GEV = 0.1
MIN_PHOTON_PT_GEV = 0.5
MAX_ABS_ETA = 4.0

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
    """

    run_number: int
    event_number: int
    weight: float
    truth: Table
    simulated: NDArray[np.int64]
    keep: NDArray[np.bool_]


def _is_hard_process(status: NDArray[np.int32]) -> NDArray[np.bool_]:
    # Pythia marks its hardest subprocess 21-29; older records of others use 3.
    return np.asarray(((status >= 21) & (status <= 29)) | (status == 3))


def _is_simulated(particles: Any, charges: NDArray[np.float64]) -> NDArray[np.bool_]:
    pt = np.hypot(particles.px, particles.py)
    # |eta| < limit, without a division by a vanishing pT
    central = np.abs(particles.pz) < pt * math.sinh(MAX_ABS_ETA)
    photon = (particles.pid == _PHOTON) & (pt > MIN_PHOTON_PT_GEV)
    visible = ((charges != 0.0) & (pt > MIN_PT_GEV)) | photon
    return np.asarray((particles.status == _STABLE) & visible & central)


def _masses(particles: Any) -> NDArray[np.float64]:
    momentum2 = particles.px**2 + particles.py**2 + particles.pz**2
    squared = np.maximum(particles.e**2 - momentum2, 0.0)
    given = np.maximum(particles.generated_mass, 0.0)
    return np.asarray(np.where(particles.is_generated_mass_set, given, np.sqrt(squared)))


def _descendants(vertex: Any) -> Iterable[int]:
    stack, seen = [vertex], set()
    while stack:
        for particle in stack.pop().particles_out:
            yield particle.id
            end = particle.end_vertex
            if end is not None and end.id not in seen:
                seen.add(end.id)
                stack.append(end)


def from_genevent(event: pyhepmc.GenEvent, run_number: int, event_number: int) -> GeneratedEvent:
    """Turn an event record into arrays.

    Parameters
    ----------
    event : pyhepmc.GenEvent
        In any units; it is converted to GeV and mm.
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
    event.set_units(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    particles = event.numpy.particles
    charges = np.array([charge(pdg_id) for pdg_id in particles.pid.tolist()], dtype=np.float64)
    simulated = _is_simulated(particles, charges)
    keep = _is_hard_process(particles.status)

    records = event.particles
    llp = np.full(len(records), -1)
    for row in np.flatnonzero(np.isin(np.abs(particles.pid), list(LONG_LIVED))).tolist():
        end = records[row].end_vertex
        if end is None or any(child.pid == particles.pid[row] for child in end.particles_out):
            continue
        keep[row] = True
        for child in end.particles_out:
            keep[child.id - 1] = True
        for identifier in _descendants(end):
            llp[identifier - 1] = row

    rows = np.flatnonzero(keep | simulated)
    made, decayed, parent = _history(records, keep, rows.tolist())
    px, py, pz = (getattr(particles, axis)[rows] for axis in ("px", "py", "pz"))
    mass = _masses(particles)[rows]
    if not all(np.isfinite(values).all() for values in (px, py, pz, mass, made)):
        raise BadEventFileError(
            f"event {event_number} holds a momentum, mass or position that is not a number"
        )
    inside = (np.hypot(made[:, 0], made[:, 1]) < WORLD_R_MM) & (np.abs(made[:, 2]) < WORLD_Z_MM)

    new_row = np.full(len(records) + 1, -1)
    new_row[rows] = np.arange(len(rows))
    truth: Table = {
        "barcode": rows + 1,
        "pdg_id": particles.pid[rows],
        "status": particles.status[rows],
        "charge": charges[rows],
        "mass": mass,
        "px": px,
        "py": py,
        "pz": pz,
        "x": made[:, 0],
        "y": made[:, 1],
        "z": made[:, 2],
        "t": made[:, 3],
        "decay_x": decayed[:, 0],
        "decay_y": decayed[:, 1],
        "decay_z": decayed[:, 2],
        "decay_t": decayed[:, 3],
        "parent": new_row[parent],
        "llp": new_row[llp[rows]],
    }
    return GeneratedEvent(
        run_number=run_number,
        event_number=event_number,
        weight=float(event.weights[0]) if event.weights else 1.0,
        truth=truth,
        simulated=np.flatnonzero(simulated[rows] & inside),
        keep=keep[rows],
    )


def _history(
    records: Any, keep: NDArray[np.bool_], rows: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return production points, decay points (mm, mm, mm, ns; NaN without) and parents' rows."""
    places: dict[int, tuple[float, float, float, float]] = {}

    def place(vertex: Any) -> tuple[float, float, float, float]:
        point = places.get(vertex.id)
        if point is None:
            position = vertex.position
            point = (position.x, position.y, position.z, position.t / C_MM_PER_NS)
            places[vertex.id] = point
        return point

    kept = keep.tolist()
    ancestors: dict[int, int] = {}

    def ancestor(particle: Any) -> int:
        passed = []
        found = -1
        while (mother := _mother(particle)) is not None:
            if mother.id in ancestors:
                found = ancestors[mother.id]
                break
            if kept[mother.id - 1]:
                found = mother.id - 1
                break
            passed.append(mother.id)
            particle = mother
        ancestors.update(dict.fromkeys(passed, found))
        return found

    nowhere = (math.nan,) * 4
    made, decayed, parent = [], [], []
    for row in rows:
        particle = records[row]
        production = particle.production_vertex
        end = particle.end_vertex if kept[row] else None
        made.append(place(production) if production is not None else (0.0,) * 4)
        decayed.append(place(end) if end is not None else nowhere)
        parent.append(ancestor(particle))
    return (
        np.array(made, dtype=np.float64).reshape(-1, 4),
        np.array(decayed, dtype=np.float64).reshape(-1, 4),
        np.array(parent, dtype=np.int64),
    )


def _mother(particle: Any) -> Any:
    """Return the particle's previous copy or its only mother; None where partons hadronize."""
    vertex = particle.production_vertex
    incoming = vertex.particles_in if vertex is not None else []
    if len(incoming) == 1:
        return incoming[0]
    # A shower's branching holds two partons and their recoiler.
    if len(incoming) <= 3:
        for mother in incoming:
            if mother.pid == particle.pid:
                return mother
    return None
