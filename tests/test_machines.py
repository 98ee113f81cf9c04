"""Machines that die: three test hosts in network namespaces, real ssh, real mpirun.

Needs root, ip (iproute2), unshare (util-linux) and sshd (openssh-server); skipped elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.conftest import QUIET

SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
TOOLS = ("ip", "unshare", "sshd", "ssh", "ssh-keygen")
PATHS = {name: shutil.which(name, path=SBIN) for name in TOOLS}
MISSING = [name for name, path in PATHS.items() if path is None]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

SSHD = """ListenAddress {address}
HostKey {root}/key
AuthorizedKeysFile {root}/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
"""
SSH = """#!/bin/sh
exec ssh -F none -i '{root}/key' -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=3 \\
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@"
"""


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr}")


@dataclass
class Machine:
    """A test host: a network namespace, and a name of its own."""

    name: str
    address: str
    namespace: str
    cable: str

    def command(self, *words: str) -> list[str]:
        """Give the command that runs another on it."""
        inside = 'hostname "$0" && exec "$@"'
        return [
            *("ip", "netns", "exec", self.namespace),
            *("unshare", "--uts", "sh", "-c", inside, self.name, *words),
        ]

    def processes(self) -> list[psutil.Process]:
        own = Path(f"/run/netns/{self.namespace}").stat().st_ino
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process.pid}/ns/net").stat().st_ino == own:
                    found.append(process)
        return found

    def kill(self, which: Callable[[psutil.Process], bool]) -> int:
        killed = 0
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if which(process):
                    process.kill()
                    killed += 1
        return killed


@dataclass
class Network:
    """Three machines on one switch; a directory that all of them see."""

    root: Path
    switch: str
    machines: list[Machine] = field(default_factory=list)

    def set_link(self, machine: Machine, state: str) -> None:
        run("ip", "-n", self.switch, "link", "set", machine.cable, state)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    root = tmp_path_factory.mktemp("machines")
    tag = secrets.token_hex(2)
    if subprocess.run(["unshare", "--net", "--uts", "true"], check=False).returncode:
        pytest.skip("root may make no namespaces here")
    network = Network(root, f"hv{tag}s")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / "key"))
    (root / "ssh").write_text(SSH.format(root=root))
    (root / "ssh").chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    daemons = []
    try:
        run("ip", "netns", "add", network.switch)
        run("ip", "-n", network.switch, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", network.switch, "link", "set", "bridge", "up")
        for number in (1, 2, 3):
            name = f"hv{tag}{number}"
            machine = Machine(f"tev{number:02}", f"198.18.77.{number}", name, f"cable{number}")
            run("ip", "netns", "add", name)
            network.machines.append(machine)
            cable = ("link", "add", "eth0", "type", "veth", "peer", "name", machine.cable)
            run("ip", "-n", name, *cable, "netns", network.switch)
            run("ip", "-n", network.switch, "link", "set", machine.cable, "master", "bridge", "up")
            run("ip", "-n", name, "addr", "add", f"{machine.address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            config = root / f"sshd{number}"
            config.write_text(SSHD.format(address=machine.address, root=root))
            daemon = [str(PATHS["sshd"]), "-D", "-e", "-f", str(config)]
            with (root / f"sshd{number}.log").open("w") as log:
                daemons.append(subprocess.Popen(machine.command(*daemon), stderr=log))
        first, *others = network.machines
        for other in others:
            wait_for(
                lambda other=other: (
                    subprocess.run(  # type: ignore[misc]
                        first.command(str(root / "ssh"), other.address, "true"), check=False
                    ).returncode
                    == 0
                )
            )
        yield network
    finally:
        for machine in network.machines:
            machine.kill(lambda _: True)
        for daemon_process in daemons:
            daemon_process.wait(timeout=30)
        for name in [network.switch, *(machine.namespace for machine in network.machines)]:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


@dataclass
class Campaign:
    """A campaign of jobs that sleep, started on the first machine with two slots on each."""

    network: Network
    directory: Path
    process: subprocess.Popen[str]

    def entries(self) -> list[dict[str, object]]:
        lines = [
            line
            for path in self.directory.glob("runs/*/journal.jsonl")
            for line in path.read_text().splitlines(keepends=True)
        ]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def count(self, kind: str) -> int:
        return sum(entry["type"] == kind for entry in self.entries())

    def is_busy(self, machine: Machine) -> bool:
        return any(
            entry["type"] == "started" and entry["host"] == machine.name for entry in self.entries()
        )

    def is_lost(self) -> bool:
        return self.process.poll() is not None

    def wait_until_busy(self) -> None:
        """Wait until each machine had a job, and a few are done."""
        wait_for(
            lambda: (
                self.is_lost()
                or (self.count("published") >= 6 and all(map(self.is_busy, self.network.machines)))
            )
        )
        assert not self.is_lost(), self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err

    def verify(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hvmpi", "verify"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def campaign(network: Network, tmp_path: Path) -> Iterator[Campaign]:
    hostfile = tmp_path / "hosts"
    hostfile.write_text("".join(f"{m.address} slots=2\n" for m in network.machines))
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HVMPI_", "MPI4PY_"))
    }
    environment |= QUIET | {
        "PRTE_MCA_plm_ssh_agent": str(network.root / "ssh"),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    command = [sys.executable, "-P", "-m", "hvmpi.supervisor", "--hostfile", str(hostfile)]
    command += ["--engine", "noop", "-b", "10", "-n", "3", "--job-size", "1", "--lease", "5"]
    command += ["--noop-command", "sleep", "--noop-command", "0.6"]
    process = subprocess.Popen(
        network.machines[0].command(*command),
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield Campaign(network, tmp_path, process)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)


def is_rank(process: psutil.Process) -> bool:
    return process.cmdline()[1:4] == ["-P", "-m", "hvmpi"]


def is_daemon(process: psutil.Process) -> bool:
    return process.name() == "prted"


def assert_whole(campaign: Campaign) -> str:
    code, out, err = campaign.end()
    assert code == 0, (out, err)
    verified = campaign.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr
    published = [entry["job"] for entry in campaign.entries() if entry["type"] == "published"]
    assert sorted(published) == list(range(33))  # type: ignore[type-var]
    return err


def test_all_ranks_of_a_machine_are_killed(campaign: Campaign) -> None:
    campaign.wait_until_busy()
    assert campaign.network.machines[1].kill(is_rank) == 2
    assert_whole(campaign)


def test_a_machine_loses_its_daemon(campaign: Campaign) -> None:
    campaign.wait_until_busy()
    assert campaign.network.machines[2].kill(is_daemon) >= 1
    assert "restart 1 of 20" in assert_whole(campaign)


def test_a_machine_dies_and_comes_back(campaign: Campaign) -> None:
    """Its link is cut and its processes end; the next loss finds it there again."""
    campaign.wait_until_busy()
    lost = campaign.network.machines[2]
    campaign.network.set_link(lost, "down")
    try:
        campaign.network.machines[1].kill(is_daemon)
        wait_for(lambda: campaign.count("resumed") == 1 or campaign.is_lost())
    finally:
        campaign.network.set_link(lost, "up")
    before = len(campaign.entries())
    wait_for(lambda: len(campaign.entries()) > before + 3 or campaign.is_lost())
    campaign.network.machines[1].kill(is_daemon)
    said = assert_whole(campaign).splitlines()
    first, second = (line for line in said if ": restart " in line)
    assert f"restart 1 of 20, without {lost.address}, which does not answer" in first
    assert "restart 2 of 20" in second
    assert "without" not in second


def test_a_link_is_down_for_a_while(campaign: Campaign) -> None:
    campaign.wait_until_busy()
    lost = campaign.network.machines[2]
    campaign.network.set_link(lost, "down")
    time.sleep(8.0)
    campaign.network.set_link(lost, "up")
    assert_whole(campaign)
