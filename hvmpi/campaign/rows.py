"""The tables of a campaign: what a job, an attempt and a step are remembered by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "ATTEMPT_FIELDS",
    "JOB_FIELDS",
    "PROFILE_FIELDS",
    "STEP_FIELDS",
    "Rows",
    "Span",
    "Texts",
]

JOB_FIELDS: list[tuple[str, str]] = [
    ("job", "i4"),
    ("kind", "u1"),
    ("state", "u1"),
    ("outcome", "u1"),
    ("failure", "u1"),
    ("attempts", "u2"),
    ("run_number", "i4"),
    ("event_file", "i4"),
    ("skip_events", "i8"),
    ("first_event", "i8"),
    ("events", "i8"),
    ("events_out", "i8"),
    ("host", "i4"),
    ("rank", "i4"),
    ("started", "f8"),
    ("wall_s", "f4"),
    ("cpu_s", "f4"),
    ("max_rss_mb", "f4"),
    ("exit_code", "i4"),
    ("reason", "i4"),
    ("where", "i4"),
    ("job_size", "i4"),
]
ATTEMPT_FIELDS: list[tuple[str, str]] = [
    ("job", "i4"),
    ("attempt", "u2"),
    ("host", "i4"),
    ("rank", "i4"),
    ("started", "f8"),
    ("wall_s", "f4"),
    ("cpu_s", "f4"),
    ("max_rss_mb", "f4"),
    ("exit_code", "i4"),
    ("signal", "i4"),
    ("outcome", "u1"),
    ("failure", "u1"),
    ("reason", "i4"),
    ("where", "i4"),
    ("decision", "i4"),
]
STEP_FIELDS: list[tuple[str, str]] = [
    ("job", "i4"),
    ("attempt", "u2"),
    ("step", "i4"),
    ("wall_s", "f4"),
    ("cpu_s", "f4"),
    ("max_rss_mb", "f4"),
    ("exit_code", "i4"),
]
PROFILE_FIELDS: list[tuple[str, str]] = [
    ("job", "i4"),
    ("attempt", "u2"),
    ("step", "i4"),
    ("part", "u1"),
    ("wall_s", "f4"),
]


_LETTERS = {"u1": "B", "u2": "H", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}
"""What `struct` calls the types of the fields."""

_BLOCK = 1 << 16
"""Rows of a block."""


def _packed(fields: Sequence[tuple[str, str]]) -> Struct:
    return Struct("<" + "".join(_LETTERS[kind] for _, kind in fields))


class Span:
    """Fields of a table that stand side by side, to be written at once.

    Parameters
    ----------
    fields : list of (str, str)
        All of the table's.
    first, last : str
        Names of the first and the last of these.
    """

    def __init__(self, fields: list[tuple[str, str]], first: str, last: str) -> None:
        names = [name for name, _ in fields]
        begin, end = names.index(first), names.index(last) + 1
        self.offset = _packed(fields[:begin]).size
        self.pack_into = _packed(fields[begin:end]).pack_into


class Rows:
    """A table that grows by blocks: what is there is never moved, nor kept twice.

    Rows are written as bytes, in a tenth of the time that numpy takes to set a field of one.
    """

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.dtype = np.dtype(fields)
        self._blocks: list[npt.NDArray[Any]] = []
        self._memories: list[memoryview] = []
        self._length = 0
        self._size = self.dtype.itemsize
        self._pack_into = _packed(fields).pack_into

    def __len__(self) -> int:
        return self._length

    def append(self, *values: Any) -> int:
        """Add a row of these values; give its number."""
        row = self._length
        place = row % _BLOCK
        if not place:
            memory = np.zeros(_BLOCK * self._size, dtype=np.uint8)
            self._blocks.append(memory.view(self.dtype))
            self._memories.append(memory.data)
        self._pack_into(self._memories[-1], place * self._size, *values)
        self._length = row + 1
        return row

    def write(self, span: Span, row: int, *values: Any) -> None:
        """Write some fields of a row."""
        block, place = divmod(row, _BLOCK)
        span.pack_into(self._memories[block], place * self._size + span.offset, *values)

    def value(self, row: int, field: str) -> Any:
        """Give one field of a row."""
        block, place = divmod(row, _BLOCK)
        return self._blocks[block][field][place].item()

    def set(self, row: int, field: str, value: Any) -> None:
        """Write one field of a row."""
        block, place = divmod(row, _BLOCK)
        self._blocks[block][field][place] = value

    def take(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Copy the rows of these numbers."""
        # `take` copies rows as they are, indexing goes field by field: twenty times as long.
        blocks, places = np.divmod(rows, _BLOCK)
        there = np.unique(blocks).tolist()
        taken: npt.NDArray[Any] = np.empty(len(rows), dtype=self.dtype)
        if len(there) == 1:
            self._blocks[there[0]].take(places, out=taken, mode="clip")
            return taken
        as_they_are = taken.view(f"V{self._size}")
        for block in there:
            chosen = np.flatnonzero(blocks == block)
            found = self._blocks[block].take(places[chosen])
            as_they_are[chosen] = found.view(as_they_are.dtype)
        return taken

    def parts(self) -> Iterator[npt.NDArray[Any]]:
        """Give all rows, a block at a time, as they stand in memory."""
        for block, rows in enumerate(self._blocks):
            yield rows[: self._length - block * _BLOCK]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Copy all rows into one array."""
        return np.concatenate([np.empty(0, dtype=self.dtype), *self.parts()])

    def __getitem__(self, key: Any) -> Any:
        """Give a column or rows, as indexing of an array does: copies."""
        return np.asarray(self)[key]


class Texts:
    """Texts that repeat, each kept once and known by its row; -1 is none."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._rows: dict[str, int] = {}

    def row(self, text: str) -> int:
        """Give the row of a text, a new one if it has none."""
        if not text:
            return -1
        row = self._rows.get(text)
        if row is None:
            row = self._rows[text] = len(self.texts)
            self.texts.append(text)
        return row
