"""Second attempts of jobs that take suspiciously long, on ranks that have nothing else to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.durations import by_sample
from hvmpi.campaign.jobs import Kind, Outcome
from hvmpi.campaign.ledger import Ledger
from hvmpi.messages import Cancel
from hvmpi.placement import Given, Placement

__all__ = ["Duplicate", "Duplicates", "remaining_s"]

_LOOK_S = 1.0
"""How often jobs that run are looked at."""
_REMEMBERED = 2048
"""Attempts that are looked at, the last ones."""
_LEAST_FINISHED = 8
"""Finished jobs of a kind and sample from which on their times are taken for known."""
_MARGIN = 1.5
"""How many times longer than a fresh attempt the running one must be expected to go on."""
_LEAST_GAIN_S = 1.0
_SPEECHLESS_S = 5.0
"""Within what a rank gives back what it has not begun, unless it hangs."""

_FIRST = "attempt {} of its job was done before"
_NEEDED = "its rank is needed for jobs that have no attempt yet"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A second attempt that is worth it, and why."""

    job: int
    rank: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Slow:
    """An attempt that had better be doubled, and what that is expected to gain, s."""

    job: int
    rank: int
    kind: Kind
    gains_s: float
    reason: str


def remaining_s(elapsed_s: float, finished_s: npt.NDArray[np.float64]) -> float:
    """Give the time that an attempt is expected to go on.

    It is the mean of what jobs like it that took longer than it so far went on, and, as of one
    more of them, of as long again as it has run: where times are regular, a job that is beyond all
    of them is suspect; where they have heavy tails, less so.

    Parameters
    ----------
    elapsed_s : float
    finished_s : ndarray of shape (n_finished,)
        What jobs like it took.
    """
    further = finished_s[finished_s > elapsed_s] - elapsed_s
    return float(further.sum() + elapsed_s) / (len(further) + 1)


class Duplicates:
    """Which running jobs get a second attempt, where, and what becomes of the two.

    What a job takes comes from its events and from its host. A second attempt meets the same
    events, and mends only what the host does. Nobody knows which it is, so a duplicate is a bet: it
    costs a rank that would idle, is placed on the job that is expected to gain most, and after each
    that was lost the next must promise twice as much. None goes to a rank whose last attempt was
    overtaken by one. As soon as other jobs want for ranks, those of duplicates are given up.

    Parameters
    ----------
    ledger : Ledger
    placement : Placement
    """

    def __init__(self, ledger: Ledger, placement: Placement) -> None:
        self._ledger = ledger
        self._placement = placement
        self._second: dict[int, tuple[int, int]] = {}
        self._outpaced: set[int] = set()
        self._lost_in_a_row = 0
        self._looked_at = 0.0

    def due(self, now: float, unix_s: float, fits: Callable[[Kind], bool]) -> Iterator[Duplicate]:
        """Give the jobs that had better have a second attempt, those that gain most first.

        To be called where nothing is ready. Who takes one says so (`begun`) before the next.

        Parameters
        ----------
        now, unix_s : float
            Monotonic clock and Unix seconds.
        fits : callable
            Says whether jobs of a kind may start at all now.
        """
        if now - self._looked_at < _LOOK_S or not self._placement.has_idle:
            return
        self._looked_at = now
        for slow in sorted(self._slow(unix_s), key=lambda slow: -slow.gains_s):
            if not fits(slow.kind):
                continue
            rank = self._placement.idle_beside(slow.rank, slow.kind, self._outpaced)
            if rank is not None:
                yield Duplicate(slow.job, rank, slow.reason)

    def begun(self, job: int, attempt: int, rank: int) -> None:
        """Take into account that a second attempt of a job went to a rank."""
        self._second[job] = attempt, rank

    def settled(self, rank: int, job: int, attempt: int) -> list[tuple[int, Cancel]]:
        """Take into account that a rank's attempt was accepted; give what others are to be told."""
        self._outpaced.discard(rank)
        second = self._second.pop(job, None)
        if second is None:
            return []
        others = [other for other in self._ledger.running_attempts(job) if other != attempt]
        won = second[0] == attempt
        if others:
            self._lost_in_a_row = 0 if won else self._lost_in_a_row + 1
        reason = _FIRST.format(attempt)
        told = []
        for other in others:
            slower = self._placement.rank_of(job, other)
            if slower is None:
                continue
            if won:
                # Whatever holds it up would hold up a second attempt, too.
                self._outpaced.add(slower)
            told.append((slower, Cancel(job, other, reason)))
        return told

    def to_yield(self, wanted: int) -> list[tuple[int, Cancel]]:
        """Give up so many duplicates, if there are; give what their ranks are to be told."""
        if not self._second or not wanted:
            return []
        told = []
        for job, (attempt, rank) in list(self._second.items())[:wanted]:
            del self._second[job]
            if len(self._ledger.running_attempts(job)) > 1:
                told.append((rank, Cancel(job, attempt, _NEEDED)))
        return told

    def _slow(self, unix_s: float) -> Iterator[_Slow]:
        """Find the attempts that are expected to go on for longer than a fresh one would take."""
        withheld = self._placement.not_given_back(unix_s - _SPEECHLESS_S)
        for rank, given in withheld:
            if self._is_alone(given):
                reason = f"rank {rank} has not begun it, and does not give it back"
                yield _Slow(given.job, rank, given.kind, float("inf"), reason)
        if self._placement.ahead > len(withheld):
            # What waits behind another is for the idle ranks first.
            return
        running = [one for one in self._placement.running_first() if self._is_alone(one[1])]
        if not running:
            return
        jobs = self._ledger.jobs.take(np.array([given.job for _, given in running]))
        event_s = self._event_s()
        margin = _MARGIN * 2.0**self._lost_in_a_row
        for (rank, given), job in zip(running, jobs, strict=True):
            like_it = event_s.get((given.kind, int(job["run_number"])))
            if like_it is None or len(like_it) < _LEAST_FINISHED:
                continue
            finished_s = like_it * max(int(job["events"]), 1)
            fresh_s = float(finished_s.mean())
            elapsed_s = unix_s - given.since
            gains_s = remaining_s(elapsed_s, finished_s) - fresh_s
            if gains_s > max((margin - 1.0) * fresh_s, _LEAST_GAIN_S) and elapsed_s > fresh_s:
                reason = (
                    f"attempt {given.attempt} has run for {elapsed_s:.3g} s, jobs like it take "
                    f"{fresh_s:.3g} s"
                )
                yield _Slow(given.job, rank, given.kind, gains_s, reason)

    def _is_alone(self, given: Given) -> bool:
        """Say whether an attempt is the only one of a job that nothing was accepted of."""
        alone = self._ledger.running_attempts(given.job) == (given.attempt,)
        return alone and given.job not in self._ledger.accepted and self._ledger.runs(given.job)

    def _event_s(self) -> dict[tuple[int, int], npt.NDArray[np.float64]]:
        """Give the wall times of an event of jobs that finished, by kind and run number."""
        attempts = self._ledger.attempts
        last = np.arange(max(len(attempts) - _REMEMBERED, 0), len(attempts))
        done = attempts.take(last)
        done = done[done["outcome"] == Outcome.DONE]
        jobs = self._ledger.jobs.take(done["job"])
        event_s = done["wall_s"].astype(np.float64) / np.maximum(jobs["events"], 1)
        return {group: event_s[rows] for group, rows in by_sample(jobs).items()}
