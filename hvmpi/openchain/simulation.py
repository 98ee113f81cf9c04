"""Simulation: particles through the tracker with Fatras, to truth and hits.

Fatras scatters, ionises, radiates and converts photons. It knows no hadronic interactions, no
decays in flight, no calorimeter.
"""

from __future__ import annotations

import math
from typing import Any

import acts.examples
import numpy as np
from acts.examples import SimBarcode, SimHit, SimHitContainer, SimParticle, SimParticleContainer

from hvmpi.openchain.detector import LOG_LEVEL, Detector
from hvmpi.openchain.eventdata import Table, to_table
from hvmpi.openchain.field import C_MM_PER_NS
from hvmpi.openchain.sequence import SUCCESS, random_numbers
from hvmpi.openchain.truth import GeneratedEvent
from hvmpi.stopwatch import Part, spent_on

__all__ = [
    "EVENT_VERTEX",
    "MIN_HITS",
    "PARTICLES",
    "SimulationOutput",
    "fatras",
    "hits_to_acts",
    "to_acts",
]

PARTICLES = "particles_generated"
SIMULATED = "particles_simulated"
HITS = "simhits"

MIN_HITS = 3
"""A simulated particle with fewer hits is not kept in the truth: no track can link to it."""

EVENT_VERTEX = 1
"""The vertex in the barcodes of the event's own particles."""

# A barcode packs what ACTS keeps apart: the particle's number in the event record, and for what
# the simulation made the generation and the number in it.
_GENERATION_SHIFT = 32
_SUB_PARTICLE_SHIFT = 40
_RECORD_NUMBER = 0xFFFFFFFF


def settings() -> dict[str, float]:
    """Return what is kept of the simulation, for the settings hash of a product."""
    return {"min_hits": MIN_HITS}


def pack_barcode(barcode: Any) -> int:
    """Return ACTS's barcode as one number; a generated particle's is its number in the record."""
    return int(
        barcode.particle
        | barcode.generation << _GENERATION_SHIFT
        | barcode.subParticle << _SUB_PARTICLE_SHIFT
    )


def unpack_barcode(packed: int, vertex: int = EVENT_VERTEX) -> Any:
    """Return ACTS's barcode for a packed one; pile-up comes from other vertices."""
    barcode = SimBarcode()
    barcode.vertexPrimary = vertex
    barcode.particle = packed & _RECORD_NUMBER
    barcode.generation = packed >> _GENERATION_SHIFT & 0xFF
    barcode.subParticle = packed >> _SUB_PARTICLE_SHIFT
    return barcode


@spent_on(Part.CONVERT)
def to_acts(event: GeneratedEvent) -> Any:
    """Return the particles to simulate as ACTS's container."""
    table = {name: event.truth[name][event.simulated] for name in _SENT}
    momentum = np.sqrt(table["px"] ** 2 + table["py"] ** 2 + table["pz"] ** 2)
    container = SimParticleContainer()
    columns = (values.tolist() for values in (momentum, *table.values()))
    for p, barcode, pdg_id, charge, mass, px, py, pz, x, y, z, t in zip(*columns, strict=True):
        particle = SimParticle(unpack_barcode(barcode), acts.PdgParticle(pdg_id), charge, mass)
        particle.direction = acts.Vector3(px / p, py / p, pz / p)
        particle.absoluteMomentum = p
        particle.fourPosition = acts.Vector4(x, y, z, t * C_MM_PER_NS)
        container.insert(particle)
    return container


@spent_on(Part.CONVERT)
def hits_to_acts(hits: Table) -> Any:
    """Return one event's hits, as `SimulationOutput` took them out, as ACTS's container.

    Parameters
    ----------
    hits : Table
        Where it has ``interaction``, they are pile-up.
    """
    container = SimHitContainer()
    packed = hits["barcode"].tolist()
    vertices = [EVENT_VERTEX] * len(packed)
    if "interaction" in hits:
        vertices = (hits["interaction"] + EVENT_VERTEX + 1).tolist()
    keys = list(zip(packed, vertices, strict=True))
    barcodes = {key: unpack_barcode(*key) for key in set(keys)}
    columns = [hits["geometry_id"].tolist(), keys, hits["order"].tolist()]
    position, before, after = (
        np.stack([hits[name] for name in names], axis=1).tolist()
        for names in (_POSITION, _BEFORE, _AFTER)
    )
    for geometry_id, key, order, at, entering, leaving in zip(
        *columns, position, before, after, strict=True
    ):
        container.insert(
            SimHit(
                acts.GeometryIdentifier(geometry_id),
                barcodes[key],
                acts.Vector4(*at),
                acts.Vector4(*entering),
                acts.Vector4(*leaving),
                order,
            )
        )
    return container


_SENT = ("barcode", "pdg_id", "charge", "mass", "px", "py", "pz", "x", "y", "z", "t")
_SECONDARY = (*_SENT, "hits")
_POSITION = ("x", "y", "z", "ct")
_BEFORE = ("px", "py", "pz", "e")
_AFTER = ("px_after", "py_after", "pz_after", "e_after")


def fatras(detector: Detector, seed: int, run_number: int) -> Any:
    """Return the simulation algorithm: `PARTICLES` to `SIMULATED` and `HITS`."""
    return acts.examples.FatrasSimulation(
        level=LOG_LEVEL,
        inputParticles=PARTICLES,
        outputParticles=SIMULATED,
        outputSimHits=HITS,
        randomNumbers=random_numbers(seed, run_number, "simulation"),
        trackingGeometry=detector.geometry,
        magneticField=detector.field,
        generateHitsOnSensitive=True,
        emScattering=True,
        emEnergyLossIonisation=True,
        emEnergyLossRadiation=True,
        emPhotonConversion=True,
    )


class SimulationOutput(acts.examples.IAlgorithm):  # type: ignore[misc]
    """Takes one event's truth, and hits where they are wanted, out of ACTS.

    Parameters
    ----------
    with_hits : bool
        Taking them costs about as much as the simulation; the fused chain does without.
    """

    def __init__(self, *, with_hits: bool) -> None:
        acts.examples.IAlgorithm.__init__(self, "SimulationOutput", LOG_LEVEL)
        self._with_hits = with_hits
        self._particles = acts.examples.ReadDataHandle(self, SimParticleContainer, "particles")
        self._particles.initialize(SIMULATED)
        self._hits = acts.examples.ReadDataHandle(self, SimHitContainer, "hits")
        self._hits.initialize(HITS)
        self._counts: dict[int, int] = {}
        self._secondaries: list[tuple[Any, ...]] = []
        self._hit_rows: list[tuple[Any, ...]] = []

    @spent_on(Part.CONVERT)
    def execute(self, context: Any) -> Any:
        """Copy what is wanted; nothing of ACTS's is kept."""
        self._counts, self._secondaries, self._hit_rows = {}, [], []
        for particle in self._particles(context.eventStore):
            hits = particle.numberOfHits
            if hits < MIN_HITS:
                continue
            barcode = pack_barcode(particle.particleId)
            self._counts[barcode] = hits
            if barcode >> _GENERATION_SHIFT:
                momentum, position = particle.momentum, particle.fourPosition
                self._secondaries.append(
                    (
                        barcode,
                        int(particle.pdg),
                        particle.charge,
                        particle.mass,
                        *(momentum[axis] for axis in range(3)),
                        *(position[axis] for axis in range(3)),
                        position[3] / C_MM_PER_NS,
                        hits,
                    )
                )
        if self._with_hits:
            for hit in self._hits(context.eventStore):
                position, before, after = hit.fourPosition, hit.momentum4Before, hit.momentum4After
                self._hit_rows.append(
                    (
                        hit.geometryId.value,
                        pack_barcode(hit.particleId),
                        hit.index,
                        *(position[axis] for axis in range(4)),
                        *(before[axis] for axis in range(4)),
                        *(after[axis] for axis in range(4)),
                    )
                )
        return SUCCESS

    def barcodes(self) -> list[int]:
        """Return what left at least `MIN_HITS` hits in the last event, packed, ascending."""
        return sorted(self._counts)

    @spent_on(Part.CONVERT)
    def truth(self, event: GeneratedEvent) -> Table:
        """Return the truth of the last event that went through.

        Parameters
        ----------
        event : GeneratedEvent
            What was sent.

        Returns
        -------
        Table
            The rows of `event` that are to stay or left at least `MIN_HITS` hits, then, by
            barcode, what the simulation made that left as many.
        """
        table = event.truth
        barcodes = table["barcode"].tolist()
        hits = np.array([self._counts.get(barcode, 0) for barcode in barcodes], dtype=np.int64)
        origins = [row[0] & _RECORD_NUMBER for row in self._secondaries]
        kept = event.keep | (hits >= MIN_HITS) | np.isin(table["barcode"], origins)
        rows = np.flatnonzero(kept)
        new_row = np.full(len(barcodes) + 1, -1)
        new_row[rows] = np.arange(len(rows))
        truth = {name: values[rows] for name, values in table.items()}
        truth["hits"] = hits[rows]
        truth["parent"] = new_row[truth["parent"]]
        truth["llp"] = new_row[truth["llp"]]
        if not self._secondaries:
            return truth
        return _with_secondaries(truth, sorted(self._secondaries))

    @spent_on(Part.CONVERT)
    def hits(self) -> Table:
        """Return the hits of the last event, in the order in which ACTS holds them."""
        return to_table(
            self._hit_rows,
            {"geometry_id": np.uint64, "barcode": np.int64, "order": np.int32}
            | dict.fromkeys((*_POSITION, *_BEFORE, *_AFTER), np.float64),
        )


def _with_secondaries(truth: Table, secondaries: list[tuple[Any, ...]]) -> Table:
    rows = {barcode: row for row, barcode in enumerate(truth["barcode"].tolist())}
    columns = dict(zip(_SECONDARY, zip(*secondaries, strict=True), strict=True))
    origin = np.array([rows[barcode & _RECORD_NUMBER] for barcode in columns["barcode"]])
    count = len(secondaries)
    made = {name: np.array(column) for name, column in columns.items()} | {
        "status": np.ones(count, dtype=np.int64),
        "parent": origin,
        "llp": truth["llp"][origin],
    }
    for name in ("decay_x", "decay_y", "decay_z", "decay_t"):
        made[name] = np.full(count, math.nan)
    return {name: np.concatenate([values, made[name]]) for name, values in truth.items()}
