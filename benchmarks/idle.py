"""What master and workers use while they wait: of a core, over some seconds, several times.

One job sleeps; the master waits, one worker waits for its payload, another for a job. The CPU time
of a rank is its own and that of its helpers, the processes under it that are not the payload's.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.figures import BenchmarkError, Figure, Measured, Measurement, at_most
from benchmarks.launching import environment, hvmpi_words
from benchmarks.simulation import make_event_files

TITLE = "CPU time of a master and of workers that wait"

RANKS = 3
PAYLOAD = "86399"
"""What the payload sleeps, and how it is known."""
SETTLE_S = 3.0
START_S = 60.0


def measure(given: Measurement) -> Measured:
    """Wait, and look."""
    make_event_files(given.scratch / "evnt", 1, 1)
    windows, seconds = given.size(7, 3), given.size(4.0, 2.0)
    used: dict[str, list[float]] = {}
    with _campaign(given.scratch) as launcher:
        ranks = _ranks(launcher)
        time.sleep(SETTLE_S)
        for _ in range(windows):
            before = {name: _cpu_s(rank) for name, rank in ranks.items()}
            began = time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - began
            for name, rank in ranks.items():
                share = 100.0 * (_cpu_s(rank) - before[name]) / passed
                used.setdefault(name, []).append(share)
    return Measured(
        tuple(
            Figure(f"{name}, of a core", values=tuple(shares), goal=at_most(2.0), unit="%")
            for name, shares in used.items()
        )
    )


@contextlib.contextmanager
def _campaign(place: Path) -> Iterator[psutil.Process]:
    words = ["reconstruct", "--engine=noop", f"--evnt-dir={place / 'evnt'}", "--job-size=1"]
    words += [f"--run-dir={place / 'runs'}", "--noop-command=/bin/sleep"]
    words.append(f"--noop-command={PAYLOAD}")
    with (place / "said").open("wb") as said:
        started = subprocess.Popen(
            hvmpi_words(words, RANKS),
            cwd=place,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    launcher = psutil.Process(started.pid)
    try:
        deadline = time.monotonic() + START_S
        while not any(map(_is_payload, launcher.children(recursive=True))):
            if started.poll() is not None or time.monotonic() > deadline:
                said_last = (place / "said").read_text().strip().splitlines()[-1:]
                msg = f"no payload began: {said_last}"
                raise BenchmarkError(msg)
            time.sleep(0.2)
        yield launcher
    finally:
        every = launcher.children(recursive=True) if started.poll() is None else []
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(20.0)
        for process in [launcher, *every]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        started.wait()


def _is_payload(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[-2:] == ["/bin/sleep", PAYLOAD]
    return False


def _ranks(launcher: psutil.Process) -> dict[str, psutil.Process]:
    names = {}
    for process in launcher.children(recursive=True):
        with contextlib.suppress(psutil.Error, KeyError):
            rank = int(process.environ()["OMPI_COMM_WORLD_RANK"])
            if process.parent() == launcher or rank not in names:
                names.setdefault(rank, process)
    if len(names) != RANKS:
        msg = f"{len(names)} ranks were found, not {RANKS}"
        raise BenchmarkError(msg)
    made = {"idle master": names.pop(0)}
    for rank in names.values():
        busy = any(map(_is_payload, rank.children(recursive=True)))
        made["worker whose payload sleeps" if busy else "idle worker"] = rank
    return made


def _cpu_s(rank: psutil.Process) -> float:
    """Give the CPU time of a rank and of its helpers so far."""
    total = 0.0
    for process in (rank, *rank.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            if not _is_payload(process):
                times = process.cpu_times()
                total += times.user + times.system
    return total
