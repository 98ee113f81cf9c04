"""What becomes of attempts: begun, accepted and published, or failed, and tried again or not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from msgspec import structs

from hvmpi.campaign.jobs import FailureClass, Job, JobState, Kind, Outcome, Output
from hvmpi.campaign.journal import (
    Accepted,
    Entry,
    Failed,
    FilePutAside,
    Published,
    Started,
    Withdrawn,
)
from hvmpi.campaign.retry import Decision, Pauses, decide, pause_s
from hvmpi.campaign.run import Run
from hvmpi.messages import Report
from hvmpi.publication import obstacle, publish, settle, withdraw

__all__ = ["Outcomes"]

_LATE = "another attempt of its job was done before"


class Outcomes:
    """Journals what happens to the attempts of a run, and places or removes what they brought.

    Parameters
    ----------
    run : Run
    say : callable
        Gets the lines for the person who watches.
    """

    def __init__(self, run: Run, say: Callable[[str], None]) -> None:
        self._run = run
        self._ledger = run.ledger
        self._say = say
        self._pauses = Pauses()

    def write(self, entry: Entry) -> None:
        """Keep an entry for the journal's next group, and take it into account."""
        self._run.journal.collect(entry)
        self._ledger.apply(entry)

    def begin(self, number: int, rank: int, host: str, reason: str = "") -> Job:
        """Journal that a job goes to a rank; give what the rank is to be told.

        Parameters
        ----------
        number, rank : int
        host : str
        reason : str
            Why, where another attempt of the job is under way.
        """
        job = self._ledger.job(number)
        self.write(Started(number, job.attempt, rank, host, time.time(), reason))
        return job

    def end_pauses(self) -> None:
        """Let the jobs be given out again that have waited long enough."""
        for number in self._pauses.over(time.monotonic()):
            self._ledger.release(number)

    def take(self, report: Report) -> bool:
        """Journal a report; True when its outputs are to be published."""
        if report.attempt not in self._ledger.running_attempts(report.job):
            self._drop(report)
            return False
        if not self._ledger.runs(report.job) or report.job in self._ledger.accepted:
            self._drop(report)
            # What it wrote since those of its job were removed.
            self._remove_logs(report.job)
            if report.outcome is not Outcome.INTERRUPTED:
                report = structs.replace(
                    report, outcome=Outcome.INTERRUPTED, failure=FailureClass.NONE, reason=_LATE
                )
        if report.outcome is not Outcome.DONE:
            self.fail(report)
            return False
        self.write(
            Accepted(
                job=report.job,
                attempt=report.attempt,
                time=time.time(),
                wall_s=report.wall_s,
                events_out=report.events_out,
                outputs=[[o.product, o.part, o.path, o.size, o.sha256] for o in report.outputs],
                steps=_rows(report),
                reason=report.reason,
                began=report.began,
            )
        )
        return True

    def _drop(self, report: Report) -> None:
        """Remove what an attempt brought that was given up meanwhile; its job is another's."""
        accepted = self._ledger.accepted.get(report.job)
        if accepted is None or accepted.attempt != report.attempt:
            for output in report.outputs:
                withdraw(self._run, output)

    def lose(self, job: int, attempt: int, reason: str, began: float) -> None:
        """Journal that the attempt which a rank ran is lost with it, unless that is over."""
        if attempt in self._ledger.running_attempts(job):
            took = max(time.time() - began, 0.0)
            self.fail(
                Report(job, attempt, Outcome.WORKER_LOST, reason, took, 0, 0, -1, began=began)
            )

    def free(self, job: int, attempt: int, reason: str) -> None:
        """Journal, at no cost to the job, that an attempt never began, unless that is over."""
        if attempt in self._ledger.running_attempts(job):
            self.fail(Report(job, attempt, Outcome.INTERRUPTED, reason, 0.0, 0, 0, -1))

    def fail(self, report: Report) -> None:
        """Journal that an attempt failed, and what follows from it."""
        decision = self._decide(report.job, report.outcome, report.failure)
        others = [n for n in self._ledger.running_attempts(report.job) if n != report.attempt]
        if others:
            decision = replace(decision, again=True, reason=f"attempt {others[0]} goes on")
        self.write(
            Failed(
                job=report.job,
                attempt=report.attempt,
                time=time.time(),
                wall_s=report.wall_s,
                outcome=int(report.outcome),
                exit_code=report.exit_code,
                signal=report.signal,
                reason=report.reason,
                again=decision.again,
                steps=_rows(report),
                failure=int(report.failure),
                where=report.where,
                decision=decision.reason,
                began=report.began,
            )
        )
        if report.outcome is not Outcome.INTERRUPTED:
            self._say_failed(report.job, report.attempt, report.outcome, report.reason, decision)
        if not decision.again:
            self._put_file_aside(report.job, report.outcome, report.reason)
            return
        if self._ledger.state(report.job) is not JobState.READY:
            return
        spent, growth = self._ledger.spent(report.job), self._run.settings.retry_pause
        pause = pause_s(report.outcome, report.failure, spent, growth)
        if pause:
            self._ledger.hold(report.job)
            self._pauses.begin(report.job, time.monotonic() + pause)

    def _decide(self, job: int, outcome: Outcome, failure: FailureClass) -> Decision:
        settings = self._run.settings
        return decide(
            outcome,
            failure,
            self._ledger.spent(job),
            max_attempts=settings.max_attempts,
            max_lost=settings.max_lost,
        )

    def _say_failed(
        self, job: int, attempt: int, outcome: Outcome, reason: str, decision: Decision
    ) -> None:
        name = outcome.name.lower()
        self._say(f"job {job} attempt {attempt}: {name}: {reason} ({decision.reason})")

    def _put_file_aside(self, number: int, outcome: Outcome, reason: str) -> None:
        """Fail the jobs of an event file that cannot be read or could not be made."""
        row = self._ledger.jobs[number]
        kind = int(row["kind"])
        if kind == Kind.GENERATION:
            reason = f"its event file was not made: job {number}: {reason}"
        elif kind != Kind.RECONSTRUCTION or outcome is not Outcome.BAD_INPUT:
            return
        self.write(FilePutAside(int(row["event_file"]), reason))

    def publish(self, jobs: list[int]) -> None:
        """Give accepted outputs their final names, after their lines are on the disk."""
        accepted = [self._ledger.accepted[job] for job in jobs]
        if any(attempt.outputs for attempt in accepted):
            self._run.journal.sync()
        placed = [(attempt, self._place(attempt)) for attempt in accepted]
        settle(self._run, (output for _, outputs in placed for output in outputs or ()))
        for attempt, outputs in placed:
            if outputs is None:
                continue
            self.write(Published(attempt.job, attempt.attempt))
            # Attempts without a step write no logs.
            if attempt.steps or attempt.attempt > 1:
                self._remove_logs(attempt.job)

    def _remove_logs(self, job: int) -> None:
        """Remove the logs of a job that is done, unless they are to be kept."""
        if self._ledger.state(job) is JobState.DONE and not self._run.settings.keep_logs:
            shutil.rmtree(self._run.paths.job_logs(job), ignore_errors=True)

    def _place(self, accepted: Accepted) -> list[Output] | None:
        """Give a job's outputs their final names; None where that cannot be."""
        outputs = [Output(*output) for output in accepted.outputs]
        reason = next(filter(None, (obstacle(self._run, output) for output in outputs)), "")
        if reason:
            self._withdraw(accepted, reason)
            return None
        job = self._ledger.job(accepted.job)
        for output in outputs:
            publish(self._run, job, output)
        return outputs

    def _withdraw(self, accepted: Accepted, reason: str) -> None:
        job, attempt, outcome = accepted.job, accepted.attempt, Outcome.OUTPUT_INVALID
        decision = self._decide(job, outcome, FailureClass.NONE)
        self._say_failed(job, attempt, outcome, reason, decision)
        self.write(Withdrawn(job, attempt, reason, decision.again, decision.reason))
        if not decision.again:
            self._put_file_aside(job, outcome, reason)


def _rows(report: Report) -> list[list[Any]]:
    return [
        [s.step, s.wall_s, s.cpu_s, s.max_rss_mb, s.exit_code, *([s.parts] if s.parts else [])]
        for s in report.steps
    ]
