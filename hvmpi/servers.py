"""The payload servers of a worker: begun when a payload needs one, replaced when damaged."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hvmpi import payload_server
from hvmpi.engine import Warm
from hvmpi.environment import inherited_environment
from hvmpi.guardian import Guardian, telling
from hvmpi.payload_server import START
from hvmpi.session import MARK, end_session

__all__ = ["PayloadServer", "Servers"]

_OOM_SCORE = 500
"""Added to a rank's own: where memory runs out, the kernel takes a payload first, never a rank."""
_OOM_SCORE_MOST = 1000
_HOST = socket.gethostname()
_SEND_S = 10
_LEAVES_S = 5.0
_PAUSE_S = 0.002
_CHUNK = 1 << 12

_PLAIN = (sys.executable, "-I", "-S", payload_server.__file__)
# Without the working directory in the path, which is another for each step.
_WARM = (sys.executable, "-P", "-m", payload_server.__name__)


class PayloadServer:
    """A process that starts payloads, one at a time, and tells of their end.

    All that it starts bears the mark of its session, which the guardian knows. It needs as long as
    Python to start, and is not waited for.

    Parameters
    ----------
    guardian : Guardian
        Ends what it started if both this process and the server are killed.
    nice : int
        Niceness to add to all payloads.
    environment : mapping, optional
        Its own, for one that loads what steps need.

    Attributes
    ----------
    usable : bool
        Whether it can be asked for another payload.
    lost : bool
        Whether it died.
    begun : bool
        Whether it ever started a payload.
    close : callable
        Lets it end all that it started, and go.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(
        self, guardian: Guardian, nice: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        self.usable = True
        self.lost = self.begun = False
        self._heard = b""
        self._environment: dict[str, str] = {}
        self._blank = ""
        self._guardian = guardian
        self._socket, theirs = socket.socketpair()
        # One that is stopped must not hold this process up.
        limit = struct.pack("ll", _SEND_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        score = min(_own_oom_score() + _OOM_SCORE, _OOM_SCORE_MOST)
        program = _PLAIN if environment is None else _WARM
        words = (*program, str(theirs.fileno()), str(nice), str(score))
        with theirs:
            self._process = subprocess.Popen(
                [*telling(), *words],
                stdin=guardian.listen(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environment or {}),
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )
        guardian.opened(self.pid)
        self._mark = str(self.pid)
        self.close = weakref.finalize(self, _close, self._socket, self._process, guardian)

    @property
    def pid(self) -> int:
        """Its process number, which is that of its session, and the mark of what it starts."""
        return self._process.pid

    def fileno(self) -> int:
        """Give the descriptor that can be read when there is an answer."""
        return self._socket.fileno()

    def start(self, environment: Mapping[str, str], **values: Any) -> None:
        """Ask for a payload; of its environment is said what differs from that of the one before.

        Parameters
        ----------
        environment : mapping
            The whole of it, but for the mark of this server.
        **values
            What else is asked for.
        """
        known, environment = self._environment, {**environment, MARK: self._mark}
        afresh = not known.keys() <= environment.keys()
        told = environment if afresh else dict(environment.items() - known.items())
        self._environment = environment
        self.ask(START, environment=told, afresh=afresh, **values)

    def blank_log(self, logs: Path) -> str:
        """Name a log that gets its name when there is something to be read in it, or to be told.

        Parameters
        ----------
        logs : Path
            Directory of all logs.
        """
        self._blank = f"{logs}/.{_HOST}.{self._mark}.blank"
        return self._blank

    def dismiss(self) -> None:
        """Let it end all that it started, and go; it leaves nothing behind."""
        self.close()
        if self._blank:
            # It was killed.
            with contextlib.suppress(OSError):
                Path(self._blank).unlink()

    def ask(self, what: str, **values: Any) -> None:
        """Ask for something of `hvmpi.payload_server`; `answers` tells if it is dead."""
        try:
            self._socket.sendall(json.dumps({"do": what, **values}).encode() + b"\n")
        except OSError:
            self.lost, self.usable = True, False

    def answers(self) -> list[dict[str, Any]]:
        """Give what it answered since the last call; never waits."""
        try:
            said = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except ConnectionError:
            said = b""
        if not said:
            self.lost, self.usable = True, False
        *lines, self._heard = (self._heard + said).split(b"\n")
        answers = [json.loads(line) for line in lines]
        self.begun |= bool(answers)
        return answers

    def look_after(self) -> None:
        """See that what it starts is guarded."""
        self._guardian.look_after()

    def is_alive(self) -> bool:
        """Say whether it is there, as far as can be told without asking."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self.usable and os.waitid(os.P_PID, self.pid, how) is None

    def kill(self) -> bool:
        """Kill it with all that it started; say whether nothing was left to be killed."""
        self.usable = False
        return end_session(self.pid)

    def leave_behind(self) -> None:
        """Have no more to do with it: something that it started cannot be killed.

        The guardian, which is not told of its end, kills what is there again. As nobody waits for
        it, its number stays its own.
        """
        self.usable = False
        self.close.detach()
        self._socket.close()
        self._process.returncode = -signal.SIGKILL


def _close(channel: socket.socket, process: subprocess.Popen[bytes], guardian: Guardian) -> None:
    channel.close()
    deadline = time.monotonic() + _LEAVES_S
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.waitid(os.P_PID, process.pid, how) is None and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    # It leaves when all that it started has ended, unless it was killed or hangs.
    while not end_session(process.pid) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    guardian.closed(process.pid)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LEAVES_S)


class Servers:
    """The payload servers of a worker: one for programs, and one that has what steps load.

    Parameters
    ----------
    guardian : Guardian
    nice : int
        Niceness to add to all payloads.
    cold : bool
        Whether all steps are started as programs.

    Attributes
    ----------
    inherited : mapping
        What all payloads get of our environment.
    """

    def __init__(self, guardian: Guardian, *, nice: int = 0, cold: bool = False) -> None:
        self._guardian = guardian
        self._nice = nice
        self._cold = cold
        self._plain: PayloadServer | None = None
        self._warm: PayloadServer | None = None
        self.inherited = inherited_environment()
        self._environment: dict[str, str] = {}
        self._loads: dict[tuple[str, ...], tuple[str, ...]] = {}

    def serves_warm(self, warm: Warm | None) -> bool:
        """Say whether a step is to find its libraries loaded."""
        warmed = self._warm
        if warmed is not None and not warmed.is_alive() and not warmed.begun:
            # It died of what it loads, or of where it is: what starts as a program says more.
            self._cold = True
        return warm is not None and not self._cold

    def for_programs(self) -> PayloadServer:
        """Give the server that starts programs.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        if self._plain is None or not self._plain.is_alive():
            self._drop(self._plain)
            self._plain = PayloadServer(self._guardian, self._nice)
        return self._plain

    def for_step(self, warm: Warm, environment: Mapping[str, str]) -> PayloadServer:
        """Give the server that has, or will have, loaded what a step needs.

        Parameters
        ----------
        warm : Warm
        environment : mapping
            The step's. What differs for each step (``TMPDIR``) is of no account.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        own = {name: value for name, value in environment.items() if name != "TMPDIR"}
        loads = {load[:2]: load[2:] for load in warm.load}
        known = self._loads | loads
        fits = own == self._environment and known.items() >= self._loads.items()
        if self._warm is None or not self._warm.is_alive() or not fits:
            self._drop(self._warm)
            self._warm = PayloadServer(self._guardian, self._nice, environment)
            self._environment, known = own, loads
        self._loads = known
        return self._warm

    def dismiss(self) -> None:
        """Let the servers go, with all that they started."""
        self._drop(self._plain)
        self._drop(self._warm)
        self._plain = self._warm = None

    def _drop(self, server: PayloadServer | None) -> None:
        if server is not None:
            server.dismiss()


def _own_oom_score() -> int:
    try:
        return int(Path("/proc/self/oom_score_adj").read_text())
    except (OSError, ValueError):
        return 0
