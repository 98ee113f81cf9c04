"""The status of a run as a table, in the shape of squeue and condor_q."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.overview import Failing, Overview
from hvmpi.campaign.products import products_of
from hvmpi.campaign.status import look_at_current
from hvmpi.options import BY_NAME
from hvmpi.view.failures import LogPlace, hosts_left_out, title
from hvmpi.view.table import print_table
from hvmpi.view.text import say

__all__ = ["show_status"]

_MOST_GROUPS = 10
_MOST_FILES = 5000
"""Files of a directory that are counted: those of a million jobs take longer than all the rest."""

_STATES = ("done", "running", "given ahead", "ready", "waiting", "failed")


def show_status(directory: Path, *, state: str | None = None, all_rows: bool = False) -> None:
    """Print the jobs of a run, its totals, its failures by reason, and where its products are.

    Parameters
    ----------
    directory : Path
        The run.
    state : str, optional
        Only jobs in that state.
    all_rows : bool
        Every job, not the most telling ones of a long table.
    """
    chosen = None if state is None else JobState[state.upper()]
    run = look_at_current(directory, partial(Overview.of, state=chosen, all_rows=all_rows))
    print_table(
        ("JOB", "KIND", "STATE", "TRY", "RANK", "HOST", "EVENTS", "TIME", "RSS", "EXIT", "REASON"),
        map(_row, run.shown),
        right=("JOB", "TRY", "RANK", "EVENTS", "TIME", "RSS", "EXIT"),
    )
    if len(run.shown) < run.chosen:
        print(f"... {run.chosen - len(run.shown)} more jobs; --all shows each")
    print()
    print(_totals(run))
    for line in hosts_left_out(run.left_out):
        say(f"left out: {line}")
    _show_failures(run)
    _show_products(run)


def _row(job: npt.NDArray[Any]) -> tuple[str, ...]:
    ran = job["attempts"] > 0
    ended = job["state"] in ("done", "failed") or job["outcome"] != "none"

    def if_ran(text: Callable[[], str], condition: bool = bool(ended and ran)) -> str:
        return text() if condition else "-"

    return (
        str(job["job"]),
        str(job["kind"]),
        str(job["state"]),
        str(job["attempts"]),
        str(job["rank"]) if ran else "-",
        str(job["host"]) or "-",
        str(job["events"]),
        if_ran(lambda: f"{job['wall_s']:.1f} s"),
        if_ran(lambda: f"{job['max_rss_mb']:.0f} MB"),
        if_ran(lambda: str(job["exit_code"])),
        _first_line(str(job["reason"])),
    )


def _first_line(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= 100 else line[:97] + "..."


def _totals(run: Overview) -> str:
    count = Counter({state.name.lower(): jobs for state, jobs in run.states.items()})
    # A rank runs one of the jobs that it has.
    count["given ahead"] = count["running"] - run.busy
    count["running"] = run.busy
    states = ", ".join(f"{count[state]} {state}" for state in _STATES if count[state])
    events = [
        f"{run.events[kind]} events {what}"
        for kind, what in ((Kind.GENERATION, "generated"), (Kind.RECONSTRUCTION, "reconstructed"))
        if run.done[kind]
    ]
    attributes = run.attributes
    elapsed = attributes["updated"] - attributes["started"]
    rate = f"{3600 * run.states[JobState.DONE] / elapsed:.0f} jobs/h" if elapsed > 0 else ""
    summary = [f"{run.states.total()} jobs: {states or 'none'}", *events, rate]
    line = "; ".join(part for part in summary if part)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(attributes["updated"]))
    return f"run {attributes['timestamp']} {attributes['state']} ({when} UTC): {line}"


def _show_failures(run: Overview) -> None:
    for group in run.failing[:_MOST_GROUPS]:
        say(_failing(group))
    if len(run.failing) > _MOST_GROUPS:
        print(f"... and for {len(run.failing) - _MOST_GROUPS} more reasons")
    for reason in run.put_aside:
        say(f"put aside: {reason}")
    if run.failing:
        directory = run.path.parent
        elsewhere = directory.parent.resolve() != Path(BY_NAME["run-dir"].default).resolve()
        words = [directory.name, *(["--run-dir", str(directory.parent)] if elsewhere else [])]
        print(f"what to do: {shlex.join(['python', '-m', 'hvmpi', 'diagnose', *words])}")


def _failing(group: Failing) -> str:
    first = group.first
    if not first["attempts"]:
        # It did not fail itself: what it waits for did.
        reason = " ".join(first["reason"].split())
        return f"not started: {group.count} x {reason} (job {first['job']})"
    what = title(group.count, first["outcome"], first["failure"], first["reason"])
    return f"failed: {what}; see {_log(first)} (job {first['job']})"


def _log(job: npt.NDArray[Any]) -> str:
    logs, where = Path(str(job["log"])), str(job["where"])
    return str(LogPlace.of(logs, int(job["attempts"]), where) if where else logs)


def _show_products(run: Overview) -> None:
    for product in products_of(run.path.parent, run.attributes["settings"], _MOST_FILES):
        if product.more:
            print(f"{product.name}: more than {_MOST_FILES} files, in {product.directory}")
        else:
            size_mb = product.size / 1e6
            print(
                f"{product.name}: {product.files} files, {size_mb:.1f} MB, in {product.directory}"
            )
    print(f"status: {run.path}")
