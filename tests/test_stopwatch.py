"""Stopwatch: exclusive times of nested parts, and what a worker makes of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.stopwatch import Part, Stopwatch, parts_of, spent_on


class Clock:
    """Goes on only when it is told to; its ticks are whole, so that sums are exact."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# What a block does: wait so many ticks, or go through a block of a part within.
BLOCKS = st.recursive(
    st.integers(0, 1000),
    lambda within: st.tuples(st.sampled_from(Part), st.lists(within, max_size=4)),
    max_leaves=30,
)


def expected(blocks: list[object], part: Part, into: dict[Part, int]) -> None:
    for block in blocks:
        if isinstance(block, int):
            into[part] += block
        else:
            own, within = block  # type: ignore[misc]
            expected(within, own, into)


@given(st.lists(BLOCKS, max_size=6))
def test_a_part_has_its_time_but_for_the_parts_within(blocks: list[object]) -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    def go(blocks: list[object]) -> None:
        for block in blocks:
            if isinstance(block, int):
                clock.now += block
            else:
                part, within = block  # type: ignore[misc]
                with spent_on(part):
                    go(within)

    with watch.running():
        go(blocks)
    wanted: dict[Part, int] = defaultdict(int)
    expected(blocks, Part.OTHER, wanted)
    assert watch.seconds() == {part: ticks for part, ticks in wanted.items() if ticks}
    assert sum(watch.seconds().values()) == clock.now


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1))
def test_only_the_making_of_values_is_counted(ticks: list[tuple[int, int]]) -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    def made() -> Iterator[int]:
        for making, using in ticks:
            clock.now += making
            yield using
        clock.now += 1

    with watch.running():
        for using in spent_on(Part.READ).each(made()):
            clock.now += using
    made_s, used_s = (sum(column) for column in zip(*ticks, strict=True))
    assert watch.seconds() == {Part.READ: made_s + 1, Part.OTHER: used_s}


def test_an_exception_ends_a_part() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    @spent_on(Part.JETS)
    def fail() -> None:
        clock.now += 2
        raise ValueError("no jets")

    with watch.running():
        with pytest.raises(ValueError, match="no jets"):
            fail()
        clock.now += 3
    assert watch.seconds() == {Part.JETS: 2, Part.OTHER: 3}


def test_nothing_is_counted_where_no_watch_runs() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.running():
        clock.now += 1
    with spent_on(Part.ACTS):
        clock.now += 2
    # It goes on by itself, but hears of no part.
    assert watch.seconds() == {Part.OTHER: 3}


TIMES = st.floats(0.0, 100.0)


@given(st.dictionaries(st.sampled_from(list(Part)[1:]), TIMES), TIMES, TIMES)
def test_parts_sum_up_to_the_wall_time(
    tmp_path_factory: pytest.TempPathFactory, spent: dict[Part, float], start_s: float, end_s: float
) -> None:
    report = tmp_path_factory.mktemp("report") / "report.json"
    spent.pop(Part.START, None)
    told = {part.name.lower(): seconds for part, seconds in spent.items()}
    report.write_text(json.dumps({"profile": {"began": 1000.0 + start_s, "parts": told}}))
    wall_s = start_s + sum(spent.values()) + end_s
    parts = parts_of(report, 1000.0, wall_s)
    assert sum(parts.values()) == pytest.approx(wall_s, abs=1e-3)
    assert all(seconds > 0 for seconds in parts.values())
    for part, seconds in spent.items():
        if part is not Part.OTHER:
            assert parts.get(part.name.lower(), 0.0) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"profile": null}',
        '{"profile": {"began": 1.0}}',
        '{"profile": {"began": 1.0, "parts": {"idling": 1.0}}}',
        '{"profile": {"began": 1.0, "parts": {"acts": "long"}}}',
        '{"profile": {"began": 1.0, "parts": {"acts": NaN}}}',
        '{"profile": {"began": 1.0, "parts": {"acts": -1.0}}}',
        '{"profile": {"began": 1.0, "parts": {"acts": 1e300}}}',
        '{"profile": {"began": [], "parts": {"acts": 1.0}}}',
    ],
)
def test_a_step_that_tells_nothing_sensible_is_one_whole(tmp_path: Path, text: str) -> None:
    report = tmp_path / "report.json"
    report.write_text(text)
    assert parts_of(report, 0.0, 2.5) == {"whole": 2.5}


def test_a_step_without_a_report_is_one_whole(tmp_path: Path) -> None:
    assert parts_of(None, 0.0, 2.5) == {"whole": 2.5}
    assert parts_of(tmp_path / "none.json", 0.0, 2.5) == {"whole": 2.5}
