"""One mpirun under way: what it is told, and when it is killed."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psutil

from hvmpi import session
from hvmpi.errors import SetupError

__all__ = ["Mpirun"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
ASK_RANKS = signal.SIGUSR1
"""What every mpirun hands on to the ranks as it is. Open MPI 5 makes of the others SIGTERM and,
0.2 s later, SIGKILL: too short to end payloads and to write the journal."""
PATIENCE_S = 20.0
"""How long ranks may take to stop before mpirun is told to end them, and then is killed."""

_LOOK_S = 0.5
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Mpirun:
    """The mpirun of a campaign, one after the other; in ``with``, signals to stop come here.

    Such a signal reaches the ranks as SIGUSR1. Asked a second time, or after `PATIENCE_S`, mpirun
    is told to end them; a third time, all are killed. mpirun ends too if this process is killed.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: list[float] = []
        self._before: dict[int, object] = {}

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal to stop has come."""
        return bool(self._asked)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def run(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        look: Callable[[], str] = lambda: "",
    ) -> tuple[int, str]:
        """Run it to its end.

        Parameters
        ----------
        command : sequence of str
        environ : mapping of str to str
        look : callable
            Asked about twice a second; says why mpirun is to be killed, or nothing.

        Returns
        -------
        int, str
            Its exit code (negative: the signal that ended it), and why it was killed, if it was.

        Raises
        ------
        SetupError
            If it cannot be started.
        """
        try:
            # Of a session of its own: a Ctrl-C at the terminal would else come twice.
            self._process = subprocess.Popen(
                command,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        except OSError as error:
            msg = f"{command[0]!r} cannot be started ({error.strerror})"
            raise SetupError(msg) from error
        try:
            return self._watch(self._process, look)
        finally:
            if self._process.poll() is None:
                _kill_tree(self._process)
                self._process.wait()
            _remove_leavings(self._process.pid, environ)
            self._process = None

    def pause(self, seconds: float) -> None:
        """Wait, unless asked to stop."""
        deadline = time.monotonic() + seconds
        while not self._asked and time.monotonic() < deadline:
            time.sleep(0.1)

    def _watch(self, process: subprocess.Popen[bytes], look: Callable[[], str]) -> tuple[int, str]:
        if self._asked:
            process.send_signal(ASK_RANKS)
        while True:
            try:
                return process.wait(timeout=_LOOK_S), ""
            except subprocess.TimeoutExpired:
                if self._asked and time.monotonic() - self._asked[-1] > PATIENCE_S:
                    self._stop()
            if reason := look():
                _kill_tree(process)
                return process.wait(), reason

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        self._asked.append(time.monotonic())
        if self._process is None:
            return
        if len(self._asked) == 1:
            self._process.send_signal(ASK_RANKS)
        elif len(self._asked) == 2:
            self._process.terminate()
        else:
            _kill_tree(self._process)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill mpirun and all below it, but for the guardians: they end what begins meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid)
        for member in [family, *family.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                if session.__file__ not in member.cmdline():
                    member.kill()


def _remove_leavings(pid: int, environ: Mapping[str, str]) -> None:
    """Remove what an Open MPI that was killed leaves: one of the same number would not start."""
    place = environ.get("TMPDIR") or tempfile.gettempdir()
    shutil.rmtree(Path(place) / f"ompi.{pid}", ignore_errors=True)


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
