"""A worker rank: takes a job, runs its steps as child processes, brings the outputs, reports."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from hvmpi import __version__
from hvmpi.campaign.jobs import FailureClass, Job, Outcome, Output, StepResult
from hvmpi.campaign.paths import AttemptPaths, RunPaths
from hvmpi.campaign.retry import class_of_error
from hvmpi.campaign.run import paths_of
from hvmpi.channel import MASTER, Channel, Idle, part
from hvmpi.delivery import bring
from hvmpi.engine import Engine, Inputs, Step, StepOutput, Verdict, make_engine
from hvmpi.errand import Errand
from hvmpi.errors import HvmpiError
from hvmpi.execution import Execution
from hvmpi.files import PrivateDirectories
from hvmpi.guardian import Guardian
from hvmpi.hosts import usable_cores
from hvmpi.leases import Leases, signs_every
from hvmpi.memory import HoldBack, job_memory
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
    Message,
    Report,
    Stop,
    Welcome,
)
from hvmpi.payload import PayloadResult
from hvmpi.preflight import Examination
from hvmpi.servers import PayloadServer, Servers
from hvmpi.settings import Settings, load_run, with_scheduling
from hvmpi.stopwatch import parts_of

__all__ = ["Worker", "serve"]

_STUCK = ", and cannot be killed: a file system that it uses does not answer"

_MASTER_LEASES = 3.0
_MASTER_LEAST_S = 60.0
"""A master is given more time than a worker: without it all is over."""
_ORPHAN_S = 8.0
"""How long payloads may take to end when there is nobody left to tell of it."""
_TOGETHER_S = 0.001
"""How long jobs that need no process are done before the master hears of them."""
_ERRAND_LEASES = 10.0
_ERRAND_LEAST_S = 600.0
"""Sums and copies of large outputs take their time; a file system that stalls takes for ever."""


@dataclass
class _Attempt:
    """An attempt under way."""

    job: Job
    paths: AttemptPaths
    steps: deque[Step]
    began: float
    began_at: float
    deadline: float
    execution: Execution | None = None
    has_directories: bool = False
    errand: Errand[Any] | None = None
    then: Callable[[], None] | None = None
    cancelled: str = ""
    has_directory: bool = False
    results: list[StepResult] = field(default_factory=list)
    outputs: list[StepOutput] = field(default_factory=list)
    events_out: int = -1
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Run:
    """What a worker knows of the run that it works for."""

    settings: Settings
    paths: RunPaths
    engine: Engine
    servers: Servers
    working: PrivateDirectories


class Worker:
    """A worker's state; `step` does what there is to do and never waits.

    Parameters
    ----------
    channel : Channel
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._run: _Run | None = None
        self._queue: deque[Job] = deque()
        self._attempt: _Attempt | None = None
        self._left_over: list[Path] = []
        self._stopping = ""
        self._examination: Examination | None = None
        self._guardian = Guardian()
        self._hold_back: HoldBack | None = None
        self._master: Leases | None = None
        self._said_at = time.monotonic()
        self._silent = False
        self.left = False
        self.orphaned_at: float | None = None

    def abandon(self, reason: str, *, silently: bool = False) -> None:
        """End the payload and go: there is no master any more, or will not be in a moment.

        One that is about to go must not hear that a job was interrupted: it would begin it again.
        """
        self._silent |= silently
        if self.orphaned_at is None:
            self.orphaned_at = time.monotonic()
            self._queue.clear()
            self.stop(reason)

    def stop(self, reason: str) -> None:
        """End the payload, report it as interrupted, take no more jobs."""
        if not self._stopping:
            self._stopping = reason
            if self._attempt is not None and self._attempt.execution is not None:
                self._attempt.execution.stop()

    def step(self) -> bool:
        """Handle what has come and look after the payload; say whether anything happened."""
        happened = False
        for _, message in self._channel.receive():
            happened = True
            if self._master is not None:
                self._master.heard(MASTER)
            if isinstance(message, Welcome):
                self._welcome(message)
            elif isinstance(message, Examine):
                self._examine()
            elif isinstance(message, Assign):
                self._queue.append(message.job)
            elif isinstance(message, Cancel):
                self._cancel(message)
            elif isinstance(message, GiveBack):
                self._give_back(message.job, message.attempt, "given back to a rank that is idle")
            elif isinstance(message, Stop):
                self.stop(message.reason)
        self._look_after_the_master()
        happened |= self._see_whether_examined()
        self._look_at_memory()
        until = time.monotonic() + _TOGETHER_S
        while self._work():
            happened = True
            if time.monotonic() > until:
                break
        # Removing takes longer than starting what comes next.
        while self._left_over:
            PrivateDirectories.remove(self._left_over.pop())
        if self._stopping and self._attempt is None and not self._queue and not self.left:
            self._tell(Goodbye())
            if self._run is not None:
                self._run.servers.dismiss()
            self._guardian.dismiss()
            self.left = True
        self._channel.post()
        return happened

    def wakes(self) -> tuple[PayloadServer, ...]:
        """Give what can be read when there is something to do again, besides messages."""
        execution = self._attempt.execution if self._attempt is not None else None
        return () if execution is None else execution.wakes()

    def _work(self) -> bool:
        """Do what can be done for an attempt; say whether anything could."""
        if self._attempt is None and self._queue:
            self._begin(self._queue.popleft())
            return True
        return self._attempt is not None and self._advance(self._attempt)

    def _tell(self, message: Message) -> None:
        self._said_at = time.monotonic()
        if not self._silent:
            self._channel.send(MASTER, message)

    def _look_after_the_master(self) -> None:
        """Leave if the master is gone; give a sign of life if nothing was said for a while."""
        now = time.monotonic()
        if MASTER in self._channel.failed():
            self.abandon("the master died")
        if self._run is None or self._master is None:
            return
        lease = self._run.settings.lease
        if self._master.expired(now):
            self.abandon(f"the master gave no sign of life for {_master_lease(lease):g} s")
        if now - self._said_at > signs_every(lease):
            self._tell(Alive())

    def _give_back(self, job: int, attempt: int, reason: str) -> None:
        """Report an attempt that has not begun as interrupted; leave one that has as it is."""
        for given in self._queue:
            if (given.number, given.attempt) == (job, attempt):
                self._queue.remove(given)
                self._tell(Report(job, attempt, Outcome.INTERRUPTED, reason, 0.0, 0, 0, -1))
                return

    def _cancel(self, message: Cancel) -> None:
        self._give_back(message.job, message.attempt, message.reason)
        attempt = self._attempt
        wanted = (message.job, message.attempt)
        if attempt is not None and (attempt.job.number, attempt.job.attempt) == wanted:
            attempt.cancelled = message.reason
            if attempt.execution is not None:
                attempt.execution.stop()

    def _welcome(self, message: Welcome) -> None:
        host, reason = socket.gethostname(), ""
        directory = Path(message.directory)
        try:
            if (directory / ".token").read_text() != message.token:
                reason = f"{host} sees another {str(directory)!r} than the master"
            else:
                settings = with_scheduling(load_run(directory), message.scheduling)
                paths = paths_of(directory, settings)
                servers = Servers(self._guardian, nice=settings.nice, cold=settings.cold)
                working = PrivateDirectories(paths.tmp)
                self._run = _Run(settings, paths, make_engine(settings), servers, working)
                reason = "; ".join(self._run.engine.preflight())
        except OSError as error:
            reason = f"{host} cannot read the run directory {str(directory)!r} ({error.strerror})"
        except HvmpiError as error:
            reason = f"{host}: {error}"
        if self._run is not None:
            self._master = Leases(_master_lease(self._run.settings.lease))
            self._master.heard(MASTER)
            self._hold_back = HoldBack(host, self._run.settings.host_memory)
            # Before the master can give it a job.
            self._look_at_memory()
        self._tell(Hello(host, os.getpid(), reason, usable_cores(), __version__, time.time()))

    def _look_at_memory(self) -> None:
        held = self._hold_back.poll() if self._hold_back is not None else None
        if held is not None:
            self._tell(Held(held))

    def _examine(self) -> None:
        run = self._known_run()
        self._examination = Examination(run.engine, run.settings.preflight_timeout)

    def _see_whether_examined(self) -> bool:
        checks = self._examination.poll() if self._examination is not None else None
        if checks is None:
            return False
        self._tell(Examined(socket.gethostname(), checks))
        self._examination = None
        return True

    # One attempt

    def _begin(self, job: Job) -> None:
        run = self._known_run()
        if self._stopping:
            reason = self._stopping
            self._tell(Report(job.number, job.attempt, Outcome.INTERRUPTED, reason, 0.0, 0, 0, -1))
            return
        now = time.monotonic()
        paths = run.paths.attempt(job.number, job.attempt)
        attempt = _Attempt(job, paths, deque(), now, time.time(), now + run.settings.job_timeout)
        self._attempt = attempt
        inputs = Inputs.of(job, run.paths, run.settings)
        try:
            attempt.steps.extend(run.engine.steps(job, inputs, paths))
            if attempt.steps:
                attempt.has_directories = True
                PrivateDirectories.make_pair(paths.logs)
                run.working.make(paths.tmp)
        except OSError as error:
            failure = class_of_error(error)
            self._finish(attempt, Outcome.SETUP_FAILED, _os_reason(error), failure=failure)
        except HvmpiError as error:
            self._finish(attempt, Outcome.SETUP_FAILED, str(error))

    def _advance(self, attempt: _Attempt) -> bool:
        if attempt.errand is not None:
            if not attempt.errand.over():
                return False
            then, attempt.errand, attempt.then = attempt.then, None, None
            if then is not None:
                then()
            return True
        if attempt.execution is None:
            reason = attempt.cancelled or self._stopping
            if attempt.steps and reason:
                self._finish(attempt, Outcome.INTERRUPTED, reason)
            elif attempt.steps:
                self._start(attempt, attempt.steps[0])
            else:
                self._deliver(attempt)
            return True
        step = attempt.steps[0]
        try:
            result = attempt.execution.poll()
        except OSError as error:
            self._not_started(attempt, step, error)
            return True
        if result is None:
            return False
        lack = attempt.execution.lack_of_memory(result)
        self._step_ended(attempt, attempt.steps.popleft(), result, attempt.execution.lost, lack)
        return True

    def _start(self, attempt: _Attempt, step: Step) -> None:
        run = self._known_run()
        # Whatever the payload does to this rank, what ended before it is known.
        self._channel.post()
        try:
            attempt.execution = Execution(
                step,
                attempt.paths,
                servers=run.servers,
                timeout=max(attempt.deadline - time.monotonic(), 0.0),
                memory_mb=job_memory(run.settings),
            )
        except OSError as error:
            self._not_started(attempt, step, error)

    def _not_started(self, attempt: _Attempt, step: Step, error: OSError) -> None:
        reason = f"{step.name} cannot be started: {_os_reason(error)}"
        failure = class_of_error(error)
        self._finish(attempt, Outcome.SETUP_FAILED, reason, 127, failure=failure)

    def _step_ended(
        self, attempt: _Attempt, step: Step, result: PayloadResult, lost: OSError | None, lack: str
    ) -> None:
        run = self._known_run()
        log = attempt.paths.log_name(step.name)
        attempt.execution = None
        attempt.results.append(
            StepResult(
                step.name,
                round(result.wall_s, 4),
                round(result.cpu_s, 4),
                round(result.max_rss_mb, 1),
                result.exit_code,
                parts_of(None, result.began, result.wall_s) if run.settings.profile else {},
            )
        )
        if result.stopped:
            reason = attempt.cancelled or self._stopping
            self._finish(attempt, Outcome.INTERRUPTED, reason, result.exit_code)
        elif result.timed_out:
            reason = f"{step.name} took longer than job-timeout ({run.settings.job_timeout:g} s)"
            reason += _STUCK if result.stuck else ""
            failure = FailureClass.RESOURCES
            self._finish(
                attempt, Outcome.TIMED_OUT, reason, result.exit_code, failure=failure, where=log
            )
        elif lack:
            failure = FailureClass.RESOURCES
            self._finish(
                attempt, Outcome.OUT_OF_MEMORY, lack, result.exit_code, failure=failure, where=log
            )
        elif result.lost:
            reason = f"{step.name} ended with the process that started it, which was killed"
            failure = FailureClass.PASSING
            self._finish(
                attempt, Outcome.SETUP_FAILED, reason, result.exit_code, failure=failure, where=log
            )
        elif lost is not None:
            reason = f"what {step.name} left for its logs could not be kept: {_os_reason(lost)}"
            failure = class_of_error(lost)
            self._finish(
                attempt, Outcome.SETUP_FAILED, reason, result.exit_code, failure=failure, where=log
            )
        else:
            self._look_at_outputs(attempt, step, result)

    def _look_at_outputs(self, attempt: _Attempt, step: Step, result: PayloadResult) -> None:
        run = self._known_run()
        check = partial(run.engine.check, attempt.job, step, result.exit_code)
        if not step.leaves_files:
            self._judge(attempt, step, result.exit_code, check)
            return

        def look() -> Verdict:
            if run.settings.profile:
                parts = parts_of(step.report, result.began, result.wall_s)
                attempt.results[-1] = replace(attempt.results[-1], parts=parts)
            return check()

        errand = Errand(look, _errand_patience(run.settings.lease))
        attempt.errand = errand
        attempt.then = partial(self._judge, attempt, step, result.exit_code, errand.result)

    def _judge(
        self, attempt: _Attempt, step: Step, exit_code: int, check: Callable[[], Verdict]
    ) -> None:
        log = attempt.paths.log_name(step.name)
        try:
            verdict = check()
        except TimeoutError as error:
            reason = f"what {step.name} made could not be checked: {_os_reason(error)}"
            failure = class_of_error(error)
            self._finish(
                attempt, Outcome.SETUP_FAILED, reason, exit_code, failure=failure, where=log
            )
            return
        if verdict.outcome is not Outcome.DONE:
            self._finish(
                attempt,
                verdict.outcome,
                verdict.reason,
                exit_code,
                failure=verdict.failure,
                where=verdict.where or log,
            )
            return
        made = step.outputs if verdict.outputs is None else verdict.outputs
        attempt.outputs.extend(made)
        if verdict.events >= 0:
            attempt.events_out = verdict.events
        if verdict.reason:
            attempt.remarks.append(verdict.reason)

    def _deliver(self, attempt: _Attempt) -> None:
        run = self._known_run()
        kept = [o for o in attempt.outputs if o.product in run.settings.brought]
        if not kept:
            self._delivered(attempt, ())
            return
        errand = Errand(
            lambda: tuple(bring(output, attempt.job, run.paths, run.settings) for output in kept),
            _errand_patience(run.settings.lease),
        )
        attempt.errand = errand
        attempt.then = partial(self._brought, attempt, errand)

    def _brought(self, attempt: _Attempt, errand: Errand[tuple[Output, ...]]) -> None:
        try:
            outputs = errand.result()
        except OSError as error:
            reason = f"an output could not be brought to its place: {_os_reason(error)}"
            failure = class_of_error(error)
            self._finish(attempt, Outcome.SETUP_FAILED, reason, failure=failure)
            return
        self._delivered(attempt, outputs)

    def _delivered(self, attempt: _Attempt, outputs: tuple[Output, ...]) -> None:
        run = self._known_run()
        events_out = attempt.job.events if attempt.events_out < 0 else attempt.events_out
        if self.orphaned_at is not None:
            # Nobody will hear of them.
            for output in outputs:
                run.paths.resolve(output.part).unlink(missing_ok=True)
        told = "; ".join(attempt.remarks)
        self._finish(attempt, Outcome.DONE, told, outputs=outputs, events_out=events_out)

    def _finish(
        self,
        attempt: _Attempt,
        outcome: Outcome,
        reason: str,
        exit_code: int = 0,
        *,
        failure: FailureClass = FailureClass.NONE,
        where: str = "",
        outputs: tuple[Output, ...] = (),
        events_out: int = -1,
    ) -> None:
        if attempt.has_directories:
            self._left_over.append(attempt.paths.tmp)
        self._tell(
            Report(
                job=attempt.job.number,
                attempt=attempt.job.attempt,
                outcome=outcome,
                reason=reason,
                wall_s=round(time.monotonic() - attempt.began, 4),
                exit_code=exit_code,
                signal=max(-exit_code, 0),
                events_out=events_out,
                outputs=outputs,
                steps=tuple(attempt.results),
                failure=failure,
                where=where,
                began=attempt.began_at,
            ),
        )
        self._attempt = None

    def _known_run(self) -> _Run:
        if self._run is None:
            msg = "a job came before the run that it belongs to"
            raise RuntimeError(msg)
        return self._run


def _os_reason(error: OSError) -> str:
    where = f" {str(error.filename)!r}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _master_lease(lease: float) -> float:
    return max(_MASTER_LEASES * lease, _MASTER_LEAST_S)


def _errand_patience(lease: float) -> float:
    return max(_ERRAND_LEASES * lease, _ERRAND_LEAST_S)


def serve(channel: Channel) -> bool:
    """Work until the master says stop, or is gone.

    Returns
    -------
    bool
        Whether there is still a master.
    """
    worker = Worker(channel)
    idle = Idle()
    received: list[int] = []

    def on_signal(number: int, _frame: Any) -> None:
        received.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, on_signal)
    launcher = os.getppid()
    while not worker.left:
        if received:
            worker.stop(f"the worker got {signal.Signals(received[0]).name}")
        if os.getppid() != launcher:
            worker.abandon("mpirun is gone", silently=True)
        if worker.orphaned_at is not None and time.monotonic() - worker.orphaned_at > _ORPHAN_S:
            return False
        if worker.step():
            idle.reset()
        else:
            idle.wait(worker.wakes())
    if worker.orphaned_at is not None:
        return False
    part(channel)
    return True
