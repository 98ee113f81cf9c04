"""Tables on a terminal: their columns stand under each other, whatever is in them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hvmpi.view.table import print_table, table_of


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


ROWS = [("1", "tev01.cern.ch", "9 s", "a reason of some words"), ("2", "größe粒子", "", "[red]no")]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            60,
            [
                "JOB  HOST           TIME  REASON",
                "  1  tev01.cern.ch   9 s  a reason of some words",
                "  2  größe粒子            [red]no",
            ],
        ),
        (
            40,
            [
                "JOB HOST     TIME REASON",
                "  1 tev01.c…  9 s a reason of some words",
                "  2 größe粒…      [red]no",
            ],
        ),
        (
            29,
            [
                "JOB HOST     TIME REASON",
                "  1 tev01.c…  9 s a reason o…",
                "  2 größe粒…      [red]no",
            ],
        ),
        (
            20,
            [
                "JOB REASON",
                "  1 a reason of som…",
                "  2 [red]no",
            ],
        ),
    ],
)
def test_a_terminal_that_is_narrow_gets_less(
    columns: int, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    table = table_of(
        ("JOB", "HOST", "TIME", "REASON"),
        ROWS,
        right=("JOB", "TIME"),
        shrink={"HOST": 8, "REASON": 8},
        spare=("TIME", "HOST"),
    )
    assert list(table.lines()) == lines
    assert table.width <= columns
    # In colours it has the same letters.
    file = io.StringIO()
    Console(file=file, width=columns).print(table.coloured())
    assert [line.rstrip() for line in file.getvalue().splitlines()] == lines
