"""A run in short: how many jobs are in which state, and the few rows that a person looks at.

A million jobs are counted as they stand in the file; names and texts are put into what is shown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.status import StatusFile

__all__ = ["Failing", "Overview"]

_MOST_ROWS = 40
_MOST_FILES = 10
_TELLING = (
    JobState.FAILED,
    JobState.RUNNING,
    JobState.READY,
    JobState.WAITING,
    JobState.DONE,
)
"""Of the states, those whose jobs are shown before others."""


@dataclass(frozen=True)
class Failing:
    """Jobs that failed alike.

    Attributes
    ----------
    count : int
    first : void
        The one of the lowest number, a row of `hvmpi.campaign.status.Status.jobs`.
    """

    count: int
    first: Any


@dataclass(frozen=True)
class Overview:
    """What is shown of a run.

    Attributes
    ----------
    path : Path
        Of the status file.
    attributes : dict
        The root attributes.
    states : Counter of JobState
        Jobs in each.
    done : Counter of Kind
        Jobs of each kind that are done.
    events : Counter of Kind
        Events in what jobs of that kind made.
    busy : int
        Ranks that have jobs: each runs one of them.
    chosen : int
        Jobs in the state that was asked for; all if none was.
    shown : ndarray
        The most telling of these, rows of `hvmpi.campaign.status.Status.jobs`.
    failing : list of Failing
        Jobs that failed for good, most frequent first; those that never started are behind.
    put_aside : list of str
        Why event files are not fit for use; the first ones.
    left_out : list of (str, str)
        Host and reason of the ranks that got no jobs.
    """

    path: Path
    attributes: dict[str, Any]
    states: Counter[JobState]
    done: Counter[Kind]
    events: Counter[Kind]
    busy: int
    chosen: int
    shown: npt.NDArray[Any]
    failing: list[Failing]
    put_aside: list[str]
    left_out: list[tuple[str, str]]

    @classmethod
    def of(
        cls, file: StatusFile, *, state: JobState | None = None, all_rows: bool = False
    ) -> Overview:
        """Look through a status file.

        Parameters
        ----------
        file : StatusFile
        state : JobState, optional
            Only jobs in that state are shown.
        all_rows : bool
            Whether all of them are.
        """
        order = _TELLING if state is None else (state,)
        found = _Found(order, None if all_rows else _MOST_ROWS)
        for jobs in file.parts("jobs"):
            found.take(jobs)
        return cls(
            path=file.path,
            attributes=file.attributes,
            states=Counter({one: int(found.states[one]) for one in JobState}),
            done=Counter({kind: int(found.done[kind]) for kind in Kind}),
            events=Counter({kind: int(found.events[kind]) for kind in Kind}),
            busy=len(found.busy),
            chosen=int(sum(found.states[one] for one in order)),
            shown=file.joined_jobs(found.shown()),
            failing=found.failing(file),
            put_aside=file.put_aside(_MOST_FILES),
            left_out=file.left_out()[["host", "reason"]].tolist(),
        )


class _Found:
    """What was found in the parts of ``jobs`` so far."""

    def __init__(self, order: tuple[JobState, ...], most: int | None) -> None:
        self.states = np.zeros(len(JobState), dtype=np.int64)
        self.done = np.zeros(len(Kind), dtype=np.int64)
        self.events = np.zeros(len(Kind), dtype=np.int64)
        self.busy: set[int] = set()
        self._order = order
        self._most = most
        self._kept: dict[JobState, list[npt.NDArray[Any]]] = {state: [] for state in order}
        self._failing: dict[bool, dict[int, list[Any]]] = {True: {}, False: {}}

    def take(self, jobs: npt.NDArray[Any]) -> None:
        """Take in some rows."""
        states = np.ascontiguousarray(jobs["state"])
        self.states += np.bincount(states, minlength=len(JobState))
        self.busy.update(jobs["rank"][states == JobState.RUNNING].tolist())
        done = jobs[["kind", "events_out"]][states == JobState.DONE]
        self.done += np.bincount(done["kind"], minlength=len(Kind))
        for kind in Kind:
            self.events[kind] += done["events_out"][done["kind"] == kind].sum()
        for state in self._order:
            kept = self._kept[state]
            wanted = None if self._most is None else self._most - sum(map(len, kept))
            if wanted is None or wanted > 0:
                rows = np.flatnonzero(states == state)[:wanted]
                if len(rows):
                    kept.append(jobs[rows])
        failed = jobs[states == JobState.FAILED]
        self._group(failed[failed["attempts"] > 0], began=True)
        self._group(failed[failed["attempts"] == 0], began=False)
        self._dtype = jobs.dtype

    def _group(self, failed: npt.NDArray[Any], *, began: bool) -> None:
        groups = self._failing[began]
        alike = (
            failed["outcome"].astype(np.int64) << 48
            | failed["failure"].astype(np.int64) << 40
            | failed["reason"].astype(np.int64) + 1
        )
        keys, firsts, counts = np.unique(alike, return_index=True, return_counts=True)
        for place in np.argsort(firsts):
            group = groups.setdefault(int(keys[place]), [0, failed[firsts[place]]])
            group[0] += int(counts[place])

    def shown(self) -> npt.NDArray[Any]:
        """Give the rows to be shown, by their number."""
        parts = [rows for state in self._order for rows in self._kept[state]]
        rows = np.concatenate([np.empty(0, dtype=self._dtype), *parts])
        return np.sort(rows[: self._most], order="job")

    def failing(self, file: StatusFile) -> list[Failing]:
        """Give the groups of jobs that failed, most frequent first."""
        groups = [
            group
            for began in (True, False)
            for group in sorted(self._failing[began].values(), key=lambda group: -group[0])
        ]
        firsts = file.joined_jobs(np.array([first for _, first in groups], dtype=self._dtype))
        return [Failing(count, first) for (count, _), first in zip(groups, firsts, strict=True)]
