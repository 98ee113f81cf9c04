"""The wall clock: what remains of the time that a campaign has, and what still fits into it."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import psutil

from hvmpi.allocation import time_left
from hvmpi.campaign.jobs import Kind, Outcome
from hvmpi.campaign.ledger import Ledger

__all__ = ["WallClock", "limit_s"]

_MARGIN_S = 20.0
_MARGIN_SHARE = 0.05
_REMEMBERED = 100


class WallClock:
    """The time limit of a campaign, and how long its jobs took so far.

    A job fits if the longest of the last hundred of its kind would; of a kind that was never
    measured any does, if it starts at once. The end comes a little before the limit, so that
    payloads can be ended and the status written: 20 s, or 5 % of a short limit.

    Parameters
    ----------
    limit : float or None
        Seconds since the start of this process; None is without end.
    ledger : Ledger
        Tells how long jobs took in earlier parts of the campaign.
    """

    def __init__(self, limit: float | None, ledger: Ledger) -> None:
        self._limit = limit
        self._end = float("inf")
        self._walls: defaultdict[Kind, deque[float]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED)
        )
        if limit is None:
            return
        self._end = time.monotonic() - _age_s() + limit - min(_MARGIN_S, _MARGIN_SHARE * limit)
        attempts = np.asarray(ledger.attempts)
        done = attempts[attempts["outcome"] == Outcome.DONE]
        kinds = ledger.jobs["kind"][done["job"]]
        for kind in Kind:
            self._walls[kind].extend(done["wall_s"][np.flatnonzero(kinds == kind)].tolist())

    def measured(self, kind: Kind, wall_s: float) -> None:
        """Take into account how long a job took."""
        if self._limit is not None:
            self._walls[kind].append(wall_s)

    def left_s(self) -> float:
        """Give the seconds until what runs is to be stopped."""
        return self._end - time.monotonic()

    def fits(self, kind: Kind, before: Iterable[Kind] = ()) -> bool:
        """Say whether a job of a kind would be done in time, if it started now.

        Parameters
        ----------
        kind : Kind
        before : iterable of Kind
            The jobs that it has to wait for.
        """
        if self._limit is None:
            return True
        waits_for = list(before)
        if waits_for and not all(self._walls[one] for one in (*waits_for, kind)):
            return False
        longest = sum(max(self._walls[one], default=0.0) for one in (*waits_for, kind))
        return longest < self.left_s()

    def over(self) -> str:
        """Say that the time is over; nothing before."""
        if self._limit is None or self.left_s() > 0:
            return ""
        return f"time-limit ({self._limit:g} s) is over"

    def too_short(self) -> str:
        """Say that what is left does not fit any more."""
        return f"time-limit ({self._limit:g} s): no job that is left would be done in time"


def limit_s(limit: float | Literal["auto"] | None, environ: Mapping[str, str]) -> float | None:
    """Give a time limit in seconds since the start of this process; None is without end.

    Parameters
    ----------
    limit : float, "auto" or None
        As the settings have it; ``auto`` is the end that the batch system sets to this job.
    environ : mapping of str to str
        By which a job of a batch system knows itself.

    Raises
    ------
    SetupError
        If the batch system does not answer.
    """
    if limit != "auto":
        return limit
    left = time_left(environ)
    return None if left is None else max(left, 0.0) + _age_s()


def _age_s() -> float:
    return max(time.time() - psutil.Process().create_time(), 0.0)
