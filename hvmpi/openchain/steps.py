"""What one event goes through: simulation, digitization, reconstruction, and the three as one.

A step alone and the fused chain make the same event, bit for bit: the algorithms that draw random
numbers stand at the same positions (see `hvmpi.openchain.sequence`), everything else draws from
the event's own generator, and deposits and cells are in single precision before they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from acts.examples import (
    MeasurementContainer,
    MeasurementParticlesMap,
    SimHitContainer,
    SimParticleContainer,
)

from hvmpi.openchain import (
    calibration,
    calorimeter,
    clusters,
    digitization,
    jets,
    leptons,
    missing,
    readout,
    simulation,
    tracking,
)
from hvmpi.openchain.detector import detector
from hvmpi.openchain.eventdata import Event, Table
from hvmpi.openchain.pileup import OVERLAID, Library, Overlay, OverlayHits
from hvmpi.openchain.schemas import AOD, HITS
from hvmpi.openchain.sequence import EventSequence, Pad, Source, generator
from hvmpi.openchain.truth import GeneratedEvent
from hvmpi.openchain.vertices import primary_vertex

__all__ = ["CalorimetersAlone", "Digitization", "Fused", "Reconstruction", "Simulation"]

_TRUTH = ("truth", "truth_jets", "event_truth")


def _event(of: GeneratedEvent | Event, **tables: Table) -> Event:
    return Event(of.run_number, of.event_number, of.weight, tables)


# --- calorimeters ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Draws:
    """Where the random numbers of an event come from."""

    seed: int

    def __call__(self, event: GeneratedEvent | Event, step: str) -> np.random.Generator:
        return generator(self.seed, event.run_number, event.event_number, step)


def _simulated(draws: _Draws, event: GeneratedEvent, kept: Table) -> dict[str, Table]:
    deposits, event_truth = calorimeter.simulate(event.stable, draws(event, "calorimeter"))
    return {
        "truth": _as_stored("truth", kept),
        "truth_jets": _as_stored("truth_jets", jets.truth_jets(_seen_by_jets(event.stable))),
        "event_truth": event_truth,
        "deposits": deposits,
    }


def _seen_by_jets(stable: Table) -> Table:
    pdg_id = stable["pdg_id"]
    rows = np.flatnonzero(~calorimeter.is_invisible(pdg_id) & (np.abs(pdg_id) != calorimeter.MUON))
    momenta = {axis: stable[axis][rows] for axis in ("px", "py", "pz")}
    squares = sum(values**2 for values in (*momenta.values(), stable["mass"][rows]))
    return momenta | {"e": np.sqrt(squares)}


def _as_stored(collection: str, table: Table) -> Table:
    """Return a table with the types that it has on disk: later steps shall not see more."""
    fields = HITS.collections[collection]
    return {field.name: table[field.name].astype(field.dtype) for field in fields}


def _read_out(
    draws: _Draws,
    event: GeneratedEvent | Event,
    deposits: Table,
    overlay: Overlay | None,
    mu: float,
) -> dict[str, Table]:
    samples = None if overlay is None else overlay.samples
    read = readout.digitize(deposits, draws(event, "readout"), samples, mu)
    interactions = 0 if overlay is None else overlay.interactions
    pile_up: Table = {
        "mu": np.array([mu], dtype=np.float32),
        "interactions": np.array([interactions], dtype=np.int16),
    }
    return {"cells": read, "pile_up": pile_up}


def _reconstructed(
    draws: _Draws, event: GeneratedEvent | Event, tables: dict[str, Table], tracks: Table
) -> Event:
    """Return the AOD's event.

    Parameters
    ----------
    draws : _Draws
    event : GeneratedEvent or Event
    tables : dict of str to Table
        Truth, cells and pile-up.
    tracks : Table
    """
    found_vertices, tracks["vertex_weight"] = primary_vertex(tracks)
    read = tables["cells"]
    energy, time = readout.energies(read)
    cell = read["cell"].astype(np.int64)
    found = clusters.find_clusters(
        cell, energy, time, readout.noise(cell, float(tables["pile_up"]["mu"][0]))
    )
    found_jets, jet_of_cluster = jets.reconstruct_jets(
        found, cell, energy, tables["truth_jets"], calibration.jet_calibration()
    )
    random = draws(event, "leptons")
    electrons = leptons.find_electrons(tables["truth"], tracks, random)
    muons = leptons.find_muons(tables["truth"], tracks, random)
    return _event(
        event,
        **{name: tables[name] for name in (*_TRUTH, "pile_up")},
        tracks=tracks,
        vertices=found_vertices,
        clusters=found.table | {"jet": jet_of_cluster},
        jets=found_jets,
        electrons=electrons,
        muons=muons,
        missing_et=missing.missing_et(found_jets, found, jet_of_cluster, electrons, muons),
        cell_sums=clusters.cell_sums(cell, energy, found.cluster_of_cell),
    )


# --- the steps -------------------------------------------------------------------------------


class Simulation:
    """Particles to truth, hits and deposits.

    Parameters
    ----------
    seed : int
        The campaign's.
    run_number : int
    """

    def __init__(self, seed: int, run_number: int) -> None:
        self._draws = _Draws(seed)
        self._output = simulation.SimulationOutput(with_hits=True)
        self._sequence = EventSequence(
            Source(**{simulation.PARTICLES: SimParticleContainer}),
            [simulation.fatras(detector(), seed, run_number), self._output],
        )

    def __call__(self, event: GeneratedEvent) -> Event:
        """Return the HITS of an event."""
        self._sequence.run(event.event_number, {simulation.PARTICLES: simulation.to_acts(event)})
        tables = _simulated(self._draws, event, self._output.truth(event))
        return _event(event, hits=self._output.hits(), **tables)


class Digitization:
    """Hits and deposits to measurements and cells.

    Parameters
    ----------
    seed : int
        The campaign's.
    run_number : int
    library : Library, optional
        Of what is laid over.
    """

    def __init__(self, seed: int, run_number: int, library: Library | None = None) -> None:
        self._draws, self._library = _Draws(seed), library
        self._output = digitization.RdoOutput()
        self._overlay = OverlayHits()
        overlay = [] if library is None else [self._overlay]
        self._sequence = EventSequence(
            Source(**{simulation.HITS: SimHitContainer}),
            [Pad(2), Pad(3), *overlay, *_measuring(seed, run_number, library), self._output],
        )

    def __call__(self, event: Event) -> Event:
        """Return the RDO of an event."""
        overlay, mu = _laid_over(self._library, event)
        if overlay is not None:
            self._overlay.hits = overlay.hits
        hits = simulation.hits_to_acts(event.tables["hits"])
        self._sequence.run(event.event_number, {simulation.HITS: hits})
        return _event(
            event,
            **{name: event.tables[name] for name in _TRUTH},
            measurements=self._output.measurements(),
            truth_links=self._output.truth_links(),
            **_read_out(self._draws, event, event.tables["deposits"], overlay, mu),
        )


class Reconstruction:
    """Measurements and cells to what an AOD holds.

    Parameters
    ----------
    seed : int
        The campaign's.
    """

    def __init__(self, seed: int) -> None:
        self._draws = _Draws(seed)
        self._barcodes: list[int] = []
        self._output = tracking.TrackOutput(lambda: self._barcodes)
        self._sequence = EventSequence(
            Source(
                **{
                    digitization.MEASUREMENTS: MeasurementContainer,
                    digitization.PARTICLES_OF_MEASUREMENTS: MeasurementParticlesMap,
                }
            ),
            [*tracking.algorithms(detector()), self._output],
        )

    def __call__(self, event: Event) -> Event:
        """Return the AOD of an event."""
        containers = digitization.measurements_to_acts(
            event.tables["measurements"], event.tables["truth_links"]
        )
        kept = event.tables["truth"]
        self._barcodes = sorted(kept["barcode"][kept["hits"] >= simulation.MIN_HITS].tolist())
        self._sequence.run(event.event_number, containers)
        return _reconstructed(self._draws, event, event.tables, self._output.tracks(kept))


class Fused:
    """Particles to what an AOD holds, with HITS and RDO where they are kept.

    Parameters
    ----------
    seed : int
        The campaign's.
    run_number : int
    library : Library, optional
        Of what is laid over.
    hits, measurements : bool
        Whether HITS and RDO are wanted.
    """

    def __init__(
        self,
        seed: int,
        run_number: int,
        library: Library | None = None,
        *,
        hits: bool,
        measurements: bool,
    ) -> None:
        self._draws, self._library = _Draws(seed), library
        self._with_hits, self._with_measurements = hits, measurements
        self._simulated = simulation.SimulationOutput(with_hits=hits)
        self._digitized = digitization.RdoOutput()
        self._overlay = OverlayHits()
        self._tracks = tracking.TrackOutput(self._simulated.barcodes)
        self._sequence = EventSequence(
            Source(**{simulation.PARTICLES: SimParticleContainer}),
            [
                simulation.fatras(detector(), seed, run_number),
                self._simulated,
                *([] if library is None else [self._overlay]),
                *_measuring(seed, run_number, library),
                *([self._digitized] if measurements else []),
                *tracking.algorithms(detector()),
                self._tracks,
            ],
        )

    def __call__(self, event: GeneratedEvent) -> list[Event]:
        """Return the event of each product that is wanted: HITS, RDO, AOD."""
        overlay, mu = _laid_over(self._library, event)
        if overlay is not None:
            self._overlay.hits = overlay.hits
        self._sequence.run(event.event_number, {simulation.PARTICLES: simulation.to_acts(event)})
        tables = _simulated(self._draws, event, self._simulated.truth(event))
        generated = {name: tables[name] for name in _TRUTH}
        deposits = tables["deposits"]
        made = []
        if self._with_hits:
            made.append(_event(event, **tables, hits=self._simulated.hits()))
        read = _read_out(self._draws, event, deposits, overlay, mu)
        if self._with_measurements:
            measured = {
                "measurements": self._digitized.measurements(),
                "truth_links": self._digitized.truth_links(),
            }
            made.append(_event(event, **generated, **measured, **read))
        tracks = self._tracks.tracks(tables["truth"])
        return [*made, _reconstructed(self._draws, event, generated | read, tracks)]


class CalorimetersAlone:
    """Particles to what an AOD holds, without the tracker: no tracks, and no hits in the truth.

    For the jets' calibration, which needs many events and no tracks: it takes a quarter of the
    time, and calorimeters and jets are the same, bit for bit.

    Parameters
    ----------
    seed : int
        The campaign's.
    library : Library, optional
        Of what is laid over.
    """

    def __init__(self, seed: int, library: Library | None = None) -> None:
        self._draws, self._library = _Draws(seed), library
        self._kept = simulation.SimulationOutput(with_hits=False)

    def __call__(self, event: GeneratedEvent) -> list[Event]:
        """Return the AOD of an event."""
        overlay, mu = _laid_over(self._library, event)
        tables = _simulated(self._draws, event, self._kept.truth(event))
        tables |= _read_out(self._draws, event, tables["deposits"], overlay, mu)
        fields = AOD.collections["tracks"]
        tracks = {field.name: np.zeros(0, dtype=field.dtype) for field in fields}
        return [_reconstructed(self._draws, event, tables, tracks)]


def _measuring(seed: int, run_number: int, library: Library | None) -> list[Any]:
    hits = simulation.HITS if library is None else OVERLAID
    return [
        digitization.smearing(detector(), seed, run_number, hits),
        digitization.Noise(detector(), seed, run_number),
    ]


def _laid_over(
    library: Library | None, event: GeneratedEvent | Event
) -> tuple[Overlay | None, float]:
    if library is None:
        return None, 0.0
    return library.overlay(event.run_number, event.event_number), library.mu
