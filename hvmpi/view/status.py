"""The status of a run as a table, in the shape of squeue and condor_q."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.overview import MOST_ROWS, Failing, Overview
from hvmpi.campaign.products import products_of
from hvmpi.campaign.standing import Selection, Standing
from hvmpi.campaign.status import StatusFile, look_at_current
from hvmpi.options import BY_NAME
from hvmpi.view.failures import LogPlace, hosts_left_out, title
from hvmpi.view.table import Table, table_of
from hvmpi.view.text import clock, located, paragraph, say_all

__all__ = [
    "failure_lines",
    "job_table",
    "more_lines",
    "show_status",
    "total_lines",
]

_MOST_GROUPS = 10
_MOST_FILES = 5000
"""Files of a directory that are counted: those of a million jobs take longer than all the rest."""

_COLUMNS = ("JOB", "STATE", "TRY", "RANK", "HOST", "EVENTS", "TIME", "RSS", "EXIT", "REASON")
_NUMBERS = ("JOB", "TRY", "RANK", "EVENTS", "TIME", "RSS", "EXIT")
_SHRINK = {"HOST": 12, "REASON": 12}
_SPARE = ("RSS", "EXIT", "RANK", "EVENTS", "TRY", "TIME", "HOST")
_COLOURS = {"failed": "bold red", "running": "cyan", "done": "green"}

_ORDER = (
    Standing.DONE,
    Standing.RUNNING,
    Standing.AHEAD,
    Standing.READY,
    Standing.WAITING,
    Standing.FAILED,
)


def show_status(
    directory: Path, *, selection: Selection | None = None, all_rows: bool = False
) -> None:
    """Print the jobs of a run, its totals, its failures by reason, and where its products are.

    Parameters
    ----------
    directory : Path
        The run.
    selection : Selection, optional
        The jobs to be shown.
    all_rows : bool
        Every one of them, not the most telling ones of a long table.
    """
    look = partial(_show, selection=selection or Selection(), all_rows=all_rows)
    run = look_at_current(directory, look)
    say_all(["", *total_lines(run), *failure_lines(run, _MOST_GROUPS), *_product_lines(run)])


def _show(file: StatusFile, selection: Selection, *, all_rows: bool) -> Overview:
    """Print the jobs, and look at the whole."""
    run = Overview.of(file, selection=selection, most=0 if all_rows else MOST_ROWS)
    if not all_rows or not run.chosen:
        job_table(run.shown).show()
        say_all(more_lines(run, "; --all shows each"))
        return run
    # A table of some thousand after the other, each with its head.
    for jobs in selection.jobs(file):
        if len(jobs):
            job_table(jobs).show()
    return run


def job_table(jobs: npt.NDArray[Any]) -> Table:
    """Lay out rows of `Overview.shown`."""
    rows = map(_row, jobs)
    return table_of(_COLUMNS, rows, _NUMBERS, shrink=_SHRINK, spare=_SPARE, colours=_COLOURS)


def _row(job: npt.NDArray[Any]) -> tuple[str, ...]:
    has_rank = job["rank"] >= 0
    has_ended = has_rank and job["outcome"] != "none"
    is_timed = has_ended or job["state"] == "running"
    return (
        str(job["job"]),
        str(job["state"]),
        str(job["attempts"]),
        str(job["rank"]) if has_rank else "-",
        str(job["host"]) or "-",
        str(job["events"]),
        clock(float(job["wall_s"])) if is_timed else "-",
        f"{job['max_rss_mb']:.0f} MB" if has_ended else "-",
        str(job["exit_code"]) if has_ended else "-",
        str(job["reason"]).partition("\n")[0],
    )


def more_lines(run: Overview, how: str = "") -> list[str]:
    """Say how many jobs are not shown of those that were asked for, and how to see them."""
    more = run.chosen - len(run.shown)
    if not run.chosen:
        return ["there is no such job"]
    return [f"... {more} more jobs{how}"] if more else []


def total_lines(run: Overview) -> list[str]:
    """Tell how far a run is, how fast it goes, and what is left."""
    attributes = run.attributes
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(attributes["updated"]))
    kinds = [
        f"{kind.name.lower()} {run.done[kind]} of {run.jobs[kind]}"
        for kind in Kind
        if run.jobs[kind]
    ]
    sentences = [
        f"run {attributes['timestamp']} {attributes['state']} ({when} UTC)",
        _counted(run),
        _what_goes_on(run),
        f"done: {', '.join(kinds)}" if kinds else "",
        *_speed(run),
        *(f"left out: {line}" for line in hosts_left_out(run.left_out)),
    ]
    return [line for sentence in sentences if sentence for line in paragraph(sentence)]


def _counted(run: Overview) -> str:
    """Count the jobs by where they stand."""
    states = ", ".join(f"{run.states[s]} {s.name.lower()}" for s in _ORDER if run.states[s])
    jobs = run.states.total()
    return f"{jobs} job{'s' * (jobs != 1)}: {states or 'none'}"


def _what_goes_on(run: Overview) -> str:
    """Say what does the rest of a run that ended before its end."""
    left = run.states[Standing.READY] + run.states[Standing.WAITING]
    if run.attributes["state"] == "running" or not left:
        return ""
    return f"ended before the end: rerun {run.attributes['timestamp']} does the rest"


def _speed(run: Overview) -> list[str]:
    """Tell of events, how fast these and jobs get done, and of the time that is left."""
    events = [
        f"{run.events[kind]} {what}"
        for kind, what in ((Kind.GENERATION, "generated"), (Kind.RECONSTRUCTION, "reconstructed"))
        if run.done[kind]
    ]
    speed = run.speed
    rate = [
        f"{per_hour:.0f} {what}/h"
        for per_hour, what in ((speed.jobs_per_hour, "jobs"), (speed.events_per_hour, "events"))
        if per_hour is not None
    ]
    left = ""
    if speed.left_s is not None:
        left = f"left: about {clock(speed.left_s, 0)}"
    elif speed.unknown:
        left = f"left: unknown, {speed.unknown}"
    return [
        f"events: {', '.join(events)}" if events else "",
        "; ".join(filter(None, [f"rate: {', '.join(rate)}" if rate else "", left])),
    ]


def failure_lines(run: Overview, most: int) -> list[str]:
    """Tell of at most so many groups of failures, and where to read of them."""
    lines = [line for group in run.failing[:most] for line in _failing(group)]
    if len(run.failing) > most:
        lines.append(f"... and for {len(run.failing) - most} more reasons")
    for reason in run.put_aside:
        lines += paragraph(f"put aside: {reason}")
    if run.failing:
        directory = run.path.parent
        elsewhere = directory.parent.resolve() != Path(BY_NAME["run-dir"].default).resolve()
        words = [directory.name, *(["--run-dir", str(directory.parent)] if elsewhere else [])]
        command = shlex.join(["python", "-m", "hvmpi", "diagnose", *words])
        lines += located("what to do:", command)
    return lines


def _failing(group: Failing) -> list[str]:
    first = group.first
    if not first["attempts"]:
        # It did not fail itself: what it waits for did.
        reason = " ".join(first["reason"].split())
        return paragraph(f"not started: {group.count} x {reason} (job {first['job']})")
    what = title(group.count, first["outcome"], first["failure"], first["reason"])
    return [*paragraph(f"failed: {what} (job {first['job']})"), f"  {_log(first)}"]


def _log(job: npt.NDArray[Any]) -> str:
    logs, where = Path(str(job["log"])), str(job["where"])
    return str(LogPlace.of(logs, int(job["attempts"]), where) if where else logs)


def _product_lines(run: Overview) -> Iterator[str]:
    for product in products_of(run.path.parent, run.attributes["settings"], _MOST_FILES):
        size = f"{product.files} files, {product.size / 1e6:.1f} MB"
        made = f"more than {_MOST_FILES} files" if product.more else size
        yield from located(f"{product.name}: {made}, in", product.directory)
    yield from located("status:", run.path)
