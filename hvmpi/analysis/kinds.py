"""The kinds of files that can be opened, each with its columns.

A column is called as it stands in the file: ``jets/pt``, ``events/weight``. `Kind.form` says what
awkward makes of them, with these names for its buffers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError
from hvmpi.hdf5 import InputFile
from hvmpi.openchain.eventdata import Collection, Product
from hvmpi.openchain.schemas import AOD, EVENT_FIELDS, EVENTS, HITS, RDO, Field, Schema
from hvmpi.training.columns import DATASETS, SCHEMA
from hvmpi.training.files import TrainingFile

__all__ = ["Kind", "ProductKind", "TrainingKind", "kind_of"]

Form = dict[str, Any]
"""What awkward takes for an ``ak.forms.Form``."""

_PART = 1024
"""Jets of which all columns are read at a time, 4 MB, also where one column is kept."""


class Contents(NamedTuple):
    """What a file holds: events or jets, its table of normalisation, and how it was made."""

    rows: int
    normalisation: NDArray[Any]
    provenance: Mapping[str, Any]


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
    def look(self, path: Path) -> Contents:
        """Say what a file holds.

        Raises
        ------
        InputError
            If it is missing, damaged, of another kind or version, or lacks a collection.
        """

    @abstractmethod
    def read(
        self, file: InputFile, length: int, columns: Sequence[str], rows: range
    ) -> dict[str, NDArray[Any]]:
        """Read some rows of columns; of ``.../index`` how long each list is.

        Parameters
        ----------
        file : InputFile
            One that was looked at.
        length : int
            Rows that it has.
        columns : sequence of str
        rows : range
        """


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
        lists = {name: _list(name, self.tables[name]) for name in collections}
        return _record(_columns("events", EVENT_FIELDS) | lists)

    def look(self, path: Path) -> Contents:
        """Say what a file holds."""
        with Product(path, self._schema, collections=()) as product:
            return Contents(len(product), product.normalisation, product.provenance)

    def read(
        self, file: InputFile, length: int, columns: Sequence[str], rows: range
    ) -> dict[str, NDArray[Any]]:
        """Read some rows of columns; of ``.../index`` how long each list is."""
        names = {column.partition("/")[0] for column in columns} - {"events"}
        tables = {name: Collection(file, name, self.tables[name], length) for name in names}
        read = {}
        for column in columns:
            name, _, field = column.partition("/")
            if name == "events":
                read[column] = file.table(name, EVENTS)[field][rows.start : rows.stop]
                continue
            index = tables[name].index[rows.start : rows.stop + 1]
            if field == "index":
                read[column] = np.diff(index)
            else:
                read[column] = tables[name].read(field, int(index[0]), int(index[-1]))
        return read


class TrainingKind(Kind):
    """Training files: a record a jet, with its own columns, and lists of its tracks and clusters.

    The lists hold what is `valid` in the file, and nothing of the padding.
    """

    rows, block = "jets", 8192

    def __init__(self) -> None:
        self.schema = SCHEMA
        self.tables = {
            name: tuple(field for field in dataset.fields if field.name != "valid")
            for name, dataset in DATASETS.items()
        }
        self.collections = tuple(DATASETS)

    def form(self, collections: Iterable[str]) -> Form:
        """Say what awkward makes of some of the collections."""
        return _record(
            {
                name: _list(name, self.tables[name])
                if DATASETS[name].slots
                else _record(_columns(name, self.tables[name]))
                for name in collections
            }
        )

    def look(self, path: Path) -> Contents:
        """Say what a file holds."""
        with TrainingFile(path) as file:
            return Contents(len(file), file.books.normalisation, file.books.provenance)

    def read(
        self,
        file: InputFile,
        length: int,  # noqa: ARG002 - its datasets have it
        columns: Sequence[str],
        rows: range,
    ) -> dict[str, NDArray[Any]]:
        """Read some rows of columns; of ``.../index`` how long each list is."""
        places = {column: column.split("/") for column in columns}
        names = {name for name, _ in places.values()}
        parts: dict[str, list[NDArray[Any]]] = {column: [] for column in columns}
        # One part of no rows where there is none.
        for start in range(rows.start, max(rows.stop, rows.start + 1), _PART):
            stop = min(start + _PART, rows.stop)
            block = {name: file.read(name, start, stop) for name in names}
            for column, (name, field) in places.items():
                parts[column].append(_of_block(block[name], field))
        return {column: np.concatenate(part) for column, part in parts.items()}


def _of_block(rows: NDArray[Any], field: str) -> NDArray[Any]:
    if rows.ndim == 1:
        # A view would keep all columns.
        return rows[field].copy()
    valid: NDArray[np.bool_] = rows["valid"]
    return valid.sum(axis=1) if field == "index" else rows[field][valid]


def _list(name: str, fields: Sequence[Field]) -> Form:
    return {
        "class": "ListOffsetArray",
        "offsets": "i64",
        "content": _record(_columns(name, fields)),
        "form_key": f"{name}/index",
    }


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
