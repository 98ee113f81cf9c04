"""What a campaign would do, as ``plan`` and ``-t`` print it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Job, JobState, Kind
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.paths import RunPaths
from hvmpi.campaign.plan import Plan, PlannedLibrary
from hvmpi.campaign.replay import fold
from hvmpi.campaign.run import paths_of
from hvmpi.engine import Engine, Inputs
from hvmpi.errors import UsageError
from hvmpi.settings import Settings
from hvmpi.view.table import print_table
from hvmpi.view.text import say

__all__ = ["show_plan", "show_rest"]

_FIRST_JOBS = 20
_PLACEHOLDER = "TIMESTAMP"


def show_plan(plan: Plan, settings: Settings, engine: Engine) -> None:
    """Print totals, the first jobs (all with ``--all``), and the commands of one job, unwrapped."""
    ledger = fold(plan.entries(), Path(settings.run_dir) / _PLACEHOLDER / "journal.jsonl")
    for sample in plan.samples:
        print(
            f"sample {sample.name}: process {sample.process}, run number {sample.run_number}, "
            f"{sample.num_batches} event files of {sample.batch_size} events"
        )
    _show_files(ledger)
    if plan.library is not None:
        _show_library(plan.library, ledger, settings.pileup_mu)
    paths = paths_of(Path(settings.run_dir) / _PLACEHOLDER, settings)
    _show_jobs(ledger, np.arange(len(ledger.jobs)), paths, settings, engine)


def show_rest(ledger: Ledger, paths: RunPaths, settings: Settings, engine: Engine) -> None:
    """Print what a rerun would do: the jobs that are not done."""
    rest = np.flatnonzero(ledger.jobs["state"] != JobState.DONE)
    print(f"run {paths.timestamp}: {len(rest)} of {len(ledger.jobs)} jobs are not done")
    _show_jobs(ledger, rest, paths, settings, engine)


def _show_jobs(
    ledger: Ledger,
    numbers: npt.NDArray[np.integer],
    paths: RunPaths,
    settings: Settings,
    engine: Engine,
) -> None:
    if not len(numbers):
        return
    wanted = settings.show_job if settings.show_job >= 0 else int(numbers[0])
    if settings.show_job < -1 or wanted not in numbers:
        msg = f"--job {settings.show_job}: there are jobs {numbers[0]} to {numbers[-1]}"
        raise UsageError(msg)
    shown = (numbers if settings.show_all else numbers[:_FIRST_JOBS]).tolist()
    print()
    print_table(
        ("JOB", "KIND", "EVENT FILE", "SKIP", "FIRST", "EVENTS"),
        [_row(ledger.job(number)) for number in shown],
        right=("JOB", "SKIP", "FIRST", "EVENTS"),
    )
    if len(shown) < len(numbers):
        print(f"... {len(numbers) - len(shown)} more jobs; --all prints each")
    for number in [wanted] if settings.show_job >= 0 else _telling(ledger, numbers):
        _show_commands(ledger.job(number), paths, settings, engine)


def _telling(ledger: Ledger, numbers: npt.NDArray[np.integer]) -> list[int]:
    """Choose the jobs whose commands are shown: the first generation and reconstruction."""
    kinds = ledger.jobs["kind"][numbers]
    firsts = [
        numbers[kinds == kind][:1].tolist() for kind in (Kind.GENERATION, Kind.RECONSTRUCTION)
    ]
    return [number for first in firsts for number in first] or numbers[:1].tolist()


def _show_files(ledger: Ledger) -> None:
    good = [file for file in ledger.event_files if not file.reason]
    events = sum(file.events for file in good)
    count = {kind: int((ledger.jobs["kind"] == kind).sum()) for kind in Kind}
    others = "".join(
        f", {count[kind]} {kind.name.lower()} job"
        for kind in (Kind.LIBRARY, Kind.MERGE)
        if count[kind]
    )
    print(
        f"{len(good)} event files, {events} events; {count[Kind.GENERATION]} generation jobs, "
        f"{count[Kind.RECONSTRUCTION]} reconstruction jobs{others}"
    )
    for file in ledger.event_files:
        if file.reason:
            say(f"put aside: {file.reason}")


def _show_library(library: PlannedLibrary, ledger: Ledger, mu: float) -> None:
    jobs = ledger.jobs
    events = int(jobs["events"][jobs["kind"] == Kind.RECONSTRUCTION].sum())
    times = events * mu / library.events
    print(
        f"pile-up: {mu:g} interactions a crossing, from {library.path or 'a library'} of "
        f"{library.events} events: a library event is overlaid about {times:.3g} times in the "
        "events' own crossings"
    )


def _row(job: Job) -> tuple[str, ...]:
    of_file = (Path(job.event_file.path).name, str(job.skip_events), str(job.first_event))
    return (
        str(job.number),
        job.kind.name.lower(),
        *(of_file if job.has_event_file else ("-", "-", "-")),
        str(job.events),
    )


def _show_commands(job: Job, paths: RunPaths, settings: Settings, engine: Engine) -> None:
    inputs = Inputs.of(job, paths, settings)
    print(f"\ncommands of job {job.number} ({job.kind.name.lower()}):")
    for step in engine.steps(job, inputs, paths.attempt(job.number, job.attempt)):
        if step.note:
            print(f"# {step.note}".replace("\n", "\n# "))
        if step.command:
            print(shlex.join(step.command))
            continue
        words = [f"{name}={shlex.quote(value)}" for name, value in step.environment.items()]
        print(" ".join([*words, shlex.join(step.argv)]))
