"""Hosts and time of a batch job, with the commands of the batch system standing in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hvmpi.allocation import find_allocated, time_left
from hvmpi.errors import HvmpiError
from hvmpi.hosts import Host

NOWHERE: Mapping[str, str] = {}


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Have a command print a text, or fail without one."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def add(name: str, text: str) -> None:
        (tmp_path / f"{name}.txt").write_text(text)
        ends = f"cat '{tmp_path}/{name}.txt'" if text else "echo 'error: no such job' >&2; exit 1"
        (tmp_path / name).write_text(f"#!/bin/sh\n{ends}\n")
        (tmp_path / name).chmod(0o755)

    return add


def test_outside_of_a_batch_job_nothing_is_found() -> None:
    assert find_allocated(NOWHERE) == ()
    assert time_left(NOWHERE) is None


@pytest.mark.parametrize(
    ("tasks", "slots"), [("2(x2),1", [2, 2, 1]), ("8(x3)", [8, 8, 8]), ("", [1, 1, 1])]
)
def test_slurm_tells_hosts_and_tasks(
    says: Callable[[str, str], None], tasks: str, slots: list[int]
) -> None:
    says("scontrol", "tev01\ntev02\ntev07\n")
    environ = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "tev[01-02,07]"}
    hosts = find_allocated(environ | {"SLURM_TASKS_PER_NODE": tasks})
    assert [host.name for host in hosts] == ["tev01", "tev02", "tev07"]
    assert [host.slots for host in hosts] == slots


def test_one_node_of_slurm_needs_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that holds no Slurm."""
    monkeypatch.setenv("PATH", "")
    environ = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "tev-07.site"}
    tasks = {"SLURM_TASKS_PER_NODE": "8"}
    assert find_allocated(environ | tasks) == (Host("tev-07.site", 8),)


@pytest.mark.parametrize(("answer", "says_so"), [("tev01\n", "do not match"), ("", "no such job")])
def test_what_slurm_says_and_is_not_understood(
    says: Callable[[str, str], None], answer: str, says_so: str
) -> None:
    says("scontrol", answer)
    environ = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "tev[01-02]",
        "SLURM_TASKS_PER_NODE": "1(x2)",
    }
    with pytest.raises(HvmpiError, match=says_so):
        find_allocated(environ)


def test_pbs_lists_a_line_a_task(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    nodes.write_text("tev01\ntev01\ntev02\n")
    assert find_allocated({"PBS_NODEFILE": str(nodes)}) == (Host("tev01", 2), Host("tev02", 1))
    nodes.write_text("")
    with pytest.raises(HvmpiError, match="is empty"):
        find_allocated({"PBS_NODEFILE": str(nodes)})
    nodes.unlink()
    with pytest.raises(HvmpiError, match="No such file"):
        find_allocated({"PBS_NODEFILE": str(nodes)})


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [("59:30\n", 3570.0), ("2:00:01\n", 7201.0), ("1-00:00:00\n", 86400.0), ("UNLIMITED\n", None)],
)
def test_slurm_tells_the_time_left(
    says: Callable[[str, str], None], answer: str, seconds: float | None
) -> None:
    says("squeue", answer)
    assert time_left({"SLURM_JOB_ID": "7"}) == seconds


def test_a_newer_slurm_need_not_be_asked() -> None:
    end = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(time.time()) + 1000)}
    left = time_left(end)
    assert left is not None
    assert 900 < left <= 1000


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("    Resource_List.walltime = 01:00:00\n", 3600.0),
        ("    resources_used.walltime = 00:10:00\n    Resource_List.walltime = 01:00:00\n", 3000.0),
        ("    Resource_List.ncpus = 2\n", None),
    ],
)
def test_pbs_tells_the_time_left(
    says: Callable[[str, str], None], answer: str, seconds: float | None
) -> None:
    says("qstat", answer)
    assert time_left({"PBS_JOBID": "7.pbs"}) == seconds


def test_a_batch_system_that_does_not_answer_is_one_sentence(
    says: Callable[[str, str], None],
) -> None:
    says("squeue", "")
    with pytest.raises(HvmpiError, match=r"squeue .* \(error: no such job\)"):
        time_left({"SLURM_JOB_ID": "7"})
