"""The progress of a run, as a person sees it in a terminal and as a log has it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.pace import Pace
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.replay import fold
from hvmpi.engine import make_engine
from hvmpi.settings import load
from hvmpi.view.progress import Lines, per_time
from tests.conftest import LIMIT_S, MPIRUN, Place, noop

JOBS = ["run", "-n4", "-b10", "--job-size=5"]
"""Twelve, forty events; job 4 is one of reconstruction."""
_ONE_FAILS = '[ "$1" != 4 ] || exit 4'
QUICKLY = noop("/bin/sh", "-c", _ONE_FAILS, "sh", "{job}")
SLOWLY = noop("/bin/sh", "-c", f"{_ONE_FAILS}; sleep 0.4", "sh", "{job}")

ALONE = [sys.executable, "-m", "hvmpi"]
BARE = [*MPIRUN, "-n", "3", *ALONE]
SUPERVISED = [sys.executable, "-m", "hvmpi.supervisor", "--ranks", "3"]

_SIGN = re.compile(r"\x1b\[(\d*)([A-Za-z])|(.)", re.DOTALL)


class Screen:
    """What a terminal would show that is never wide enough to need a second line."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = self.column = 0

    def take(self, text: str) -> None:
        for number, control, sign in _SIGN.findall(text):
            if control == "A":
                self.row -= int(number or 1)
            elif control == "K":
                assert number == "2", text
                self.lines[self.row] = ""
            elif control:
                assert control == "m", f"control {number}{control}"
            elif sign == "\r":
                self.column = 0
            elif sign == "\n":
                self.row += 1
                self.lines += [""] * (self.row == len(self.lines))
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + sign + line[self.column + 1 :]
                self.column += 1


def watched(place: Place, command: list[str], columns: int = 200, **environ: str) -> list[Screen]:
    """Run a command in a terminal; give its screen each time that something came."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        command,
        cwd=place.root,
        env={**place.environment, "TERM": "xterm", **environ},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screens, text = [], b""
    try:
        while part := _read(ours):
            text += part
            screens.append(Screen())
            screens[-1].take(text.decode(errors="ignore"))
        assert process.wait(timeout=LIMIT_S) == 1
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return screens


def _read(file: int) -> bytes:
    try:
        return os.read(file, 65536)
    except OSError:
        return b""  # nobody has the other end any more


def bars(screen: Screen) -> list[str]:
    return [line for line in screen.lines if re.match(r"hvmpi: .*\d/40", line)]


@pytest.mark.parametrize("start", [ALONE, BARE, SUPERVISED], ids=["alone", "bare", "supervised"])
def test_a_person_sees_one_bar_that_moves(place: Place, start: list[str]) -> None:
    screens = watched(place, [*start, *JOBS, *SLOWLY])
    seen = [bars(screen) for screen in screens]
    assert max(map(len, seen)) == 1
    done = [int(re.findall(r"(\d+)/40 events", bar)[0]) for (bar,) in filter(None, seen)]
    assert done == sorted(done)
    assert done[-1] == 35
    # It moved while the run went on, not when mpirun was done.
    assert len(set(done)) > 2
    assert any("/s" in bar and " left" in bar for (bar,) in filter(None, seen))
    last = screens[-1].lines
    bar = last.index(seen[-1][0])
    assert re.fullmatch(
        r"hvmpi: ━+[╸╺]?━* 35/40 events  11/12 jobs  \S+/s  in \d+ s  1 failed *", last[bar]
    )
    # What was said stands above, whole; the table of the run begins below.
    assert last[0].startswith("hvmpi: run ")
    said = [line for line in last[:bar] if line.startswith("hvmpi: job 4 attempt")]
    assert [line.rpartition(" (")[2] for line in said] == [
        "payload failed: again, 1 of 2 attempts used)",
        "payload failed: the 2 attempts are used up)",
    ]
    assert last[bar + 1].startswith("JOB ")


def test_a_narrow_terminal_without_colours_and_utf8(place: Place) -> None:
    screens = watched(place, [*ALONE, *JOBS, *QUICKLY], columns=40, NO_COLOR="1", LC_ALL="C")
    (last,) = bars(screens[-1])
    assert last.isascii()
    assert re.fullmatch(r"hvmpi: 35/40( events)?  in \d+ s  1 failed", last)


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"HVMPI_PROGRESS": "line"}])
def test_lines_where_no_bar_would_work_or_none_is_wanted(
    place: Place, environ: dict[str, str]
) -> None:
    last = watched(place, [*ALONE, *JOBS, *QUICKLY], **environ)[-1]
    assert not bars(last)
    assert any("35 of 40 events" in line for line in last.lines)


@pytest.mark.parametrize(
    ("start", "choice"),
    [(ALONE, "bar"), (BARE, "bar"), (SUPERVISED, "auto")],
    ids=["alone", "bare", "supervised"],
)
def test_a_log_gets_lines_alone(place: Place, start: list[str], choice: str) -> None:
    (place.root / "campaign.toml").write_text(f'progress = "{choice}"\n')
    words = ["-c", "campaign.toml", *QUICKLY]
    ended = subprocess.run(
        [*start, *JOBS, *words],
        cwd=place.root,
        env={**place.environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.returncode == 1
    assert "\x1b" not in ended.stdout + ended.stderr
    assert "\r" not in ended.stdout
    lines = [line for line in ended.stdout.splitlines() if " of 40 events" in line]
    assert re.fullmatch(
        r"hvmpi: \d+ s: 35 of 40 events \(\S+\), 11 of 12 jobs done, 1 failed", lines[-1]
    )


def test_nothing_is_told_where_nothing_is_wanted(place: Place) -> None:
    answer = place.hvmpi(*JOBS, *QUICKLY, "--progress=none")
    assert answer.code == 1
    assert "events (" not in answer.out
    assert "hvmpi: job 4 attempt 2: payload_failed" in answer.out


def test_a_reader_that_leaves_does_not_end_the_run(place: Place) -> None:
    process = place.start(*JOBS, *SLOWLY)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("hvmpi: run ")
    process.stdout.close()
    process.wait(timeout=LIMIT_S)
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    place.started.remove(process)
    (ended,) = place.run().entries(journal.Ended)
    assert (ended.done, ended.failed, ended.left) == (11, 1, 0)


def test_a_rerun_may_choose_anew(place: Place) -> None:
    place.hvmpi(*JOBS, *QUICKLY, "--progress=none")
    answer = place.hvmpi("rerun", place.run().timestamp, "--progress=line")
    assert answer.code == 1
    assert "35 of 40 events, 11 of 12 jobs done, 1 failed" in answer.out


def test_an_unknown_choice_is_refused(place: Place) -> None:
    answer = place.hvmpi(*JOBS, "--engine=noop", "--progress=lines")
    assert answer.code == 2
    assert "(did you mean 'line'?)" in answer.complaint
    assert place.tree() == {}


def test_lines_come_seldom_in_long_runs(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load("run", ["--engine=noop", "-n2", "-b10"])
    plan = make_plan(settings, make_engine(settings))
    pace = Pace(fold(plan.entries(), Path(place.root / "journal.jsonl")), {})
    clock_s = SimpleNamespace(now=0.0)
    clock_s.monotonic = lambda: clock_s.now
    monkeypatch.setattr("hvmpi.view.progress.time", clock_s)
    lines = Lines(pace)
    at = []
    for second in range(3600):
        clock_s.now = float(second)
        if lines.due():
            lines.show(2, "; no new jobs: host1 is full")
            at.append(second)
    assert at[:5] == [10, 20, 30, 40, 50]
    gaps = [after - before for before, after in pairwise(at)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(at)
    assert told[0].endswith("0 of 4 jobs done, 2 running, 0 failed; no new jobs: host1 is full")


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(12345.6, "12346/s"), (99.94, "99.9/s"), (1.0, "1.0/s"), (0.5, "30.0/min"), (0.001, "3.6/h")],
)
def test_rates(per_s: float, text: str) -> None:
    assert per_time(per_s) == text
