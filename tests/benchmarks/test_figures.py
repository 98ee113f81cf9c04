"""The benchmarks' own arithmetic: medians, goals, pairs in turns, and back from JSON."""

from __future__ import annotations

import json

import pytest

from benchmarks.figures import (
    Bars,
    Curve,
    Figure,
    Measured,
    Plot,
    Table,
    at_least,
    at_most,
    measured_from,
    number,
    paired,
    skipped,
)
from benchmarks.plan10k import use_of_ranks


def test_a_figure_is_the_median_with_the_least_and_the_most() -> None:
    figure = Figure("a", "b", (1.2, 1.0, 1.1), at_most(1.05))
    assert figure.text == "1.1 (1 to 1.2)"
    assert figure.goal_text == "at most 1.05"
    assert figure.reached is False


@pytest.mark.parametrize(
    ("goal", "reached"),
    [(at_most(10.0), True), (at_most(9.9), False), (at_least(10.0), True), (at_least(11.0), False)],
)
def test_goals(goal: object, reached: bool) -> None:
    figure = Figure("a", values=(10.0,), goal=goal, unit="s")  # type: ignore[arg-type]
    assert figure.reached is reached
    assert figure.text == "10 s"


def test_what_was_not_measured_has_a_reason_and_reaches_nothing() -> None:
    figure = skipped("a", "skipped: not installed", "b", at_least(5.0))
    assert figure.reached is None
    assert (figure.text, figure.answer) == ("-", "skipped: not installed")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e6, "1,000,000"), (23456.7, "23,457"), (99.94, "99.9"), (0.01234, "0.0123"), (-1.5, "-1.5")],
)
def test_numbers_have_the_digits_that_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def test_what_is_compared_takes_turns() -> None:
    order: list[str] = []

    def measured(name: str, value: float) -> float:
        order.append(name)
        return value

    both = paired(3, lambda n: measured("ours", n + 1.0), lambda _: measured("theirs", 2.0))
    assert both == [(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)]
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_what_was_measured_comes_back_from_json() -> None:
    measured = Measured(
        (Figure("a", "b", (1.0, 2.0), at_least(1.5), note="n"), skipped("c", "why")),
        plots=(Plot("p", "x", "y", (Curve("c", (1.0, 2.0), (3.0, 4.0)),), log_x=True),),
        bars=(Bars("b", "s", {"ACTS": 1.0}),),
        tables=(Table("t", ("h",), (("v",),)),),
    )
    assert measured_from(json.loads(json.dumps(measured.as_dict()))) == measured


def test_ranks_are_idle_where_the_master_cannot_keep_up() -> None:
    # A job of 1 s, 100 ranks: a master of 1 ms has time to spare, one of 20 ms serves half.
    assert use_of_ranks(100, 1.0, 0.001) > 0.99
    assert use_of_ranks(100, 1.0, 0.02) == pytest.approx(0.5, abs=0.05)
