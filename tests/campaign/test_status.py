"""status.h5: its schema, and what `read_status` joins."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

import hvmpi
from hvmpi.campaign.jobs import FailureClass, JobState, Kind, Outcome
from hvmpi.campaign.status import read_status
from hvmpi.errors import InputError
from tests.conftest import Place, RunOnDisk, clean_environment, shell, wait_for

JOBS = [
    "job", "kind", "state", "outcome", "failure", "attempts", "run_number", "event_file",
    "skip_events", "first_event", "events", "events_out", "host", "rank", "started", "wall_s",
    "cpu_s", "max_rss_mb", "exit_code", "reason", "where", "job_size",
]  # fmt: skip
ATTEMPTS = [
    "job", "attempt", "host", "rank", "started", "wall_s", "cpu_s", "max_rss_mb", "exit_code",
    "signal", "outcome", "failure", "reason", "where", "decision",
]  # fmt: skip
STEPS = ["job", "attempt", "step", "wall_s", "cpu_s", "max_rss_mb", "exit_code"]
LEFT_OUT = ["host", "rank", "reason"]
EVENT_FILES = ["path", "sample", "run_number", "batch", "events", "size", "sha256"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunOnDisk:
    """A run of one batch with three jobs, of which the second failed for good."""
    place = Place(tmp_path_factory.mktemp("status"), clean_environment())
    script = '[ "$1" != 2 ] || exit 3; cat "$3" > "$4"'
    words = ("run", "-b6", "-n1", "--job-size=2", *shell(script), f"--run-dir={place.run_dir}")
    assert place.hvmpi(*words).code == 1
    return place.run()


@pytest.fixture
def file(finished: RunOnDisk) -> h5py.File:
    with h5py.File(finished.directory / "status.h5") as opened:
        yield opened


def test_root_attributes(file: h5py.File, finished: RunOnDisk) -> None:
    attributes = dict(file.attrs)
    assert attributes["schema"] == "hvmpi-status"
    assert attributes["timestamp"] == finished.timestamp
    assert attributes["state"] == "incomplete"
    assert attributes["hvmpi_version"] == hvmpi.__version__
    assert attributes["command_line"].startswith("python -m hvmpi")
    assert json.loads(attributes["settings"])["job-size"] == 2
    assert 1.7e9 < attributes["started"] < attributes["updated"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("jobs", JOBS),
        ("attempts", ATTEMPTS),
        ("steps", STEPS),
        ("event_files", EVENT_FILES),
        ("left_out", LEFT_OUT),
    ],
)
def test_fields(file: h5py.File, name: str, fields: list[str]) -> None:
    there = list(file[name].dtype.names)
    assert there[: len(fields)] == fields
    assert file[name].compression is None
    if name != "event_files":
        assert there == fields
        assert file[name].dtype.itemsize < 120


def test_enums(file: h5py.File) -> None:
    for field, enum in (("kind", Kind), ("state", JobState), ("outcome", Outcome)):
        names = h5py.check_enum_dtype(file["jobs"].dtype[field])
        assert names == {member.name.lower(): member.value for member in enum}
    for field in ("outcome", "failure"):
        assert h5py.check_enum_dtype(file["attempts"].dtype[field]) is not None
    names = h5py.check_enum_dtype(file["jobs"].dtype["failure"])
    assert names == {member.name.lower(): member.value for member in FailureClass}
    assert _names(file, "failure") == ("none passing resources once_more permanent check_the_files")
    # As the design spells them, in the order of their values.
    assert _names(file, "kind") == "generation library reconstruction merge"
    assert _names(file, "state") == "waiting ready running done failed"
    assert _names(file, "outcome") == (
        "none done bad_input setup_failed payload_failed output_invalid "
        "timed_out out_of_memory worker_lost interrupted"
    )


def _names(file: h5py.File, field: str) -> str:
    names = h5py.check_enum_dtype(file["jobs"].dtype[field])
    return " ".join(sorted(names, key=names.__getitem__))


def test_rows_refer_to_texts_that_stand_once(file: h5py.File) -> None:
    jobs, attempts = file["jobs"][()], file["attempts"][()]
    assert file["hosts"].dtype.names == ("name",)
    assert file["reasons"].dtype.names == ("text",)
    assert len(file["hosts"]) == 1
    assert file["reasons"]["text"].tolist() == [
        b"noop ended with code 3",
        b"payload failed: again, 1 of 2 attempts used",
        b"payload failed: the 2 attempts are used up",
    ]
    assert file["places"].dtype.names == ("text",)
    assert file["places"]["text"].tolist() == [b"noop.log"]
    assert jobs["reason"].tolist() == [-1, -1, 0, -1]
    assert attempts["reason"].tolist() == [-1, -1, 0, 0, -1]
    assert attempts["decision"].tolist() == [-1, -1, 1, 2, -1]
    assert jobs["where"].tolist() == [-1, -1, 0, -1]
    assert attempts["where"].tolist() == [-1, -1, 0, 0, -1]
    assert set(jobs["event_file"]) == {0}


def test_rows(file: h5py.File) -> None:
    jobs = file["jobs"][()]
    assert jobs["events_out"].tolist() == [6, 2, -1, 2]
    assert jobs["exit_code"].tolist() == [0, 0, 3, 0]
    assert jobs["attempts"].tolist() == [1, 1, 2, 1]
    assert np.all(jobs["wall_s"] > 0)
    assert np.all(jobs["max_rss_mb"] > 0)
    assert file["steps"]["step"].tolist() == [b"generate", *[b"noop"] * 4]
    assert file["steps"]["exit_code"].tolist() == [0, 0, 3, 3, 0]


def test_text_is_as_wide_as_the_longest_value(file: h5py.File) -> None:
    kind = h5py.check_string_dtype(file["event_files"].dtype["path"])
    assert kind.encoding == "utf-8"
    assert kind.length == len("evnt/304795.6.1.evnt.txt")


def test_read_status_joins_the_tables(finished: RunOnDisk) -> None:
    status = hvmpi.read_status(finished.directory / "status.h5")
    jobs = status.jobs
    assert jobs["kind"].tolist() == ["generation"] + ["reconstruction"] * 3
    assert jobs["state"].tolist() == ["done", "done", "failed", "done"]
    assert jobs["outcome"].tolist() == ["done", "done", "payload_failed", "done"]
    assert jobs["reason"].tolist() == ["", "", "noop ended with code 3", ""]
    assert set(jobs["sample"]) == {"whss"}
    outputs = [Path(path) for path in jobs["output"] if path]
    assert [path.name for path in outputs] == [
        "304795.6.1.evnt.txt", "304795.6.1.2.0.aod.txt", "304795.6.1.2.4.aod.txt",
    ]  # fmt: skip
    assert all(path.is_file() for path in outputs)
    assert jobs["output"][2] == ""
    assert (Path(jobs["log"][2]) / "attempt2" / "noop.log").is_file()
    assert jobs["failure"].tolist() == ["none"] * 4
    assert jobs["where"].tolist() == ["", "", "noop.log", ""]
    assert status.attempts["decision"].tolist() == [
        "", "", "payload failed: again, 1 of 2 attempts used",
        "payload failed: the 2 attempts are used up", "",
    ]  # fmt: skip
    assert status.attempts["outcome"].tolist().count("payload_failed") == 2
    assert status.attributes["settings"]["job-size"] == 2


def test_a_file_of_before_left_out_was_in_it_can_be_read(
    finished: RunOnDisk, tmp_path: Path
) -> None:
    run = tmp_path / finished.timestamp
    run.mkdir()
    path = run / "status.h5"
    path.write_bytes((finished.directory / "status.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["left_out"]
    left_out = read_status(path).left_out
    assert (len(left_out), list(left_out.dtype.names)) == (0, LEFT_OUT)


def test_long_and_foreign_texts_are_not_cut(place: Place) -> None:
    name = "größe-" + "粒子" * 20
    place.event_file(name, range(1, 4))
    assert place.hvmpi("reconstruct", "--evnt-dir=evnt", "--engine=noop").code == 0
    status = place.run().status()
    assert status.event_files["path"].tolist() == [str(place.root / f"evnt/{name}.evnt.txt")]


def test_a_run_without_jobs_can_be_read(place: Place) -> None:
    place.event_file("empty", [])
    assert place.hvmpi("reconstruct", "--evnt-dir=evnt", "--engine=noop").code == 1
    status = place.run().status()
    assert (len(status.jobs), len(status.event_files)) == (0, 1)
    assert place.hvmpi("status").code == 0


def test_it_is_read_while_the_run_goes_on(place: Place) -> None:
    place.event_file("304795.20.1", range(1, 21))
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=1", *shell('sleep 0.3; touch "$4"'))
    process = place.start(*words)
    wait_for(lambda: place.runs() and (place.runs()[0].directory / "status.h5").exists())
    path = place.run().directory / "status.h5"
    states, done = set(), set()
    while process.poll() is None:
        status = read_status(path)
        states.add(status.attributes["state"])
        done.add(int(np.count_nonzero(status.jobs["state"] == "done")))
        assert place.hvmpi("status").code == 0
    assert place.finish(process).code == 0
    assert "running" in states
    # More than one snapshot was seen.
    assert len(done) > 1
    assert read_status(path).attributes["state"] == "complete"


def test_after_a_signal_the_job_that_ran_is_ready(place: Place) -> None:
    place.event_file("304795.2.1", [1, 2])
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=1", *shell("exec sleep 600"))
    process = place.start(*words)
    wait_for(lambda: place.runs() and (place.runs()[0].directory / "tmp").exists())
    process.send_signal(signal.SIGTERM)
    assert place.finish(process).code == 3
    jobs = place.run().status().jobs
    assert jobs["state"].tolist() == ["ready", "ready"]


def test_what_is_no_status_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "status.h5"
    with pytest.raises(InputError, match="cannot be read"):
        read_status(path)
    path.write_text("jobs\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_status(path)
    with h5py.File(path, "w") as file:
        file.attrs["schema"], file.attrs["schema_version"] = "hvmpi-status", 9
    with pytest.raises(InputError, match="hvmpi-status version 9, expected hvmpi-status"):
        read_status(path)
