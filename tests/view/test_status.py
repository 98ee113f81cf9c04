"""The status of a run as a person sees it: in a pipe, in terminals of all sorts, and by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from hvmpi.view.text import cells
from tests.conftest import Place, shell
from tests.view.conftest import Telling, in_terminal

SHOWN = """\
JOB STATE   TRY RANK HOST  EVENTS   TIME    RSS EXIT REASON
  0 done      1    1 tev01      2 10.0 s 280 MB    0
  1 done      1    2 tev02      2 20.0 s 280 MB    0
  2 failed    1    3 tev01      2  1.0 s   0 MB    3 [red]no wire, "loose"[/re…
  3 failed    1    3 tev01      2  1.0 s   0 MB    3 [red]no wire, "loose"[/re…
  4 running   1    1 tev01      2   1:30      -    -
  5 running   1    2 tev02      2   1:20      -    -
  6 ahead     1    1 tev01      2      -      -    -
  7 ready     0    -     -      2      -      -    -
  8 ready     0    -     -      2      -      -    -
"""


def rows(out: str) -> list[list[str]]:
    """Give the first two cells of each row of the table."""
    return [line.split()[:2] for line in out.partition("\n\n")[0].splitlines()[1:]]


def test_the_table_tells_of_every_job_in_80_columns(place: Place, going: Telling) -> None:
    table, _, below = place.hvmpi("status").out.partition("\n\n")
    assert [line.split()[:6] for line in table.splitlines()] == [
        line.split()[:6] for line in SHOWN.splitlines()
    ]
    assert max(map(cells, table.splitlines())) == 80
    log = going.directory / "logs/0000/job00000002/attempt1/chain.log:7"
    told = below.splitlines()
    assert told[1:4] == [
        "9 jobs: 2 done, 2 running, 1 ahead, 2 ready, 2 failed",
        "done: reconstruction 2 of 9",
        "events: 4 reconstructed",
    ]
    assert told[4].startswith("rate: 72 jobs/h, 144 events/h; left: about ")
    assert '[red]no wire, "loose"[/red] \\x1b[31m 粒子' in below
    assert f"\n  {log}\n" in below


@pytest.mark.usefixtures("going")
def test_what_a_rank_has_and_does_not_run_is_ahead(place: Place) -> None:
    assert rows(place.hvmpi("status", "--state=running").out) == [
        ["4", "running"],
        ["5", "running"],
    ]
    assert rows(place.hvmpi("status", "--state=ahead").out) == [["6", "ahead"]]


def test_nobody_runs_a_job_when_the_master_is_gone(place: Place) -> None:
    words = ("reconstruct", "--evnt-dir=evnt", "-b1", "--max-attempts=1", *shell('touch "$4"'))
    place.event_file("a", range(1, 4))
    assert place.hvmpi(*words).code == 0
    path = place.run().journal
    lines = path.read_bytes().splitlines(keepends=True)
    # It ended behind the start of the second job.
    starts = [number for number, line in enumerate(lines) if b'"started"' in line]
    path.write_bytes(b"".join(lines[: starts[1] + 1]))
    (place.run().directory / "status.h5").unlink()
    out = place.hvmpi("status").out
    assert [state for _, state in rows(out)] == ["done", "ready", "ready"]
    assert f"run {place.run().timestamp} cut short" in out


@pytest.mark.usefixtures("going")
def test_jobs_of_one_host_and_one_state(place: Place) -> None:
    words = ("status", "--host=tev02")
    assert rows(place.hvmpi(*words).out) == [["1", "done"], ["5", "running"]]
    assert rows(place.hvmpi(*words, "--state=done").out) == [["1", "done"]]
    out = place.hvmpi(*words, "--state=failed").out
    assert out.splitlines()[1:3] == ["there is no such job", ""]
    complaint = place.hvmpi("status", "--host=tev03").complaint
    assert complaint.endswith("those that had are tev01, tev02")


def test_nothing_of_rich_is_loaded_for_a_pipe(place: Place, begin: Callable[..., Telling]) -> None:
    told = begin(2)
    told.done(0, 1, 0.0, 1.0)
    told.fail(1, 1, 1.0, "a reason that is too long for the table: größer als sein Platz")
    script = (
        "import sys; from hvmpi.__main__ import main; main(['status']);"
        "sys.exit(any(name.split('.')[0] in ('rich', 'psutil') for name in sys.modules))"
    )
    # The journal's lock is looked at with psutil: this run is over.
    (told.directory / "lock.json").unlink()
    told.write("incomplete")
    code = subprocess.run(
        [sys.executable, "-c", script],
        cwd=place.root,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        check=False,
    ).returncode
    assert code == 0


# In a terminal


@pytest.mark.usefixtures("going")
@pytest.mark.parametrize("columns", [40, 60, 80, 132])
def test_a_terminal_shows_the_letters_of_a_pipe_in_colours(
    place: Place, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = in_terminal(place, "status", columns=columns)
    monkeypatch.setenv("COLUMNS", str(columns))
    piped = place.hvmpi("status").out.splitlines()
    assert seen.code == 0
    assert seen.letters == piped
    assert "\x1b[1;31mfailed" in seen.text
    # Paths and commands are to be copied.
    assert all(
        cells(line) <= columns or str(place.root) in line or "-m hvmpi" in line for line in piped
    )
    assert piped[0].split()[:2] == ["JOB", "STATE"]


@pytest.mark.usefixtures("going")
@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_gets_none(place: Place, environ: dict[str, str]) -> None:
    seen = in_terminal(place, "status", **environ)
    assert "\x1b" not in seen.text
    assert seen.letters == place.hvmpi("status").out.splitlines()


@pytest.mark.usefixtures("going")
@pytest.mark.parametrize("verb", ["status", "diagnose", "verify"])
def test_what_ascii_does_not_know_stands_as_its_code(place: Place, verb: str) -> None:
    seen = in_terminal(place, verb, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert seen.text.isascii()
    assert "Traceback" not in seen.text
    if verb == "status":
        assert "..." in seen.letters[3]
        assert max(map(len, seen.letters[:9])) <= 80
        assert "\\u7c92\\u5b50" in seen.text


@pytest.mark.parametrize("words", [["status", "--all"], ["diagnose"], ["status", "--csv"]])
def test_a_reader_that_leaves_is_no_error(
    place: Place, begin: Callable[..., Telling], words: list[str]
) -> None:
    told = begin(2000)
    for job in range(2000):
        told.fail(job, 1, 0.0, f"reason {job}")
    told.write()
    command = f"{sys.executable} -m hvmpi {' '.join(words)} | head -1; echo ${{PIPESTATUS[0]}}"
    end = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=place.root,
        env=place.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert end.stderr == ""
    assert end.stdout.splitlines()[-1] == "0"


# What contradicts itself, and what is not there


@pytest.mark.usefixtures("going")
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--json", "--csv"], "not allowed with argument --json"),
        (["--log=1", "--watch"], "not allowed with argument --log"),
        (["--log=1", "--state=failed"], "--state has no meaning with --log"),
        (["--profile", "--host=tev01"], "--host has no meaning with --profile"),
        (["--watch", "--all"], "--all has no meaning with --watch"),
        (["--watch=0"], "--watch wants seconds"),
        (["--watch=nan"], "--watch wants seconds"),
        (["--log=x"], "invalid int value"),
        (["--state=asleep"], "invalid choice"),
        (["20260101000001"], "did you mean '20260101000000'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_line_that_makes_no_sense(place: Place, words: list[str], complaint: str) -> None:
    answer = place.hvmpi("status", *words)
    assert answer.code == 2
    assert complaint in answer.complaint
    assert answer.out == ""


def test_a_run_that_has_no_jobs_yet(place: Place, begin: Callable[..., Telling]) -> None:
    told = begin(3)
    assert not (told.directory / "status.h5").exists()
    answer = place.hvmpi("status")
    assert answer.code == 2
    assert "its jobs are not planned yet" in answer.complaint


# Again and again


def test_in_a_pipe_a_line_is_printed_when_something_changed(place: Place) -> None:
    place.event_file("a", range(1, 7))
    script = 'until [ -e go ]; do sleep 0.05; done; touch "$4"'
    script = script.replace("go", str(place.root / "go"))
    campaign = place.start("reconstruct", "--evnt-dir=evnt", "-b2", *shell(script))
    while not place.runs() or not (place.runs()[0].directory / "status.h5").exists():
        assert campaign.poll() is None
    watching = place.start("status", "--watch", "0.1")
    assert watching.stdout is not None
    first = watching.stdout.readline()
    assert " 0 of 3 jobs done" in first
    (place.root / "go").touch()
    answer = place.finish(watching)
    assert place.finish(campaign).code == 0
    assert answer.code == 0
    assert " complete: 3 of 3 jobs done; " in answer.out.splitlines()[-1]
    changes = [line.partition(" ")[2] for line in answer.out.splitlines()]
    assert len(changes) == len(set(changes))


def test_in_a_terminal_it_is_redrawn_until_the_run_is_over(place: Place, going: Telling) -> None:
    def end() -> None:
        going.write("incomplete")

    timer = threading.Timer(2.0, end)
    timer.start()
    seen = in_terminal(place, "status", "--watch", "0.1", rows=14)
    timer.join()
    assert seen.code == 0
    # The cursor went up again and again, and what stays is the last state.
    assert seen.text.count("\x1b[1A") > 10
    drawn, _, last = seen.text.rpartition("\x1b[2K")
    assert "running (" in drawn
    assert "incomplete (" in last
    assert "there are" not in last


@pytest.mark.usefixtures("going")
def test_ctrl_c_ends_it_well(place: Place) -> None:
    watching = place.start("status", "--watch", "0.2")
    assert watching.stdout is not None
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    answer = place.finish(watching)
    assert (answer.code, answer.err) == (0, "")


def test_what_follows_watch_may_be_the_run(place: Place, going: Telling) -> None:
    going.write("complete")
    answer = place.hvmpi("status", "--watch", going.directory.name)
    assert answer.code == 0
    assert " complete: 2 of 9 jobs done, 2 failed; " in answer.out


def test_a_run_that_ended_before_its_end_says_what_does_the_rest(place: Place) -> None:
    words = ["run", *shell("exec sleep 20"), "-n1", "-b2", "--time-limit=2", "--no-report"]
    assert place.hvmpi(*words).code == 3
    out = place.hvmpi("status").out
    assert f"rerun {place.run().timestamp} does the rest" in out
