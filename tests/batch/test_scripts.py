"""The scripts for PBS and HTCondor, with the commands of those systems standing in."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.batch.conftest import CHECKOUT
from tests.conftest import BIN, clean_environment, wait_for

SCRIPTS = CHECKOUT / "configs/batch"

# Stands where run_chain.sh would: says how it was started, and ends as it is told to.
START = f"""\
#!{sys.executable}
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
Path("arguments").write_text(chr(10).join([*sys.argv[1:], os.environ.get("HVMPI_SSH", "")]))
if "--hostfile" in sys.argv:
    Path("hosts").write_text(Path(sys.argv[sys.argv.index("--hostfile") + 1]).read_text())
if Path("code").read_text() == "wait":
    time.sleep(60)
sys.exit(int(Path("code").read_text()))
"""


@dataclass
class Node:
    """A machine on which a batch system starts a script."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def add_command(self, path: str, script: str) -> None:
        command = self.root / path
        command.parent.mkdir(exist_ok=True)
        command.write_text(script)
        command.chmod(0o755)

    def start(self, name: str, *words: str, code: int | str) -> subprocess.Popen[str]:
        (self.root / "code").write_text(str(code))
        return subprocess.Popen(
            [SCRIPTS / name, *words],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, name: str, *words: str, code: int | str) -> int:
        process = self.start(name, *words, code=code)
        process.communicate(timeout=60)
        return process.returncode

    def read(self, name: str) -> list[str]:
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path, clean_environment() | {"PATH": f"{tmp_path}/bin:{BIN}:/usr/bin:/bin"})
    made.add_command("run_chain.sh", START)
    return made


@pytest.fixture
def pbs(node: Node) -> Node:
    node.add_command("bin/qsub", '#!/bin/sh\nprintf "%s\\n" "$@" >next\n')
    node.environment |= {"PBS_JOBID": "1.pbs", "PBS_O_WORKDIR": str(node.root)}
    return node


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.iterdir()))
def test_a_config_stands_once_where_it_can_be_replaced(script: str) -> None:
    text = (SCRIPTS / script).read_text()
    # HTCondor's script gets it from its submit file.
    assert text.count("configs/demo.toml") == (script != "htcondor.sh")
    assert len(re.findall(r"[-\w/]+\.toml", text)) == (script != "htcondor.sh")


@pytest.mark.parametrize("code", [0, 1, 2, 127])
def test_pbs_ends_with_the_campaign(pbs: Node, code: int) -> None:
    assert pbs.run("pbs.sh", code=code) == code
    assert pbs.read("arguments")[:3] == ["run", "-c", "configs/demo.toml"]
    assert not pbs.read("next")


def test_pbs_has_a_next_job_for_what_is_left(pbs: Node) -> None:
    pbs.environment["NUMBER"] = "19"
    assert pbs.run("pbs.sh", code=3) == 3
    assert pbs.read("next") == ["-v", "HVMPI=./run_chain.sh,NUMBER=20", str(SCRIPTS / "pbs.sh")]
    (pbs.root / "next").unlink()
    pbs.environment["NUMBER"] = "20"
    assert pbs.run("pbs.sh", code=3) == 3
    assert not pbs.read("next")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_pbs_is_told_to_stop(pbs: Node, number: signal.Signals) -> None:
    process = pbs.start("pbs.sh", code="wait")
    wait_for(lambda: pbs.read("arguments"))
    # To every process of the job, as PBS does.
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == 3
    # What was deleted is not to come back.
    assert bool(pbs.read("next")) == (number == signal.SIGUSR1)


def test_pbs_starts_ranks_on_other_nodes(pbs: Node) -> None:
    pbs.add_command("bin/pbs_tmrsh", "#!/bin/sh\n")
    pbs.run("pbs.sh", code=0)
    assert pbs.read("arguments")[-1] == "pbs_tmrsh"


@pytest.fixture
def condor(node: Node) -> Node:
    scratch = node.root / "scratch"
    scratch.mkdir()
    node.add_command("bin/condor_config_val", f"#!/bin/sh\necho {node.root}/libexec\n")
    # node hostname port user directory, in the order in which they were there.
    contact = "10 tev11 4444 me /tmp\\n2 tev03 4444 me /tmp\\n0 tev01 4444 me /tmp\\n"
    sshd = f'printf "{contact}" >"$_CONDOR_SCRATCH_DIR/contact"'
    node.add_command("libexec/sshd.sh", f"{sshd}\nsshd_cleanup() {{ touch clean; }}\n")
    node.environment |= {"_CONDOR_SCRATCH_DIR": str(scratch)}
    return node


def test_condor_on_one_machine(condor: Node) -> None:
    condor.environment |= {"_CONDOR_PROCNO": "0", "_CONDOR_NPROCS": "1"}
    assert condor.run("htcondor.sh", "4", "run", "-c", "a b.toml", code=3) == 3
    assert condor.read("arguments")[:3] == ["run", "-c", "a b.toml"]
    assert condor.read("arguments")[-2:] == ["--ranks", "5"]
    assert condor.read("hosts") == [f"{socket.gethostname()} slots=4"]


def test_condor_on_several_machines(condor: Node) -> None:
    condor.environment |= {"_CONDOR_PROCNO": "0", "_CONDOR_NPROCS": "3"}
    assert condor.run("htcondor.sh", "4", "run", code=0) == 0
    assert condor.read("hosts") == ["tev01 slots=4", "tev03 slots=4", "tev11 slots=4"]
    ssh = str(condor.root / "libexec/condor_ssh")
    assert condor.read("arguments")[-3:] == ["--ranks", "13", ssh]


def test_condor_lets_the_first_machine_start(condor: Node) -> None:
    condor.environment |= {"_CONDOR_PROCNO": "2", "_CONDOR_NPROCS": "3"}
    assert condor.run("htcondor.sh", "4", "run", code=0) == 0
    assert not condor.read("arguments")
    assert (condor.root / "clean").exists()


def test_condor_signals_hvmpi(condor: Node) -> None:
    condor.environment |= {"_CONDOR_PROCNO": "0", "_CONDOR_NPROCS": "1"}
    process = condor.start("htcondor.sh", "4", "run", code="wait")
    wait_for(lambda: condor.read("arguments"))
    # kill_sig of the submit file, to the process that HTCondor started.
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=60)
    assert process.returncode == 3


@pytest.mark.parametrize("script", ["slurm.sh", "pbs.sh", "htcondor.sh"])
def test_where_there_is_no_start_is_one_sentence(pbs: Node, script: str) -> None:
    (pbs.root / "run_chain.sh").unlink()
    process = pbs.start(script, "1", code=0)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == ("there is no ./run_chain.sh: set HVMPI to the run_chain.sh of your checkout\n")
