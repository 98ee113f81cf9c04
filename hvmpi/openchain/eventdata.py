"""The open chain's products, HITS, RDO and AOD: how they are written and read.

A product is an HDF5 file. A collection is a group of flat arrays of one length with an `index` of
n_events + 1 offsets: the rows of event i are ``index[i]:index[i + 1]``. Every array has a `unit`.
`events` and `normalisation` are compound datasets, their `unit` is a JSON object by field.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import hvmpi
from hvmpi.errors import InputError, RunError
from hvmpi.files import sha256_of
from hvmpi.hdf5 import GrowingArray, InputFile, WholeFile
from hvmpi.openchain.evnt import is_normalisation
from hvmpi.openchain.kept import KeptProduct
from hvmpi.openchain.schemas import EVENT_FIELDS, EVENTS, NORMALISATION_UNITS, Field, Schema
from hvmpi.stopwatch import Part, spent_on

__all__ = [
    "Collection",
    "Event",
    "Product",
    "ProductWriter",
    "Table",
    "check_count",
    "file_sha256",
    "hash_of_settings",
    "provenance",
    "to_table",
]

Table = dict[str, NDArray[Any]]
"""Arrays of one length by the names of their fields."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a product.

    Attributes
    ----------
    run_number, event_number : int
    weight : float
    tables : dict of str to Table
        By collection.
    """

    run_number: int
    event_number: int
    weight: float
    tables: dict[str, Table]


def to_table(rows: Sequence[tuple[Any, ...]], kinds: Mapping[str, Any]) -> Table:
    """Turn rows into columns.

    Parameters
    ----------
    rows : sequence of tuple
    kinds : mapping of str to dtype
        Names of the columns, in the order in which they stand in a row.
    """
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(kinds)
    return {
        name: np.array(column, dtype=kind)
        for (name, kind), column in zip(kinds.items(), columns, strict=True)
    }


def check_count(events: int) -> None:
    """Raise an `InputError` for a number of events that is neither positive nor -1."""
    if events < 1 and events != -1:
        raise InputError(f"{events} events were asked for; give 1 or more, or -1 for all")


# --- provenance ------------------------------------------------------------------------------


@cache
def _versions() -> dict[str, str]:
    libraries = ("fastjet", "h5py", "numpy", "pyacts", "pyhepmc", "pythia8mc", "scipy")
    return {"hvmpi": hvmpi.__version__} | {name: version(name) for name in libraries}


@cache
def _cpu_type() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error


def hash_of_settings(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of whatever numbers the physics depends on."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def provenance(
    *,
    seed: int,
    settings_hash: str,
    inputs: Mapping[str, str],
    calibration_hash: str | None = None,
) -> dict[str, Any]:
    """Return what a product says of its making.

    Parameters
    ----------
    seed : int
    settings_hash : str
        From `hash_of_settings`.
    inputs : mapping of str to str
        SHA-256 of the event file and of the pile-up library, by kind (``evnt``, ``library``).
    calibration_hash : str, optional
        SHA-256 of the jets' calibration.
    """
    return {
        "versions": _versions(),
        "cpu_type": _cpu_type(),
        "settings_hash": settings_hash,
        "seed": seed,
        "calibration_hash": calibration_hash,
        "inputs": dict(inputs),
    }


# --- writing ---------------------------------------------------------------------------------


class ProductWriter:
    """Writes a product, whole or not at all.

    Used as a context: the file stands under its name when the block has ended well and `finish`
    was called in it; after an exception nothing is left.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    schema : Schema
    made : mapping
        From `provenance`.
    keep : iterable of str, optional
        Collections to keep in memory, too.

    Attributes
    ----------
    kept : KeptProduct
        What of it is in memory; complete when `finish` was called.
    events : int
        Appended so far.
    first_event, last_event, run_number : int
        Numbers of the first and the last event, and the first's run; -1 before.
    rows : dict of str to int
        Appended so far, by collection.

    Raises
    ------
    SetupError
        If the file cannot be written.
    """

    # Bounds the memory at 64 events however many there are; the bytes do not depend on whether
    # the events came one by one or from a file.
    _BLOCK = 64
    # Rows of a chunk. HITS of 64 events have 45 000 rows, tracks 3000. A file of one block has
    # chunks of its own rows: HDF5 compresses whole chunks, however few rows are in them.
    _CHUNK = 8192

    def __init__(
        self, path: Path, schema: Schema, made: Mapping[str, Any], keep: Iterable[str] = ()
    ) -> None:
        self._path = path
        self.kept = KeptProduct(path, schema, keep, made)
        self._whole = WholeFile(path)
        self._schema = schema
        self._made = dict(made)
        self._pending: list[Event] = []
        self._arrays: dict[str, GrowingArray] = {}
        self._finished = False
        self.events = 0
        self.first_event = self.last_event = self.run_number = -1
        self.rows = dict.fromkeys(schema.collections, 0)

    @spent_on(Part.WRITE)
    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._file = opened.enter_context(self._whole).file
            self._file.attrs["schema"] = self._schema.name
            self._file.attrs["schema_version"] = self._schema.version
            self._file.attrs["provenance"] = json.dumps(self._made, sort_keys=True)
            self._opened = opened.pop_all()
        return self

    def _create(self, columns: Mapping[str, NDArray[Any]], *, alone: bool) -> None:
        """Create the arrays for the first of their rows, which may be the only ones."""
        groups = {name: self._file.create_group(name) for name in self._schema.collections}

        def create(name: str, dtype: np.dtype[Any], **attributes: str) -> None:
            collection, _, field = name.rpartition("/")
            rows = max(len(columns[name]), 1)
            self._arrays[name] = GrowingArray(
                groups.get(collection, self._file),
                field,
                dtype,
                min(rows, self._CHUNK) if alone else self._CHUNK,
                **attributes,
            )

        create("events", EVENTS, unit=_units(EVENT_FIELDS))
        for collection, fields in self._schema.collections.items():
            for field in fields:
                name = f"{collection}/{field.name}"
                create(name, np.dtype(field.dtype), unit=field.unit, meaning=field.meaning)
            create(f"{collection}/index", np.dtype("i8"), unit="1")

    @spent_on(Part.WRITE)
    def append(self, event: Event) -> None:
        """Add one event; its tables must have the schema's collections."""
        self._pending.append(event)
        if self.events == 0:
            self.first_event, self.run_number = event.event_number, event.run_number
        self.events += 1
        self.last_event = event.event_number
        for collection, fields in self._schema.collections.items():
            self.rows[collection] += len(event.tables[collection][fields[0].name])
        if len(self._pending) == self._BLOCK:
            self._flush(last=False)

    def _flush(self, *, last: bool) -> None:
        columns = self._columns()
        if not self._arrays:
            self._create(columns, alone=last)
        for name, values in columns.items():
            self._arrays[name].append(values)
        self.kept.add(columns)
        self._whole.check()
        self._pending = []

    def _columns(self) -> dict[str, NDArray[Any]]:
        """Return what waits, by the names of the arrays."""
        rows = [(e.run_number, e.event_number, e.weight) for e in self._pending]
        columns: dict[str, NDArray[Any]] = {"events": np.array(rows, dtype=EVENTS)}
        for collection, fields in self._schema.collections.items():
            tables = [event.tables[collection] for event in self._pending]
            for field in fields:
                values = [table[field.name] for table in tables] or [np.zeros(0)]
                columns[f"{collection}/{field.name}"] = np.concatenate(values)
            lengths = [len(table[fields[0].name]) for table in tables]
            # The first index of all is written with the first of the events.
            before = self.rows[collection] - sum(lengths)
            index = before + np.cumsum([0, *lengths])
            columns[f"{collection}/index"] = index[1:] if self._arrays else index
        return columns

    @spent_on(Part.WRITE)
    def finish(self, normalisation: NDArray[Any]) -> None:
        """Add the table of normalisation; the last thing to be written."""
        if self._pending or not self._arrays:
            self._flush(last=True)
        for array in self._arrays.values():
            array.close()
        self.kept.complete(normalisation)
        names = normalisation.dtype.names or ()
        units = {name: NORMALISATION_UNITS.get(name, "1") for name in names}
        dataset = self._file.create_dataset("normalisation", data=normalisation)
        dataset.attrs["unit"] = json.dumps(units, sort_keys=True)
        self._finished = True

    @spent_on(Part.WRITE)
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and not self._finished:
            error = RunError(f"'{self._path}' was left unfinished")
            self._opened.__exit__(type(error), error, None)
            raise error
        self._opened.__exit__(kind, error, trace)


def _units(fields: Sequence[Field]) -> str:
    return json.dumps({field.name: field.unit for field in fields}, sort_keys=True)


# --- reading ---------------------------------------------------------------------------------


class Collection:
    """One collection of an open product; arrays are read when asked for.

    Attributes
    ----------
    index : ndarray of int64, shape (n_events + 1,)
    fields : tuple of str
    """

    def __init__(
        self, file: InputFile, name: str, fields: tuple[Field, ...], n_events: int
    ) -> None:
        self._file, self._name = file, name
        self._types = {field.name: np.dtype(field.dtype) for field in fields}
        self.fields = tuple(self._types)
        self.index: NDArray[np.int64] = file.table(f"{name}/index")
        ascends = self.index.dtype == np.int64 and len(self.index) == n_events + 1
        if not ascends or self.index[0] != 0 or (np.diff(self.index) < 0).any():
            file.refuse(f"{name}/index", f"does not fit its {n_events} events")

    def read(self, field: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows of an array; all that follow `start` if no `stop` is given."""
        name = f"{self._name}/{field}"
        dataset = self._file.dataset(name)
        if (dataset.shape, dataset.dtype) != ((len(self),), self._types[field]):
            self._file.refuse(
                name,
                f"has shape {dataset.shape} and type {dataset.dtype}, expected ({len(self)},) and"
                f" {self._types[field]}",
            )
        return self._file.read(name, start, stop)

    def __getitem__(self, field: str) -> NDArray[Any]:
        """Return an array over all events."""
        return self.read(field)

    def __len__(self) -> int:
        return int(self.index[-1])

    def table(self, first: int = 0, events: int = -1) -> Table:
        """Return the arrays of consecutive events, counted from `first`; -1: all that follow."""
        stop = len(self.index) - 1 if events < 0 else first + events
        rows = int(self.index[first]), int(self.index[stop])
        return {name: self.read(name, *rows) for name in self.fields}


class Product:
    """An open product.

    Used as a context.

    Parameters
    ----------
    path : Path
    schema : Schema
        What the file is expected to be.
    collections : iterable of str, optional
        Those that are asked for later, if not all: of others it is only seen that they are there.

    Attributes
    ----------
    path : Path
    events : structured ndarray of dtype `EVENTS`
    normalisation : structured ndarray
    provenance : dict

    Raises
    ------
    InputError
        If the file is missing, damaged, of another schema or version.
    """

    def __init__(
        self, path: Path, schema: Schema, collections: Iterable[str] | None = None
    ) -> None:
        self.path, self.schema = path, schema
        self._file = InputFile(path)
        try:
            self._load(schema.collections if collections is None else collections)
        except InputError:
            self._file.close()
            raise

    @spent_on(Part.READ)
    def _load(self, collections: Iterable[str]) -> None:
        self._file.check_schema(self.schema.name, self.schema.version)
        self.provenance: dict[str, Any] = self._file.json("provenance")
        self.events: NDArray[Any] = self._file.table("events", EVENTS)
        self.normalisation: NDArray[Any] = self._file.table("normalisation")
        if not is_normalisation(self.normalisation.dtype):
            self._file.refuse("normalisation", "has other columns than expected")
        for name in self.schema.collections:
            if name not in self._file:
                self._file.refuse(name, "is not there")
        self._collections = {
            name: Collection(self._file, name, self.schema.collections[name], len(self.events))
            for name in collections
        }

    def __getitem__(self, collection: str) -> Collection:
        return self._collections[collection]

    def __len__(self) -> int:
        return len(self.events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def select(self, first: int | None, events: int) -> range:
        """Return the rows of consecutive events.

        Parameters
        ----------
        first : int or None
            Number of the first event; None: the file's first.
        events : int
            How many; -1: all that follow.

        Raises
        ------
        InputError
            If the file does not hold them.
        """
        check_count(events)
        numbers = self.events["event_number"]
        start = 0
        if first is not None:
            rows = np.flatnonzero(numbers == first)
            if len(rows) == 0:
                raise InputError(f"'{self.path}' holds no event {first}; {self._contents()}")
            start = int(rows[0])
        stop = len(numbers) if events < 0 else start + events
        if stop > len(numbers):
            raise InputError(
                f"'{self.path}' holds {len(numbers) - start} events from"
                f" {'the first' if first is None else f'event {first}'} on, {events} were asked"
                f" for; {self._contents()}"
            )
        return range(start, stop)

    def _contents(self) -> str:
        numbers = self.events["event_number"]
        if len(numbers) == 0:
            return "it is empty"
        return f"it holds {len(numbers)} events, {numbers[0]} to {numbers[-1]}"

    def normalisation_of(self, rows: range) -> NDArray[Any]:
        """Return the table of normalisation for some of the events.

        For all of them it is the file's own. For a part, what was tried and accepted for it is
        not known here and stands as -1.
        """
        if rows == range(len(self.events)):
            return self.normalisation
        table = self.normalisation.copy()
        chosen = self.events[rows.start : rows.stop]
        table["first_event"] = chosen["event_number"][0] if len(chosen) else -1
        table["events"] = len(chosen)
        table["n_tried"] = table["n_accepted"] = -1
        table["sum_weights"] = math.fsum(chosen["weight"])
        table["sum_weights2"] = math.fsum(chosen["weight"] ** 2)
        return table

    def iterate(self, rows: range) -> Iterator[Event]:
        """Yield events one by one; they are read in blocks."""
        block = 32
        for start in range(rows.start, rows.stop, block):
            count = min(block, rows.stop - start)
            tables = {
                name: collection.table(start, count)
                for name, collection in self._collections.items()
            }
            for row in range(start, start + count):
                event = self.events[row]
                yield Event(
                    run_number=int(event["run_number"]),
                    event_number=int(event["event_number"]),
                    weight=float(event["weight"]),
                    tables={
                        name: _cut(tables[name], collection.index, start, row)
                        for name, collection in self._collections.items()
                    },
                )


def _cut(table: Table, index: NDArray[np.int64], start: int, row: int) -> Table:
    rows = slice(int(index[row] - index[start]), int(index[row + 1] - index[start]))
    return {name: values[rows] for name, values in table.items()}
