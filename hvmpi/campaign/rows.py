"""The tables of a campaign: what a job, an attempt and a step are remembered by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ATTEMPT_FIELDS", "JOB_FIELDS", "STEP_FIELDS", "Rows", "Texts"]

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


class Rows:
    """A structured array that grows by doubling."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._array = np.zeros(64, dtype=fields)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, row: tuple[Any, ...]) -> int:
        """Add a row; give its number."""
        if self._length == len(self._array):
            self._array = np.concatenate([self._array, np.zeros_like(self._array)])
        self._array[self._length] = row
        self._length += 1
        return self._length - 1

    @property
    def view(self) -> npt.NDArray[Any]:
        """The rows so far; writing to them changes them."""
        return self._array[: self._length]


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
