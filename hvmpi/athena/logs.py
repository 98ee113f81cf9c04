"""Logs of athena: the lines that tell why a step failed."""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

__all__ = ["LogLine", "Sign", "first_errors"]

# Of a longer log only its two ends are searched.
_PART = 16 * 1024 * 1024
# More than this between them is not counted in lines.
_COUNTED = 1024 * 1024 * 1024
_LONGEST = 4096


class Sign(enum.IntEnum):
    """What a line of a log tells, in the order in which lines explain a failure."""

    NO_SPACE = enum.auto()
    NO_MEMORY = enum.auto()
    SETUP = enum.auto()
    CONTAINER = enum.auto()
    FRONTIER = enum.auto()
    DATABASE_LOCKED = enum.auto()
    FILE_SYSTEM = enum.auto()
    CRASH = enum.auto()
    GEANT4 = enum.auto()
    TRACEBACK = enum.auto()
    FATAL = enum.auto()
    ERROR = enum.auto()
    FRONTIER_WARNING = enum.auto()
    TRANSFORM = enum.auto()


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log that tells of a failure.

    Attributes
    ----------
    path : Path
    number : int
        Counted from 1; 0 where the log is too long to count.
    text : str
        In one line; of a traceback, a core dump or a G4Exception what it comes down to.
    sign : Sign
    """

    path: Path
    number: int
    text: str
    sign: Sign


_SIGNS: Mapping[Sign, re.Pattern[str]] = MappingProxyType(
    {
        Sign.NO_SPACE: re.compile(r"[Nn]o space left on device|[Dd]isk quota exceeded"),
        Sign.NO_MEMORY: re.compile(
            r"\bbad_alloc\b|FATAL:?\s+out of memory|^MemoryError\b|Cannot allocate memory"
        ),
        Sign.SETUP: re.compile(r"AtlasSetup\(FATAL\)"),
        Sign.CONTAINER: re.compile(
            r"container creation failed|mount hook function failure|^FATAL\s*:.*\bmount"
            r"|^ERROR\s*:.*\bmount|[Ff]ailed to mount|squashfuse\S* exited"
        ),
        Sign.FRONTIER: re.compile(r"Cannot find a valid frontier connection"),
        Sign.DATABASE_LOCKED: re.compile(r"database is locked"),
        Sign.FILE_SYSTEM: re.compile(
            r"TFile::(?:Read|Write)Buffer|[Ss]tale (?:NFS )?file handle"
            r"|Transport endpoint is not connected"
        ),
        Sign.CRASH: re.compile(r"Core dump from CoreDumpSvc|\*\*\* Break \*\*\* "),
        Sign.GEANT4: re.compile(r"^(?!.*WWWW).*G4Exception-START"),
        Sign.TRACEBACK: re.compile(r"(?:Shortened t|\bT)raceback \(most recent (?:user )?call"),
        Sign.FRONTIER_WARNING: re.compile(r"\bwarn\s+\[(?:frontier|fn-)"),
    }
)

# A glance at the bytes, which spares nearly all lines of a log the rest.
_WORTH_A_LOOK = re.compile(
    rb"ERROR|FATAL|CRITICAL|CATASTROPHE|error: |raceback|bad_alloc|MemoryError|allocate memory"
    rb"|space left|quota|mount|squashfuse|frontier|\[fn-|is locked|TFile::|[Ss]tale|endpoint"
    rb"|Core dump|Break|G4Exception"
)
_TIME = re.compile(r"(?:\d{4}-\d\d-\d\d[ T])?\d\d:\d\d:\d\d(?:[.,]\d+)?\s")
# Between name and level stand at most numbers: time, event, slot. The first level is the line's:
# messages mention others. "No ERROR was seen" is no message of a service.
_MESSAGE = re.compile(
    r"(?!(?:[a-z]+|[A-Za-z]{1,3}) \S)(?P<service>\S+)\s+(?:[\d:.,/+-]+\s+)*"
    r"(?P<level>DEBUG|VERBOSE|INFO|WARNING|ERROR|CRITICAL|FATAL|CATASTROPHE)(?:\s|$)"
)
_PREFIXED = re.compile(r"(?P<level>DEBUG|VERBOSE|INFO|WARNING|ERROR|CRITICAL|FATAL)\s*:\s")
_USAGE = re.compile(r"\S+\.py: error: ")
_QUIET = frozenset({"DEBUG", "VERBOSE", "INFO", "WARNING"})


def first_errors(paths: Sequence[Path], part: int = _PART) -> dict[Sign, LogLine]:
    """Find the first line of each sign in logs.

    Parameters
    ----------
    paths : sequence of Path
        In the order in which they are to be believed; what is no file is passed over.
    part : int
        Bytes: of a log longer than two parts only the first and the last one are searched.

    Returns
    -------
    dict of Sign to LogLine
        The most telling sign first; empty where nothing tells of a failure.
    """
    found: dict[Sign, LogLine] = {}
    for path in paths:
        try:
            if path.is_file():
                search = _Search(path, found)
                for number, line in _lines(path, part):
                    search.take(number, line)
                search.close()
        except OSError:
            # A log that went away, or a disk that is ill: the others may tell.
            continue
    return dict(sorted(found.items()))


class _Search:
    """The search of one log, which adds to what was found."""

    def __init__(self, path: Path, found: dict[Sign, LogLine]) -> None:
        self._path = path
        self._found = found
        self._open: LogLine | None = None
        self._left = 0

    def take(self, number: int, line: bytes) -> None:
        """Look at the next line."""
        if self._open is None and not _WORTH_A_LOOK.search(line):
            return
        text = line.decode(errors="replace").rstrip()
        text = text[time.end() :] if (time := _TIME.match(text)) else text
        if self._open is not None:
            self._follow(number, text)
        sign = _sign(text)
        if sign is None or sign in self._found:
            return
        entry = LogLine(self._path, number, _one_line(text), sign)
        if sign in (Sign.CRASH, Sign.GEANT4, Sign.TRACEBACK):
            if self._open is None:
                self._open, self._left = entry, 300 if sign is Sign.TRACEBACK else 30
        else:
            self._found[sign] = entry

    def close(self) -> None:
        """Take what is there of an entry that the log did not finish."""
        if self._open is not None:
            self._found.setdefault(self._open.sign, self._open)
            self._open = None

    def _follow(self, number: int, text: str) -> None:
        begun = self._open
        if begun is None:
            return
        self._left -= 1
        if begun.sign is Sign.TRACEBACK:
            # Its last line is the first one that is not indented.
            if text.strip() and not text[0].isspace():
                self._open = LogLine(self._path, number, _one_line(text), begun.sign)
                self._left = 0
        elif begun.sign is Sign.CRASH:
            if caught := re.search(r"Caught signal \d+\s*(?:\([^)]*\))?", text):
                self._open = self._with(begun, f"{begun.text}: {caught[0]}")
                self._left = 0
        elif code := re.search(r"\*\*\* G4Exception\s*:\s*(\S+)", text):
            self._open = self._with(begun, f"G4Exception {code[1]}")
        elif origin := re.search(r"issued by\s*:\s*(.+)", text):
            self._open = self._with(begun, f"{begun.text} issued by {origin[1]}")
            self._left = 0
        if self._left <= 0:
            self.close()

    def _with(self, entry: LogLine, text: str) -> LogLine:
        return LogLine(entry.path, entry.number, _one_line(text), entry.sign)


def _sign(text: str) -> Sign | None:
    message = _MESSAGE.match(text) or _PREFIXED.match(text)
    if message and message["level"] in _QUIET:
        return None
    for sign, pattern in _SIGNS.items():
        if pattern.search(text):
            return sign
    if message:
        if text.startswith("PyJobTransforms"):
            return Sign.TRANSFORM
        return Sign.ERROR if message["level"] == "ERROR" else Sign.FATAL
    return Sign.ERROR if _USAGE.match(text) else None


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_LONGEST]).split())


def _lines(path: Path, part: int) -> Iterator[tuple[int, bytes]]:
    """Give number and beginning of the lines of a log, of a long one those at its ends."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= 2 * part:
            yield from _numbered(file, 1, size)
            return
        yield from _numbered(file, 1, part)
        between = size - 2 * part
        if between > _COUNTED:
            file.seek(size - part)
            file.readline(part)
            yield from ((0, line) for _, line in _numbered(file, 1, part))
            return
        file.seek(0)
        number = 1 + _newlines(file, size - part)
        file.readline(part)
        yield from _numbered(file, number + 1, part)


def _numbered(file: BinaryIO, number: int, size: int) -> Iterator[tuple[int, bytes]]:
    fresh = True
    while size > 0 and (piece := file.readline(_LONGEST)):
        size -= len(piece)
        if fresh:
            yield number, piece
        fresh = piece.endswith(b"\n")
        number += fresh


def _newlines(file: BinaryIO, size: int) -> int:
    count = 0
    while size > 0 and (block := file.read(min(size, 1024 * 1024))):
        size -= len(block)
        count += block.count(b"\n")
    return count
