"""The jobs of a run as JSON and CSV: every job, every word, and what was asked for only."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from hvmpi.campaign.status import StatusFile, read_status
from hvmpi.view import export
from tests.conftest import Place, RunOnDisk
from tests.view.conftest import REASON, Telling


def read_json(place: Place, *words: str) -> dict[str, Any]:
    answer = place.hvmpi("status", "--json", *words)
    assert (answer.code, answer.err) == (0, "")
    found: dict[str, Any] = json.loads(answer.out)
    return found


def read_csv(place: Place, *words: str) -> list[dict[str, str]]:
    answer = place.hvmpi("status", "--csv", *words)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("\r\n") == len(list(csv.reader(io.StringIO(answer.out, newline=""))))
    return list(csv.DictReader(io.StringIO(answer.out, newline="")))


def test_json_has_the_totals_and_each_job(place: Place, going: Telling) -> None:
    found = read_json(place)
    assert (found["schema"], found["schema_version"]) == (export.SCHEMA, export.SCHEMA_VERSION)
    assert (found["run"], found["state"]) == (going.directory.name, "running")
    states = {"waiting": 0, "ready": 2, "running": 2, "done": 2, "failed": 2, "ahead": 1}
    assert found["states"] == states
    assert found["kinds"]["reconstruction"] == {"jobs": 9, "done": 2, "events": 4}
    assert found["jobs_per_hour"] == pytest.approx(72.0, rel=0.1)
    assert found["left_s"] > 0
    (failure,) = found["failures"]
    assert (failure["jobs"], failure["first_job"], failure["reason"]) == (2, 2, REASON)
    jobs = found["jobs"]
    assert [list(job) for job in jobs] == [list(export.COLUMNS)] * 9
    assert [job["job"] for job in jobs] == list(range(9))
    assert jobs[1]["wall_s"] == 20.0
    assert (jobs[2]["reason"], jobs[2]["exit_code"], jobs[2]["sample"]) == (REASON, 3, "größe")
    assert (jobs[4]["state"], jobs[4]["exit_code"]) == ("running", None)
    assert jobs[4]["wall_s"] == pytest.approx(90.0, abs=5.0)
    assert (jobs[6]["state"], jobs[6]["wall_s"], jobs[6]["rank"]) == ("ahead", None, 1)
    assert (jobs[8]["host"], jobs[8]["started"], jobs[8]["outcome"]) == (None, None, None)


def test_csv_says_the_same_as_json(place: Place, going: Telling) -> None:
    going.write("incomplete")
    (going.directory / "lock.json").unlink()
    for row, job in zip(read_csv(place), read_json(place)["jobs"], strict=True):
        for name, value in job.items():
            told = "" if value is None else str(value).replace("\x1b", "\\x1b")
            assert row[name] == told, name


@pytest.mark.usefixtures("going")
def test_what_is_asked_for_only(place: Place) -> None:
    words = ("--host=tev02", "--state=running")
    found = read_json(place, *words)
    assert [job["job"] for job in found["jobs"]] == [5]
    assert sum(found["states"].values()) == 9
    assert [row["job"] for row in read_csv(place, *words)] == ["5"]
    assert read_csv(place, "--state=waiting") == []
    assert read_json(place, "--state=waiting")["jobs"] == []
    assert place.hvmpi("status", "--json", "--host=x").out == ""


def test_jobs_of_a_real_run(
    place: Place, finished_run: RunOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvmpi.campaign.status._PART", 3)
    words = (f"--run-dir={finished_run.directory.parent}", finished_run.timestamp)
    jobs = read_json(place, *words)["jobs"]
    status = read_status(finished_run.directory)
    for name in ("job", "kind", "state", "sample", "events_out", "output", "log"):
        if name == "sample":
            continue
        assert [job[name] for job in jobs] == status.jobs[name].tolist(), name
    assert all(Path(job["output"]).is_file() for job in jobs)
    # A merge is of no sample, and of no one run.
    merge = jobs[-1]
    assert (merge["kind"], merge["sample"], merge["run_number"]) == ("merge", None, None)


@pytest.mark.usefixtures("going")
def test_a_file_that_is_damaged_behind_its_beginning_is_not_read_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_(*_: object) -> None:
        raise ValueError("no such text")

    monkeypatch.setattr(StatusFile, "joined_jobs", break_)
    answer = place.hvmpi("status", "--csv")
    assert answer.code == 2
    assert answer.out.count("job,kind") == 1
    assert "is not whole" in answer.complaint
