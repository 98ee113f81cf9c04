"""A worker rank: hears what the master wants, has one attempt under way, reports how it ended."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any

from hvmpi import __version__
from hvmpi.attempt import Attempt, Workplace
from hvmpi.campaign.jobs import Job, Outcome
from hvmpi.campaign.run import paths_of
from hvmpi.channel import MASTER, Channel, Idle, part
from hvmpi.engine import make_engine
from hvmpi.errors import HvmpiError
from hvmpi.files import PrivateDirectories
from hvmpi.guardian import Guardian
from hvmpi.hosts import usable_cores
from hvmpi.leases import Leases, signs_every
from hvmpi.memory import HoldBack
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
from hvmpi.preflight import Examination
from hvmpi.servers import PayloadServer, Servers
from hvmpi.settings import load_run, with_scheduling

__all__ = ["Worker", "serve"]

_MASTER_LEASES = 3.0
_MASTER_LEAST_S = 60.0
"""A master is given more time than a worker: without it all is over."""
_ORPHAN_S = 8.0
"""How long payloads may take to end when there is nobody left to tell of it."""
_TOGETHER_S = 0.001
"""How long jobs that need no process are done before the master hears of them."""


class Worker:
    """A worker's state; `step` does what there is to do and never waits.

    Parameters
    ----------
    channel : Channel
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._run: Workplace | None = None
        self._queue: deque[Job] = deque()
        self._attempt: Attempt | None = None
        self._left_over: list[Attempt] = []
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
            if self._attempt is not None:
                self._attempt.interrupt(reason)

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
            self._left_over.pop().clear_up()
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
        return () if self._attempt is None else self._attempt.wakes()

    def _work(self) -> bool:
        """Do what can be done for an attempt; say whether anything could."""
        if self._attempt is None and self._queue:
            self._begin(self._queue.popleft())
            return True
        attempt = self._attempt
        if attempt is None or not attempt.advance():
            return False
        self._see_whether_ended(attempt)
        return True

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
            attempt.interrupt(message.reason)

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
                self._run = Workplace(settings, paths, make_engine(settings), servers, working)
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

    def _begin(self, job: Job) -> None:
        if self._stopping:
            reason = self._stopping
            self._tell(Report(job.number, job.attempt, Outcome.INTERRUPTED, reason, 0.0, 0, 0, -1))
            return
        # Whatever a payload does to this rank, what ended before it is known.
        self._attempt = Attempt(job, self._known_run(), self._channel.post)
        self._see_whether_ended(self._attempt)

    def _see_whether_ended(self, attempt: Attempt) -> None:
        if attempt.report is None:
            return
        if self.orphaned_at is not None:
            # Nobody will hear of them.
            for output in attempt.report.outputs:
                self._known_run().paths.resolve(output.part).unlink(missing_ok=True)
        self._tell(attempt.report)
        self._left_over.append(attempt)
        self._attempt = None

    def _known_run(self) -> Workplace:
        if self._run is None:
            msg = "a job came before the run that it belongs to"
            raise RuntimeError(msg)
        return self._run


def _master_lease(lease: float) -> float:
    return max(_MASTER_LEASES * lease, _MASTER_LEAST_S)


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
        happened = worker.step()
        if happened:
            idle.reset()
        wakes = worker.wakes()
        if wakes or not happened:
            idle.wait(wakes)
    if worker.orphaned_at is not None:
        return False
    part(channel)
    return True
