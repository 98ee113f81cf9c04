"""A place to run campaigns in, and event files that are made once."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hvmpi.__main__ import main
from hvmpi.campaign import journal
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.paths import AttemptPaths
from hvmpi.campaign.replay import replay
from hvmpi.campaign.status import Status, read_status
from hvmpi.environment import child_environment
from hvmpi.guardian import Guardian
from hvmpi.payload import Payload, PayloadResult
from hvmpi.servers import PayloadServer, Servers
from tests.browser import look as look

# Draws are slow where the machine has other work; that is no fault of theirs.
settings.register_profile("hvmpi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hvmpi")
# What a shell starts in the background ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

LAUNCHERS = ("OMPI_", "PMIX_", "PRTE_", "PMI", "HYDRA_", "SLURM_", "HVMPI_")
BIN = Path(sys.executable).parent
LIMIT_S = 120.0
QUIET = {"HVMPI_REPORT": "false"}
"""Campaigns of tests are not worth seconds of plots; ``--report`` has its way."""
os.environ.update(QUIET)
MPIRUN = (str(BIN / "mpirun"), "--with-ft", "ulfm", "--oversubscribe", "--bind-to", "none")
"""With ULFM, so that ranks survive each other, as run_chain.sh and the README have it."""

THREE_JOBS = ("reconstruct", "--evnt-dir=evnt", "--job-size=2")
"""Of the event file of the fixture `three`."""


@dataclass(frozen=True)
class Answer:
    """How a command of hvmpi ended."""

    code: int
    out: str
    err: str

    @property
    def flat(self) -> str:
        """What it said on standard output, in one line however narrow the terminal."""
        return " ".join(self.out.split())

    @property
    def complaint(self) -> str:
        """What it said on standard error, which must be one sentence of ours."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("hvmpi: error: "), self.err
        return lines[0].removeprefix("hvmpi: error: ")


@dataclass(frozen=True)
class RunOnDisk:
    """One run, to be looked at."""

    directory: Path

    @property
    def timestamp(self) -> str:
        return self.directory.name

    @property
    def journal(self) -> Path:
        return self.directory / "journal.jsonl"

    def entries(self, *kinds: type[journal.Entry]) -> list[journal.Entry]:
        """Give the entries of the journal, of these kinds only when some are named."""
        every = list(journal.read_entries(self.journal))
        return [entry for entry in every if isinstance(entry, kinds)] if kinds else every

    def ledger(self) -> Ledger:
        return replay(self.journal)

    def status(self) -> Status:
        return read_status(self.directory)

    def log(self, job: int, attempt: int) -> str:
        """Give all that an attempt wrote."""
        folder = self.directory / f"logs/{job // 1000:04d}/job{job:08d}/attempt{attempt}"
        return "".join(path.read_text() for path in sorted(folder.glob("*.log")))

    def files(self, product: str) -> list[str]:
        """List the published and unpublished files of a kind."""
        return sorted(path.name for path in (self.directory / product).iterdir())


@dataclass
class Place:
    """A directory of its own and ways to run hvmpi in it."""

    root: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def run_dir(self) -> Path:
        return self.root / "runs"

    def runs(self) -> list[RunOnDisk]:
        """Give the runs, oldest first."""
        there = sorted(self.run_dir.iterdir()) if self.run_dir.is_dir() else []
        return [RunOnDisk(path) for path in there]

    def run(self) -> RunOnDisk:
        """Give the only run."""
        (only,) = self.runs()
        return only

    def tree(self) -> dict[str, tuple[int, int]]:
        """Say what is here: size and time of change of each file and directory."""
        return {
            str(path.relative_to(self.root)): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in self.root.rglob("*")
        }

    def hvmpi(self, *words: str | Path) -> Answer:
        """Run a command in this process, with a single rank."""
        out, err = io.StringIO(), io.StringIO()
        with _limited(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(word) for word in words])
        return Answer(code, out.getvalue(), err.getvalue())

    def start(self, *words: str | Path, ranks: int = 0, file_kb: int = 0) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, under mpirun if ranks are given.

        With `file_kb` its ranks can write no file that is larger.
        """
        limited = [shutil.which("prlimit") or "", f"--fsize={1024 * file_kb}"] if file_kb else []
        launcher = [*MPIRUN, "-n", str(ranks)] if ranks else []
        process = subprocess.Popen(
            [*launcher, *limited, sys.executable, "-m", "hvmpi", *map(str, words)],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> Answer:
        """Wait for a command; a rank that hangs is an error."""
        out, err = process.communicate(timeout=LIMIT_S)
        return Answer(process.returncode, out, err)

    def mpirun(self, ranks: int, *words: str | Path) -> Answer:
        """Run a command under mpirun."""
        return self.finish(self.start(*words, ranks=ranks))

    def event_file(self, name: str, numbers: Sequence[int], folder: str = "evnt") -> Path:
        """Write an event file of the noop engine; returns its path."""
        path = self.root / folder / f"{name}.evnt.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{number}\n" for number in numbers))
        return path

    def leave(self) -> None:
        """End whatever was started and is still there."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=LIMIT_S)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """See that a campaign in this process, too, cannot hang for ever."""

    def give_up(*_: object) -> None:
        raise AssertionError("it takes too long")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(LIMIT_S))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def noop(*command: str) -> list[str]:
    """Give the options that make each noop job run a command."""
    return ["--engine=noop", *(f"--noop-command={word}" for word in command)]


def shell(script: str) -> list[str]:
    """Give the options that make each noop job run a shell script.

    ``$1`` is the job, ``$2`` the attempt, ``$3`` the event file, ``$4`` the output to be made.
    """
    return noop("/bin/sh", "-c", script, "sh", "{job}", "{attempt}", "{input}", "{output}")


def until_mended(place: Place, otherwise: str) -> list[str]:
    """Give a command that does something else in job 1 until ``mended`` is there."""
    mended = place.root / "mended"
    return shell(f'[ "$1" != 1 ] || [ -e "{mended}" ] || {otherwise}; touch "$4"')


def accepted_once(run: RunOnDisk) -> bool:
    jobs = [entry.job for entry in run.entries(journal.Accepted)]
    return len(jobs) == len(set(jobs))


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def start_payload(
    tmp_path: Path,
    *argv: str,
    timeout: float = 60.0,
    nice: int = 0,
    memory_mb: int | None = None,
) -> Payload:
    """Start a payload in a directory, with a guardian and a server of its own."""
    return Payload(
        argv,
        environment=child_environment(tmp_path, {}),
        directory=tmp_path,
        log=tmp_path / "step.log",
        timeout=timeout,
        server=PayloadServer(Guardian(), nice),
        memory_mb=memory_mb,
    )


def result_of(payload: Payload) -> PayloadResult:
    """Wait until a payload has ended."""
    while (ended := payload.poll()) is None:
        time.sleep(0.005)
    return ended


def clean_environment() -> dict[str, str]:
    """Give this process's environment without what launchers and users of hvmpi put there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return kept | root | QUIET


@pytest.fixture
def paths(tmp_path: Path) -> AttemptPaths:
    """Make the places of an attempt."""
    made = AttemptPaths(logs=tmp_path / "logs", tmp=tmp_path / "tmp")
    made.logs.mkdir()
    made.tmp.mkdir()
    return made


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Give the payload servers of a worker."""
    guardian = Guardian()
    made = Servers(guardian, nice=5)
    yield made
    made.dismiss()
    guardian.dismiss()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in os.environ:
        if name.startswith(LAUNCHERS) and name not in QUIET:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    here = Place(tmp_path, clean_environment())
    yield here
    here.leave()


@pytest.fixture
def three(place: Place) -> Place:
    """A place with an event file of three jobs."""
    place.event_file("304795.6.1", range(1, 7))
    return place


@pytest.fixture(scope="session")
def event_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two batches of three real events each, made with Pythia by the open chain's own command."""
    directory = tmp_path_factory.mktemp("evnt")
    for batch in (1, 2):
        words = ["generate", "--process=gghss", "--run-number=304794", "--batch-size=3"]
        output = directory / f"304794.3.{batch}.evnt.hepmc3"
        subprocess.run(
            [sys.executable, "-m", "hvmpi.openchain", *words, f"--batch={batch}", "-o", output],
            check=True,
            env=clean_environment(),
            stdout=subprocess.DEVNULL,
            timeout=LIMIT_S,
        )
    return directory


@pytest.fixture
def evnt_dir(place: Place, event_files: Path) -> Path:
    """A copy of the real event files that a test may spoil."""
    return Path(shutil.copytree(event_files, place.root / "evnt"))


FINISHED = """\
seed = 20261129
job-size = 6

[[sample]]
name = "signal"
process = "gghss"
run-number = 304815
num-batches = 2
batch-size = 6

[[sample]]
name = "qcd"
process = "qcd"
run-number = 600003
num-batches = 2
batch-size = 6
"""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> RunOnDisk:
    """A campaign of the open chain that is done, signal and QCD: to be looked at, not touched.

    One for all processes of a session of tests.
    """
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        config = root / "finished.toml"
        if not config.exists():
            config.write_text(FINISHED)
            subprocess.run(
                [sys.executable, "-m", "hvmpi", "-c", config, f"--run-dir={root / 'runs'}"],
                check=True,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=LIMIT_S,
            )
    (directory,) = (root / "runs").iterdir()
    return RunOnDisk(directory)
