"""The master, rank 0: which job goes to which rank, when to try again, when to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hvmpi.ahead import Ahead
from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.journal import Barred, Ended, LeftOut
from hvmpi.campaign.run import Run
from hvmpi.channel import Channel, Idle
from hvmpi.duplicates import Duplicate, Duplicates
from hvmpi.leases import Leases, signs_every
from hvmpi.messages import (
    Alive,
    Assign,
    Cancel,
    Examine,
    Examined,
    GiveBack,
    Goodbye,
    Held,
    Hello,
    Report,
    Stop,
    Welcome,
)
from hvmpi.outcomes import Outcomes
from hvmpi.placement import Given, Placement
from hvmpi.preflight import Hosts, Standing, faults, misfit
from hvmpi.view.progress import Quiet
from hvmpi.wallclock import WallClock

__all__ = ["NO_WORKER", "Ending", "Master", "serve"]

NO_WORKER = "no worker is left"
"""What the completion record begins with where the master was left alone."""

_SYNC_S = 1.0
_SNAPSHOT_S = 2.0
_SNAPSHOT_SHARE = 50.0
_LEAVE_S = 15.0
_MUTE_S = 600.0
"""How long a rank may take to start."""
_ENOUGH = 2
"""Jobs given to a rank, of which it runs one: those that wait last longer than an unhurried pause
(`hvmpi.ahead`)."""
_PATIENCE_S = 0.1
"""How long a job may wait behind another while a rank is idle: to ask for it takes time, too."""


class Master:
    """The state of a campaign under way; `step` does what there is to do and never waits.

    Parameters
    ----------
    run : Run
    channel : Channel
    say : callable
        Gets the lines for the person who watches.
    gives_ahead : bool
        Whether ranks get jobs before they ask; a worker in this process is answered at once.
    """

    def __init__(
        self,
        run: Run,
        channel: Channel,
        say: Callable[[str], None],
        *,
        gives_ahead: bool = True,
    ) -> None:
        self._run = run
        self._ledger = run.ledger
        self._channel = channel
        self._say = say
        self._outcomes = Outcomes(run, say)
        self._placement = Placement(run.ledger, run.settings, run.cores)
        self._duplicates = Duplicates(run.ledger, self._placement)
        self._ahead = Ahead(run.order.expected_s) if gives_ahead else None
        self._expected = set(range(1, channel.size))
        self._present = set(self._expected)
        self._leases = Leases(run.settings.lease)
        self._clock = WallClock(run.time_limit_s, run.ledger)
        self._lost_some = False
        self._began_at = self._alive_at = time.monotonic()
        self._deserted_at: float | None = None
        self._hellos: dict[int, Hello] = {}
        self._hosts = Hosts(run.settings.preflight_timeout)
        self._stopping = ""
        self._told_to_leave: float | None = None
        self._snapshot_at = 0.0
        self._asked_back_at = 0.0
        self.over = False

    @property
    def left_behind(self) -> frozenset[int]:
        """Ranks that neither left nor died."""
        return frozenset(self._present)

    # The loop's parts

    def begin(self) -> None:
        """Finish what the last master had accepted, and greet the workers."""
        self._outcomes.publish(list(self._ledger.accepted))
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
        for rank in {rank for rank, _ in messages}:
            self._hear(rank)
        for rank, message in messages:
            if isinstance(message, Report):
                if self._take_report(rank, message):
                    accepted.append(message.job)
            elif isinstance(message, Hello):
                self._take_hello(rank, message)
            elif isinstance(message, Goodbye):
                self._take_leave(rank)
                self._channel.send(rank, Goodbye())
            elif isinstance(message, Held):
                self._ask_back(self._placement.hold(rank, message.reason))
            elif isinstance(message, Examined):
                self._take_examined(message.host, faults(message.checks))
        self._look_after_ranks()
        self._leave_overdue_hosts_out()
        if accepted:
            self._outcomes.publish(accepted)
            self._run.order.look()
        self._hand_out()
        if self._ledger.stuck:
            self._bar_what_waits()
        self._tell()
        self._keep_books()
        self._see_whether_over()
        self._tell()
        return bool(messages)

    def _tell(self) -> None:
        """Let the ranks know what was decided, once it stands in the journal."""
        self._run.journal.write()
        self._channel.post()

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
            self._outcomes.write(LeftOut(hello.host, rank, reason, time.time()))
            self._channel.send(rank, Stop("left out"))

    def _take_leave(self, rank: int) -> None:
        for given in self._placement.given(rank):
            # What was on its way to a rank that left never began.
            self._outcomes.free(given.job, given.attempt, f"rank {rank} left before it began")
        self._placement.leave(rank)
        self._expected.discard(rank)
        self._present.discard(rank)
        self._leases.forget(rank)
        instead = self._hosts.left(rank, time.monotonic())
        if instead is not None:
            self._channel.send(instead, Examine())

    def _leave_overdue_hosts_out(self) -> None:
        for host in self._hosts.overdue(time.monotonic()):
            limit = f"preflight-timeout ({self._run.settings.preflight_timeout:g} s)"
            self._take_examined(host, f"{host} did not say within {limit} whether it is fit")

    # Ranks that die or hang

    def _hear(self, rank: int) -> None:
        """Renew a rank's lease; one that was given up gets jobs again."""
        if rank not in self._present or not self._leases.heard(rank):
            return
        if not self._placement.knows(rank):
            return
        self._placement.revive(rank)
        self._say(f"rank {rank} on {self._placement.host(rank)} is there again")
        for given in self._placement.given(rank):
            self._channel.send(rank, Cancel(given.job, given.attempt))

    def _look_after_ranks(self) -> None:
        """Take into account which ranks died, and which were not heard for too long."""
        for rank in self._channel.failed():
            if rank in self._present:
                self._lose(rank, "died")
                self._take_leave(rank)
        now = time.monotonic()
        for rank in self._leases.expired(now):
            lease = self._run.settings.lease
            self._lose(rank, f"gave no sign of life for {lease:g} s")
            if self._placement.knows(rank):
                self._placement.silence(rank)
        if self._expected and now - self._began_at > _MUTE_S:
            for rank in sorted(self._expected - self._hellos.keys()):
                self._lose(rank, f"did not start in {_MUTE_S:g} s")
                self._expected.discard(rank)

    def _lose(self, rank: int, how: str) -> None:
        """Journal that what a rank ran is lost, and what waited there is free."""
        hello = self._hellos.get(rank)
        reason = f"rank {rank}" + (f" on {hello.host}" if hello else "") + f" {how}"
        self._say(reason)
        self._lost_some = True
        self._run.left_out.append(reason)
        given = self._placement.given(rank)
        for running in given[:1]:
            self._outcomes.lose(running.job, running.attempt, reason, running.since)
        for waiting in given[1:]:
            self._outcomes.free(waiting.job, waiting.attempt, f"{reason} before it began")

    def _bar_what_waits(self) -> None:
        """Fail the jobs that wait for others which failed for good."""
        jobs = self._ledger.jobs
        for kind in (Kind.RECONSTRUCTION, Kind.MERGE):
            waiting = jobs["job"][(jobs["kind"] == kind) & (jobs["state"] == JobState.WAITING)]
            if len(waiting):
                reason = self._why_barred(kind, int(waiting[0]))
                self._say(f"{len(waiting)} {kind.name.lower()} jobs cannot start: {reason}")
                self._outcomes.write(Barred(kind, reason))

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

    def _take_report(self, rank: int, report: Report) -> bool:
        """Journal a report; True when its outputs are to be published."""
        self._placement.ended(rank, report.job, report.attempt)
        if not self._outcomes.take(report):
            return False
        for other, cancel in self._duplicates.settled(rank, report.job, report.attempt):
            self._channel.send(other, cancel)
        kind = self._ledger.kind(report.job)
        self._clock.measured(kind, report.wall_s)
        if self._ahead is not None:
            self._ahead.measured(kind, report.wall_s)
        return True

    def _hand_out(self) -> None:
        if self._stopping:
            return
        self._outcomes.end_pauses()
        while (idle := self._placement.choose(self._clock.fits)) is not None:
            self._give(*idle)
        ready = self._ledger.counts[JobState.READY] if self._ledger.ready() else 0
        for rank, cancel in self._duplicates.to_yield(ready):
            self._channel.send(rank, cancel)
        if self._ahead is not None:
            self._give_ahead(self._ahead)
        now = time.monotonic()
        if now - self._asked_back_at > _PATIENCE_S:
            self._asked_back_at = now
            self._ask_back(self._placement.to_give_back(time.time() - _PATIENCE_S))
        if self._run.settings.duplicates and not ready:
            for one in self._duplicates.due(now, time.time(), self._clock.fits):
                self._double(one)

    def _give(self, number: int, rank: int, reason: str = "") -> int:
        """Send a job to a rank; give the attempt that it is."""
        job = self._outcomes.begin(number, rank, self._placement.host(rank), reason)
        self._placement.started(rank, number, job.attempt)
        self._channel.send(rank, Assign(job))
        return job.attempt

    def _double(self, one: Duplicate) -> None:
        self._say(f"job {one.job} gets a second attempt, on rank {one.rank}: {one.reason}")
        self._duplicates.begun(one.job, self._give(one.job, one.rank, one.reason), one.rank)

    def _give_ahead(self, ahead: Ahead) -> None:
        def most(kind: Kind) -> int:
            return ahead.most(kind, self._ledger.counts[JobState.READY], len(self._present))

        while (chosen := self._placement.choose_ahead(most, self._clock.fits)) is not None:
            jobs, rank = chosen
            for number in jobs:
                self._give(number, rank)

    def _ask_back(self, wanted: Iterable[tuple[int, Given]]) -> None:
        for rank, given in wanted:
            self._channel.send(rank, GiveBack(given.job, given.attempt))

    # Books

    def _keep_books(self) -> None:
        self._run.journal.sync_if_older(_SYNC_S)
        now = time.monotonic()
        if now >= self._snapshot_at:
            took = self._run.write_status("running")
            self._snapshot_at = now + took + max(_SNAPSHOT_S, _SNAPSHOT_SHARE * took)
            self._run.lock.refresh()
        if now - self._alive_at > signs_every(self._run.settings.lease):
            self._alive_at = now
            for rank in self._present:
                self._channel.send(rank, Alive())

    def _see_whether_over(self) -> None:
        if self._told_to_leave is None:
            finished = self._ledger.unfinished == 0
            alone = self._is_alone()
            if finished or alone:
                if alone and not finished:
                    reasons = "; ".join(dict.fromkeys(self._run.left_out))
                    self._stopping = NO_WORKER + f": {reasons}" * bool(reasons)
                self._tell_to_leave()
            else:
                self._look_at_the_clock()
            return
        all_left = self._present <= self._leases.silent
        self.over = all_left or time.monotonic() - self._told_to_leave > _LEAVE_S

    def _is_alone(self) -> bool:
        """Say whether no worker is left: those that hang may come back in another lease."""
        if self._expected or not self._placement.silent:
            self._deserted_at = None
            return False
        now = time.monotonic()
        self._deserted_at = self._deserted_at or now
        return self._placement.empty or now - self._deserted_at > self._run.settings.lease

    def _look_at_the_clock(self) -> None:
        """Stop when the time is over, or nothing runs and nothing that is left would fit."""
        over = self._clock.over()
        if not over and not self._ledger.counts[JobState.RUNNING]:
            ready = self._ledger.ready()
            if ready and not any(self._clock.fits(job.kind) for job in ready):
                over = self._clock.too_short()
        if over:
            self.stop(over)

    def _tell_to_leave(self) -> None:
        if self._told_to_leave is None:
            self._told_to_leave = time.monotonic()
            for rank in range(1, self._channel.size):
                self._channel.send(rank, Stop(self._stopping or "the campaign is over"))

    @property
    def running(self) -> int:
        """Jobs that ranks work on: of those given ahead none."""
        return self._ledger.counts[JobState.RUNNING] - self._placement.ahead

    @property
    def held(self) -> str:
        """Which hosts are too full for new jobs, as the end of a sentence."""
        return self._placement.held

    @property
    def ranks_have_enough(self) -> bool:
        """Whether ranks can do without an answer for a while, having jobs given ahead."""
        given = self._ledger.counts[JobState.RUNNING]
        return given >= _ENOUGH * max(len(self._present), 1)

    def end(self) -> int:
        """Write the completion record and the last snapshot; give the exit code."""
        counts = self._ledger.counts
        done, failed = counts[JobState.DONE], counts[JobState.FAILED]
        left = self._ledger.unfinished
        bad = failed or self._ledger.files_put_aside
        exit_code = 3 if left else 1 if bad else 0
        if self._lost_some or self._ledger.running():
            self._run.remove_leavings()
        if not left:
            self._run.drop_event_files()
        reason = self._stopping if left else ""
        state = "complete" if exit_code == 0 else "incomplete"
        self._outcomes.write(
            Ended(time.time(), state, exit_code, done, failed, left, reason, self._run.launch)
        )
        self._run.journal.sync()
        self._run.write_status(state)
        return exit_code


@dataclass(frozen=True, slots=True)
class Ending:
    """How a campaign ended.

    Attributes
    ----------
    exit_code : int
    left_behind : frozenset of int
        Ranks that hang.
    """

    exit_code: int
    left_behind: frozenset[int]


def serve(run: Run, channel: Channel, progress: Quiet, beside: Any = None) -> Ending:
    """Run a campaign to its end.

    Parameters
    ----------
    run : Run
    channel : Channel
    progress : Quiet
        Gets the lines for the person who watches, and is asked when to show how far it is.
    beside : Worker, optional
        A worker in this process, stepped in turn: the way with a single rank.

    Returns
    -------
    Ending
    """
    master = Master(run, channel, progress.say, gives_ahead=beside is None)
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
            if progress.due():
                progress.show(master.running, master.held)
            if happened:
                idle.reset(in_no_hurry=master.ranks_have_enough)
            else:
                idle.wait(beside.wakes() if beside is not None else ())
        return Ending(master.end(), master.left_behind)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
