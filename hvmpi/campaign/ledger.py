"""What became of every job, in memory: the journal's entries applied one by one.

The master writes an entry and applies it; a later start reads the entries and applies them. Both
go through `Ledger.apply`, so that what is remembered and what is on disk cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hvmpi.campaign import journal
from hvmpi.campaign.attempts import Attempts
from hvmpi.campaign.dependencies import Dependencies
from hvmpi.campaign.job_table import JobTable, PlannedJobs
from hvmpi.campaign.jobs import (
    NO_EVENT_FILE,
    TRANSITIONS,
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
from hvmpi.campaign.rows import Rows
from hvmpi.errors import JournalError

__all__ = ["Ledger"]

_LEGAL = [[after in TRANSITIONS[before] for after in JobState] for before in JobState]


class Ledger:
    """The state of a campaign.

    Attributes
    ----------
    begun : journal.RunBegun or None
    event_files : list of EventFile
    library : journal.LibraryListed or None
        The minimum-bias library, if it was made before.
    jobs : JobTable
    counts : list of int
        Jobs by their `JobState`.
    accepted : dict of int to journal.Accepted
        Of the jobs whose outputs are not published yet.
    launches : list of journal.RunBegun or journal.Resumed
        Its starts, in their order.
    left_out : list of journal.LeftOut
        Ranks that got no jobs from the newest launch.
    """

    def __init__(self) -> None:
        self.begun: journal.RunBegun | None = None
        self.ended: journal.Ended | None = None
        self.plan_complete = False
        self.event_files: list[EventFile] = []
        self.library: journal.LibraryListed | None = None
        self.counts: list[int] = [0] * len(JobState)
        self.accepted: dict[int, journal.Accepted] = {}
        self.launches: list[journal.RunBegun | journal.Resumed] = []
        self.left_out: list[journal.LeftOut] = []
        self._attempts = Attempts()
        self._planned = PlannedJobs()
        self._sizes: list[int] = []
        self._after: list[list[int]] = []
        self._dependencies = Dependencies([], [])
        self.jobs = JobTable(self._planned, self._attempts.rows)
        self._ready = ReadyJobs(self.jobs.columns)
        self._charged: npt.NDArray[np.uint16] = np.zeros(0, dtype=np.uint16)
        self._lost: npt.NDArray[np.uint16] = np.zeros(0, dtype=np.uint16)
        self._read_of_file: dict[int, int] = {}
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
    def attempts(self) -> Rows:
        """All attempts so far, `ATTEMPT_FIELDS`."""
        return self._attempts.rows

    @property
    def steps(self) -> Rows:
        """All steps so far, `STEP_FIELDS`."""
        return self._attempts.steps

    @property
    def profile(self) -> Rows:
        """Where the time of steps went, `PROFILE_FIELDS`; of steps that were asked."""
        return self._attempts.profile

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts that rows refer to."""
        return self._attempts.hosts.texts

    @property
    def reasons(self) -> list[str]:
        """Texts of the reasons and decisions that rows refer to."""
        return self._attempts.reasons.texts

    @property
    def places(self) -> list[str]:
        """Logs, with lines, that rows refer to."""
        return self._attempts.places.texts

    @property
    def step_names(self) -> list[str]:
        """Names of the steps that rows refer to."""
        return self._attempts.step_names.texts

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
        return JobState(self.jobs.states[job])

    def runs(self, job: int) -> bool:
        """Say whether a job is running: a done one may still have an attempt under way."""
        return self.jobs.states[job] == JobState.RUNNING

    def kind(self, job: int) -> Kind:
        """Give the kind of a job."""
        return Kind(self.jobs.kinds[job])

    def last_rank(self, job: int) -> int:
        """Give the rank that a job went to, of the attempt that it tells of; -1 before any."""
        row = self.jobs.shown[job]
        return -1 if row < 0 else int(self._attempts.rows.value(row, "rank"))

    def _last_host(self, job: int) -> int:
        return int(self._attempts.rows.value(self.jobs.shown[job], "host"))

    def waiting_on(self, job: int) -> int:
        """Count the jobs that must be done before this one can start, and are not."""
        return self._dependencies.unmet(job)

    def spent(self, job: int) -> Spent:
        """Count the attempts that were used up since a person last started the run."""
        return Spent(int(self._charged[job]), int(self._lost[job]))

    def running_attempts(self, job: int) -> tuple[int, ...]:
        """Give the numbers of a job's attempts that are under way, in the order of their starts."""
        return self._attempts.under_way(job)

    def running(self) -> list[int]:
        """List the jobs of which an attempt is under way."""
        return self._attempts.jobs_under_way()

    def ready(self) -> list[Ready]:
        """Give the first ready job of each kind and hosts to avoid, the first to start first."""
        return self._ready.heads()

    def start_in(self, order: npt.NDArray[np.intp]) -> None:
        """Let jobs start in this order from now on; no state of the campaign's."""
        self._ready.start_in(order)

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
        left = self.jobs["kind"][self.jobs["state"] != JobState.DONE]
        return [Kind(kind) for kind in np.flatnonzero(np.bincount(left)).tolist()]

    def job(self, number: int) -> Job:
        """Describe a job as its next attempt."""
        return self.jobs.job(number, self.event_files)

    def jobs_of_file(self, event_file: int) -> list[int]:
        """List the jobs that read an event file."""
        ranges = self._jobs_of_file.get(event_file, ())
        return [job for first, last in ranges for job in range(first, last)]

    def events_read(self, event_file: int) -> int:
        """Count the events of a file that jobs are planned for."""
        return self._read_of_file.get(event_file, 0)

    def _file(self, event_file: int) -> EventFile:
        return NO_EVENT_FILE if event_file < 0 else self.event_files[event_file]

    # Plan

    def _run_begun(self, entry: journal.RunBegun) -> None:
        self.begun = entry
        self.launches.append(entry)

    def _event_file(self, entry: journal.EventFileListed) -> None:
        self.event_files.append(
            EventFile(
                path=entry.path,
                sample=entry.sample,
                run_number=entry.run_number,
                batch=entry.batch,
                events=entry.events,
                first_event=entry.first_event,
                stem=entry.stem,
                size=entry.size,
                sha256=entry.sha256,
                number_from=entry.number_from,
                reason=entry.reason,
            )
        )

    def _library(self, entry: journal.LibraryListed) -> None:
        self.library = entry

    def _jobs_planned(self, entry: journal.JobsPlanned) -> None:
        first = self._planned.jobs
        count = self._planned.add(
            kind=entry.kind,
            event_file=entry.event_file,
            file=self._file(entry.event_file),
            job_size=entry.job_size,
            events=entry.events,
            numbers=entry.numbers,
            skip=entry.skip,
            waits=bool(entry.after),
        )
        self._sizes.append(count)
        self._after.append(entry.after)
        if entry.kind == Kind.RECONSTRUCTION:
            self._jobs_of_file.setdefault(entry.event_file, []).append((first, first + count))
            self._read_of_file[entry.event_file] = entry.skip + entry.events

    def _plan_complete(self, entry: journal.PlanComplete) -> None:
        jobs = self._planned.jobs
        if jobs != entry.jobs or len(self.event_files) != entry.event_files:
            msg = (
                f"the lines before it plan {jobs} jobs and {len(self.event_files)} event "
                f"files, it says {entry.jobs} and {entry.event_files}"
            )
            raise JournalError(msg)
        self.jobs = JobTable(self._planned, self._attempts.rows)
        self._dependencies = Dependencies(self._sizes, self._after)
        self._planned, self._sizes, self._after = PlannedJobs(), [], []
        self._charged = np.zeros(jobs, dtype=np.uint16)
        self._lost = np.zeros(jobs, dtype=np.uint16)
        self.counts = np.bincount(self.jobs["state"], minlength=len(JobState)).tolist()
        self._ready = ReadyJobs(self.jobs.columns)
        self.plan_complete = True

    # Attempts

    def _move(self, job: int, after: JobState) -> None:
        states, counts = self.jobs.states, self.counts
        before = states[job]
        if not _LEGAL[before][after]:
            check_transition(job, JobState(before), after)
        states[job] = after
        counts[before] -= 1
        counts[after] += 1
        if after is JobState.READY:
            self._ready.push(job)
        elif after is not JobState.RUNNING:
            self._ready.forget(job)

    def _started(self, entry: journal.Started) -> None:
        job, jobs = entry.job, self.jobs
        if entry.attempt <= jobs.attempts[job]:
            msg = f"attempt {entry.attempt} of job {job} began before"
            raise JournalError(msg)
        if jobs.states[job] != JobState.RUNNING or job in self.accepted:
            self._move(job, JobState.RUNNING)
        jobs.attempts[job] = entry.attempt
        jobs.shown[job] = self._attempts.begin(entry)
        jobs.barred[job] = -1

    def _is_left(self, job: int) -> bool:
        """Whether nothing of a running job is under way any more, or accepted."""
        return (
            self.jobs.states[job] == JobState.RUNNING
            and not self._attempts.are_under_way(job)
            and job not in self.accepted
        )

    def _accepted(self, entry: journal.Accepted) -> None:
        job = entry.job
        if job in self.accepted or self.jobs.states[job] == JobState.DONE:
            return
        row = self._attempts.end(entry)
        if row >= 0:
            self.jobs.shown[job] = row
            self.jobs.events_out[job] = entry.events_out
            self.accepted[job] = entry

    def _published(self, entry: journal.Published) -> None:
        accepted = self.accepted.pop(entry.job, None)
        if accepted is None:
            return
        self._move(entry.job, JobState.DONE)
        for product, _, _, size, sha256 in accepted.outputs:
            if product == "evnt":
                row = self.jobs.event_file(entry.job)
                self.event_files[row] = replace(self.event_files[row], size=size, sha256=sha256)
        for job in self._dependencies.done(entry.job):
            if self.jobs.states[job] == JobState.WAITING:
                self._move(job, JobState.READY)

    def _withdrawn(self, entry: journal.Withdrawn) -> None:
        job = entry.job
        if self.accepted.pop(job, None) is None:
            return
        row = self.jobs.shown[job]
        self._attempts.change(row, Outcome.OUTPUT_INVALID, entry.reason, entry.decision)
        self.jobs.events_out[job] = -1
        self._charged[job] += 1
        self._end_attempt(job, again=entry.again)

    def _failed(self, entry: journal.Failed) -> None:
        row = self._attempts.end(entry)
        if row < 0:
            return
        job, outcome, failure = entry.job, Outcome(entry.outcome), FailureClass(entry.failure)
        budget = budget_of(outcome, failure)
        self._charged[job] += budget is Budget.PAYLOAD
        self._lost[job] += budget is Budget.LOST
        if self._is_left(job):
            self.jobs.shown[job] = row
            if goes_elsewhere(outcome, failure):
                self._ready.avoid(job, self._last_host(job))
            elif outcome is not Outcome.INTERRUPTED:
                self._ready.forget(job)
        self._end_attempt(job, again=entry.again)

    def _end_attempt(self, job: int, *, again: bool) -> None:
        """Let a job go on, with what is still under way of it or not at all."""
        if self._is_left(job):
            self._move(job, JobState.READY if again else JobState.FAILED)
        elif self.jobs.states[job] == JobState.RUNNING and job not in self.accepted:
            self.jobs.shown[job] = self._attempts.newest_row(job)

    def _put_aside(self, entry: journal.FilePutAside) -> None:
        file = self.event_files[entry.event_file]
        self.event_files[entry.event_file] = replace(file, reason=entry.reason)
        self._cannot_start(
            (
                job
                for job in self.jobs_of_file(entry.event_file)
                if self.jobs.states[job] in (JobState.WAITING, JobState.READY)
            ),
            entry.reason,
        )

    def _barred(self, entry: journal.Barred) -> None:
        waiting = (self.jobs["kind"] == entry.kind) & (self.jobs["state"] == JobState.WAITING)
        self._cannot_start(np.flatnonzero(waiting).tolist(), entry.reason)

    def _cannot_start(self, jobs: Iterable[int], reason: str) -> None:
        row = self._attempts.reasons.row(reason)
        for job in jobs:
            self._move(job, JobState.FAILED)
            self.jobs.barred[job] = row

    # Beginning and end

    def _resumed(self, entry: journal.Resumed) -> None:
        self.ended = None
        self.left_out.clear()
        self.launches.append(entry)
        for job in self._attempts.end_all(Outcome.INTERRUPTED, entry.reason):
            if self._is_left(job):
                self._move(job, JobState.READY)
        if entry.fresh:
            self._charged[:] = 0
            self._lost[:] = 0
            for job in np.flatnonzero(self.jobs["state"] == JobState.FAILED).tolist():
                self._retry(job)
        self._ready.queue_all()

    def _retry(self, job: int) -> None:
        self._move(job, JobState.WAITING if self.waiting_on(job) else JobState.READY)
        event_file = self.jobs.event_file(job)
        if self._file(event_file).reason:
            self.event_files[event_file] = replace(self.event_files[event_file], reason="")

    def _ended(self, entry: journal.Ended) -> None:
        self.ended = entry
