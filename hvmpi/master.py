"""The master, rank 0: which job goes to which rank, when to try again, when to stop."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hvmpi.campaign.event_files import Manifest
from hvmpi.campaign.jobs import FailureClass, Job, JobState, Kind, Outcome, Output
from hvmpi.campaign.journal import (
    Accepted,
    Barred,
    Ended,
    Entry,
    Failed,
    FilePutAside,
    Published,
    Started,
    Withdrawn,
)
from hvmpi.campaign.paths import manifest
from hvmpi.campaign.retry import Decision, decide
from hvmpi.campaign.run import Run
from hvmpi.channel import Channel, Idle
from hvmpi.errors import JournalError
from hvmpi.files import rename_beside, sha256_of, sync_directory, write_whole
from hvmpi.messages import Assign, Examine, Examined, Goodbye, Held, Hello, Report, Stop, Welcome
from hvmpi.placement import Placement
from hvmpi.preflight import Hosts, Standing, faults, misfit

__all__ = ["Master", "serve"]

_SYNC_S = 1.0
_SNAPSHOT_S = 2.0
_SNAPSHOT_SHARE = 50.0
_LEAVE_S = 15.0


class Master:
    """The state of a campaign under way; `step` does what there is to do and never waits.

    Parameters
    ----------
    run : Run
    channel : Channel
    say : callable
        Gets the lines for the person who watches.
    """

    def __init__(self, run: Run, channel: Channel, say: Callable[[str], None]) -> None:
        self._run = run
        self._ledger = run.ledger
        self._channel = channel
        self._say = say
        self._placement = Placement(run.ledger, run.settings, run.cores)
        self._expected = set(range(1, channel.size))
        self._hellos: dict[int, Hello] = {}
        self._hosts = Hosts(run.settings.preflight_timeout)
        self._stopping = ""
        self._told_to_leave: float | None = None
        self._snapshot_at = 0.0
        self._progress_at = time.monotonic()
        self.over = False

    # The loop's parts

    def begin(self) -> None:
        """Finish what the last master had accepted, and greet the workers."""
        self._publish(list(self._ledger.accepted))
        run = self._run
        for rank in sorted(self._expected):
            self._channel.send(rank, Welcome(str(run.paths.directory), run.token, run.scheduling))

    def stop(self, reason: str) -> None:
        """Start no more jobs, end those that run."""
        if not self._stopping:
            self._stopping = reason
            self._say(f"stopping: {reason}")
            self._tell_to_leave()

    def step(self) -> bool:
        """Handle what has come, hand out jobs; say whether anything happened."""
        accepted: list[int] = []
        messages = self._channel.receive()
        for rank, message in messages:
            if isinstance(message, Report):
                if self._take_report(rank, message):
                    accepted.append(message.job)
            elif isinstance(message, Hello):
                self._take_hello(rank, message)
            elif isinstance(message, Goodbye):
                self._take_leave(rank)
            elif isinstance(message, Held):
                self._placement.hold(rank, message.reason)
            elif isinstance(message, Examined):
                self._take_examined(message.host, faults(message.checks))
        self._leave_overdue_hosts_out()
        if accepted:
            self._publish(accepted)
        self._hand_out()
        if self._ledger.stuck:
            self._bar_what_waits()
        self._keep_books()
        self._see_whether_over()
        return bool(messages)

    # Messages

    def _take_hello(self, rank: int, hello: Hello) -> None:
        self._hellos[rank] = hello
        reason = hello.reason or misfit(hello, time.time())
        if reason or not self._run.looks_at_hosts:
            self._admit(rank, reason)
            return
        standing = self._hosts.arrived(rank, hello.host, time.monotonic())
        if standing is Standing.LOOKS:
            self._channel.send(rank, Examine())
        elif standing is not Standing.WAITS:
            self._admit(rank, self._hosts.reason(hello.host))

    def _take_examined(self, host: str, reason: str) -> None:
        for rank in self._hosts.answered(host, reason):
            self._admit(rank, reason)

    def _admit(self, rank: int, reason: str) -> None:
        """Give a rank jobs from now on, unless there is a reason not to."""
        hello = self._hellos[rank]
        self._expected.discard(rank)
        reason = reason or self._placement.take_in(rank, hello.host, hello.cores)
        if reason:
            self._say(f"rank {rank} on {hello.host} is left out: {reason}")
            self._run.left_out.append(reason)
            self._channel.send(rank, Stop("left out"))

    def _take_leave(self, rank: int) -> None:
        self._placement.leave(rank)
        self._expected.discard(rank)
        instead = self._hosts.left(rank)
        if instead is not None:
            self._channel.send(instead, Examine())

    def _leave_overdue_hosts_out(self) -> None:
        for host in self._hosts.overdue(time.monotonic()):
            limit = f"preflight-timeout ({self._run.settings.preflight_timeout:g} s)"
            self._take_examined(host, f"{host} did not say within {limit} whether it is fit")

    def _take_report(self, rank: int, report: Report) -> bool:
        """Journal a report; True when its outputs are to be published."""
        self._placement.ended(rank, report.job, report.attempt)
        if self._ledger.running_attempt(report.job) != report.attempt:
            return False
        steps = [[s.step, s.wall_s, s.cpu_s, s.max_rss_mb, s.exit_code] for s in report.steps]
        if report.outcome is Outcome.DONE:
            outputs = [[o.product, o.part, o.path, o.size, o.sha256] for o in report.outputs]
            self._write(
                Accepted(
                    job=report.job,
                    attempt=report.attempt,
                    time=time.time(),
                    wall_s=report.wall_s,
                    events_out=report.events_out,
                    outputs=outputs,
                    steps=steps,
                    reason=report.reason,
                )
            )
            return True
        decision = self._decide(report.job, report.outcome, report.failure)
        self._write(
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
                steps=steps,
                failure=int(report.failure),
                where=report.where,
                decision=decision.reason,
            )
        )
        if report.outcome is not Outcome.INTERRUPTED:
            self._say_failed(report.job, report.attempt, report.outcome, report.reason, decision)
        if not decision.again:
            self._put_file_aside(report.job, report.outcome, report.reason)
        return False

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
        self._write(FilePutAside(int(row["event_file"]), reason))

    def _bar_what_waits(self) -> None:
        """Fail the jobs that wait for others which failed for good."""
        jobs = self._ledger.jobs
        for kind in (Kind.RECONSTRUCTION, Kind.MERGE):
            waiting = jobs["job"][(jobs["kind"] == kind) & (jobs["state"] == JobState.WAITING)]
            if len(waiting):
                reason = self._why_barred(kind, int(waiting[0]))
                self._say(f"{len(waiting)} {kind.name.lower()} jobs cannot start: {reason}")
                self._write(Barred(kind, reason))

    def _why_barred(self, kind: Kind, number: int) -> str:
        if kind is Kind.MERGE:
            missing = self._ledger.waiting_on(number)
            have = "job has" if missing == 1 else "jobs have"
            return f"{missing} {have} no training file: rerun, or hvmpi merge what is there"
        # A job whose event file could not be made does not wait any more.
        jobs = self._ledger.jobs
        library = jobs[jobs["kind"] == Kind.LIBRARY][0]
        reason = self._ledger.reasons[library["reason"]]
        return f"its pile-up library was not made: job {library['job']}: {reason}"

    # Jobs

    def _hand_out(self) -> None:
        if self._stopping:
            return
        while (chosen := self._placement.choose()) is not None:
            number, rank = chosen
            job = self._ledger.job(number)
            host = self._placement.host(rank)
            self._write(Started(number, job.attempt, rank, host, time.time()))
            self._placement.started(rank, number, job.attempt)
            self._channel.send(rank, Assign(job))

    def _publish(self, jobs: list[int]) -> None:
        """Give accepted outputs their final names, after their lines are on the disk."""
        if not jobs:
            return
        if any(self._ledger.accepted[job].outputs for job in jobs):
            self._run.journal.sync()
        for number in jobs:
            accepted = self._ledger.accepted[number]
            job = self._ledger.job(number)
            outputs = [Output(*output) for output in accepted.outputs]
            reason = next(filter(None, (self._obstacle(output) for output in outputs)), "")
            if reason:
                self._withdraw(accepted, reason)
                continue
            for output in outputs:
                self._place(job, output)
            self._write(Published(number, accepted.attempt))
            if not self._run.settings.keep_logs:
                shutil.rmtree(self._run.paths.job_logs(number), ignore_errors=True)

    def _obstacle(self, output: Output) -> str:
        """Say why an accepted output cannot be published; nothing where it can, or is already."""
        part, final = (self._run.paths.resolve(path) for path in (output.part, output.path))
        if final.exists():
            if final.stat().st_size == output.size and sha256_of(final) == output.sha256:
                return ""
            return f"{str(final)!r} is there already and is not overwritten; move it away"
        return "" if part.exists() else f"the output {str(part)!r} is gone"

    def _withdraw(self, accepted: Accepted, reason: str) -> None:
        job, attempt, outcome = accepted.job, accepted.attempt, Outcome.OUTPUT_INVALID
        decision = self._decide(job, outcome, FailureClass.NONE)
        self._say_failed(job, attempt, outcome, reason, decision)
        self._write(Withdrawn(job, attempt, reason, decision.again, decision.reason))
        if not decision.again:
            self._put_file_aside(job, outcome, reason)

    def _place(self, job: Job, output: Output) -> None:
        part, final = (self._run.paths.resolve(path) for path in (output.part, output.path))
        try:
            if not final.exists():
                part.chmod(0o444)
                rename_beside(part, final)
                sync_directory(final.parent)
            part.unlink(missing_ok=True)
            if output.product == "evnt":
                self._write_manifest(job, output, final)
        except OSError as error:
            msg = (
                f"the output {str(final)!r} of job {job.number} cannot be published "
                f"({error.strerror}); mend the file system, then rerun"
            )
            raise JournalError(msg) from error

    def _write_manifest(self, job: Job, output: Output, final: Path) -> None:
        file = job.event_file
        made = Manifest(
            settings_hash=self._run.event_files_hash(file.sample),
            sha256=output.sha256,
            size=output.size,
            events=file.events,
            first_event=file.first_event,
            run_number=file.run_number,
            batch=file.batch,
            sample=file.sample,
        )
        with write_whole(manifest(final), mode=0o444) as beside:
            beside.write_text(made.to_json())

    # Books

    def _write(self, entry: Entry) -> None:
        self._run.journal.append(entry)
        self._ledger.apply(entry)

    def _keep_books(self) -> None:
        self._run.journal.sync_if_older(_SYNC_S)
        now = time.monotonic()
        if now >= self._snapshot_at:
            took = self._run.write_status("running")
            self._snapshot_at = now + took + max(_SNAPSHOT_S, _SNAPSHOT_SHARE * took)
            self._run.lock.refresh()
        if now - self._progress_at > 10.0:
            self._progress_at = now
            self._say(self._run.progress() + self._placement.held)

    def _see_whether_over(self) -> None:
        if self._told_to_leave is None:
            finished = self._ledger.unfinished == 0
            alone = not self._expected and self._placement.empty
            if finished or alone:
                if alone and not finished:
                    reasons = "; ".join(dict.fromkeys(self._run.left_out))
                    self._stopping = "no worker is left" + f": {reasons}" * bool(reasons)
                self._tell_to_leave()
            return
        all_left = self._placement.empty and not self._expected
        self.over = all_left or time.monotonic() - self._told_to_leave > _LEAVE_S

    def _tell_to_leave(self) -> None:
        if self._told_to_leave is None:
            self._told_to_leave = time.monotonic()
            for rank in range(1, self._channel.size):
                self._channel.send(rank, Stop(self._stopping or "the campaign is over"))

    def end(self) -> int:
        """Write the completion record and the last snapshot; give the exit code."""
        counts = self._ledger.counts
        done, failed = counts[JobState.DONE], counts[JobState.FAILED]
        left = self._ledger.unfinished
        bad = failed or self._ledger.files_put_aside
        exit_code = 3 if left else 1 if bad else 0
        if not left:
            self._run.drop_event_files()
        reason = self._stopping if left else ""
        state = "complete" if exit_code == 0 else "incomplete"
        self._write(
            Ended(time.time(), state, exit_code, done, failed, left, reason, self._run.launch)
        )
        self._run.journal.sync()
        self._run.write_status(state)
        return exit_code


def serve(run: Run, channel: Channel, say: Callable[[str], None], beside: Any = None) -> int:
    """Run a campaign to its end.

    Parameters
    ----------
    run : Run
    channel : Channel
    say : callable
    beside : Worker, optional
        A worker in this process, stepped in turn: the way with a single rank.

    Returns
    -------
    int
        The exit code.
    """
    master = Master(run, channel, say)
    idle = Idle()
    received: list[int] = []

    def on_signal(number: int, _frame: Any) -> None:
        received.append(number)

    before = {
        number: signal.signal(number, on_signal)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    }
    try:
        master.begin()
        while not master.over:
            if received:
                master.stop(f"the master got {signal.Signals(received[0]).name}")
            happened = master.step()
            if beside is not None and not beside.left:
                happened |= beside.step()
            if happened:
                idle.reset()
            else:
                idle.wait()
        return master.end()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
