"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.files import PrivateDirectories, make_private, sha256_of, write_whole


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with write_whole(path, mode=0o440) as beside:
        beside.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert path.stat().st_mode & 0o777 == 0o440
    assert list(tmp_path.iterdir()) == [path]


def test_an_older_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail_halfway() -> None:
        with write_whole(path) as beside:
            beside.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_appears_when_nothing_was_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "file"):
        pass
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=200))
def test_checksum(tmp_path_factory: pytest.TempPathFactory, contents: bytes) -> None:
    path = tmp_path_factory.mktemp("sum") / "file"
    path.write_bytes(contents)
    assert sha256_of(path) == hashlib.sha256(contents).hexdigest()


def test_private_directories_are_private_all_the_way(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private(tmp_path / "run/0000/job", tmp_path / "run")
        make_private(tmp_path / "run/0000/other job", tmp_path / "run")
    finally:
        os.umask(before)
    made = [tmp_path / "run", tmp_path / "run/0000", tmp_path / "run/0000/job"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is another user's")
def test_a_place_of_another_user_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(0o777)
    os.chown(run, 12345, 12345)
    with pytest.raises(PermissionError, match="another user"):
        make_private(run / "0000/job", run)
    assert list(run.iterdir()) == []


def test_a_private_directory_that_is_left_as_it_was_made_becomes_the_next(tmp_path: Path) -> None:
    working = PrivateDirectories(tmp_path / "run")
    first, second = tmp_path / "run/0000/job0", tmp_path / "run/0000/job1"
    working.make(first)
    made = first.stat().st_ino
    working.leave(first)
    working.make(second)
    assert (second.stat().st_ino, first.exists()) == (made, False)
    working.leave(second)
    working.clear()
    assert list((tmp_path / "run/0000").iterdir()) == []


def left_with_a_file(directory: Path) -> None:
    (directory / "core").touch()


def left_open_to_all(directory: Path) -> None:
    directory.chmod(0o777)


def left_as_a_link(directory: Path) -> None:
    directory.rmdir()
    directory.symlink_to("/")


@pytest.mark.parametrize("change", [left_with_a_file, left_open_to_all, left_as_a_link, Path.rmdir])
def test_a_private_directory_that_was_changed_does_not_become_the_next(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    working = PrivateDirectories(tmp_path / "run")
    first, second = tmp_path / "run/0000/job0", tmp_path / "run/0000/job1"
    working.make(first)
    change(first)
    working.leave(first)
    working.make(second)
    assert stat.S_IMODE(second.lstat().st_mode) == 0o700
    assert list(second.iterdir()) == []


def test_a_private_directory_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    working = PrivateDirectories(tmp_path / "run")
    first, second = tmp_path / "run/0000/job0", tmp_path / "run/0000/job1"
    working.make(first)
    second.mkdir()
    (second / "old").touch()
    working.leave(first)
    working.make(second)
    assert list(second.iterdir()) == []
    assert not first.exists()
