"""One step: where it runs, what it is given, and what of it is kept."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hvmpi.campaign.paths import AttemptPaths
from hvmpi.engine import Step
from hvmpi.execution import Execution
from hvmpi.payload import PayloadResult
from hvmpi.servers import Servers
from hvmpi.session import MARK
from tests.conftest import wait_for

SEEN = (
    "import json, os;"
    "json.dump([dict(os.environ), os.getcwd(), os.listdir()], open('seen.json', 'w'))"
)


def start(step: Step, paths: AttemptPaths, servers: Servers, timeout: float = 60.0) -> Execution:
    return Execution(step, paths, servers=servers, timeout=timeout)


def result(execution: Execution) -> PayloadResult:
    while (ended := execution.poll()) is None:
        time.sleep(0.01)
    return ended


def bash(script: str, paths: AttemptPaths, *leaves: str) -> Step:
    return Step("s2608", ("bash", "-c", script), directory=paths.tmp / "s2608", leaves=leaves)


def test_it_runs_in_a_directory_that_is_made_for_it(paths: AttemptPaths, servers: Servers) -> None:
    directory = paths.tmp / "of" / "its own"
    directory.mkdir(parents=True)
    (directory / "left by another").touch()
    step = Step("a", (sys.executable, "-c", SEEN), directory=directory)
    assert result(start(step, paths, servers)).exit_code == 0
    _, where, files = json.loads((directory / "seen.json").read_text())
    assert (where, files) == (str(directory), [])


def test_without_a_directory_of_its_own_it_runs_in_the_attempts(
    paths: AttemptPaths, servers: Servers
) -> None:
    (paths.tmp / "made by the step before").touch()
    result(start(Step("a", (sys.executable, "-c", SEEN)), paths, servers))
    _, where, files = json.loads((paths.tmp / "seen.json").read_text())
    assert where == str(paths.tmp)
    assert "made by the step before" in files


# A shell starts it, and each shell keeps some words of its own; Python adds none with LC_ALL.
_ADDED = ("PWD", "OLDPWD", "SHLVL", "_", MARK)


def test_an_isolated_step_has_its_own_environment_only(
    paths: AttemptPaths, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PMIX_RANK", "1")
    text = "two\nlines; $(id) 'quoted' größe"
    own = {"VALUE": text, "PATH": "/nowhere", "LC_ALL": "C.UTF-8"}
    step = Step("a", (sys.executable, "-c", SEEN), own, isolated=True)
    assert result(start(step, paths, servers)).exit_code == 0
    seen, _, _ = json.loads((paths.tmp / "seen.json").read_text())
    assert {name: seen[name] for name in seen if name not in _ADDED} == own
    (paths.tmp / "seen.json").unlink()
    result(start(replace(step, isolated=False), paths, servers))
    seen, _, _ = json.loads((paths.tmp / "seen.json").read_text())
    assert seen.items() > own.items()
    assert seen["TMPDIR"] == str(paths.tmp)
    assert "PMIX_RANK" not in seen


def test_its_files_are_there_before_it_starts_and_private(
    paths: AttemptPaths, servers: Servers
) -> None:
    script = paths.logs / "scripts" / "s2608.sh"
    beside = paths.tmp / "s2608" / "job options.py"
    text = "#!/bin/bash\necho \"$0\" 'größe\\' > said\r\n: \udcff\n"
    step = Step(
        "s2608",
        (str(script),),
        directory=beside.parent,
        files={script: text, beside: "x = 1\n"},
    )
    script.parent.mkdir()
    script.write_text("an older one")
    assert result(start(step, paths, servers)).exit_code == 0
    assert script.read_bytes() == text.encode(errors="surrogateescape")
    assert stat.S_IMODE(script.stat().st_mode) == 0o700
    assert beside.read_text() == "x = 1\n"
    assert any(path.name.startswith("said") for path in beside.parent.iterdir())


@pytest.mark.parametrize("how", ["done", "failed", "timed out", "stopped", "killed"])
def test_what_it_leaves_is_kept_however_it_ended(
    paths: AttemptPaths, servers: Servers, how: str
) -> None:
    ends = {"done": "exit 0", "failed": "exit 65", "killed": "kill -9 $$"}
    script = (
        "mkdir sub; touch sub/log.athena; echo big > data.root; ln -s data.root log.link;"
        "echo 1 > log.EVNTtoHITS; echo '{}' > jobReport.json; touch ready;"
    ) + ends.get(how, "exec sleep 600")
    leaves = ("jobReport.json", "log.*", "sub/log.*", "none.*", "*.json")
    step = bash(script, paths, *leaves)
    execution = start(step, paths, servers, 1.0 if how == "timed out" else 60.0)
    wait_for((paths.tmp / "s2608" / "ready").exists)
    if how == "stopped":
        execution.stop()
    ended = result(execution)
    assert (ended.timed_out, ended.stopped) == (how == "timed out", how == "stopped")
    assert execution.lost is None
    kept = paths.logs / "s2608"
    files = sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file())
    assert files == ["jobReport.json", "log.EVNTtoHITS", "sub/log.athena"]
    assert (kept / "log.EVNTtoHITS").read_text() == "1\n"
    assert (paths.tmp / "s2608" / "data.root").read_text() == "big\n"
    assert not (paths.tmp / "s2608" / "jobReport.json").exists()


def test_what_it_leaves_is_kept_across_file_systems(
    paths: AttemptPaths, servers: Servers, tmp_path: Path
) -> None:
    shared = Path("/dev") / "shm"
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    directory = shared / f"hvmpi-{os.getpid()}-{time.monotonic_ns()}"
    step = replace(bash("echo 1 > log.a", paths, "log.*"), directory=directory)
    result(start(step, paths, servers))
    assert (paths.logs / "s2608" / "log.a").read_text() == "1\n"
    assert list(directory.iterdir()) == []
    directory.rmdir()


def test_a_report_of_an_execution_before_is_not_its_own(
    paths: AttemptPaths, servers: Servers
) -> None:
    result(start(bash("touch jobReport.json", paths, "*.json"), paths, servers))
    assert (paths.logs / "s2608" / "jobReport.json").exists()
    result(start(bash("true", paths, "*.json"), paths, servers))
    assert not (paths.logs / "s2608" / "jobReport.json").exists()


def test_it_says_what_could_not_be_kept(paths: AttemptPaths, servers: Servers) -> None:
    execution = start(bash("until [ -e ../go ]; do :; done; touch a", paths, "a"), paths, servers)
    (paths.logs / "s2608").write_text("in the way")
    (paths.tmp / "go").touch()
    result(execution)
    assert isinstance(execution.lost, OSError)


def test_a_directory_that_cannot_be_made_is_an_error(paths: AttemptPaths, servers: Servers) -> None:
    (paths.tmp / "s2608").write_text("in the way")
    with pytest.raises(OSError, match="s2608"):
        start(bash("true", paths), paths, servers)
