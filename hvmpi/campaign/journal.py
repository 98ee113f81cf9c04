"""The truth of a campaign: a file of lines, one a change of state, written before it counts.

A line is a JSON object with the name of its entry (``type``) and the fields of one of the structs
below. A torn last line, left by a machine that died, is dropped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from hvmpi.errors import JournalError

__all__ = [
    "Accepted",
    "Barred",
    "Completion",
    "Ended",
    "Entry",
    "EventFileListed",
    "Failed",
    "FilePutAside",
    "JobsPlanned",
    "Journal",
    "Launch",
    "LeftOut",
    "LibraryListed",
    "PlanComplete",
    "Published",
    "Resumed",
    "RunBegun",
    "Started",
    "Withdrawn",
    "find_completion",
    "find_launch",
    "is_planned",
    "read_entries",
    "was_cut_short",
]

SCHEMA = "hvmpi-journal"
SCHEMA_VERSION = 4
_READABLE = (3, SCHEMA_VERSION)
"""Before 4 no line said when an attempt really began."""
_FINISHED = (0, 1)
_LAST_BYTES = 1 << 16


class _Tag:
    """Gives the name of an entry, as lines have it."""

    def __get__(self, _: object, entry: type[msgspec.Struct]) -> str:
        return str(entry.__struct_config__.tag)


class _Entry(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="type"):
    type: ClassVar[_Tag] = _Tag()


class RunBegun(_Entry, frozen=True, tag="run_begun"):
    """The first line: what campaign this is.

    ``fixed_hash`` is the hash of what no rerun may change (`hvmpi.settings.fixed`).
    """

    schema: str
    schema_version: int
    timestamp: str
    time: float
    verb: str
    command_line: str
    versions: dict[str, str]
    settings_hash: str
    launch: str
    fixed_hash: str = ""


class EventFileListed(_Entry, frozen=True, tag="event_file"):
    """An event file, planned or found; its row is the number of such lines before it."""

    path: str
    sample: str
    run_number: int
    batch: int
    events: int
    first_event: int
    stem: str
    size: int
    sha256: str
    number_from: int
    reason: str


class LibraryListed(_Entry, frozen=True, tag="library"):
    """A library of minimum-bias events that was made before, and that events are overlaid from."""

    path: str
    events: int
    sha256: str


class JobsPlanned(_Entry, frozen=True, tag="jobs"):
    """A row of jobs of one size of one event file, numbered on from the jobs before.

    ``event_file`` is -1 where there is none: a library, a merge. ``after`` holds the rows, counted
    from 0, of which every job must be done before one of these can start. ``numbers`` holds the
    event number of each job's first event; empty where they follow each other from the file's
    first event. ``skip`` counts the events of the file that rows before it read.
    """

    kind: int
    event_file: int
    job_size: int
    events: int
    after: list[int]
    numbers: list[int]
    skip: int = 0


class PlanComplete(_Entry, frozen=True, tag="plan_complete"):
    """All event files and jobs are listed above."""

    event_files: int
    jobs: int


class Resumed(_Entry, frozen=True, tag="resumed"):
    """A master took the run up again; what ran when the last one ended is ready again.

    ``fresh`` says whether a person asked for it: then what failed for good is tried again, and
    each job has all of its attempts before it.
    """

    time: float
    command_line: str
    versions: dict[str, str]
    launch: str
    reason: str
    fresh: bool = True


class Started(_Entry, frozen=True, tag="started"):
    """An attempt of a job went to a rank, where it may wait until those before it have ended.

    ``reason`` says why, where another attempt of the job is under way; the first one that is
    accepted counts.
    """

    job: int
    attempt: int
    rank: int
    host: str
    time: float
    reason: str = ""


class Accepted(_Entry, frozen=True, tag="accepted"):
    """An attempt was chosen as the one that made the job's outputs.

    ``outputs`` holds one list a product: product, part, path, size, sha256. ``steps`` holds one
    list a step: step, wall_s, cpu_s, max_rss_mb, exit_code, and with ``profile`` the seconds of its
    parts by their names (`hvmpi.stopwatch.Part`). ``began`` is when it really began, Unix seconds;
    0 where that is not known.
    """

    job: int
    attempt: int
    time: float
    wall_s: float
    events_out: int
    outputs: list[list[Any]]
    steps: list[list[Any]]
    reason: str
    began: float = 0.0


class Published(_Entry, frozen=True, tag="published"):
    """The job's outputs have their final names: the job is done."""

    job: int
    attempt: int


class Withdrawn(_Entry, frozen=True, tag="withdrawn"):
    """Accepted outputs could not be published: the attempt failed after all."""

    job: int
    attempt: int
    reason: str
    again: bool
    decision: str


class Failed(_Entry, frozen=True, tag="failed"):
    """An attempt did not make it; ``again`` says whether the job is tried once more.

    ``failure`` is its `hvmpi.campaign.jobs.FailureClass`, ``where`` the log and the line that tell
    of it, relative to the folder of the attempt's logs, and ``decision`` why it is tried again, or
    not. ``began`` is when it really began, Unix seconds; 0 where it never did.
    """

    job: int
    attempt: int
    time: float
    wall_s: float
    outcome: int
    exit_code: int
    signal: int
    reason: str
    again: bool
    steps: list[list[Any]]
    failure: int
    where: str
    decision: str
    began: float = 0.0


class FilePutAside(_Entry, frozen=True, tag="put_aside"):
    """An event file is not fit for use: its jobs that are not done fail with that reason."""

    event_file: int
    reason: str


class Barred(_Entry, frozen=True, tag="barred"):
    """What the jobs of a kind wait for will not be: those that wait fail, without an attempt."""

    kind: int
    reason: str


class LeftOut(_Entry, frozen=True, tag="left_out"):
    """A rank gets no jobs from this launch: its host is not fit, or it cannot work with it."""

    host: str
    rank: int
    reason: str
    time: float


class Ended(_Entry, frozen=True, tag="ended"):
    """The completion record: how the campaign, or this part of it, ended."""

    time: float
    state: str
    exit_code: int
    done: int
    failed: int
    left: int
    reason: str
    launch: str


Entry = (
    RunBegun
    | EventFileListed
    | LibraryListed
    | JobsPlanned
    | PlanComplete
    | Resumed
    | Started
    | Accepted
    | Published
    | Withdrawn
    | Failed
    | FilePutAside
    | Barred
    | LeftOut
    | Ended
)

_lines = msgspec.json.Decoder(Entry)
_lines_of = msgspec.json.Encoder()


def _encode(entries: list[Entry]) -> bytes:
    try:
        return _lines_of.encode_lines(entries)
    except UnicodeEncodeError:
        # Names of files may hold bytes that are no UTF-8.
        plain = map(msgspec.to_builtins, entries)
        lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in plain]
        return "".join(lines).encode()


def _text(text: str) -> bytes:
    try:
        return _lines_of.encode(text)
    except UnicodeEncodeError:
        return json.dumps(text).encode()


class Journal:
    """The journal of one run, open for appending.

    `collect` and `write` bring a group of entries into the file by one system call, which the
    master does before it sends what follows from them; `sync` brings all of it to the disk, before
    products are renamed and once a second.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._collected: list[Entry] = []
        self._unsynced = False
        self._synced_at = time.monotonic()
        try:
            _drop_torn_line(path)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._failure(error) from error

    def append(self, *entries: Entry) -> None:
        """Write entries behind those collected before."""
        self._collected += entries
        self.write()

    def collect(self, entry: Entry) -> None:
        """Keep an entry for the next `write`: nothing that follows from it may be seen before."""
        self._collected.append(entry)

    def write(self) -> None:
        """Write what was collected; a torn last line does not count for a later reader."""
        if not self._collected:
            return
        data = _encode(self._collected)
        self._collected.clear()
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            raise self._failure(error) from error
        self._unsynced = True

    def sync(self) -> None:
        """Write what was collected, and bring all that was written to the disk."""
        self.write()
        if self._unsynced:
            try:
                os.fsync(self._file)
            except OSError as error:
                raise self._failure(error) from error
            self._unsynced = False
        self._synced_at = time.monotonic()

    def sync_if_older(self, seconds: float) -> None:
        """Bring what was written to the disk unless that was done a moment ago."""
        if self._unsynced and time.monotonic() - self._synced_at > seconds:
            self.sync()

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        os.close(self._file)

    def _failure(self, error: OSError) -> JournalError:
        msg = (
            f"the journal {str(self._path)!r} cannot be written ({error.strerror}); "
            "make room or mend the file system, then rerun"
        )
        return JournalError(msg)


def _drop_torn_line(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(handle).st_size
        end = size
        while end > 0:
            start = max(0, end - 65536)
            newline = os.pread(handle, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(handle, end)
    finally:
        os.close(handle)


def read_entries(path: Path) -> Iterator[Entry]:
    """Read a journal from its beginning, without the torn line that it may end with.

    Raises
    ------
    JournalError
        If the file cannot be read, is of another schema, or holds a line that is no entry;
        names the line.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    return
                yield _decode(path, number, line)
    except OSError as error:
        msg = f"the journal {str(path)!r} cannot be read ({error.strerror})"
        raise JournalError(msg) from error


def _decode(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry = _entry(line)
    except (ValueError, RecursionError) as error:
        msg = (
            f"line {number} of the journal {str(path)!r} is no entry of hvmpi ({error}); "
            "the file was changed by something else"
        )
        raise JournalError(msg) from error
    if isinstance(entry, RunBegun) and (
        entry.schema != SCHEMA or entry.schema_version not in _READABLE
    ):
        readable = " and ".join(map(str, _READABLE))
        msg = (
            f"the journal {str(path)!r} has schema {entry.schema} {entry.schema_version}, "
            f"this hvmpi reads {SCHEMA} {readable}"
        )
        raise JournalError(msg)
    return entry


def _entry(line: bytes) -> Entry:
    try:
        entry: Entry = _lines.decode(line)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        entry = msgspec.convert(json.loads(line), Entry)
    return entry


@dataclass(frozen=True, slots=True)
class Launch:
    """A run that a launch began or resumed."""

    timestamp: str
    directory: Path


@dataclass(frozen=True, slots=True)
class Completion:
    """The completion record of a launch, for who started it: mpirun's exit code proves nothing."""

    timestamp: str
    directory: Path
    exit_code: int
    state: str
    reason: str


def is_planned(path: Path) -> bool:
    """Tell whether a journal has all of its plan: before that nothing was begun."""
    return path.exists() and any(isinstance(entry, PlanComplete) for entry in read_entries(path))


def was_cut_short(path: Path) -> bool:
    """Tell whether a campaign is to be taken up again: by the last line of its journal."""
    try:
        with path.open("rb") as lines:
            lines.seek(-min(path.stat().st_size, _LAST_BYTES), os.SEEK_END)
            last = _entry(lines.read().splitlines()[-1])
    except OSError:
        return False
    except (ValueError, IndexError):
        return True
    return not isinstance(last, Ended) or last.exit_code not in _FINISHED


def _newest_first(run_dir: Path) -> list[Path]:
    try:
        journals = list(run_dir.glob("*/journal.jsonl"))
    except OSError:
        return []
    return sorted(journals, key=lambda path: path.stat().st_mtime, reverse=True)


def find_launch(run_dir: Path, launch_id: str) -> Launch | None:
    """Find the run that a launch began or resumed; None when it came to nothing."""
    needle = _text(launch_id)[1:-1]
    for path in _newest_first(run_dir):
        if needle in path.read_bytes():
            return Launch(path.parent.name, path.parent)
    return None


def find_completion(run_dir: Path, launch_id: str) -> Completion | None:
    """Find the completion record of a launch; None when its campaign was cut short."""
    launch = find_launch(run_dir, launch_id)
    if launch is None:
        return None
    for entry in read_entries(launch.directory / "journal.jsonl"):
        if isinstance(entry, Ended) and entry.launch == launch_id:
            return Completion(
                launch.timestamp, launch.directory, entry.exit_code, entry.state, entry.reason
            )
    return None
