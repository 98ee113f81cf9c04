"""The course of a run: what ran where and when, put together by rank and by time.

Of a million attempts no more is kept than a page can show: they are read some thousand at a time,
and added up in bins of time for each rank, or for some ranks together where there are many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import JobState, Kind, Outcome
from hvmpi.campaign.status import StatusFile
from hvmpi.report.clock import BINS, Clock, Floats, counted, in_bins, shares, spread
from hvmpi.report.ranks import Ranks

__all__ = ["Bars", "Course", "Group"]

_MOST_BARS = 3000
_MOST_LANES_OF_BARS = 64
_LEAST_WIDTH = 1e-3
"""Of a bin: what takes less is not known to."""


@dataclass(frozen=True)
class Bars:
    """Attempts, one by one; arrays of shape (n_attempts,).

    Attributes
    ----------
    lane : ndarray of int
        Line that each is in.
    first, last : ndarray of float
        Seconds of the clock.
    kind : ndarray of int
        `Kind` of its job.
    failed, needless, again, going : ndarray of bool
        Failed; was stopped, and another attempt did the job; began while another attempt of its job
        was under way; has not ended.
    """

    lane: npt.NDArray[np.int64]
    first: Floats
    last: Floats
    kind: npt.NDArray[np.uint8]
    failed: npt.NDArray[np.bool_]
    needless: npt.NDArray[np.bool_]
    again: npt.NDArray[np.bool_]
    going: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Group:
    """What the ranks of a host did, or, where there is one host, what a rank did.

    Attributes
    ----------
    name : str
    ranks, attempts, failed, events : int
        Events: of jobs that were done there, without event files that were made.
    there_s, busy_s, cpu_s : float
        Time that its ranks were there, that they had attempts, and processor time of these.
    mean_rss_mb, max_rss_mb : float
        Of the attempts that say so; 0 where none does.
    """

    name: str
    ranks: int
    attempts: int
    failed: int
    events: int
    there_s: float
    busy_s: float
    cpu_s: float
    mean_rss_mb: float
    max_rss_mb: float

    @property
    def busy(self) -> float:
        """Share of the time that its ranks had something to do."""
        return min(self.busy_s / self.there_s, 1.0) if self.there_s else 0.0

    @property
    def efficiency(self) -> float:
        """Processor time over wall time of attempts; above 1 where jobs have several cores."""
        return self.cpu_s / self.busy_s if self.busy_s else 0.0


@dataclass(frozen=True)
class Course:
    """What ran where and when.

    Attributes
    ----------
    clock : Clock
    hosts, ranks, attempts, failed, needless : int
        Attempts: those that began; of these, those that failed, and those that were stopped, and
        whose job another did.
    lanes : tuple of str
        Names of the lines of `busy`, `failures` and `bars`.
    lanes_are : str
        ``ranks``, ``hosts``, or how many hosts together.
    hosts_of_lanes : tuple of str
        Host of each line, the first of several.
    busy : ndarray of shape (n_lanes, BINS)
        Share of a bin in which the ranks of a line had attempts.
    failures : ndarray of int of shape (n_lanes, BINS)
        Attempts that failed and ended in that bin.
    bars : Bars or None
        The attempts themselves, where they are few.
    groups : tuple of Group
        By host, or by rank where there is one host.
    rates : dict of Kind to ndarray of shape (BINS,)
        Events a second that generation and reconstruction made: those of a job that was done
        spread over the time that it took.
    done, lost : ndarray of shape (BINS,)
        Jobs that were done, and attempts that had failed, at the end of each bin.
    """

    clock: Clock
    hosts: int
    ranks: int
    attempts: int
    failed: int
    needless: int
    lanes: tuple[str, ...]
    lanes_are: str
    hosts_of_lanes: tuple[str, ...]
    busy: Floats
    failures: npt.NDArray[np.int64]
    bars: Bars | None
    groups: tuple[Group, ...]
    rates: dict[Kind, Floats]
    done: npt.NDArray[np.int64]
    lost: npt.NDArray[np.int64]

    @classmethod
    def of(cls, file: StatusFile) -> Course:
        """Look through a status file, some rows at a time."""
        jobs = _Jobs(file)
        ranks = Ranks(file)
        found = _Found(file, jobs, ranks)
        for rows in file.parts("attempts"):
            found.take(rows)
        return cls(
            clock=ranks.clock,
            hosts=ranks.hosts,
            ranks=ranks.count,
            attempts=found.attempts,
            failed=found.failed,
            needless=found.needless,
            lanes=tuple(ranks.lanes),
            lanes_are=ranks.lanes_are,
            hosts_of_lanes=tuple(ranks.hosts_of_lanes),
            busy=np.clip(shares(found.busy) / np.bincount(ranks.lane_of)[:, None], 0.0, 1.0),
            failures=found.failures,
            bars=found.bars(),
            groups=found.groups(),
            rates=jobs.rates(ranks.clock, file),
            done=jobs.done_by(ranks.clock, file),
            lost=np.cumsum(found.failures.sum(axis=0)),
        )

    @property
    def busy_s(self) -> float:
        """Time that ranks had attempts, all together."""
        return sum(group.busy_s for group in self.groups)

    @property
    def there_s(self) -> float:
        """Time that ranks were there, all together."""
        return sum(group.there_s for group in self.groups)

    @property
    def cpu_s(self) -> float:
        """Processor time of all attempts."""
        return sum(group.cpu_s for group in self.groups)


# Reading


class _Jobs:
    """Of every job its kind and state, and how often it was tried."""

    def __init__(self, file: StatusFile) -> None:
        parts = [
            (rows["kind"].astype(np.uint8), rows["state"].astype(np.uint8), rows["attempts"] > 1)
            for rows in file.parts("jobs")
        ]
        self.kind, self.state, self.several = map(np.concatenate, zip(*parts, strict=True))

    def rates(self, clock: Clock, file: StatusFile) -> dict[Kind, Floats]:
        """Give events a second by time, of the kinds of jobs that make events."""
        kinds = (Kind.GENERATION, Kind.RECONSTRUCTION)
        grid = np.zeros((len(kinds), BINS + 2))
        for rows in _done(file):
            for line, kind in enumerate(kinds):
                own = rows[rows["kind"] == kind]
                first, last = in_bins(clock, own["started"], own["started"] + own["wall_s"])
                last = np.maximum(last, first + _LEAST_WIDTH)
                each = own["events_out"] / (last - first)
                spread(grid, np.full(len(own), line), first, last, each)
        width_s = clock.total_s / BINS
        return dict(zip(kinds, shares(grid) / width_s, strict=True))

    def done_by(self, clock: Clock, file: StatusFile) -> npt.NDArray[np.int64]:
        """Count the jobs that were done at the end of each bin."""
        ends = np.zeros(BINS, dtype=np.int64)
        for rows in _done(file):
            ends += counted(clock, rows["started"] + rows["wall_s"])
        return np.cumsum(ends)


def _done(file: StatusFile) -> Any:
    for rows in file.parts("jobs"):
        done = rows[["kind", "started", "wall_s", "events_out"]][rows["state"] == JobState.DONE]
        if len(done):
            yield done


class _Found:
    """What was found in the parts of ``attempts`` so far."""

    def __init__(self, file: StatusFile, jobs: _Jobs, ranks: Ranks) -> None:
        self._jobs, self._ranks = jobs, ranks
        self.attempts = self.failed = self.needless = 0
        lanes = len(ranks.lanes)
        self.busy = np.zeros((lanes, BINS + 2))
        self.failures = np.zeros((lanes, BINS), dtype=np.int64)
        self._sums = np.zeros((6, len(ranks.groups)))
        self._most_mb = np.zeros(len(ranks.groups))
        self._events = np.zeros(len(ranks.groups), dtype=np.int64)
        self._seen = np.zeros((ranks.count, len(ranks.clock.launches)), dtype=bool)
        few = len(ranks.lanes) <= _MOST_LANES_OF_BARS and ranks.lanes_are == "ranks"
        self._kept: list[npt.NDArray[Any]] | None = [] if few else None
        self._count_events(file)

    def _count_events(self, file: StatusFile) -> None:
        for rows in file.parts("jobs"):
            made = (rows["state"] == JobState.DONE) & (rows["kind"] == Kind.RECONSTRUCTION)
            own = rows[made]
            if len(own):
                group = self._ranks.group_of[self._ranks.place(own)]
                np.add.at(self._events, group, own["events_out"])

    def take(self, rows: npt.NDArray[Any]) -> None:
        """Take in some rows."""
        ranks = self._ranks
        place = ranks.place(rows)
        group, lane = ranks.group_of[place], ranks.lane_of[place]
        failed, needless, began = self._judged(rows)
        first, last = in_bins(ranks.clock, rows["started"], ranks.last(rows))
        self.attempts += int(began.sum())
        self.failed += int(failed.sum())
        self.needless += int(needless.sum())
        self._seen[place, ranks.launch(rows)] = True
        spread(self.busy, lane, first, last, np.ones(len(rows)))
        at = np.minimum(last[failed].astype(np.int64), BINS - 1)
        np.add.at(self.failures, (lane[failed], at), 1)
        rss = rows["max_rss_mb"].astype(np.float64)
        columns = (began, failed, rows["wall_s"], rows["cpu_s"], rss > 0.0, rss)
        for sums, column in zip(self._sums, columns, strict=True):
            sums += np.bincount(group, column.astype(np.float64), len(sums))
        np.maximum.at(self._most_mb, group, rss)
        if self._kept is not None:
            self._kept.append(rows[began])
            if self.attempts > _MOST_BARS:
                self._kept = None

    def _judged(self, rows: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], ...]:
        """Say which attempts failed, which were stopped without need of them, which began."""
        outcome = rows["outcome"]
        done = self._jobs.state[rows["job"]] == JobState.DONE
        needless = (outcome == Outcome.INTERRUPTED) & done & ~self._ranks.is_open(rows)
        failed = (outcome != Outcome.DONE) & (outcome != Outcome.NONE) & ~needless
        # Others were given back, or left with a rank, before they began.
        ran = rows["wall_s"] > 0.0
        return failed, needless & ran, ~needless | ran

    def groups(self) -> tuple[Group, ...]:
        """Give what each group did."""
        ranks = self._ranks
        names = ranks.groups
        there = np.bincount(
            ranks.group_of, (self._seen * ranks.lasted_s()).sum(axis=1), minlength=len(names)
        )
        count = np.bincount(ranks.group_of, minlength=len(names))
        made, failed, wall, cpu, told, rss = self._sums
        return tuple(
            Group(
                name=name,
                ranks=int(count[at]),
                attempts=int(made[at]),
                failed=int(failed[at]),
                events=int(self._events[at]),
                there_s=float(there[at]),
                busy_s=float(wall[at]),
                cpu_s=float(cpu[at]),
                mean_rss_mb=float(rss[at] / told[at]) if told[at] else 0.0,
                max_rss_mb=float(self._most_mb[at]),
            )
            for at, name in enumerate(names)
        )

    def bars(self) -> Bars | None:
        """Give the attempts themselves; None where they are many."""
        if self._kept is None:
            return None
        ranks = self._ranks
        rows = np.concatenate(self._kept)
        rows = rows[np.argsort(rows["started"], kind="stable")]
        going = ranks.is_open(rows)
        place = ranks.place(rows)
        # Of those that a rank has, it runs the first; it may have been given others ahead.
        _, firsts = np.unique(
            np.column_stack([place, ranks.launch(rows)])[going], axis=0, return_index=True
        )
        runs = ~going
        runs[np.flatnonzero(going)[firsts]] = True
        again = self._began_beside(rows)
        failed, needless, _ = self._judged(rows)
        return Bars(
            lane=ranks.lane_of[place][runs],
            first=ranks.clock.at(rows["started"])[runs],
            last=ranks.clock.at(ranks.last(rows))[runs],
            kind=self._jobs.kind[rows["job"]][runs],
            failed=failed[runs],
            needless=needless[runs],
            again=again[runs],
            going=(rows["outcome"] == Outcome.NONE)[runs],
        )

    def _began_beside(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Say which attempts began while another of their job was under way."""
        again = np.zeros(len(rows), dtype=bool)
        until: dict[int, float] = {}
        last = self._ranks.last(rows)
        for at in np.flatnonzero(self._jobs.several[rows["job"]]).tolist():
            job = int(rows["job"][at])
            again[at] = float(rows["started"][at]) < until.get(job, -np.inf)
            until[job] = max(until.get(job, -np.inf), float(last[at]))
        return again
