"""Products kept in memory on their way to the disk, for a step that goes on with them at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.schemas import Schema

__all__ = ["KeptCollection", "KeptProduct"]


class KeptCollection:
    """One collection; as `hvmpi.openchain.eventdata.Collection`, but not in a file."""

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self.index: NDArray[np.int64] = columns["index"]
        self._columns = {name: values for name, values in columns.items() if name != "index"}

    def table(self, first: int = 0, events: int = -1) -> dict[str, NDArray[Any]]:
        """Return the arrays of consecutive events, counted from `first`; -1: all that follow."""
        stop = len(self.index) - 1 if events < 0 else first + events
        rows = slice(int(self.index[first]), int(self.index[stop]))
        return {name: values[rows] for name, values in self._columns.items()}


class KeptProduct:
    """Some collections of a product, with the types that they have in its file.

    Parameters
    ----------
    path : Path
        Of the file.
    schema : Schema
    collections : iterable of str
        Those to be kept. Jets, tracks, clusters and truth of an AOD take 40 kB an event.
    made : mapping
        From `hvmpi.openchain.eventdata.provenance`.

    Attributes
    ----------
    path : Path
    provenance : dict
    events, normalisation : structured ndarray
        When it is complete.
    """

    def __init__(
        self, path: Path, schema: Schema, collections: Iterable[str], made: Mapping[str, Any]
    ) -> None:
        self.path = path
        # As it is read from a file.
        self.provenance: dict[str, Any] = json.loads(json.dumps(made))
        self._types = {
            name: {field.name: np.dtype(field.dtype) for field in schema.collections[name]}
            | {"index": np.dtype(np.int64)}
            for name in collections
        }
        self._blocks: list[Mapping[str, NDArray[Any]]] = []
        self._collections: dict[str, KeptCollection] = {}

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Keep a block of rows, by the names that the arrays have in the file."""
        kept = {"events": columns["events"]}
        for name, types in self._types.items():
            for field, dtype in types.items():
                kept[f"{name}/{field}"] = columns[f"{name}/{field}"].astype(dtype)
        self._blocks.append(kept)

    def complete(self, normalisation: NDArray[Any]) -> None:
        """Take the table of normalisation; nothing is added after it."""
        self.normalisation = normalisation
        whole = {
            name: np.concatenate([block[name] for block in self._blocks])
            for name in self._blocks[0]
        }
        self._blocks = []
        self.events = whole["events"]
        self._collections = {
            name: KeptCollection({field: whole[f"{name}/{field}"] for field in types})
            for name, types in self._types.items()
        }

    def __getitem__(self, collection: str) -> KeptCollection:
        return self._collections[collection]

    def __len__(self) -> int:
        return len(self.events)

    def __exit__(self, *_: object) -> None:
        """Do nothing: no file is open."""
