"""What bash, zsh and fish make of the scripts: each shell is asked itself."""

from __future__ import annotations

import contextlib
import os
import pty
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hvmpi.cli import VERBS
from hvmpi.completion.arguments import Values, arguments_of, parser_of
from hvmpi.options import BY_NAME
from tests.conftest import Place

RUNS = ("20261124120000", "20261125120000")
Ask = Callable[[str], list[str]]
"""Gives what a shell would put behind a line; bash splits words at ``=``, others do not."""

TESTED = [
    ("hvmpi sta", ["status"]),
    ("hvmpi status --sta", ["--state"]),
    ("hvmpi status --state f", ["failed"]),
    ("python -m hvmpi init --batch ", ["htcondor", "pbs", "slurm"]),
    ("python3 -m hvmpi rec", ["reconstruct"]),
    ("./run_chain.sh --ranks 3 ver", ["verify"]),
    ("/some/where/run_chain.sh --host", ["--host-cores", "--host-memory", "--hostfile"]),
    ("hvmpi --progress ", ["auto", "bar", "line", "none"]),
    ("hvmpi run --cold --progress b", ["bar"]),
    ("hvmpi plan ge", ["generate"]),
    ("hvmpi completion z", ["zsh"]),
    ("hvmpi rerun ", list(RUNS)),
    ("hvmpi clean --yes 20261125", [RUNS[1]]),
    ("hvmpi run -r 20261124", [RUNS[0]]),
    ("hvmpi status --run-dir elsewhere ", ["20200101000000"]),
    ("hvmpi status --run-dir nowhere 2", []),
    ("hvmpi run --no-dup", ["--no-duplicates"]),
    ("hvmpi job --repe", []),
]


@pytest.fixture
def directory(place: Place) -> Path:
    """Two runs, and what looks like a run but is none; a config whose name holds a space."""
    for name in (*RUNS, "2026", "latest"):
        (place.root / "runs" / name).mkdir(parents=True)
    (place.root / "elsewhere" / "20200101000000").mkdir(parents=True)
    (place.root / "mine.toml").touch()
    (place.root / "my other.toml").touch()
    return place.root


@pytest.fixture
def script(place: Place) -> Callable[[str], Path]:
    """Write the script of a shell."""

    def write(shell: str) -> Path:
        answer = place.hvmpi("completion", shell)
        assert answer.code == 0
        path = place.root / f".completion.{shell}"
        path.write_text(answer.out)
        return path

    return write


def shell_or_skip(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


def answers(command: list[str], directory: Path) -> list[str]:
    """Give the lines that a shell prints, started without anything of the user's."""
    ended = subprocess.run(
        command,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "TERM": "dumb", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


@pytest.fixture
def bash(directory: Path, script: Callable[[str], Path]) -> Ask:
    path = script("bash")

    def ask(line: str) -> list[str]:
        typed = line.split(" ")
        words = [part for word in typed for part in _parted(word)]
        asked = f"""
            set -u
            . {shlex.quote(str(path))}
            COMP_WORDS=({" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}
            registered=$(complete -p {shlex.quote(typed[0].rpartition("/")[2])})
            registered=${{registered#*-F }}
            ${{registered%% *}}
            for reply in ${{COMPREPLY[@]+"${{COMPREPLY[@]}}"}}; do echo "$reply"; done
        """
        return answers([shell_or_skip("bash"), "--norc", "-c", asked], directory)

    return ask


def _parted(word: str) -> list[str]:
    option, sign, value = word.partition("=")
    return [option, sign, *([value] if value else [])] if sign else [word]


@pytest.fixture
def fish(directory: Path, script: Callable[[str], Path]) -> Ask:
    shell = shell_or_skip("fish")
    path = script("fish")

    def ask(line: str) -> list[str]:
        asked = f"source {shlex.quote(str(path))}; complete -C {shlex.quote(line)}"
        told = answers([shell, "--no-config", "-c", asked], directory)
        return sorted(line.partition("\t")[0] for line in told)

    return ask


@pytest.mark.parametrize(("line", "expected"), TESTED)
def test_bash(bash: Ask, line: str, expected: list[str]) -> None:
    assert sorted(bash(line)) == expected


@pytest.mark.parametrize(("line", "expected"), TESTED)
def test_fish(fish: Ask, line: str, expected: list[str]) -> None:
    assert fish(line) == expected


def test_bash_takes_an_option_apart_at_its_sign(bash: Ask) -> None:
    assert bash("hvmpi status --state=fa") == ["failed"]
    assert bash("hvmpi --engine=") == ["openchain", "athena", "noop"]
    assert bash("hvmpi rerun --run-dir=elsewhere ") == ["20200101000000"]


def test_files_for_a_config(bash: Ask, fish: Ask) -> None:
    for line in ("hvmpi -c m", "python -m hvmpi plan --config m"):
        assert sorted(bash(line)) == ["mine.toml", "my other.toml"]
        assert fish(line) == ["mine.toml", "my other.toml"]


def test_verbs_come_first_and_options_behind_a_dash(bash: Ask, fish: Ask) -> None:
    assert bash("hvmpi ") == list(VERBS)
    assert fish("hvmpi ") == sorted(VERBS)
    options = {f"--{name}" for name in BY_NAME}
    assert options <= set(bash("./run_chain.sh -"))
    assert options <= set(fish("./run_chain.sh --"))


def test_bash_leaves_other_modules_of_python_alone(
    directory: Path, script: Callable[[str], Path]
) -> None:
    path = script("bash")
    asked = f"""
        of_python() {{ COMPREPLY=(its own "$1"); }}
        complete -F of_python python
        . {shlex.quote(str(path))}; . {shlex.quote(str(path))}
        COMP_WORDS=(python -m js) COMP_CWORD=2
        _hvmpi_python python js -m
        echo "${{COMPREPLY[@]}}"
    """
    assert answers([shell_or_skip("bash"), "--norc", "-c", asked], directory) == ["its own python"]


def test_zsh(directory: Path, script: Callable[[str], Path]) -> None:
    """Typed in an interactive shell: zsh completes nowhere else."""
    shell = shell_or_skip("zsh")
    path = script("zsh")
    typed = {
        "hvmpi sta\t": "hvmpi status ",
        "python -m hvmpi status --sta\tf\t": "python -m hvmpi status --state failed ",
        "./run_chain.sh --engine=op\t": "./run_chain.sh --engine=openchain ",
        "hvmpi rerun 20261125\t": f"hvmpi rerun {RUNS[1]} ",
        "hvmpi -c mi\t": "hvmpi -c mine.toml ",
    }
    start = [
        "autoload -Uz compinit; compinit -u -D",
        f". {shlex.quote(str(path))}",
        'keep() { print -r -- "$BUFFER" >>told; BUFFER=; }',
        "zle -N keep; bindkey '^Y' keep",
    ]
    keys = "".join(f" {line}\n" for line in start) + "".join(f"{line}\x19" for line in typed)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [shell, "-f"],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "TERM": "xterm", "LANG": "C.UTF-8"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        os.write(ours, f"{keys}exit\n".encode())
        with contextlib.suppress(OSError):  # nobody has the other end any more
            while os.read(ours, 65536):
                pass
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert (directory / "told").read_text().splitlines() == list(typed.values())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_tells_its_arguments(verb: str) -> None:
    assert parser_of(verb).prog == f"python -m hvmpi {verb}"
    arguments = arguments_of(verb)
    assert arguments[0].names == ("-h", "--help")
    assert arguments[0].values is Values.NOTHING
    assert len({name for one in arguments for name in one.names}) == sum(
        len(one.names) for one in arguments
    )


def test_no_python_is_started(script: Callable[[str], Path], directory: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "import " not in script(shell).read_text()
    path = script("bash")
    asked = f"PATH=; . {shlex.quote(str(path))}; complete -p hvmpi"
    (told,) = answers([shell_or_skip("bash"), "--norc", "-c", asked], directory)
    assert told == "complete -o default -F _hvmpi hvmpi"


def test_an_unknown_shell_is_refused(place: Place) -> None:
    answer = place.hvmpi("completion", "tcsh")
    assert answer.code == 2
    assert "tcsh" in answer.complaint
