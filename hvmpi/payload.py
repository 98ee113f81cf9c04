"""One child process: niceness, environment, log, time limit, what it used, and its certain end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Payload", "PayloadResult", "child_environment"]

_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "LD_LIBRARY_PATH")
_GRACE_S = 5.0

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
    timed_out, stopped : bool
        Whether we ended it: at its time limit, or because we were asked to.
    """

    exit_code: int
    wall_s: float
    cpu_s: float
    max_rss_mb: float
    timed_out: bool
    stopped: bool


class Payload:
    """A running child process, in a session and process group of its own.

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
    ) -> None:
        if shutil.which(argv[0], path=environment.get("PATH")) is None:
            raise FileNotFoundError(2, "No such program", argv[0])
        self._began = time.monotonic()
        self._deadline = self._began + timeout
        self._kill_at: float | None = None
        self._timed_out = False
        self._stopped = False
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_prefix(nice), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=directory,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process number, which is that of its group and session too."""
        return self._process.pid

    def poll(self) -> PayloadResult | None:
        """Give the result when the process has ended; enforce its time limit when it has not."""
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if pid == 0:
            self._enforce(time.monotonic())
            return None
        exit_code = os.waitstatus_to_exitcode(status)
        self._process.returncode = exit_code
        self._signal_group(signal.SIGKILL)
        return PayloadResult(
            exit_code=exit_code,
            wall_s=time.monotonic() - self._began,
            cpu_s=usage.ru_utime + usage.ru_stime,
            max_rss_mb=usage.ru_maxrss / 1024.0,
            timed_out=self._timed_out,
            stopped=self._stopped,
        )

    def stop(self) -> None:
        """Ask the process group to end; `poll` kills it when it does not within five seconds."""
        if self._kill_at is None:
            self._stopped = True
            self._end()

    def _enforce(self, now: float) -> None:
        if self._kill_at is not None:
            if now > self._kill_at:
                self._signal_group(signal.SIGKILL)
        elif now > self._deadline:
            self._timed_out = True
            self._end()

    def _end(self) -> None:
        self._kill_at = time.monotonic() + _GRACE_S
        self._signal_group(signal.SIGTERM)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _prefix(nice: int) -> list[str]:
    prefix = []
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        # A rank that is killed -9 must not leave its payload running.
        prefix += [setpriv, "--pdeathsig", "KILL"]
    if nice:
        prefix += ["nice", "-n", str(nice)]
    return prefix
