"""A Slurm of one node, started for these tests in a directory of its own, on free ports."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import LIMIT_S, clean_environment, wait_for

CHECKOUT = Path(__file__).parent.parent.parent
SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")

# What is requeued may start again once its credential has expired: Slurm's least is 5 s.
CONF = """\
ClusterName=hvmpi
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A batch system to submit to."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**clean_environment(), "SLURM_CONF": str(self.root / "slurm.conf"), "PATH": SBIN}

    def command(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=cwd or self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(self, *words: str) -> str:
        answer = self.command(*words)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def submit(self, script: Path, *options: str, **variables: str) -> str:
        """Submit a script from its directory; give the job's number."""
        exported = ",".join(["ALL", *(f"{name}={value}" for name, value in variables.items())])
        words = ("sbatch", "--parsable", f"--export={exported}", *options, str(script))
        answer = self.command(*words, cwd=script.parent)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    def field(self, job: str, name: str) -> str:
        """Give a field of what Slurm knows of a job."""
        shown = self.ask("scontrol", "show", "job", "--oneliner", job).split()
        return next(word.partition("=")[2] for word in shown if word.startswith(f"{name}="))

    def wait(self, job: str, name: str, value: str) -> None:
        """Wait until a field of a job has a value."""
        deadline = time.monotonic() + LIMIT_S
        while (now := self.field(job, name)) != value:
            assert time.monotonic() < deadline, f"{name} is {now}, not {value}"
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root")
    paths = {name: shutil.which(name, path=SBIN) for name in TOOLS}
    if missing := [name for name, path in paths.items() if path is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    # A socket's path must be short.
    root = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (root / name).mkdir()
    controller_port, node_port = _free_ports(2)
    (root / "slurm.conf").write_text(
        CONF.format(
            root=root,
            host=socket.gethostname(),
            controller_port=controller_port,
            node_port=node_port,
        )
    )
    (root / "key").write_bytes(os.urandom(128))
    (root / "key").chmod(0o400)
    slurm = Slurm(root)
    names = {"key-file": "key", "socket": "munge.socket", "pid-file": "munged.pid"}
    places = [f"--{option}={root / name}" for option, name in names.items()]
    logs = [f"--log-file={root}/munged.log", f"--seed-file={root}/munged.seed"]
    commands = [
        [str(paths["munged"]), "--foreground", "--force", *places, *logs],
        [str(paths["slurmctld"]), "-D"],
        [str(paths["slurmd"]), "-D"],
    ]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (root / "daemons.log").open("ab") as log:
                daemon = subprocess.Popen(
                    command,
                    env=slurm.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            daemons.append(daemon)
            if "munged" in command[0]:
                wait_for((root / "munge.socket").exists)
        deadline = time.monotonic() + 30
        while "idle" not in slurm.command("scontrol", "show", "nodes").stdout.lower():
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in daemons):
                said = (root / "daemons.log").read_text().splitlines()[-1:]
                pytest.skip(f"no Slurm can be started here: {' '.join(said)}")
            time.sleep(0.2)
        yield slurm
    finally:
        slurm.command("scancel", "--user=root")
        for daemon in reversed(daemons):
            with contextlib.suppress(ProcessLookupError):
                daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(daemons):
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
