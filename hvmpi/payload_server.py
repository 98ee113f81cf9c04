"""The payload server: a small process beside a worker that starts payloads and sees their end.

`hvmpi.servers` starts it: by its path and without the rest of hvmpi where payloads are programs,
as a module where they are steps that find their libraries loaded ("warm"). It was started clean of
MPI, so it may fork.

It is a subreaper: whatever a payload leaves behind, a daemon too, becomes its child, and a payload
is over when no child is left. When its worker is gone, its end of the socket says so: it ends all
that it started, and leaves.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

__all__ = ["KILL", "START", "TERM", "main"]

START, TERM, KILL = "start", "term", "kill"
"""What a worker asks for."""

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_SHORT_S = 0.02
"""A payload that lasts longer is told of when it has begun; of others the end is enough."""
_LINGER_S = 10.0
"""What was killed so long ago and is there still is held by the kernel."""
_PAUSE_S = 0.02
_LARGEST_PAUSE_S = 1.0
_CHUNK = 1 << 14
"""More than a request; room for it is made for each one that is heard."""
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Meant for ranks or whole hosts: what a payload is to hear comes from its worker."""
_TO_DEFAULT = (*_IGNORED, signal.SIGPIPE, signal.SIGXFSZ)

_libc = ctypes.CDLL(None)


class _Server:
    """Starts one payload at a time.

    Parameters
    ----------
    worker : socket.socket
        Requests and answers are lines of JSON.
    """

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._heard = b""
        self._loaded: set[tuple[str, ...]] = set()
        self._first = 0
        self._began = self._ended = 0.0
        self._told = False
        self._end: dict[str, Any] | None = None
        self._environment: dict[str, str] = {}
        self._log = ""
        self._blank: int | None = None
        self._blank_name = ""
        self._own = os.getpid()
        self._wakes = os.pipe()
        for handle in self._wakes:
            os.set_blocking(handle, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes[1], warn_on_full_buffer=False)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)

    def serve(self) -> None:
        """Do what is asked until the worker is gone."""
        poll = select.poll()
        poll.register(self._worker, select.POLLIN)
        poll.register(self._wakes[0], select.POLLIN)
        while True:
            if not self._first:
                # Nobody else has anything to say.
                if not self._listen():
                    break
                continue
            for handle, _ in poll.poll(self._patience_ms()):
                if handle == self._wakes[0]:
                    os.read(handle, 4096)
                elif not self._listen():
                    self._end_all()
                    return
            if self._first:
                self._look()
        self._end_all()

    def _patience_ms(self) -> int | None:
        if self._end is not None:
            return round(1000 * _PAUSE_S)
        return None if self._told else round(1000 * _SHORT_S)

    def _listen(self) -> bool:
        """Do what the worker asks for; say whether it is there."""
        try:
            said = self._worker.recv(_CHUNK)
        except ConnectionError:
            said = b""
        self._heard += said
        while b"\n" in self._heard:
            line, _, self._heard = self._heard.partition(b"\n")
            request = json.loads(line)
            if request["do"] == START:
                self._start(request)
            elif self._first:
                _signal_all(signal.SIGTERM if request["do"] == TERM else signal.SIGKILL)
        return bool(said)

    def _answer(self, **values: Any) -> None:
        with contextlib.suppress(ConnectionError):
            self._worker.sendall(json.dumps(values).encode() + b"\n")

    # A payload

    def _start(self, request: dict[str, Any]) -> None:
        self._end, self._told = None, False
        # What it is told of an end is kept until it asks.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
        try:
            log = self._open_log(request["log"], request["blank"])
            try:
                self._first = self._begin(request, log)
            finally:
                if log != self._blank:
                    os.close(log)
                os.chdir("/")
        except OSError as error:
            self._first = 0
            self._answer(failed=error.errno, why=error.strerror, name=str(error.filename or ""))
            return
        self._await_a_short_one()

    def _await_a_short_one(self) -> None:
        """Wait for the end of a payload, deaf for the worker as long as it is short."""
        self._began = now = time.monotonic()
        while self._first and self._end is None and now < self._began + _SHORT_S:
            signal.sigtimedwait((signal.SIGCHLD,), self._began + _SHORT_S - now)
            self._look()
            now = time.monotonic()
        if self._first:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
            self._look()

    def _open_log(self, log: str, blank: str) -> int:
        """Open a payload's log: where one may be done without, a blank that gets its name later."""
        self._log = log if blank else ""
        if not blank:
            return os.open(log, _APPEND, 0o600)
        if self._blank is None:
            self._blank = os.open(blank, _APPEND, 0o600)
            self._blank_name = blank
        return self._blank

    def _place_log(self) -> None:
        """Give the blank its name as a log."""
        if self._blank is None or not self._log:
            return
        from pathlib import Path

        log, self._log = Path(self._log), ""
        with contextlib.suppress(OSError):
            log.parent.mkdir(0o700, parents=True, exist_ok=True)
            Path(self._blank_name).rename(log)
        os.close(self._blank)
        self._blank = None

    def _has_said(self) -> bool:
        return self._blank is not None and os.fstat(self._blank).st_size > 0

    def _begin(self, request: dict[str, Any], log: int) -> int:
        os.chdir(request["directory"])
        if request["afresh"]:
            self._environment.clear()
        self._environment.update(request["environment"])
        environment = self._environment
        if request["module"]:
            self._load(request["module"], request["load"], log)
            # What has threads cannot be forked: they may hold what the child will wait for.
            if _threads() == 1:
                return self._fork(log, lambda: _call(request, environment))
        argv = [os.fsencode(word) for word in request["argv"]]
        return self._spawn(os.fsencode(request["program"]), argv, environment, log)

    def _spawn(
        self, program: bytes, argv: list[bytes], environment: dict[str, str], log: int
    ) -> int:
        actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]

        def spawn(program: bytes, argv: list[bytes]) -> int:
            # Half the price of a fork: the child borrows our memory until it is its program.
            return os.posix_spawn(
                program,
                argv,
                environment,
                file_actions=actions,
                setsid=True,
                setsigdef=_TO_DEFAULT,
                setsigmask=(),
            )

        try:
            try:
                return spawn(program, argv)
            except NotImplementedError:
                # A glibc before 2.26 makes no sessions.
                return self._fork(log, lambda: _replace_by(program, argv, environment))
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
        # A script without its first line.
        return spawn(b"/bin/sh", [b"sh", program, *argv[1:]])

    def _fork(self, log: int, then: Callable[[], object]) -> int:
        # What comes for the child waits until it hears it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
        child = os.fork()
        if child:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
            return child
        try:
            os.setsid()
            _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._own:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            for number in (*_IGNORED, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for handle in (1, 2):
                os.dup2(log, handle)
            for handle in {log, self._blank or log, self._worker.fileno(), *self._wakes}:
                os.close(handle)
            then()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _load(self, module: str, load: Sequence[Sequence[str]], log: int) -> None:
        """Load what a step needs, once; what it says goes to that step's log."""
        wanted = [(module, ""), *map(tuple, load)]
        missing = [each for each in wanted if each not in self._loaded]
        if not missing:
            return
        nowhere = os.dup(1)
        for handle in (1, 2):
            os.dup2(log, handle)
        for name, function, *given in missing:
            self._loaded.add((name, function, *given))
            # The step meets the same error, and has the words for it.
            with contextlib.suppress(Exception):
                loaded = importlib.import_module(name)
                if function:
                    getattr(loaded, function)(*given)
        _flush()
        for handle in (1, 2):
            os.dup2(nowhere, handle)
        os.close(nowhere)
        # Children share pages that nobody writes to, and collecting garbage writes.
        gc.collect()
        gc.freeze()

    def _look(self) -> None:
        """See what has ended; answer when nothing is left."""
        now = time.monotonic()
        left = self._reap()
        if left and self._end is not None:
            _signal_all(signal.SIGKILL)
            left = self._reap()
        if self._end is not None and (not left or now > self._ended + _LINGER_S):
            if left or self._end["code"] or self._has_said():
                self._place_log()
            self._answer(**self._end, left=left)
            self._first = 0
        elif self._end is None and not self._told and now > self._began + _SHORT_S:
            self._told = True
            self._place_log()
            self._answer(started=self._first)

    def _reap(self) -> bool:
        """Wait for what has ended; say whether anything is left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                child, status, usage = os.wait4(-1, os.WNOHANG)
                if not child:
                    return True
                if child == self._first:
                    self._ended = time.monotonic()
                    self._end = {
                        "ended": child,
                        "code": os.waitstatus_to_exitcode(status),
                        "cpu_s": usage.ru_utime + usage.ru_stime,
                        "max_rss_kb": usage.ru_maxrss,
                    }
        return False

    def _end_all(self) -> None:
        if self._first:
            self._place_log()
        elif self._blank is not None:
            with contextlib.suppress(OSError):
                os.remove(self._blank_name)  # noqa: PTH107 - a server of programs has no pathlib
        # As long as we are there, so is the session of all that bears our mark.
        pause = _PAUSE_S
        while self._reap():
            _signal_all(signal.SIGKILL)
            if self._reap():
                time.sleep(pause)
                pause = min(2 * pause, _LARGEST_PAUSE_S)


def _call(request: dict[str, Any], environment: dict[str, str]) -> NoReturn:
    """Be the step, as Python would be that was started for it."""
    import tempfile

    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # It remembers the working directory of the step that it was loaded for.
    tempfile.tempdir = None
    code: object = 1
    try:
        module = importlib.import_module(request["module"])
        sys.argv = [str(module.__file__), *request["words"]]
        code = module.main(request["words"])
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    _flush()
    os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))


def _replace_by(program: bytes, argv: list[bytes], environment: dict[str, str]) -> None:
    # Python ignores it, and programs expect to be ended by it.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(program, argv, environment)  # noqa: S606 - no shell is what is wanted


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # What C and C++ libraries print.
    _libc.fflush(None)


def _threads() -> int:
    with os.scandir("/proc/self/task") as threads:
        return len(list(threads))


def _signal_all(number: int) -> None:
    """Send a signal to all that descends from this process."""
    for pid in _descendants():
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    with os.scandir("/proc") as entries:
        numbers = [entry.name for entry in entries if entry.name.isdigit()]
    for number in numbers:
        with contextlib.suppress(OSError):
            handle = os.open(f"/proc/{number}/stat", os.O_RDONLY)
            try:
                # The name of the program, in brackets, may hold anything.
                parent = int(os.read(handle, 4096).rpartition(b")")[2].split()[1])
            finally:
                os.close(handle)
            children.setdefault(parent, []).append(int(number))
    found: list[int] = []
    parents = [os.getpid()]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += below
    return found


def _raise_oom_score(score: str) -> None:
    with contextlib.suppress(OSError):
        handle = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(handle, score.encode())
        finally:
            os.close(handle)


def main(argv: Sequence[str]) -> None:
    """Serve a worker.

    Parameters
    ----------
    argv : sequence of str
        The descriptor of the socket, the niceness to add, the score by which the kernel chooses
        whom to kill where memory runs out. All three hold for what is started, too.
    """
    descriptor, nice, score = argv
    os.chdir("/")
    # What a payload makes is its owner's alone until it is published.
    os.umask(0o077)
    if int(nice):
        os.nice(int(nice))
    _raise_oom_score(score)
    _libc.prctl(_SET_CHILD_SUBREAPER, 1)
    # One that is stopped goes on when its worker dies: it has something to do.
    _libc.prctl(_SET_PDEATHSIG, signal.SIGCONT)
    worker = socket.socket(fileno=int(descriptor))
    worker.set_inheritable(False)
    gc.collect()
    gc.freeze()
    _Server(worker).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
