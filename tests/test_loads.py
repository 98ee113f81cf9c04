"""Who has the fewest jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hvmpi.loads import Loads

RANKS = st.integers(1, 6)


@given(st.lists(st.tuples(RANKS, st.integers(0, 3) | st.none(), RANKS), max_size=200))
def test_the_lightest_is_the_lowest_rank_with_the_fewest(
    changes: list[tuple[int, int | None, int]],
) -> None:
    loads, known = Loads(), dict[int, int]()
    for rank, load, other_than in changes:
        if load is None:
            loads.drop(rank)
            known.pop(rank, None)
        else:
            loads.put(rank, load)
            known[rank] = load
        fewest = sorted((load, rank) for rank, load in known.items())
        assert loads.lightest() == (fewest[0] if fewest else None)
        others = [pair for pair in fewest if pair[0] == fewest[0][0] and pair[1] != other_than]
        expected = others[0] if others else fewest[0] if fewest else None
        assert loads.lightest(other_than) == expected


def test_it_keeps_no_more_than_it_needs() -> None:
    loads = Loads()
    for load in range(10_000):
        for rank in range(10):
            loads.put(rank, load)
    assert loads.lightest() == (9999, 0)
    assert len(loads._heap) < 100
