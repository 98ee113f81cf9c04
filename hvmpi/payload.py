"""One payload: its log, time limit, what it used, and the certain end of all of it."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvmpi.engine import Warm
from hvmpi.memory import Meter
from hvmpi.payload_server import KILL, TERM
from hvmpi.servers import PayloadServer

__all__ = ["Payload", "PayloadResult"]

_GRACE_S = 5.0
_LINGER_S = 10.0
_DEAF_S = 1.0
_STUCK_S = 4.0
_BY_KILL = {-signal.SIGKILL, 128 + signal.SIGKILL}
"""Exit codes of what was killed, by itself or as the child of a shell."""


@dataclass(frozen=True, slots=True)
class PayloadResult:
    """How a payload ended and what it used.

    Attributes
    ----------
    exit_code : int
        Negative: ended by that signal.
    max_rss_mb : float
        The most memory that it was seen to use: all its processes together, or one of them.
    timed_out, stopped : bool
        Whether we ended it: at its time limit, or because we were asked to.
    over_mb : float
        What all its processes used together when we ended it for that; 0 where we did not.
    kernel_killed : bool
        Whether the kernel killed it for want of memory.
    stuck : bool
        Whether it is there still, killed but held by the kernel: a file system does not answer.
    lost : bool
        Whether it was ended because the server that started it died.
    began : float
        When it was asked for, by the monotonic clock.
    """

    exit_code: int
    wall_s: float
    cpu_s: float
    max_rss_mb: float
    timed_out: bool
    stopped: bool
    over_mb: float = 0.0
    kernel_killed: bool = False
    stuck: bool = False
    lost: bool = False
    began: float = 0.0


class Payload:
    """A running child of a payload server, in a session and process group of its own.

    It is over when no process is left that descends from it: what its first process leaves running
    is killed.

    Parameters
    ----------
    argv : sequence of str
        Never seen by a shell.
    environment : mapping
        The whole environment, but for the mark of its server.
    directory : Path
        Working directory.
    log : Path
        Gets standard output and standard error; added to if it is there.
    timeout : float
        Seconds until it is ended.
    server : PayloadServer
        Starts it.
    memory_mb : int, optional
        What all its processes may use together until it is ended.
    warm : Warm, optional
        What the server does in the place of `argv`, with its libraries loaded.
    blank : str, optional
        The server's blank log: `log` is made of it unless the payload ends well, at once, and
        without a word.

    Raises
    ------
    OSError
        If there is no such program.
    """

    def __init__(
        self,
        argv: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        timeout: float,
        server: PayloadServer,
        memory_mb: int | None = None,
        warm: Warm | None = None,
        blank: str = "",
    ) -> None:
        # By the payload's own PATH.
        program = shutil.which(argv[0], path=environment.get("PATH"))
        if program is None:
            raise FileNotFoundError(2, "No such program", argv[0])
        self._began = time.monotonic()
        self._deadline = self._began + timeout
        self._kill_at: float | None = None
        self._killed_at = 0.0
        self._lost_at: float | None = None
        self._timed_out = False
        self._stopped = False
        self._over_mb = 0.0
        self._pid = 0
        self._end: dict[str, Any] | None = None
        self._server = server
        self._meter = Meter(memory_mb)
        server.start(
            environment,
            program=program,
            argv=argv,
            directory=str(directory),
            log=str(log),
            blank=blank,
            module=warm.module if warm else "",
            words=warm.argv if warm else (),
            load=warm.load if warm else (),
        )

    def wakes(self) -> tuple[PayloadServer, ...]:
        """Give what can be read when there is something to `poll` for, where that is known."""
        return () if self._server.lost else (self._server,)

    @property
    def pid(self) -> int:
        """Process number, which is that of its group and session too; 0 until it is known."""
        return self._pid

    def poll(self) -> PayloadResult | None:
        """Give the result when all has ended; enforce the time limit when it has not.

        Raises
        ------
        OSError
            If the program could not be started.
        """
        self._server.look_after()
        now = time.monotonic()
        for answer in self._server.answers():
            self._hear(answer)
        if self._end is not None:
            return self._result(now, self._end)
        if self._kill_at is not None and now > self._kill_at + _STUCK_S:
            self._server.leave_behind()
            return self._result(now, None, stuck=True)
        if self._server.lost:
            return self._end_orphans(now)
        self._meter.look()
        self._enforce(now)
        return None

    def stop(self) -> None:
        """Ask all its processes to end; `poll` kills those that do not within five seconds."""
        if self._kill_at is None and self._end is None:
            self._stopped = True
            self._ask_to_end()

    def _hear(self, answer: dict[str, Any]) -> None:
        if "failed" in answer:
            raise OSError(answer["failed"], answer["why"], answer["name"] or None)
        if "started" in answer:
            self._pid = answer["started"]
            self._meter.begin(self._pid, self._server.pid)
        else:
            self._pid, self._end = answer["ended"], answer

    def _result(
        self, now: float, end: dict[str, Any] | None, *, stuck: bool = False, lost: bool = False
    ) -> PayloadResult:
        if end is not None and end["left"]:
            self._server.leave_behind()
        exit_code = -int(signal.SIGKILL) if end is None else end["code"]
        by_us = self._kill_at is not None
        return PayloadResult(
            exit_code=exit_code,
            wall_s=now - self._began,
            cpu_s=0.0 if end is None else end["cpu_s"],
            max_rss_mb=self._meter.peak_mb(0 if end is None else end["max_rss_kb"]),
            timed_out=self._timed_out,
            stopped=self._stopped,
            over_mb=self._over_mb,
            kernel_killed=exit_code in _BY_KILL and not by_us and self._meter.kernel_killed(),
            stuck=stuck,
            lost=lost and not by_us,
            began=self._began,
        )

    def _end_orphans(self, now: float) -> PayloadResult | None:
        """End what the server left behind when it died."""
        if self._lost_at is None:
            self._lost_at = now
        if not self._server.kill() and now < self._lost_at + _LINGER_S:
            return None
        return self._result(now, None, lost=True)

    def _enforce(self, now: float) -> None:
        if self._kill_at is not None:
            if now > self._kill_at and not self._killed_at:
                self._killed_at = now
                self._server.ask(KILL)
            elif self._killed_at and now > self._killed_at + _DEAF_S:
                # It loads something, or was stopped.
                self._server.kill()
        elif now > self._deadline:
            self._timed_out = True
            self._ask_to_end()
        elif self._meter.over_mb:
            self._over_mb = self._meter.over_mb
            self._ask_to_end()

    def _ask_to_end(self) -> None:
        self._kill_at = time.monotonic() + _GRACE_S
        self._server.ask(TERM)
