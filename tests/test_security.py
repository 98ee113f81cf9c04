"""What a run makes is its owner's alone; what it publishes others see as the user's umask says."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Place, shell

KEPT = 'echo said; mkdir sub; echo x > sub/y; echo x > beside; cat "$3" > "$4"'


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def hvmpi(place: Place, umask: int, *words: str | Path) -> int:
    """Run a command as a user with that umask does."""
    command = [sys.executable, "-m", "hvmpi", *map(str, words)]
    done = subprocess.run(
        command, cwd=place.root, env=place.environment, umask=umask, capture_output=True, timeout=60
    )
    assert done.stderr == b""
    return done.returncode


def campaign(place: Place, umask: int, *words: str | Path) -> int:
    """Run a campaign whose third job fails once."""
    script = f'[ "$1$2" != 21 ] || exit 3; {KEPT}'
    command = ["run", "-b4", "-n2", "--job-size=2", *shell(script), "--keep=aod", "--keep=evnt"]
    return hvmpi(place, umask, *command, *words)


def walk(root: Path) -> Iterator[Path]:
    yield root
    yield from root.rglob("*")


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_all_of_a_finished_run_is_closed_to_others(place: Place, umask: int) -> None:
    assert campaign(place, umask, "--keep-logs") == 0
    directory = place.run().directory
    # Nobody else gets in, whatever the modes below.
    assert mode(directory) == 0o700
    assert [path for path in walk(place.root) if mode(path) & 0o002] == []
    for name in ("journal.jsonl", "status.h5", "settings.toml"):
        assert mode(directory / name) == 0o600
    logs = [path for path in (directory / "logs").rglob("*") if path.is_file()]
    assert len(logs) > 3
    assert [path for path in logs if mode(path) & 0o077] == []


@pytest.mark.parametrize(
    ("umask", "file", "folder"),
    [(0o000, 0o444, 0o775), (0o022, 0o444, 0o755), (0o027, 0o440, 0o750), (0o077, 0o400, 0o700)],
)
def test_products_elsewhere_are_shared_as_the_umask_says(
    place: Place, umask: int, file: int, folder: int
) -> None:
    aod, evnt = place.root / "shared" / "aod", place.root / "shared" / "evnt"
    assert campaign(place, umask, f"--aod-dir={aod}", f"--evnt-dir={evnt}") == 0
    there = list(walk(place.root / "shared"))
    files = [path for path in there if path.is_file()]
    assert len(files) == 4 + 2 + 2
    assert {mode(path) for path in files} == {file}
    assert {mode(path) for path in there if path.is_dir()} == {folder}


def test_logs_and_working_files_elsewhere_stay_private(place: Place) -> None:
    logs, tmp = place.root / "elsewhere" / "logs", place.root / "elsewhere" / "tmp"
    script = f'ls -ld "$PWD" > "{place.root}/seen"; touch made; ls -l made >> "{place.root}/seen"'
    words = ["run", "-b2", "-n1", *shell(f'{script}; cat "$3" > "$4"')]
    words += [f"--log-dir={logs}", f"--tmp-dir={tmp}", "--keep-logs"]
    assert hvmpi(place, 0, *words) == 0
    attempts = list(logs.rglob("attempt1"))
    assert len(attempts) == 2
    assert {mode(path) for path in attempts} == {0o700}
    directory, made = (place.root / "seen").read_text().splitlines()
    assert directory.startswith("drwx------")
    assert made.startswith("-rw-------")


def test_a_job_by_hand_publishes_as_the_umask_says(place: Place) -> None:
    event_file = place.event_file("304795.2.1", [1, 2])
    out = place.root / "out"
    out.mkdir()
    words = ["job", event_file, "--output-dir=out", *shell('cat "$3" > "$4"')]
    assert hvmpi(place, 0o027, *words) == 0
    (made,) = out.iterdir()
    assert mode(made) == 0o440
