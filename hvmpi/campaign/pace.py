"""How far a campaign is while it runs, how fast it goes, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.durations import by_sample
from hvmpi.campaign.jobs import JobState, Kind, Outcome
from hvmpi.campaign.ledger import Ledger

__all__ = ["Pace", "Progress"]

_REMEMBERED = 4096
_SINGLE = (Kind.LIBRARY, Kind.MERGE)
"""Kinds of which a campaign has one job: nobody knows how long it takes before it is done."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a campaign is.

    Attributes
    ----------
    elapsed_s : float
        Since this launch began, s.
    events_done, events : int
        Of reconstruction; of generation where nothing is reconstructed. An event counts when its
        job is done.
    jobs_done, jobs, failed, unfinished : int
        All jobs; those that failed for good, and those that are neither done nor failed.
    events_per_s : float
        Events done in this launch, by the time since it began.
    left_s : float or None
        Expected time until no job is left, s; None while nothing tells.
    """

    elapsed_s: float
    events_done: int
    events: int
    jobs_done: int
    jobs: int
    failed: int
    unfinished: int
    events_per_s: float
    left_s: float | None


class Pace:
    """Looks at a ledger now and then; what ended in between costs nothing.

    Work is counted in the wall time of events, as measured for their sample and kind of job at the
    jobs that ended last. With W the work that was done in this launch, t the time until its last
    job was done, and R the work that is left, the rest takes R / min(W / t, jobs left): W / t is
    how many ranks work at once, and the last jobs cannot use more of them than there are jobs.

    Parameters
    ----------
    ledger : Ledger
    expected_s : mapping of Kind to float
        Wall time of a job of a kind in the mean, s, of what an earlier run measured.
    """

    def __init__(self, ledger: Ledger, expected_s: Mapping[Kind, float]) -> None:
        self._ledger = ledger
        self._expected_s = expected_s
        self._began = self._changed_at = time.monotonic()
        self._done_before = ledger.jobs["state"] == JobState.DONE
        self._jobs_done = ledger.counts[JobState.DONE]
        self._groups: _Groups | None = None

    def look(self) -> Progress:
        """Say how far the campaign is."""
        now = time.monotonic()
        if self._groups is None:
            self._groups = _Groups(self._ledger, self._expected_s, self._done_before)
        groups, counts = self._groups, self._ledger.counts
        if counts[JobState.DONE] != self._jobs_done:
            self._jobs_done, self._changed_at = counts[JobState.DONE], now
        groups.count()
        elapsed_s = now - self._began
        in_launch = int((groups.done - groups.done_before)[groups.told].sum())
        return Progress(
            elapsed_s=elapsed_s,
            events_done=int(groups.done[groups.told].sum()),
            events=int(groups.events[groups.told].sum()),
            jobs_done=counts[JobState.DONE],
            jobs=len(self._ledger.jobs),
            failed=counts[JobState.FAILED],
            unfinished=self._ledger.unfinished,
            events_per_s=in_launch / elapsed_s if elapsed_s > 0 else 0.0,
            left_s=self._left_s(groups, now),
        )

    def _left_s(self, groups: _Groups, now: float) -> float | None:
        if not self._ledger.unfinished:
            return 0.0
        event_s = groups.event_s()
        lasted_s = self._changed_at - self._began
        if event_s is None or lasted_s <= 0:
            return None
        ranks = float(event_s @ (groups.done - groups.done_before)) / lasted_s
        if ranks <= 0:
            return None
        rest_s = float(event_s @ groups.left) / min(ranks, self._ledger.unfinished)
        left_s = rest_s - (now - self._changed_at)
        return left_s if left_s > 0 else None


class _Groups:
    """The jobs of each kind and sample together.

    Attributes
    ----------
    events, done, done_before, left : ndarray of shape (n_groups,)
        Events of all jobs, of those that are done, that were done before this launch, and that are
        neither done nor failed for good.
    told : ndarray of bool, shape (n_groups,)
        Whether people are told of their events.
    """

    def __init__(
        self,
        ledger: Ledger,
        expected_s: Mapping[Kind, float],
        done_before: npt.NDArray[np.bool_],
    ) -> None:
        self._ledger = ledger
        jobs = len(ledger.jobs)
        self._group: npt.NDArray[np.int32] = np.empty(jobs, dtype=np.int32)
        self._events: npt.NDArray[np.int32] = np.empty(jobs, dtype=np.int32)
        numbers: dict[tuple[int, int], int] = {}
        first = 0
        # All of a million jobs at once would be the most that a master ever has in memory.
        for part in ledger.jobs.parts():
            rows = slice(first, first + len(part))
            self._events[rows] = part["events"]
            for key, those in by_sample(part).items():
                self._group[rows][those] = numbers.setdefault(key, len(numbers))
            first += len(part)
        self._kind = np.array([kind for kind, _ in numbers], dtype=np.uint8)
        shown = next((k for k in (Kind.RECONSTRUCTION, Kind.GENERATION) if k in self._kind), None)
        self.told = self._kind == (-1 if shown is None else shown)
        self.events = self._sum(np.ones(jobs, dtype=bool))
        self.done_before = self._sum(done_before)
        self.done = self.left = self.done_before
        self._measured_s = np.full(len(numbers), np.nan)
        self._before_s = np.array([self._expected(kind, expected_s) for kind in self._kind])

    def _expected(self, kind: int, expected_s: Mapping[Kind, float]) -> float:
        """Give the wall time of an event of a kind as measured before; NaN if it was not."""
        jobs = self._ledger.jobs["kind"] == kind
        events = float(self.events[self._kind == kind].sum())
        job_s = expected_s.get(Kind(kind), np.nan)
        return job_s * np.count_nonzero(jobs) / events if events else np.nan

    def _sum(self, jobs: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Sum up the events of some jobs by group."""
        summed: npt.NDArray[np.float64] = np.bincount(
            self._group[jobs], self._events[jobs], minlength=len(self._kind)
        ).astype(np.float64)  # of no job at all they are whole numbers
        return summed

    def count(self) -> None:
        """Count anew what is done and what is left."""
        states = self._ledger.jobs["state"]
        self.done = self._sum(states == JobState.DONE)
        self.left = self.events - self.done - self._sum(states == JobState.FAILED)

    def event_s(self) -> npt.NDArray[np.float64] | None:
        """Give the wall time of an event of each group, s; None while too little is known.

        A sample of which nothing was measured is taken for the mean of its kind.
        """
        self._measure()
        event_s = np.where(np.isnan(self._measured_s), self._before_s, self._measured_s)
        for kind in set(self._kind.tolist()):
            of_kind = self._kind == kind
            known = of_kind & ~np.isnan(event_s)
            mean_s = event_s[known].mean() if known.any() else np.nan
            if np.isnan(mean_s) and kind in _SINGLE:
                mean_s = 0.0
            event_s[of_kind & np.isnan(event_s)] = mean_s
        if np.isnan(event_s[self.left > 0]).any():
            return None
        return np.nan_to_num(event_s)

    def _measure(self) -> None:
        """Look at the attempts that were begun last, beside those that still run."""
        attempts = self._ledger.attempts
        most = _REMEMBERED + 2 * self._ledger.counts[JobState.RUNNING]
        last = attempts.take(np.arange(max(len(attempts) - most, 0), len(attempts)))
        last = last[last["outcome"] == Outcome.DONE]
        group = self._group[last["job"]]
        wall_s = np.bincount(group, last["wall_s"], minlength=len(self._kind))
        events = np.bincount(group, self._events[last["job"]], minlength=len(self._kind))
        seen = events > 0
        self._measured_s[seen] = wall_s[seen] / events[seen]
