"""What a campaign makes of every way in which a transform of athena ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Place, RunOnDisk
from .campaigns import config
from .site import ROWS, StandIn

ATTEMPTS = {"permanent": 1, "once_more": 2, "resources": 3, "passing": 4}
"""With three attempts of a job's own and three that may be lost."""


@dataclass(frozen=True)
class Expected:
    """What is to become of a job whose transform ends in a row's way."""

    outcome: str
    failure: str
    reason: str
    """What its reason begins with."""
    line: str = ""
    """A part of the line of the log that is pointed at."""


PAYLOAD, SETUP, OUTPUT = "payload_failed", "setup_failed", "output_invalid"

FAILURES: Mapping[str, Expected] = {
    "unknown argument": Expected(SETUP, "permanent", "TRF_USAGE"),
    "wrong type": Expected(SETUP, "permanent", "TRF_ARG_CONV_FAIL"),
    # Its input can be read from here.
    "input missing": Expected(PAYLOAD, "passing", "TRF_INPUT_FILE_ERROR"),
    "athena failed in execute": Expected(PAYLOAD, "once_more", "ATHENA_EXECUTE"),
    "athena failed in initialize": Expected(PAYLOAD, "once_more", "ATHENA_INITIALIZE"),
    "athena: database": Expected(PAYLOAD, "passing", "ATHENA_DATABASE"),
    "athena: bad options": Expected(PAYLOAD, "permanent", "ATHENA_OPTION"),
    "athena: include": Expected(PAYLOAD, "permanent", "ATHENA_INCLUDE"),
    "athena left its output": Expected(PAYLOAD, "once_more", "ATHENA_EXECUTE"),
    "athena segfaulted": Expected(PAYLOAD, "once_more", "ATHENA_CRASHED"),
    "athena was killed": Expected(PAYLOAD, "passing", "ATHENA_SIGNAL"),
    "output missing": Expected(OUTPUT, "once_more", "TRF_EXEC_VALIDATION_FAIL"),
    "output corrupt": Expected(OUTPUT, "once_more", "TRF_EXEC_VALIDATION_FAIL"),
    "output truncated": Expected(OUTPUT, "once_more", "TRF_EXEC_VALIDATION_FAIL"),
    "output empty": Expected(OUTPUT, "once_more", "TRF_EXEC_VALIDATION_FAIL"),
    "output far too short": Expected(OUTPUT, "once_more", "TRF_EXEC_VALIDATION_EVENTCOUNT"),
    "error in log": Expected(PAYLOAD, "once_more", "TRF_EXEC_LOGERROR", "ERROR it went wrong"),
    "fatal in log": Expected(PAYLOAD, "once_more", "TRF_EXEC_LOGERROR", "FATAL it went wrong"),
    "bad_alloc in log": Expected("out_of_memory", "resources", "NO_MEMORY", "std::bad_alloc"),
    "ReadBuffer in log": Expected(PAYLOAD, "passing", "FILE_SYSTEM", "<TFile::ReadBuffer>"),
    "no events": Expected(PAYLOAD, "permanent", "TRF_NOEVENTS"),
    "unreadable input": Expected(PAYLOAD, "passing", "TRF_UNEXPECTED_OTHER_EXCEPTION"),
    "no DBRelease": Expected(SETUP, "passing", "TRF_DBRELEASE_PROBLEM"),
    "release failed": Expected(SETUP, "passing", "TRF_EXEC_SETUP_FAIL"),
    "release wrapper failed": Expected(SETUP, "passing", "TRF_EXEC_SETUP_WRAPPER"),
    "timeout": Expected(PAYLOAD, "passing", "TRF_EXEC_TIMEOUT"),
    "out of memory": Expected("out_of_memory", "resources", "NO_MEMORY", "FATAL out of memory"),
    "frontier": Expected(PAYLOAD, "passing", "FRONTIER", "valid frontier connection"),
    "G4Exception": Expected(PAYLOAD, "once_more", "G4EXCEPTION", "G4Exception-START"),
    "Python traceback": Expected(PAYLOAD, "once_more", "PYTHON_TRACEBACK", "NameError"),
    "SIGTERM to the transform": Expected(PAYLOAD, "passing", "TRF_SIGNAL"),
    "SIGKILL to the transform": Expected(PAYLOAD, "passing", "TRF_SIGNAL"),
    "SIGHUP to the transform": Expected(PAYLOAD, "passing", "ATHENA_SIGNAL"),
    "SIGXCPU to the transform": Expected(PAYLOAD, "passing", "ATHENA_SIGNAL"),
    "no report": Expected(OUTPUT, "once_more", "NO_REPORT"),
    "torn report": Expected(OUTPUT, "once_more", "NO_REPORT"),
    "unnoticed: output missing": Expected(OUTPUT, "once_more", "NO_OUTPUT"),
    "unnoticed: output corrupt": Expected(OUTPUT, "once_more", "BAD_OUTPUT"),
    "unnoticed: output truncated": Expected(OUTPUT, "once_more", "BAD_OUTPUT"),
    "unnoticed: output empty": Expected(OUTPUT, "once_more", "BAD_OUTPUT"),
    "unnoticed: output short": Expected(OUTPUT, "once_more", "SHORT_OUTPUT"),
    "unnoticed: report overstates": Expected(OUTPUT, "once_more", "BAD_OUTPUT"),
}
SUCCESSES = ("success", "children left", "children in own group left")


def campaign(place: Place, standin: StandIn, transform: str, row: str) -> tuple[int, RunOnDisk]:
    """Run a campaign of one job whose transform ends in a row's way; give its code and run."""
    chosen = config(
        place,
        standin,
        ["s2608", "r7773"],
        job_size=5,
        keep=["hits", "aod"],
        max_attempts=3,
        max_lost=3,
    )
    standin.evnt(place.root / "evnt", 5)
    standin.misbehave(ROWS[row].does, transform=transform)
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    return answer.code, place.run()


def everything_in(run: RunOnDisk) -> list[str]:
    """List what lies where products are published, hidden files too."""
    return sorted(name for kind in ("hits", "aod") for name in run.files(kind))


def pointed_at(run: RunOnDisk) -> tuple[Path, str]:
    """Give the log that the last attempt's failure points at, and the line of it."""
    (*_, last) = run.status().attempts
    name, _, number = last["where"].partition(":")
    log = run.directory / f"logs/0000/job00000000/attempt{last['attempt']}" / name
    return log, log.read_text().splitlines()[int(number) - 1] if number else ""


def test_all_rows_are_known_here() -> None:
    assert {*FAILURES, *SUCCESSES} == set(ROWS)


@pytest.mark.parametrize("row", FAILURES)
def test_a_failure_has_its_name_and_its_retries_and_publishes_nothing(
    place: Place, standin: StandIn, row: str
) -> None:
    expected = FAILURES[row]
    code, run = campaign(place, standin, "Reco_tf.py", row)
    assert code == 1
    status = run.status()
    (job,) = status.jobs
    assert (job["state"], job["outcome"]) == ("failed", expected.outcome), job["reason"]
    assert job["failure"] == expected.failure, job["reason"]
    assert job["reason"].startswith(f"{expected.reason}: r7773 "), job["reason"]
    attempts = ATTEMPTS[expected.failure]
    assert job["attempts"] == len(status.attempts) == attempts
    assert set(status.attempts["reason"]) == {job["reason"]}
    assert len(standin.calls("Reco_tf.py")) == attempts
    assert everything_in(run) == []
    assert not list((run.directory / "tmp").rglob("*"))
    log, line = pointed_at(run)
    assert log.is_file()
    assert expected.line in line
    assert standin.alive() == []


@pytest.mark.parametrize("row", SUCCESSES)
def test_a_success_is_published_and_leaves_no_process(
    place: Place, standin: StandIn, row: str
) -> None:
    code, run = campaign(place, standin, "Reco_tf.py", row)
    assert code == 0
    stem = "304795.5.1.5.0"
    assert everything_in(run) == [f"{stem}.HITS.pool.root", f"{stem}.aod.pool.root"]
    assert run.status().jobs[0]["events_out"] == 5
    assert standin.alive() == []


# What goes away behind the look at the host


def behind_the_look(place: Place, what: str) -> str:
    """Write a script of the site that does something in every step of a job; give its path."""
    looked, script = place.root / "looked", place.root / "site.sh"
    script.write_text(f"if [ -e {looked} ]; then {what}; fi\ntouch {looked}\n")
    return str(script)


@pytest.mark.parametrize("runtime", ["none", "apptainer", "atlas"])
@pytest.mark.parametrize("how", ["fatal", "missing"])
def test_a_release_that_goes_away_is_named_in_the_reason(
    place: Place, standin: StandIn, runtime: str, how: str
) -> None:
    releases = standin.cvmfs / "AtlasSetup/releases.txt"
    says = f"sed -i 's/^19.2.3.7 .*/19.2.3.7 {how}/' {releases}"
    site = {"setup_script": behind_the_look(place, says)}
    if runtime != "none":
        site["container"] = "slc6"
    if runtime == "atlas":
        site["container_runtime"] = "atlas"
    standin.evnt(place.root / "evnt", 2)
    chosen = config(place, standin, ["s2608"], site=site, keep=["hits"], max_lost=1)
    assert place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt").code == 1
    run = place.run()
    (job,) = run.status().jobs
    assert (job["outcome"], job["failure"], job["attempts"]) == ("setup_failed", "passing", 2)
    assert job["reason"].startswith("SETUP_FAILED: s2608 could not be set up: asetup ")
    assert "AtlasSetup(FATAL)" in pointed_at(run)[1]
    assert "AtlasSetup(FATAL)" in job["reason"]
    assert standin.calls() == []


def test_a_container_that_cannot_be_mounted_is_tried_again(place: Place, standin: StandIn) -> None:
    bound = place.root / "phys"
    bound.mkdir()
    standin.evnt(place.root / "evnt", 2)
    # The look at the host is the last that sees it.
    (place.root / "site.sh").write_text(f"rmdir {bound}\n")
    site = {
        "container": "slc6",
        "binds": [str(bound)],
        "setup_script": str(place.root / "site.sh"),
    }
    chosen = config(place, standin, ["s2608"], site=site, keep=["hits"], max_lost=1)
    assert place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt").code == 1
    run = place.run()
    (job,) = run.status().jobs
    assert (job["outcome"], job["failure"], job["attempts"]) == ("setup_failed", "passing", 2)
    assert job["reason"].startswith("CONTAINER: s2608 ")
    assert "mount hook function failure" in pointed_at(run)[1]


# Codes that disagree


@pytest.mark.parametrize(
    ("does", "reason"),
    [({"rc": 65, "shell": 0}, "ATHENA_EXECUTE"), ({"shell": 1}, "NEEDCHECK")],
)
def test_exit_code_and_report_are_believed_only_together(
    place: Place, standin: StandIn, does: Mapping[str, Any], reason: str
) -> None:
    standin.evnt(place.root / "evnt", 2)
    standin.misbehave(does)
    chosen = config(place, standin, ["s2608"], keep=["hits"], max_attempts=1)
    assert place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt").code == 1
    (job,) = place.run().status().jobs
    assert (job["outcome"], job["failure"]) == ("payload_failed", "once_more")
    assert job["reason"].startswith(f"{reason}: s2608 "), job["reason"]
    assert place.run().files("hits") == []


def test_another_attempt_may_do_better(place: Place, standin: StandIn) -> None:
    standin.evnt(place.root / "evnt", 2)
    standin.misbehave({"signal": 11, "leave_output": True}, transform="Reco_tf.py", times=1)
    chosen = config(place, standin, ["s2608", "r7773"], keep=["hits", "aod"])
    assert place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt").code == 0
    run = place.run()
    assert list(run.status().attempts["outcome"]) == ["payload_failed", "done"]
    first, again = standin.calls("Reco_tf.py")
    assert first.directory != again.directory
    assert first.argv[1:] == again.argv[1:]
    assert len(everything_in(run)) == 2
    assert place.hvmpi("verify").code == 0
