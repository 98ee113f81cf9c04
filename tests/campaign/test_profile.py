"""Where a campaign's time went: in the journal, in status.h5, and as a sum."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.journal import Journal
from hvmpi.campaign.profile import Profile
from hvmpi.campaign.replay import fold, replay
from hvmpi.campaign.snapshot import write_status
from hvmpi.campaign.status import StatusFile, read_status
from hvmpi.errors import JournalError
from hvmpi.stopwatch import Part
from tests.conftest import Place, RunOnDisk, clean_environment, shell

# The first attempt of job 2 fails.
WORDS = ("run", "-b6", "-n1", "--job-size=2", "--retry-pause=0")
SCRIPT = '[ "$1" != 2 ] || [ "$2" != 1 ] || exit 3; sleep 0.05; cat "$3" > "$4"'


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> RunOnDisk:
    """A profiled run of an engine whose steps say nothing of their time."""
    place = Place(tmp_path_factory.mktemp("profile"), clean_environment())
    given = (*WORDS, *shell(SCRIPT), f"--run-dir={place.run_dir}", "--profile")
    assert place.hvmpi(*given).code == 0
    return place.run()


def profile_of(path: Path) -> Profile | None:
    with StatusFile(path) as file:
        return Profile.of(file)


def results(run: RunOnDisk) -> list[journal.Accepted | journal.Failed]:
    return run.entries(journal.Accepted, journal.Failed)  # type: ignore[return-value]


def test_steps_that_say_nothing_are_told_as_a_whole(campaign: RunOnDisk) -> None:
    status = campaign.status()
    assert set(status.profile["part"]) == {"whole"}
    assert len(status.profile) == len(status.steps) == len(results(campaign)) == 5
    for name in ("job", "attempt", "step", "wall_s"):
        assert status.profile[name].tolist() == status.steps[name].tolist()


def test_the_table_is_plain_and_its_texts_stand_once(campaign: RunOnDisk) -> None:
    with h5py.File(campaign.directory / "status.h5") as file:
        table = file["profile"]
        assert table.dtype.names == ("job", "attempt", "step", "part", "wall_s")
        assert table.compression is None
        assert table.dtype.itemsize == 15
        names = h5py.check_enum_dtype(table.dtype["part"])
        assert names == {part.name.lower(): part.value for part in Part}
        assert file["step_names"]["name"].tolist() == [b"generate", b"noop"]


def test_all_of_the_ranks_time_is_told(campaign: RunOnDisk) -> None:
    profile = profile_of(campaign.directory / "status.h5")
    assert profile is not None
    status = campaign.status()
    # Job 2 was given its two events twice.
    assert {step.step: step.events for step in profile.steps} == {"generate": 6, "noop": 6 + 2}
    for step in profile.steps:
        own = status.steps[status.steps["step"] == step.step]
        assert step.parts == ()
        assert step.wall_s == pytest.approx(own["wall_s"].sum(), abs=1e-4)
        assert step.cpu_s == pytest.approx(own["cpu_s"].sum(), abs=1e-4)
    in_steps = sum(step.wall_s for step in profile.steps)
    of_attempts = status.attempts["wall_s"].sum()
    assert profile.around_s == pytest.approx(of_attempts - in_steps, abs=1e-4)
    assert profile.lost_s == 0.0
    lasted = status.attributes["updated"] - status.attributes["started"]
    assert profile.ranks_s == pytest.approx(lasted, abs=1e-3)


def test_the_journal_has_it_and_gives_it_back(campaign: RunOnDisk, tmp_path: Path) -> None:
    rows = [row for entry in results(campaign) for row in entry.steps]
    assert all(row[5] == {"whole": row[1]} for row in rows)
    copy = tmp_path / "20260101000000" / "journal.jsonl"
    copy.parent.mkdir()
    book = Journal(copy)
    book.append(*campaign.entries())
    book.close()
    assert copy.read_bytes() == campaign.journal.read_bytes()
    ledger = replay(copy)
    assert np.array_equal(ledger.profile, campaign.ledger().profile)
    write_status(
        copy.parent / "status.h5",
        ledger,
        settings=campaign.status().attributes["settings"],
        state="complete",
    )
    assert read_status(copy.parent).profile.tolist() == campaign.status().profile.tolist()


def test_parts_come_back_from_the_journal(campaign: RunOnDisk) -> None:
    parts = {"start": 0.25, "acts": 2.5, "other": 0.125}
    entries = campaign.entries()
    for entry in results(campaign):
        entry.steps[0][5] = parts
    changed = list(entries)
    for place, entry in enumerate(entries):
        if isinstance(entry, journal.Accepted | journal.Failed):
            entry.steps[0][5] = parts
            changed[place] = entry
    profile = fold(changed, campaign.journal).profile
    assert len(profile) == 5 * 3
    assert profile["part"].tolist() == 5 * [Part.START, Part.ACTS, Part.OTHER]
    assert profile["wall_s"].tolist() == 5 * list(parts.values())


@pytest.mark.parametrize(
    "wrong", [5, None, "acts", {"idling": 1.0}, {"acts": "long"}, {"acts": None}, [[1, 2.0]]]
)
def test_what_no_hvmpi_wrote_is_refused(campaign: RunOnDisk, wrong: object) -> None:
    entries = campaign.entries()
    accepted = next(entry for entry in entries if isinstance(entry, journal.Accepted))
    accepted.steps[0][5] = wrong
    with pytest.raises(JournalError, match="does not follow"):
        fold(entries, campaign.journal)


def test_a_run_that_was_not_asked_says_so(place: Place) -> None:
    assert place.hvmpi(*WORDS, *shell('cat "$3" > "$4"')).code == 0
    run = place.run()
    assert all(len(row) == 5 for entry in results(run) for row in entry.steps)
    assert len(run.ledger().profile) == 0
    status = run.status()
    assert len(status.profile) == 0
    assert status.profile.dtype.names == ("job", "attempt", "step", "part", "wall_s")
    with h5py.File(run.directory / "status.h5") as file:
        assert "profile" not in file
    answer = place.hvmpi("status", "--profile")
    assert answer.code == 2
    assert answer.complaint.startswith(f"run {run.timestamp} does not know where its time went")
    assert not answer.out


def test_a_rerun_may_ask(place: Place) -> None:
    mended = place.root / "mended"
    script = f'[ "$1" != 2 ] || [ -e "{mended}" ] || exit 3; cat "$3" > "$4"'
    assert place.hvmpi(*WORDS, "--max-attempts=1", *shell(script)).code == 1
    run = place.run()
    mended.touch()
    assert place.hvmpi("rerun", run.timestamp, "--profile").code == 0
    profile = run.status().profile
    assert profile[["job", "attempt", "part"]].tolist() == [(2, 2, "whole")]
    told = profile_of(run.directory / "status.h5")
    assert told is not None
    assert told.steps[0].events == 2
    assert told.waiting_s is None
    answer = place.hvmpi("status", "--profile")
    assert answer.code == 0
    assert "ranks waiting" not in answer.out
    assert "how long ranks waited is known" in answer.out
    noop = next(line for line in answer.out.splitlines() if line.startswith("noop"))
    assert noop.split()[1] == "all"


def test_a_file_of_before_is_read(campaign: RunOnDisk, tmp_path: Path) -> None:
    path = tmp_path / "status.h5"
    path.write_bytes((campaign.directory / "status.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["profile"], file["step_names"], file.attrs["launches"]
    assert len(read_status(path).profile) == 0
    assert profile_of(path) is None
