"""The set-up and the start, with interpreters that stand in; one real set-up at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
TOOLS = "/usr/bin:/bin"
# How this machine reaches PyPI.
REGISTRY = {
    name: value
    for name, value in os.environ.items()
    if name.startswith(("PIP_", "SSL_")) or name.upper().endswith("_PROXY")
}
BINDING = "hwloc_default_binding_policy = none"

# What .setup.sh asks of a Python, answered without making an environment or reaching PyPI.
PYTHON = r"""#!/bin/bash
echo "$*" | tr '\n' ' ' >>"$CALLS"; echo >>"$CALLS"
case "$*" in
    *ensurepip*)
        [[ -n '%(fails)s' ]] && exit '%(fails)s'
        readlink -f "$0" ;;
    *flock*) exec '%(real)s' "$@" ;;
    *%%d.%%d*) echo '%(version)s' ;;
    *'-m venv'*)
        mkdir -p "${@: -1}/bin" "${@: -1}/etc"
        ln -s "$(readlink -f "$0")" "${@: -1}/bin/python" ;;
    *'-m pip install'*)
        echo "# defaults" >"$PWD/.venv/etc/prte-mca-params.conf"
        touch "$PWD/.venv/half"
        eval "${PIP_DOES:-}" ;;
    *'-m hvmpi.supervisor'*)
        printf 'supervisor:%%s\n' "${@:4}"
        printf 'seen:%%s\n' "HOME=$HOME" "PYTHONPATH=${PYTHONPATH-}" "HVMPI_MPI=$HVMPI_MPI" \
            "ROOT=${OMPI_ALLOW_RUN_AS_ROOT-}${OMPI_ALLOW_RUN_AS_ROOT_CONFIRM-}" "PWD=$PWD" ;;
    *) exit 99 ;;
esac
"""


@dataclass
class Desk:
    """A checkout in a path with a space, and the interpreters in PATH beside it."""

    root: Path
    checkout: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def venv(self) -> Path:
        return self.checkout / ".venv"

    def add_python(self, name: str, *, version: str = "3.12", fails: str = "") -> Path:
        path = self.root / "bin" / name
        path.write_text(PYTHON % {"version": version, "fails": fails, "real": sys.executable})
        path.chmod(0o755)
        return path

    def add_command(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def popen(self, *arguments: str, script: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [script or self.checkout / "run_chain.sh", *arguments],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(
        self, *arguments: str, script: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        process = self.popen(*arguments, script=script)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def change_metadata(self) -> None:
        with (self.checkout / "pyproject.toml").open("a") as metadata:
            metadata.write("# newer\n")

    def calls(self, word: str) -> list[str]:
        return [line for line in (self.root / "calls").read_text().splitlines() if word in line]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    root = tmp_path / "a path"
    checkout = root / "the checkout"
    checkout.mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "calls").touch()
    for name in (".setup.sh", "run_chain.sh", "run_tests.sh", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, checkout)
    # Of the system only what the scripts use: no Python of this machine is in PATH.
    tools = root / "tools"
    tools.mkdir()
    for name in (
        "bash",
        "cat",
        "dirname",
        "env",
        "find",
        "getconf",
        "grep",
        "head",
        "ln",
        "mkdir",
        "mv",
        "readlink",
        "rm",
        "sed",
        "sha256sum",
        "sleep",
        "touch",
        "tr",
    ):
        found = shutil.which(name, path=TOOLS)
        assert found is not None
        (tools / name).symlink_to(found)
    environment = {
        "PATH": f"{root / 'bin'}:{tools}",
        "HOME": str(root),
        "CALLS": str(root / "calls"),
    }
    return Desk(root, checkout, environment)


def test_sets_up_once_and_hands_over(desk: Desk) -> None:
    desk.add_python("python3.12")
    first = desk.start("-c", "a file.toml", "--job-size", "20")
    assert first.returncode == 0, first.stderr
    assert "supervisor:-c\nsupervisor:a file.toml\nsupervisor:--job-size\n" in first.stdout
    assert "setting up" in first.stderr
    (install,) = desk.calls("pip install")
    assert "--only-binary=:all:" in install
    assert ".[openchain,mpi,athena,report]" in install

    second = desk.start("status")
    assert second.returncode == 0
    assert second.stderr == ""
    assert "supervisor:status" in second.stdout
    assert len(desk.calls("pip install")) == 1


def test_binding_is_set_for_the_bare_command(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.start()
    desk.change_metadata()
    desk.environment["PIP_DOES"] = f"echo '{BINDING}' >>.venv/etc/prte-mca-params.conf"
    desk.start()
    lines = (desk.venv / "etc/prte-mca-params.conf").read_text().splitlines()
    assert lines == ["# defaults", BINDING]


def test_changed_metadata_installs_into_the_same_environment(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.start()
    desk.change_metadata()
    desk.start()
    assert len(desk.calls("pip install")) == 2
    assert len(desk.calls("-m venv")) == 1


@pytest.mark.parametrize("death", ["kill -KILL $PPID", "kill -TERM $PPID", "exit 1"])
def test_half_a_set_up_is_not_taken_for_whole(desk: Desk, death: str) -> None:
    desk.add_python("python3.12")
    desk.environment["PIP_DOES"] = death
    assert desk.start().returncode != 0
    assert (desk.venv / "half").exists()
    desk.environment["PIP_DOES"] = "[[ ! -e .venv/seen ]] || exit 1; touch .venv/seen"
    assert desk.start().returncode == 0
    assert len(desk.calls("-m venv")) == 2


def test_an_environment_made_by_hand_is_taken_over(desk: Desk) -> None:
    python = desk.add_python("python3.12")
    (desk.venv / "bin").mkdir(parents=True)
    (desk.venv / "etc").mkdir()
    (desk.venv / "bin/python").symlink_to(python)
    (desk.venv / "mine").touch()
    assert desk.start().returncode == 0
    assert (desk.venv / "mine").exists()
    assert not desk.calls("-m venv")


def test_two_starts_at_once_set_up_once(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.environment["PIP_DOES"] = "sleep 1"
    starts = [desk.popen("status") for _ in range(3)]
    answers = [start.communicate(timeout=60) for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], answers
    assert len(desk.calls("pip install")) == 1
    assert sum("waiting for another start" in err for _, err in answers) == 2


def test_a_moved_checkout_is_set_up_anew(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.start()
    (desk.venv / "etc/old").touch()
    desk.checkout = desk.checkout.rename(desk.root / "moved")
    assert desk.start().returncode == 0
    assert len(desk.calls("-m venv")) == 2
    assert not (desk.venv / "etc/old").exists()


def test_another_python_asked_for_is_set_up_anew(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.start()
    other = desk.add_python("mine", version="3.13")
    desk.environment["PYTHON"] = str(other)
    assert desk.start().returncode == 0
    assert (desk.venv / "bin/python").resolve() == other
    desk.start()
    assert len(desk.calls("-m venv")) == 2
    # Without PYTHON, the environment that is there serves.
    del desk.environment["PYTHON"]
    desk.start()
    assert len(desk.calls("-m venv")) == 2


def test_tests_add_to_what_is_there(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.start()
    # The stand-in knows no pytest: what matters is what was installed before.
    assert desk.start(script=desk.checkout / "run_tests.sh").returncode == 99
    assert (
        ".[openchain,mpi,athena,xaod,report,train,convert,docs,test]"
        in desk.calls("pip install")[1]
    )
    desk.start()
    assert len(desk.calls("pip install")) == 2


def test_newest_python_that_runs_is_taken(desk: Desk) -> None:
    desk.add_command("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    newest = desk.add_python("python3.12")
    desk.add_python("python3.11", version="3.11")
    desk.add_python("python3", fails="3")
    assert desk.start().returncode == 0
    assert (desk.venv / "bin/python").resolve() == newest


def test_a_name_is_sought_in_all_of_path(desk: Desk) -> None:
    desk.add_command("python3", "exit 127")
    other = desk.root / "other"
    other.mkdir()
    desk.add_python("python3.x").rename(other / "python3")
    desk.environment["PATH"] += f":{other}"
    assert desk.start().returncode == 0
    assert (desk.venv / "bin/python").resolve() == other / "python3"


@pytest.mark.parametrize(
    ("fails", "sentence"), [("3", "no CPython 3.11, 3.12 or 3.13"), ("4", "python3-venv")]
)
def test_no_python_is_one_sentence(desk: Desk, fails: str, sentence: str) -> None:
    desk.add_python("python3", fails=fails)
    refused = desk.start()
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith("hvmpi: error: ")
    assert sentence in refused.stderr
    assert not desk.venv.exists()


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [("3", "is not CPython 3.11"), ("4", "python3-venv"), ("1", "does not run")],
)
def test_a_python_asked_for_is_not_replaced(desk: Desk, fails: str, sentence: str) -> None:
    desk.add_python("python3.12")
    desk.environment["PYTHON"] = str(desk.add_python("mine", fails=fails))
    refused = desk.start()
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("says", "sentence"),
    [("glibc 2.12", "2.17"), ("", "no glibc")],
)
def test_too_old_a_system_is_one_sentence(desk: Desk, says: str, sentence: str) -> None:
    desk.add_python("python3.12")
    desk.add_command("getconf", f"echo '{says}'")
    refused = desk.start()
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert sentence in refused.stderr
    assert not desk.venv.exists()


@pytest.mark.parametrize(
    ("says", "extras", "sentences"),
    [
        ("glibc 2.34", ".[openchain,mpi,athena,report]", []),
        ("glibc 2.28", ".[mpi,athena,report]", ["2.34 that the open chain needs"]),
        ("glibc 2.17", ".[athena,report]", ["2.34 that the open chain needs", "HVMPI_MPI=system"]),
    ],
)
def test_an_older_system_gets_what_it_can(
    desk: Desk, says: str, extras: str, sentences: list[str]
) -> None:
    desk.add_python("python3.12")
    desk.add_command("getconf", f"echo '{says}'")
    started = desk.start()
    assert started.returncode == 0
    assert desk.calls("pip install")[0].endswith(f"--editable {extras} ")
    for sentence in sentences:
        assert sentence in started.stderr
    assert started.stderr.count("older than") == len(sentences)


def test_a_site_with_its_own_mpi_gets_no_wheel(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.environment["HVMPI_MPI"] = "system"
    assert "seen:HVMPI_MPI=system" in desk.start().stdout
    assert desk.calls("pip install")[0].endswith("--editable .[openchain,athena,report] ")
    del desk.environment["HVMPI_MPI"]
    assert "seen:HVMPI_MPI=wheel" in desk.start().stdout
    assert desk.calls("pip install")[1].endswith("--editable .[openchain,mpi,athena,report] ")


def test_an_unknown_mpi_is_refused(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.environment["HVMPI_MPI"] = "mpich"
    refused = desk.start()
    assert refused.returncode == 2
    assert "HVMPI_MPI=mpich" in refused.stderr


def test_a_failed_installation_names_its_log(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.environment["PIP_DOES"] = "echo noise; echo 'ERROR: no such wheel' >&2; exit 1"
    refused = desk.start()
    assert refused.returncode == 2
    assert "noise" not in refused.stdout + refused.stderr
    assert "ERROR: no such wheel" in refused.stderr
    log = desk.venv / ".hvmpi-setup.log"
    assert str(log) in refused.stderr
    assert "noise" in log.read_text()


def test_a_checkout_that_cannot_be_written_is_one_sentence(desk: Desk) -> None:
    desk.add_python("python3.12")
    desk.venv.touch()
    refused = desk.start()
    assert refused.returncode == 2
    assert "cannot be written" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_what_hvmpi_finds_in_its_environment(desk: Desk) -> None:
    desk.add_python("python3.12")
    del desk.environment["HOME"]
    desk.environment["PYTHONPATH"] = "/cvmfs/somewhere"
    link = desk.root / "link"
    link.symlink_to(desk.checkout / "run_chain.sh")
    started = desk.start("status", script=link)
    assert started.returncode == 0, started.stderr
    seen = [line for line in started.stdout.splitlines() if line.startswith("seen:")]
    assert "seen:PYTHONPATH=" in seen
    assert f"seen:PWD={desk.root}" in seen
    assert "seen:HOME=" not in seen
    assert ("seen:ROOT=11" if os.geteuid() == 0 else "seen:ROOT=") in seen


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in a path with a space, as a clone would bring it."""
    checkout = tmp_path_factory.mktemp("fresh") / "a path" / "hvmpi"
    checkout.mkdir(parents=True)
    for folder in ("hvmpi", "configs"):
        shutil.copytree(
            CHECKOUT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in (".setup.sh", "run_chain.sh", "pyproject.toml", "hostfile", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, checkout)
    return checkout


def run_bash(command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env={"PATH": TOOLS, **REGISTRY, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_two_commands_on_a_fresh_machine(fresh: Path) -> None:
    # Without HOME, and with nothing of this environment.
    python = str(Path(sys.executable).resolve())
    noop = "--engine noop -n 2 -b 10 --job-size 5"
    first = run_bash(f"./run_chain.sh {noop}", fresh, PYTHON=python)
    assert first.returncode == 0, first.stderr
    assert "hvmpi: set up" in first.stderr
    (run,) = (fresh / "runs").iterdir()
    assert str(run) in first.stdout

    again = run_bash(f"./run_chain.sh {noop}", fresh)
    assert again.returncode == 0, again.stderr
    # Open MPI's event loop warns at times of what it has closed.
    assert [line for line in again.stderr.splitlines() if not line.startswith("[warn] Epoll")] == []

    # The user's own command, in the activated environment.
    bare = run_bash(
        ". .venv/bin/activate && "
        "mpirun --with-ft ulfm -hostfile hostfile "
        "python -m hvmpi -c configs/demo.toml -n 1 -b 4 --job-size 2",
        fresh,
        HOME=str(fresh),
        OMPI_ALLOW_RUN_AS_ROOT="1",
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
    )
    assert bare.returncode == 0, bare.stderr
    assert len(list((fresh / "runs").iterdir())) == 3
    assert len(list((fresh / "runs").glob("*/report.html"))) == 3
    newest = max((fresh / "runs").iterdir())
    assert len(list((newest / "aod").glob("*.aod.h5"))) == 2
