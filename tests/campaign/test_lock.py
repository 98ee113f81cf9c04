"""The lock that keeps two masters from one run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from hvmpi.campaign.lock import Lock, break_lock, holder, refuse_in_progress
from hvmpi.errors import JournalError, UsageError
from tests.conftest import wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "20260101000000"
    directory.mkdir()
    return directory / "lock.json"


def write(path: Path, *, host: str = "", pid: int, began: float, age_s: float = 0.0) -> None:
    values = {"host": host or socket.gethostname(), "pid": pid, "began": began}
    path.write_text(json.dumps(values))
    os.utime(path, (time.time() - age_s,) * 2)


def test_one_at_a_time(path: Path) -> None:
    lock = Lock(path)
    assert lock.broken is None
    with pytest.raises(UsageError, match=f"run 20260101000000 is in progress: .*{os.getpid()}"):
        Lock(path)
    lock.release()
    assert not path.exists()
    Lock(path).release()


def test_a_lock_that_is_a_directory_is_named(path: Path) -> None:
    path.mkdir()
    for look in (holder, refuse_in_progress, Lock):
        with pytest.raises(UsageError, match=r"lock.json' cannot be read \(Is a directory\)"):
            look(path)


def test_a_lock_of_a_process_that_is_no_more_is_broken(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    write(path, pid=process.pid, began=time.time())
    lock = Lock(path)
    assert lock.broken is not None
    assert lock.broken.pid == process.pid
    found = holder(path)
    assert found is not None
    assert found.pid == os.getpid()


def test_a_process_number_that_was_given_again_is_another_process(path: Path) -> None:
    write(path, pid=os.getpid(), began=psutil.Process().create_time() - 1000)
    assert Lock(path).broken is not None


def test_a_zombie_holds_nothing(path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        began = psutil.Process(process.pid).create_time()
        write(path, pid=process.pid, began=began)
        with pytest.raises(UsageError):
            refuse_in_progress(path)
        process.kill()
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        refuse_in_progress(path)


def test_on_another_host_a_sign_of_life_counts(path: Path) -> None:
    write(path, host="far", pid=1, began=0.0, age_s=60)
    with pytest.raises(UsageError, match="on far is its master"):
        Lock(path)
    write(path, host="far", pid=1, began=0.0, age_s=600)
    assert Lock(path).broken is not None


def test_refresh_is_a_sign_of_life(path: Path) -> None:
    lock = Lock(path)
    os.utime(path, (0, 0))
    lock.refresh()
    found = holder(path)
    assert found is not None
    assert found.age_s < 60


def test_a_master_that_was_taken_for_dead_stops_and_leaves_the_new_ones_lock(path: Path) -> None:
    lock = Lock(path)
    write(path, host="far", pid=1, began=0.0)
    with pytest.raises(JournalError, match="taken over by process 1 on far"):
        lock.refresh()
    lock.release()
    assert path.exists()


def test_a_lock_is_broken_only_if_it_is_still_the_one_that_was_seen(path: Path) -> None:
    write(path, host="far", pid=1, began=0.0)
    seen = holder(path)
    assert seen is not None
    write(path, host="far", pid=2, began=0.0)
    break_lock(path, seen)
    assert path.exists()
    write(path, host="far", pid=1, began=0.0)
    break_lock(path, seen)
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "x"}', "null"])
def test_a_lock_that_cannot_be_read_is_no_lock(path: Path, text: str) -> None:
    path.write_text(text)
    assert Lock(path).broken is not None


def test_of_many_that_break_a_lock_one_holds_it(path: Path) -> None:
    for _ in range(30):
        write(path, pid=2**22 + 1, began=0.0)
        together = threading.Barrier(8)

        def take(together: threading.Barrier = together) -> Lock | None:
            together.wait()
            try:
                return Lock(path)
            except UsageError:
                return None

        with ThreadPoolExecutor(8) as pool:
            locks = [lock for lock in pool.map(lambda _: take(), range(8)) if lock is not None]
        assert len(locks) == 1
        locks[0].release()
        assert list(path.parent.iterdir()) == []


def test_a_process_that_died_while_it_broke_a_lock_blocks_nobody(path: Path) -> None:
    write(path, pid=2**22 + 1, began=0.0)
    breaking = path.with_name(".lock.json.breaking")
    breaking.touch()
    os.utime(breaking, (0, 0))
    assert Lock(path).broken is not None
    assert not breaking.exists()


def test_a_directory_that_cannot_be_written_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"run proc cannot be locked .*'/proc' must be"):
        Lock(Path("/proc/lock.json"))
