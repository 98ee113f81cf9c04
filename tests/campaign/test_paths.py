"""Where things lie, and the names of runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.paths import RunPaths, create_run, find_run, list_runs
from hvmpi.errors import InputError, UsageError

NOON = 1795521600.0


def test_a_name_in_use_takes_the_next_second(tmp_path: Path) -> None:
    names = [create_run(tmp_path, NOON + 0.2 * n).name for n in range(7)]
    assert names == [f"2026112412000{n}" for n in range(7)]


def test_seconds_roll_over_to_minutes(tmp_path: Path) -> None:
    (tmp_path / "20261124235959").mkdir()
    assert create_run(tmp_path, NOON + 12 * 3600 - 1).name == "20261125000000"


def test_many_at_once_have_names_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: create_run(tmp_path, NOON), range(64)))
    assert len(set(made)) == 64


@given(st.lists(st.integers(0, 30), max_size=20))
def test_names_are_unique_and_in_the_order_of_time(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("runs")
    made = [create_run(directory, NOON + second).name for second in seconds]
    assert len(set(made)) == len(made)
    assert list_runs(directory) == sorted(made)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"run-dir '.*file/runs' cannot be made .*--run-dir"):
        create_run(tmp_path / "file" / "runs")


def test_only_timestamps_are_runs(tmp_path: Path) -> None:
    for name in ("20260101000000", "2026010100000", "backup", "20260101000001.old"):
        (tmp_path / name).mkdir()
    (tmp_path / "20270101000000").touch()
    assert list_runs(tmp_path) == ["20260101000000"]
    assert find_run(tmp_path, None).name == "20260101000000"


@pytest.mark.parametrize("name", ["20250101000000", "..", "", "backup", "20260101000000/../x"])
def test_a_run_that_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "20260101000000").mkdir()
    with pytest.raises(InputError, match=r"newest there are 20260101000000"):
        find_run(tmp_path, name)


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no run in"):
        find_run(tmp_path / "gone", None)


def test_the_layout_of_a_run() -> None:
    paths = RunPaths.of(Path("/runs/20260101000000"))
    run = paths.directory
    assert paths.journal == run / "journal.jsonl"
    assert paths.status == run / "status.h5"
    assert paths.settings == run / "settings.toml"
    assert paths.product("aod", "1.50.2.10.20", "aod.h5") == run / "aod/1.50.2.10.20.aod.h5"
    attempt = paths.attempt(1_234_567, 3)
    assert attempt.logs == run / "logs/1234/job01234567/attempt3"
    assert attempt.tmp == run / "tmp/1234/job01234567.attempt3"
    assert attempt.step_log("chain") == attempt.logs / "chain.log"
    part = paths.part(run / "aod/x.aod.h5", 2)
    assert part == run / "aod/.x.aod.h5.attempt2.part"


def test_what_lies_elsewhere_lies_under_the_timestamp() -> None:
    paths = RunPaths.of(
        Path("/runs/20260101000000"), evnt_dir="/e", aod_dir="/a", log_dir="/l", tmp_dir="/t"
    )
    assert paths.evnt == Path("/e")
    assert paths.product("aod", "x", "aod.h5") == Path("/a/20260101000000/x.aod.h5")
    attempt = paths.attempt(0, 1)
    assert attempt.logs == Path("/l/20260101000000/0000/job00000000/attempt1")
    assert attempt.tmp == Path("/t/20260101000000/0000/job00000000.attempt1")


@pytest.mark.parametrize("path", ["/runs/20260101000000/aod/x", "/elsewhere/x"])
def test_stored_paths_are_resolved(path: str) -> None:
    paths = RunPaths.of(Path("/runs/20260101000000"))
    assert paths.resolve(paths.stored(Path(path))) == Path(path)


def test_a_run_that_is_moved_finds_its_own() -> None:
    stored = RunPaths.of(Path("/runs/20260101000000")).stored(Path("/runs/20260101000000/aod/x"))
    assert RunPaths.of(Path("/new/20260101000000")).resolve(stored) == Path(
        "/new/20260101000000/aod/x"
    )


def test_runs_that_share_a_directory_leave_parts_of_their_own() -> None:
    one, two = (
        RunPaths.of(Path(f"/runs/2026112412000{n}"), evnt_dir="/shared/evnt") for n in (1, 2)
    )
    final = one.product("evnt", "7.5.1", "evnt.txt")
    assert final == two.product("evnt", "7.5.1", "evnt.txt")
    assert one.part(final, 1) != two.part(final, 1)
    inside = one.product("aod", "7.5.1.5.0", "aod.txt")
    assert one.part(inside, 2).name == ".7.5.1.5.0.aod.txt.attempt2.part"
