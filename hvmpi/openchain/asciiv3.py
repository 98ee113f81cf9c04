"""HepMC3's ASCII format (Asciiv3) as text: header, events, end; a block at a time, never the whole.

The format: https://gitlab.cern.ch/hepmc/HepMC3, ``WriterAscii``. An event begins with a line
``E number vertices particles``, a particle with ``P``; other lines begin with other letters.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from hvmpi.errors import BadEventFileError, InputError

__all__ = ["BLOCK", "END", "EventText", "Walk", "check_references", "open_event_file"]

PIECE = 1 << 17
"""Bytes read at first, as few events may be wanted; then twice as many each time."""

BLOCK = 1 << 20
"""The most bytes read at a time: more of them take longer, as memory is new each time."""

LEAP = 1 << 24
"""Bytes in which an event that is sought must be found, else the file is read up to it."""

GLANCE = 1 << 20
"""Bytes in which an event should begin."""

LARGEST_EVENT = 1 << 28
"""An event (or header) of more bytes than this is damage: real ones have some hundred thousand."""

END = b"HepMC::Asciiv3-END_EVENT_LISTING"
"""The line after the last event."""

Stream = IO[bytes] | gzip.GzipFile

_VERSION = b"HepMC::Version"
_START = b"HepMC::Asciiv3-START_EVENT_LISTING"
_EVENT = b"\nE "
_EVENT_LINE = re.compile(rb"E (-?\d{1,18}) (\d{1,18}) (\d{1,18})\s")
_NEXT_EVENT = re.compile(rb"\nE (-?\d{1,18}) \d{1,18} \d{1,18}\s")

_OTHERS = (
    (re.compile(rb"HepMC::IO_GenEvent"), "a HepMC2 file, to be converted to Asciiv3"),
    (re.compile(rb"<LesHouchesEvents"), "a Les Houches event file, for process lhe"),
    (re.compile(rb"\Aroot"), "a ROOT file, which the open chain does not read"),
    (re.compile(rb"\A\x89HDF"), "an HDF5 file"),
)


@dataclass(frozen=True, slots=True)
class EventText:
    """One event's lines, ``text[start:stop]``.

    Attributes
    ----------
    number, particles : int
        As its first line has them.
    offset : int
        Where it begins in the (unzipped) file, in bytes.
    """

    path: Path
    number: int
    particles: int
    offset: int
    text: bytes
    start: int
    stop: int

    def lines(self) -> bytes:
        """Give all of its lines."""
        return self.text[self.start : self.stop]

    def head(self) -> bytes:
        """Give the lines before the first vertex and particle: units, weights, attributes."""
        ends = (self.text.find(mark, self.start, self.stop) for mark in (b"\nP ", b"\nV "))
        stop = min((end + 1 for end in ends if end >= 0), default=self.stop)
        return self.text[self.start : stop]

    def check(self) -> None:
        """Refuse an event that has lost particles."""
        there = self.text.count(b"\nP ", self.start, self.stop)
        if there != self.particles:
            raise BadEventFileError(
                f"{self.path} is truncated or damaged: event {self.number} has {there} of its "
                f"{self.particles} particles"
            )


class Walk:
    """Goes through a file event by event, holding no more than a block and one event.

    Attributes
    ----------
    header : bytes
        The lines before the first event.

    Raises
    ------
    BadEventFileError
        At once when this is not HepMC3 or ends before its first event; on the way when it is
        damaged or truncated.
    """

    def __init__(self, path: Path, stream: Stream) -> None:
        self.path = path
        self.stream = stream
        self._ahead = PIECE
        text = self._read()
        self._check_format(text)
        while (first := text.find(_EVENT)) < 0:
            if END in text:
                self._bad("holds no events")
            text = self._read_on(text, "header")
            if not text:
                self._bad("is truncated: it ends before its first event")
        self.header = text[: first + 1]
        # The newline before each event stays with it, as the mark to look for.
        self._text, self._offset = text[first:], first

    def leap_to(self, number: int) -> bool:
        """Go on to an event of a plain file whose numbers ascend; stay if it is not there."""
        mark = b"\nE %d " % number
        start = self._before(number)
        text = self._gather(start, lambda text: mark in text, LEAP)
        at = text.find(mark)
        if at < 0:
            self._go(len(self.header) - 1)
            return False
        self._text, self._offset = text[at:], start + at
        return True

    def leap_to_end(self) -> None:
        """Go on to the last events of a plain file whose numbers ascend."""
        self._go(self._before(None))

    def _go(self, offset: int) -> None:
        self._text, self._offset = self._gather(offset, bool, 0), offset

    def _gather(self, offset: int, is_enough: Callable[[bytes], bool], most: int) -> bytes:
        """Read from some place on until it is enough, of `most` bytes or more, or at the end."""
        self.stream.seek(offset)
        self._ahead = PIECE
        text = self._read()
        while not is_enough(text) and len(text) < most and (piece := self._read()):
            text += piece
        return text

    def _before(self, number: int | None) -> int:
        """Give where an event begins that is less than `GLANCE` before `number` (or the end)."""
        # The newline before an event belongs to it.
        low, high = len(self.header) - 1, self.path.stat().st_size
        while high - low > GLANCE:
            middle = (low + high) // 2
            text = self._gather(middle, lambda text: bool(_NEXT_EVENT.search(text)), GLANCE)
            found = _NEXT_EVENT.search(text)
            if found is not None and (number is None or int(found[1]) <= number):
                low = middle + found.start()
            else:
                high = middle
        return low

    def events(self) -> Iterator[EventText]:
        """Give the events; afterwards, check that the file has come to its proper end."""
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
        stop = last.rfind(b"\n" + END)
        if stop < 0:
            self._bad("is truncated: the end of its event listing is missing")
        if last[stop + 1 + len(END) :].strip():
            self._bad("goes on after the end of its event listing")
        yield self._event(last, 0, stop, offset)

    def _event(self, text: bytes, start: int, stop: int, offset: int) -> EventText:
        line = _EVENT_LINE.match(text, start + 1)
        if line is None:
            shown = text[start + 1 : start + 60].split(b"\n")[0].decode("ascii", "replace")
            self._bad(f"is damaged: no event begins with {shown!r}, at byte {offset + start + 1}")
        return EventText(
            path=self.path,
            number=int(line[1]),
            particles=int(line[3]),
            offset=offset + start + 1,
            text=text,
            start=start + 1,
            stop=stop + 1,
        )

    def _read(self) -> bytes:
        size = min(self._ahead, BLOCK)
        self._ahead = 2 * size
        try:
            return self.stream.read(size)
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


@contextmanager
def open_event_file(path: Path) -> Iterator[tuple[Stream, bool]]:
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


def check_references(event: EventText) -> None:
    """Refuse an event whose lines name vertices or particles that it cannot have.

    HepMC3 believes such numbers, and reads what is not there.

    Raises
    ------
    BadEventFileError
        Names file, event and line.
    """
    counts = _EVENT_LINE.match(event.text, event.start)
    vertices, particles = (int(counts[2]), int(counts[3])) if counts else (0, 0)
    pattern = _references(len(str(max(vertices, particles))))
    lines = event.text, event.start, event.stop

    def are_there(named: list[tuple[bytes, ...]]) -> bool:
        words = b",".join([word for words in named for word in words if word])
        numbers = np.fromstring(words, dtype=np.int64, sep=",") if words else np.zeros(1)
        within = numbers.min() >= -vertices and numbers.max() <= particles
        return bool(within) and (b"", b"", b"") not in named

    # All at once, as every event is checked, and most are well.
    if are_there(pattern.findall(*lines)):
        return
    for line in pattern.finditer(*lines):
        if not are_there([line.groups(b"")]):
            shown = event.text[line.start() + 1 : line.start() + 60].split(b"\n")[0]
            raise BadEventFileError(
                f"{event.path} is damaged: event {event.number} has {vertices} vertices and"
                f" {particles} particles, and a line that names others or none:"
                f" {shown.decode('ascii', 'replace')!r}, at byte"
                f" {event.offset + line.start() + 1 - event.start}"
            )


@lru_cache
def _references(digits: int) -> re.Pattern[bytes]:
    """Find each vertex with its incoming particles, and mothers that may be wrong.

    Mothers of fewer digits than the counts are let by: a wrong one leads HepMC3 at most to a
    particle without a mother.
    """
    return re.compile(
        rb"\n(?:V (?:(-[1-9]\d{0,17}) -?\d{1,18} \[((?:[1-9]\d{0,17},)*[1-9]\d{0,17}|)\])?"
        rb"|P \d++ (?!-?\d{0,%d} )(-?\d{1,18} )?)" % (digits - 1)
    )
