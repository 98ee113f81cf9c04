"""A worker rank: takes a job, runs its steps as child processes, brings the outputs, reports."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hvmpi import __version__
from hvmpi.campaign.jobs import NEEDED, FailureClass, Job, Outcome, Output, StepResult
from hvmpi.campaign.paths import SUFFIXES, AttemptPaths, RunPaths
from hvmpi.campaign.retry import class_of_error
from hvmpi.campaign.run import paths_of
from hvmpi.channel import Channel, Idle
from hvmpi.engine import Engine, Inputs, Step, StepOutput, make_engine
from hvmpi.errors import HvmpiError
from hvmpi.execution import Execution
from hvmpi.files import sha256_of, sync_directory, sync_file
from hvmpi.guardian import Guardian
from hvmpi.hosts import usable_cores
from hvmpi.memory import HoldBack, job_memory
from hvmpi.messages import Assign, Examine, Examined, Goodbye, Held, Hello, Report, Stop, Welcome
from hvmpi.payload import PayloadResult
from hvmpi.preflight import Examination
from hvmpi.settings import Settings, load_run, with_scheduling

__all__ = ["Worker", "serve"]

MASTER = 0


@dataclass
class _Attempt:
    """An attempt under way."""

    job: Job
    paths: AttemptPaths
    steps: deque[Step]
    began: float
    deadline: float
    execution: Execution | None = None
    results: list[StepResult] = field(default_factory=list)
    outputs: list[StepOutput] = field(default_factory=list)
    events_out: int = -1


@dataclass(frozen=True)
class _Run:
    """What a worker knows of the run that it works for."""

    settings: Settings
    paths: RunPaths
    engine: Engine


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
        self._stopping = ""
        self._examination: Examination | None = None
        self._guardian = Guardian()
        self._hold_back: HoldBack | None = None
        self.left = False

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
            if isinstance(message, Welcome):
                self._welcome(message)
            elif isinstance(message, Examine):
                self._examine()
            elif isinstance(message, Assign):
                self._queue.append(message.job)
            elif isinstance(message, Stop):
                self.stop(message.reason)
        happened |= self._see_whether_examined()
        self._look_at_memory()
        if self._attempt is None and self._queue:
            self._begin(self._queue.popleft())
            happened = True
        if self._attempt is not None:
            happened |= self._advance(self._attempt)
        if self._stopping and self._attempt is None and not self._queue and not self.left:
            self._channel.send(MASTER, Goodbye())
            self._guardian.dismiss()
            self.left = True
        return happened

    def _welcome(self, message: Welcome) -> None:
        host, reason = socket.gethostname(), ""
        directory = Path(message.directory)
        try:
            if (directory / ".token").read_text() != message.token:
                reason = f"{host} sees another {str(directory)!r} than the master"
            else:
                settings = with_scheduling(load_run(directory), message.scheduling)
                self._run = _Run(settings, paths_of(directory, settings), make_engine(settings))
                reason = "; ".join(self._run.engine.preflight())
        except OSError as error:
            reason = f"{host} cannot read the run directory {str(directory)!r} ({error.strerror})"
        except HvmpiError as error:
            reason = f"{host}: {error}"
        if self._run is not None:
            self._hold_back = HoldBack(host, self._run.settings.host_memory)
            # Before the master can give it a job.
            self._look_at_memory()
        self._channel.send(
            MASTER, Hello(host, os.getpid(), reason, usable_cores(), __version__, time.time())
        )

    def _look_at_memory(self) -> None:
        held = self._hold_back.poll() if self._hold_back is not None else None
        if held is not None:
            self._channel.send(MASTER, Held(held))

    def _examine(self) -> None:
        run = self._known_run()
        self._examination = Examination(run.engine, run.settings.preflight_timeout)

    def _see_whether_examined(self) -> bool:
        checks = self._examination.poll() if self._examination is not None else None
        if checks is None:
            return False
        self._channel.send(MASTER, Examined(socket.gethostname(), checks))
        self._examination = None
        return True

    # One attempt

    def _begin(self, job: Job) -> None:
        run = self._known_run()
        now = time.monotonic()
        paths = run.paths.attempt(job.number, job.attempt)
        attempt = _Attempt(job, paths, deque(), now, now + run.settings.job_timeout)
        self._attempt = attempt
        if self._stopping:
            self._finish(attempt, Outcome.INTERRUPTED, self._stopping)
            return
        inputs = Inputs.of(job, run.paths, run.settings)
        try:
            attempt.steps.extend(run.engine.steps(job, inputs, paths))
            if attempt.steps:
                paths.logs.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(paths.tmp, ignore_errors=True)
                paths.tmp.mkdir(parents=True)
        except OSError as error:
            failure = class_of_error(error)
            self._finish(attempt, Outcome.SETUP_FAILED, _os_reason(error), failure=failure)
        except HvmpiError as error:
            self._finish(attempt, Outcome.SETUP_FAILED, str(error))

    def _advance(self, attempt: _Attempt) -> bool:
        if attempt.execution is None:
            if attempt.steps:
                self._start(attempt, attempt.steps[0])
            else:
                self._deliver(attempt)
            return True
        result = attempt.execution.poll()
        if result is None:
            return False
        lack = attempt.execution.lack_of_memory(result)
        self._step_ended(attempt, attempt.steps.popleft(), result, attempt.execution.lost, lack)
        return True

    def _start(self, attempt: _Attempt, step: Step) -> None:
        run = self._known_run()
        try:
            attempt.execution = Execution(
                step,
                attempt.paths,
                guardian=self._guardian,
                nice=run.settings.nice,
                timeout=max(attempt.deadline - time.monotonic(), 0.0),
                memory_mb=job_memory(run.settings),
            )
        except OSError as error:
            reason = f"{step.name} cannot be started: {_os_reason(error)}"
            failure = class_of_error(error)
            self._finish(attempt, Outcome.SETUP_FAILED, reason, 127, failure=failure)

    def _step_ended(
        self, attempt: _Attempt, step: Step, result: PayloadResult, lost: OSError | None, lack: str
    ) -> None:
        run = self._known_run()
        log = attempt.paths.step_log(step.name).name
        attempt.execution = None
        attempt.results.append(
            StepResult(
                step.name,
                round(result.wall_s, 4),
                round(result.cpu_s, 4),
                round(result.max_rss_mb, 1),
                result.exit_code,
            )
        )
        if result.stopped:
            self._finish(attempt, Outcome.INTERRUPTED, self._stopping, result.exit_code)
        elif result.timed_out:
            reason = f"{step.name} took longer than job-timeout ({run.settings.job_timeout:g} s)"
            failure = FailureClass.RESOURCES
            self._finish(
                attempt, Outcome.TIMED_OUT, reason, result.exit_code, failure=failure, where=log
            )
        elif lack:
            failure = FailureClass.RESOURCES
            self._finish(
                attempt, Outcome.OUT_OF_MEMORY, lack, result.exit_code, failure=failure, where=log
            )
        elif lost is not None:
            reason = f"what {step.name} left for its logs could not be kept: {_os_reason(lost)}"
            failure = class_of_error(lost)
            self._finish(
                attempt, Outcome.SETUP_FAILED, reason, result.exit_code, failure=failure, where=log
            )
        else:
            verdict = run.engine.check(attempt.job, step, result.exit_code)
            if verdict.outcome is not Outcome.DONE:
                self._finish(
                    attempt,
                    verdict.outcome,
                    verdict.reason,
                    result.exit_code,
                    failure=verdict.failure,
                    where=verdict.where or log,
                )
                return
            made = step.outputs if verdict.outputs is None else verdict.outputs
            attempt.outputs.extend(made)
            if verdict.events >= 0:
                attempt.events_out = verdict.events

    def _deliver(self, attempt: _Attempt) -> None:
        run = self._known_run()
        kept = [o for o in attempt.outputs if o.product in NEEDED.union(run.settings.keep)]
        events_out = attempt.job.events if attempt.events_out < 0 else attempt.events_out
        try:
            outputs = tuple(_bring(run, attempt.job, output) for output in kept)
        except OSError as error:
            reason = f"an output could not be brought to its place: {_os_reason(error)}"
            failure = class_of_error(error)
            self._finish(attempt, Outcome.SETUP_FAILED, reason, failure=failure)
            return
        self._finish(attempt, Outcome.DONE, "", outputs=outputs, events_out=events_out)

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
        with contextlib.suppress(OSError):
            shutil.rmtree(attempt.paths.tmp, ignore_errors=True)
        self._channel.send(
            MASTER,
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
            ),
        )
        self._attempt = None

    def _known_run(self) -> _Run:
        if self._run is None:
            msg = "a job came before the run that it belongs to"
            raise RuntimeError(msg)
        return self._run


def _bring(run: _Run, job: Job, output: StepOutput) -> Output:
    """Copy an output beside its final place and bring it to the disk."""
    suffix = SUFFIXES[run.engine.name][output.product]
    final = (
        run.paths.resolve(job.event_file.path)
        if output.product == "evnt"
        else run.paths.product_directory(output.product) / output.name
        if output.name
        else run.paths.product(output.product, job.stem, suffix)
    )
    part = run.paths.part(final, job.attempt)
    try:
        # On one file system a rename costs nothing.
        output.path.rename(part)
    except OSError:
        shutil.copyfile(output.path, part)
    sync_file(part)
    sync_directory(part.parent)
    return Output(
        product=output.product,
        part=run.paths.stored(part),
        path=run.paths.stored(final),
        size=part.stat().st_size,
        sha256=sha256_of(part),
    )


def _os_reason(error: OSError) -> str:
    where = f" {str(error.filename)!r}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def serve(channel: Channel) -> None:
    """Work until the master says stop."""
    worker = Worker(channel)
    idle = Idle()
    received: list[int] = []

    def on_signal(number: int, _frame: Any) -> None:
        received.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, on_signal)
    while not worker.left:
        if received:
            worker.stop(f"the worker got {signal.Signals(received[0]).name}")
        if worker.step():
            idle.reset()
        else:
            idle.wait()
    channel.flush(10.0)
