"""The command line: verbs, help, versions, the exit ladder."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys

import pytest

import hvmpi
from hvmpi.__main__ import main
from hvmpi.cli import NEEDS_MPI, VERBS, find_verb
from hvmpi.errors import HvmpiError, JournalError, UsageError
from tests.conftest import Place, shell


@pytest.mark.parametrize("argv", [[], ["-t"], ["-c", "x.toml"], ["--help"], ["-r", "2026"]])
def test_no_verb_is_run(argv: list[str]) -> None:
    assert find_verb(argv) == "run"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_module_and_help_with_an_example(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_verb([verb, "-x"]) == verb
    assert callable(importlib.import_module(f"hvmpi.verbs.{verb}").main)
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert "example: " in capsys.readouterr().out


def test_an_unknown_verb_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"there is no verb 'reconstuct' .*'reconstruct'"):
        find_verb(["reconstuct"])


def test_help_names_every_verb_and_exit_code(place: Place) -> None:
    for option in ("--help", "-h"):
        answer = place.hvmpi(option)
        assert answer.code == 0
        assert all(f"  {verb} " in answer.out for verb in VERBS)
        assert "exit codes: 0" in answer.out


@pytest.mark.parametrize("ranks", [0, 2])
def test_version_says_what_is_installed_once(place: Place, ranks: int) -> None:
    answer = place.finish(place.start("--version", ranks=ranks))
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == f"hvmpi {hvmpi.__version__}"
    found = dict(line.split(maxsplit=1) for line in lines)
    assert len(found) == len(lines)
    assert {"MPI", "mpi4py", "numpy", "h5py", "pythia8mc", "pyhepmc", "pyacts"} <= set(found)
    assert "Open MPI" in found["MPI"]


@pytest.mark.parametrize("verb", sorted(set(VERBS) - NEEDS_MPI - {"doctor"}))
def test_verbs_that_look_do_not_import_mpi(place: Place, verb: str) -> None:
    assert place.hvmpi("run", "--engine=noop", "-n1", "-b2").code == 0
    words = {
        "completion": ["bash"],
        "init": ["new"],
        "job": ["no.evnt.txt", "--engine=noop"],
        "clean": ["--yes"],
    }
    argv = [verb, *words.get(verb, [])]
    script = (
        "import sys; from hvmpi.__main__ import main; main(sys.argv[1:]); "
        "assert not [name for name in sys.modules if name.startswith('mpi4py')]"
    )
    subprocess.run(
        [sys.executable, "-c", script, *argv],
        check=True,
        cwd=place.root,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )


_FAILS = ["run", *shell('touch "$4"; exit 3'), "-n1", "-b2", "--max-attempts=1"]


@pytest.mark.parametrize(
    ("words", "output", "code", "said"),
    [
        (_FAILS, ">&-", 1, ""),
        (_FAILS, "| true", 1, ""),
        (_FAILS, ">/dev/full", 1, ""),
        (["status"], ">&-", 0, ""),
        (["status", "--json"], ">&-", 0, ""),
        (["status"], "| true", 0, ""),
        (["init", "mine"], "| true", 0, ""),
        (["status"], ">/dev/full", 2, "the output cannot be written (No space left on device)"),
    ],
)
def test_outputs_that_take_nothing(
    place: Place, words: list[str], output: str, code: int, said: str
) -> None:
    assert place.hvmpi("run", "--engine=noop", "-n1", "-b2", "--no-report").code == 0
    command = shlex.join([sys.executable, "-m", "hvmpi", *words])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} {output}"],
        check=False,
        cwd=place.root,
        env=place.environment,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (code, f"hvmpi: error: {said}\n" if said else "")
    if words[0] == "init":
        assert len(list((place.root / "mine").iterdir())) == 3
    if words[0] == "run":
        assert place.hvmpi("status", "--json").out.count('"state": "failed"') == 1


def _failing(error: BaseException) -> object:
    def fail(_: object) -> int:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (HvmpiError("so it is"), 1, "hvmpi: error: so it is\n"),
        (UsageError("so it is"), 2, "hvmpi: error: so it is\n"),
        (JournalError("so it is"), 3, "hvmpi: error: so it is\n"),
        (KeyboardInterrupt(), 3, "hvmpi: interrupted\n"),
    ],
)
def test_the_exit_ladder(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    monkeypatch.setattr("hvmpi.__main__.run_command_line", _failing(error))
    answer = place.hvmpi("run")
    assert (answer.code, answer.err) == (code, said)


def test_a_fault_of_ours_shows_its_traceback(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hvmpi.__main__.run_command_line", _failing(ZeroDivisionError("ours")))
    answer = place.hvmpi("run")
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert "ZeroDivisionError: ours" in answer.err


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_on_one_rank_ends_all(place: Place, rank: int) -> None:
    """A fault of ours on one rank: the others must not wait for it for ever."""
    script = place.root / "faulty.py"
    script.write_text(
        "import os, sys\n"
        "import hvmpi.master, hvmpi.worker\n"
        "from hvmpi.__main__ import main\n"
        "def fail(*_, **__):\n"
        "    raise ZeroDivisionError('ours')\n"
        f"if os.environ['OMPI_COMM_WORLD_RANK'] == '{rank}':\n"
        "    hvmpi.master.Master._take_report = fail\n"
        "    hvmpi.worker.Worker._begin = fail\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [f"{sys.prefix}/bin/mpirun", "-n", "3", "--oversubscribe", "--bind-to", "none"]
    ended = subprocess.run(
        [*command, sys.executable, script, "run", "--engine=noop", "-n4", "-b2"],
        capture_output=True,
        text=True,
        cwd=place.root,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        timeout=90,
        check=False,
    )
    assert ended.returncode != 0
    assert "ZeroDivisionError: ours" in ended.stderr
    assert place.run().entries()


def test_a_reader_that_leaves_is_no_fault(place: Place) -> None:
    place.event_file("a", range(1, 5001))
    words = ["plan", "--engine=noop", "--evnt-dir=evnt", "--job-size=1", "--all"]
    process = place.start(*words)
    assert process.stdout is not None
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    place.started.remove(process)
