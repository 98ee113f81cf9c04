"""Text for terminals: nothing that steers them, nothing wider than they are."""

from __future__ import annotations

import pytest

from hvmpi.view.text import clock, fitted, folded, located, paragraph, printable


def test_what_steers_a_terminal_stands_as_its_code() -> None:
    assert printable("a\x1b[31m\r\u202e\udcff") == "a\\x1b[31m\\r\\u202e\\udcff"
    assert printable("größe\n\t粒子") == "größe\n\t粒子"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00"),
        (125.4, "2:05"),
        (3599.6, "1:00:00"),
        (93784.0, "1-02:03:04"),
    ],
)
def test_times_are_written_as_squeue_does(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_path_is_never_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    path = "/a/very/long/path/to-a-file/of/something.h5"
    assert paragraph(f"the file '{path}' is missing, as it seems") == [
        "the file",
        f"  '{path}'",
        "  is missing, as it seems",
    ]
    assert located("log:", path, "  ") == ["  log:", f"    {path}"]
    assert located("log:", "/a/b", "  ") == ["  log: /a/b"]


def test_a_line_of_a_log_goes_on_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert folded("0123456789abcdefghijklmnopqrstuvwxyz", "  ") == [
        "  0123456789abcdefgh",
        "    ijklmnopqrstuvwx",
        "    yz",
    ]


def test_what_is_too_long_is_cut_where_it_is_seen() -> None:
    assert fitted("reason", 6) == "reason"
    assert fitted("reasons", 6) == "reaso…"
    assert fitted("粒子粒子", 6) == "粒子…"
