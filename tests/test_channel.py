"""Channels: in one process, and between ranks of a real MPI."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from hvmpi.channel import Idle, local_pair
from hvmpi.messages import Goodbye, Hello, Stop
from tests.conftest import BIN, LIMIT_S, MPIRUN, clean_environment


def test_messages_come_in_their_order_with_the_rank_that_sent_them() -> None:
    master, worker = local_pair()
    assert (master.rank, worker.rank, master.size, worker.size) == (0, 1, 2, 2)
    assert master.receive() == []
    worker.send(0, Hello("here", 1))
    worker.send(0, Goodbye())
    master.send(1, Stop("over"))
    assert master.receive() == [(1, Hello("here", 1)), (1, Goodbye())]
    assert master.receive() == []
    assert worker.receive() == [(0, Stop("over"))]


def test_the_pause_grows_to_ten_milliseconds_and_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    idle = Idle()
    for _ in range(30):
        idle.wait()
    assert pauses[0] == pytest.approx(0.0002)
    assert pauses[1] / pauses[0] == pytest.approx(1.3)
    assert pauses == sorted(pauses)
    assert max(pauses) == pytest.approx(0.01)
    idle.reset()
    idle.wait()
    assert pauses[-1] == pauses[0]


RANKS = """
import time
from mpi4py import MPI
from hvmpi.channel import MpiChannel
from hvmpi.messages import Hello, Stop

channel = MpiChannel(MPI.COMM_WORLD)
COUNT, BIG = 200, "x" * 5_000_000
if channel.rank == 0:
    got = {1: [], 2: []}
    deadline = time.monotonic() + 60
    while min(map(len, got.values())) < COUNT + 1 and time.monotonic() < deadline:
        for rank, message in channel.receive():
            got[rank].append(message)
        time.sleep(0.001)
    for rank, messages in got.items():
        assert [message.pid for message in messages] == list(range(COUNT + 1)), rank
        assert messages[-1].host == BIG
        assert messages[0].host == "größe 粒子"
        channel.send(rank, Stop("over"))
    channel.flush(10.0)
    print("all came", flush=True)
else:
    for number in range(COUNT):
        channel.send(0, Hello("größe 粒子", number))
        if number % 3:
            channel.post()
    # A big message does not hold up who sends it.
    channel.send(0, Hello(BIG, COUNT))
    channel.post()
    over = False
    deadline = time.monotonic() + 60
    while not over and time.monotonic() < deadline:
        over = any(isinstance(message, Stop) for _, message in channel.receive())
        time.sleep(0.001)
    assert over
    channel.flush(10.0)
"""


def test_messages_between_ranks(tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(textwrap.dedent(RANKS))
    command = [BIN / "mpirun", "-n", "3", "--oversubscribe", "--bind-to", "none"]
    ended = subprocess.run(
        [*command, sys.executable, script],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=clean_environment(),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "all came\n"), ended.stderr


SURVIVORS = """
import os
import signal
import time
from mpi4py import MPI
from hvmpi.channel import MpiChannel
from hvmpi.messages import Hello, Stop
from hvmpi.ranks import leave, survives

assert survives()
channel = MpiChannel(MPI.COMM_WORLD)
BIG = "x" * 5_000_000
deadline = time.monotonic() + 60
if channel.rank == 1:
    channel.send(0, Hello("1", 1))
    channel.flush(10.0)
    channel.send(0, Hello(BIG, 2))  # cut off in the middle
    channel.post()
    os.kill(os.getpid(), signal.SIGKILL)
if channel.rank == 2:
    time.sleep(1.0)
    channel.send(0, Hello("2", 1))
    channel.post()
    over = False
    while not over and time.monotonic() < deadline:
        over = any(isinstance(message, Stop) for _, message in channel.receive())
        time.sleep(0.001)
    assert over
else:
    failed, said = [], []
    while not (failed and (2, 1) in said) and time.monotonic() < deadline:
        said += [(rank, message.pid) for rank, message in channel.receive()]
        failed += channel.failed()
        channel.send(1, Stop("nobody hears"))
        channel.post()
        time.sleep(0.001)
    # Of what was cut off nothing comes, or all of it: it may have been out a moment before.
    assert failed == [1] and [one for one in said if one != (1, 2)] == [(1, 1), (2, 1)], said
    channel.send(2, Stop("over"))
    channel.flush(10.0)
    print("survived", flush=True)
    time.sleep(0.5)
leave(0)
"""


def test_ranks_survive_each_other(tmp_path: Path) -> None:
    script = tmp_path / "survivors.py"
    script.write_text(SURVIVORS)
    ended = subprocess.run(
        [*MPIRUN, "-n", "3", sys.executable, script],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=clean_environment(),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "survived\n"), ended.stderr
