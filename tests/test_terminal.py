"""Which terminal a person looks at, and what it can show."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Iterator

import pytest

from hvmpi.terminal import TERMINAL, Terminal, find_terminal
from tests.conftest import Place

XTERM = {"TERM": "xterm"}


@pytest.fixture
def device() -> Iterator[str]:
    """A terminal of 70 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def test_a_terminal_tells_its_width_when_asked(device: str) -> None:
    terminal = Terminal.at(device, XTERM)
    assert terminal == Terminal(70, colour=True, utf8=True, device=device)
    assert terminal is not None
    file = os.open(device, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(file, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    os.close(file)
    assert terminal.width() == 40


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_one_that_cannot_move_its_cursor_is_none(device: str, term: str) -> None:
    assert Terminal.at(device, {"TERM": term}) is None
    assert Terminal.at(device, {}) is None


def test_a_file_is_no_terminal(place: Place) -> None:
    assert Terminal.at("/dev/null", XTERM) is None
    assert Terminal.at(str(place.root / "nowhere"), XTERM) is None


@pytest.mark.parametrize(
    ("environ", "colour", "utf8"),
    [
        ({"NO_COLOR": "1"}, False, True),
        ({"NO_COLOR": ""}, True, True),
        ({"LC_ALL": "C"}, True, False),
        ({"LANG": "POSIX", "LC_CTYPE": "C.UTF-8"}, True, False),
        ({"LANG": "C.UTF-8"}, True, True),
    ],
)
def test_what_it_can_show(device: str, environ: dict[str, str], colour: bool, utf8: bool) -> None:
    terminal = Terminal.at(device, XTERM | environ)
    assert terminal is not None
    assert (terminal.colour, terminal.utf8) == (colour, utf8)


@pytest.mark.parametrize("terminal", [Terminal(132), Terminal(40, colour=False, utf8=False)])
def test_a_rank_on_another_machine_is_told(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    monkeypatch.setenv("PMI_RANK", "0")
    assert find_terminal({TERMINAL: terminal.words}) == terminal
    assert terminal.width() == terminal.columns


@pytest.mark.parametrize("words", ["", "wide", "0 colour", "-3", "٣"])
def test_what_is_told_badly_is_passed_over(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("PMI_RANK", "0")
    assert find_terminal({TERMINAL: words, **XTERM}) is None
