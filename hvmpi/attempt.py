"""One attempt of a job: its steps one after the other, each judged, what they made brought."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hvmpi.campaign.jobs import FailureClass, Job, Outcome, Output, StepResult
from hvmpi.campaign.paths import RunPaths
from hvmpi.campaign.retry import class_of_error
from hvmpi.delivery import bring
from hvmpi.engine import Engine, Inputs, Step, StepOutput, Verdict
from hvmpi.errand import Errand
from hvmpi.errors import HvmpiError
from hvmpi.execution import Execution
from hvmpi.files import PrivateDirectories
from hvmpi.memory import job_memory
from hvmpi.messages import Report
from hvmpi.payload import PayloadResult
from hvmpi.servers import PayloadServer, Servers
from hvmpi.settings import Settings
from hvmpi.stopwatch import parts_of

__all__ = ["Attempt", "Workplace"]

_STUCK = ", and cannot be killed: a file system that it uses does not answer"

_ERRAND_LEASES = 10.0
_ERRAND_LEAST_S = 600.0
"""Sums and copies of large outputs take their time; a file system that stalls takes for ever."""


@dataclass(frozen=True)
class Workplace:
    """What the attempts of a run find at a worker.

    Attributes
    ----------
    settings : Settings
    paths : RunPaths
    engine : Engine
    servers : Servers
        Start payloads.
    working : PrivateDirectories
        Makes their working directories.
    """

    settings: Settings
    paths: RunPaths
    engine: Engine
    servers: Servers
    working: PrivateDirectories


class Attempt:
    """An attempt under way; `advance` does what there is to do and never waits.

    Parameters
    ----------
    job : Job
    workplace : Workplace
    before_payload : callable
        Called before a payload starts, which may take this process along.

    Attributes
    ----------
    job : Job
    report : Report or None
        How it ended; None while it goes on.
    """

    def __init__(self, job: Job, workplace: Workplace, before_payload: Callable[[], None]) -> None:
        self.job = job
        self.report: Report | None = None
        self._workplace = workplace
        self._before_payload = before_payload
        self._began = time.monotonic()
        self._began_at = time.time()
        self._deadline = self._began + workplace.settings.job_timeout
        self._paths = workplace.paths.attempt(job.number, job.attempt)
        self._steps: deque[Step] = deque()
        self._execution: Execution | None = None
        self._errand: Errand[Any] | None = None
        self._then: Callable[[], None] | None = None
        self._has_directories = False
        self._interrupted = ""
        self._results: list[StepResult] = []
        self._outputs: list[StepOutput] = []
        self._events_out = -1
        self._remarks: list[str] = []
        self._prepare()

    def interrupt(self, reason: str) -> None:
        """End the payload; no further step begins. The first reason counts."""
        self._interrupted = self._interrupted or reason
        if self._execution is not None:
            self._execution.stop()

    def wakes(self) -> tuple[PayloadServer, ...]:
        """Give what can be read when there is something to do again, where that is known."""
        return () if self._execution is None else self._execution.wakes()

    def clear_up(self) -> None:
        """Remove the working directory of one that is over."""
        self._workplace.working.clear()

    def _prepare(self) -> None:
        run = self._workplace
        inputs = Inputs.of(self.job, run.paths, run.settings)
        try:
            self._steps.extend(run.engine.steps(self.job, inputs, self._paths))
            if self._steps:
                self._has_directories = True
                if not all(map(self._needs_no_log, self._steps)):
                    PrivateDirectories.make_pair(self._paths.logs)
                run.working.make(self._paths.tmp)
        except OSError as error:
            failure = class_of_error(error)
            self._finish(Outcome.SETUP_FAILED, _os_reason(error), failure=failure)
        except HvmpiError as error:
            self._finish(Outcome.SETUP_FAILED, str(error))

    def _needs_no_log(self, step: Step) -> bool:
        """Say whether nobody misses the log of a step that ends well without a word."""
        return not (step.leaves_files or self._workplace.settings.keep_logs)

    def advance(self) -> bool:
        """Do what can be done; say whether anything could."""
        if self._errand is not None:
            if not self._errand.over():
                return False
            then, self._errand, self._then = self._then, None, None
            if then is not None:
                then()
            return True
        if self._execution is None:
            if self._steps and self._interrupted:
                self._finish(Outcome.INTERRUPTED, self._interrupted)
            elif self._steps:
                self._start(self._steps[0])
                # A payload that has just begun has nothing to say.
                return self._execution is None
            else:
                self._deliver()
            return True
        step = self._steps[0]
        try:
            result = self._execution.poll()
        except OSError as error:
            self._not_started(step, error)
            return True
        if result is None:
            return False
        lack = self._execution.lack_of_memory(result)
        self._step_ended(self._steps.popleft(), result, self._execution.lost, lack)
        return True

    def _start(self, step: Step) -> None:
        run = self._workplace
        self._before_payload()
        try:
            self._execution = Execution(
                step,
                self._paths,
                servers=run.servers,
                timeout=max(self._deadline - time.monotonic(), 0.0),
                memory_mb=job_memory(run.settings),
                all_logs=run.paths.logs if self._needs_no_log(step) else None,
            )
        except OSError as error:
            self._not_started(step, error)

    def _not_started(self, step: Step, error: OSError) -> None:
        reason = f"{step.name} cannot be started: {_os_reason(error)}"
        failure = class_of_error(error)
        self._finish(Outcome.SETUP_FAILED, reason, 127, failure=failure)

    def _step_ended(
        self, step: Step, result: PayloadResult, lost: OSError | None, lack: str
    ) -> None:
        log = self._paths.log_name(step.name)
        self._execution = None
        self._results.append(
            StepResult(
                step.name,
                round(result.wall_s, 4),
                round(result.cpu_s, 4),
                round(result.max_rss_mb, 1),
                result.exit_code,
                parts_of(None, result.began, result.wall_s) if self._is_profiled else {},
            )
        )
        if result.stopped:
            self._finish(Outcome.INTERRUPTED, self._interrupted, result.exit_code)
        elif result.timed_out:
            limit = self._workplace.settings.job_timeout
            reason = f"{step.name} took longer than job-timeout ({limit:g} s)"
            reason += _STUCK if result.stuck else ""
            failure = FailureClass.RESOURCES
            self._finish(Outcome.TIMED_OUT, reason, result.exit_code, failure=failure, where=log)
        elif lack:
            failure = FailureClass.RESOURCES
            self._finish(Outcome.OUT_OF_MEMORY, lack, result.exit_code, failure=failure, where=log)
        elif result.lost:
            reason = f"{step.name} ended with the process that started it, which was killed"
            failure = FailureClass.PASSING
            self._finish(Outcome.SETUP_FAILED, reason, result.exit_code, failure=failure, where=log)
        elif lost is not None:
            reason = f"what {step.name} left for its logs could not be kept: {_os_reason(lost)}"
            failure = class_of_error(lost)
            self._finish(Outcome.SETUP_FAILED, reason, result.exit_code, failure=failure, where=log)
        else:
            self._look_at_outputs(step, result)

    @property
    def _is_profiled(self) -> bool:
        return self._workplace.settings.profile

    def _look_at_outputs(self, step: Step, result: PayloadResult) -> None:
        run = self._workplace
        check = partial(run.engine.check, self.job, step, result.exit_code)
        if not step.leaves_files:
            self._judge(step, result.exit_code, check)
            return

        def look() -> Verdict:
            if self._is_profiled:
                parts = parts_of(step.report, result.began, result.wall_s)
                self._results[-1] = replace(self._results[-1], parts=parts)
            return check()

        errand = Errand(look, _errand_patience(run.settings.lease))
        self._errand = errand
        self._then = partial(self._judge, step, result.exit_code, errand.result)

    def _judge(self, step: Step, exit_code: int, check: Callable[[], Verdict]) -> None:
        log = self._paths.log_name(step.name)
        try:
            verdict = check()
        except TimeoutError as error:
            reason = f"what {step.name} made could not be checked: {_os_reason(error)}"
            failure = class_of_error(error)
            self._finish(Outcome.SETUP_FAILED, reason, exit_code, failure=failure, where=log)
            return
        if verdict.outcome is not Outcome.DONE:
            with contextlib.suppress(OSError):
                # Of one that ended well without a word, but did not what it was asked for.
                PrivateDirectories.make_pair(self._paths.logs)
                (self._paths.logs / log).touch(0o600)
            self._finish(
                verdict.outcome,
                verdict.reason,
                exit_code,
                failure=verdict.failure,
                where=verdict.where or log,
            )
            return
        made = step.outputs if verdict.outputs is None else verdict.outputs
        self._outputs.extend(made)
        if verdict.events >= 0:
            self._events_out = verdict.events
        if verdict.reason:
            self._remarks.append(verdict.reason)

    def _deliver(self) -> None:
        run = self._workplace
        kept = [o for o in self._outputs if o.product in run.settings.brought]
        if not kept:
            self._delivered(())
            return
        errand = Errand(
            lambda: tuple(bring(output, self.job, run.paths, run.settings) for output in kept),
            _errand_patience(run.settings.lease),
        )
        self._errand = errand
        self._then = partial(self._brought, errand)

    def _brought(self, errand: Errand[tuple[Output, ...]]) -> None:
        try:
            outputs = errand.result()
        except OSError as error:
            reason = f"an output could not be brought to its place: {_os_reason(error)}"
            failure = class_of_error(error)
            self._finish(Outcome.SETUP_FAILED, reason, failure=failure)
            return
        self._delivered(outputs)

    def _delivered(self, outputs: tuple[Output, ...]) -> None:
        events_out = self.job.events if self._events_out < 0 else self._events_out
        told = "; ".join(self._remarks)
        self._finish(Outcome.DONE, told, outputs=outputs, events_out=events_out)

    def _finish(
        self,
        outcome: Outcome,
        reason: str,
        exit_code: int = 0,
        *,
        failure: FailureClass = FailureClass.NONE,
        where: str = "",
        outputs: tuple[Output, ...] = (),
        events_out: int = -1,
    ) -> None:
        if self._has_directories:
            self._workplace.working.leave(self._paths.tmp)
        self.report = Report(
            job=self.job.number,
            attempt=self.job.attempt,
            outcome=outcome,
            reason=reason,
            wall_s=round(time.monotonic() - self._began, 4),
            exit_code=exit_code,
            signal=max(-exit_code, 0),
            events_out=events_out,
            outputs=outputs,
            steps=tuple(self._results),
            failure=failure,
            where=where,
            began=self._began_at,
        )


def _os_reason(error: OSError) -> str:
    where = f" {str(error.filename)!r}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _errand_patience(lease: float) -> float:
    return max(_ERRAND_LEASES * lease, _ERRAND_LEAST_S)
