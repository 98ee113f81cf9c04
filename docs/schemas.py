"""The reference of files: products, training files, status.h5 and journal, of the code itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import h5py
import msgspec
import numpy as np
from tables import code, plain, table

from hvmpi.campaign import journal as entries
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.rows import PROFILE_FIELDS
from hvmpi.campaign.snapshot import image_of
from hvmpi.campaign.status import ENUMS, SCHEMA_VERSION
from hvmpi.openchain.evnt import NORMALISATION_FIELDS
from hvmpi.openchain.schemas import (
    AOD,
    EVENT_FIELDS,
    HITS,
    NORMALISATION_UNITS,
    RDO,
    Field,
    Schema,
)
from hvmpi.training.columns import DATASETS

__all__ = ["journal", "products", "status", "training"]

_FIELDS = ("array", "type", "unit", "meaning")


def products() -> str:
    """Make a section a kind of product, and in it a table a collection."""
    parts = [
        _product(title, schema) for title, schema in (("AOD", AOD), ("RDO", RDO), ("HITS", HITS))
    ]
    common = "## In each of them\n\n### events\n\n" + _fields(EVENT_FIELDS)
    rows = [
        (code(name), code(kind), plain(NORMALISATION_UNITS.get(name, "1")))
        for name, kind in NORMALISATION_FIELDS
    ]
    common += "\n### normalisation\n\n" + table(("column", "type", "unit"), rows)
    return "\n".join([*parts, common])


def _product(title: str, schema: Schema) -> str:
    lines = [f"## {title}\n", f"Schema {code(schema.name)}, version {schema.version}.\n"]
    for name, fields in schema.collections.items():
        if schema is not AOD and AOD.collections.get(name) == fields:
            lines.append(f"{code(name)}: as in the AOD.\n")
        else:
            lines += [f"### {title}: {name}\n", _fields(fields)]
    return "\n".join(lines)


def _fields(fields: Iterable[Field]) -> str:
    rows = (
        (code(field.name), code(field.dtype), plain(field.unit), plain(field.meaning))
        for field in fields
    )
    return table(_FIELDS, rows)


def training() -> str:
    """Make a table a dataset of a training file."""
    parts = []
    for name, dataset in DATASETS.items():
        shape = "one row a jet" if not dataset.slots else f"{dataset.slots} slots a jet"
        parts.append(f"### {name}\n\n{shape[0].upper()}{shape[1:]}.\n\n{_fields(dataset.fields)}")
    return "\n".join(parts)


_COLUMNS: Mapping[str, str] = {
    "attempt": "number of the attempt, from 1",
    "attempts": "attempts so far",
    "batch": "batch, from 1; 0: a file that no campaign of ours made",
    "command_line": "what it was started with",
    "cpu_s": "CPU time, s",
    "decision": "row of `reasons`: what was decided after a failure",
    "event_file": "row of `event_files`; -1: none",
    "events": "events that it has, or is to have",
    "events_out": "events that it delivered",
    "exit_code": "of the step that ended it",
    "failure": "class of a failure: what it says of another attempt",
    "first_event": "event number of its first event",
    "host": "row of `hosts`; in `left_out` the name",
    "job": "number of the job, from 0",
    "job_size": "events in a job, as its row of the plan has it",
    "kind": "what it makes",
    "max_rss_mb": "peak memory, MB",
    "name": "the text",
    "outcome": "how the attempt ended",
    "part": "what the time was spent on",
    "path": "relative to the run where it lies in there",
    "rank": "MPI rank; -1: none",
    "reason": "row of `reasons`; in `event_files` and `left_out` the text",
    "run_number": "run number",
    "sample": "name of the sample",
    "sha256": "SHA-256, hexadecimal; empty before it is made",
    "signal": "signal that ended it; 0: none",
    "size": "bytes; -1 before it is made",
    "skip_events": "events of the file that the job passes over",
    "started": "Unix seconds; 0: not started",
    "state": "where the job stands",
    "stem": "what the names of its products begin with",
    "step": "name of the step; in `profile` a row of `step_names`",
    "text": "the text",
    "time": "Unix seconds",
    "wall_s": "wall time, s",
    "where": "row of `places`: the log that tells of a failure, and its line",
}
"""What the columns of status.h5 mean; a column that is not here is an error of the build."""

_ATTRIBUTES: Mapping[str, str] = {
    "command_line": "what the run was started with",
    "ended": "why the run ended before its end; empty if it did not",
    "hvmpi_version": "version that wrote the file",
    "launches": "starts of the run so far",
    "schema": "`hvmpi-status`",
    "schema_version": f"{SCHEMA_VERSION}",
    "settings": "all settings, JSON",
    "started": "Unix seconds",
    "state": "running, complete or incomplete",
    "timestamp": "name of the run",
    "updated": "Unix seconds",
    "versions": "of hvmpi and the libraries in the newest start, JSON",
}


def status() -> str:
    """Make the tables of status.h5, of a file that hvmpi writes."""
    with h5py.File(image_of(Ledger(), {}, "running"), "r") as file:
        attributes = table(
            ("attribute", "meaning"), ((code(name), _ATTRIBUTES[name]) for name in file.attrs)
        )
        tables = {name: file[name].dtype for name in file}
    tables["profile"] = np.dtype(PROFILE_FIELDS)
    parts = ["### Root attributes\n", attributes]
    for name in ("jobs", "attempts", "steps", "event_files", *sorted(tables)):
        if (dtype := tables.pop(name, None)) is not None:
            parts += [f"### {name}\n", _columns(dtype)]
    parts.append("### Values of enums\n")
    rows = (
        (code(name), ", ".join(f"{member.value} {member.name.lower()}" for member in enum))
        for name, enum in ENUMS.items()
    )
    parts.append(table(("column", "values"), rows))
    return "\n".join(parts)


def _columns(dtype: np.dtype[Any]) -> str:
    rows = [
        (code(name), "text" if kind.kind == "S" else code(kind.str.lstrip("<|")), _COLUMNS[name])
        for name in dtype.names or ()
        for kind in [dtype[name]]
    ]
    return table(("column", "type", "meaning"), rows)


def journal() -> str:
    """Make a section an entry of the journal."""
    parts = []
    for entry in get_args(entries.Entry):
        rows = [
            (code(field.encode_name), code(getattr(field.type, "__name__", str(field.type))))
            for field in msgspec.structs.fields(entry)
        ]
        name, said = entry.type, inspect.getdoc(entry) or ""
        parts += [f"### {name}\n", said.replace("``", "`") + "\n", table(("field", "type"), rows)]
    return "\n".join(parts)
