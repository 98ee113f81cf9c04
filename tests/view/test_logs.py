"""``status --log``: what a job's newest attempt wrote, in a pager where a person reads it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from hvmpi.campaign import journal
from tests.conftest import Place, RunOnDisk, shell
from tests.view.conftest import Telling, in_terminal

SCRIPT = '[ "$1" = 1 ] || { touch "$4"; exit; }; printf "try $2 of [red]\\033[31m\\rred\\n"; exit 3'


@pytest.fixture
def told(place: Place) -> RunOnDisk:
    """A run of two jobs, the second of which failed twice with a word."""
    place.event_file("a", range(1, 5))
    assert place.hvmpi("reconstruct", "--evnt-dir=evnt", "-b2", *shell(SCRIPT)).code == 1
    return place.run()


def test_the_log_of_the_newest_attempt_is_printed_with_its_path(
    place: Place, told: RunOnDisk
) -> None:
    answer = place.hvmpi("status", "--log", "1")
    log = told.directory / "logs/0000/job00000001/attempt2/noop.log"
    assert answer.code == 0
    assert answer.out == f"==> {log} <==\ntry 2 of [red]\\x1b[31m\\rred\n"


def test_all_steps_of_an_attempt_are_shown_in_their_order(place: Place, told: RunOnDisk) -> None:
    folder = told.directory / "logs/0000/job00000001/attempt3"
    (folder / "reco").mkdir(parents=True)
    for age, (name, text) in enumerate([("simu.log", "last"), ("reco/log.A", b"\xff\n")]):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(folder / name, (10 + age, 10 + age))
    (told.directory / "logs/0000/job00000001/attempt4").mkdir()
    assert place.hvmpi("status", "--log", "1").out == (
        f"==> {folder}/simu.log <==\nlast\n\n==> {folder}/reco/log.A <==\n\\xff\n"
    )


def test_a_person_gets_a_pager(place: Place, told: RunOnDisk) -> None:
    seen = in_terminal(place, "status", "--log=1", PAGER="sed 's/^/paged: /'")
    assert [line[:11] for line in seen.letters] == ["paged: ==> ", "paged: try "]
    for pager in ("/no/such/pager", "'"):
        assert in_terminal(place, "status", "--log=1", PAGER=pager).letters[1][:5] == "try 2"
    # Who has read enough of a long log is nobody's mistake.
    log = told.directory / "logs/0000/job00000001/attempt2/noop.log"
    log.write_text("line\n" * 100_000)
    seen = in_terminal(place, "status", "--log=1", PAGER="head -n 2")
    assert (seen.code, seen.letters) == (0, [f"==> {log} <==", "line"])


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        (0, "job 0 is done, and its logs are removed; those of a run with --keep-logs stay"),
        (2, "has no job 2; its jobs are 0 to 1"),
        (-1, "has no job -1; its jobs are 0 to 1"),
    ],
)
def test_a_job_without_a_log(place: Place, job: int, complaint: str) -> None:
    answer = place.hvmpi("status", "--log", str(job))
    assert answer.code == 2
    assert answer.complaint.endswith(complaint)
    assert answer.out == ""


@pytest.mark.usefixtures("told")
def test_logs_that_were_cleaned_away(place: Place) -> None:
    assert place.hvmpi("clean", "--yes").code == 0
    complaint = place.hvmpi("status", "--log", "1").complaint
    assert complaint.startswith("job 1 (failed) has no log in ")


def test_a_job_that_never_began_says_why(place: Place, begin: Callable[..., Telling]) -> None:
    told = begin(2)
    told.ledger.apply(journal.FilePutAside(0, "the event file is empty"))
    told.write()
    assert place.hvmpi("status", "--log", "0").complaint == (
        "job 0 has no log: it is failed, and no attempt began (the event file is empty)"
    )
