"""One child process: niceness, environment, log, time limit, what it used, and its certain end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hvmpi.guardian import Guardian, telling
from hvmpi.memory import Meter
from hvmpi.session import end_session, signal_session

__all__ = ["Payload", "PayloadResult", "child_environment"]

_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "LD_LIBRARY_PATH")
_GRACE_S = 5.0
_LINGER_S = 10.0
_STUCK_S = 4.0

# What a payload makes is its owner's alone until it is published.
_ALSO = "umask 077; {{ echo {score} >/proc/self/oom_score_adj; }} 2>/dev/null; "

_OOM_SCORE = 500
"""Added to a rank's own: where memory runs out, the kernel takes a payload first, never a rank."""
_OOM_SCORE_MOST = 1000
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_BY_KILL = {-signal.SIGKILL, 128 + signal.SIGKILL}
"""Exit codes of what was killed, by itself or as the child of a shell."""

# A child that itself sees a launcher's variables takes itself for a rank and hangs; threads of
# numerical libraries would fight with the other ranks of the host.
_FIXED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


def child_environment(tmp: Path, added: Mapping[str, str]) -> dict[str, str]:
    """Build a payload's environment from an allow-list; nothing of MPI or Slurm gets in.

    Parameters
    ----------
    tmp : Path
        The attempt's working directory, its ``TMPDIR``.
    added : mapping
        What the step asks for.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith("LC_")
    }
    return {**environment, **_FIXED, "TMPDIR": str(tmp), **added}


@dataclass(frozen=True, slots=True)
class PayloadResult:
    """How a child process ended and what it used.

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


class Payload:
    """A running child process, in a session and process group of its own.

    It is over when no process of its session is left, in whatever group: what its first process
    leaves running is killed.

    Parameters
    ----------
    argv : sequence of str
        Never seen by a shell.
    environment : mapping
        The whole environment.
    directory : Path
        Working directory.
    log : Path
        Gets standard output and standard error; added to if it is there.
    nice : int
        Niceness to add.
    timeout : float
        Seconds until it is ended.
    guardian : Guardian
        Ends it if this process cannot.
    memory_mb : int, optional
        What all its processes may use together until it is ended.

    Raises
    ------
    OSError
        If the program cannot be started.
    """

    def __init__(
        self,
        argv: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        nice: int,
        timeout: float,
        guardian: Guardian,
        memory_mb: int | None = None,
    ) -> None:
        if shutil.which(argv[0], path=environment.get("PATH")) is None:
            raise FileNotFoundError(2, "No such program", argv[0])
        self._began = time.monotonic()
        self._deadline = self._began + timeout
        self._kill_at: float | None = None
        self._ended: float | None = None
        self._timed_out = False
        self._stopped = False
        self._over_mb = 0.0
        self._guardian = guardian
        with os.fdopen(os.open(log, _APPEND, 0o600), "ab") as output:
            self._process = subprocess.Popen(
                [*_prefix(nice), *argv],
                stdin=guardian.listen(),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=directory,
                start_new_session=True,
            )
        guardian.opened(self.pid)
        self._meter = Meter(self.pid, memory_mb)

    @property
    def pid(self) -> int:
        """Process number, which is that of its group and session too."""
        return self._process.pid

    def poll(self) -> PayloadResult | None:
        """Give the result when all has ended; enforce the time limit when it has not."""
        self._guardian.look_after()
        now = time.monotonic()
        if not self._has_ended():
            self._meter.look()
            self._enforce(now)
            stuck = self._kill_at is not None and now > self._kill_at + _STUCK_S
            return self._left_behind(now) if stuck else None
        if self._ended is None:
            self._ended = now
        # As long as we do not wait for the first process, the session's number is no other's.
        if not end_session(self.pid) and now < self._ended + _LINGER_S:
            return None
        self._guardian.closed(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        exit_code = os.waitstatus_to_exitcode(status)
        self._process.returncode = exit_code
        return PayloadResult(
            exit_code=exit_code,
            wall_s=self._ended - self._began,
            cpu_s=usage.ru_utime + usage.ru_stime,
            max_rss_mb=self._meter.peak_mb(usage.ru_maxrss),
            timed_out=self._timed_out,
            stopped=self._stopped,
            over_mb=self._over_mb,
            kernel_killed=self._kernel_killed(exit_code),
        )

    def _left_behind(self, now: float) -> PayloadResult:
        """Give the result without its end; the guardian, which is not told of one, kills it again.

        As nobody waits for it, its number stays its own.
        """
        self._process.returncode = -signal.SIGKILL
        return PayloadResult(
            exit_code=-signal.SIGKILL,
            wall_s=now - self._began,
            cpu_s=0.0,
            max_rss_mb=self._meter.peak_mb(0),
            timed_out=self._timed_out,
            stopped=self._stopped,
            over_mb=self._over_mb,
            stuck=True,
        )

    def stop(self) -> None:
        """Ask all its processes to end; `poll` kills those that do not within five seconds."""
        if self._kill_at is None and self._ended is None:
            self._stopped = True
            self._end()

    def _has_ended(self) -> bool:
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, how) is not None

    def _enforce(self, now: float) -> None:
        if self._kill_at is not None:
            if now > self._kill_at:
                end_session(self.pid)
        elif now > self._deadline:
            self._timed_out = True
            self._end()
        elif self._meter.over_mb:
            self._over_mb = self._meter.over_mb
            self._end()

    def _kernel_killed(self, exit_code: int) -> bool:
        by_us = self._kill_at is not None
        return exit_code in _BY_KILL and not by_us and self._meter.kernel_killed()

    def _end(self) -> None:
        self._kill_at = time.monotonic() + _GRACE_S
        signal_session(self.pid, signal.SIGTERM)


def _prefix(nice: int) -> list[str]:
    score = min(_own_oom_score() + _OOM_SCORE, _OOM_SCORE_MOST)
    prefix = [*telling(_ALSO.format(score=score))]
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        # The first process goes at once, and goes if somebody kills the guardian, too.
        prefix += [setpriv, "--pdeathsig", "KILL"]
    if nice:
        # By its path: the payload's PATH is the engine's affair.
        prefix += [shutil.which("nice") or "nice", "-n", str(nice)]
    return prefix


def _own_oom_score() -> int:
    try:
        return int(Path("/proc/self/oom_score_adj").read_text())
    except (OSError, ValueError):
        return 0
