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
        are those of reconstruction, where the run has any to do; None while there are none.
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
        kinds = np.ascontiguousarray(jobs["kind"])
        is_done = standings == Standing.DONE
        is_running = standings == Standing.RUNNING
        waits = ~is_done & ~is_running & (standings != Standing.FAILED)
        ends = jobs["started"] + jobs["wall_s"]
        self._last_end = max(self._last_end, ends.max(where=is_done, initial=0.0))
        is_late = is_done & (ends > self._now - WINDOW_S)
        # Columns are summed up where they stand: to copy rows takes ten times as long.
        for kind in np.flatnonzero(np.bincount(kinds)):
            of_kind = kinds == kind
            done, late, left = is_done & of_kind, is_late & of_kind, waits & of_kind
            self.jobs[kind] += np.count_nonzero(of_kind)
            self.done[kind] += np.count_nonzero(done)
            self.events[kind] += jobs["events_out"].sum(where=done)
            self._given[kind] += jobs["events"].sum(where=done)
            self._wall_s[kind] += jobs["wall_s"].sum(where=done, dtype=np.float64)
            self._lately[kind] += np.count_nonzero(late)
            self._events_lately[kind] += jobs["events_out"].sum(where=late)
            self._left[kind] += jobs["events"].sum(where=left)
            longest = jobs["events"].max(where=left, initial=0)
            self._longest[kind] = max(self._longest[kind], longest)
        for job, kind, events in jobs[["job", "kind", "events"]][is_running].tolist():
            spent_s = self._now - self._began.get(job, self._now)
            self._running.append((kind, events, max(spent_s, 0.0)))

    def speed(self, *, in_progress: bool, launches: int) -> Speed:
        """Say how fast the run goes."""
        if in_progress:
            hours = min(WINDOW_S, self._now - self._started) / 3600.0
            rates = self._rates(self._lately, self._events_lately, hours)
            return Speed(*rates, *self._foreseen())
        if launches > 1:
            return Speed(None, None, None, "")
        hours = (self._last_end - self._started) / 3600.0
        return Speed(*self._rates(self.done, self.events, hours), None, "")

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
        self, jobs: npt.NDArray[Any], events: npt.NDArray[Any], hours: float
    ) -> tuple[float | None, float | None]:
        if hours <= 0.0 or not jobs.any():
            return None, None
        told = Kind.RECONSTRUCTION if self.jobs[Kind.RECONSTRUCTION] else Kind.GENERATION
        return float(jobs.sum() / hours), float(events[told] / hours) if events[told] else None
