"""How many jobs a rank may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.ahead import Ahead
from hvmpi.campaign.jobs import Kind

KIND = Kind.RECONSTRUCTION


def ahead(*walls: float) -> Ahead:
    measured = Ahead()
    for wall_s in walls:
        measured.measured(KIND, wall_s)
    return measured


@pytest.mark.parametrize(
    ("wall_s", "most"), [(3600.0, 1), (1.0, 2), (0.004, 2), (0.002, 5), (0.0001, 100), (0.0, 256)]
)
def test_two_or_as_many_as_fill_some_milliseconds_or_none_behind_long_ones(
    wall_s: float, most: int
) -> None:
    assert ahead(wall_s).most(KIND, 1_000_000, 2) == most


@pytest.mark.parametrize(("ranks", "most"), [(2, 256), (100, 100), (1000, 10), (10_000, 2)])
def test_all_ranks_together_have_no_more_than_the_master_can_keep_up_with(
    ranks: int, most: int
) -> None:
    assert ahead(0.0).most(KIND, 10**9, ranks) == most


def test_two_of_a_kind_that_was_not_measured() -> None:
    assert ahead(0.0001).most(Kind.GENERATION, 1_000_000, 2) == 2


def test_what_is_known_before_counts_as_measured() -> None:
    known = Ahead({KIND: 60.0})
    assert known.most(KIND, 1_000_000, 2) == 1
    assert known.most(Kind.GENERATION, 1_000_000, 2) == 2


def test_one_long_job_among_short_ones_changes_little_and_many_change_it() -> None:
    some = ahead(*[0.001] * 100, 0.011)
    assert 5 <= some.most(KIND, 1_000_000, 2) < 10
    for _ in range(100):
        some.measured(KIND, 1.0)
    assert some.most(KIND, 1_000_000, 2) == 2


@given(st.integers(0, 10_000), st.integers(1, 2000), st.floats(0.0, 1e6))
def test_what_is_given_ahead_is_never_among_the_last(ready: int, ranks: int, wall_s: float) -> None:
    most = ahead(wall_s).most(KIND, ready, ranks)
    assert 1 <= most <= 256
    assert (most - 1) * 3 * ranks <= ready
