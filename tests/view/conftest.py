"""Runs that a journal tells of, and the terminals that they are looked at in."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, Kind, Outcome
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.lock import Lock
from hvmpi.campaign.snapshot import write_status
from hvmpi.settings import load, to_dict
from tests.conftest import LIMIT_S, Place

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Telling:
    """A run of jobs of two events each, written as its journal would have it."""

    directory: Path
    ledger: Ledger

    @classmethod
    def begin(cls, directory: Path, jobs: int, *, launches: int = 1) -> Telling:
        directory.mkdir(parents=True)
        ledger = Ledger()
        began = time.time() - 100.0
        ledger.apply(
            journal.RunBegun("", 4, directory.name, began, "reconstruct", "hvmpi", {}, "", "")
        )
        for _ in range(launches - 1):
            ledger.apply(journal.Resumed(began, "hvmpi", {}, "", "lost"))
        ledger.apply(
            journal.EventFileListed("a.evnt", "größe", 1, 0, 2 * jobs, 1, "a", 9, "", -1, "")
        )
        ledger.apply(journal.JobsPlanned(Kind.RECONSTRUCTION, 0, 2, 2 * jobs, [], []))
        ledger.apply(journal.PlanComplete(1, jobs))
        return cls(directory, ledger)

    @property
    def began(self) -> float:
        assert self.ledger.begun is not None
        return self.ledger.begun.time

    def start(self, job: int, rank: int, at: float, host: str = "tev01", attempt: int = 1) -> None:
        """Give a job to a rank, so many seconds after the beginning."""
        self.ledger.apply(journal.Started(job, attempt, rank, host, self.began + at))

    def done(self, job: int, rank: int, at: float, wall_s: float, host: str = "tev01") -> None:
        self.start(job, rank, at, host)
        end = self.began + at + wall_s
        steps = [["chain", wall_s, wall_s, 280.0, 0]]
        self.ledger.apply(journal.Accepted(job, 1, end, wall_s, 2, [], steps, ""))
        self.ledger.apply(journal.Published(job, 1))

    def fail(self, job: int, rank: int, at: float, reason: str) -> None:
        self.start(job, rank, at)
        how = (Outcome.PAYLOAD_FAILED, 3, 0, reason, False)
        told = (FailureClass.NONE, "chain.log:7", "over")
        self.ledger.apply(journal.Failed(job, 1, self.began + at + 1.0, 1.0, *how, [], *told))

    def write(self, state: str = "running") -> None:
        settings = to_dict(load("reconstruct", ["--evnt-dir=evnt", "--engine=noop"]))
        write_status(self.directory / "status.h5", self.ledger, settings=settings, state=state)


@pytest.fixture
def begin(place: Place) -> Iterator[Callable[..., Telling]]:
    """Begin runs of which this process is the master."""
    locks = []

    def begun(jobs: int, name: str = "20260101000000", *, launches: int = 1) -> Telling:
        told = Telling.begin(place.run_dir / name, jobs, launches=launches)
        (told.directory / "journal.jsonl").touch()
        locks.append(Lock(told.directory / "lock.json"))
        return told

    yield begun
    for lock in locks:
        lock.release()


@dataclass(frozen=True)
class Seen:
    """What a command printed in a terminal."""

    code: int
    text: str

    @property
    def letters(self) -> list[str]:
        """Give the lines without their colours."""
        return [line.rstrip() for line in _COLOUR.sub("", self.text).splitlines()]


def in_terminal(
    place: Place, *words: str, columns: int = 80, rows: int = 30, **environ: str
) -> Seen:
    """Run a command of hvmpi in a terminal."""
    # pytest-xdist tells its workers of 80 columns, which would count more than the terminal's own.
    asked = {name: value for name, value in place.environment.items() if name != "COLUMNS"}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "hvmpi", *words],
        cwd=place.root,
        env={**asked, "TERM": "xterm", **environ},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    text = b""
    while part := _read(ours):
        text += part
    os.close(ours)
    return Seen(process.wait(LIMIT_S), text.decode().replace("\r\n", "\n"))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other side is closed
        return b""


REASON = (
    '[red]no wire, "loose"[/red] \x1b[31m \u7c92\u5b50, and no words that are short\nnor one line'
)


@pytest.fixture
def going(begin: Callable[..., Telling]) -> Telling:
    """A run in progress with a job of each kind: two failed, for one reason."""
    told = begin(9)
    told.done(0, 1, 0.0, 10.0)
    told.done(1, 2, 0.0, 20.0, "tev02")
    told.fail(2, 3, 0.0, REASON)
    told.fail(3, 3, 1.0, REASON)
    told.start(4, 1, 10.0)
    told.start(5, 2, 5.0, "tev02")
    told.start(6, 1, 11.0)
    told.write()
    return told
