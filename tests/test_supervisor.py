"""The start under mpirun: with one that stands in, and with the real one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hvmpi.hosts import usable_cores
from tests.conftest import QUIET

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
from hvmpi.campaign.journal import Ended, Journal, PlanComplete, RunBegun
directory = Path(os.environ["RUN_DIR"]) / "{TIMESTAMP}"
directory.mkdir(parents=True)
journal = Journal(directory / "journal.jsonl")
launch = os.environ["HVMPI_LAUNCH_ID"]
journal.append(
    RunBegun("hvmpi-journal", 3, "{TIMESTAMP}", 0.0, "run", "", {{}}, "", launch)
)
journal.append(PlanComplete(0, 0))
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

    def popen(self, *arguments: str, does: str = "sys.exit(1)") -> subprocess.Popen[str]:
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

    def start(self, *arguments: str, does: str = "sys.exit(1)") -> subprocess.CompletedProcess[str]:
        process = self.popen(*arguments, does=does)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


NOOP = ("--engine", "noop", "-b", "10", "-n", "2", "--job-size", "5")
ONCE = ("--max-restarts", "0")


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
    environment |= QUIET | {
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


@pytest.mark.parametrize("named", [False, True])
def test_a_batch_job_has_its_own_hosts(stage: Stage, named: bool) -> None:
    (stage.root / "nodes").write_text("localhost\nlocalhost\n127.0.0.1\n")
    (stage.root / "hosts").write_text("localhost slots=7\n")
    stage.environment["PBS_NODEFILE"] = str(stage.root / "nodes")
    stage.start(*NOOP, *(("--hostfile", "hosts") if named else ()))
    if named:
        assert stage.seen["hostfile"] == "localhost slots=7\n"
    else:
        assert stage.seen["hostfile"] == "localhost slots=2\n127.0.0.1 slots=1\n"
        # The master sleeps: each task that was asked for computes.
        assert stage.seen["words"][2:4] == ["-n", "4"]


def test_a_rank_of_another_launcher_starts_no_mpirun(stage: Stage) -> None:
    """As ``srun run_chain.sh``, or a host's mpirun with a container a rank."""
    stage.environment |= {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}
    assert stage.start(*NOOP).returncode == 0
    assert not stage.began_mpirun
    assert not (stage.root / "runs").exists()


def test_what_only_looks_asks_no_batch_system(stage: Stage) -> None:
    stage.environment["PBS_NODEFILE"] = str(stage.root / "missing")
    assert stage.start("--version").returncode == 0
    refused = stage.start(*NOOP)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "PBS_NODEFILE" in refused.stderr


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
    ran = stage.start(*NOOP, *ONCE, does=f"{JOURNAL}\n{record}\nsys.exit({mpirun_code})")
    assert ran.returncode == 3
    assert f"was cut short (mpirun ended with exit code {mpirun_code});" in ran.stderr
    assert f"rerun {TIMESTAMP}" in ran.stderr


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_run_that_cannot_begin_has_mpiruns_code(stage: Stage, code: int) -> None:
    ran = stage.start(*NOOP, does=f"sys.exit({code})")
    assert ran.returncode == code
    assert "before the run began" in ran.stderr
    assert "restart" not in ran.stderr


# The first start comes to nothing, the second is all that is wanted.
SECOND = f"""
if not Path("first").exists():
    Path("first").touch()
    %s
{JOURNAL}
end(0)
"""


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("sys.exit(137)", "mpirun ended with exit code 137"),
        # A daemon was lost.
        ("sys.exit(255)", "mpirun ended with exit code 255"),
        ("sys.exit(0)", "mpirun ended with exit code 0"),
        # MPI_Init failed in the ranks that were left.
        ("sys.exit(14)", "mpirun ended with exit code 14"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "mpirun ended by signal 9"),
        ("time.sleep(1000)", "the run did not begin in"),
    ],
)
def test_what_dies_or_hangs_before_the_run_begins_is_started_again(
    stage: Stage, how: str, what: str
) -> None:
    ran = stage.start(*NOOP, "--start-timeout", "2", does=SECOND % how)
    assert ran.returncode == 0, ran.stderr
    (said,) = ran.stderr.splitlines()
    assert what in said
    assert "restart 1 of 20" in said


def test_a_run_whose_plan_was_not_written_is_begun_anew(stage: Stage) -> None:
    does = f"""
if not Path("first").exists():
    Path("first").touch()
    {JOURNAL.replace("journal.append(PlanComplete(0, 0))", "").replace(chr(10), chr(10) + "    ")}
    sys.exit(137)
{JOURNAL.replace(TIMESTAMP, "20260101000001")}
end(0)
"""
    ran = stage.start(*NOOP, does=does)
    assert ran.returncode == 0, ran.stderr
    assert "rerun" not in stage.seen["words"]


def test_nothing_is_started_again_where_no_journal_can_be_written(stage: Stage) -> None:
    # Root may write anywhere: a directory that is no more stands for a disk that is full.
    gone = 'import shutil; time.sleep(2); shutil.move(directory, "elsewhere")'
    ran = stage.start(*NOOP, does=f"{STARTS}\n{gone}\nsys.exit(3)")
    assert ran.returncode == 3
    assert len(starts(stage)) == 1
    assert "cannot be written (No such file or directory)" in ran.stderr


def test_what_never_begins_is_given_up(stage: Stage) -> None:
    ran = stage.start(*NOOP, "--max-restarts", "1", does="sys.exit(137)")
    assert ran.returncode == 137
    assert "max-restarts (1) is used up, before the run began" in ran.stderr


# Each start keeps what it saw; the first begins the run, the others take it up again.
STARTS = f"""
number = len(list(Path(".").glob("start*")))
Path(f"start{{number}}").write_text(json.dumps(seen))
if number == 0:
    {JOURNAL.replace(chr(10), chr(10) + "    ")}
else:
    from hvmpi.campaign.journal import Ended, Journal, Published, Resumed
    journal = Journal(Path(os.environ["RUN_DIR"]) / "{TIMESTAMP}" / "journal.jsonl")
    launch = os.environ["HVMPI_LAUNCH_ID"]
    journal.append(Resumed(0.0, "", {{}}, launch, os.environ["HVMPI_RESTART"], False))
    def end(code, reason=""):
        journal.append(Ended(0.0, "incomplete", code, 0, 0, 0, reason, launch))
    def publish():
        journal.append(Published(0, 1))
"""


def starts(stage: Stage) -> list[dict[str, Any]]:
    count = len(list(stage.root.glob("start*")))
    return [json.loads((stage.root / f"start{number}").read_text()) for number in range(count)]


@pytest.mark.parametrize("says", ["mpirun (Open MPI) 5.0.11", "HYDRA build details:"])
def test_mpirun_is_started_again_from_the_journal(stage: Stage, says: str) -> None:
    stage.environment |= {"MPIRUN_SAYS": says, "HVMPI_JOB_TIMEOUT": "77"}
    ran = stage.start(*NOOP, "--nice", "3", does=f"{STARTS}\nif number == 2: end(1)\nsys.exit(9)")
    assert ran.returncode == 1, ran.stderr
    first, *again = starts(stage)
    assert len(again) == 2
    assert first["words"][-2:] == ["--nice", "3"]
    assert "HVMPI_RESTART" not in first["environment"]
    for start in again:
        run_dir = stage.environment["RUN_DIR"]
        assert start["words"][-3:] == ["rerun", TIMESTAMP, f"--run-dir={run_dir}"]
        # The run has its settings with it: what is said here would win over them.
        assert "HVMPI_JOB_TIMEOUT" not in start["environment"]
    assert again[0]["environment"]["HVMPI_RESTART"] == (
        "restart 1 of 20: mpirun ended with exit code 9"
    )
    assert len({start["environment"]["HVMPI_LAUNCH_ID"] for start in [first, *again]}) == 3
    assert len(ran.stderr.splitlines()) == 2
    assert "mpirun ended with exit code 9: restart 2 of 20" in ran.stderr


def test_a_rerun_is_taken_up_again_as_it_was_asked_for(stage: Stage) -> None:
    begun = stage.start(*NOOP, "--run-dir", "runs", "--ranks", "1")
    assert begun.returncode == 0, begun.stderr
    (run,) = (stage.root / "runs").iterdir()
    does = STARTS.replace("number == 0", "False").replace(TIMESTAMP, run.name)
    does = does.replace('os.environ["HVMPI_RESTART"]', '""')
    ran = stage.start("rerun", run.name, "--nice", "3", does=f"{does}\nif number == 1: end(0)")
    assert ran.returncode == 0, ran.stderr
    assert len(starts(stage)) == 2
    for start in starts(stage):
        assert start["words"][-4:] == ["rerun", run.name, "--nice", "3"]


def test_restarts_end_with_max_restarts(stage: Stage) -> None:
    ran = stage.start(*NOOP, "--max-restarts", "1", does=STARTS)
    assert ran.returncode == 3
    assert len(starts(stage)) == 2
    assert "max-restarts (1) is used up" in ran.stderr
    assert f"rerun {TIMESTAMP}" in ran.stderr


def test_a_restart_has_the_time_that_is_left(stage: Stage) -> None:
    ran = stage.start(*NOOP, "--time-limit", "1000", does=f"{STARTS}\nif number: end(0)")
    assert ran.returncode == 0, ran.stderr
    word = starts(stage)[1]["words"][-1]
    assert word.startswith("--time-limit=")
    assert 0 < float(word.partition("=")[2]) < 1000


def test_nothing_is_started_again_when_the_time_is_over(stage: Stage) -> None:
    ran = stage.start(*NOOP, "--time-limit", "0.1", does=STARTS)
    assert ran.returncode == 3
    assert "time-limit is reached" in ran.stderr
    assert len(starts(stage)) == 1


def test_a_stop_between_two_starts_ends_it(stage: Stage) -> None:
    process = stage.popen(*NOOP, does=f"{STARTS}\nPath(f'end{{number}}').touch()")
    wait_for(stage.root / "end2", process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert f"rerun {TIMESTAMP}" in said
    assert "answers" not in said
    assert len(starts(stage)) <= 4


@pytest.mark.parametrize(
    ("reason", "count"),
    [
        ("no worker is left", 2),
        # Of workers that were left out, new ones would be the same.
        ("no worker is left: vm is full", 1),
        # Open MPI without ULFM, when a rank died.
        ("the master got SIGTERM", 2),
        ("the master got SIGUSR1", 1),
    ],
)
def test_a_master_that_lost_its_workers_is_given_new_ones(
    stage: Stage, reason: str, count: int
) -> None:
    record = f"journal.append(Ended(0.0, '', 3, 0, 0, 1, '{reason}', launch))"
    does = f"{STARTS}\nif number: end(0)\nelse: {record}"
    ran = stage.start(*NOOP, does=does)
    assert len(starts(stage)) == count
    assert ran.returncode == (0 if count == 2 else 3)


# Stands where ssh would: says who was asked, and is answered by those that the test names.
SHELL = """#!/bin/bash
echo "$1" >>asked
[[ " $(cat answering) " == *" $1 "* ]]
"""


def test_silent_hosts_are_left_out_until_they_answer(stage: Stage) -> None:
    shell = stage.root / "shell"
    shell.write_text(SHELL)
    shell.chmod(0o755)
    stage.environment["PRTE_MCA_plm_ssh_agent"] = f"'{shell}'"
    (stage.root / "hosts").write_text(
        "198.51.100.1 slots=4\n198.51.100.2 slots=2\n198.51.100.3 slots=3\n"
    )
    (stage.root / "site/lib").mkdir()
    answers = ["", "198.51.100.2", "198.51.100.2 198.51.100.1 198.51.100.3", ""]
    does = f"""{STARTS}
Path("answering").write_text({answers!r}[number + 1])
if number == 2: end(0)
"""
    # A prefix without a space: Open MPI cannot start ranks elsewhere from one with it.
    stage.environment["MPIRUN_SAYS"] = "HYDRA build details:"
    ran = stage.start("--hostfile", "hosts", *NOOP, does=does)
    assert ran.returncode == 0, ran.stderr
    seen = starts(stage)
    assert [start["hostfile"].split() for start in seen] == [
        ["198.51.100.1:4", "198.51.100.2:2", "198.51.100.3:3"],
        ["198.51.100.2:2"],
        ["198.51.100.1:4", "198.51.100.2:2", "198.51.100.3:3"],
    ]
    assert [start["words"][3] for start in seen] == ["9", "2", "9"]
    first, second = ran.stderr.splitlines()
    assert "without 198.51.100.1, 198.51.100.3, which do not answer" in first
    assert "without" not in second


def test_an_mpirun_that_stays_after_the_end_is_killed(stage: Stage) -> None:
    does = f"""{JOURNAL}
end(0)
import subprocess
Path("pid").write_text(str(subprocess.Popen(["sleep", "1000"]).pid))
while True: time.sleep(60)
"""
    ran = stage.start(*NOOP, does=does)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert not lives(int((stage.root / "pid").read_text()))


def test_a_lock_of_a_master_elsewhere_does_not_stop_the_restart(stage: Stage) -> None:
    does = f"""{STARTS}
lock = Path(os.environ["RUN_DIR"]) / "{TIMESTAMP}" / "lock.json"
if number == 0: lock.write_text('{{"host": "far", "pid": 1, "began": 0.0}}')
else:
    Path("locked").write_text(str(lock.exists()))
    end(0)
"""
    ran = stage.start(*NOOP, does=does)
    assert ran.returncode == 0, ran.stderr
    assert (stage.root / "locked").read_text() == "False"


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
    process = stage.popen(*NOOP, *ONCE, *SLEEPS)
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


# Open MPI of the wheel, told nothing of ULFM: as plain MPI, it ends all when a rank dies.
PLAIN = f"""#!/bin/bash
[[ $1 == --version ]] && {{ echo "mpirun (Open MPI) 4.1.6"; exit; }}
exec "{sys.prefix}/bin/mpirun" "$@"
"""


@pytest.mark.parametrize(("rank", "plain"), [("0", False), ("0", True), ("1", True)])
def test_a_real_campaign_outlives_its_ranks(stage: Stage, rank: str, plain: bool) -> None:
    if plain:
        (stage.root / "site/bin/mpirun").write_text(PLAIN)
        stage.environment["MPI4PY_LIBMPI"] = f"{sys.prefix}/lib/libmpi.so.40"
    else:
        del stage.environment["HVMPI_MPI"]
    nap = ("--noop-command", "sleep", "--noop-command", "0.4")
    process = stage.popen("--engine", "noop", "-b", "8", "-n", "2", "--job-size", "1", *nap)
    (journal,) = wait_for_files(stage.root / "runs", "*/journal.jsonl", process)
    while journal.read_text().count('"published"') < 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    (victim,) = (member for member in family if is_rank(member, rank))
    victim.kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    assert "restart 1 of 20" in err
    assert_gone(family)
    verified = stage.start("verify")
    assert verified.returncode == 0, verified.stdout
    published = [line for line in journal.read_text().splitlines() if '"published"' in line]
    assert len(published) == 18


def test_a_rank_that_dies_before_mpi_is_up_does_not_keep_the_others(stage: Stage) -> None:
    del stage.environment["HVMPI_MPI"]
    process = stage.popen(*NOOP, "--start-timeout", "8")
    deadline = time.monotonic() + 60
    while not (ranks := ranks_below(process, "1")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no rank came"
    ranks[0].kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    assert "restart 1 of 20" in err
    assert len(list((stage.root / "runs").glob("*/journal.jsonl"))) == 1


def ranks_below(process: subprocess.Popen[str], rank: str) -> list[psutil.Process]:
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [member for member in family if is_rank(member, rank)]


def is_rank(process: psutil.Process, rank: str) -> bool:
    try:
        own = process.cmdline()[1:4] == ["-P", "-m", "hvmpi"]
        return own and process.environ().get("OMPI_COMM_WORLD_RANK") == rank
    except psutil.Error:
        return False


def wait_for_files(directory: Path, pattern: str, process: subprocess.Popen[str]) -> list[Path]:
    deadline = time.monotonic() + 60
    while not (found := _found(directory, pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{pattern} did not come"
        time.sleep(0.02)
    return found


def _found(directory: Path, pattern: str) -> list[Path]:
    # The look before the start makes the directory and takes it away again.
    with contextlib.suppress(FileNotFoundError):
        return list(directory.glob(pattern))
    return []
