"""What a payload started is gone when its worker is, however either ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from hvmpi import session
from hvmpi.environment import child_environment
from hvmpi.guardian import Guardian
from hvmpi.payload import Payload, PayloadResult
from hvmpi.servers import PayloadServer
from tests.conftest import wait_for

STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"

FAMILY = f"""
echo $$ > session.part
sleep 600 &
set -m
sleep 601 &
bash -c "{STUBBORN}" &
set +m
bash -c "{STUBBORN}" &
mv session.part session
"""
"""A payload with children in its own group, in groups of their own, and two that ignore SIGTERM."""


def alive(number: int) -> list[int]:
    """List the processes of a session, found in another way than hvmpi's."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            same = os.getsid(process.pid) == number
        except ProcessLookupError:
            continue
        if same and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def groups(number: int) -> set[int]:
    return {os.getpgid(pid) for pid in alive(number)}


def start(directory: Path, guardian: Guardian, end: str, timeout: float = 600.0) -> Payload:
    return Payload(
        ("bash", "-c", FAMILY + end),
        environment=child_environment(directory, {}),
        directory=directory,
        log=directory / "log",
        timeout=timeout,
        server=PayloadServer(guardian, 10),
    )


def session_of(directory: Path) -> int:
    """Wait until the family is complete; gives its session."""
    file = directory / "session"
    wait_for(file.exists)
    return int(file.read_text())


def result(payload: Payload) -> PayloadResult:
    deadline = time.monotonic() + 30.0
    while (ended := payload.poll()) is None:
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.01)
    return ended


@pytest.mark.parametrize("end", ["exit 3", "wait", STUBBORN])
@pytest.mark.parametrize("how", ["stop", "timeout", "kill"])
def test_nothing_of_a_payload_outlives_it(tmp_path: Path, end: str, how: str) -> None:
    guardian = Guardian()
    payload = start(tmp_path, guardian, end, 2.0 if how == "timeout" else 600.0)
    number = session_of(tmp_path)
    if how == "stop":
        payload.stop()
    elif how == "kill":
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    ended = result(payload)
    assert number == payload.pid
    assert alive(number) == []
    if end == "wait":
        assert (ended.stopped, ended.timed_out) == (how == "stop", how == "timeout")
    guardian.dismiss()


def test_what_a_payload_of_its_own_group_left_is_gone_when_it_ends_well(tmp_path: Path) -> None:
    guardian = Guardian()
    payload = start(tmp_path, guardian, "until [ -e go ]; do sleep 0.02; done; exit 0")
    number = session_of(tmp_path)
    assert len(groups(number)) >= 3
    (tmp_path / "go").touch()
    assert result(payload).exit_code == 0
    assert alive(number) == []
    guardian.dismiss()


WORKER = """
    import os, sys, time
    from pathlib import Path
    from hvmpi.guardian import Guardian
    from hvmpi.environment import child_environment
    from hvmpi.payload import Payload
    from hvmpi.servers import PayloadServer
    here = Path(sys.argv[1])
    guardian = Guardian()
    payload = Payload(("bash", "-c", sys.argv[2]), environment=child_environment(here, {}),
                      directory=here, log=here / "log", timeout=600.0,
                      server=PayloadServer(guardian, 10))
    while payload.poll() is None:
        time.sleep(0.01)
"""


def is_empty(directory: Path) -> bool:
    """Say whether no process works in a directory."""
    return not [
        process
        for process in psutil.process_iter(["cwd", "status"])
        if process.info["cwd"] == str(directory) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def start_worker(directory: Path, script: str = FAMILY + "wait") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(directory), script],
        stdin=subprocess.DEVNULL,
    )


def guardian_of(worker: subprocess.Popen[bytes]) -> psutil.Process:
    """Wait for a worker's guardian to listen: it ignores signals by then."""

    def listening() -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process(worker.pid).children()
            if session.__file__ in child.cmdline() and child.cwd() == "/"
        ]

    wait_for(listening)
    return listening()[0]


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_nothing_of_a_payload_outlives_a_worker_that_is_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    with start_worker(tmp_path) as worker:
        family = session_of(tmp_path)
        guardian = guardian_of(worker)
        worker.send_signal(number)
    wait_for(lambda: not alive(family), 10.0)
    wait_for(lambda: gone(guardian))


def test_a_guardian_stays_when_it_is_signalled(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        family = session_of(tmp_path)
        guardian = guardian_of(worker)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            guardian.send_signal(number)
        worker.kill()
    wait_for(lambda: not alive(family), 10.0)
    wait_for(lambda: gone(guardian))


def test_a_guardian_that_is_killed_is_replaced_by_one_that_knows_as_much(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        family = session_of(tmp_path)
        first = guardian_of(worker)
        first.kill()
        wait_for(lambda: not first.is_running())
        second = guardian_of(worker)
        assert second != first
        worker.kill()
    wait_for(lambda: not alive(family), 10.0)
    wait_for(lambda: gone(second))


def test_a_worker_that_is_killed_as_its_payload_begins_leaves_nothing(tmp_path: Path) -> None:
    """At whatever moment: the payload tells of itself before it does anything else."""
    script = f"touch begun; {STUBBORN}"
    for attempt in range(8):
        here = tmp_path / str(attempt)
        here.mkdir()
        with start_worker(here, script) as worker:
            wait_for((here / "log").exists)
            time.sleep(0.001 * attempt)
            worker.kill()
        wait_for(partial(is_empty, here), 10.0)
        time.sleep(0.05)
        assert is_empty(here)


def test_a_dismissed_guardian_is_gone_and_a_second_dismissal_does_nothing(tmp_path: Path) -> None:
    guardian = Guardian()
    payload = start(tmp_path, guardian, "wait")
    number = session_of(tmp_path)
    assert os.getsid(number) == number
    before = [c.pid for c in psutil.Process().children() if session.__file__ in c.cmdline()]
    assert before
    guardian.dismiss()
    guardian.dismiss()
    assert alive(number) == []
    assert not [pid for pid in before if psutil.pid_exists(pid)]
    assert result(payload).exit_code == -signal.SIGKILL


def test_a_guardian_has_nothing_of_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a rank's last word, or for its connections to close, need not wait."""
    monkeypatch.setenv("PMIX_RANK", "1")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    with start_worker(tmp_path) as worker:
        session_of(tmp_path)
        guardian = guardian_of(worker)
        assert guardian.environ().keys() <= {"LC_CTYPE"}
        assert os.getsid(guardian.pid) == guardian.pid
        descriptors = Path(f"/proc/{guardian.pid}/fd")
        assert {path.name for path in descriptors.iterdir()} == {"0", "1", "2"}
        targets = [str((descriptors / name).readlink()) for name in ("1", "2")]
        assert targets == ["/dev/null", "/dev/null"]
        worker.kill()
    os.close(reading)
    os.close(writing)
    wait_for(lambda: gone(guardian))
