"""Event files that are there: foreign ones, renumbered ones, what manifests say."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot

from hvmpi.athena.pool import event_count
from hvmpi.campaign.event_files import Manifest, find_event_files, look_at, read_manifest
from hvmpi.campaign.paths import manifest
from hvmpi.engine import EventCount, make_engine
from hvmpi.noop import NoopEngine
from hvmpi.settings import load
from tests.conftest import Place

MADE = Manifest("hash", "ab" * 32, 6, 3, 4, 7, 2, "mine")


def found(place: Place, *words: str) -> list[tuple[str, int, int, str]]:
    asked = load("reconstruct", ["--engine=noop", f"--evnt-dir={place.root}/evnt", *words])
    files = [one.file for one in find_event_files(asked, make_engine(asked))]
    return [(file.stem, file.first_event, file.events, file.reason) for file in files]


def test_foreign_files_with_the_same_numbers_can_be_run_renumbered(
    place: Place, event_files: Path
) -> None:
    evnt = place.root / "evnt"
    evnt.mkdir()
    for name in ("a.hepmc3", "b.hepmc3"):
        shutil.copy(event_files / "304794.3.1.evnt.hepmc3", evnt / name)
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=2", "--renumber")
    assert place.hvmpi(*words).code == 0
    run = place.run()
    numbers = {}
    for path in (run.directory / "aod").iterdir():
        with h5py.File(path) as file:
            numbers[path.name] = file["events"]["event_number"].tolist()
    assert numbers == {
        "a.2.0.aod.h5": [1, 2],
        "a.2.2.aod.h5": [3],
        "b.2.0.aod.h5": [4, 5],
        "b.2.2.aod.h5": [6],
    }
    listed = [line for line in run.journal.read_text().splitlines() if "event_file" in line]
    assert '"number_from":1' in listed[0] + listed[1]
    assert any('"number_from":4' in line for line in listed)
    assert place.hvmpi("verify").code == 0


def test_the_name_is_a_hint_for_the_count_only(place: Place) -> None:
    place.event_file("304795.3.2", [70, 71, 72, 73])
    assert found(place) == [("304795.3.2", 70, 4, "")]


def test_a_file_that_is_put_aside_takes_no_numbers(place: Place) -> None:
    place.event_file("a", [1, 2])
    place.event_file("b", [])
    place.event_file("c", [1, 2])
    rows = found(place, "--renumber")
    assert [row[:3] for row in rows] == [("a", 1, 2), ("b", 0, 0), ("c", 3, 2)]


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "x.evnt.txt"
    manifest(path).write_text(MADE.to_json())
    assert read_manifest(path) == MADE


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"events": "many"}'])
def test_a_manifest_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.evnt.txt"
    assert read_manifest(path) is None
    manifest(path).write_text(text)
    assert read_manifest(path) is None


def test_a_file_that_is_not_what_its_manifest_says_is_put_aside(place: Place) -> None:
    path = place.event_file("304795.3.2", [4, 5, 6])
    made = replace(MADE, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    manifest(path).write_text(made.to_json())
    assert found(place) == [("304795.3.2", 4, 3, "")]
    path.write_text("4\n5\n7\n")
    ((_, _, events, reason),) = found(place)
    assert events == 0
    assert "contents were changed" in reason
    path.write_text("4\n5\n")
    ((_, _, events, reason),) = found(place)
    assert events == 0
    assert "4 bytes instead of 6" in reason


def test_what_is_no_regular_file_is_put_aside(place: Place) -> None:
    folder = place.event_file("good", [1, 2]).parent
    os.mkfifo(folder / "pipe.evnt.txt")
    (folder / "dangling.evnt.txt").symlink_to("nowhere")
    rows = found(place)
    assert [(stem, events) for stem, _, events, _ in rows] == [
        ("dangling", 0),
        ("good", 2),
        ("pipe", 0),
    ]
    assert "regular file" in rows[2][3]


def test_the_sample_is_named_by_the_record(event_files: Path) -> None:
    asked = load("reconstruct", [f"--evnt-dir={event_files}"])
    file = look_at(event_files / "304794.3.2.evnt.hepmc3", asked, make_engine(asked)).file
    assert (file.sample, file.run_number, file.batch) == ("gghss", 304794, 2)
    assert (file.events, file.first_event, file.stem) == (3, 4, "304794.3.2")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text_works(place: Place) -> None:
    folder = place.root / "evnt"
    folder.mkdir()
    (folder / b"gr\xf6\xdfe.evnt.txt".decode("utf-8", "surrogateescape")).write_text("1\n2\n")
    (folder / b"b\xf6se.evnt.txt".decode("utf-8", "surrogateescape")).write_text("x\n")
    words = ("reconstruct", "--engine=noop", "--evnt-dir=evnt", "--noop-command=cp")
    words += ("--noop-command={input}", "--noop-command={output}")
    answer = place.finish(place.start(*words))
    assert answer.code == 1
    assert answer.err == ""
    run = place.run()
    assert [name.encode("utf-8", "surrogateescape") for name in run.files("aod")] == [
        b"gr\xf6\xdfe.50.0.aod.txt"
    ]
    assert all(Path(path).exists() for path in run.status().jobs["output"])


class RootEngine(NoopEngine):
    """Counts athena's files as athena's engine does."""

    event_file_patterns = ("*.evnt.pool.root", "*.root")

    def count_events(self, path: Path, expected: int | None) -> EventCount:
        return event_count(path, expected)


def root_file(place: Place, name: str, events: int, **columns: int) -> None:
    """Write a file of events that hide their numbers, unless `columns` has their first."""
    values = {"Hidden": np.zeros(events, "f4")}
    for column, first in columns.items():
        values[f"EventInfoAux.{column}"] = first + np.arange(events) * (column == "eventNumber")
    folder = place.root / "evnt"
    folder.mkdir(exist_ok=True)
    with uproot.recreate(folder / name) as file:
        file.mktree("CollectionTree", {column: v.dtype for column, v in values.items()})
        file["CollectionTree"].extend(values)


def rows_of(place: Place, *words: str) -> dict[str, tuple[int, int, int]]:
    """Give run number, first event and number of events by stem; of bad ones no events."""
    asked = load("reconstruct", ["--engine=noop", f"--evnt-dir={place.root}/evnt", *words])
    files = [one.file for one in find_event_files(asked, RootEngine(asked))]
    return {file.stem: (file.run_number, file.first_event, file.events) for file in files}


def test_hidden_numbers_follow_from_a_name_of_our_own(place: Place) -> None:
    root_file(place, "304794.50.1.evnt.pool.root", 50)
    root_file(place, "304794.50.3.evnt.pool.root", 50)
    assert rows_of(place) == {"304794.50.1": (304794, 1, 50), "304794.50.3": (304794, 101, 50)}


def test_hidden_numbers_of_foreign_files_are_counted_on(place: Place) -> None:
    for name in ("a.root", "b.root"):
        root_file(place, name, 4)
    asked = load("reconstruct", ["--engine=noop"]).samples[0].run_number or 0
    assert rows_of(place) == {"a": (asked, 1, 4), "b": (asked, 5, 4)}


def test_hidden_numbers_go_behind_all_that_are_known(place: Place) -> None:
    root_file(place, "a.root", 4)
    root_file(place, "b.root", 3, eventNumber=20, runNumber=8)
    root_file(place, "z.root", 2)
    root_file(place, "8.5.2.evnt.pool.root", 5)
    (place.root / "evnt" / "c.root").touch()
    assert {stem: row[1:] for stem, row in rows_of(place, "--run-number=8").items()} == {
        "a": (23, 4),
        "b": (20, 3),
        "z": (27, 2),
        "8.5.2": (6, 5),
        "c": (0, 0),
    }


def test_a_file_of_more_events_than_its_name_says_does_not_reach_into_the_next(
    place: Place,
) -> None:
    root_file(place, "8.3.1.evnt.pool.root", 5)
    root_file(place, "8.3.2.evnt.pool.root", 3)
    assert rows_of(place) == {"8.3.1": (8, 7, 5), "8.3.2": (8, 4, 3)}


def test_a_file_of_fewer_events_than_its_name_says_is_put_aside(place: Place) -> None:
    root_file(place, "8.50.1.evnt.pool.root", 49)
    assert rows_of(place) == {"8.50.1": (8, 0, 0)}


def test_a_name_whose_numbers_cannot_be_is_as_good_as_none(place: Place) -> None:
    root_file(place, "8.3.0.evnt.pool.root", 3)
    root_file(place, f"8.3.{10**30}.evnt.pool.root", 3)
    firsts = sorted(first for _, first, _ in rows_of(place).values())
    assert firsts == [1, 4]


def test_what_a_file_tells_goes_before_what_its_name_says(place: Place) -> None:
    root_file(place, "8.3.2.evnt.pool.root", 3, eventNumber=70, runNumber=9)
    root_file(place, "8.3.1.evnt.pool.root", 3, runNumber=9)
    assert rows_of(place) == {"8.3.1": (9, 1, 3), "8.3.2": (9, 70, 3)}


def test_hidden_numbers_are_given_by_renumber_as_others(place: Place) -> None:
    root_file(place, "8.3.2.evnt.pool.root", 3)
    root_file(place, "a.root", 4)
    rows = rows_of(place, "--renumber").values()
    assert sorted(row[1:] for row in rows) in ([(1, 3), (4, 4)], [(1, 4), (5, 3)])
