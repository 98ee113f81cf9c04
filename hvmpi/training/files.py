"""Training files: how they are written and read.

The three datasets of `hvmpi.training.columns` and the group ``cutBookkeeper``, which holds what the
rows stand for, also of events that left no row: ``nominal/counts`` as in ATLAS, `normalisation`
with one row an event file, and `event_ranges`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError, RunError
from hvmpi.hdf5 import COMPRESSION, InputFile, WholeFile
from hvmpi.openchain.schemas import NORMALISATION_UNITS
from hvmpi.stopwatch import Part, spent_on
from hvmpi.training.books import NORMALISATION_COLUMNS, Books, check_books
from hvmpi.training.columns import (
    BACKGROUND,
    DATASETS,
    FLAVOUR_LABELS,
    SCHEMA,
    SCHEMA_VERSION,
    SIGNAL,
    Dataset,
)
from hvmpi.training.variables import Rows

__all__ = ["TrainingFile", "TrainingWriter"]

_COUNTS = np.dtype(
    [("nEventsProcessed", "u8"), ("sumOfWeights", "f8"), ("sumOfWeightsSquared", "f8")]
)

_BLOCK = 4096
"""Rows that are written or read at a time, 13 MB: always as many, so that the bytes of a file do
not depend on how its rows came."""

_CHUNKS = {0: 2048, 30: 256, 40: 256}
"""Rows of a chunk by the dataset's slots: 400 kB."""


# --- writing ---------------------------------------------------------------------------------


class TrainingWriter:
    """Writes a training file, whole or not at all.

    Used as a context: the file stands under its name when the block has ended well and `finish`
    was called in it; after an exception nothing is left.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    rows : dict of str to int
        Appended so far: jets, of them signal and QCD, and the tracks and clusters in them.

    Raises
    ------
    SetupError
        If the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._output = WholeFile(path)
        self._pending: list[Rows] = []
        self._n_pending = 0
        self._finished = False
        self.rows = dict.fromkeys(("jets", "signal", "qcd", "tracks", "clusters"), 0)

    @spent_on(Part.WRITE)
    def __enter__(self) -> Self:
        self._output.__enter__()
        file = self._output.file
        file.attrs["schema"], file.attrs["schema_version"] = SCHEMA, SCHEMA_VERSION
        for name, dataset in DATASETS.items():
            created = file.create_dataset(
                name,
                shape=dataset.shape(0),
                maxshape=(None, *dataset.shape(0)[1:]),
                chunks=(_CHUNKS[dataset.slots], *dataset.shape(0)[1:]),
                dtype=dataset.dtype,
                **COMPRESSION,
            )
            for attribute in ("unit", "meaning"):
                values = {field.name: getattr(field, attribute) for field in dataset.fields}
                created.attrs[attribute] = json.dumps(values)
        file["jets"].attrs["flavour_label"] = list(FLAVOUR_LABELS)
        return self

    @spent_on(Part.WRITE)
    def append(self, rows: Rows) -> None:
        """Add rows of all datasets."""
        self._pending.append(rows)
        self._n_pending += len(rows["jets"])
        label = rows["jets"]["label"]
        for name, count in (
            ("jets", len(label)),
            ("signal", (label == SIGNAL).sum()),
            ("qcd", (label == BACKGROUND).sum()),
            ("tracks", rows["tracks"]["valid"].sum()),
            ("clusters", rows["clusters"]["valid"].sum()),
        ):
            self.rows[name] += int(count)
        while self._n_pending >= _BLOCK:
            self._flush(_BLOCK)

    def _flush(self, count: int) -> None:
        """Write the first `count` of the rows that wait."""
        waiting = {
            name: np.concatenate([rows[name] for rows in self._pending]) for name in DATASETS
        }
        for name, rows in waiting.items():
            dataset = self._output.file[name]
            old = len(dataset)
            dataset.resize(old + count, axis=0)
            dataset[old:] = rows[:count]
        self._output.check()
        self._pending = [{name: rows[count:] for name, rows in waiting.items()}]
        self._n_pending -= count

    @spent_on(Part.WRITE)
    def finish(self, books: Books) -> None:
        """Write what the rows stand for; the last thing to be written."""
        if self._n_pending:
            self._flush(self._n_pending)
        table = books.normalisation
        counts = np.zeros((), dtype=_COUNTS)
        counts["nEventsProcessed"] = books.events
        counts["sumOfWeights"] = math.fsum(table["sum_weights"])
        counts["sumOfWeightsSquared"] = math.fsum(table["sum_weights2"])
        file = self._output.file
        file.attrs["provenance"] = json.dumps(books.provenance, sort_keys=True)
        group = file.create_group("cutBookkeeper")
        group.create_dataset("nominal/counts", data=counts)
        group.create_dataset("event_ranges", data=books.ranges)
        group.create_dataset("normalisation", data=table)
        units = {name: NORMALISATION_UNITS.get(name, "1") for name in NORMALISATION_COLUMNS}
        group["normalisation"].attrs["unit"] = json.dumps(units)
        self._output.check()
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
            self._output.__exit__(type(error), error, None)
            raise error
        self._output.__exit__(kind, error, trace)


# --- reading ---------------------------------------------------------------------------------


class TrainingFile:
    """An open training file.

    Used as a context.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    books : Books

    Raises
    ------
    InputError
        If the file is missing, damaged, no training file, or of another schema or columns.
    """

    @spent_on(Part.READ)
    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = InputFile(path)
        try:
            self._check()
            self.books = self._read_books()
        except InputError:
            self._file.close()
            raise

    def _check(self) -> None:
        self._file.check_schema(SCHEMA, SCHEMA_VERSION)
        for name, dataset in DATASETS.items():
            found = self._file.dataset(name)
            _check_columns(self.path, name, found, dataset)
            if found.shape != dataset.shape(len(self)):
                self._file.refuse(name, f"has shape {found.shape} beside {len(self)} jets")

    def _read_books(self) -> Books:
        table, ranges = (
            self._file.table(f"cutBookkeeper/{name}") for name in ("normalisation", "event_ranges")
        )
        books = Books(table, ranges, self._file.json("provenance"))
        check_books(self.path, books)
        return books

    def __len__(self) -> int:
        """How many jets there are."""
        return len(self._file.dataset("jets"))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows of a dataset; all that follow `start` if no `stop` is given."""
        return self._file.read(name, start, stop)

    def blocks(self) -> Iterator[Rows]:
        """Yield the rows of all datasets, some thousand at a time."""
        for start in range(0, len(self), _BLOCK):
            yield {name: self.read(name, start, start + _BLOCK) for name in DATASETS}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _check_columns(path: Path, name: str, found: Any, dataset: Dataset) -> None:
    if found.dtype == dataset.dtype:
        return
    expected, there = (
        {column: str(dtype[column]) for column in dtype.names or ()}
        for dtype in (dataset.dtype, found.dtype)
    )
    differ = sorted(
        column for column in {*expected, *there} if expected.get(column) != there.get(column)
    )
    what = f"differ in {', '.join(differ)}" if differ else "stand in another order"
    raise InputError(f"'{path}' has other columns than expected: those of '{name}' {what}")
