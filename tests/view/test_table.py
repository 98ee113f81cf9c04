"""Tables on a terminal: their columns stand under each other, whatever is in them."""

from __future__ import annotations

import pytest

from hvmpi.view.table import print_table


def test_columns_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("1", "größe", "x"), ("22", "粒子", "a\nlonger"), ("3", "", "\x1b[31mred")]
    print_table(("JOB", "NAME", "REASON"), rows, right=("JOB",))
    assert capsys.readouterr().out.splitlines() == [
        "JOB  NAME   REASON",
        "  1  größe  x",
        # Two signs that are as wide as four.
        " 22  粒子   a",
        "            longer",
        "  3         \\x1b[31mred",
    ]


def test_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("PATH",), [("a/" * 500,)])
    assert capsys.readouterr().out == f"PATH\n{'a/' * 500}\n"


def test_a_table_without_rows_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("JOB", "NAME"), [])
    assert capsys.readouterr().out == "JOB  NAME\n"
