"""Whether a job is tried again: the table, row by row, and that every job comes to an end."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.jobs import FailureClass, Outcome
from hvmpi.campaign.retry import (
    Budget,
    Decision,
    Pauses,
    Spent,
    budget_of,
    class_of_error,
    decide,
    goes_elsewhere,
    pause_s,
)

FAILED = [outcome for outcome in Outcome if outcome not in (Outcome.NONE, Outcome.DONE)]
COSTLY = [outcome for outcome in FAILED if outcome is not Outcome.INTERRUPTED]

P, L, N = Budget.PAYLOAD, Budget.LOST, Budget.NONE

# outcome, class, charged and lost before, of at most 3 and 2 -> again, elsewhere, budget, why
ROWS: list[tuple[str, str, tuple[int, int], tuple[bool, bool, Budget, str]]] = [
    ("payload_failed", "none", (0, 0), (True, False, P, "again, 1 of 3 attempts used")),
    ("payload_failed", "none", (2, 0), (False, False, P, "the 3 attempts are used up")),
    ("timed_out", "none", (1, 2), (True, False, P, "again, 2 of 3 attempts used")),
    ("bad_input", "none", (0, 0), (False, False, P, "bad input: not tried again")),
    ("interrupted", "none", (2, 2), (True, False, N, "interrupted: again, at no cost")),
    ("interrupted", "permanent", (2, 2), (True, False, N, "interrupted: again, at no cost")),
    ("worker_lost", "none", (2, 1), (True, True, L, "another host if there is one, 2 of 2 lost")),
    ("worker_lost", "none", (0, 2), (False, False, L, "max-lost (2) is used up")),
    ("payload_failed", "passing", (2, 0), (True, True, L, "another host if there is one, 1 of 2")),
    ("payload_failed", "passing", (0, 2), (False, False, L, "passing: max-lost (2)")),
    ("setup_failed", "passing", (0, 1), (True, True, L, "passing: again, on another host")),
    ("out_of_memory", "resources", (0, 0), (True, True, P, "resources: again, on another host")),
    ("out_of_memory", "resources", (2, 0), (False, False, P, "the 3 attempts are used up")),
    ("payload_failed", "once_more", (0, 0), (True, False, P, "once more: again, the last time")),
    ("payload_failed", "once_more", (1, 0), (False, False, P, "it came back, not tried again")),
    ("payload_failed", "permanent", (0, 0), (False, False, P, "permanent: not tried again")),
    ("payload_failed", "check_the_files", (0, 0), (True, True, P, "1 of 3 attempts used")),
    ("payload_failed", "check_the_files", (2, 0), (False, False, P, "are used up")),
    ("bad_input", "check_the_files", (0, 0), (False, False, P, "check the files: not tried")),
]


def decided(outcome: str, failure: str, before: tuple[int, int], most: int = 3) -> Decision:
    return decide(
        Outcome[outcome.upper()],
        FailureClass[failure.upper()],
        Spent(*before),
        max_attempts=most,
        max_lost=2,
    )


@pytest.mark.parametrize(("outcome", "failure", "before", "after"), ROWS)
def test_the_table(
    outcome: str,
    failure: str,
    before: tuple[int, int],
    after: tuple[bool, bool, Budget, str],
) -> None:
    decision = decided(outcome, failure, before)
    again, elsewhere, budget, why = after
    assert (decision.again, decision.elsewhere, decision.budget) == (again, elsewhere, budget)
    assert why in decision.reason
    assert "\n" not in decision.reason


def test_with_one_attempt_nothing_is_tried_once_more() -> None:
    decision = decided("payload_failed", "once_more", (0, 0), most=1)
    assert not decision.again
    assert decision.reason == "once more: not tried again"


def test_a_file_that_was_only_out_of_reach_is_looked_for_again() -> None:
    assert decided("bad_input", "passing", (0, 0)).again


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ENOSPC, FailureClass.RESOURCES),
        (errno.EROFS, FailureClass.RESOURCES),
        (errno.ESTALE, FailureClass.PASSING),
        (errno.EIO, FailureClass.PASSING),
        (errno.ENOENT, FailureClass.NONE),
        (errno.EACCES, FailureClass.NONE),
    ],
)
def test_what_the_system_refuses_has_a_class(number: int, failure: FailureClass) -> None:
    assert class_of_error(OSError(number, "why")) is failure
    assert class_of_error(OSError("why")) is FailureClass.NONE


@given(
    st.lists(
        st.tuples(st.sampled_from(COSTLY), st.sampled_from(FailureClass)), min_size=50, max_size=50
    ),
    st.integers(1, 20),
    st.integers(0, 20),
)
def test_any_sequence_of_failures_ends_within_both_budgets(
    failures: list[tuple[Outcome, FailureClass]], max_attempts: int, max_lost: int
) -> None:
    charged = lost = 0
    for number, (outcome, failure) in enumerate(failures, 1):
        decision = decide(
            outcome, failure, Spent(charged, lost), max_attempts=max_attempts, max_lost=max_lost
        )
        assert decision.budget is budget_of(outcome, failure)
        assert decision.elsewhere == (decision.again and goes_elsewhere(outcome, failure))
        charged += decision.budget is Budget.PAYLOAD
        lost += decision.budget is Budget.LOST
        assert charged + lost == number <= max_attempts + max_lost
        if not decision.again:
            return
        assert charged < max_attempts
        assert lost <= max_lost
    raise AssertionError("it goes on and on")


@given(st.sampled_from(FailureClass), st.integers(0, 1000), st.integers(0, 1000))
def test_an_interruption_costs_nothing(failure: FailureClass, charged: int, lost: int) -> None:
    decision = decide(
        Outcome.INTERRUPTED, failure, Spent(charged, lost), max_attempts=1, max_lost=0
    )
    assert decision.again
    assert decision.budget is Budget.NONE


def test_what_passes_waits_longer_each_time() -> None:
    pauses = [
        pause_s(Outcome.PAYLOAD_FAILED, FailureClass.PASSING, Spent(0, lost), 2.0)
        for lost in (1, 2, 3, 10)
    ]
    assert pauses == [0.0, 2.0, 4.0, 18.0]


@pytest.mark.parametrize("failure", sorted(set(FailureClass) - {FailureClass.PASSING}))
def test_nothing_else_waits(failure: FailureClass) -> None:
    assert pause_s(Outcome.PAYLOAD_FAILED, failure, Spent(3, 3), 2.0) == 0.0


def test_a_lost_worker_makes_nobody_wait() -> None:
    assert pause_s(Outcome.WORKER_LOST, FailureClass.PASSING, Spent(0, 5), 2.0) == 0.0


@given(st.lists(st.floats(0.0, 100.0)))
def test_pauses_end_once_each_in_their_order(untils: list[float]) -> None:
    pauses = Pauses()
    for job, until in enumerate(untils):
        pauses.begin(job, until)
    early = pauses.over(50.0)
    assert sorted(early) == [job for job, until in enumerate(untils) if until <= 50.0]
    assert sorted(early + pauses.over(100.0)) == list(range(len(untils)))
    assert pauses.over(1000.0) == []
