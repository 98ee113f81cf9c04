"""How fast a run goes, and how long it takes yet, as far as what is done tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.standing import Standing, UnderWay

__all__ = ["WINDOW_S", "Speed", "Work"]

WINDOW_S = 3600.0
"""A run in progress goes as fast as it did for so long."""

_FORESEEN = (Kind.LIBRARY, Kind.GENERATION, Kind.RECONSTRUCTION)
"""There is one merge at most, the last job, and nothing to tell its time by."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a run goes.

    Attributes
    ----------
    jobs_per_hour, events_per_hour : float or None
        Of a run in progress in the last `WINDOW_S`, or since it began; of one that has ended, from
        its beginning to the end of its last job, and None if it was started more than once. Events
        are those of reconstruction, where there is any.
    left_s : float or None
        What is left of a run in progress without failures, by the mean time that an event took of
        the done jobs of each kind, shared by the ranks that run jobs; None where that is not known.
    unknown : str
        Why not; empty where it is, or where nothing is left.
    """

    jobs_per_hour: float | None
    events_per_hour: float | None
    left_s: float | None
    unknown: str


class Work:
    """What the jobs of each kind came to, added up some rows of ``jobs`` at a time.

    Attributes
    ----------
    jobs, done, events : ndarray
        By `Kind`: jobs, those that are done, the events in what these made.
    """

    def __init__(self, under_way: UnderWay, started: float, now: float) -> None:
        self.jobs, self.done, self.events = np.zeros((3, len(Kind)), dtype=np.int64)
        self._given, self._wall_s, self._left, self._longest = np.zeros((4, len(Kind)))
        self._lately, self._events_lately = np.zeros((2, len(Kind)))
        self._running: list[tuple[int, int, float]] = []
        self._began = under_way.began
        self._started = started
        self._now = now
        self._last_end = started

    def take(self, jobs: npt.NDArray[Any], standings: npt.NDArray[np.uint8]) -> None:
        """Take in some rows, and the `Standing` of each."""
        self.jobs += _by_kind(jobs)
        done = jobs[["kind", "events", "events_out", "started", "wall_s"]][
            standings == Standing.DONE
        ]
        self.done += _by_kind(done)
        self.events += _by_kind(done, done["events_out"]).astype(np.int64)
        self._given += _by_kind(done, done["events"])
        self._wall_s += _by_kind(done, done["wall_s"])
        ends = done["started"] + done["wall_s"]
        self._last_end = max(self._last_end, ends.max(initial=0.0))
        lately = done[ends > self._now - WINDOW_S]
        self._lately += _by_kind(lately)
        self._events_lately += _by_kind(lately, lately["events_out"])
        waits = (standings != Standing.DONE) & (standings != Standing.FAILED)
        is_running = standings == Standing.RUNNING
        for job, kind, events in jobs[["job", "kind", "events"]][is_running].tolist():
            spent_s = self._now - self._began.get(job, self._now)
            self._running.append((kind, events, max(spent_s, 0.0)))
        left = jobs[["kind", "events"]][waits & ~is_running]
        self._left += _by_kind(left, left["events"])
        np.maximum.at(self._longest, left["kind"], left["events"])

    def speed(self, *, in_progress: bool, launches: int) -> Speed:
        """Say how fast the run goes."""
        if in_progress:
            hours = min(WINDOW_S, self._now - self._started) / 3600.0
            rates = _rates(self._lately, self._events_lately, hours)
            return Speed(*rates, *self._foreseen())
        if launches > 1:
            return Speed(None, None, None, "")
        hours = (self._last_end - self._started) / 3600.0
        return Speed(*_rates(self.done, self.events, hours), None, "")

    def _foreseen(self) -> tuple[float | None, str]:
        """Give the seconds that are left, or None and why they are not known."""
        per_event_s = np.divide(
            self._wall_s, self._given, out=np.zeros(len(Kind)), where=self._given > 0
        )
        left_s, longest_s = 0.0, 0.0
        for kind in _FORESEEN:
            running = [(events, spent_s) for k, events, spent_s in self._running if k == kind]
            if not (self._left[kind] or running):
                continue
            if not self._given[kind]:
                return None, f"no {kind.name.lower()} job is done yet"
            times = [max(events * per_event_s[kind] - spent_s, 0.0) for events, spent_s in running]
            left_s += self._left[kind] * per_event_s[kind] + sum(times)
            longest_s = max(longest_s, self._longest[kind] * per_event_s[kind], *times)
        if not left_s:
            return None, ""
        if not self._running:
            return None, "no rank runs a job"
        return max(left_s / len(self._running), longest_s), ""


def _rates(
    jobs: npt.NDArray[Any], events: npt.NDArray[Any], hours: float
) -> tuple[float | None, float | None]:
    if hours <= 0.0 or not jobs.any():
        return None, None
    told = Kind.RECONSTRUCTION if events[Kind.RECONSTRUCTION] else Kind.GENERATION
    return float(jobs.sum() / hours), float(events[told] / hours)


def _by_kind(jobs: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
    return np.bincount(jobs["kind"], weights, minlength=len(Kind))
