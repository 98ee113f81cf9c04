"""What waits for what: every job is free when all that it waits for is done, not before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.dependencies import Dependencies
from hvmpi.errors import JournalError


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """Rows of jobs, each behind some of the rows before it."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    after = [draw(st.lists(st.sampled_from(range(row)), unique=True)) if row else []
             for row in range(len(sizes))]  # fmt: skip
    return sizes, after


@given(plans(), st.randoms(use_true_random=False))
def test_a_job_is_free_when_all_is_done_that_it_waits_for(plan, random) -> None:
    sizes, after = plan
    dependencies = Dependencies(sizes, after)
    row_of = [row for row, size in enumerate(sizes) for _ in range(size)]
    needs = [{other for other, row in enumerate(row_of) if row in after[mine]} for mine in row_of]
    free = {job for job, needed in enumerate(needs) if not needed}
    done: set[int] = set()
    while len(done) < len(row_of):
        # Nothing waits for ever.
        job = random.choice(sorted(free - done))
        done.add(job)
        freed = dependencies.done(job)
        assert not set(freed) & free
        free |= set(freed)
        for other, needed in enumerate(needs):
            assert dependencies.row(other) == row_of[other]
            assert dependencies.unmet(other) == len(needed - done)
            assert (other in free) == (needed <= done)


@pytest.mark.parametrize("after", [[[0]], [[], [1]], [[1], []], [[], [-1]]])
def test_a_row_waits_for_rows_before_it_only(after: list[list[int]]) -> None:
    with pytest.raises(JournalError, match=r"row \d of the plan's jobs waits for rows"):
        Dependencies([1] * len(after), after)
