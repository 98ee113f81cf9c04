"""The jobs of a run for programs: JSON and CSV, written some at a time, however many they are."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.overview import Failing, Overview
from hvmpi.campaign.standing import Selection, Standing
from hvmpi.campaign.status import StatusFile, look_at_current
from hvmpi.view.text import printable

__all__ = ["COLUMNS", "SCHEMA", "SCHEMA_VERSION", "print_csv", "print_json"]

SCHEMA = "hvmpi-status-json"
SCHEMA_VERSION = 1

_OF_EVENTS = ("sample", "run_number", "skip_events", "first_event")
_OF_ATTEMPT = ("host", "rank", "started")
_OF_END = ("cpu_s", "max_rss_mb", "exit_code")

COLUMNS = (
    "job", "kind", "state", "attempts", "outcome", "failure", *_OF_EVENTS, "events", "events_out",
    *_OF_ATTEMPT, "wall_s", *_OF_END, "reason", "where", "output", "log",
)  # fmt: skip
"""Of a job, in both formats; docs/status.md says what they mean."""


def print_json(directory: Path, selection: Selection) -> None:
    """Print a run as one JSON object, its jobs one a line.

    Parameters
    ----------
    directory : Path
        The run.
    selection : Selection
        The jobs to be listed; all are counted.

    Raises
    ------
    HvmpiError
        If the run cannot be read, or not to its end.
    """

    def look(file: StatusFile) -> None:
        head = json.dumps(_summary(Overview.of(file, selection=selection, most=0)), indent=1)
        sys.stdout.write(f'{head.removesuffix("}").rstrip()},\n "jobs": [')
        for number, job in enumerate(_jobs(file, selection)):
            line = json.dumps(dict(zip(COLUMNS, job, strict=True)))
            sys.stdout.write(f"{',' * (number > 0)}\n  {line}")
        sys.stdout.write("\n ]\n}\n")

    look_at_current(directory, look)


def print_csv(directory: Path, selection: Selection) -> None:
    """Print the jobs of a run as CSV (RFC 4180), with a head; what is not known is empty.

    Parameters
    ----------
    directory : Path
        The run.
    selection : Selection
        The jobs to be listed.

    Raises
    ------
    HvmpiError
        If the run cannot be read, or not to its end.
    """

    def look(file: StatusFile) -> None:
        # A host that had no job is an error before there is a head.
        selection.host_row(file)
        table = csv.writer(sys.stdout)
        table.writerow(COLUMNS)
        table.writerows(
            [printable(value) if isinstance(value, str) else value for value in job]
            for job in _jobs(file, selection)
        )

    look_at_current(directory, look)


def _summary(run: Overview) -> dict[str, Any]:
    attributes = run.attributes
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "run": attributes["timestamp"],
        "directory": str(run.path.parent),
        "state": attributes["state"],
        "hvmpi_version": attributes["hvmpi_version"],
        "command_line": attributes["command_line"],
        "engine": attributes["settings"]["engine"],
        "started": attributes["started"],
        "updated": attributes["updated"],
        "states": {standing.name.lower(): run.states[standing] for standing in Standing},
        "kinds": {
            kind.name.lower(): {
                "jobs": run.jobs[kind],
                "done": run.done[kind],
                "events": run.events[kind],
            }
            for kind in Kind
        },
        "jobs_per_hour": run.speed.jobs_per_hour,
        "events_per_hour": run.speed.events_per_hour,
        "left_s": run.speed.left_s,
        "failures": list(map(_failure, run.failing)),
        "put_aside": run.put_aside,
        "left_out": [{"host": host, "reason": reason} for host, reason in run.left_out],
    }


def _failure(group: Failing) -> dict[str, Any]:
    first = group.first
    return {
        "jobs": group.count,
        "first_job": int(first["job"]),
        "began": bool(first["attempts"]),
        **{name: str(first[name]) for name in ("outcome", "failure", "reason", "where", "log")},
    }


def _jobs(file: StatusFile, selection: Selection) -> Iterator[tuple[Any, ...]]:
    """Give the jobs that are asked for, in the order of their numbers, `COLUMNS` of each."""
    for rows in selection.jobs(file):
        columns = _columns(rows)
        yield from zip(*(columns[name] for name in COLUMNS), strict=True)


def _columns(rows: npt.NDArray[Any]) -> dict[str, list[Any]]:
    """Give the values of each column as JSON has them; None where there is none."""
    has_events = rows["event_file"] >= 0
    has_attempt = rows["rank"] >= 0
    has_ended = has_attempt & (rows["outcome"] != "none")
    there = {
        **dict.fromkeys(_OF_EVENTS, has_events),
        **dict.fromkeys(_OF_ATTEMPT, has_attempt),
        **dict.fromkeys(_OF_END, has_ended),
        "wall_s": has_ended | (rows["state"] == "running"),
        "events_out": rows["events_out"] >= 0,
        "outcome": rows["outcome"] != "none",
        "failure": rows["failure"] != "none",
        **{name: rows[name] != "" for name in ("reason", "where", "output")},
    }
    columns = {}
    for name in COLUMNS:
        values = rows[name]
        if values.dtype.kind == "f":
            values = values.astype(np.float64).round(3)
        if name in there:
            values = values.astype(object)
            values[~there[name]] = None
        columns[name] = values.tolist()
    return columns
