"""Event files: HepMC3 ASCII (Asciiv3), plain or gzipped, ours or another generator's.

`scan` says what a file holds, `read_events` gives its events, `normalisation` what they stand
for. Files are read a block at a time, and known by their contents, never by their names. Only
`read_events` needs pyhepmc.

In the files that hvmpi writes, ``GenCrossSection`` is the running estimate after each event and
holds the running counts of tried and accepted events, so the last event has the file's own.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import numpy.typing as npt

from hvmpi.errors import BadEventFileError, InputError, SetupError

__all__ = [
    "NORMALISATION_FIELDS",
    "EventFileSummary",
    "normalisation",
    "read_events",
    "scan",
]

BLOCK = 1 << 23
"""Bytes read at a time."""

LARGEST_EVENT = 1 << 28
"""An event (or header) of more bytes than this is damage: real ones have some hundred thousand."""

_Stream = IO[bytes] | gzip.GzipFile

_VERSION = b"HepMC::Version"
_START = b"HepMC::Asciiv3-START_EVENT_LISTING"
_END = b"HepMC::Asciiv3-END_EVENT_LISTING"
_EVENT = b"\nE "
_EVENT_LINE = re.compile(rb"E (-?\d{1,18}) (\d{1,18}) (\d{1,18})\s")
_RUN_NUMBER = re.compile(rb"^A (?:0 )?run_number (-?\d{1,18})\s*$", re.MULTILINE)
_BATCH = re.compile(rb"^A batch (\d{1,18})\s*$", re.MULTILINE)
_SAMPLE = re.compile(rb"^A sample ([^\n]*)$", re.MULTILINE)
_WEIGHTS = re.compile(rb"^W ([^\n]*)$", re.MULTILINE)
_CROSS_SECTION = re.compile(rb"^A 0 GenCrossSection ([^\n]*)$", re.MULTILINE)

_OTHERS = (
    (re.compile(rb"HepMC::IO_GenEvent"), "a HepMC2 file, to be converted to Asciiv3"),
    (re.compile(rb"<LesHouchesEvents"), "a Les Houches event file, for process lhe"),
    (re.compile(rb"\Aroot"), "a ROOT file, which the open chain does not read"),
    (re.compile(rb"\A\x89HDF"), "an HDF5 file"),
)

NORMALISATION_FIELDS = (
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
    offsets : ndarray of int64, shape (events + 1,), or None
        Where each event begins and the last one ends, in bytes; None for a gzipped file, which
        cannot be entered in the middle.
    """

    path: Path
    events: int
    event_numbers: npt.NDArray[np.int64]
    size: int
    run_number: int | None
    sample: str
    offsets: npt.NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class _Event:
    """One event's lines: `text[start:stop]`; `offset` in the (unzipped) file."""

    number: int
    particles: int
    offset: int
    text: bytes
    start: int
    stop: int

    def lines(self) -> bytes:
        return self.text[self.start : self.stop]

    def head(self) -> bytes:
        """Give the lines before the first vertex and particle: units, weights, attributes."""
        ends = (self.text.find(mark, self.start, self.stop) for mark in (b"\nP ", b"\nV "))
        stop = min((end + 1 for end in ends if end >= 0), default=self.stop)
        return self.text[self.start : stop]


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
    offsets: list[int] = []
    run_number: int | None = None
    end = 0
    with _open(path) as (stream, gzipped):
        walk = _Walk(path, stream)
        for event in walk.events():
            _check_particles(path, event)
            if not numbers:
                found = _RUN_NUMBER.search(event.head()) or _RUN_NUMBER.search(walk.header)
                run_number = int(found[1]) if found else None
            numbers.append(event.number)
            offsets.append(event.offset)
            end = event.offset + event.stop - event.start
    if not numbers:
        raise BadEventFileError(f"{path} holds no events")
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
        offsets=None if gzipped else np.array([*offsets, end], dtype=np.int64),
    )


def read_events(
    path: Path | str,
    skip: int = 0,
    events: int = -1,
    offsets: npt.NDArray[np.int64] | None = None,
) -> Iterator[Any]:
    """Give events of a file as ``pyhepmc.GenEvent``, parsing only those asked for.

    Parameters
    ----------
    path : path-like
    skip : int
        Events to leave out at the beginning.
    events : int
        How many to give; -1 for all that follow.
    offsets : ndarray of int64, optional
        The file's `EventFileSummary.offsets`, with which the events are reached at once. Without
        them a plain file is searched from its beginning, at the speed of the disk.

    Raises
    ------
    BadEventFileError
        When the file ends before the last event asked for, or an event cannot be parsed.
    """
    path = Path(path)
    last = None if events < 0 else skip + events
    if offsets is None:
        yield from _search_events(path, skip, last)
        return
    if last is None:
        last = len(offsets) - 1
    if last > len(offsets) - 1:
        _too_few(path, len(offsets) - 1, skip, events)
    with _open(path) as (stream, gzipped):
        if gzipped:
            raise InputError(f"{path} is gzipped and cannot be read by offsets")
        parser = _Parser(path, _Walk(path, stream).read_header())
        for start, stop in zip(offsets[skip:last], offsets[skip + 1 : last + 1], strict=True):
            stream.seek(int(start))
            yield parser.parse(stream.read(int(stop - start)))


def normalisation(path: Path | str, skip: int = 0, events: int = -1) -> npt.NDArray[np.void]:
    """Give the normalisation of some events of a file.

    The counts and sums of weights of disjoint pieces add up to those of the whole. The
    cross-section is the whole file's final estimate in every piece.

    Returns
    -------
    ndarray, shape (1,)
        ``sample`` (UTF-8 bytes) and `NORMALISATION_FIELDS`. What a foreign file does not tell is
        NaN or -1, its sample name empty.

    Raises
    ------
    BadEventFileError
        When the file is bad or ends before the last event asked for.
    """
    path = Path(path)
    tally = _Tally()
    before, count = _Counts(0, 0), 0
    current: _Counts | None = None
    last_head = b""
    with _open(path) as (stream, _):
        walk = _Walk(path, stream)
        for count, event in enumerate(walk.events(), start=1):
            last_head = event.head()
            if count == skip:
                before = _Counts.of(last_head)
            if skip < count and (events < 0 or count <= skip + events):
                tally.add(event.number, last_head)
                current = _Counts.of(last_head)
        header = walk.header
    if count < skip + max(events, 1):
        _too_few(path, count, skip, events)
    assert current is not None  # noqa: S101 - at least one event was counted
    tried, accepted = before.until(current)
    cross_section, error = _cross_section(last_head)
    name = _sample(header)
    batch = _BATCH.search(header)
    row = np.zeros(1, dtype=[("sample", f"S{max(len(name), 1)}"), *NORMALISATION_FIELDS])
    row[0] = (
        name,
        int(batch[1]) if batch else -1,
        tally.first_event,
        tally.events,
        cross_section,
        error,
        # No filter stands between hvmpi's generator and the file.
        1.0 if name else np.nan,
        tried,
        accepted,
        tally.sum_weights,
        tally.sum_weights2,
    )
    return row


class _Walk:
    """Goes through a file event by event, holding no more than a block and one event."""

    def __init__(self, path: Path, stream: _Stream) -> None:
        self.path = path
        self.stream = stream
        self.header = b""
        self._text = b""
        self._offset = 0

    def read_header(self) -> bytes:
        """Read up to the first event, check that this is HepMC3, and give these lines."""
        text = self._read()
        self._check_format(text)
        while (first := text.find(_EVENT)) < 0:
            text = self._read_on(text, "header")
            if not text:
                self._bad("is truncated: it ends before its first event")
        self.header = text[: first + 1]
        # The newline before each event stays with it, as the mark to look for.
        self._text, self._offset = text[first:], first
        return self.header

    def events(self) -> Iterator[_Event]:
        """Give the events; afterwards, check that the file has come to its proper end."""
        self.read_header()
        text, offset = self._text, self._offset
        self._text = b""
        while True:
            start = 0
            while (stop := text.find(_EVENT, start + 1)) >= 0:
                yield self._event(text, start, stop, offset)
                start = stop
            offset += start
            last = text[start:]
            text = self._read_on(last, "event")
            if not text:
                break
        stop = last.rfind(b"\n" + _END)
        if stop < 0:
            self._bad("is truncated: the end of its event listing is missing")
        if last[stop + 1 + len(_END) :].strip():
            self._bad("goes on after the end of its event listing")
        yield self._event(last, 0, stop, offset)

    def _event(self, text: bytes, start: int, stop: int, offset: int) -> _Event:
        line = _EVENT_LINE.match(text, start + 1)
        if line is None:
            shown = text[start + 1 : start + 60].split(b"\n")[0].decode("ascii", "replace")
            self._bad(f"is damaged: no event begins with {shown!r}, at byte {offset + start + 1}")
        return _Event(
            number=int(line[1]),
            particles=int(line[3]),
            offset=offset + start + 1,
            text=text,
            start=start + 1,
            stop=stop + 1,
        )

    def _read(self) -> bytes:
        try:
            return self.stream.read(BLOCK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadEventFileError(
                f"{self.path} is a truncated or damaged gzip file ({error})"
            ) from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror}") from None

    def _read_on(self, text: bytes, what: str) -> bytes:
        """Give `text` and the block after it; nothing at the end of the file."""
        if len(text) > LARGEST_EVENT:
            self._bad(f"is damaged: one {what} of more than {LARGEST_EVENT >> 20} MB")
        block = self._read()
        return text + block if block else b""

    def _check_format(self, text: bytes) -> None:
        head = text[:4096].lstrip()
        if not head:
            raise BadEventFileError(f"{self.path} is empty")
        for mark, what in _OTHERS:
            if mark.search(head):
                raise BadEventFileError(f"{self.path} is not HepMC3: it is {what}")
        if _START in head:
            return
        if len(text) < 4096 and (_VERSION.startswith(head) or head.startswith(_VERSION)):
            self._bad("is truncated: it ends in its header")
        raise BadEventFileError(f"{self.path} is not HepMC3: {_START.decode()} is missing")

    def _bad(self, why: str) -> NoReturn:
        raise BadEventFileError(f"{self.path} {why}")


class _Parser:
    """Makes events of their lines; the header's run information comes with each."""

    def __init__(self, path: Path, header: bytes) -> None:
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
        self.path = path
        self.header = header

    def parse(self, lines: bytes) -> Any:
        """Give the event that `lines` hold."""
        text = io.BytesIO(self.header + lines + _END + b"\n")
        event = self._event_type()
        reader = self._reader_type(self._stream_type(text, 1 << 16))
        done = reader.read_event(event)
        expected = _EVENT_LINE.match(lines)
        if not done or expected is None or len(event.particles) != int(expected[3]):
            number = int(expected[1]) if expected else "?"
            raise BadEventFileError(f"{self.path} is damaged: event {number} cannot be parsed")
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


class _Tally:
    """Counts events and adds up their nominal weights."""

    def __init__(self) -> None:
        self.first_event = -1
        self.events = 0
        self._weights: list[float] = []

    def add(self, number: int, head: bytes) -> None:
        if self.events == 0:
            self.first_event = number
        self.events += 1
        line = _WEIGHTS.search(head)
        try:
            self._weights.append(float(line[1].split()[0]) if line else 1.0)
        except (IndexError, ValueError):
            # An event without weights counts as one.
            self._weights.append(1.0)

    @property
    def sum_weights(self) -> float:
        return math.fsum(self._weights)

    @property
    def sum_weights2(self) -> float:
        return math.fsum(weight * weight for weight in self._weights)


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


def _search_events(path: Path, skip: int, last: int | None) -> Iterator[Any]:
    count = 0
    with _open(path) as (stream, _):
        walk = _Walk(path, stream)
        parser: _Parser | None = None
        for count, event in enumerate(walk.events(), start=1):
            if count > skip:
                parser = parser or _Parser(path, walk.header)
                _check_particles(path, event)
                yield parser.parse(event.lines())
            if count == last:
                return
    if last is not None or count <= skip:
        _too_few(path, count, skip, -1 if last is None else last - skip)


def _check_particles(path: Path, event: _Event) -> None:
    there = event.text.count(b"\nP ", event.start, event.stop)
    if there != event.particles:
        raise BadEventFileError(
            f"{path} is truncated or damaged: event {event.number} has {there} of its "
            f"{event.particles} particles"
        )


def _too_few(path: Path, there: int, skip: int, events: int) -> NoReturn:
    wanted = f"{events} events" if events >= 0 else "events"
    raise BadEventFileError(f"{path} holds {there} events; {wanted} after {skip} were asked for")


@contextmanager
def _open(path: Path) -> Iterator[tuple[_Stream, bool]]:
    """Open a file, unzipping it if its contents say so; tell whether they do."""
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if gzipped:
                with gzip.open(file, "rb") as unzipped:
                    yield unzipped, True
            else:
                yield file, False
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
