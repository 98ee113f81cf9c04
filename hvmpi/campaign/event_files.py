"""Event files that are there: found, counted, compared with what they say of themselves."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import EventFile
from hvmpi.campaign.paths import manifest
from hvmpi.engine import Engine, EventCount
from hvmpi.errors import BadEventFileError, InputError
from hvmpi.files import sha256_of
from hvmpi.settings import Settings

__all__ = ["FoundFile", "Manifest", "find_event_files", "look_at", "read_manifest"]

_OWN_NAME = re.compile(r"(\d+)\.(\d+)\.(\d+)\.evnt\.")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was written beside an event file when it was published.

    Attributes
    ----------
    settings_hash : str
        Hash of all that decides the events, besides the batch.
    sha256 : str
    size : int
        Bytes.
    events, first_event, run_number, batch : int
    sample : str
    """

    settings_hash: str
    sha256: str
    size: int
    events: int
    first_event: int
    run_number: int
    batch: int
    sample: str

    def differs(self, path: Path) -> str:
        """Say in what a file is not the one that was published; nothing where it is."""
        size = path.stat().st_size
        if size != self.size:
            return f"it has {size} bytes instead of {self.size}"
        return "" if sha256_of(path) == self.sha256 else "its contents were changed"

    def to_json(self) -> str:
        """Write it as the file beside the event file holds it."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


def read_manifest(event_file: Path) -> Manifest | None:
    """Read an event file's manifest; None where there is none that can be read."""
    try:
        values = json.loads(manifest(event_file).read_text())
        return Manifest(
            settings_hash=str(values["settings_hash"]),
            sha256=str(values["sha256"]),
            size=int(values["size"]),
            events=int(values["events"]),
            first_event=int(values["first_event"]),
            run_number=int(values["run_number"]),
            batch=int(values["batch"]),
            sample=str(values["sample"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An event file that is there.

    Attributes
    ----------
    file : EventFile
        With a reason where it is not fit for use.
    event_numbers : ndarray of int64 or None
        Its event numbers in this campaign where they do not simply follow from the first.
    told : bool
        Whether its event numbers are told by itself, its name or its manifest.
    """

    file: EventFile
    event_numbers: npt.NDArray[np.int64] | None = None
    told: bool = True

    def all_numbers(self) -> npt.NDArray[np.int64]:
        """Give all its event numbers."""
        if self.event_numbers is not None:
            return self.event_numbers
        return np.arange(self.file.first_event, self.file.first_event + self.file.events)

    def last_number(self) -> int:
        """Give the highest of its event numbers."""
        if self.event_numbers is not None:
            return int(self.event_numbers.max())
        return self.file.first_event + self.file.events - 1


def find_event_files(settings: Settings, engine: Engine) -> list[FoundFile]:
    """Find and count the event files of ``evnt-dir``, in the order of their names.

    Raises
    ------
    InputError
        If there are none, or two share an event number and ``renumber`` is off; names both.
    """
    paths = _find(settings, engine)
    stems = _stems(paths, engine)
    found: list[FoundFile] = []
    next_number = 1
    for path, stem in zip(paths, stems, strict=True):
        file = look_at(path, settings, engine, stem=stem, next_number=next_number)
        next_number += file.file.events
        found.append(file)
    if not settings.renumber:
        found = _count_on(found)
        _check_unique(found)
    return found


def _find(settings: Settings, engine: Engine) -> list[Path]:
    if settings.evnt_dir is None:
        msg = "reconstruct needs --evnt-dir: the directory of the event files"
        raise InputError(msg)
    directory = Path(settings.evnt_dir)
    if not directory.is_dir():
        msg = f"evnt-dir {str(directory)!r} is no directory; name the one with the event files"
        raise InputError(msg)
    try:
        with os.scandir(directory) as entries:
            found = [
                directory / entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and any(fnmatchcase(entry.name, pattern) for pattern in engine.event_file_patterns)
                and not entry.is_dir()
            ]
    except OSError as error:
        msg = f"evnt-dir {str(directory)!r} cannot be read ({error.strerror})"
        raise InputError(msg) from error
    if not found:
        patterns = ", ".join(engine.event_file_patterns)
        msg = f"evnt-dir {str(directory)!r} holds no event files ({patterns})"
        raise InputError(msg)
    return sorted(found, key=_by_number)


def _by_number(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in path.name.split(".")]


def _stems(paths: Sequence[Path], engine: Engine) -> list[str]:
    endings = sorted((p.removeprefix("*") for p in engine.event_file_patterns), key=len)
    stems = [
        next(
            (path.name.removesuffix(end) for end in reversed(endings) if path.name.endswith(end)),
            path.stem,
        )
        for path in paths
    ]
    count = Counter(stems)
    # a.hepmc beside a.hepmc3: the whole name keeps their products apart.
    return [s if count[s] == 1 else path.name for s, path in zip(stems, paths, strict=True)]


@dataclass(frozen=True, slots=True)
class _Name:
    """What the name of an event file of our own says."""

    run_number: int
    batch_size: int
    batch: int

    @classmethod
    def of(cls, path: Path) -> _Name | None:
        own = _OWN_NAME.match(path.name)
        return cls(*(int(part) for part in own.groups())) if own else None

    def first_event(self, events: int) -> int | None:
        """Give the event number that follows from it; None where none can.

        More events than the name says would reach into the numbers of the next batch.
        """
        follows = events <= self.batch_size and 0 < self.batch * self.batch_size < 1 << 63
        return (self.batch - 1) * self.batch_size + 1 if follows else None


def look_at(
    path: Path, settings: Settings, engine: Engine, *, stem: str = "", next_number: int = 1
) -> FoundFile:
    """Count one event file; with a reason in it where it is not fit for use.

    Parameters
    ----------
    path : Path
    settings : Settings
    engine : Engine
    stem : str
        What the names of its products begin with; made from its name if not given.
    next_number : int
        First of its new event numbers, should it be renumbered, or should nothing tell them.
    """
    stem = stem or _stems([path], engine)[0]
    name = _Name.of(path)
    made = read_manifest(path)
    try:
        _check_regular(path)
        if made is not None:
            count = _as_published(path, made)
        else:
            count = engine.count_events(path, name.batch_size if name else None)
    except (InputError, OSError) as error:
        file = EventFile(
            path=str(path),
            sample=made.sample if made else stem,
            run_number=name.run_number if name else 0,
            batch=name.batch if name else 0,
            events=0,
            first_event=0,
            stem=stem,
            size=path.stat().st_size if path.exists() else -1,
            reason=_why(path, error),
        )
        return FoundFile(file)
    return _counted(path, stem, settings, count, made, name, next_number)


def _why(path: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"event file {str(path)!r} cannot be read ({error.strerror})"
    return str(error)


def _check_regular(path: Path) -> None:
    """Refuse what a reader would wait for: pipes and devices."""
    if not stat.S_ISREG(path.stat().st_mode):
        msg = f"event file {str(path)!r} is no regular file"
        raise BadEventFileError(msg)


def _as_published(path: Path, made: Manifest) -> EventCount:
    """Believe the manifest of a file that is what it was when it was published."""
    problem = made.differs(path)
    if problem:
        msg = f"event file {str(path)!r} is not what its manifest says: {problem}"
        raise BadEventFileError(msg)
    numbers = np.arange(made.first_event, made.first_event + made.events)
    return EventCount(numbers, made.size, made.run_number, made.sample)


def _counted(
    path: Path,
    stem: str,
    settings: Settings,
    count: EventCount,
    made: Manifest | None,
    name: _Name | None,
    next_number: int,
) -> FoundFile:
    numbers = count.event_numbers
    run_number = count.run_number
    told = True
    if not count.known:
        if run_number is None and name is not None:
            run_number = name.run_number
        first = name.first_event(len(numbers)) if name else None
        told = first is not None
        numbers = numbers - numbers[0] + (next_number if first is None else first)
    asked = settings.samples[0].run_number or 0
    file = EventFile(
        path=str(path),
        sample=count.sample or (made.sample if made else stem),
        run_number=asked if run_number is None else run_number,
        batch=name.batch if name else 0,
        events=len(numbers),
        first_event=next_number if settings.renumber else int(numbers[0]),
        stem=stem,
        size=count.size,
        sha256=made.sha256 if made else sha256_of(path),
        number_from=next_number if settings.renumber else -1,
    )
    follows = settings.renumber or bool(np.all(np.diff(numbers) == 1))
    return FoundFile(file, None if follows else numbers, told)


def _count_on(found: Sequence[FoundFile]) -> list[FoundFile]:
    """Give events whose numbers nothing tells those behind all that something tells."""
    told = [one for one in found if one.told and not one.file.reason]
    next_number = 1 + max((one.last_number() for one in told), default=0)
    counted = []
    for one in found:
        if one.told:
            counted.append(one)
            continue
        counted.append(replace(one, file=replace(one.file, first_event=next_number)))
        next_number += one.file.events
    return counted


def _check_unique(found: Sequence[FoundFile]) -> None:
    spans: dict[int, list[tuple[int, int, FoundFile]]] = {}
    for one in found:
        if one.file.reason:
            continue
        numbers = one.event_numbers
        low = one.file.first_event if numbers is None else int(numbers.min())
        high = one.last_number()
        spans.setdefault(one.file.run_number, []).append((low, high, one))
    for run_number, of_run in spans.items():
        of_run.sort(key=lambda span: span[:2])
        open_spans: list[tuple[int, Any]] = []
        for low, high, one in of_run:
            open_spans = [(end, other) for end, other in open_spans if end >= low]
            for _, other in open_spans:
                _check_pair(run_number, other, one)
            open_spans.append((high, one))


def _check_pair(run_number: int, first: FoundFile, second: FoundFile) -> None:
    shared = np.intersect1d(first.all_numbers(), second.all_numbers())
    if len(shared):
        msg = (
            f"event files {first.file.path!r} and {second.file.path!r} both hold event "
            f"{shared[0]} of run {run_number}; take one away, or set renumber = true"
        )
        raise InputError(msg)
