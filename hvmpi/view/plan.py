"""What a campaign would do, as ``plan`` and ``-t`` print it."""

from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path

from hvmpi.campaign.jobs import Job, Kind
from hvmpi.campaign.ledger import Ledger, fold
from hvmpi.campaign.plan import Plan
from hvmpi.campaign.run import paths_of
from hvmpi.engine import Engine
from hvmpi.errors import UsageError
from hvmpi.settings import Settings
from hvmpi.view.table import print_table

__all__ = ["show_plan"]

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
    number_of_jobs = len(ledger.jobs)
    if not number_of_jobs:
        return
    if not -1 <= settings.show_job < number_of_jobs:
        msg = f"--job {settings.show_job}: the plan has jobs 0 to {number_of_jobs - 1}"
        raise UsageError(msg)
    wanted = number_of_jobs if settings.show_all else min(_FIRST_JOBS, number_of_jobs)
    jobs = [ledger.job(number) for number in islice(range(number_of_jobs), wanted)]
    print()
    print_table(
        ("JOB", "KIND", "EVENT FILE", "SKIP", "FIRST", "EVENTS"),
        [_row(job) for job in jobs],
        right=("JOB", "SKIP", "FIRST", "EVENTS"),
    )
    if wanted < number_of_jobs:
        print(f"... {number_of_jobs - wanted} more jobs; --all prints each")
    _show_commands(ledger.job(_commands_of(settings, ledger)), settings, engine)


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


def _commands_of(settings: Settings, ledger: Ledger) -> int:
    """Choose the job whose commands are shown: the one asked for, else the first with any work."""
    if settings.show_job >= 0:
        return settings.show_job
    kinds = ledger.jobs["kind"].tolist()
    return kinds.index(Kind.RECONSTRUCTION) if Kind.RECONSTRUCTION in kinds else 0


def _row(job: Job) -> tuple[str, ...]:
    return (
        str(job.number),
        job.kind.name.lower(),
        Path(job.event_file.path).name,
        str(job.skip_events),
        str(job.first_event),
        str(job.events),
    )


def _show_commands(job: Job, settings: Settings, engine: Engine) -> None:
    paths = paths_of(Path(settings.run_dir) / _PLACEHOLDER, settings)
    event_file = paths.resolve(job.event_file.path)
    print(f"\ncommands of job {job.number} ({job.kind.name.lower()}):")
    for step in engine.steps(job, event_file, paths.attempt(job.number, job.attempt)):
        words = [f"{name}={shlex.quote(value)}" for name, value in step.environment.items()]
        print(" ".join([*words, shlex.join(step.argv)]))
