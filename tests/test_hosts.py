from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.errors import InputError
from hvmpi.hosts import (
    Host,
    find_silent,
    is_this_machine,
    read_hostfile,
    remote_shell,
    usable_cores,
)

NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,20}", fullmatch=True)
HOSTS = st.lists(st.builds(Host, NAMES, st.none() | st.integers(1, 9999)), min_size=1, max_size=8)
BLANKS = st.sampled_from(["", "  ", "\t"])


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosts") / "hostfile"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@given(hosts=HOSTS, data=st.data())
def test_reads_what_is_listed(scratch: Path, hosts: list[Host], data: st.DataObject) -> None:
    lines = []
    for host in hosts:
        forms = (
            [host.name]
            if host.slots is None
            else [
                f"{host.name}:{host.slots}",
                f"{host.name} slots={host.slots}",
                f"{host.name}\tslots = {host.slots} max_slots=9999",
            ]
        )
        comment = data.draw(st.sampled_from(["", "# a comment", " # slots=7"]))
        lines += [
            data.draw(BLANKS) + data.draw(st.sampled_from(forms)) + data.draw(BLANKS) + comment,
            data.draw(st.sampled_from(["", "   ", "# tev01 slots=8"])),
        ]
    end = data.draw(st.sampled_from(["", "\n"]))
    assert read_hostfile(write(scratch, "\n".join(lines) + end)) == tuple(hosts)


@given(hosts=HOSTS, data=st.data())
def test_windows_line_ends_are_refused(
    scratch: Path, hosts: list[Host], data: st.DataObject
) -> None:
    bad = data.draw(st.integers(1, len(hosts)))
    text = "".join(
        host.name + ("\r\n" if number == bad else "\n") for number, host in enumerate(hosts, 1)
    )
    with pytest.raises(InputError, match=re.escape(f"{str(scratch)!r}, line {bad}:")):
        read_hostfile(write(scratch, text))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("tev01 slot=8", "slot=8"),
        ("tev01 slots=eight", "eight"),
        ("tev01 slots=-1", "-1"),
        ("tev01 8", "'8'"),
        ("tev01 slots=0", "0 slots"),
        ("^tev01", "no host name"),
        ("tev01:", "no host name"),
        ("tév01", "no host name"),
        ("tev01,tev02", "no host name"),
    ],
)
def test_other_lines_are_refused_by_number(tmp_path: Path, line: str, what: str) -> None:
    path = write(tmp_path / "hostfile", f"# machines\nlocalhost\n{line}\n")
    with pytest.raises(InputError) as caught:
        read_hostfile(path)
    assert f"{str(path)!r}, line 3" in str(caught.value)
    assert what in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"# nobody\n\n", b"\xff\xfe\x00"])
def test_a_file_of_no_hosts_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hostfile").write_bytes(content)
    with pytest.raises(InputError, match="host file"):
        read_hostfile(tmp_path / "hostfile")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no_such_file.*cannot be read"):
        read_hostfile(tmp_path / "no_such_file")


def test_the_shipped_file_is_this_machine_alone() -> None:
    hosts = read_hostfile(Path(__file__).parent.parent / "hostfile")
    assert [host.name for host in hosts] == ["localhost"]


def test_knows_this_machine() -> None:
    own = [
        card.address
        for cards in psutil.net_if_addrs().values()
        for card in cards
        if card.family == socket.AF_INET
    ]
    for name in ["localhost", "127.0.0.1", "127.1.2.3", "::1", socket.gethostname(), *own]:
        assert is_this_machine(name), name


@pytest.mark.parametrize("name", ["198.51.100.1", "no-such-host.invalid"])
def test_knows_another_machine(name: str) -> None:
    assert not is_this_machine(name)


AFFINITY = len(os.sched_getaffinity(0))


def lay_cgroup2(root: Path, quota: str, parent: str = "max 100000", own: str = "/job/step") -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::{own}\n")
    (root / "proc/self/mountinfo").write_text(
        "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (root / "sys/fs/cgroup/job/step").mkdir(parents=True)
    (root / "sys/fs/cgroup/job/step/cpu.max").write_text(quota + "\n")
    (root / "sys/fs/cgroup/job/cpu.max").write_text(parent + "\n")


def lay_cgroup1(root: Path, quota: int, own: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"5:cpu,cpuacct:{own}\n4:memory:/elsewhere\n0::/\n")
    (root / "proc/self/mountinfo").write_text(
        "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 24 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    )
    group = root / "sys/fs/cgroup/cpu,cpuacct"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")


@pytest.mark.parametrize(
    ("quota", "parent", "cores"),
    [
        ("max 100000", "max 100000", AFFINITY),
        ("100000 100000", "max 100000", 1),
        ("50000 100000", "max 100000", 1),
        ("max 100000", "199999 100000", 1),
        ("100000000 100000", "max 100000", AFFINITY),
    ],
)
def test_quota_of_cgroup_2(tmp_path: Path, quota: str, parent: str, cores: int) -> None:
    lay_cgroup2(tmp_path, quota, parent)
    assert usable_cores(tmp_path) == cores


# In a container the folder that /proc names is often not below the mount.
@pytest.mark.parametrize("own", ["/", "/docker/0123abcd"])
@pytest.mark.parametrize(("quota", "cores"), [(-1, AFFINITY), (100000, 1), (150000, 1)])
def test_quota_of_cgroup_1(tmp_path: Path, own: str, quota: int, cores: int) -> None:
    lay_cgroup1(tmp_path, quota, own)
    assert usable_cores(tmp_path) == min(AFFINITY, cores)


def test_affinity_counts() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_no_control_groups(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == AFFINITY


@pytest.mark.parametrize(
    ("environ", "command"),
    [
        ({}, ["ssh"]),
        ({"HVMPI_SSH": "/my/ssh -p 22"}, ["/my/ssh", "-p", "22"]),
        ({"HVMPI_SSH": "a", "OMPI_MCA_plm_ssh_agent": "b"}, ["b"]),
        ({"OMPI_MCA_plm_ssh_agent": "b", "PRTE_MCA_plm_ssh_agent": "c : rsh"}, ["c"]),
    ],
)
def test_other_machines_are_reached_as_mpirun_reaches_them(
    environ: dict[str, str], command: list[str]
) -> None:
    found = remote_shell(environ)
    assert found[: len(command)] == command
    # One that asks for a password must not wait for the answer.
    assert ("BatchMode=yes" in found) is (Path(command[0]).name == "ssh")


def test_hosts_that_do_not_answer_are_found(tmp_path: Path) -> None:
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/bash\n[[ "$1 $2" == "198.51.100.1 true" ]]\n')
    shell.chmod(0o755)
    names = ["localhost", "198.51.100.1", "198.51.100.2", "198.51.100.2"]
    assert find_silent(names, [str(shell)]) == {"198.51.100.2"}
    assert find_silent(names, ["/no/such/shell"]) == {"198.51.100.1", "198.51.100.2"}
    assert find_silent(["localhost"], ["/no/such/shell"]) == set()
