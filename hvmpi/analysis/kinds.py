"""The kinds of files that can be opened, each with its columns.

A column is called as it stands in the file: ``jets/pt``, ``events/weight``. `Kind.form` says what
awkward makes of them, with these names for its buffers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError
from hvmpi.hdf5 import InputFile
from hvmpi.openchain.eventdata import Product
from hvmpi.openchain.schemas import AOD, EVENT_FIELDS, HITS, RDO, Field, Schema
from hvmpi.training.columns import DATASETS, SCHEMA
from hvmpi.training.files import TrainingFile

__all__ = ["Kind", "ProductKind", "TrainingKind", "kind_of"]

Form = dict[str, Any]
"""What awkward takes for an ``ak.forms.Form``."""

_PART = 1024
"""Jets of which all columns are read at a time, 4 MB, also where one column is kept."""


class Kind(ABC):
    """A kind of file.

    Attributes
    ----------
    schema : str
        What stands in the file.
    tables : mapping of str to tuple of Field
        Every column, by collection.
    collections : tuple of str
        Those that a user may choose from.
    rows : str
        What a row is.
    block : int
        Rows that take some 50 MB.
    """

    schema: str
    tables: Mapping[str, tuple[Field, ...]]
    collections: tuple[str, ...]
    rows: str
    block: int

    @abstractmethod
    def form(self, collections: Iterable[str]) -> Form:
        """Say what awkward makes of some of the collections."""

    def columns(self, collections: Iterable[str]) -> list[str]:
        """List the columns of some of the collections, and what says how long their lists are."""
        return list(_buffers(self.form(collections)))

    @abstractmethod
    def open(self, path: Path, collections: Iterable[str]) -> Any:
        """Open a file to read some of its collections; what it gives is a context with a length.

        Raises
        ------
        InputError
            If it is missing, damaged, of another kind or version, or lacks any collection.
        """

    @abstractmethod
    def read(self, opened: Any, columns: Iterable[str], rows: range) -> dict[str, NDArray[Any]]:
        """Read some rows of columns; of ``.../index`` how many there are in each event."""

    @abstractmethod
    def books(self, opened: Any) -> tuple[NDArray[Any], Mapping[str, Any]]:
        """Give the table of normalisation of an open file, and what it says of its making."""


class ProductKind(Kind):
    """HITS, RDO and AOD: a record an event, with a list a collection."""

    rows = "events"

    def __init__(self, schema: Schema, block: int) -> None:
        self._schema, self.block = schema, block
        self.schema = schema.name
        self.tables = {"events": EVENT_FIELDS, **schema.collections}
        self.collections = tuple(schema.collections)

    def form(self, collections: Iterable[str]) -> Form:
        """Say what awkward makes of some of the collections."""
        lists = {
            name: {
                "class": "ListOffsetArray",
                "offsets": "i64",
                "content": _record(_columns(name, self.tables[name])),
                "form_key": f"{name}/index",
            }
            for name in collections
        }
        return _record(_columns("events", EVENT_FIELDS) | lists)

    def open(self, path: Path, collections: Iterable[str]) -> Product:
        """Open a file to read some of its collections."""
        return Product(path, self._schema, set(collections) - {"events"})

    def read(self, opened: Product, columns: Iterable[str], rows: range) -> dict[str, NDArray[Any]]:
        """Read some rows of columns; of ``.../index`` how many there are in each event."""
        return {column: self._column(opened, column, rows) for column in columns}

    def _column(self, opened: Product, column: str, rows: range) -> NDArray[Any]:
        collection, _, field = column.partition("/")
        if collection == "events":
            return opened.events[field][rows.start : rows.stop]
        if field == "index":
            return np.diff(opened[collection].index[rows.start : rows.stop + 1])
        return opened[collection].column(field, rows.start, len(rows))

    def books(self, opened: Product) -> tuple[NDArray[Any], Mapping[str, Any]]:
        """Give the table of normalisation of an open file, and what it says of its making."""
        return opened.normalisation, opened.provenance


class TrainingKind(Kind):
    """Training files: a record a jet, with its own columns, its tracks and its clusters."""

    rows, block = "jets", 8192

    def __init__(self) -> None:
        self.schema = SCHEMA
        self.tables = {name: dataset.fields for name, dataset in DATASETS.items()}
        self.collections = tuple(DATASETS)

    def form(self, collections: Iterable[str]) -> Form:
        """Say what awkward makes of some of the collections."""
        contents = {}
        for name in collections:
            contents[name] = _record(_columns(name, self.tables[name]))
            if slots := DATASETS[name].slots:
                contents[name] = {"class": "RegularArray", "size": slots, "content": contents[name]}
        return _record(contents)

    def open(self, path: Path, collections: Iterable[str]) -> TrainingFile:  # noqa: ARG002 - all stand in rows
        """Open a file to read some of its collections."""
        return TrainingFile(path)

    def read(
        self, opened: TrainingFile, columns: Iterable[str], rows: range
    ) -> dict[str, NDArray[Any]]:
        """Read some rows of columns."""
        places = {column: column.split("/") for column in columns}
        datasets = {dataset for dataset, _ in places.values()}
        parts = {column: [_nothing(*place)] for column, place in places.items()}
        for start in range(rows.start, rows.stop, _PART):
            stop = min(start + _PART, rows.stop)
            block = {dataset: opened.read(dataset, start, stop) for dataset in datasets}
            for column, (dataset, field) in places.items():
                parts[column].append(block[dataset][field].reshape(-1))
        return {column: np.concatenate(part) for column, part in parts.items()}

    def books(self, opened: TrainingFile) -> tuple[NDArray[Any], Mapping[str, Any]]:
        """Give the table of normalisation of an open file, and what it says of its making."""
        return opened.books.normalisation, opened.books.provenance


def _nothing(dataset: str, field: str) -> NDArray[Any]:
    return np.zeros(0, dtype=DATASETS[dataset].dtype[field])


def _columns(name: str, fields: Sequence[Field]) -> dict[str, Form]:
    return {
        field.name: {
            "class": "NumpyArray",
            "primitive": np.dtype(field.dtype).name,
            "form_key": f"{name}/{field.name}",
        }
        for field in fields
    }


def _record(contents: Mapping[str, Form]) -> Form:
    # A name by which the library vector, where it is registered, knows four-momenta.
    is_momentum = {"pt", "eta", "phi", "mass"} <= contents.keys()
    return {
        "class": "RecordArray",
        "fields": list(contents),
        "contents": list(contents.values()),
        "parameters": {"__record__": "Momentum4D"} if is_momentum else {},
    }


def _buffers(form: Form) -> Iterator[str]:
    if "form_key" in form:
        yield form["form_key"]
    for content in (*form.get("contents", ()), *filter(None, [form.get("content")])):
        yield from _buffers(content)


_KINDS = {
    kind.schema: kind
    for kind in (
        TrainingKind(),
        ProductKind(AOD, block=500),
        ProductKind(HITS, block=200),
        ProductKind(RDO, block=100),
    )
}


def kind_of(path: Path) -> Kind:
    """Say of what kind a file is.

    Raises
    ------
    InputError
        If it is missing, no HDF5, or of none of these kinds.
    """
    with InputFile(path) as file:
        schema = file.attribute("schema", str) if file.has_attribute("schema") else "none"
    if schema not in _KINDS:
        raise InputError(
            f"'{path}' has schema {schema}; those that can be opened are {', '.join(_KINDS)}"
        )
    return _KINDS[schema]
