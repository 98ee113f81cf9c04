"""A site with athena that is none: a copy of the tree of ``standin/`` and ways to ask and tell it.

site/cvmfs/ATLASLocalRootBase  AtlasSetup  transforms     as on CVMFS
site/bin/apptainer
site/state/calls.jsonl  setups.txt  containers.txt        what was called, and how
site/state/behaviour.json                                 how transforms misbehave
site/state/templates/N.root                               N events, to be given numbers
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tomli_w
import uproot

__all__ = ["ROWS", "TRANSFORMS", "Call", "Row", "StandIn", "make_templates", "write_pool"]

SOURCE = Path(__file__).parent / "standin"
TRANSFORMS = ("Generate_tf.py", "Gen_tf.py", "Sim_tf.py", "Reco_tf.py", "Derivation_tf.py")
MOST_EVENTS = 100
LIMIT_S = 60.0

_SYSTEM_PYTHON = Path("/usr/bin/python3")
_MARK = "STANDIN_TREE"


@dataclass(frozen=True)
class Row:
    """A row of the table of exit codes: how to bring it about, and what a client sees of it."""

    does: Mapping[str, Any]
    shell: int
    report: bool = True
    output: bool = True


def _says(line: str) -> dict[str, Any]:
    return {"log": [f"10:00:01 {line}"]}


ROWS: Mapping[str, Row] = {
    "success": Row({}, 0),
    "unknown argument": Row({"early": 2, "report": "none"}, 2, report=False, output=False),
    "wrong type": Row({"early": 4}, 4, output=False),
    "input missing": Row({"early": 9}, 9, output=False),
    "athena failed in execute": Row({"rc": 65}, 65, output=False),
    "athena failed in initialize": Row({"rc": 33}, 65, output=False),
    "athena: database": Row({"rc": 7}, 65, output=False),
    "athena: bad options": Row({"rc": 1}, 65, output=False),
    "athena: include": Row({"rc": 2}, 65, output=False),
    "athena left its output": Row({"rc": 65, "leave_output": True}, 65),
    "athena segfaulted": Row({"signal": 11}, 65, output=False),
    "athena was killed": Row({"signal": 9}, 65, output=False),
    "output missing": Row({"output": "missing"}, 66, output=False),
    "output corrupt": Row({"output": "corrupt"}, 66),
    "output truncated": Row({"output": "truncated"}, 66),
    "output empty": Row({"output": "empty"}, 66),
    "output far too short": Row({"lost": 2}, 38),
    "error in log": Row(_says("ToolSvc.Tool            ERROR it went wrong"), 68),
    "fatal in log": Row(_says("AthenaEventLoopMgr    FATAL it went wrong"), 68),
    "bad_alloc in log": Row(_says("terminate: std::bad_alloc"), 68),
    "ReadBuffer in log": Row(_says("Error in <TFile::ReadBuffer>: error reading 32 bytes"), 68),
    "no events": Row({"early": 15}, 15, output=False),
    "unreadable input": Row({"early": 251, "report": "none"}, 251, report=False, output=False),
    "no DBRelease": Row({"early": 39}, 39, output=False),
    "release failed": Row({"early": 69}, 69, output=False),
    "release wrapper failed": Row({"early": 70}, 70, output=False),
    "timeout": Row({"exit": 67}, 67),
    "out of memory": Row({"rc": 65, **_says("Athena  FATAL out of memory")}, 65, output=False),
    "frontier": Row(
        {"rc": 65, **_says("Athena ERROR Cannot find a valid frontier connection")},
        65,
        output=False,
    ),
    "G4Exception": Row(
        {"rc": 65, **_says("-------- EEEE ------- G4Exception-START -------- EEEE -------")},
        65,
        output=False,
    ),
    "Python traceback": Row(
        {
            "rc": 8,
            "log": [
                "Shortened traceback (most recent user call last):",
                '  File "mc.py", line 3, in <module>',
                "NameError: name 'x' is not defined",
            ],
        },
        65,
        output=False,
    ),
    "SIGTERM to the transform": Row({"own_signal": 15}, 143, report=False, output=False),
    "SIGKILL to the transform": Row({"own_signal": 9}, 137, report=False, output=False),
    "SIGHUP to the transform": Row({"own_signal": 1}, 65, output=False),
    "SIGXCPU to the transform": Row({"own_signal": 24}, 65, output=False),
    # What the framework does not see, and its client must.
    "no report": Row({"report": "none"}, 0, report=False),
    "torn report": Row({"report": "torn"}, 0),
    "unnoticed: output missing": Row({"output": "missing", "unnoticed": True}, 0, output=False),
    "unnoticed: output corrupt": Row({"output": "corrupt", "unnoticed": True}, 0),
    "unnoticed: output truncated": Row({"output": "truncated", "unnoticed": True}, 0),
    "unnoticed: output empty": Row({"output": "empty", "unnoticed": True}, 0),
    "unnoticed: output short": Row({"lost": 2, "unnoticed": True}, 0),
    "unnoticed: report overstates": Row({"lost": 2, "nentries": 5, "unnoticed": True}, 0),
    "children left": Row({"children": 2}, 0),
    "children in own group left": Row({"children": 2, "children_in_own_group": True}, 0),
}
"""Every row of the table, and what else can go wrong; `StandIn.misbehave` takes their `does`."""


@dataclass(frozen=True)
class Call:
    """One call of a transform, as it got it."""

    transform: str
    argv: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    pid: int
    group: int
    session: int
    rule: int

    def argument(self, name: str) -> list[str]:
        """Give the values of an argument, which may follow it or an equals sign; [] without it."""
        for position, word in enumerate(self.argv):
            if word.startswith(f"--{name}="):
                return [word.partition("=")[2]]
            if word == f"--{name}":
                rest = self.argv[position + 1 :]
                end = next((i for i, one in enumerate(rest) if one.startswith("--")), len(rest))
                return list(rest[:end])
        return []


def write_pool(path: Path, run_number: int, events: Sequence[int]) -> Path:
    """Write a ROOT file of events with these numbers; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "EventInfoAux.eventNumber": np.array(events, np.uint64),
        "EventInfoAux.runNumber": np.full(len(events), run_number, np.uint32),
    }
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("CollectionTree", {name: one.dtype for name, one in columns.items()})
        if len(events):
            tree.extend(columns)
    return path


def make_templates(directory: Path, most_events: int = MOST_EVENTS) -> Path:
    """Write what the transforms make their output of, from none to `most_events` events."""
    for events in range(most_events + 1):
        write_pool(directory / f"{events}.root", 1, range(events))
    return directory


class StandIn:
    """A site of its own.

    Parameters
    ----------
    root : Path
        Directory to make it in.
    templates : Path
        Made by `make_templates`.
    """

    def __init__(self, root: Path, templates: Path) -> None:
        self.root = root
        self.cvmfs, self.bin, self.state = root / "cvmfs", root / "bin", root / "state"
        hidden = shutil.ignore_patterns("__pycache__", "bin")
        shutil.copytree(SOURCE, self.cvmfs, ignore=hidden)
        shutil.copytree(SOURCE / "bin", self.bin)
        self.state.mkdir()
        (self.state / "templates").symlink_to(templates)
        program = self.cvmfs / "transforms" / "transform.py"
        if not _SYSTEM_PYTHON.exists():
            text = program.read_text().replace(str(_SYSTEM_PYTHON), sys.executable, 1)
            program.write_text(text)
        program.chmod(0o755)
        (self.cvmfs / "transforms" / "bin").mkdir()
        for name in TRANSFORMS:
            (self.cvmfs / "transforms" / "bin" / name).symlink_to("../transform.py")

    # What it has

    @property
    def base(self) -> Path:
        """ATLAS_LOCAL_ROOT_BASE."""
        return self.cvmfs / "ATLASLocalRootBase"

    @property
    def apptainer(self) -> Path:
        return self.bin / "apptainer"

    def site(self, **more: Any) -> dict[str, Any]:
        """Give the ``[site]`` table of a config; further keys with underscores for hyphens."""
        table = {
            "atlas-local-root-base": str(self.base),
            "cvmfs": [str(self.cvmfs)],
            "container-runtime": str(self.apptainer),
            "scratch-gb": 0.001,
            "memory-gb": 0.01,
        }
        return table | {name.replace("_", "-"): value for name, value in more.items()}

    def site_toml(self, **more: Any) -> str:
        """Give `site` as TOML, with its header."""
        return tomli_w.dumps({"site": self.site(**more)})

    def evnt(
        self, directory: Path, events: int, *, run_number: int = 304795, batch: int = 1
    ) -> Path:
        """Write an event file RUN.BATCHSIZE.BATCH.evnt.pool.root with the numbers of its batch."""
        first = 1 + (batch - 1) * events
        name = f"{run_number}.{events}.{batch}.evnt.pool.root"
        return write_pool(directory / name, run_number, range(first, first + events))

    def job_options(self, directory: Path) -> Path:
        """Make a directory that `Gen_tf.py --jobConfig` takes."""
        directory.mkdir(parents=True)
        (directory / "mc.MGPy8EG_A14N23LO_WHss.py").write_text("evgenConfig.nEventsPerJob = 10\n")
        return directory

    def release(self, version: str, how: str = "well") -> None:
        """Add a release; `how` its set-up goes: well, fatal (says so and returns 0), hang."""
        path = self.cvmfs / "AtlasSetup" / "releases.txt"
        kept = [line for line in path.read_text().splitlines() if line.split()[0] != version]
        path.write_text("\n".join([*kept, f"{version} {how}"]) + "\n")

    # How it behaves

    def misbehave(
        self,
        does: Mapping[str, Any],
        *,
        transform: str | None = None,
        call: int | None = None,
        job_number: int | None = None,
        arguments: str = "",
        directory: str = "",
        times: int | None = None,
    ) -> None:
        """Add a rule: calls that fit do something else. The first rule that fits counts.

        Parameters
        ----------
        does : mapping
            One of `ROWS`' `does`, or of your own: ``sleep`` (s), ``rc``, ``signal`` of athena,
            ``exit`` and ``early`` (the framework's codes: at the end, before athena), ``shell``,
            ``message``, ``report`` (whole, none, torn), ``log`` (further lines), ``output``
            (whole, missing, corrupt, truncated, empty), ``lost`` (events), ``filter`` (events
            that formats besides PHYS and PHYSLITE leave out), ``nentries`` in the report,
            ``unnoticed`` (no validation), ``leave_output`` (though athena failed), ``substep``
            (which one; else the last), ``children`` left running, ``children_in_own_group``,
            ``ignore_sigterm``, ``own_signal`` (sent to the transform while athena sleeps).
        transform : str, optional
            Those of this transform.
        call : int, optional
            The k-th call of the transform, or of any.
        job_number : int, optional
            With this ``--jobNumber``.
        arguments, directory : str
            Regular expressions, sought in the arguments and in the working directory.
        times : int, optional
            The first so many of those that fit.
        """
        path = self.state / "behaviour.json"
        rules = json.loads(path.read_text()) if path.exists() else []
        rule = {"transform": transform, "call": call, "job_number": job_number, "times": times}
        rules.append({**rule, "arguments": arguments, "directory": directory, "does": dict(does)})
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(rules))
        beside.replace(path)

    def behave(self) -> None:
        """Forget all rules."""
        (self.state / "behaviour.json").unlink(missing_ok=True)

    # What was asked of it

    def calls(self, transform: str | None = None) -> list[Call]:
        """Give the calls of a transform, or of all, in their order."""
        rows = [json.loads(line) for line in self._lines("calls.jsonl")]
        found = [
            Call(**row | {"argv": tuple(row["argv"]), "directory": Path(row["directory"])})
            for row in rows
        ]
        return [call for call in found if transform in (None, call.transform)]

    def setups(self) -> list[str]:
        """Give the options of each asetup."""
        return [line.split(" ", 3)[3] for line in self._lines("setups.txt")]

    def containers(self) -> list[list[str]]:
        """Give the command lines of the containers: apptainer's or atlasLocalSetup's."""
        return [shlex.split(line) for line in self._lines("containers.txt")]

    def alive(self) -> list[psutil.Process]:
        """Find the processes of any step: of its session, or with its environment."""
        sessions = {call.session for call in self.calls()}
        sessions |= {int(line.split()[2]) for line in self._lines("setups.txt")}
        sessions.discard(os.getsid(0))
        return [process for process in psutil.process_iter() if self._is_mine(process, sessions)]

    def _is_mine(self, process: psutil.Process, sessions: set[int]) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if os.getsid(process.pid) in sessions:
                return True
            return process.environ().get(_MARK) == str(self.cvmfs)
        except (psutil.Error, OSError):
            return False

    def end(self) -> None:
        """Kill what is left."""
        for process in self.alive():
            process.kill()

    def _lines(self, name: str) -> list[str]:
        path = self.state / name
        return path.read_text().splitlines() if path.exists() else []

    # By hand

    def script(self, release: str, *command: str) -> str:
        """Write what runs a transform in a release, in bash."""
        return "\n".join(
            [
                f"export ATLAS_LOCAL_ROOT_BASE={shlex.quote(str(self.base))}",
                "source $ATLAS_LOCAL_ROOT_BASE/user/atlasLocalSetup.sh --quiet",
                f"source $AtlasSetup/scripts/asetup.sh {shlex.quote(release)} || exit 99",
                shlex.join(command),
                # Bash, not the transform in its place, tells of a signal: by a code.
                "exit $?",
            ]
        )

    def bash(
        self, script: str, directory: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script in a session of its own with a clean environment."""
        directory.mkdir(parents=True, exist_ok=True)
        # A file, as processes that are left behind would keep a pipe open.
        with (directory / "stdout.txt").open("w+") as out:
            done = subprocess.run(
                ["/bin/bash", "--noprofile", "--norc", "-c", script],
                cwd=directory,
                env={"PATH": "/usr/bin:/bin", **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=LIMIT_S,
            )
            out.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read())

    def run(
        self, directory: Path, transform: str, *arguments: str | Path, release: str = "23.0.53"
    ) -> subprocess.CompletedProcess[str]:
        """Run a transform in a directory, as a step does."""
        words = [str(word) for word in arguments]
        return self.bash(self.script(release, transform, *words), directory)
