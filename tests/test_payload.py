"""One child process: what it sees, what it used, and that it ends with all that it started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from hvmpi.environment import child_environment
from hvmpi.guardian import Guardian
from hvmpi.payload import Payload
from hvmpi.servers import PayloadServer
from tests.conftest import Place, noop, result_of, start_payload, wait_for

SEEN = """
import json, os, sys
json.dump({
    "environment": dict(os.environ),
    "stdin": os.path.realpath("/proc/self/fd/0"),
    "read": sys.stdin.read(),
    "nice": os.nice(0),
    "pid": os.getpid(),
    "group": os.getpgid(0),
    "session": os.getsid(0),
    "directory": os.getcwd(),
    "affinity": len(os.sched_getaffinity(0)),
}, open(sys.argv[1], "w"))
"""

LAUNCHERS = (
    "MPI",
    "OMPI_",
    "PMIX_",
    "PRTE_",
    "PMI",
    "HYDRA_",
    "HYDI_",
    "MPIR_",
    "SLURM_",
    "HVMPI_",
)


def start(tmp_path: Path, script: str, *, timeout: float = 60.0, nice: int = 10) -> Payload:
    return start_payload(tmp_path, "/bin/sh", "-c", script, timeout=timeout, nice=nice)


@pytest.mark.parametrize("ranks", [0, 2])
def test_what_a_payload_sees(place: Place, ranks: int) -> None:
    place.event_file("304795.2.1", [1, 2])
    (place.root / "seen.py").write_text(textwrap.dedent(SEEN))
    command = noop(sys.executable, str(place.root / "seen.py"), "{output}")
    words = ("reconstruct", "--evnt-dir=evnt", *command, "--nice=7")
    launched = {"SLURM_JOB_ID": "7", "PMI_LOCAL": "1", "MPIR_CVAR_X": "1", "PYTHONPATH": "/gone"}
    place.environment |= launched
    if ranks:
        assert place.mpirun(ranks, *words).code == 0
    else:
        assert place.finish(place.start(*words)).code == 0
    seen = json.loads((place.run().directory / "aod/304795.2.1.50.0.aod.txt").read_text())
    assert [name for name in seen["environment"] if name.startswith(LAUNCHERS)] == []
    assert "PYTHONPATH" not in seen["environment"]
    assert seen["environment"]["PATH"] == os.environ["PATH"]
    assert (seen["stdin"], seen["read"]) == ("/dev/null", "")
    assert seen["nice"] == os.nice(0) + 7
    assert seen["pid"] == seen["group"] == seen["session"]
    assert seen["environment"]["TMPDIR"] == seen["directory"]
    assert seen["directory"].endswith("tmp/0000/job00000000.attempt1")
    assert seen["affinity"] == len(os.sched_getaffinity(0))


def test_the_environment_is_an_allow_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_JOBID", "MPI_LOCALRANKID", "SECRET"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("LC_TIME", "C")
    made = child_environment(tmp_path, {"STEP": "x"})
    assert not {name for name in made if name.startswith(LAUNCHERS)}
    assert "SECRET" not in made
    assert (made["LC_TIME"], made["STEP"], made["TMPDIR"]) == ("C", "x", str(tmp_path))
    assert made["OMP_NUM_THREADS"] == "1"


def test_what_it_used(tmp_path: Path) -> None:
    program = "import time; held = b'x' * 60_000_000; time.sleep(0.5); print(60000000)"
    script = f'{sys.executable} -c "{program}"; exit 5'
    ended = result_of(start(tmp_path, script))
    assert ended.exit_code == 5
    assert ended.cpu_s > 0
    assert ended.wall_s > 0
    assert 50 < ended.max_rss_mb < 500
    assert not ended.timed_out
    assert not ended.stopped
    assert (tmp_path / "step.log").read_text() == "60000000\n"


def test_output_and_complaints_go_to_the_log_behind_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "step.log").write_text("before\n")
    result_of(start(tmp_path, "echo out; echo err >&2"))
    assert (tmp_path / "step.log").read_text() == "before\nout\nerr\n"


def test_a_signal_is_a_negative_exit_code(tmp_path: Path) -> None:
    assert result_of(start(tmp_path, "kill -SEGV $$")).exit_code == -11


def test_its_time_limit(tmp_path: Path) -> None:
    ended = result_of(start(tmp_path, "exec sleep 600", timeout=0.2))
    assert ended.timed_out
    assert ended.exit_code == -15


def test_stop(tmp_path: Path) -> None:
    payload = start(tmp_path, "exec sleep 600")
    payload.stop()
    ended = result_of(payload)
    assert ended.stopped
    assert not ended.timed_out


@pytest.mark.parametrize("start_it", ["sleep 600", "setsid sleep 600"])
@pytest.mark.parametrize("how", ["ends", "stop", "timeout"])
def test_grandchildren_end_with_it(tmp_path: Path, how: str, start_it: str) -> None:
    script = f"{start_it} & echo $! > child; {'true' if how == 'ends' else 'wait'}"
    payload = start(tmp_path, script, timeout=0.5 if how == "timeout" else 60.0)
    child = tmp_path / "child"
    wait_for(lambda: child.exists() and child.read_text().endswith("\n"))
    if how == "stop":
        payload.stop()
    result_of(payload)
    number = int(child.read_text())
    wait_for(
        lambda: (
            not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE
        )
    )


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        Payload(
            ("no-such-program",),
            environment=child_environment(tmp_path, {}),
            directory=tmp_path,
            log=tmp_path / "step.log",
            timeout=1.0,
            server=PayloadServer(Guardian()),
        )
    assert error.value.filename == "no-such-program"


def test_words_never_pass_through_a_shell(tmp_path: Path) -> None:
    words = ("printf", "%s\n", "$HOME `id` ; rm -rf * 'x' \"y\"", "größe")
    payload = start_payload(tmp_path, *words)
    assert result_of(payload).exit_code == 0
    assert (tmp_path / "step.log").read_text().splitlines() == list(words[2:])


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Grandparent (this test) kills the parent with SIGKILL: no handler of it can run."""
    script = f"""
        import sys, time
        from pathlib import Path
        from hvmpi.guardian import Guardian
        from hvmpi.environment import child_environment
        from hvmpi.payload import Payload
        from hvmpi.servers import PayloadServer
        here = Path({str(tmp_path)!r})
        payload = Payload(("sleep", "600"), environment=child_environment(here, {{}}),
                          directory=here, log=here / "log", timeout=600.0,
                          server=PayloadServer(Guardian(), 10))
        while not payload.pid:
            payload.poll()
        print(payload.pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        payload = psutil.Process(number)
        wait_for(lambda: payload.name() == "sleep")
        parent.kill()
    wait_for(lambda: not payload.is_running() or payload.status() == psutil.STATUS_ZOMBIE)


def test_it_never_reads_what_we_could_read(tmp_path: Path) -> None:
    kept = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    try:
        payload = start(tmp_path, "readlink /proc/self/fd/0; cat", timeout=5.0)
        assert result_of(payload).exit_code == 0
    finally:
        os.dup2(kept, 0)
        for handle in (kept, reading, writing):
            os.close(handle)
    assert (tmp_path / "step.log").read_text() == "/dev/null\n"
