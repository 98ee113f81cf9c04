"""Whether a job is tried again after a failure, on which host, and what that costs it."""

from __future__ import annotations

import errno
import heapq
from dataclasses import dataclass
from enum import IntEnum

from hvmpi.campaign.jobs import CHARGED, FailureClass, Outcome

__all__ = [
    "Budget",
    "Decision",
    "Pauses",
    "Spent",
    "budget_of",
    "class_of_error",
    "decide",
    "goes_elsewhere",
    "pause_s",
]

_MOST_ONCE_MORE = 2
"""Attempts that may fail by themselves, where the same seed is likely to bring it back."""


class Budget(IntEnum):
    """Which of a job's attempts a failure uses up."""

    NONE = 0
    PAYLOAD = 1
    LOST = 2


@dataclass(frozen=True, slots=True)
class Spent:
    """What a job has used up since the last start of its campaign.

    Attributes
    ----------
    charged : int
        Attempts that failed by themselves.
    lost : int
        Attempts lost to machines, networks and file systems.
    """

    charged: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a failed attempt.

    Attributes
    ----------
    again : bool
    elsewhere : bool
        Whether another host is to be preferred, if it is tried again.
    budget : Budget
    reason : str
        A short phrase.
    """

    again: bool
    elsewhere: bool
    budget: Budget
    reason: str


_BUDGETS = {
    FailureClass.PASSING: Budget.LOST,
    FailureClass.RESOURCES: Budget.PAYLOAD,
    FailureClass.ONCE_MORE: Budget.PAYLOAD,
    FailureClass.PERMANENT: Budget.PAYLOAD,
    FailureClass.CHECK_THE_FILES: Budget.PAYLOAD,
}
_NOT_THE_PAYLOADS = {Outcome.INTERRUPTED, Outcome.WORKER_LOST}
_ELSEWHERE = {FailureClass.PASSING, FailureClass.RESOURCES, FailureClass.CHECK_THE_FILES}


_OF_THE_SYSTEM = {
    # A file system goes read-only on a host whose disk fails, not on others.
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EROFS), FailureClass.RESOURCES
    ),
    **dict.fromkeys(
        (
            errno.ESTALE,
            errno.EIO,
            errno.EREMOTEIO,
            errno.ENOTCONN,
            errno.ETIMEDOUT,
            errno.EHOSTDOWN,
        ),
        FailureClass.PASSING,
    ),
}


def class_of_error(error: OSError) -> FailureClass:
    """Say what a call to the system that failed means for another attempt: room, or a bad host."""
    return _OF_THE_SYSTEM.get(error.errno or 0, FailureClass.NONE)


def budget_of(outcome: Outcome, failure: FailureClass) -> Budget:
    """Say which budget a failed attempt uses."""
    if outcome is Outcome.INTERRUPTED:
        return Budget.NONE
    if outcome is Outcome.WORKER_LOST:
        return Budget.LOST
    default = Budget.PAYLOAD if outcome in CHARGED else Budget.NONE
    return _BUDGETS.get(failure, default)


def goes_elsewhere(outcome: Outcome, failure: FailureClass) -> bool:
    """Say whether the next attempt had better be on another host."""
    if outcome is Outcome.INTERRUPTED:
        return False
    return outcome is Outcome.WORKER_LOST or failure in _ELSEWHERE


def decide(
    outcome: Outcome,
    failure: FailureClass,
    spent: Spent,
    *,
    max_attempts: int,
    max_lost: int,
) -> Decision:
    """Decide on a job of which an attempt has just failed.

    Parameters
    ----------
    outcome : Outcome
    failure : FailureClass
        As the engine sees it.
    spent : Spent
        Before this attempt.
    max_attempts, max_lost : int
        As the settings of the same names.

    Notes
    -----
    A job fails for good with its `max_attempts`-th attempt that failed by itself, or when more
    than `max_lost` are lost: after `max_attempts` + `max_lost` attempts at most. An interruption is
    hvmpi's own doing and costs nothing.
    """
    budget, elsewhere = budget_of(outcome, failure), goes_elsewhere(outcome, failure)
    charged, lost = spent.charged + 1, spent.lost + 1
    again = True
    if budget is Budget.NONE:
        why = "at no cost"
    elif budget is Budget.LOST:
        again = lost <= max_lost
        why = f"{lost} of {max_lost} lost" if again else f"max-lost ({max_lost}) is used up"
    else:
        refusal = _refusal(outcome, failure, charged, max_attempts)
        again = not refusal
        last = failure is FailureClass.ONCE_MORE
        why = refusal or ("the last time" if last else f"{charged} of {max_attempts} attempts used")
    plain = failure is FailureClass.NONE or outcome in _NOT_THE_PAYLOADS
    what = outcome if plain else failure
    how = ["again"] * again + ["on another host if there is one"] * (again and elsewhere)
    reason = f"{what.name.lower().replace('_', ' ')}: {', '.join([*how, why])}"
    return Decision(again, again and elsewhere, budget, reason)


def _refusal(outcome: Outcome, failure: FailureClass, charged: int, max_attempts: int) -> str:
    """Say why a job is not tried again after an attempt that failed by itself."""
    # An engine that speaks of resources did not look at the file.
    looked_at = outcome is Outcome.BAD_INPUT and failure is not FailureClass.RESOURCES
    if failure is FailureClass.PERMANENT or looked_at:
        return "not tried again"
    if charged >= max_attempts:
        return f"the {max_attempts} attempts are used up" if max_attempts > 1 else "not tried again"
    if failure is FailureClass.ONCE_MORE and charged >= _MOST_ONCE_MORE:
        return "it came back, not tried again"
    return ""


def pause_s(outcome: Outcome, failure: FailureClass, spent: Spent, retry_pause: float) -> float:
    """Give the seconds to wait before a job is tried again that something passing failed.

    The first time nothing: on another host all may be well. Then the pause grows with each loss, as
    squids and file systems need more than a moment to come back.

    Parameters
    ----------
    outcome : Outcome
    failure : FailureClass
    spent : Spent
        This attempt included.
    retry_pause : float
        Seconds by which it grows.
    """
    if failure is not FailureClass.PASSING or outcome in _NOT_THE_PAYLOADS:
        return 0.0
    return retry_pause * max(spent.lost - 1, 0)


class Pauses:
    """The jobs that wait before they are tried again, by the time at which they may."""

    def __init__(self) -> None:
        self._until: list[tuple[float, int]] = []

    def begin(self, job: int, until: float) -> None:
        """Let a job wait until a time."""
        heapq.heappush(self._until, (until, job))

    def over(self, now: float) -> list[int]:
        """Give, once, the jobs that have waited long enough."""
        jobs = []
        while self._until and self._until[0][0] <= now:
            jobs.append(heapq.heappop(self._until)[1])
        return jobs
