"""What became of every job, in memory: the journal's entries applied one by one.

The master writes an entry and applies it; a later start reads the entries and applies them. Both
go through `Ledger.apply`, so that what is remembered and what is on disk cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import structs

from hvmpi.campaign import journal
from hvmpi.campaign.dependencies import Dependencies
from hvmpi.campaign.jobs import (
    NO_EVENT_FILE,
    EventFile,
    FailureClass,
    Job,
    JobState,
    Kind,
    Outcome,
    check_transition,
)
from hvmpi.campaign.ready import Ready, ReadyJobs
from hvmpi.campaign.retry import Budget, Spent, budget_of, goes_elsewhere
from hvmpi.campaign.rows import ATTEMPT_FIELDS, JOB_FIELDS, STEP_FIELDS, Rows, Texts
from hvmpi.errors import JournalError

__all__ = ["Ledger", "fold", "replay"]

_OUTPUT = [str, str, str, int, str]


class Ledger:
    """The state of a campaign.

    Attributes
    ----------
    begun : journal.RunBegun or None
    event_files : list of EventFile
    library : journal.LibraryListed or None
        The minimum-bias library, if it was made before.
    jobs : ndarray of shape (n_jobs,)
        `JOB_FIELDS`.
    counts : dict of JobState to int
    left_out : list of journal.LeftOut
        Ranks that got no jobs from the newest launch.
    """

    def __init__(self) -> None:
        self.begun: journal.RunBegun | None = None
        self.ended: journal.Ended | None = None
        self.plan_complete = False
        self.event_files: list[EventFile] = []
        self.library: journal.LibraryListed | None = None
        self.jobs: npt.NDArray[Any] = np.zeros(0, dtype=JOB_FIELDS)
        self.counts: dict[JobState, int] = dict.fromkeys(JobState, 0)
        self.accepted: dict[int, journal.Accepted] = {}
        self.launches: list[str] = []
        self.left_out: list[journal.LeftOut] = []
        self._planned: list[npt.NDArray[Any]] = []
        self._n_planned = 0
        self._job_sizes: list[int] = []
        self._after: list[list[int]] = []
        self._dependencies = Dependencies([], [])
        self._ready = ReadyJobs(self.jobs)
        self._attempts = Rows(ATTEMPT_FIELDS)
        self._steps = Rows(STEP_FIELDS)
        self._hosts = Texts()
        self._reasons = Texts()
        self._places = Texts()
        self._step_names = Texts()
        self._open: dict[int, int] = {}
        self._charged: npt.NDArray[np.uint16] = np.zeros(0, dtype=np.uint16)
        self._lost: npt.NDArray[np.uint16] = np.zeros(0, dtype=np.uint16)
        self._jobs_of_file: dict[int, list[tuple[int, int]]] = {}
        self._appliers = {
            journal.RunBegun: self._run_begun,
            journal.EventFileListed: self._event_file,
            journal.LibraryListed: self._library,
            journal.JobsPlanned: self._jobs_planned,
            journal.PlanComplete: self._plan_complete,
            journal.Resumed: self._resumed,
            journal.Started: self._started,
            journal.Accepted: self._accepted,
            journal.Published: self._published,
            journal.Withdrawn: self._withdrawn,
            journal.Failed: self._failed,
            journal.FilePutAside: self._put_aside,
            journal.Barred: self._barred,
            journal.LeftOut: self.left_out.append,
            journal.Ended: self._ended,
        }

    def apply(self, entry: journal.Entry) -> None:
        """Take an entry into account; a repeated result of an attempt is passed over."""
        self._appliers[type(entry)](entry)  # type: ignore[operator]

    # What is asked of it

    @property
    def attempts(self) -> npt.NDArray[Any]:
        """All attempts so far, `ATTEMPT_FIELDS`."""
        return self._attempts.view

    @property
    def steps(self) -> npt.NDArray[Any]:
        """All steps so far, `STEP_FIELDS`."""
        return self._steps.view

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts that rows refer to."""
        return self._hosts.texts

    @property
    def reasons(self) -> list[str]:
        """Texts of the reasons and decisions that rows refer to."""
        return self._reasons.texts

    @property
    def places(self) -> list[str]:
        """Logs, with lines, that rows refer to."""
        return self._places.texts

    @property
    def step_names(self) -> list[str]:
        """Names of the steps that rows refer to."""
        return self._step_names.texts

    @property
    def unfinished(self) -> int:
        """Jobs that are neither done nor failed for good."""
        return len(self.jobs) - self.counts[JobState.DONE] - self.counts[JobState.FAILED]

    @property
    def stuck(self) -> bool:
        """Whether all jobs that are left wait for some that failed for good."""
        counts = self.counts
        under_way = counts[JobState.READY] + counts[JobState.RUNNING]
        return counts[JobState.WAITING] > 0 and under_way == 0

    @property
    def files_put_aside(self) -> int:
        """Event files that are not fit for use."""
        return sum(1 for file in self.event_files if file.reason)

    def state(self, job: int) -> JobState:
        """Give the state of a job."""
        return JobState(int(self.jobs["state"][job]))

    def waiting_on(self, job: int) -> int:
        """Count the jobs that must be done before this one can start, and are not."""
        return self._dependencies.unmet(job)

    def spent(self, job: int) -> Spent:
        """Count the attempts that were used up since a person last started the run."""
        return Spent(int(self._charged[job]), int(self._lost[job]))

    def running_attempt(self, job: int) -> int | None:
        """Give the number of the attempt that is under way; None when there is none."""
        row = self._open.get(job)
        return None if row is None else int(self.attempts["attempt"][row])

    def running(self) -> list[int]:
        """List the jobs that are under way."""
        return sorted(self._open)

    def ready(self) -> list[Ready]:
        """Give the ready job of the lowest number of each kind and hosts to avoid, lowest first."""
        return self._ready.heads()

    def first_ready(self, ready: Ready, most: int) -> list[int]:
        """Give a job of `ready`, and those of its kind that are next behind it."""
        return self._ready.first(ready, most)

    def hold(self, job: int) -> None:
        """Keep a job that is ready from being given out; no state of the campaign's: a pause."""
        self._ready.hold(job)

    def release(self, job: int) -> None:
        """Give a job free that was held."""
        self._ready.release(job)

    def kinds_left(self) -> list[Kind]:
        """List the kinds of the jobs that are not done."""
        kinds = np.unique(self.jobs["kind"][self.jobs["state"] != JobState.DONE])
        return [Kind(int(kind)) for kind in kinds]

    def job(self, number: int) -> Job:
        """Describe a job as its next attempt."""
        row = self.jobs[number]
        return Job(
            number=number,
            kind=Kind(int(row["kind"])),
            attempt=int(row["attempts"]) + 1,
            event_file=self._file(int(row["event_file"])),
            skip_events=int(row["skip_events"]),
            first_event=int(row["first_event"]),
            events=int(row["events"]),
            job_size=self._job_sizes[self._dependencies.row(number)],
        )

    def jobs_of_file(self, event_file: int) -> list[int]:
        """List the jobs that read an event file."""
        ranges = self._jobs_of_file.get(event_file, ())
        return [job for first, last in ranges for job in range(first, last)]

    def _file(self, event_file: int) -> EventFile:
        return NO_EVENT_FILE if event_file < 0 else self.event_files[event_file]

    # Plan

    def _run_begun(self, entry: journal.RunBegun) -> None:
        self.begun = entry
        self.launches.append(entry.launch)

    def _event_file(self, entry: journal.EventFileListed) -> None:
        self.event_files.append(EventFile(**structs.asdict(entry)))

    def _library(self, entry: journal.LibraryListed) -> None:
        self.library = entry

    def _jobs_planned(self, entry: journal.JobsPlanned) -> None:
        skip = np.arange(0, entry.events, entry.job_size, dtype=np.int64)
        rows = np.zeros(len(skip), dtype=JOB_FIELDS)
        first = self._n_planned
        self._n_planned += len(skip)
        file = self._file(entry.event_file)
        rows["job"] = np.arange(first, self._n_planned)
        rows["kind"] = entry.kind
        rows["state"] = JobState.WAITING if entry.after else JobState.READY
        rows["run_number"] = file.run_number
        rows["event_file"] = entry.event_file
        rows["skip_events"] = skip
        rows["first_event"] = entry.numbers or file.first_event + skip
        rows["events"] = np.minimum(entry.job_size, entry.events - skip)
        for field in ("events_out", "host", "rank", "reason", "where"):
            rows[field] = -1
        self._planned.append(rows)
        self._job_sizes.append(entry.job_size)
        self._after.append(entry.after)
        if entry.kind == Kind.RECONSTRUCTION:
            self._jobs_of_file.setdefault(entry.event_file, []).append((first, self._n_planned))

    def _plan_complete(self, entry: journal.PlanComplete) -> None:
        self.jobs = (
            np.concatenate(self._planned) if self._planned else np.zeros(0, dtype=JOB_FIELDS)
        )
        if len(self.jobs) != entry.jobs or len(self.event_files) != entry.event_files:
            msg = (
                f"the lines before it plan {len(self.jobs)} jobs and {len(self.event_files)} event "
                f"files, it says {entry.jobs} and {entry.event_files}"
            )
            raise JournalError(msg)
        self._dependencies = Dependencies([len(rows) for rows in self._planned], self._after)
        self._planned.clear()
        self._after.clear()
        self._charged = np.zeros(len(self.jobs), dtype=np.uint16)
        self._lost = np.zeros(len(self.jobs), dtype=np.uint16)
        for state in JobState:
            self.counts[state] = int(np.count_nonzero(self.jobs["state"] == state))
        self._ready = ReadyJobs(self.jobs)
        self.plan_complete = True

    # Attempts

    def _move(self, job: int, after: JobState) -> None:
        before = self.state(job)
        check_transition(job, before, after)
        self.jobs["state"][job] = after
        self.counts[before] -= 1
        self.counts[after] += 1
        if after is JobState.READY:
            self._ready.push(job)
        elif after in (JobState.DONE, JobState.FAILED):
            self._ready.forget(job)

    def _started(self, entry: journal.Started) -> None:
        self._move(entry.job, JobState.RUNNING)
        row = self.jobs[entry.job]
        host = self._hosts.row(entry.host)
        row["attempts"] = entry.attempt
        row["host"] = host
        row["rank"] = entry.rank
        row["started"] = entry.time
        for field in ("outcome", "failure", "wall_s", "cpu_s", "max_rss_mb", "exit_code"):
            row[field] = 0
        for field in ("reason", "where"):
            row[field] = -1
        blank = (0.0, 0.0, 0.0, 0, 0, Outcome.NONE, FailureClass.NONE, -1, -1, -1)
        self._open[entry.job] = self._attempts.append(
            (entry.job, entry.attempt, host, entry.rank, entry.time, *blank)
        )

    def _close(
        self,
        entry: journal.Accepted | journal.Failed,
        outcome: Outcome,
        exit_code: int,
        signal: int,
    ) -> bool:
        open_row = self._open.get(entry.job)
        if open_row is None or self.attempts["attempt"][open_row] != entry.attempt:
            return False
        del self._open[entry.job]
        cpu_s = sum(step[2] for step in entry.steps)
        max_rss_mb = max((step[3] for step in entry.steps), default=0.0)
        reason = self._reasons.row(entry.reason)
        for row in (self._attempts.view[open_row], self.jobs[entry.job]):
            if entry.began:
                row["started"] = entry.began
            row["wall_s"] = entry.wall_s
            row["cpu_s"] = cpu_s
            row["max_rss_mb"] = max_rss_mb
            row["exit_code"] = exit_code
            row["outcome"] = outcome
            row["reason"] = reason
            if isinstance(entry, journal.Failed):
                row["failure"] = entry.failure
                row["where"] = self._places.row(entry.where)
        attempt = self._attempts.view[open_row]
        attempt["signal"] = signal
        if isinstance(entry, journal.Failed):
            attempt["decision"] = self._reasons.row(entry.decision)
        for step in entry.steps:
            self._steps.append((entry.job, entry.attempt, self._step_names.row(step[0]), *step[1:]))
        return True

    def _accepted(self, entry: journal.Accepted) -> None:
        if self._close(entry, Outcome.DONE, 0, 0):
            self.jobs["events_out"][entry.job] = entry.events_out
            self.accepted[entry.job] = entry

    def _published(self, entry: journal.Published) -> None:
        accepted = self.accepted.pop(entry.job, None)
        if accepted is None:
            return
        self._move(entry.job, JobState.DONE)
        for product, _, _, size, sha256 in accepted.outputs:
            if product == "evnt":
                row = int(self.jobs["event_file"][entry.job])
                self.event_files[row] = replace(self.event_files[row], size=size, sha256=sha256)
        for job in self._dependencies.done(entry.job):
            if self.state(job) is JobState.WAITING:
                self._move(job, JobState.READY)

    def _withdrawn(self, entry: journal.Withdrawn) -> None:
        if self.accepted.pop(entry.job, None) is None:
            return
        attempts = self.attempts
        row = np.flatnonzero(
            (attempts["job"] == entry.job) & (attempts["attempt"] == entry.attempt)
        )
        reason = self._reasons.row(entry.reason)
        for place in (attempts[row[-1] :], self.jobs[entry.job : entry.job + 1]):
            place["outcome"][0] = Outcome.OUTPUT_INVALID
            place["reason"][0] = reason
        attempts["decision"][row[-1]] = self._reasons.row(entry.decision)
        self.jobs["events_out"][entry.job] = -1
        self._charged[entry.job] += 1
        self._move(entry.job, JobState.READY if entry.again else JobState.FAILED)

    def _failed(self, entry: journal.Failed) -> None:
        outcome = Outcome(entry.outcome)
        if self._close(entry, outcome, entry.exit_code, entry.signal):
            failure = FailureClass(entry.failure)
            if goes_elsewhere(outcome, failure):
                self._ready.avoid(entry.job, int(self.jobs["host"][entry.job]))
            elif outcome is not Outcome.INTERRUPTED:
                self._ready.forget(entry.job)
            self._move(entry.job, JobState.READY if entry.again else JobState.FAILED)
            budget = budget_of(outcome, failure)
            self._charged[entry.job] += budget is Budget.PAYLOAD
            self._lost[entry.job] += budget is Budget.LOST

    def _put_aside(self, entry: journal.FilePutAside) -> None:
        file = self.event_files[entry.event_file]
        self.event_files[entry.event_file] = replace(file, reason=entry.reason)
        self._cannot_start(
            (
                job
                for job in self.jobs_of_file(entry.event_file)
                if self.state(job) in (JobState.WAITING, JobState.READY)
            ),
            entry.reason,
        )

    def _barred(self, entry: journal.Barred) -> None:
        waiting = (self.jobs["kind"] == entry.kind) & (self.jobs["state"] == JobState.WAITING)
        self._cannot_start(np.flatnonzero(waiting).tolist(), entry.reason)

    def _cannot_start(self, jobs: Iterable[int], reason: str) -> None:
        row = self._reasons.row(reason)
        for job in jobs:
            self._move(job, JobState.FAILED)
            self.jobs["outcome"][job] = Outcome.BAD_INPUT
            self.jobs["failure"][job] = FailureClass.NONE
            self.jobs["reason"][job] = row
            self.jobs["where"][job] = -1

    # Beginning and end

    def _resumed(self, entry: journal.Resumed) -> None:
        self.ended = None
        self.left_out.clear()
        self.launches.append(entry.launch)
        reason = self._reasons.row(entry.reason)
        for job, row in list(self._open.items()):
            attempt = self._attempts.view[row]
            attempt["outcome"] = Outcome.INTERRUPTED
            attempt["reason"] = reason
            self.jobs["outcome"][job] = Outcome.INTERRUPTED
            self.jobs["reason"][job] = reason
            self._move(job, JobState.READY)
        self._open.clear()
        if entry.fresh:
            self._charged[:] = 0
            self._lost[:] = 0
            for job in np.flatnonzero(self.jobs["state"] == JobState.FAILED).tolist():
                self._retry(job)
        self._ready.queue_all()

    def _retry(self, job: int) -> None:
        self._move(job, JobState.WAITING if self.waiting_on(job) else JobState.READY)
        event_file = int(self.jobs["event_file"][job])
        if self._file(event_file).reason:
            self.event_files[event_file] = replace(self.event_files[event_file], reason="")

    def _ended(self, entry: journal.Ended) -> None:
        self.ended = entry


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
            _check_sense(ledger, entry)
            if watch is not None:
                watch(ledger, number, entry)
            ledger.apply(entry)
        except (JournalError, LookupError, ValueError, TypeError, ArithmeticError) as error:
            msg = f"line {number} of the journal {str(path)!r} does not follow: {error}"
            raise JournalError(msg) from error
    if not ledger.plan_complete:
        msg = (
            f"the run {path.parent.name} ended before its plan was written, "
            "so nothing was done in it; start the campaign anew"
        )
        raise JournalError(msg)
    return ledger


def _check_sense(ledger: Ledger, entry: journal.Entry) -> None:
    """Refuse what no hvmpi wrote, before it costs memory or counts for another job."""
    problem = ""
    if isinstance(entry, journal.JobsPlanned):
        problem = _senseless_jobs(ledger, entry)
    elif isinstance(entry, journal.Accepted) and any(
        [type(value) for value in row] != _OUTPUT for row in entry.outputs
    ):
        problem = f"an output of job {entry.job} is not product, part, path, size and SHA-256"
    job = getattr(entry, "job", None)
    if job is not None and not (isinstance(job, int) and 0 <= job < len(ledger.jobs)):
        problem = f"there is no job {job}" if ledger.plan_complete else "the plan is not complete"
    if problem:
        raise JournalError(problem)


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
    if entry.events != file.events:
        return (
            f"the event file {file.path!r} has {file.events} events, its {kind} jobs have "
            f"{entry.events}"
        )
    return ""
