"""Memory: the limit of a job, its peak, hosts that are full, and payloads that the kernel kills."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, Kind, Outcome
from hvmpi.memory import HoldBack, HostMemory, job_memory, use_of_session
from hvmpi.payload import PayloadResult
from hvmpi.settings import load
from tests.conftest import (
    THREE_JOBS,
    Place,
    RunOnDisk,
    noop,
    result_of,
    shell,
    start_payload,
    wait_for,
)
from tests.test_placement import Scene

PYTHON = (sys.executable, "-S", "-c")
OWN_SCORE = int(Path("/proc/self/oom_score_adj").read_text())


def filling(mb: int, then: str = "") -> tuple[str, ...]:
    """Give a command that fills memory."""
    return (*PYTHON, f"x = bytearray({mb} << 20); {then}")


def run(tmp_path: Path, *argv: str, memory_mb: int | None = None) -> PayloadResult:
    return result_of(start_payload(tmp_path, *argv, memory_mb=memory_mb))


@pytest.fixture
def session() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (["--engine=noop"], None),
        (["--engine=openchain"], 2000),
        (["--engine=athena"], None),
        (["--engine=athena", "--job-memory=3000"], 3000),
        (["--engine=openchain", "--job-memory=5"], 5),
    ],
)
def test_the_limit_depends_on_the_engine(words: list[str], limit: int | None) -> None:
    assert job_memory(load("reconstruct", words)) == limit


@pytest.mark.parametrize("mb", [20, 700])
def test_the_peak_of_a_short_step_is_its_own_and_not_ours(tmp_path: Path, mb: int) -> None:
    ballast = bytearray(300 << 20)
    peak = run(tmp_path, *filling(mb, "import time; time.sleep(1.2)")).max_rss_mb
    assert mb < peak < mb + 60
    assert len(ballast) > 0


def test_the_peak_counts_what_children_that_ended_took(tmp_path: Path) -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', sys.argv[1]])"
    # Where this process was larger once, only samples tell: they must have the time for one.
    held = "import time; x = bytearray(600 << 20); time.sleep(2.5)"
    peak = run(tmp_path, *PYTHON, child, held).max_rss_mb
    assert 600 < peak < 700


def test_pages_that_processes_share_count_once(session: list[subprocess.Popen[bytes]]) -> None:
    script = (
        "import os, time; x = bytearray(100 << 20); [os.fork() for _ in '123']; print(flush=True)"
    )
    process = subprocess.Popen(
        [*PYTHON, f"{script}; time.sleep(600)"], stdout=subprocess.PIPE, start_new_session=True
    )
    session.append(process)
    assert process.stdout is not None
    for _ in range(8):
        process.stdout.readline()
    use = use_of_session(process.pid)
    assert 100 < use.together_mb < 300
    assert 100 < use.largest_mb < 200


def test_where_pss_cannot_be_read_it_is_rss(
    session: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(
        filling(50, "input()"), stdin=subprocess.PIPE, start_new_session=True
    )
    session.append(process)
    wait_for(lambda: psutil.Process(process.pid).memory_info().rss > 50 << 20)
    opened = os.open

    def refuse(path: Any, flags: int, *more: Any, **how: Any) -> int:
        if str(path).endswith("smaps_rollup"):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *more, **how)

    monkeypatch.setattr(os, "open", refuse)
    resident = psutil.Process(process.pid).memory_info().rss / 2**20
    assert use_of_session(process.pid).together_mb == pytest.approx(resident, rel=0.1)


def test_above_its_limit_the_whole_session_ends(tmp_path: Path) -> None:
    script = 'trap "" TERM; sleep 600 & echo $! > child; "$0" "$@" & wait; sleep 600'
    began = time.monotonic()
    ended = run(
        tmp_path, "sh", "-c", script, *filling(300, "import time; time.sleep(600)"), memory_mb=100
    )
    assert 100 < ended.over_mb <= ended.max_rss_mb < 400
    assert not ended.timed_out
    assert not ended.stopped
    assert time.monotonic() - began < 50
    number = int((tmp_path / "child").read_text())
    wait_for(lambda: not psutil.pid_exists(number))


def test_memory_below_the_limit_is_of_no_concern(tmp_path: Path) -> None:
    ended = run(tmp_path, *filling(50, "import time; time.sleep(0.3)"), memory_mb=200)
    assert (ended.exit_code, ended.over_mb) == (0, 0.0)


def test_a_campaign_names_what_a_job_used_and_goes_on(three: Place) -> None:
    hungry = " ".join([f"'{word}'" for word in filling(300, "import time; time.sleep(60)")])
    script = f'[ "$1$2" != 11 ] || exec {hungry}; touch "$4"'
    answer = three.hvmpi(*THREE_JOBS, *shell(script), "--job-memory=100")
    assert answer.code == 0
    (failed,) = three.run().entries(journal.Failed)
    assert failed.outcome == Outcome.OUT_OF_MEMORY
    assert failed.failure == FailureClass.RESOURCES
    assert re.fullmatch(r"noop used \d{3} MB, job-memory is 100 MB", failed.reason)
    assert failed.again
    attempts = three.run().status().attempts
    assert attempts["outcome"].tolist() == ["done", "out_of_memory", "done", "done"]
    assert attempts["max_rss_mb"][1] > 100
    assert max(attempts["max_rss_mb"][[0, 2, 3]]) < 60


def test_a_job_by_hand_obeys_it_too(place: Place) -> None:
    (place.root / "out").mkdir()
    event_file = place.event_file("304795.2.1", [1, 2])
    command = noop(*filling(300, "import time; time.sleep(60)"))
    answer = place.hvmpi("job", event_file, *command, "--output-dir=out", "--job-memory=100")
    assert answer.code == 1
    assert "job-memory is 100 MB" in answer.complaint


def test_the_kernel_takes_a_payload_and_its_children_before_a_rank(tmp_path: Path) -> None:
    script = 'cat /proc/$$/oom_score_adj; sh -c "cat /proc/self/oom_score_adj"'
    run(tmp_path, "sh", "-c", script)
    score = str(min(OWN_SCORE + 500, 1000))
    assert (tmp_path / "step.log").read_text().split() == [score, score]
    assert int(Path("/proc/self/oom_score_adj").read_text()) == OWN_SCORE


@pytest.fixture
def control_group() -> Iterator[Path]:
    """A control group of 250 MB."""
    for top, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = top / f"hvmpi-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(250 << 20))
            break
        except OSError:
            group.rmdir()
    else:
        pytest.skip("no control group of memory can be made here (it needs root)")
    yield group
    wait_for(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_a_payload_that_the_kernel_killed_is_out_of_memory(
    three: Place, control_group: Path
) -> None:
    hungry = " ".join([f"'{word}'" for word in filling(600, "input()")])
    script = f'[ "$1$2" != 11 ] || exec {hungry}; touch "$4"'
    words = [*THREE_JOBS, *shell(script)]
    inside = f'echo $$ > "{control_group}/cgroup.procs"; exec "$@"'
    command = ["sh", "-c", inside, "sh", sys.executable, "-m", "hvmpi", *words]
    answer = subprocess.run(
        command, cwd=three.root, env=three.environment, capture_output=True, timeout=100
    )
    # No rank was killed: the campaign went on.
    assert answer.returncode == 0, answer
    (failed,) = three.run().entries(journal.Failed)
    assert failed.outcome == Outcome.OUT_OF_MEMORY
    assert failed.reason == "noop was killed by the kernel: its host ran out of memory"


def test_a_payload_that_somebody_killed_is_not_out_of_memory(tmp_path: Path) -> None:
    ended = run(tmp_path, "sh", "-c", "kill -9 $$")
    assert (ended.exit_code, ended.kernel_killed) == (-9, False)


# Hosts that are full


class FakeHost:
    """A machine's /proc and its control groups, as files."""

    def __init__(self, root: Path) -> None:
        self.proc, self.groups = root / "proc", root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.groups.mkdir()
        self.machine(total=16000, free=8000)

    def machine(self, total: int, free: int) -> None:
        lines = f"MemTotal: {total * 1024} kB\nMemFree: 1 kB\nMemAvailable: {free * 1024} kB\n"
        (self.proc / "meminfo").write_text(lines)

    def mount(self, line: str, group: str, root: str = "/") -> None:
        mounted = f"35 31 0:32 {root} {self.groups} rw,relatime - {line}\n"
        (self.proc / "self/mountinfo").write_text(mounted)
        (self.proc / "self/cgroup").write_text(group)

    def v2(self, group: str, limit: str, used: int, idle: int) -> None:
        directory = self.groups / group
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "memory.max").write_text(f"{limit}\n")
        (directory / "memory.current").write_text(f"{used << 20}\n")
        (directory / "memory.stat").write_text(f"anon 5\ninactive_file {idle << 20}\n")

    def used(self) -> tuple[float, float]:
        return HostMemory(self.proc).used_of_total_mb()


@pytest.fixture
def fake(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_without_control_groups_the_machine_counts(fake: FakeHost) -> None:
    assert fake.used() == (8000, 16000)


def test_of_control_groups_the_scarcest_counts_without_idle_files(fake: FakeHost) -> None:
    fake.mount("cgroup2 cgroup2 rw", "0::/slurm/job/step\n")
    fake.v2("slurm/job/step", "max", 900, 0)
    fake.v2("slurm/job", str(4000 << 20), 3700, 100)
    fake.v2("slurm", str(12000 << 20), 4000, 100)
    assert fake.used() == (3600, 4000)


def test_a_limit_beyond_the_machine_is_none(fake: FakeHost) -> None:
    fake.mount("cgroup2 cgroup2 rw", "0::/a\n")
    fake.v2("a", str(1 << 62), 900, 0)
    assert fake.used() == (8000, 16000)


def test_control_groups_of_version_1(fake: FakeHost) -> None:
    fake.mount(
        "cgroup cgroup rw,memory", "9:name=systemd:/a\n4:memory:/docker/b\n0::/\n", "/docker/b"
    )
    for name, value in (("limit_in_bytes", 1000), ("usage_in_bytes", 700)):
        (fake.groups / f"memory.{name}").write_text(f"{value << 20}\n")
    (fake.groups / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {50 << 20}\n")
    assert fake.used() == (650, 1000)


def test_in_a_container_that_does_not_see_its_own_path(fake: FakeHost) -> None:
    fake.mount("cgroup2 cgroup2 rw", "0::/../../elsewhere\n")
    fake.v2(".", str(1000 << 20), 950, 0)
    assert fake.used() == (950, 1000)


def test_it_says_when_a_host_is_full_and_when_no_more(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    hold = HoldBack("s2", 90.0, HostMemory(fake.proc))
    assert hold.poll() is None
    fake.machine(16000, 1000)
    assert hold.poll() is None
    now += 1.1
    assert hold.poll() == "s2 uses 15000 MB of 16000 MB, host-memory is 90 %"
    now += 1.1
    assert hold.poll() is None
    fake.machine(16000, 3000)
    now += 1.1
    assert hold.poll() == ""


def test_a_full_host_gets_no_more_jobs_until_it_has_room_or_runs_none() -> None:
    scene = Scene([(Kind.GENERATION, 9)], {Kind.GENERATION: 1})
    scene.hosts((3, 3), (1, 1))
    scene.placement.hold(2, "a is full")
    # The other host, and one job where none of ours runs.
    assert sorted(host for _, host in scene.start()) == ["a", "b"]
    assert scene.placement.held == "; no new jobs: a is full"
    first = next(job for job, rank in scene.jobs.items() if rank != 4)
    scene.end(first)
    assert [host for _, host in scene.start()] == ["a"]
    scene.placement.hold(2, "")
    assert scene.placement.held == ""
    assert [host for _, host in scene.start()] == ["a", "a"]


def test_a_rank_that_left_holds_nothing_back() -> None:
    scene = Scene([(Kind.GENERATION, 9)], {Kind.GENERATION: 1})
    scene.placement.hold(1, "a is full")
    scene.hosts((3, 3))
    assert len(scene.start()) == 1
    scene.placement.leave(1)
    assert len(scene.start()) > 0


def test_what_a_silent_rank_said_holds_nothing_back() -> None:
    scene = Scene([(Kind.GENERATION, 9)], {Kind.GENERATION: 1})
    scene.hosts((3, 3))
    scene.placement.hold(1, "a is full")
    scene.placement.silence(1)
    assert scene.placement.held == ""
    assert len(scene.start()) == 2


def never_two_at_once(run: RunOnDisk) -> bool:
    running = 0
    for entry in run.entries(journal.Started, journal.Accepted):
        running += 1 if isinstance(entry, journal.Started) else -1
        if running > 1:
            return False
    return True


def test_ranks_of_a_full_host_work_one_at_a_time(three: Place) -> None:
    words = [*THREE_JOBS, *shell('sleep 0.3; touch "$4"'), "--host-memory=0.001"]
    assert three.mpirun(4, *words).code == 0
    assert never_two_at_once(three.run())
