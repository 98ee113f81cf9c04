"""The report at the end of a run: whatever becomes of it, the run stays as it is."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from hvmpi.environment import inherited_environment
from hvmpi.view.text import say_if_heard

__all__ = ["report_at_end"]

_LIMIT_S = 600.0
_LOOK_S = 0.05
_LEAVE_S = 5.0
_PLACES = ("TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR")
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def report_at_end(directory: Path, *, in_a_hurry: bool) -> None:
    """Make the report of a run in a process of its own, or say by which command it is made.

    A signal ends that process, and not this one: the campaign is over, and its exit code stands.

    Parameters
    ----------
    directory : Path
        The run's.
    in_a_hurry : bool
        Whether the run was stopped, by a signal or its time limit: then nothing is made.
    """
    words = ["report", directory.name, f"--run-dir={directory.parent}"]
    by_hand = shlex.join(["python", "-m", "hvmpi", *words])
    if in_a_hurry:
        say_if_heard(f"hvmpi: {by_hand} makes the report of what there is")
        return
    problem = _make(words)
    if problem:
        say_if_heard(f"hvmpi: there is no report ({problem}); {by_hand} tries again", sys.stderr)


def _make(words: list[str]) -> str:
    """Make the report, and show what it says; give why it could not be made."""
    stopped: list[int] = []
    before = {
        number: signal.signal(number, lambda got, _: stopped.append(got)) for number in _STOPS
    }
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hvmpi", *words],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A Ctrl-C comes here.
            start_new_session=True,
        )
        return _watch(process, stopped)
    except OSError as error:
        return f"it cannot be started: {error.strerror}"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment() -> dict[str, str]:
    """Give what it needs of ours: nothing that would make it a rank."""
    places = {name: os.environ[name] for name in _PLACES if name in os.environ}
    return {**inherited_environment(), **places}


def _watch(process: subprocess.Popen[bytes], stopped: list[int]) -> str:
    deadline = time.monotonic() + _LIMIT_S
    while True:
        try:
            said, complained = process.communicate(timeout=_LOOK_S)
            break
        except subprocess.TimeoutExpired:
            late = time.monotonic() > deadline
            if stopped or late:
                _end(process)
                return f"not made in {_LIMIT_S:g} s" if late else "stopped by a signal"
    if process.returncode == 0:
        for line in said.decode(errors="replace").splitlines():
            say_if_heard(line)
        return ""
    if process.returncode < 0:
        return f"its process ended by signal {-process.returncode}"
    last = complained.decode(errors="replace").strip().splitlines()[-1:] or ["it says nothing"]
    return last[0].removeprefix("hvmpi: error: ")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and its children, that they take their temporary files with them if they can."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.communicate(timeout=_LEAVE_S)
            return
