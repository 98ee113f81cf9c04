"""status.h5, a snapshot of the campaign for people: how it is written."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from hvmpi import __version__
from hvmpi.campaign.journal import LeftOut, Resumed
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.rows import ATTEMPT_FIELDS, JOB_FIELDS, PROFILE_FIELDS, STEP_FIELDS
from hvmpi.campaign.status import ENUMS, SCHEMA, SCHEMA_VERSION
from hvmpi.hdf5 import LIBVER, WholeFile, write_rows

__all__ = ["image_of", "write_status"]


def _names(enum: type[IntEnum]) -> dict[str, int]:
    return {member.name.lower(): member.value for member in enum}


def _on_disk(fields: list[tuple[str, str]]) -> np.dtype[Any]:
    """Give the type of a table in the file: as in memory, with the names of its enums."""
    return np.dtype(
        [
            (name, h5py.enum_dtype(_names(ENUMS[name]), basetype=kind) if name in ENUMS else kind)
            for name, kind in fields
        ]
    )


_JOBS, _ATTEMPTS = _on_disk(JOB_FIELDS), _on_disk(ATTEMPT_FIELDS)
_PROFILE = _on_disk(PROFILE_FIELDS)


def _write_table(
    file: Any, name: str, rows: int, dtype: np.dtype[Any], parts: Iterable[npt.NDArray[Any]]
) -> None:
    """Write a table some rows at a time: a million of them are never in memory twice."""
    dataset = file.create_dataset(name, shape=(rows,), dtype=dtype)
    first = 0
    for part in parts:
        write_rows(dataset, first, part)
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

    def named(steps: npt.NDArray[Any]) -> npt.NDArray[Any]:
        table = np.empty(len(steps), dtype=dtype)
        for field, _ in STEP_FIELDS:
            table[field] = names[steps["step"]] if field == "step" else steps[field]
        return table

    _write_table(file, "steps", len(ledger.steps), dtype, map(named, ledger.steps.parts()))


def _left_out(ranks: Sequence[LeftOut]) -> npt.NDArray[Any]:
    hosts, reasons = _texts([r.host for r in ranks]), _texts([r.reason for r in ranks])
    fields = [("host", hosts.dtype), ("rank", "i4"), ("reason", reasons.dtype)]
    table = np.zeros(len(ranks), dtype=fields)
    table["host"], table["reason"] = hosts, reasons
    table["rank"] = [r.rank for r in ranks]
    return table


def _restarts(ledger: Ledger) -> npt.NDArray[Any]:
    again = [entry for entry in ledger.launches if isinstance(entry, Resumed)]
    commands = _texts([entry.command_line for entry in again])
    reasons = _texts([entry.reason for entry in again])
    fields = [("time", "f8"), ("command_line", commands.dtype), ("reason", reasons.dtype)]
    table = np.zeros(len(again), dtype=fields)
    table["time"] = [entry.time for entry in again]
    table["command_line"], table["reason"] = commands, reasons
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
    file.attrs["launches"] = len(ledger.launches)
    file.attrs["versions"] = json.dumps(ledger.launches[-1].versions if ledger.launches else {})
    file.attrs["ended"] = ledger.ended.reason if ledger.ended else ""
    _write_table(file, "jobs", len(ledger.jobs), _JOBS, ledger.jobs.parts(_JOBS))
    attempts = (part.view(_ATTEMPTS) for part in ledger.attempts.parts())
    _write_table(file, "attempts", len(ledger.attempts), _ATTEMPTS, attempts)
    _write_steps(file, ledger)
    if len(ledger.profile):
        profile = (part.view(_PROFILE) for part in ledger.profile.parts())
        _write_table(file, "profile", len(ledger.profile), _PROFILE, profile)
        file["step_names"] = _named(ledger.step_names, "name")
    file["event_files"] = _event_files(ledger)
    file["left_out"] = _left_out(ledger.left_out)
    file["restarts"] = _restarts(ledger)
    file["hosts"] = _named(ledger.hosts, "name")
    file["reasons"] = _named(ledger.reasons, "text")
    file["places"] = _named(ledger.places, "text")


def image_of(ledger: Ledger, settings: dict[str, Any], state: str) -> io.BytesIO:
    """Make a status file in memory, for a run in whose directory nothing is to be written."""
    image = io.BytesIO()
    with h5py.File(image, "w", libver=LIBVER) as file:
        _fill(file, ledger, settings, state)
    return image
