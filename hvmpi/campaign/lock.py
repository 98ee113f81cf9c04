"""The lock that keeps two masters from one run."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from hvmpi.errors import JournalError, UsageError

__all__ = ["Holder", "Lock", "break_lock", "holder", "living_master", "refuse_in_progress"]

_STALE_S = 120.0
_BREAKING_S = 10.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a run: host, process, when that process began, age of its last sign of life."""

    host: str
    pid: int
    began: float
    age_s: float

    @property
    def alive(self) -> bool:
        """Whether it still runs; on another host, whether it gave a sign of life lately."""
        if self.host != socket.gethostname():
            return self.age_s < _STALE_S
        # Most looks at a run find no lock, and then have no use for it.
        import psutil

        try:
            process = psutil.Process(self.pid)
            # Nobody may ever wait for a master that was killed: in many containers process 1 does
            # not.
            ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            return not ended and abs(process.create_time() - self.began) < 2.0
        except psutil.Error:
            return False

    def is_same(self, other: Holder | None) -> bool:
        """Tell whether another look at a lock found the same process."""
        mine = (self.host, self.pid, self.began)
        return other is not None and mine == (other.host, other.pid, other.began)


def holder(path: Path) -> Holder | None:
    """Read who holds a lock; None where it is free.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        values = json.loads(path.read_text())
        age = time.time() - path.stat().st_mtime
        return Holder(str(values["host"]), int(values["pid"]), float(values["began"]), age)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Holder("unknown", 0, 0.0, 2 * _STALE_S)
    except OSError as error:
        msg = (
            f"the lock {str(path)!r} cannot be read ({error.strerror}); see that no master of run "
            f"{path.parent.name} is left, then take it away"
        )
        raise UsageError(msg) from error


def living_master(path: Path) -> Holder | None:
    """Read who works on a run now; None where nobody does."""
    found = holder(path)
    return found if found is not None and found.alive else None


def refuse_in_progress(path: Path) -> None:
    """Raise `UsageError` if a living master holds the lock."""
    other = living_master(path)
    if other is not None:
        msg = (
            f"run {path.parent.name} is in progress: process {other.pid} on {other.host} "
            "is its master; wait for it, or end it first"
        )
        raise UsageError(msg)


def break_lock(path: Path, former: Holder) -> None:
    """Take away the lock of a master that is known to have ended, if it is still its lock."""
    with contextlib.suppress(OSError, UsageError):
        if former.is_same(holder(path)):
            path.unlink()


class Lock:
    """A run's lock, held from its making to `release`.

    Raises
    ------
    UsageError
        If a living master holds the run, or its directory cannot be written.
    """

    def __init__(self, path: Path) -> None:
        import psutil

        self._path = path
        self._own = Holder(socket.gethostname(), os.getpid(), psutil.Process().create_time(), 0.0)
        self.broken: Holder | None = None
        while not self._take():
            refuse_in_progress(path)
            self._break()

    def _take(self) -> bool:
        beside = self._path.with_name(f".{self._path.name}.{os.urandom(8).hex()}")
        values = {"host": self._own.host, "pid": self._own.pid, "began": self._own.began}
        try:
            beside.write_text(json.dumps(values))
            # A link appears with all its contents: nobody can read half a lock.
            os.link(beside, self._path)
        except FileExistsError:
            return False
        except OSError as error:
            msg = (
                f"run {self._path.parent.name} cannot be locked ({error.strerror}): its directory "
                f"{str(self._path.parent)!r} must be there, writable, and have room"
            )
            raise UsageError(msg) from error
        finally:
            beside.unlink(missing_ok=True)
        return True

    def _break(self) -> None:
        """Take a dead master's lock away; one process at a time, lest it takes a new one's."""
        breaking = self._path.with_name(f".{self._path.name}.breaking")
        try:
            os.close(os.open(breaking, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - breaking.stat().st_mtime > _BREAKING_S:
                    breaking.unlink()
            time.sleep(0.01)
            return
        try:
            other = holder(self._path)
            if other is not None and not other.alive:
                self.broken = other
                self._path.unlink()
        finally:
            breaking.unlink(missing_ok=True)

    def refresh(self) -> None:
        """Give a sign of life, for other hosts.

        Raises
        ------
        JournalError
            If another master took the run over: one that was cut off, and taken for dead.
        """
        with contextlib.suppress(OSError, UsageError):
            other = holder(self._path)
            if other is not None and not self._own.is_same(other):
                msg = (
                    f"run {self._path.parent.name} was taken over by process {other.pid} on "
                    f"{other.host} while this master could not be reached; it stops here"
                )
                raise JournalError(msg)
            os.utime(self._path)

    def release(self) -> None:
        """Give the run free, unless another master took it over."""
        break_lock(self._path, self._own)
