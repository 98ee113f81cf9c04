"""The status of a run as a table, in the shape of squeue and condor_q."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.paths import PRODUCTS, RunPaths
from hvmpi.campaign.status import Status, read_current_status
from hvmpi.options import BY_NAME
from hvmpi.view.failures import LogPlace, group_failures, hosts_left_out
from hvmpi.view.table import print_table
from hvmpi.view.text import say

__all__ = ["show_status"]

_MOST_ROWS = 40
_MOST_GROUPS = 10
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
    status = read_current_status(directory)
    jobs = status.jobs if state is None else status.jobs[status.jobs["state"] == state]
    shown = jobs if all_rows or len(jobs) <= _MOST_ROWS else _most_telling(jobs)
    print_table(
        ("JOB", "KIND", "STATE", "TRY", "RANK", "HOST", "EVENTS", "TIME", "RSS", "EXIT", "REASON"),
        [_row(job) for job in shown],
        right=("JOB", "TRY", "RANK", "EVENTS", "TIME", "RSS", "EXIT"),
    )
    if len(shown) < len(jobs):
        print(f"... {len(jobs) - len(shown)} more jobs; --all shows each")
    print()
    print(_totals(status))
    for line in hosts_left_out(status.left_out[["host", "reason"]].tolist()):
        say(f"left out: {line}")
    _show_failures(status)
    _show_products(status)


def _most_telling(jobs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    order = {"failed": 0, "running": 1, "ready": 2, "waiting": 3, "done": 4}
    rank = np.array([order[state] for state in jobs["state"]])
    return np.sort(jobs[np.argsort(rank, kind="stable")[:_MOST_ROWS]], order="job")


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


def _totals(status: Status) -> str:
    jobs = status.jobs
    count = Counter(jobs["state"].tolist())
    # A rank runs one of the jobs that it has.
    running = len(set(jobs["rank"][jobs["state"] == "running"].tolist()))
    count["given ahead"] = count["running"] - running
    count["running"] = running
    states = ", ".join(f"{count[state]} {state}" for state in _STATES if count[state])
    done = jobs[jobs["state"] == "done"]
    events = [
        f"{int(done['events_out'][done['kind'] == kind].sum())} events {what}"
        for kind, what in (("generation", "generated"), ("reconstruction", "reconstructed"))
        if kind in done["kind"]
    ]
    attributes = status.attributes
    elapsed = attributes["updated"] - attributes["started"]
    rate = f"{3600 * count['done'] / elapsed:.0f} jobs/h" if elapsed > 0 else ""
    summary = [f"{len(jobs)} jobs: {states or 'none'}", *events, rate]
    line = "; ".join(part for part in summary if part)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(attributes["updated"]))
    return f"run {attributes['timestamp']} {attributes['state']} ({when} UTC): {line}"


def _show_failures(status: Status) -> None:
    failed = status.jobs[status.jobs["state"] == "failed"]
    groups = group_failures(failed[failed["attempts"] > 0])
    groups += group_failures(failed[failed["attempts"] == 0])
    for group in groups[:_MOST_GROUPS]:
        first = group.rows[0]
        if first["attempts"]:
            say(f"failed: {group.title}; see {_log(first)} (job {first['job']})")
        else:
            # It did not fail itself: what it waits for did.
            reason = " ".join(group.reason.split())
            say(f"not started: {len(group.rows)} x {reason} (job {first['job']})")
    if len(groups) > _MOST_GROUPS:
        print(f"... and for {len(groups) - _MOST_GROUPS} more reasons")
    for file in status.event_files[status.event_files["reason"] != ""][:10]:
        say(f"put aside: {file['reason']}")
    if groups:
        run = status.path.parent
        elsewhere = run.parent.resolve() != Path(BY_NAME["run-dir"].default).resolve()
        words = [run.name, *(["--run-dir", str(run.parent)] if elsewhere else [])]
        print(f"what to do: {shlex.join(['python', '-m', 'hvmpi', 'diagnose', *words])}")


def _log(job: npt.NDArray[Any]) -> str:
    logs, where = Path(str(job["log"])), str(job["where"])
    return str(LogPlace.of(logs, int(job["attempts"]), where) if where else logs)


def _show_products(status: Status) -> None:
    settings = status.attributes["settings"]
    directory = status.path.parent
    paths = RunPaths.of(directory, evnt_dir=settings["evnt-dir"], aod_dir=settings["aod-dir"])
    for product in PRODUCTS:
        if product == "evnt" and settings["verb"] == "reconstruct":
            continue
        folder = paths.product_directory(product)
        files = [
            path
            for path in folder.glob("[!.]*")
            if path.is_file()
            and path.suffix != ".json"
            # Derivations lie beside what they were derived from.
            and path.name.startswith("DAOD_") == (product == "daod")
        ]
        if files:
            size = sum(path.stat().st_size for path in files) / 1e6
            print(f"{product}: {len(files)} files, {size:.1f} MB, in {folder}")
    print(f"status: {status.path}")
