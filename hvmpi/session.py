"""Sessions of processes: an end to all of one, and the program that ends those left open.

The program is what `hvmpi.guardian` starts, by its path and without the rest of hvmpi: it must be
there within milliseconds, and small as long as a worker lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

__all__ = ["MARK", "end_session", "is_of", "processes", "signal_session"]

MARK = "PAYLOAD_SESSION"
"""The variable that holds the session's number in the environment of all that began in it."""

# What is killed and stays is held by the kernel (a file system that does not answer); it can do
# nothing any more, and goes when that answers.
_PATIENCE_S = 60.0
# A payload server whose worker is gone ends what it started, which it knows better.
_HEAD_START_S = 0.2
_PAUSE_S = 0.02
_LARGEST_ENVIRONMENT = 1 << 20


def processes() -> list[int]:
    """List the numbers of all processes of this machine."""
    with os.scandir("/proc") as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit()]


def is_of(pid: int, session: int) -> bool:
    """Say whether a process is of a session; one that is gone is of none."""
    try:
        return os.getsid(pid) == session
    except OSError:
        return False


def signal_session(session: int, number: int) -> bool:
    """Send a signal to every process of a session; say whether one was alive.

    A process that went into a session of its own (``setsid``) is known by `MARK`.

    The number of a session is given to no other process as long as one of its own is there, be it
    a zombie that nobody waited for.

    Parameters
    ----------
    session : int
        Its number, which is the process number of its first process.
    number : int
        The signal.
    """
    found = False
    mark = f"{MARK}={session}\0".encode()
    for pid in processes():
        # What is gone meanwhile, or belongs to another user, is none of ours.
        with contextlib.suppress(OSError):
            if is_of(pid, session) or _is_marked(pid, mark):
                os.kill(pid, number)
                found |= not _is_zombie(pid)
    return found


def end_session(session: int) -> bool:
    """Kill every process of a session; say whether none was left to be killed.

    Two looks: one may miss a process whose parent started it behind the look and ended before it.
    """
    return not any(signal_session(session, signal.SIGKILL) for _ in range(2))


def _is_marked(pid: int, mark: bytes) -> bool:
    handle = os.open(f"/proc/{pid}/environ", os.O_RDONLY)
    try:
        environment = os.read(handle, _LARGEST_ENVIRONMENT)
    finally:
        os.close(handle)
    return environment.startswith(mark) or b"\0" + mark in environment


def _is_zombie(pid: int) -> bool:
    handle = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    try:
        # The name of the program, in brackets, may hold anything.
        return os.read(handle, 4096).rpartition(b")")[2].split()[0] in (b"Z", b"X")
    finally:
        os.close(handle)


def _guard() -> None:
    """Read which sessions are opened and closed; when nobody can say more, end the open ones."""
    # What is meant for the worker, or for its whole host, must not take the guardian first.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    sessions: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            sessions.add(int(line))
        else:
            sessions.discard(-int(line))
    if sessions:
        time.sleep(_HEAD_START_S)
    deadline = time.monotonic() + _PATIENCE_S
    while sessions and time.monotonic() < deadline:
        sessions = {session for session in sessions if not end_session(session)}
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    _guard()
