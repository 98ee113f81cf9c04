"""``doctor``: look at every host for what a campaign needs, and run nothing."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from hvmpi import __version__
from hvmpi.channel import MASTER, Channel, Idle, MpiChannel, dismiss, part
from hvmpi.engine import Check, Engine, make_engine
from hvmpi.errors import HvmpiError
from hvmpi.hosts import usable_cores
from hvmpi.messages import Examine, Examined, Goodbye, Hello, Stop
from hvmpi.preflight import Examination, Hosts, Standing, misfit
from hvmpi.ranks import world
from hvmpi.settings import Settings, load
from hvmpi.versions import mpi_library
from hvmpi.view.table import print_table

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns 1 if something is missing, on any host."""
    comm = world()
    if comm is None:
        return _answer(list(_here(load("doctor", argv))))
    channel = MpiChannel(comm)
    if channel.rank != 0:
        _assist(channel, argv)
        return 0
    try:
        settings = load("doctor", argv)
        checks = _everywhere(settings, channel)
    finally:
        dismiss(channel, "the doctor is done")
    return _answer(checks)


def _answer(checks: Sequence[tuple[str, Check]]) -> int:
    # The name of the only host would be in the way of what was found.
    first = 0 if len({host for host, _ in checks}) > 1 else 1
    rows = [(host, one.name, "ok" if one.good else "FAULT", one.found) for host, one in checks]
    print_table(("HOST", "CHECK", "RESULT", "FOUND")[first:], [row[first:] for row in rows])
    return 0 if all(check.good for _, check in checks) else 1


# One host


def _here(settings: Settings) -> Iterator[tuple[str, Check]]:
    host = socket.gethostname()
    engine = make_engine(settings)
    for check in (*_checks(settings, engine), *_examined(settings, engine)):
        yield host, check


def _examined(settings: Settings, engine: Engine) -> tuple[Check, ...]:
    examination = Examination(engine, settings.preflight_timeout)
    idle = Idle()
    while (checks := examination.poll()) is None:
        idle.wait()
    return checks


def _checks(settings: Settings, engine: Engine) -> Iterator[Check]:
    yield Check("python", (3, 11) <= sys.version_info < (3, 14), sys.version.split()[0])
    library = mpi_library()
    yield Check("MPI library", not library.startswith("not found"), library)
    mpirun = shutil.which("mpirun") or shutil.which("mpirun", path=str(Path(sys.executable).parent))
    yield Check("mpirun", mpirun is not None, mpirun or "not found; one rank works without it")
    missing = engine.preflight()
    versions = ", ".join(f"{name} {version}" for name, version in engine.versions().items())
    found = "; ".join(missing) or versions or "nothing needed"
    yield Check(f"engine {engine.name}", not missing, found)
    yield _room("run-dir", Path(settings.run_dir))
    if engine.examines_hosts:
        return
    yield _room("tmp-dir", Path(settings.tmp_dir or settings.run_dir))
    cores = usable_cores()
    yield Check("cores", cores >= 1, f"{cores} usable")
    gigabytes = psutil.virtual_memory().available / 1e9
    yield Check("memory", gigabytes > 0.5 * cores, f"{gigabytes:.1f} GB free")


def _room(name: str, directory: Path) -> Check:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Check(name, False, f"{there} cannot be written")
    free = shutil.disk_usage(there).free / 1e9
    return Check(name, free > 1.0, f"{directory}, {free:.0f} GB free")


# Several hosts


def _assist(channel: Channel, argv: Sequence[str]) -> None:
    """Look at this host if rank 0 asks for it, until it says stop."""
    host = socket.gethostname()
    settings, engine, reason = None, None, ""
    try:
        settings = load("doctor", argv)
        engine = make_engine(settings)
    except HvmpiError as error:
        reason = str(error)
    channel.send(MASTER, Hello(host, os.getpid(), reason, usable_cores(), __version__, time.time()))
    examination: Examination | None = None
    base: tuple[Check, ...] = ()
    idle = Idle()
    while True:
        for _, message in channel.receive():
            if isinstance(message, Stop):
                channel.send(MASTER, Goodbye())
                part(channel)
                return
            if isinstance(message, Examine) and settings is not None and engine is not None:
                base = tuple(_checks(settings, engine))
                examination = Examination(engine, settings.preflight_timeout)
        checks = examination.poll() if examination is not None else None
        if checks is not None:
            channel.send(MASTER, Examined(host, (*base, *checks)))
            examination = None
        idle.wait()


def _everywhere(settings: Settings, channel: Channel) -> list[tuple[str, Check]]:
    """Look at this host and have one rank of each other one look at its own."""
    hosts = Hosts(settings.preflight_timeout)
    here = socket.gethostname()
    hosts.arrived(0, here, time.monotonic())
    engine = make_engine(settings)
    examination: Examination | None = Examination(engine, settings.preflight_timeout)
    found = [(here, check) for check in _checks(settings, engine)]
    silent = set(range(1, channel.size))
    deadline = time.monotonic() + settings.preflight_timeout
    waited_for = {here}
    idle = Idle()
    while waited_for or (silent and time.monotonic() < deadline):
        for rank, message in channel.receive():
            if isinstance(message, Hello):
                silent.discard(rank)
                reason = message.reason or misfit(message, time.time())
                if reason:
                    found.append((message.host, Check(f"rank {rank}", False, reason)))
                elif hosts.arrived(rank, message.host, time.monotonic()) is Standing.LOOKS:
                    waited_for.add(message.host)
                    channel.send(rank, Examine())
            elif isinstance(message, Examined):
                hosts.answered(message.host, "")
                waited_for.discard(message.host)
                found += [(message.host, check) for check in message.checks]
        if examination is not None and (checks := examination.poll()) is not None:
            hosts.answered(here, "")
            waited_for.discard(here)
            found += [(here, check) for check in checks]
            examination = None
        for host in hosts.overdue(time.monotonic()):
            hosts.answered(host, "overdue")
            waited_for.discard(host)
            limit = f"preflight-timeout ({settings.preflight_timeout:g} s)"
            found.append((host, Check("answer", False, f"none within {limit}")))
        idle.wait()
    found += [("?", Check(f"rank {rank}", False, "says nothing")) for rank in sorted(silent)]
    return sorted(found, key=lambda row: (row[0] != here, row[0]))
