"""status.h5, a snapshot of the campaign for people: its schema, and how it is read."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import FailureClass, JobState, Kind, Outcome
from hvmpi.campaign.lock import living_master
from hvmpi.campaign.paths import (
    MERGED_STEM,
    SUFFIXES,
    RunPaths,
    job_folder,
    job_stem,
    library_stem,
    product_name,
)
from hvmpi.errors import InputError, JournalError, PlanningError
from hvmpi.hdf5 import InputFile
from hvmpi.stopwatch import Part
from hvmpi.view.text import say

__all__ = [
    "ENUMS",
    "SCHEMA",
    "SCHEMA_VERSION",
    "Status",
    "StatusFile",
    "look_at_current",
    "read_status",
]

SCHEMA = "hvmpi-status"
SCHEMA_VERSION = 3

ENUMS: dict[str, type[IntEnum]] = {
    "kind": Kind,
    "state": JobState,
    "outcome": Outcome,
    "failure": FailureClass,
    "part": Part,
}
"""Columns that hold values of an enum."""

_TEXTS = {"host": "hosts", "reason": "reasons", "where": "places", "decision": "reasons"}
"""Columns that hold rows of a table of texts, and that table."""

_ATTRIBUTES: dict[str, type[Any]] = {
    "schema": str,
    "schema_version": int,
    "timestamp": str,
    "state": str,
    "hvmpi_version": str,
    "command_line": str,
    "started": float,
    "updated": float,
}

_PROFILE: list[tuple[str, Any]] = [
    ("job", "i4"),
    ("attempt", "u2"),
    ("step", object),
    ("part", object),
    ("wall_s", "f4"),
]
"""A table of where the time of steps went, joined."""

_PART = 1 << 14
"""Rows that are read at once, which stay in the processor's cache."""

Look = TypeVar("Look")


class StatusFile:
    """A status file that is open: tables as they are in it, joined where that is asked for.

    Used as a context.

    Parameters
    ----------
    path : Path
    image : BytesIO, optional
        The file's bytes, where there is no good one on disk.

    Attributes
    ----------
    path : Path
    attributes : dict
        The root attributes; ``settings`` as a dict.

    Raises
    ------
    InputError
        In every method: if something is missing or damaged.
    """

    def __init__(self, path: Path, image: io.BytesIO | None = None) -> None:
        self.path = path
        self._file = InputFile(path, image)
        try:
            self._file.check_schema(SCHEMA, SCHEMA_VERSION)
            self.attributes: dict[str, Any] = {
                name: self._file.attribute(name, kind) for name, kind in _ATTRIBUTES.items()
            }
            self.attributes["settings"] = self._file.json("settings")
        except InputError:
            self._file.close()
            raise
        self._read: dict[str, npt.NDArray[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def table(self, name: str) -> npt.NDArray[Any]:
        """Return a whole table."""
        if name not in self._read:
            self._read[name] = self._file.table(name)
        return self._read[name]

    def parts(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Return a table some rows at a time; of an empty one, once, none."""
        rows = len(self._file.dataset(name))
        for first in range(0, max(rows, 1), _PART):
            yield self._file.read(name, first, first + _PART)

    @property
    def jobs(self) -> int:
        """Count the jobs."""
        return len(self._file.dataset("jobs"))

    def job(self, number: int) -> Any:
        """Return the row of a job, joined; None if there is no such job."""
        if not 0 <= number < self.jobs:
            return None
        return self.joined_jobs(self._file.read("jobs", number, number + 1))[0]

    def left_out(self) -> npt.NDArray[Any]:
        """Return the ranks that got no jobs from the newest launch; joined."""
        if "left_out" not in self._file:
            fields: list[tuple[str, Any]] = [("host", object), ("rank", "i4"), ("reason", object)]
            return np.zeros(0, dtype=fields)
        return self.decoded("left_out")

    def restarts(self) -> npt.NDArray[Any]:
        """Return when the run was taken up again, how, and the reason that what ran before got."""
        if "restarts" not in self._file:
            fields = [("time", "f8"), ("command_line", object), ("reason", object)]
            return np.zeros(0, dtype=fields)
        return self.decoded("restarts")

    @property
    def versions(self) -> dict[str, str]:
        """The versions that the newest start was made with; none where the file does not say."""
        return self._file.json("versions") if self._file.has_attribute("versions") else {}

    @property
    def ended(self) -> str:
        """Why the run ended before its end; empty if it did not, or the file does not say."""
        return self._file.attribute("ended", str) if self._file.has_attribute("ended") else ""

    @property
    def launches(self) -> int:
        """Count the starts of the run; 0 where the file does not say."""
        return self._file.attribute("launches", int) if self._file.has_attribute("launches") else 0

    @property
    def is_profiled(self) -> bool:
        """Whether it says of any step where its time went."""
        return "profile" in self._file

    def profile(self) -> npt.NDArray[Any]:
        """Return where the time of steps went; joined."""
        if not self.is_profiled:
            return np.zeros(0, dtype=_PROFILE)
        rows = self.table("profile")
        names = _looked_up(rows["step"], self.table("step_names")["name"])
        return _with_columns(self.joined(rows), {"step": names})

    def decoded(self, name: str) -> npt.NDArray[Any]:
        """Return a whole table that holds its texts itself."""
        return _decode_table(self.table(name))

    def joined(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Put the texts and names into rows of ``jobs`` or ``attempts`` that stand for them."""
        columns: dict[str, npt.NDArray[Any]] = {}
        for name in rows.dtype.names or ():
            if name in _TEXTS:
                columns[name] = self.texts(name, rows[name])
            elif name in ENUMS:
                names = np.array([member.name.lower() for member in ENUMS[name]], dtype=object)
                columns[name] = names[rows[name]]
        return _with_columns(rows, columns)

    def texts(self, column: str, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give the texts that values of a column, such as ``host``, stand for."""
        table = self.table(_TEXTS[column])
        return _looked_up(rows, table[(table.dtype.names or ("",))[0]])

    def put_aside(self, most: int | None = None) -> list[str]:
        """Say why event files are not fit for use, at most so many of them."""
        reasons: list[bytes] = []
        for files in self.parts("event_files"):
            reasons += files["reason"][files["reason"] != b""].tolist()
        return [reason.decode("utf-8", "surrogateescape") for reason in reasons[:most]]

    def training_files(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give the paths of the training files of rows of ``jobs`` that are reconstruction."""
        return self._paths().training_files(rows, self.table("event_files"))

    def _paths(self) -> _Paths:
        return _Paths(self.path.parent, self.attributes["settings"])

    def joined_jobs(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Join rows of ``jobs``, with the sample and the paths that `Status` has."""
        files = self.table("event_files")
        paths = self._paths()
        return _with_columns(
            self.joined(rows),
            {
                "sample": _looked_up(rows["event_file"], files["sample"]),
                "output": paths.outputs(rows, files),
                "log": paths.logs(rows["job"]),
            },
        )


@dataclass(frozen=True)
class Status:
    """The joined tables of a status file.

    Attributes
    ----------
    path : Path
    attributes : dict
        The root attributes; ``settings`` as a dict.
    jobs, attempts, steps, event_files : ndarray
        As on disk; ``host``, ``reason``, ``where`` and ``decision`` hold the texts, ``kind``,
        ``state``, ``outcome`` and ``failure`` the names, and ``jobs`` has ``sample``, ``output``
        and ``log`` too: the path of what the job made (empty before it is done) and of the
        directory of its logs.
    left_out : ndarray
        ``host``, ``rank`` and ``reason`` of the ranks that got no jobs from the newest launch.
    profile : ndarray
        Where the time of steps went: ``job``, ``attempt``, ``step``, ``part`` and ``wall_s``. The
        parts of a step sum up to its wall time. Empty unless it was asked for.
    """

    path: Path
    attributes: dict[str, Any]
    jobs: npt.NDArray[Any]
    attempts: npt.NDArray[Any]
    steps: npt.NDArray[Any]
    event_files: npt.NDArray[Any]
    left_out: npt.NDArray[Any]
    profile: npt.NDArray[Any]

    @classmethod
    def of(cls, file: StatusFile) -> Status:
        """Read and join all tables of a file."""
        return cls(
            path=file.path,
            attributes=file.attributes,
            jobs=file.joined_jobs(file.table("jobs")),
            attempts=file.joined(file.table("attempts")),
            steps=file.decoded("steps"),
            event_files=file.decoded("event_files"),
            left_out=file.left_out(),
            profile=file.profile(),
        )


def read_status(path: str | Path) -> Status:
    """Read a status file and join its tables.

    Parameters
    ----------
    path : str or Path
        A ``status.h5``, or the directory of a run.

    Raises
    ------
    InputError
        If there is no such file, it is no HDF5, or it has another schema; names both.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "status.h5"
    return _looked_at(path, Status.of)


def look_at_current(directory: Path, look: Callable[[StatusFile], Look]) -> Look:
    """Look at the status of a run, from its journal where no good file tells how the run ended.

    A file that is damaged is told of on standard error.

    Parameters
    ----------
    directory : Path
        Of the run.
    look : callable
        Gets the file while it is open; what it gives is given back.

    Raises
    ------
    HvmpiError
        If neither can be read.
    """
    path = directory / "status.h5"
    in_progress = living_master(directory / "lock.json") is not None
    found: list[Look] = []

    def look_if_current(file: StatusFile) -> None:
        if in_progress or _has_ended(file):
            found.append(look(file))

    if path.exists():
        try:
            _looked_at(path, look_if_current)
        except InputError:
            say(
                f"hvmpi: {str(path)!r} is damaged or another version's; what follows is from the "
                "journal, which holds all of it, and a rerun writes the file again",
                sys.stderr,
            )
    if found:
        return found[0]
    return _looked_at(path, look, _from_journal(directory, in_progress=in_progress))


def _has_ended(file: StatusFile) -> bool:
    return bool(file.attributes["state"] != "running")


def _from_journal(directory: Path, *, in_progress: bool) -> io.BytesIO:
    # What most looks at a run have no use for.
    from hvmpi.campaign.replay import replay
    from hvmpi.campaign.snapshot import image_of
    from hvmpi.settings import load_run, to_dict

    try:
        ledger = replay(directory / "journal.jsonl")
    except JournalError as error:
        if not in_progress:
            raise
        msg = f"run {directory.name} has begun, and its jobs are not planned yet; look again soon"
        raise PlanningError(msg) from error
    state = "running" if in_progress else ledger.ended.state if ledger.ended else "cut short"
    return image_of(ledger, to_dict(load_run(directory)), state)


def _looked_at(
    path: Path, look: Callable[[StatusFile], Look], image: io.BytesIO | None = None
) -> Look:
    try:
        with StatusFile(path, image) as file:
            return look(file)
    except (InputError, AttributeError, LookupError, TypeError, ValueError) as error:
        msg = (
            f"status file {str(path)!r} cannot be read ({error}); python -m hvmpi status "
            f"{path.parent.name} shows what the journal holds, which is all of it"
        )
        raise InputError(msg) from error


# Joining


def _decoded(texts: Iterable[bytes]) -> npt.NDArray[Any]:
    return np.array([text.decode("utf-8", "surrogateescape") for text in texts], dtype=object)


def _decode_table(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return _with_columns(
        table,
        {
            name: _decoded(table[name])
            for name in table.dtype.names or ()
            if table.dtype[name].kind == "S"
        },
    )


def _with_columns(
    table: npt.NDArray[Any], columns: dict[str, npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    names = list(dict.fromkeys([*(table.dtype.names or ()), *columns]))
    dtype = [(n, columns[n].dtype if n in columns else table.dtype[n]) for n in names]
    joined = np.zeros(len(table), dtype=dtype)
    for name in names:
        joined[name] = columns[name] if name in columns else table[name]
    return joined


def _looked_up(rows: npt.NDArray[Any], texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the texts of rows of a table, each of them decoded once; none for -1."""
    used, places = np.unique(rows, return_inverse=True)
    found = np.full(len(used), "", dtype=object)
    found[used >= 0] = _decoded(texts[used[used >= 0]])
    return found[places]


class _Paths:
    """Where what a run made is, as texts: a million paths would take their time."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self._paths = RunPaths.of(
            directory,
            evnt_dir=settings.get("evnt-dir"),
            aod_dir=settings.get("aod-dir"),
            log_dir=settings.get("log-dir"),
            tmp_dir=settings.get("tmp-dir"),
        )
        self._suffixes = SUFFIXES[settings["engine"]]
        self._keep = settings["keep"]

    def logs(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give the directories of jobs' logs."""
        logs = str(self._paths.logs)
        return _objects([f"{logs}/{job_folder(number)}" for number in numbers.tolist()])

    def outputs(self, jobs: npt.NDArray[Any], files: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give the paths of what jobs made; nothing where that is not there or not kept."""
        outputs = np.full(len(jobs), "", dtype=object)
        for kind, output in (
            (Kind.GENERATION, self._event_files),
            (Kind.LIBRARY, self._libraries),
            (Kind.RECONSTRUCTION, self._reconstructed),
            (Kind.MERGE, self._merged),
        ):
            done = np.flatnonzero((jobs["kind"] == kind) & (jobs["state"] == JobState.DONE))
            if len(done):
                outputs[done] = _objects(output(jobs[done], files))
        return outputs

    def _event_files(self, jobs: npt.NDArray[Any], files: npt.NDArray[Any]) -> list[str]:
        if "evnt" not in self._keep:
            return [""] * len(jobs)
        stored = _looked_up(jobs["event_file"], files["path"])
        return [str(self._paths.resolve(path)) for path in stored]

    def _libraries(self, jobs: npt.NDArray[Any], _: npt.NDArray[Any]) -> list[str]:
        stems = map(library_stem, jobs["events"].tolist())
        return [str(self._paths.product("library", s, self._suffixes["library"])) for s in stems]

    def _merged(self, jobs: npt.NDArray[Any], _: npt.NDArray[Any]) -> list[str]:
        merged = self._paths.product("merged", MERGED_STEM, self._suffixes["merged"])
        return [str(merged)] * len(jobs)

    def training_files(self, jobs: npt.NDArray[Any], files: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give the paths of jobs' training files."""
        directory, suffix = self._paths.product_directory("train"), self._suffixes["train"]
        stems = self._stems(jobs, files)
        return _objects([f"{directory}/{product_name(stem, suffix)}" for stem in stems])

    def _stems(self, jobs: npt.NDArray[Any], files: npt.NDArray[Any]) -> list[str]:
        return [
            job_stem(of_file, job_size, skip)
            for of_file, job_size, skip in zip(
                _looked_up(jobs["event_file"], files["stem"]),
                jobs["job_size"].tolist(),
                jobs["skip_events"].tolist(),
                strict=True,
            )
        ]

    def _reconstructed(self, jobs: npt.NDArray[Any], files: npt.NDArray[Any]) -> list[str]:
        stems = self._stems(jobs, files)
        if "aod" not in self._keep:
            found = self._find_derivations()
            return [found.get(stem, "") for stem in stems]
        directory, suffix = str(self._paths.product_directory("aod")), self._suffixes["aod"]
        return [f"{directory}/{product_name(stem, suffix)}" for stem in stems]

    def _find_derivations(self) -> dict[str, str]:
        """Find a derivation of each job by its stem; what it is called depends on the tags."""
        if "daod" not in self._suffixes:
            return {}
        ending = f".{self._suffixes['daod']}"
        return {
            path.name.partition(".")[2].removesuffix(ending): str(path)
            for path in sorted(self._paths.product_directory("daod").glob(f"DAOD_*{ending}"))
        }


def _objects(texts: list[str]) -> npt.NDArray[Any]:
    return np.array(texts, dtype=object)
