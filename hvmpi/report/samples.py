"""The samples of a run: what was asked for, and what its files hold of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import HvmpiError, InputError
from hvmpi.openchain.eventdata import Table, hash_of_settings
from hvmpi.openchain.processes import Process, resolve
from hvmpi.report.reference import Component
from hvmpi.report.selection import Selection
from hvmpi.report.variables import VARIABLES, AodFile, Quantity, jets_of
from hvmpi.sample import SampleOptions
from hvmpi.training.books import EVENT_RANGES, Books
from hvmpi.training.files import TrainingFile
from hvmpi.training.weights import cross_section_weights

__all__ = ["Curve", "Sample", "Samples", "read_samples"]

_QCD = "qcd"
_ANYTHING = "any plot"


@dataclass
class Sample:
    """A sample, with what was read of it.

    Attributes
    ----------
    name, process : str
    run_number : int
    asked : Process or None
        None where the event files were made elsewhere, or by an hvmpi of other settings.
    events : int
        Read.
    tables : dict of Quantity to Table
    books : dict of Quantity to list of structured ndarray
        Tables of normalisation of the files that were read for it.
    """

    name: str
    process: str
    run_number: int
    asked: Process | None
    events: int = 0
    tables: dict[Quantity, list[Table]] = field(default_factory=lambda: defaultdict(list))
    books: dict[Quantity, list[NDArray[Any]]] = field(default_factory=lambda: defaultdict(list))

    def table(self, quantity: Quantity) -> Table:
        """Return all that was read of a quantity; nothing: it could not be read of any file."""
        tables = self.tables[quantity]
        names = tables[0] if tables else ()
        return {name: np.concatenate([table[name] for table in tables]) for name in names}


@dataclass(frozen=True)
class Curve:
    """What is drawn in one colour: a sample, or all slices of QCD.

    Attributes
    ----------
    name : str
    samples : tuple of Sample
    reference : tuple of Component
        Of each sample; empty where the reference does not apply to it.
    """

    name: str
    samples: tuple[Sample, ...]
    reference: tuple[Component, ...] = ()

    def table(self, quantity: Quantity) -> Table:
        """Return all that was read of a quantity, with a column ``component``: the sample's place.

        Each entry counts with its event's weight; jets of QCD count with the cross-section that
        they stand for, if that is known of all slices.
        """
        tables = []
        for number, sample in enumerate(self.samples):
            table = sample.table(quantity)
            if table:
                component = np.full(len(table["weight"]), number)
                tables.append(table | {"component": component})
        if not tables:
            return {}
        whole = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        if quantity is Quantity.JETS and len(self.samples) > 1:
            weight = self._cross_sections(whole)
            if np.isfinite(weight).all():
                whole["weight"] = weight
        # Weights of either sign may leave nothing to be shared out.
        return whole if whole["weight"].sum() > 0.0 else {}

    def _cross_sections(self, jets: Table) -> NDArray[np.float64]:
        columns = ("run_number", "sum_weights", "filter_efficiency", "cross_section_pb")
        rows = [
            tuple(row[name] for name in columns)
            for sample in self.samples
            for table in sample.books[Quantity.JETS]
            for row in table
        ]
        kinds = [(name, "i8" if name == "run_number" else "f8") for name in columns]
        books = Books(np.array(rows, dtype=kinds), np.zeros(0, dtype=EVENT_RANGES), {})
        return cross_section_weights(books, jets["run_number"], jets["weight"])


@dataclass(frozen=True)
class Samples:
    """All samples of a run.

    Attributes
    ----------
    samples : tuple of Sample
    mu : float
        Mean number of pile-up interactions.
    provenance : mapping
        What the first AOD says of its making; empty where there is none.
    files : int
        That were read.
    notes : tuple of str
        What could not be read.
    """

    samples: tuple[Sample, ...]
    mu: float
    provenance: Mapping[str, Any]
    files: int
    notes: tuple[str, ...]

    @property
    def events(self) -> int:
        """That were read."""
        return sum(sample.events for sample in self.samples)

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The samples one by one, and then QCD's slices together."""
        signal = [Curve(s.name, (s,)) for s in self.samples if s.process != _QCD]
        slices = tuple(sample for sample in self.samples if sample.process == _QCD)
        return (*signal, *([Curve("QCD", slices)] if slices else []))


def read_samples(selection: Selection) -> Samples:
    """Read the chosen files of a run, as far as they can be read."""
    reader = _Reader(_asked(selection))
    for path in selection.paths:
        if selection.product == "aod":
            reader.read_aod(path)
        else:
            reader.read_training_file(path)
    samples = sorted(reader.samples.values(), key=lambda sample: sample.run_number)
    return Samples(
        tuple(samples),
        float(selection.settings.get("pileup-mu") or 0.0),
        reader.provenance,
        reader.files,
        tuple(_notes(reader.refused, len(selection.paths))),
    )


def _notes(refused: Mapping[str, list[str]], files: int) -> Iterator[str]:
    """Say what could not be read; plots that lack the same are named together."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for what, reasons in refused.items():
        alike[tuple(reasons)].append(what)
    for why, names in alike.items():
        rest = f"; {len(why)} of {files} files are left out" if len(why) > 1 else ""
        yield f"Not in {' or '.join(names)}: {why[0]}{rest}."


class _Reader:
    def __init__(self, asked: Mapping[str, Process]) -> None:
        self._asked = asked
        self.samples: dict[tuple[Any, ...], Sample] = {}
        self.refused: dict[str, list[str]] = defaultdict(list)
        self.files = 0
        self.provenance: Mapping[str, Any] = {}

    def read_aod(self, path: Path) -> None:
        try:
            with AodFile(path) as aod:
                self._read(aod)
        except InputError as error:
            self.refused[_ANYTHING].append(str(error))

    def _read(self, aod: AodFile) -> None:
        sample = self._sample(aod.normalisation[0])
        made: dict[Quantity, list[Table]] = {quantity: [] for quantity in VARIABLES}
        for events in aod.blocks():
            for quantity in tuple(made):
                try:
                    made[quantity].append(VARIABLES[quantity](events))
                except InputError as error:
                    del made[quantity]
                    self.refused[f"the plots of {quantity.value}"].append(str(error))
        for quantity, tables in made.items():
            sample.tables[quantity] += tables
            sample.books[quantity].append(aod.normalisation)
        sample.events += len(aod.events)
        self.files += 1
        self.provenance = self.provenance or aod.provenance

    def read_training_file(self, path: Path) -> None:
        try:
            with TrainingFile(path) as file:
                jets, books = file.read("jets"), file.books
        except InputError as error:
            self.refused[_ANYTHING].append(str(error))
            return
        sources = books.provenance["sources"]
        self.provenance = self.provenance or (sources[0] if sources else {})
        for number, row in enumerate(books.normalisation):
            sample = self._sample(row)
            own = jets[jets["runNumber"] == row["run_number"]]
            sample.tables[Quantity.JETS].append(jets_of(own[own["label"] >= 0]))
            sample.books[Quantity.JETS].append(books.normalisation[number : number + 1])
            sample.events += int(row["events"])
        self.files += 1

    def _sample(self, row: Any) -> Sample:
        name, process, digest = (
            row[field].decode("utf-8", "replace")
            for field in ("sample", "process", "settings_hash")
        )
        key = name, process, int(row["run_number"]), digest
        if key not in self.samples:
            made = Sample(name or f"run {key[2]}", process, key[2], self._asked.get(digest))
            self.samples[key] = made
        return self.samples[key]


def _asked(selection: Selection) -> dict[str, Process]:
    """Return what was asked for by the hash that event files and AODs have of it.

    What the settings say, and, for event files that were there before, what the tables of run
    numbers say: the hash tells whether they are of these.
    """
    given = [
        {key.replace("-", "_"): tuple(v) if isinstance(v, list) else v for key, v in table.items()}
        for table in selection.settings["sample"]
    ]
    for run_number, events in selection.batches:
        there = {"run_number": run_number, "batch_size": max(events, 1)}
        given += [
            {"name": "", "process": process} | there
            for process in ("gghss", "whss", "darkshower", _QCD)
        ]
    return {hash_of_settings(process.physics()): process for process in _resolved(given)}


def _resolved(given: Iterable[Mapping[str, Any]]) -> Iterator[Process]:
    for options in given:
        try:
            yield resolve(SampleOptions(**options))
        except (HvmpiError, OSError, TypeError):
            # Then it was never generated here.
            continue
