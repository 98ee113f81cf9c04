"""The steps behind generation on files: simulate, digitize, reconstruct, and the three as one.

    EVNT --simulate--> HITS --digitize--> RDO --reconstruct--> AOD
    EVNT ------------------------- run -----------------------> AOD

Both ways make the same AOD, byte for byte (see `hvmpi.openchain.steps`).

Events are chosen by number (`first`), which means the same in every file; a position in the event
file (`skip`) has no meaning for later steps, whose input holds the job's own events only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hvmpi.errors import InputError, SetupError, UsageError
from hvmpi.openchain import evnt, truth
from hvmpi.openchain.calibration import calibration_hash
from hvmpi.openchain.eventdata import (
    Event,
    Product,
    ProductWriter,
    check_count,
    file_sha256,
    provenance,
)
from hvmpi.openchain.pileup import Library
from hvmpi.openchain.recipe import settings_hash
from hvmpi.openchain.record import EventRecord
from hvmpi.openchain.schemas import AOD, EVENTS, HITS, RDO, Schema
from hvmpi.openchain.steps import (
    CalorimetersAlone,
    Digitization,
    Fused,
    Reconstruction,
    Simulation,
)
from hvmpi.openchain.truth import GeneratedEvent
from hvmpi.stopwatch import Part, spent_on

__all__ = ["PileUp", "StepSummary", "digitize", "reconstruct", "run", "simulate"]


@dataclass(frozen=True, slots=True)
class PileUp:
    """What is laid over the events.

    Attributes
    ----------
    mu : float
        Mean number of minimum-bias interactions a crossing, above 0.
    library : Path
        Their HITS.
    """

    mu: float
    library: Path

    @spent_on(Part.LOAD)
    def load(self, seed: int) -> Library:
        """Read the library.

        Raises
        ------
        SetupError
            If it is not fit for use: no event file shall be put aside for it.
        """
        try:
            written = self.library.stat().st_mtime_ns if self.library.is_file() else 0
            return _library(self.library, self.mu, seed, written)
        except InputError as error:
            raise SetupError(str(error)) from error


@lru_cache(maxsize=1)
def _library(path: Path, mu: float, seed: int, _written_ns: int) -> Library:
    """Read a library; once in processes that carry out steps of many jobs."""
    return Library(path, mu, seed)


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
    @spent_on(Part.LOAD)
    def step(run: int) -> Simulation:
        return Simulation(seed, run)

    with ProductWriter(hits, HITS, _made(HITS, seed, {"evnt": source.sha256})) as writer:
        for event in spent_on(Part.READ).each(source):
            writer.append(step(event.run_number)(event))
        writer.finish(source.normalisation)
        return _summary("simulate", writer)


def digitize(
    hits: Path,
    rdo: Path,
    *,
    seed: int,
    first: int | None = None,
    events: int = -1,
    pile_up: PileUp | None = None,
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
    pile_up : PileUp, optional
        Laid over each event.

    Raises
    ------
    InputError
        If the events are not there, the file is bad, or was made with another seed.
    SetupError
        If the product cannot be written, or the library is not fit for use.
    """
    library = pile_up.load(seed) if pile_up else None

    @cache
    @spent_on(Part.LOAD)
    def step(run: int) -> Digitization:
        return Digitization(seed, run, library)

    with Product(hits, HITS) as source:
        rows = source.select(first, events)
        inputs = {"evnt": source.provenance["inputs"]["evnt"]}
        if library:
            inputs["library"] = library.sha256
        mu = library.mu if library else 0.0
        return _follow(
            "digitize", source, rows, rdo, _made(RDO, seed, inputs, mu), lambda run: step(run)
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
    with Product(rdo, RDO) as source:
        rows = source.select(first, events)
        mu = float(source["pile_up"]["mu"].max(initial=0.0))
        with spent_on(Part.LOAD):
            step = Reconstruction(seed)
        made = _made(AOD, seed, source.provenance["inputs"], mu)
        return _follow("reconstruct", source, rows, aod, made, lambda _: step)


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
    pile_up: PileUp | None = None,
    tracker: bool = True,
    train: Path | None = None,
    train_unmatched: bool = False,
) -> StepSummary:
    """Simulate, digitize and reconstruct in one: EVNT to AOD.

    Parameters are those of `simulate`, and:

    Parameters
    ----------
    aod : Path
        The product; appears whole or not at all.
    hits, rdo : Path, optional
        Keep these too.
    pile_up : PileUp, optional
        Laid over each event.
    tracker : bool
        False leaves the tracker out, a quarter of the time: the AOD has no tracks.
    train : Path, optional
        Make the training file, too, when the AOD stands under its name.
    train_unmatched : bool
        With the jets of signal events that no long-lived particle made.

    Raises
    ------
    InputError
        If the events are not there, or the file is bad.
    SetupError
        If a product cannot be written.
    UsageError
        If HITS or RDO are to be kept without the tracker.
    """
    source = _EventFile(evnt, skip, first, events, number_from, run_number, evnt_sha256)
    library = pile_up.load(seed) if pile_up else None
    inputs = {"evnt": source.sha256}
    all_inputs = inputs | ({"library": library.sha256} if library else {})
    mu = library.mu if library else 0.0
    wanted = [
        (hits, HITS, _made(HITS, seed, inputs)),
        (rdo, RDO, _made(RDO, seed, all_inputs, mu)),
        (aod, AOD, _made(AOD, seed, all_inputs, mu)),
    ]

    keep: tuple[str, ...] = ()
    if train:
        # Only now, as who makes no training file shall not wait for it.
        with spent_on(Part.LOAD):
            from hvmpi.training.aod import COLLECTIONS
            from hvmpi.training.extraction import extract

        keep = COLLECTIONS

    if not tracker:
        if hits or rdo:
            raise UsageError("without the tracker there are no HITS and no RDO to be kept")
        wanted[-1][-1]["tracker"] = False

    @cache
    @spent_on(Part.LOAD)
    def chain(run: int) -> Callable[[GeneratedEvent], list[Event]]:
        if not tracker:
            return CalorimetersAlone(seed, library)
        return Fused(seed, run, library, hits=hits is not None, measurements=rdo is not None)

    with ExitStack() as opened:
        writers = [
            opened.enter_context(ProductWriter(path, schema, made, keep if path == aod else ()))
            for path, schema, made in wanted
            if path is not None
        ]
        for event in spent_on(Part.READ).each(source):
            made = chain(event.run_number)(event)
            for writer, product in zip(writers, made, strict=True):
                writer.append(product)
        for writer in writers:
            writer.finish(source.normalisation)
    if train:
        extract(writers[-1].kept, train, unmatched=train_unmatched)
    return _summary("run", writers[-1])


def _follow(
    name: str,
    source: Product,
    rows: range,
    output: Path,
    made: dict[str, Any],
    step: Callable[[int], Callable[[Event], Event]],
) -> StepSummary:
    before = source.provenance
    if before["seed"] != made["seed"]:
        raise InputError(
            f"'{source.path}' was made with seed {before['seed']}, not {made['seed']}:"
            " all steps of an event take the same"
        )
    now = {key: made[key] for key in ("versions", "cpu_type")}
    mu = made.get("pileup_mu", 0.0) if source.schema is RDO else 0.0
    now["settings_hash"] = settings_hash(source.schema.name, mu)
    differs = {key: before[key] for key, value in now.items() if before[key] != value}
    if differs:
        made["earlier_steps"] = differs
    with ProductWriter(output, _NEXT[source.schema.name], made) as writer:
        for event in spent_on(Part.READ).each(source.iterate(rows)):
            writer.append(step(event.run_number)(event))
        writer.finish(source.normalisation_of(rows))
        return _summary(name, writer)


_NEXT = {HITS.name: RDO, RDO.name: AOD}


@spent_on(Part.LOAD)
def _made(schema: Schema, seed: int, inputs: Mapping[str, str], mu: float = 0.0) -> dict[str, Any]:
    made = provenance(
        seed=seed,
        settings_hash=settings_hash(schema.name, mu),
        inputs=inputs,
        calibration_hash=calibration_hash() if schema is AOD else None,
    )
    return made | ({"pileup_mu": mu} if mu else {})


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

    @spent_on(Part.READ)
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
        number, _ = next(evnt.read_records(self._path, skip, 1))
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
        records = evnt.read_records(self._path, self._skip, self._events)
        for position, (own_number, record) in enumerate(records):
            number = own_number
            if self._number_from is not None:
                number = self._number_from + position
            if number < 0:
                raise InputError(
                    f"'{self._path}' holds event {number}: numbers below 0 seed no random"
                    " numbers, renumber the events"
                )
            yield truth.from_record(record, self._run(record, own_number), number)

    def _run(self, record: EventRecord, own_number: int) -> int:
        number = record.run_number if self._run_number is None else self._run_number
        if number is None:
            raise InputError(f"'{self._path}' holds no run number in event {own_number}; give one")
        if not 0 <= number <= _LARGEST_RUN_NUMBER:
            raise InputError(
                f"run number {number} of '{self._path}' is not from 0 to {_LARGEST_RUN_NUMBER}"
            )
        return number
