"""The books of a training file: what its rows stand for, also of events that left no row.

They are what a sample is normalised by, and what tells that an event would be there twice.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.recfunctions import repack_fields
from numpy.typing import NDArray

from hvmpi import __version__
from hvmpi.errors import InputError
from hvmpi.openchain.evnt import NORMALISATION_FIELDS, is_normalisation
from hvmpi.versions import library_versions

__all__ = [
    "EVENT_RANGES",
    "NORMALISATION_COLUMNS",
    "Books",
    "check_books",
    "event_ranges",
    "merged",
    "normalisation_table",
    "only_run",
    "provenance",
    "refuse_events_twice",
    "versions",
]

EVENT_RANGES = np.dtype(
    [("row", "i4"), ("run_number", "i8"), ("first_event", "i8"), ("last_event", "i8")]
)
"""Events without a gap; `row` is that of their event file in the table of normalisation."""

_OWN_FIELDS = (("input_sha256", "S64"), ("source", "i4"))

NORMALISATION_COLUMNS = (
    "sample",
    *(name for name, _ in NORMALISATION_FIELDS),
    *(name for name, _ in _OWN_FIELDS),
)

_SUMMED = ("events", "n_tried", "n_accepted", "sum_weights", "sum_weights2")
_OF_A_PIECE = ("first_event", *_SUMMED)
"""Columns that differ between pieces of one event file."""

_IDENTITY = np.dtype([("process", "S12"), ("run_number", "i8"), ("settings_hash", "S64")])


@dataclass(frozen=True, slots=True, eq=False)
class Books:
    """What the rows of a training file stand for.

    Attributes
    ----------
    normalisation : structured ndarray
        One row an event file: the columns of an AOD's normalisation, ``input_sha256`` (of the event
        file) and ``source`` (place in the provenance's ``sources``).
    ranges : ndarray of dtype `EVENT_RANGES`
        Every event that went in.
    provenance : mapping
        From `provenance`.
    """

    normalisation: NDArray[Any]
    ranges: NDArray[Any]
    provenance: Mapping[str, Any]

    @property
    def events(self) -> int:
        """How many events went in."""
        return int((self.ranges["last_event"] - self.ranges["first_event"] + 1).sum())

    def identities(self) -> NDArray[Any]:
        """Give for each of the ranges what its events have besides a number: their sample's."""
        rows = self.normalisation[self.ranges["row"]]
        identities = np.zeros(len(rows), dtype=_IDENTITY)
        identities["process"], identities["settings_hash"] = rows["process"], rows["settings_hash"]
        identities["run_number"] = self.ranges["run_number"]
        return identities

    def beginning(self) -> tuple[Any, ...]:
        """Give the first identity and event, which the files of a merge are sorted by."""
        return min(
            (*identity.tolist(), first)
            for identity, first in zip(
                self.identities(), self.ranges["first_event"].tolist(), strict=True
            )
        )


def check_books(path: Path, books: Books) -> None:
    """Refuse books that do not hold together; they may be anybody's.

    Raises
    ------
    InputError
        Names the file and what is wrong.
    """
    table, ranges, made = books.normalisation, books.ranges, books.provenance
    if not is_normalisation(table.dtype, *_OWN_FIELDS):
        wrong = "'normalisation' has other columns than expected"
    elif ranges.dtype != EVENT_RANGES:
        wrong = "'event_ranges' has other columns than expected"
    elif not isinstance(made, dict) or not (
        isinstance(made.get("settings"), dict) and isinstance(made.get("sources"), list)
    ):
        wrong = "'provenance' has no settings and sources"
    elif len(ranges) == 0 or (ranges["first_event"] > ranges["last_event"]).any():
        wrong = "'event_ranges' is empty or has a range that ends before it begins"
    elif not _rows_of(ranges["row"], 0, len(table)):
        wrong = "'event_ranges' names rows that 'normalisation' does not have"
    elif not _rows_of(table["source"], -1, len(made["sources"])) or not made["sources"]:
        wrong = "'normalisation' names sources that 'provenance' does not have"
    else:
        return
    raise InputError(f"'{path}' is damaged: {wrong}; make it again")


def _rows_of(rows: NDArray[Any], least: int, stop: int) -> bool:
    return bool(((rows >= least) & (rows < stop)).all())


def provenance(settings: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a training file says of its making.

    Parameters
    ----------
    settings : mapping
        Every number that the extraction depends on.
    sources : sequence of mapping
        Engine, versions, seeds and settings hashes of what the rows were extracted from.
    """
    text = json.dumps(settings, sort_keys=True)
    return {
        "settings": dict(settings),
        "settings_hash": hashlib.sha256(text.encode()).hexdigest(),
        "sources": list(sources),
    }


def versions(*libraries: str) -> dict[str, str]:
    """Return the versions of what extracts, hvmpi's first."""
    return {"hvmpi": __version__, **library_versions(("h5py", "numpy", *libraries))}


def normalisation_table(sample: bytes, values: Mapping[str, Any]) -> NDArray[Any]:
    """Return a table of one row; what `values` leaves out is not known: NaN, -1 or empty."""
    fields = [("sample", f"S{max(len(sample), 1)}"), *NORMALISATION_FIELDS, *_OWN_FIELDS]
    table = np.zeros(1, dtype=fields)
    table["sample"] = sample
    unknown = {"f": np.nan, "i": -1, "S": b""}
    for name, kind in fields[1:]:
        table[name] = values.get(name, unknown[np.dtype(kind).kind])
    return table


def event_ranges(
    path: Path, run_numbers: NDArray[np.int64], event_numbers: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the ranges without a gap that a file's events make up, all of row 0.

    Raises
    ------
    InputError
        If there are none, or one is there twice.
    """
    if len(event_numbers) == 0:
        raise InputError(f"'{path}' holds no event")
    order = np.lexsort((event_numbers, run_numbers))
    run, event = run_numbers[order], event_numbers[order]
    same_run, step = np.diff(run) == 0, np.diff(event)
    twice = np.flatnonzero(same_run & (step == 0))
    if len(twice):
        raise InputError(f"'{path}' holds event {event[twice[0]]} of run {run[twice[0]]} twice")
    begins = np.flatnonzero(np.concatenate([[True], ~(same_run & (step == 1))]))
    ranges = np.zeros(len(begins), dtype=EVENT_RANGES)
    ranges["run_number"], ranges["first_event"] = run[begins], event[begins]
    ranges["last_event"] = event[np.append(begins[1:] - 1, len(run) - 1)]
    return ranges


def only_run(ranges: NDArray[Any]) -> int:
    """Return the run number of all events; -1 where they are of several runs."""
    runs = np.unique(ranges["run_number"])
    return int(runs[0]) if len(runs) == 1 else -1


# --- several ---------------------------------------------------------------------------------


def refuse_events_twice(paths: Sequence[Path], books: Sequence[Books]) -> None:
    """Raise an `InputError` that names event and files if an event is in two of the files."""
    ranges = np.concatenate([entry.ranges for entry in books])
    identities = np.concatenate([entry.identities() for entry in books])
    file = np.repeat(np.arange(len(books)), [len(entry.ranges) for entry in books])
    _, sample = np.unique(identities, return_inverse=True)
    order = np.lexsort((file, ranges["last_event"], ranges["first_event"], sample))
    first, last = ranges["first_event"][order], ranges["last_event"][order]
    # The neighbours of sorted ranges overlap if any do.
    twice = np.flatnonzero((np.diff(sample[order]) == 0) & (first[1:] <= last[:-1]))
    if len(twice):
        place = int(twice[0])
        one, other = (paths[file[order[at]]] for at in (place, place + 1))
        process, run, _ = identities[order[place]].tolist()
        of = f"of run {run}" + (f" ({process.decode('utf-8', 'replace')})" if process else "")
        raise InputError(f"event {first[place + 1]} {of} is in '{one}' and in '{other}'")


def merged(paths: Sequence[Path], books: Sequence[Books]) -> Books:
    """Return the books of several files together; pieces of one event file become one row.

    Raises
    ------
    InputError
        If files were extracted with different settings; names two.
    """
    for path, entry in zip(paths, books, strict=True):
        settings, expected = (which.provenance["settings"] for which in (entry, books[0]))
        differ = [key for key in expected | settings if settings.get(key) != expected.get(key)]
        if differ:
            raise InputError(
                f"'{paths[0]}' and '{path}' were extracted with different settings: "
                + ", ".join(f"{key} {expected.get(key)}, {settings.get(key)}" for key in differ)
            )
    texts = [
        [json.dumps(source, sort_keys=True) for source in entry.provenance["sources"]]
        for entry in books
    ]
    sources = sorted({text for entry in texts for text in entry})
    table = np.concatenate(
        [
            _with_sources(entry.normalisation, text, sources)
            for entry, text in zip(books, texts, strict=True)
        ]
    )
    rows_before = np.cumsum([0, *(len(entry.normalisation) for entry in books)])
    ranges = np.concatenate([entry.ranges for entry in books])
    ranges["row"] += np.repeat(rows_before[:-1], [len(entry.ranges) for entry in books])
    table, ranges = _joined(table, ranges)
    made = provenance(books[0].provenance["settings"], [json.loads(text) for text in sources])
    return Books(table, ranges, made)


def _with_sources(table: NDArray[Any], texts: list[str], sources: list[str]) -> NDArray[Any]:
    places = np.array([sources.index(text) for text in texts])
    renumbered = table.copy()
    renumbered["source"] = places[table["source"]]
    return renumbered


def _joined(table: NDArray[Any], ranges: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Join the pieces of each event file, and ranges of events that follow each other."""
    whole = repack_fields(
        table[[name for name in NORMALISATION_COLUMNS if name not in _OF_A_PIECE]]
    )
    # As bytes: a NaN is not equal to itself.
    _, piece_of = np.unique(whole.view((np.void, whole.dtype.itemsize)), return_inverse=True)
    by_file = np.argsort(piece_of, kind="stable")
    ends = np.cumsum(np.bincount(piece_of))[:-1]
    joined = np.concatenate([_sum(table[rows]) for rows in np.split(by_file, ends)])
    order = np.lexsort(
        [joined[name] for name in ("input_sha256", "first_event", "batch", "settings_hash")]
        + [joined["run_number"], joined["process"]]
    )
    new_row = np.empty(len(order), dtype=np.int64)
    new_row[order] = np.arange(len(order))

    ranges = ranges.copy()
    ranges["row"] = new_row[piece_of[ranges["row"]]]
    ranges = ranges[np.lexsort((ranges["first_event"], ranges["run_number"], ranges["row"]))]
    follows = (
        (np.diff(ranges["row"]) == 0)
        & (np.diff(ranges["run_number"]) == 0)
        & (ranges["first_event"][1:] == ranges["last_event"][:-1] + 1)
    )
    begins = np.flatnonzero(np.concatenate([[True], ~follows]))
    longer = ranges[begins]
    longer["last_event"] = ranges["last_event"][np.append(begins[1:] - 1, len(ranges) - 1)]
    return joined[order], longer


def _sum(pieces: NDArray[Any]) -> NDArray[Any]:
    whole = pieces[:1].copy()
    whole["first_event"] = pieces["first_event"].min()
    for name in _SUMMED:
        values = pieces[name]
        exact = math.fsum(values) if values.dtype.kind == "f" else values.sum()
        whole[name] = -1 if (values == -1).any() and name.startswith("n_") else exact
    return whole
