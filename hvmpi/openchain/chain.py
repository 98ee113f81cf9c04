"""The steps behind generation: simulate, digitize, reconstruct, and the three as one.

    EVNT --simulate--> HITS --digitize--> RDO --reconstruct--> AOD
    EVNT ------------------------- run -----------------------> AOD

Both ways make the same AOD, byte for byte: the fused chain keeps ACTS's containers between the
steps, where the others write them down in full precision, and the algorithms that draw random
numbers stand at the same positions (see `hvmpi.openchain.sequence`).

Events are chosen by number (`first`), which means the same in every file; a position in the event
file (`skip`) has no meaning for later steps, whose input holds the job's own events only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from acts.examples import (
    MeasurementContainer,
    MeasurementParticlesMap,
    SimHitContainer,
    SimParticleContainer,
)

from hvmpi.errors import InputError
from hvmpi.openchain import digitization, evnt, simulation, tracking, truth, vertices
from hvmpi.openchain.detector import FIELD_T, SUB_DETECTORS, detector
from hvmpi.openchain.eventdata import (
    Event,
    Product,
    ProductWriter,
    Table,
    check_count,
    file_sha256,
    provenance,
)
from hvmpi.openchain.schemas import AOD, EVENTS, HITS, RDO, Schema
from hvmpi.openchain.sequence import EventSequence, Pad, Source
from hvmpi.openchain.truth import GeneratedEvent
from hvmpi.openchain.vertices import primary_vertex

__all__ = ["StepSummary", "digitize", "reconstruct", "run", "simulate"]


@dataclass(frozen=True, slots=True)
class StepSummary:
    """What a step did.

    Attributes
    ----------
    step : str
    events : int
    first_event, last_event : int
        Numbers of the first and the last event.
    run_number : int
        Of the first event.
    rows : dict of str to int
        Rows written, by collection of the last product.
    """

    step: str
    events: int
    first_event: int
    last_event: int
    run_number: int
    rows: dict[str, int]


def settings() -> dict[str, Any]:
    """Return every number that simulation, digitization and reconstruction depend on."""
    return {
        "field_t": FIELD_T,
        "sub_detectors": [asdict(kind) for kind in SUB_DETECTORS],
        "simulation": truth.settings() | simulation.settings(),
        "tracking": tracking.settings(),
        "vertices": vertices.settings(),
    }


# --- what goes through -----------------------------------------------------------------------


class _Simulation:
    """Particles to truth and hits."""

    def __init__(self, seed: int, run_number: int) -> None:
        self._output = simulation.SimulationOutput(with_hits=True)
        self._sequence = EventSequence(
            Source(**{simulation.PARTICLES: SimParticleContainer}),
            [simulation.fatras(detector(), seed, run_number), self._output],
        )

    def __call__(self, event: GeneratedEvent) -> Event:
        self._sequence.run(event.event_number, {simulation.PARTICLES: simulation.to_acts(event)})
        return _event(event, truth=self._output.truth(event), hits=self._output.hits())


class _Digitization:
    """Hits to measurements."""

    def __init__(self, seed: int, run_number: int) -> None:
        self._output = digitization.RdoOutput()
        self._sequence = EventSequence(
            Source(**{simulation.HITS: SimHitContainer}),
            [
                Pad(2),
                Pad(3),
                digitization.smearing(detector(), seed, run_number),
                digitization.Noise(detector(), seed, run_number),
                self._output,
            ],
        )

    def __call__(self, event: Event) -> Event:
        hits = simulation.hits_to_acts(event.tables["hits"])
        self._sequence.run(event.event_number, {simulation.HITS: hits})
        return _digitized(event, event.tables["truth"], self._output)


class _Reconstruction:
    """Measurements to tracks and vertices; draws no random numbers."""

    def __init__(self) -> None:
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
        containers = digitization.measurements_to_acts(
            event.tables["measurements"], event.tables["truth_links"]
        )
        kept = event.tables["truth"]
        self._barcodes = sorted(kept["barcode"][kept["hits"] >= simulation.MIN_HITS].tolist())
        self._sequence.run(event.event_number, containers)
        return _reconstructed(event, kept, self._output)


class _Fused:
    """Particles to tracks and vertices, with hits and measurements where they are kept."""

    def __init__(self, seed: int, run_number: int, *, hits: bool, measurements: bool) -> None:
        self._with_hits, self._with_measurements = hits, measurements
        self._simulated = simulation.SimulationOutput(with_hits=hits)
        self._digitized = digitization.RdoOutput()
        self._tracks = tracking.TrackOutput(self._simulated.barcodes)
        self._sequence = EventSequence(
            Source(**{simulation.PARTICLES: SimParticleContainer}),
            [
                simulation.fatras(detector(), seed, run_number),
                self._simulated,
                digitization.smearing(detector(), seed, run_number),
                digitization.Noise(detector(), seed, run_number),
                *([self._digitized] if measurements else []),
                *tracking.algorithms(detector()),
                self._tracks,
            ],
        )

    def __call__(self, event: GeneratedEvent) -> list[Event]:
        """Return the event of each product that is wanted: HITS, RDO, AOD."""
        self._sequence.run(event.event_number, {simulation.PARTICLES: simulation.to_acts(event)})
        kept = self._simulated.truth(event)
        made = []
        if self._with_hits:
            made.append(_event(event, truth=kept, hits=self._simulated.hits()))
        if self._with_measurements:
            made.append(_digitized(event, kept, self._digitized))
        return [*made, _reconstructed(event, kept, self._tracks)]


def _event(of: GeneratedEvent | Event, **tables: Table) -> Event:
    return Event(of.run_number, of.event_number, of.weight, tables)


def _digitized(of: GeneratedEvent | Event, kept: Table, output: digitization.RdoOutput) -> Event:
    return _event(
        of, truth=kept, measurements=output.measurements(), truth_links=output.truth_links()
    )


def _reconstructed(of: GeneratedEvent | Event, kept: Table, output: tracking.TrackOutput) -> Event:
    tracks = output.tracks(kept)
    vertices, tracks["vertex_weight"] = primary_vertex(tracks)
    return _event(of, tracks=tracks, vertices=vertices, truth=kept)


# --- the steps -------------------------------------------------------------------------------


def simulate(
    evnt: Path,
    hits: Path,
    *,
    seed: int,
    skip: int = 0,
    first: int | None = None,
    events: int = -1,
    number_from: int | None = None,
    run_number: int | None = None,
    evnt_sha256: str | None = None,
) -> StepSummary:
    """Simulate events of an event file: EVNT to HITS.

    Parameters
    ----------
    evnt : Path
    hits : Path
        The product; appears whole or not at all.
    seed : int
        The campaign's.
    skip : int
        Events to leave out at the beginning of the file.
    first : int, optional
        Number, in the file, of the first event to simulate; with `skip`, it must stand there.
    events : int
        How many; -1: all that follow.
    number_from : int, optional
        Give the events consecutive numbers from here, for foreign files.
    run_number : int, optional
        Goes before the file's own; needed for files that have none.
    evnt_sha256 : str, optional
        Of the event file, for the provenance, where it is known; else the file is read for it,
        1 s a GB.

    Raises
    ------
    InputError
        If the events are not there, or the file is bad.
    SetupError
        If the product cannot be written.
    """
    source = _EventFile(evnt, skip, first, events, number_from, run_number, evnt_sha256)

    @cache
    def step(run: int) -> _Simulation:
        return _Simulation(seed, run)

    with ProductWriter(hits, HITS, _made(seed, source.sha256)) as writer:
        for event in source:
            writer.append(step(event.run_number)(event))
        writer.finish(source.normalisation)
        return _summary("simulate", writer)


def digitize(
    hits: Path, rdo: Path, *, seed: int, first: int | None = None, events: int = -1
) -> StepSummary:
    """Digitize: HITS to RDO.

    Parameters
    ----------
    hits : Path
    rdo : Path
        The product; appears whole or not at all.
    seed : int
        The campaign's; must be the one that the events were simulated with.
    first : int, optional
        Number of the first event; the file's first if not given.
    events : int
        How many; -1: all that follow.

    Raises
    ------
    InputError
        If the events are not there, the file is bad, or was made with another seed.
    SetupError
        If the product cannot be written.
    """

    @cache
    def step(run: int) -> _Digitization:
        return _Digitization(seed, run)

    return _follow(
        "digitize", Product(hits, HITS), (rdo, RDO), seed, first, events, lambda run: step(run)
    )


def reconstruct(
    rdo: Path, aod: Path, *, seed: int, first: int | None = None, events: int = -1
) -> StepSummary:
    """Reconstruct: RDO to AOD.

    Parameters
    ----------
    rdo : Path
    aod : Path
        The product; appears whole or not at all.
    seed : int
        The campaign's; nothing is drawn, it must be the one that the events were made with.
    first : int, optional
        Number of the first event; the file's first if not given.
    events : int
        How many; -1: all that follow.

    Raises
    ------
    InputError
        If the events are not there, the file is bad, or was made with another seed.
    SetupError
        If the product cannot be written.
    """

    @cache
    def step() -> _Reconstruction:
        return _Reconstruction()

    return _follow(
        "reconstruct", Product(rdo, RDO), (aod, AOD), seed, first, events, lambda _: step()
    )


def run(
    evnt: Path,
    aod: Path,
    *,
    seed: int,
    skip: int = 0,
    first: int | None = None,
    events: int = -1,
    number_from: int | None = None,
    run_number: int | None = None,
    evnt_sha256: str | None = None,
    hits: Path | None = None,
    rdo: Path | None = None,
) -> StepSummary:
    """Simulate, digitize and reconstruct in one: EVNT to AOD.

    Parameters are those of `simulate`, and:

    Parameters
    ----------
    aod : Path
        The product; appears whole or not at all.
    hits, rdo : Path, optional
        Keep these too.

    Raises
    ------
    InputError
        If the events are not there, or the file is bad.
    SetupError
        If a product cannot be written.
    """
    source = _EventFile(evnt, skip, first, events, number_from, run_number, evnt_sha256)
    wanted = [(hits, HITS), (rdo, RDO), (aod, AOD)]

    @cache
    def chain(run: int) -> _Fused:
        return _Fused(seed, run, hits=hits is not None, measurements=rdo is not None)

    with ExitStack() as opened:
        writers = [
            opened.enter_context(ProductWriter(path, schema, _made(seed, source.sha256)))
            for path, schema in wanted
            if path is not None
        ]
        for event in source:
            made = chain(event.run_number)(event)
            for writer, product in zip(writers, made, strict=True):
                writer.append(product)
        for writer in writers:
            writer.finish(source.normalisation)
        return _summary("run", writers[-1])


def _follow(
    name: str,
    product: Product,
    output: tuple[Path, Schema],
    seed: int,
    first: int | None,
    events: int,
    step: Callable[[int], Callable[[Event], Event]],
) -> StepSummary:
    with product as source:
        rows = source.select(first, events)
        if source.provenance["seed"] != seed:
            raise InputError(
                f"'{source.path}' was made with seed {source.provenance['seed']}, not {seed}:"
                " all steps of an event take the same"
            )
        made = _made(seed, source.provenance["inputs"]["evnt"])
        differs = {
            key: source.provenance[key]
            for key in ("versions", "cpu_type", "settings_hash")
            if source.provenance[key] != made[key]
        }
        if differs:
            made["earlier_steps"] = differs
        path, schema = output
        with ProductWriter(path, schema, made) as writer:
            for event in source.iterate(rows):
                writer.append(step(event.run_number)(event))
            writer.finish(source.normalisation_of(rows))
            return _summary(name, writer)


def _made(seed: int, sha256: str) -> dict[str, Any]:
    return provenance(seed=seed, settings=settings(), inputs={"evnt": sha256})


def _summary(step: str, writer: ProductWriter) -> StepSummary:
    return StepSummary(
        step=step,
        events=writer.events,
        first_event=writer.first_event,
        last_event=writer.last_event,
        run_number=writer.run_number,
        rows=dict(writer.rows),
    )


# --- the event file --------------------------------------------------------------------------


_LARGEST_RUN_NUMBER = int(np.iinfo(EVENTS["run_number"]).max)


class _EventFile:
    """The chosen events of an event file, with their numbers."""

    def __init__(
        self,
        path: Path,
        skip: int,
        first: int | None,
        events: int,
        number_from: int | None,
        run_number: int | None,
        sha256: str | None,
    ) -> None:
        check_count(events)
        if skip < 0:
            raise InputError(f"{skip} events were to be skipped; give 0 or more")
        self._path, self._events = path, events
        self._number_from, self._run_number = number_from, run_number
        self._skip = self._position(skip, first)
        # Goes through the whole file, so that a bad or short one is known before the work begins.
        self.normalisation = evnt.normalisation(path, self._skip, events)
        if number_from is not None:
            self.normalisation["first_event"] = number_from
        self.sha256 = sha256 or file_sha256(path)

    def _position(self, skip: int, first: int | None) -> int:
        if first is None:
            return skip
        number, _ = next(evnt.read_numbered(self._path, skip, 1))
        if number == first:
            return skip
        if skip:
            raise InputError(
                f"'{self._path}': behind {skip} events comes event {number}, not {first}"
            )
        numbers = evnt.scan(self._path).event_numbers
        rows = np.flatnonzero(numbers == first)
        if len(rows) == 0:
            raise InputError(
                f"'{self._path}' holds no event {first}; it holds {len(numbers)} events,"
                f" {numbers[0]} to {numbers[-1]}"
            )
        return int(rows[0])

    def __iter__(self) -> Iterator[GeneratedEvent]:
        records = evnt.read_numbered(self._path, self._skip, self._events)
        for position, (own_number, record) in enumerate(records):
            number = own_number
            if self._number_from is not None:
                number = self._number_from + position
            if number < 0:
                raise InputError(
                    f"'{self._path}' holds event {number}: numbers below 0 seed no random"
                    " numbers, renumber the events"
                )
            yield truth.from_genevent(record, self._run(record, own_number), number)

    def _run(self, record: Any, own_number: int) -> int:
        number = self._run_number
        if number is None:
            number = self._own_run(record, own_number)
        if not 0 <= number <= _LARGEST_RUN_NUMBER:
            raise InputError(
                f"run number {number} of '{self._path}' is not from 0 to {_LARGEST_RUN_NUMBER}"
            )
        return number

    def _own_run(self, record: Any, own_number: int) -> int:
        attributes = record.attributes
        if "run_number" not in attributes:
            raise InputError(f"'{self._path}' holds no run number in event {own_number}; give one")
        value = attributes["run_number"]
        # pyhepmc parses an attribute that came from a file when it is told the type.
        return int(value if isinstance(value, int) else value.astype(int))
