"""status.h5, a snapshot of the campaign for people: its schema, how it is written and read."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from hvmpi import __version__
from hvmpi.campaign.jobs import FailureClass, JobState, Kind, Outcome
from hvmpi.campaign.journal import LeftOut
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.lock import living_master
from hvmpi.campaign.paths import MERGED_STEM, SUFFIXES, RunPaths, job_stem, library_stem
from hvmpi.campaign.replay import replay
from hvmpi.campaign.rows import ATTEMPT_FIELDS, JOB_FIELDS, STEP_FIELDS
from hvmpi.errors import InputError
from hvmpi.hdf5 import LIBVER, InputFile, WholeFile
from hvmpi.settings import load_run, to_dict
from hvmpi.view.text import say

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "Status",
    "read_current_status",
    "read_status",
    "write_status",
]

SCHEMA = "hvmpi-status"
SCHEMA_VERSION = 3

_ENUMS: dict[str, type[IntEnum]] = {
    "kind": Kind,
    "state": JobState,
    "outcome": Outcome,
    "failure": FailureClass,
}
_TEXTS = {"host": "hosts", "reason": "reasons", "where": "places", "decision": "reasons"}
"""Columns that hold rows of a table of texts, and that table."""

_TABLES = ("jobs", "attempts", "steps", "event_files", *dict.fromkeys(_TEXTS.values()))

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


def _names(enum: type[IntEnum]) -> dict[str, int]:
    return {member.name.lower(): member.value for member in enum}


def _on_disk(fields: list[tuple[str, str]]) -> np.dtype[Any]:
    """Give the type of a table in the file: as in memory, with the names of its enums."""
    return np.dtype(
        [
            (name, h5py.enum_dtype(_names(_ENUMS[name]), basetype=kind) if name in _ENUMS else kind)
            for name, kind in fields
        ]
    )


_JOBS, _ATTEMPTS = _on_disk(JOB_FIELDS), _on_disk(ATTEMPT_FIELDS)


def _write_table(
    file: Any, name: str, rows: int, dtype: np.dtype[Any], parts: Iterable[npt.NDArray[Any]]
) -> None:
    """Write a table some rows at a time: a million of them are never in memory twice."""
    dataset = file.create_dataset(name, shape=(rows,), dtype=dtype)
    first = 0
    for part in parts:
        dataset[first : first + len(part)] = part
        first += len(part)


def _texts(values: list[str]) -> npt.NDArray[Any]:
    encoded = [value.encode("utf-8", "surrogateescape") for value in values]
    width = max(map(len, encoded), default=1) or 1
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", width))


def _event_files(ledger: Ledger) -> npt.NDArray[Any]:
    files = ledger.event_files
    columns: dict[str, npt.NDArray[Any]] = {
        "path": _texts([file.path for file in files]),
        "sample": _texts([file.sample for file in files]),
        "run_number": np.array([file.run_number for file in files], dtype="i4"),
        "batch": np.array([file.batch for file in files], dtype="i4"),
        "events": np.array([file.events for file in files], dtype="i8"),
        "size": np.array([file.size for file in files], dtype="i8"),
        "sha256": _texts([file.sha256 for file in files]),
        "reason": _texts([file.reason for file in files]),
        "stem": _texts([file.stem for file in files]),
    }
    table = np.zeros(len(files), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def _write_steps(file: Any, ledger: Ledger) -> None:
    names = _texts(ledger.step_names or [""])
    dtype = np.dtype(
        [(name, names.dtype if name == "step" else kind) for name, kind in STEP_FIELDS]
    )
    parts = (_with_columns(steps, {"step": names[steps["step"]]}) for steps in ledger.steps.parts())
    _write_table(file, "steps", len(ledger.steps), dtype, parts)


def _left_out(ranks: Sequence[LeftOut]) -> npt.NDArray[Any]:
    hosts, reasons = _texts([r.host for r in ranks]), _texts([r.reason for r in ranks])
    fields = [("host", hosts.dtype), ("rank", "i4"), ("reason", reasons.dtype)]
    table = np.zeros(len(ranks), dtype=fields)
    table["host"], table["reason"] = hosts, reasons
    table["rank"] = [r.rank for r in ranks]
    return table


def _named(texts: list[str], field: str) -> npt.NDArray[Any]:
    column = _texts(texts)
    return np.array([(text,) for text in column], dtype=[(field, column.dtype)])


def write_status(
    path: Path,
    ledger: Ledger,
    *,
    settings: dict[str, Any],
    state: str,
) -> float:
    """Write the snapshot beside `path` and rename it.

    Returns
    -------
    float
        Seconds that it took.
    """
    began = time.monotonic()
    # One that another will replace in a moment is not worth waiting for the disk.
    with WholeFile(path, mode=0o600, synced=state != "running") as whole:
        _fill(whole.file, ledger, settings, state)
    return time.monotonic() - began


def _fill(file: Any, ledger: Ledger, settings: dict[str, Any], state: str) -> None:
    run = ledger.begun
    file.attrs["schema"] = SCHEMA
    file.attrs["schema_version"] = SCHEMA_VERSION
    file.attrs["timestamp"] = run.timestamp if run else ""
    file.attrs["state"] = state
    file.attrs["hvmpi_version"] = __version__
    file.attrs["command_line"] = run.command_line if run else ""
    file.attrs["settings"] = json.dumps(settings)
    file.attrs["started"] = run.time if run else 0.0
    file.attrs["updated"] = time.time()
    _write_table(file, "jobs", len(ledger.jobs), _JOBS, ledger.jobs.parts(_JOBS))
    attempts = (part.view(_ATTEMPTS) for part in ledger.attempts.parts())
    _write_table(file, "attempts", len(ledger.attempts), _ATTEMPTS, attempts)
    _write_steps(file, ledger)
    file["event_files"] = _event_files(ledger)
    file["left_out"] = _left_out(ledger.left_out)
    file["hosts"] = _named(ledger.hosts, "name")
    file["reasons"] = _named(ledger.reasons, "text")
    file["places"] = _named(ledger.places, "text")


def _image(ledger: Ledger, settings: dict[str, Any], state: str) -> io.BytesIO:
    """Make a status file in memory, for a run in whose directory nothing is to be written."""
    image = io.BytesIO()
    with h5py.File(image, "w", libver=LIBVER) as file:
        _fill(file, ledger, settings, state)
    return image


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
    """

    path: Path
    attributes: dict[str, Any]
    jobs: npt.NDArray[Any]
    attempts: npt.NDArray[Any]
    steps: npt.NDArray[Any]
    event_files: npt.NDArray[Any]
    left_out: npt.NDArray[Any]


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
    return _read(path)


def read_current_status(directory: Path) -> Status:
    """Read the status of a run, from its journal where no good file tells how the run ended.

    A file that is damaged is told of on standard error.

    Parameters
    ----------
    directory : Path
        Of the run.

    Raises
    ------
    HvmpiError
        If neither can be read.
    """
    path = directory / "status.h5"
    in_progress = living_master(directory / "lock.json") is not None
    if path.exists():
        try:
            status = read_status(path)
        except InputError:
            say(
                f"hvmpi: {str(path)!r} is damaged or another version's; what follows is from the "
                "journal, which holds all of it, and a rerun writes the file again",
                sys.stderr,
            )
        else:
            if status.attributes["state"] != "running" or in_progress:
                return status
    ledger = replay(directory / "journal.jsonl")
    state = "running" if in_progress else ledger.ended.state if ledger.ended else "cut short"
    return _read(path, _image(ledger, to_dict(load_run(directory)), state))


def _read(path: Path, image: io.BytesIO | None = None) -> Status:
    try:
        with InputFile(path, image) as file:
            file.check_schema(SCHEMA, SCHEMA_VERSION)
            attributes = {name: file.attribute(name, kind) for name, kind in _ATTRIBUTES.items()}
            attributes["settings"] = file.json("settings")
            tables = {name: file.table(name) for name in _TABLES}
            tables["left_out"] = file.table("left_out") if "left_out" in file else _left_out(())
        return _join(attributes, tables, path)
    except (InputError, AttributeError, LookupError, TypeError, ValueError) as error:
        msg = (
            f"status file {str(path)!r} cannot be read ({error}); python -m hvmpi status "
            f"{path.parent.name} shows what the journal holds, which is all of it"
        )
        raise InputError(msg) from error


def _join(attributes: dict[str, Any], tables: dict[str, Any], path: Path) -> Status:
    files = _decode_table(tables["event_files"])
    texts = {name: _decoded(tables[of][tables[of].dtype.names[0]]) for name, of in _TEXTS.items()}
    jobs = _joined(tables["jobs"], texts)
    return Status(
        path=path,
        attributes=attributes,
        jobs=_with_paths(jobs, files, path.parent, attributes["settings"]),
        attempts=_joined(tables["attempts"], texts),
        steps=_decode_table(tables["steps"]),
        event_files=files,
        left_out=_decode_table(tables["left_out"]),
    )


def _decoded(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.array([text.decode("utf-8", "surrogateescape") for text in column], dtype=object)


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
    names = [
        *(table.dtype.names or ()),
        *(n for n in columns if n not in (table.dtype.names or ())),
    ]
    dtype = [(n, columns[n].dtype if n in columns else table.dtype[n]) for n in names]
    joined = np.zeros(len(table), dtype=dtype)
    for name in names:
        joined[name] = columns.get(name, table[name] if name not in columns else None)
    return joined


def _looked_up(rows: npt.NDArray[Any], texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    with_none: npt.NDArray[Any] = np.append(texts, "")
    return with_none[rows]  # type: ignore[no-any-return]


def _joined(table: npt.NDArray[Any], texts: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    there = set(table.dtype.names or ())
    columns = {
        name: _looked_up(table[name], column) for name, column in texts.items() if name in there
    }
    for name, enum in _ENUMS.items():
        if name in there:
            names = np.array([member.name.lower() for member in enum], dtype=object)
            columns[name] = names[table[name]]
    return _with_columns(table, columns)


def _with_paths(
    jobs: npt.NDArray[Any],
    files: npt.NDArray[Any],
    directory: Path,
    settings: dict[str, Any],
) -> npt.NDArray[Any]:
    paths = RunPaths.of(
        directory,
        evnt_dir=settings.get("evnt-dir"),
        aod_dir=settings.get("aod-dir"),
        log_dir=settings.get("log-dir"),
        tmp_dir=settings.get("tmp-dir"),
    )
    suffixes = SUFFIXES[settings["engine"]]
    derivations = _derivations(paths, suffixes) if "aod" not in settings["keep"] else {}
    outputs = [
        _output(row, files, paths, derivations, settings) if row["state"] == "done" else ""
        for row in jobs
    ]
    logs = [str(paths.job_logs(int(number))) for number in jobs["job"]]
    return _with_columns(
        jobs,
        {
            "sample": _looked_up(jobs["event_file"], files["sample"]),
            "output": np.array(outputs, dtype=object),
            "log": np.array(logs, dtype=object),
        },
    )


def _output(
    row: npt.NDArray[Any],
    files: npt.NDArray[Any],
    paths: RunPaths,
    derivations: dict[str, str],
    settings: dict[str, Any],
) -> str:
    """Give the path of what a job made; nothing where that is not kept."""
    suffixes = SUFFIXES[settings["engine"]]
    if row["kind"] == "library":
        return str(paths.product("library", library_stem(int(row["events"])), suffixes["library"]))
    if row["kind"] == "merge":
        return str(paths.product("merged", MERGED_STEM, suffixes["merged"]))
    file = files[row["event_file"]]
    if row["kind"] == "generation":
        return str(paths.resolve(file["path"])) if "evnt" in settings["keep"] else ""
    stem = job_stem(file["stem"], int(row["job_size"]), int(row["skip_events"]))
    if "aod" in settings["keep"]:
        return str(paths.product("aod", stem, suffixes["aod"]))
    return derivations.get(stem, "")


def _derivations(paths: RunPaths, suffixes: dict[str, str]) -> dict[str, str]:
    """Find a derivation of each job by its stem; what it is called depends on the tags."""
    if "daod" not in suffixes:
        return {}
    ending = f".{suffixes['daod']}"
    return {
        path.name.partition(".")[2].removesuffix(ending): str(path)
        for path in sorted(paths.product_directory("daod").glob(f"DAOD_*{ending}"))
    }
