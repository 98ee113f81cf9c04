"""What a campaign would do, as ``plan`` and ``-t`` print it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np

from hvmpi.campaign.jobs import Job, JobState, Kind
from hvmpi.campaign.ledger import Ledger, fold
from hvmpi.campaign.paths import RunPaths
from hvmpi.campaign.plan import Plan
from hvmpi.campaign.run import paths_of
from hvmpi.engine import Engine
from hvmpi.errors import UsageError
from hvmpi.settings import Settings
from hvmpi.view.table import print_table

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
    paths = paths_of(Path(settings.run_dir) / _PLACEHOLDER, settings)
    _show_jobs(ledger, list(range(len(ledger.jobs))), paths, settings, engine)


def show_rest(ledger: Ledger, paths: RunPaths, settings: Settings, engine: Engine) -> None:
    """Print what a rerun would do: the jobs that are not done."""
    rest = np.flatnonzero(ledger.jobs["state"] != JobState.DONE).tolist()
    print(f"run {paths.timestamp}: {len(rest)} of {len(ledger.jobs)} jobs are not done")
    _show_jobs(ledger, rest, paths, settings, engine)


def _show_jobs(
    ledger: Ledger, numbers: list[int], paths: RunPaths, settings: Settings, engine: Engine
) -> None:
    if not numbers:
        return
    wanted = settings.show_job if settings.show_job >= 0 else _telling(ledger, numbers)
    if settings.show_job < -1 or wanted not in numbers:
        msg = f"--job {settings.show_job}: there are jobs {numbers[0]} to {numbers[-1]}"
        raise UsageError(msg)
    shown = numbers if settings.show_all else numbers[:_FIRST_JOBS]
    print()
    print_table(
        ("JOB", "KIND", "EVENT FILE", "SKIP", "FIRST", "EVENTS"),
        [_row(ledger.job(number)) for number in shown],
        right=("JOB", "SKIP", "FIRST", "EVENTS"),
    )
    if len(shown) < len(numbers):
        print(f"... {len(numbers) - len(shown)} more jobs; --all prints each")
    _show_commands(ledger.job(wanted), paths, engine)


def _telling(ledger: Ledger, numbers: list[int]) -> int:
    """Choose the job whose commands are shown: the first reconstruction, if there is one."""
    kinds = ledger.jobs["kind"]
    return next((n for n in numbers if kinds[n] == Kind.RECONSTRUCTION), numbers[0])


def _show_files(ledger: Ledger) -> None:
    good = [file for file in ledger.event_files if not file.reason]
    events = sum(file.events for file in good)
    generated = int((ledger.jobs["kind"] == Kind.GENERATION).sum())
    rest = len(ledger.jobs) - generated
    print(
        f"{len(good)} event files, {events} events; "
        f"{generated} generation jobs, {rest} reconstruction jobs"
    )
    for file in ledger.event_files:
        if file.reason:
            print(f"put aside: {file.reason}")


def _row(job: Job) -> tuple[str, ...]:
    return (
        str(job.number),
        job.kind.name.lower(),
        Path(job.event_file.path).name,
        str(job.skip_events),
        str(job.first_event),
        str(job.events),
    )


def _show_commands(job: Job, paths: RunPaths, engine: Engine) -> None:
    event_file = paths.resolve(job.event_file.path)
    print(f"\ncommands of job {job.number} ({job.kind.name.lower()}):")
    for step in engine.steps(job, event_file, paths.attempt(job.number, job.attempt)):
        words = [f"{name}={shlex.quote(value)}" for name, value in step.environment.items()]
        print(" ".join([*words, shlex.join(step.argv)]))
