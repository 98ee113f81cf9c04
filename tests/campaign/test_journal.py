"""The journal: what a torn, damaged or foreign file gives back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign import journal
from hvmpi.campaign.journal import Journal, read_entries
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.replay import fold, replay
from hvmpi.errors import JournalError
from tests.conftest import Place, RunOnDisk, clean_environment, shell


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunOnDisk]:
    """A run in which all kinds of lines were written: attempts that failed, a rerun."""
    place = Place(tmp_path_factory.mktemp("journal"), clean_environment())
    script = '[ "$1" != 2 ] || [ "$2" -gt 2 ] || exit 3; cat "$3" > "$4"'
    words = ("run", "-b4", "-n2", "--job-size=2", *shell(script), f"--run-dir={place.run_dir}")
    assert place.hvmpi(*words).code == 1
    run = place.run()
    assert place.hvmpi("rerun", run.timestamp, f"--run-dir={place.run_dir}").code == 0
    yield run
    place.leave()


def same(one: Ledger, other: Ledger) -> bool:
    return (
        np.array_equal(one.jobs, other.jobs)
        and np.array_equal(one.attempts, other.attempts)
        and np.array_equal(one.steps, other.steps)
        and one.counts == other.counts
        and one.event_files == other.event_files
        and one.accepted == other.accepted
        and one.left_out == other.left_out
        and (one.hosts, one.reasons, one.places) == (other.hosts, other.reasons, other.places)
        and one.ready() == other.ready()
        and [one.spent(job) for job in one.jobs["job"]] == [other.spent(j) for j in one.jobs["job"]]
    )


def lines_of(run: RunOnDisk) -> list[bytes]:
    return run.journal.read_bytes().splitlines(keepends=True)


def last_lines_to_tear(run: RunOnDisk) -> list[int]:
    """Name the lines after which the journal is torn: each kind of line once, and the end."""
    entries = run.entries()
    plan = next(i for i, e in enumerate(entries) if isinstance(e, journal.PlanComplete))
    kinds = {type(entry): i for i, entry in enumerate(entries) if i > plan + 1}
    return sorted({*kinds.values(), len(entries) - 1})


def test_torn_at_every_byte_of_its_last_two_lines(campaign: RunOnDisk, tmp_path: Path) -> None:
    lines = lines_of(campaign)
    torn = tmp_path / "20260101000000" / "journal.jsonl"
    torn.parent.mkdir()
    tried = 0
    for last in last_lines_to_tear(campaign):
        whole = b"".join(lines[: last + 1])
        before = len(whole) - len(lines[last]) - len(lines[last - 1])
        states = []
        for count in range(3):
            torn.write_bytes(b"".join(lines[: last - 1 + count]))
            states.append(replay(torn))
        for size in range(before, len(whole) + 1):
            torn.write_bytes(whole[:size])
            complete = whole[before:size].count(b"\n")
            assert same(replay(torn), states[complete])
            tried += 1
    assert tried > 1000


def test_what_is_appended_behind_a_torn_line_is_whole(campaign: RunOnDisk, tmp_path: Path) -> None:
    lines = lines_of(campaign)
    path = tmp_path / "journal.jsonl"
    for cut in (1, len(lines[-1]) // 2, len(lines[-1]) - 1):
        path.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
        book = Journal(path)
        book.append(campaign.entries()[-1])
        book.close()
        assert path.read_bytes() == b"".join(lines)


def test_a_run_taken_up_with_a_torn_journal_goes_on(place: Place) -> None:
    words = ("run", "-b4", "-n1", "--job-size=2", *shell('cat "$3" > "$4"'))
    assert place.hvmpi(*words).code == 0
    run = place.run()
    text = run.journal.read_bytes()
    run.journal.write_bytes(text[: text.rindex(b'"type":"published"') + 5])
    assert place.hvmpi("status").code == 0
    assert place.hvmpi("rerun", run.timestamp).code == 0
    assert place.hvmpi("verify").code == 0


def test_replay_gives_what_reading_line_by_line_gives(campaign: RunOnDisk) -> None:
    ledger = Ledger()
    for entry in campaign.entries():
        ledger.apply(entry)
    assert same(ledger, campaign.ledger())
    assert same(fold(campaign.entries(), campaign.journal), ledger)


def test_repeated_results_are_passed_over(campaign: RunOnDisk) -> None:
    entries = campaign.entries()
    doubled = []
    for entry in entries:
        results = journal.Accepted | journal.Published | journal.Failed
        doubled += [entry, entry] if isinstance(entry, results) else [entry]
    assert len(doubled) > len(entries)
    assert same(fold(doubled, campaign.journal), fold(entries, campaign.journal))


def test_lines_come_back_as_they_were_written(campaign: RunOnDisk, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    book = Journal(path)
    book.append(*campaign.entries())
    book.close()
    assert path.read_bytes() == campaign.journal.read_bytes()
    assert list(read_entries(path)) == campaign.entries()


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5))
def test_any_text_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, reason: str, when: float, launch: str
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    entry = journal.Ended(when, "incomplete", 3, 1, 2, 3, reason, launch)
    book = Journal(path)
    book.append(entry, entry)
    book.close()
    assert path.read_bytes().count(b"\n") == 2
    assert list(read_entries(path)) == [entry, entry]


@pytest.mark.parametrize(
    "damage",
    [b"\n", b"{}\n", b"[]\n", b"null\n", b'{"type":"started"}\n', b'{"type":"?"}\n', b"\xff\xfe\n"],
)
def test_a_damaged_line_is_named(campaign: RunOnDisk, tmp_path: Path, damage: bytes) -> None:
    lines = lines_of(campaign)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join([*lines[:4], damage, *lines[4:]]))
    with pytest.raises(JournalError, match=r"^line 5 of the journal"):
        replay(path)


def test_a_line_that_does_not_follow_is_named(campaign: RunOnDisk, tmp_path: Path) -> None:
    entries = campaign.entries()
    published = next(i for i, e in enumerate(entries) if isinstance(e, journal.Published))
    job = entries[published].job
    path = tmp_path / "journal.jsonl"
    book = Journal(path)
    book.append(*entries[: published + 1], journal.Started(job, 2, 1, "far", 0.0))
    book.close()
    with pytest.raises(JournalError, match=f"line {published + 2} .* job {job} cannot go from"):
        replay(path)


@pytest.mark.parametrize(
    ("kind", "before", "after", "told"),
    [
        ("jobs", '"kind":0', '"kind":9', "9 is not a valid Kind"),
        ("jobs", '"job_size":4', '"job_size":0', "4 events in generation jobs of 0"),
        ("jobs", '"events":4', '"events":1000000000000', "its generation jobs have 1000000000000"),
        ("jobs", '"event_file":0', '"event_file":7', "there is no event file 7"),
        ("jobs", '"event_file":0', '"event_file":-1', "generation jobs of event file -1"),
        ("event_file", '"events":4', '"events":3', "has 3 events, its generation jobs have 4"),
        ("started", '"job":0', '"job":-1', "there is no job -1"),
        ("started", '"job":0', '"job":99', "there is no job 99"),
        ("accepted", '"outputs":[[', '"outputs":[["aod"],[', "is not product, part, path"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(
    campaign: RunOnDisk, tmp_path: Path, kind: str, before: str, after: str, told: str
) -> None:
    lines = campaign.journal.read_text().splitlines(keepends=True)
    row = next(i for i, line in enumerate(lines) if f'"type":"{kind}"' in line)
    assert before in lines[row]
    lines[row] = lines[row].replace(before, after, 1)
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(lines))
    with pytest.raises(JournalError, match=rf"^line \d+ of the journal .*{re.escape(told)}"):
        replay(path)


def test_a_journal_without_its_first_line_is_refused(campaign: RunOnDisk, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(lines_of(campaign)[1:]))
    with pytest.raises(JournalError, match="does not begin with run_begun"):
        replay(path)


def test_another_schema_is_refused_naming_both(campaign: RunOnDisk, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    text = campaign.journal.read_bytes()
    path.write_bytes(text.replace(b'"schema_version":4', b'"schema_version":7', 1))
    told = r"hvmpi-journal 7, this hvmpi reads hvmpi-journal 3 and 4"
    with pytest.raises(JournalError, match=told):
        replay(path)


def test_a_journal_of_the_schema_before_is_read(campaign: RunOnDisk, tmp_path: Path) -> None:
    """Its lines do not say when an attempt really began: it counts from when it was given."""
    text = campaign.journal.read_bytes()
    old, fewer = re.subn(rb',"began":[^,}]+', b"", text)
    assert fewer == len(campaign.entries(journal.Accepted, journal.Failed))
    path = tmp_path / "journal.jsonl"
    path.write_bytes(old.replace(b'"schema_version":4', b'"schema_version":3', 1))
    before, now = replay(path), campaign.ledger()
    assert before.counts == now.counts
    assert np.array_equal(before.attempts["outcome"], now.attempts["outcome"])
    given = [entry.time for entry in campaign.entries(journal.Started)]
    assert before.attempts["started"].tolist() == given
    assert (now.attempts["started"] >= before.attempts["started"] - 0.001).all()


def test_a_group_of_lines_is_written_by_one_call_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    book = Journal(path)
    written: list[bytes] = []
    write = os.write

    def noting(handle: int, data: bytes) -> int:
        written.append(data)
        return write(handle, data)

    monkeypatch.setattr(os, "write", noting)
    entries = [journal.Published(job, 1) for job in range(5)]
    for entry in entries:
        book.collect(entry)
    assert written == []
    book.write()
    book.write()
    assert len(written) == 1
    assert list(read_entries(path)) == entries
    book.close()


def test_names_of_files_that_are_no_utf8_come_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    book = Journal(path)
    entries = [journal.Published(0, 1), journal.LibraryListed("a\udcff/größe", 3, "0")]
    book.append(*entries)
    book.close()
    assert list(read_entries(path)) == entries


@pytest.mark.parametrize("wrong", ['"job":"0"', '"job":0.5', '"job":0,"more":1', '"job":null'])
def test_a_value_of_another_type_is_named(campaign: RunOnDisk, tmp_path: Path, wrong: str) -> None:
    text = campaign.journal.read_text()
    path = tmp_path / "journal.jsonl"
    path.write_text(text.replace('"type":"started","job":0', f'"type":"started",{wrong}', 1))
    with pytest.raises(JournalError, match=r"^line \d+ of the journal .* is no entry of hvmpi"):
        replay(path)


def test_a_run_that_ended_before_its_plan_was_whole(campaign: RunOnDisk, tmp_path: Path) -> None:
    path = tmp_path / "20260101000000" / "journal.jsonl"
    path.parent.mkdir()
    for count in range(4):
        path.write_bytes(b"".join(lines_of(campaign)[:count]))
        with pytest.raises(JournalError, match="before its plan was written"):
            replay(path)


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        list(read_entries(tmp_path / "journal.jsonl"))


def test_a_full_disk_is_one_sentence() -> None:
    book = Journal(Path("/dev/full"))
    with pytest.raises(JournalError, match=r"'/dev/full' cannot be written \(No space left"):
        book.append(journal.PlanComplete(0, 0))


def test_the_completion_of_a_launch(campaign: RunOnDisk) -> None:
    run_dir = campaign.directory.parent
    first, second = campaign.entries(journal.Ended)
    assert first.launch != second.launch
    for ended in (first, second):
        found = journal.find_completion(run_dir, ended.launch)
        assert found is not None
        assert (found.timestamp, found.exit_code) == (campaign.timestamp, ended.exit_code)
    assert journal.find_completion(run_dir, "nobody's") is None
    assert journal.find_launch(run_dir / "nowhere", first.launch) is None


def test_a_product_is_accepted_on_disk_before_it_is_renamed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[str, bytes] = {}
    renamed: list[str] = []
    fsync, link = os.fsync, os.link

    def noting_fsync(handle: int) -> None:
        fsync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        synced[path.name] = b"" if path.is_dir() else path.read_bytes()

    def checking_link(part: Path, final: Path, **how: Any) -> None:
        if "attempt" in Path(part).name:
            name = Path(part).name.encode()
            assert b'"type":"accepted"' in synced["journal.jsonl"]
            assert name in synced["journal.jsonl"]
            assert Path(part).name in synced
            renamed.append(Path(final).name)
        link(part, final, **how)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "link", checking_link)
    words = ("run", "-b4", "-n1", "--job-size=2", *shell('cat "$3" > "$4"'))
    assert place.hvmpi(*words).code == 0
    assert renamed == [
        "304795.4.1.evnt.txt",
        "304795.4.1.2.0.aod.txt",
        "304795.4.1.2.2.aod.txt",
    ]
