"""The guardian: a process that ends what a worker leaves running, even if that is killed -9."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import weakref

from hvmpi import session

__all__ = ["Guardian", "telling"]

_DISMISSAL_S = 10.0
_LOOK_S = 0.02
"""Payloads that end at once are looked at as often as they end."""


def telling() -> tuple[str, ...]:
    """Give the words to put before a command that is started on what `Guardian.listen` gives.

    What the guardian hears comes from the session itself, before anything else runs in it: a worker
    that is killed at any moment leaves either no session or one that the guardian knows of. All
    that the command starts bears the session's mark.
    """
    words = f'echo "+$$" >&0; export {session.MARK}=$$; exec "$@" </dev/null'
    return "/bin/sh", "-c", words, "sh"


class Guardian:
    """A process that outlives this one, and ends every session that this one left open.

    It reads from a pipe which sessions there are. All who can write to it are this process and,
    between their fork and their first words, the payload servers: when the pipe ends, nobody is
    left who could still open a session. We keep its reading end, too, so that nothing is lost and
    nobody gets a SIGPIPE if the guardian itself is killed; the next one reads on.

    It begins with the first payload server, and ends with `dismiss`, with this object or this
    process.

    Attributes
    ----------
    dismiss : callable
        Lets it end what is open, and go.
    """

    def __init__(self) -> None:
        self._sessions: set[int] = set()
        self._looked_at = 0.0
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reading, self._writing = os.pipe()
        self.dismiss = weakref.finalize(
            self, _dismiss, self._reading, self._writing, self._processes
        )

    def listen(self) -> int:
        """See that the guardian is there; returns the descriptor on which it listens.

        The first process of a session writes ``+SESSION`` and a newline to it before it does
        anything else, and closes it.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        if not self._processes or self._processes[-1].poll() is not None:
            # In a session of its own: mpirun and terminals signal groups.
            self._processes[:] = [
                subprocess.Popen(
                    [sys.executable, "-I", "-S", session.__file__],
                    stdin=self._reading,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={},
                    start_new_session=True,
                )
            ]
            # What the one before had read is known to nobody else.
            for number in self._sessions:
                self._say(f"+{number}\n")
        return self._writing

    def opened(self, number: int) -> None:
        """Remember a session, for a guardian that takes the place of this one."""
        self._sessions.add(number)

    def closed(self, number: int) -> None:
        """Say that nothing of a session is left; before its number can be another's."""
        self._sessions.discard(number)
        if self.dismiss.alive:
            self._say(f"-{number}\n")

    def look_after(self) -> None:
        """Start another one if it was killed, unless it was dismissed."""
        now = time.monotonic()
        if self.dismiss.alive and now > self._looked_at + _LOOK_S:
            self._looked_at = now
            with contextlib.suppress(OSError):
                self.listen()

    def _say(self, line: str) -> None:
        os.write(self._writing, line.encode())


def _dismiss(reading: int, writing: int, processes: list[subprocess.Popen[bytes]]) -> None:
    os.close(writing)
    os.close(reading)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_DISMISSAL_S)
