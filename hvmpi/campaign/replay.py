"""A journal read again: the ledger that its entries leave, or why they make no sense."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.ledger import Ledger
from hvmpi.errors import JournalError

__all__ = ["fold", "replay"]

_OUTPUT = [str, str, str, int, str]
_UNFIT = (JournalError, LookupError, ValueError, TypeError, ArithmeticError, struct.error)


def replay(path: Path) -> Ledger:
    """Read a journal and give the state that it leaves.

    Raises
    ------
    JournalError
        If the journal cannot be read, or the run ended before its plan was whole.
    """
    ledger = fold(journal.read_entries(path), path)
    if ledger.begun is None:
        msg = f"the journal {str(path)!r} does not begin with run_begun: its first line is gone"
        raise JournalError(msg)
    return ledger


def fold(
    entries: Iterable[journal.Entry],
    path: Path,
    watch: Callable[[Ledger, int, journal.Entry], None] | None = None,
) -> Ledger:
    """Apply the entries of the journal `path` in their order.

    Before each, `watch` is shown the ledger, the line's number and the entry.
    """
    ledger = Ledger()
    for number, entry in enumerate(entries, 1):
        try:
            check = _CHECKS.get(type(entry))
            if check is not None:
                check(ledger, entry)
            if watch is not None:
                watch(ledger, number, entry)
            ledger.apply(entry)
        except _UNFIT as error:
            msg = f"line {number} of the journal {str(path)!r} does not follow: {error}"
            raise JournalError(msg) from error
    if not ledger.plan_complete:
        msg = (
            f"the run {path.parent.name} ended before its plan was written, "
            "so nothing was done in it; start the campaign anew"
        )
        raise JournalError(msg)
    return ledger


# Before it costs memory or counts for another job.


def _check_jobs(ledger: Ledger, entry: journal.JobsPlanned) -> None:
    problem = _senseless_jobs(ledger, entry)
    if problem:
        raise JournalError(problem)


def _check_accepted(ledger: Ledger, entry: journal.Accepted) -> None:
    _check_job(ledger, entry)
    for row in entry.outputs:
        if [type(value) for value in row] != _OUTPUT:
            msg = f"an output of job {entry.job} is not product, part, path, size and SHA-256"
            raise JournalError(msg)


def _check_job(
    ledger: Ledger,
    entry: journal.Started
    | journal.Accepted
    | journal.Published
    | journal.Withdrawn
    | journal.Failed,
) -> None:
    job = entry.job
    if not (isinstance(job, int) and 0 <= job < len(ledger.jobs.states)):
        raise JournalError(
            f"there is no job {job}" if ledger.plan_complete else "the plan is not complete"
        )


def _senseless_jobs(ledger: Ledger, entry: journal.JobsPlanned) -> str:
    kind, row = Kind(entry.kind).name.lower(), entry.event_file
    if entry.job_size < 1 or entry.events < 0:
        return f"{entry.events} events in {kind} jobs of {entry.job_size}"
    if (entry.kind in (Kind.GENERATION, Kind.RECONSTRUCTION)) != (row >= 0):
        return f"{kind} jobs of event file {row}"
    if row >= len(ledger.event_files):
        return f"there is no event file {row}"
    if row < 0:
        return f"more than one {kind} job" if entry.events > entry.job_size else ""
    file = ledger.event_files[row]
    before = ledger.events_read(row) if entry.kind == Kind.RECONSTRUCTION else 0
    if entry.skip != before:
        return (
            f"{kind} jobs of the event file {file.path!r} skip {entry.skip} events, those before "
            f"have {before}"
        )
    have = before + entry.events
    parts = entry.kind == Kind.RECONSTRUCTION and have <= file.events
    if have != file.events and not parts:
        return f"the event file {file.path!r} has {file.events} events, its {kind} jobs have {have}"
    return ""


_CHECKS: dict[type[Any], Callable[[Ledger, Any], None]] = {
    journal.JobsPlanned: _check_jobs,
    journal.Started: _check_job,
    journal.Accepted: _check_accepted,
    journal.Published: _check_job,
    journal.Withdrawn: _check_job,
    journal.Failed: _check_job,
}
"""What no hvmpi wrote is refused by these."""
