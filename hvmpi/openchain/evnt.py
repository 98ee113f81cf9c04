"""Event files: HepMC3 ASCII (Asciiv3), plain or gzipped, ours or another generator's.

`scan` says what a file holds, `read_events` gives its events, `normalisation` what they stand
for. Files are known by their contents, never by their names. `read_records` gives the events as
arrays, and needs pyhepmc, as `read_events` does, only where they are not written as ours are.

In the files that hvmpi writes, ``GenCrossSection`` is the running estimate after each event and
holds the running counts of tried and accepted events, so the last event has the file's own.
"""

from __future__ import annotations

import io
import math
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.errors import BadEventFileError, SetupError
from hvmpi.openchain.asciiv3 import END, EventText, Walk, check_references, open_event_file
from hvmpi.openchain.record import EventRecord, weights_named

__all__ = [
    "NORMALISATION_FIELDS",
    "EventFileSummary",
    "is_normalisation",
    "normalisation",
    "read_events",
    "read_records",
    "scan",
]

BUFFER = 1 << 16
"""Bytes that the parser takes at a time."""

_RUN_NUMBER = re.compile(rb"^A (?:0 )?run_number (-?\d{1,18})\s*$", re.MULTILINE)
_OURS = re.compile(rb"^A schema hvmpi\.evnt\s*$", re.MULTILINE)
_SIZE = re.compile(rb"^A size (\d{1,18})\s*$", re.MULTILINE)
_BATCH_SIZE = re.compile(rb"^A batch_size (\d{1,18})\s*$", re.MULTILINE)
_BATCH = re.compile(rb"^A batch (\d{1,18})\s*$", re.MULTILINE)
_SAMPLE = re.compile(rb"^A sample ([^\n]*)$", re.MULTILINE)
_PROCESS = re.compile(rb"^A process ([a-z]{1,12})\s*$", re.MULTILINE)
_MASS = {
    name: re.compile(rb"^A %s (\d[\d.e+-]*)\s*$" % name.encode(), re.MULTILINE)
    for name in ("m_phi", "m_s")
}
_SETTINGS_HASH = re.compile(rb'^A provenance [^\n]*"settings_hash": "([0-9a-f]{64})"', re.MULTILINE)
_WEIGHTS = re.compile(rb"^W ([^\n]*)$", re.MULTILINE)
_CROSS_SECTION = re.compile(rb"^A 0 GenCrossSection ([^\n]*)$", re.MULTILINE)

NORMALISATION_FIELDS = (
    ("process", "S12"),
    ("settings_hash", "S64"),
    ("run_number", "i8"),
    ("m_phi", "f8"),
    ("m_s", "f8"),
    ("batch", "i8"),
    ("first_event", "i8"),
    ("events", "i8"),
    ("cross_section_pb", "f8"),
    ("cross_section_error_pb", "f8"),
    ("filter_efficiency", "f8"),
    ("n_tried", "i8"),
    ("n_accepted", "i8"),
    ("sum_weights", "f8"),
    ("sum_weights2", "f8"),
)
"""Names and types of `normalisation`'s columns after the first, ``sample``."""


def is_normalisation(dtype: np.dtype[Any], *more: tuple[str, str]) -> bool:
    """Whether a table read from a file has the columns of `normalisation`, and `more`."""
    fields = np.dtype([*NORMALISATION_FIELDS, *more])
    names = dtype.names or ()
    return (
        names == ("sample", *(fields.names or ()))
        and dtype["sample"].kind == "S"
        and all(dtype[name] == fields[name] for name in names[1:])
    )


@dataclass(frozen=True, eq=False, slots=True)
class EventFileSummary:
    """What an event file holds.

    Attributes
    ----------
    path : Path
    events : int
    event_numbers : ndarray of int64, shape (events,)
        In the order of the file.
    size : int
        Bytes on disk.
    run_number : int or None
        Of the first event's record, where it is there.
    sample : str
        The sample's name, in a file of ours; else empty.
    """

    path: Path
    events: int
    event_numbers: npt.NDArray[np.int64]
    size: int
    run_number: int | None
    sample: str


def scan(path: Path | str, expected_events: int | None = None) -> EventFileSummary:
    """Count an event file's events and check that it is whole.

    Parameters
    ----------
    path : path-like
    expected_events : int, optional
        The least number of events that it must hold.

    Raises
    ------
    BadEventFileError
        When the file is empty, truncated, not HepMC3, holds an event number twice, or holds fewer
        events than expected.
    InputError
        When it cannot be read at all.
    """
    path = Path(path)
    numbers: list[int] = []
    run_number: int | None = None
    with open_event_file(path) as (stream, _):
        walk = Walk(path, stream)
        for event in walk.events():
            event.check()
            if not numbers:
                found = _RUN_NUMBER.search(event.head()) or _RUN_NUMBER.search(walk.header)
                run_number = int(found[1]) if found else None
            numbers.append(event.number)
    event_numbers = np.array(numbers, dtype=np.int64)
    unique, counts = np.unique(event_numbers, return_counts=True)
    if len(unique) < len(event_numbers):
        twice = unique[counts > 1][0]
        raise BadEventFileError(f"{path} holds the event number {twice} more than once")
    if expected_events is not None and len(numbers) < expected_events:
        raise BadEventFileError(
            f"{path} holds {len(numbers)} events, {expected_events} were expected"
        )
    return EventFileSummary(
        path=path,
        events=len(numbers),
        event_numbers=event_numbers,
        size=path.stat().st_size,
        run_number=run_number,
        sample=_sample(walk.header).decode("utf-8", "replace"),
    )


def read_events(path: Path | str, skip: int = 0, events: int = -1) -> Iterator[Any]:
    """Give events of a file as ``pyhepmc.GenEvent``, parsing only those asked for.

    In a plain file of ours they are sought, in others the file is read up to them.

    Parameters
    ----------
    path : path-like
    skip : int
        Events to leave out at the beginning.
    events : int
        How many to give; -1 for all that follow.

    Raises
    ------
    BadEventFileError
        When the file ends before the last event asked for, or an event cannot be parsed.
    """
    with _piece(Path(path), skip, events) as (walk, piece):
        parser = _Parser(walk.header)
        for event in piece:
            event.check()
            yield parser.parse(event)


def read_records(
    path: Path | str, skip: int = 0, events: int = -1
) -> Iterator[tuple[int, EventRecord]]:
    """Give events as `read_events` does, as arrays, each with its number in the file.

    HepMC3 keeps an event's number in 32 bits; files of other generators may hold larger ones.
    """
    with _piece(Path(path), skip, events) as (walk, piece):
        weights = weights_named(walk.header)
        parser: _Parser | None = None
        for event in piece:
            record = EventRecord.of_lines(event, weights)
            if record is None:
                event.check()
                parser = parser or _Parser(walk.header)
                record = EventRecord.of_genevent(parser.parse(event))
            yield event.number, record


def normalisation(path: Path | str, skip: int = 0, events: int = -1) -> npt.NDArray[np.void]:
    """Give the normalisation of some events of a file.

    The counts and sums of weights of disjoint pieces add up to those of the whole. The
    cross-section is the whole file's final estimate in every piece.

    Returns
    -------
    ndarray, shape (1,)
        ``sample`` (UTF-8 bytes) and `NORMALISATION_FIELDS`; masses in GeV, NaN where a process has
        none. What a foreign file does not tell is NaN or -1, its names are empty.

    Raises
    ------
    BadEventFileError
        When the file is bad or ends before the last event asked for.
    """
    path = Path(path)
    before, after = _Counts(0, 0), _Counts(0, 0)
    first_event, weights = -1, []
    # One event more, as the counts are running ones.
    lead = min(skip, 1)
    with _piece(path, skip, events, lead) as (walk, piece):
        for position, event in enumerate(piece, start=-lead):
            head = event.head()
            after = _Counts.of(head)
            if position < 0:
                before = after
                continue
            if position == 0:
                first_event = event.number
            weights.append(_weight(head))
        header = walk.header
    if not weights:
        raise BadEventFileError(f"{path} holds no event after {skip}")
    with _last(path) as event:
        cross_section, error = _cross_section(event.head())
    tried, accepted = before.until(after)
    name = _sample(header)
    batch = _BATCH.search(header)
    row = np.zeros(1, dtype=[("sample", f"S{max(len(name), 1)}"), *NORMALISATION_FIELDS])
    run_number = _RUN_NUMBER.search(header)
    row[0] = (
        name,
        *(_word(pattern, header) for pattern in (_PROCESS, _SETTINGS_HASH)),
        int(run_number[1]) if run_number else -1,
        *(float(_word(_MASS[mass], header) or "nan") for mass in ("m_phi", "m_s")),
        int(batch[1]) if batch else -1,
        first_event,
        len(weights),
        cross_section,
        error,
        # No filter stands between hvmpi's generator and the file.
        1.0 if _OURS.search(header) else np.nan,
        tried,
        accepted,
        math.fsum(weights),
        math.fsum(weight * weight for weight in weights),
    )
    return row


@contextmanager
def _piece(
    path: Path, skip: int, events: int, lead: int = 0
) -> Iterator[tuple[Walk, Iterator[EventText]]]:
    """Open a file at some of its events and the `lead` before; too few of them are an error."""
    with open_event_file(path) as (stream, gzipped):
        walk = Walk(path, stream)
        first = _first_number(walk, gzipped)
        start = skip - lead
        leaps = first is not None and start > 0 and walk.leap_to(first + start)
        yield walk, _chosen(walk, skip, events, lead, start if leaps else 0)


def _chosen(walk: Walk, skip: int, events: int, lead: int, count: int) -> Iterator[EventText]:
    stop = skip + events if events >= 0 else None
    for event in walk.events():
        if count == stop:
            return
        count += 1
        if count > skip - lead:
            yield event
    if stop is not None and count < stop:
        raise BadEventFileError(
            f"{walk.path} holds {count} events; {events} after {skip} were asked for"
        )


@contextmanager
def _last(path: Path) -> Iterator[EventText]:
    with open_event_file(path) as (stream, gzipped):
        walk = Walk(path, stream)
        if _first_number(walk, gzipped) is not None:
            walk.leap_to_end()
        yield deque(walk.events(), maxlen=1).pop()


def _first_number(walk: Walk, gzipped: bool) -> int | None:
    """Give the first event number of a file as hvmpi wrote it: the numbers ascend one by one.

    None for any other, also for one of ours that somebody took events out of: it has another size
    than its header says.
    """
    batch, batch_size, size = (
        pattern.search(walk.header) for pattern in (_BATCH, _BATCH_SIZE, _SIZE)
    )
    if gzipped or not (_OURS.search(walk.header) and batch and batch_size and size):
        return None
    if int(size[1]) != walk.path.stat().st_size:
        return None
    return (int(batch[1]) - 1) * int(batch_size[1]) + 1


class _Parser:
    """Makes events of their lines; the header's run information comes with each."""

    def __init__(self, header: bytes) -> None:
        try:
            import pyhepmc
            from pyhepmc.io import ReaderAscii, pyiostream
        except ImportError as error:
            raise SetupError(
                f"{error.name} is not installed: pip install 'hvmpi[openchain]'"
            ) from None
        self._event_type = pyhepmc.GenEvent
        self._reader_type = ReaderAscii
        self._stream_type = pyiostream
        self._header = header

    def parse(self, text: EventText) -> Any:
        """Give the event that the lines hold."""
        check_references(text)
        lines = io.BytesIO(self._header + text.lines() + END + b"\n")
        event = self._event_type()
        reader = self._reader_type(self._stream_type(lines, BUFFER))
        try:
            parsed = reader.read_event(event) and len(event.particles) == text.particles
            why = ""
        except (RuntimeError, ValueError, IndexError) as error:
            parsed, why = False, f": {' '.join(str(error).split())[:200]}"
        if not parsed:
            raise BadEventFileError(
                f"{text.path} is damaged: event {text.number} cannot be parsed{why}"
            )
        return event


@dataclass(frozen=True, slots=True)
class _Counts:
    """Events tried and accepted up to and with an event; -1 where it does not say."""

    tried: int
    accepted: int

    @classmethod
    def of(cls, head: bytes) -> _Counts:
        words = _cross_section_words(head)
        try:
            return cls(accepted=int(words[2]), tried=int(words[3]))
        except (IndexError, ValueError):
            return cls(-1, -1)

    def until(self, later: _Counts) -> tuple[int, int]:
        """Give what was tried and accepted from here to `later`."""
        known = 0 <= self.tried <= later.tried and 0 <= self.accepted <= later.accepted
        if not known:
            return -1, -1
        return later.tried - self.tried, later.accepted - self.accepted


def _weight(head: bytes) -> float:
    line = _WEIGHTS.search(head)
    try:
        return float(line[1].split()[0]) if line else 1.0
    except (IndexError, ValueError):
        # An event without weights counts as one.
        return 1.0


def _word(pattern: re.Pattern[bytes], header: bytes) -> bytes:
    found = pattern.search(header)
    return found[1] if found else b""


def _sample(header: bytes) -> bytes:
    line = _SAMPLE.search(header)
    # HepMC3 writes a backslash as two.
    return line[1].replace(b"\\\\", b"\\") if line else b""


def _cross_section_words(head: bytes) -> list[bytes]:
    line = _CROSS_SECTION.search(head)
    return line[1].split() if line else []


def _cross_section(head: bytes) -> tuple[float, float]:
    words = _cross_section_words(head)
    try:
        return float(words[0]), float(words[1])
    except (IndexError, ValueError):
        return math.nan, math.nan
