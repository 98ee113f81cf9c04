"""The signs of life of a launch: its master's lock, and what it adds to the journal."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from hvmpi.campaign.journal import Ended, PlanComplete, Published, Resumed
from hvmpi.campaign.lock import Holder, holder
from hvmpi.errors import UsageError

__all__ = ["Pulse"]

_LEASES = 3.0
_LEAST_S = 60.0
_LEAVE_S = 15.0
_CHUNK = 1 << 20


class Pulse:
    """What a launch shows of itself to who waits for its end.

    Parameters
    ----------
    run_dir : Path
    launch : str
        Its name, which is in the journal of the run that it begins or resumes.
    timestamp : str
        The run that it resumes; empty for one that begins a new run.
    lease : float
        Seconds; after three of these, and a minute, without a sign of life its master hangs.
    start : float
        Seconds in which it must be in the journal.
    clock : callable
        Gives seconds; no change of the machine's time may move it.

    Attributes
    ----------
    launch : str
    directory : Path or None
        The run; None as long as there is none.
    begun : bool
        Whether the launch is in the journal, with all of its plan if it is a new run's.
    jobs_done : int
        Jobs that were done in it.
    holder : Holder or None
        Its master, as last seen.
    """

    def __init__(
        self,
        run_dir: Path,
        launch: str,
        timestamp: str = "",
        *,
        lease: float,
        start: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_dir = run_dir
        self.launch = launch
        self._needle = json.dumps(launch).encode()
        self._limit_s = max(_LEASES * lease, _LEAST_S)
        self._start_s = start
        self._clock = clock
        self._before = self._runs()
        self._named = False
        self._read_to = 0
        self._signs: tuple[int, ...] = ()
        self._launched_at = self._sign_at = clock()
        self._ended_at: float | None = None
        self._master_gone_at: float | None = None
        self.directory: Path | None = run_dir / timestamp if timestamp else None
        self.begun = False
        self.jobs_done = 0
        self.holder: Holder | None = None

    def look(self) -> str:
        """Look again; say why the launch is to be ended, if it hangs."""
        self.directory = self.directory or self._find()
        now = self._clock()
        signs = self._see(self.directory) if self.directory else ()
        if self.directory and signs != self._signs:
            self._signs, self._sign_at = signs, now
            self._read(self.directory / "journal.jsonl")
        if self.directory is None or not self.begun:
            # A rank that died or was stopped before MPI was up: the others wait for it for ever.
            late = now - self._launched_at > self._start_s
            return f"the run did not begin in {self._start_s:.0f} s (start-timeout)" * late
        if self._ended_at is not None:
            return "it stayed after the campaign had ended" * (now - self._ended_at > _LEAVE_S)
        if self._is_master_gone(self.directory, now):
            return "the master died, and the other ranks did not leave"
        if now - self._sign_at > self._limit_s:
            return f"the master gave no sign of life for {self._limit_s:g} s"
        return ""

    def _runs(self) -> set[str]:
        try:
            return {entry.name for entry in os.scandir(self._run_dir)}
        except OSError:
            return set()

    def _find(self) -> Path | None:
        for name in self._runs() - self._before:
            try:
                with (self._run_dir / name / "journal.jsonl").open("rb") as lines:
                    if self._needle in lines.readline():
                        return self._run_dir / name
            except OSError:
                continue
        return None

    def _see(self, directory: Path) -> tuple[int, ...]:
        signs: list[int] = []
        for name in ("lock.json", "journal.jsonl"):
            try:
                seen = (directory / name).stat()
                signs += (seen.st_mtime_ns, seen.st_size)
            except OSError:
                signs += (0, 0)
        return tuple(signs)

    def _read(self, path: Path) -> None:
        """Read the whole lines that are new in the journal."""
        rest = b""
        try:
            with path.open("rb") as journal:
                journal.seek(self._read_to)
                while chunk := journal.read(_CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self._read_to += len(line) + 1
                        self._take(line)
        except OSError:
            return

    def _take(self, line: bytes) -> None:
        self._named = self._named or self._needle in line
        if not self._named:
            return
        try:
            entry = json.loads(line)
        except ValueError:
            return
        if not self.begun:
            self.begun = entry["type"] in (PlanComplete.type, Resumed.type)
        elif entry["type"] == Published.type:
            self.jobs_done += 1
        elif entry["type"] == Ended.type and entry["launch"] == self.launch:
            self._ended_at = self._clock()

    def _is_master_gone(self, directory: Path, now: float) -> bool:
        """Tell whether its master, on this machine, died a while ago and left the lock."""
        try:
            found = holder(directory / "lock.json")
        except UsageError:
            found = None
        if found is not None:
            self.holder = found
        if found is None or found.host != socket.gethostname() or found.alive:
            self._master_gone_at = None
            return False
        if self._master_gone_at is None:
            self._master_gone_at = now
        return now - self._master_gone_at > _LEAVE_S
