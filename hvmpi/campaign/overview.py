"""A run in short: how many jobs are in which state, and the few rows that a person looks at.

A million jobs are counted as they stand in the file; names and texts are put into what is shown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.speed import Speed, Work
from hvmpi.campaign.standing import Selection, Standing, UnderWay
from hvmpi.campaign.status import StatusFile

__all__ = ["MOST_ROWS", "Failing", "Overview"]

MOST_ROWS = 40
"""Jobs that are shown as a rule."""

_MOST_FILES = 10
_TELLING = (
    Standing.FAILED,
    Standing.RUNNING,
    Standing.AHEAD,
    Standing.READY,
    Standing.WAITING,
    Standing.DONE,
)
"""Jobs that stand so are shown before others."""

_EVERY = Selection()


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
    states : Counter of Standing
        Jobs of each.
    jobs, done : Counter of Kind
        Jobs of each kind; those that are done.
    events : Counter of Kind
        Events in what jobs of that kind made.
    speed : Speed
    chosen : int
        Jobs that were asked for.
    shown : ndarray
        The most telling of these, rows of `hvmpi.campaign.status.Status.jobs`; their ``state`` is
        the `Standing`, the ``wall_s`` of what runs the time until now.
    failing : list of Failing
        Jobs that failed for good, most frequent first; those that never started are behind.
    put_aside : list of str
        Why event files are not fit for use; the first ones.
    left_out : list of (str, str)
        Host and reason of the ranks that got no jobs.
    """

    path: Path
    attributes: dict[str, Any]
    states: Counter[Standing]
    jobs: Counter[Kind]
    done: Counter[Kind]
    events: Counter[Kind]
    speed: Speed
    chosen: int
    shown: npt.NDArray[Any]
    failing: list[Failing]
    put_aside: list[str]
    left_out: list[tuple[str, str]]

    @classmethod
    def of(
        cls,
        file: StatusFile,
        *,
        selection: Selection = _EVERY,
        most: int = MOST_ROWS,
    ) -> Overview:
        """Look through a status file.

        Parameters
        ----------
        file : StatusFile
        selection : Selection
            The jobs that are shown; all are counted.
        most : int
            How many of them at most, the most telling ones.

        Raises
        ------
        UsageError
            If no job was on the host that was asked for.
        """
        under_way = UnderWay.of(file)
        now = file.attributes["updated"]
        work = Work(under_way, file.attributes["started"], now)
        found = _Found(selection, selection.host_row(file), most)
        for jobs in file.parts("jobs"):
            standings = under_way.standings(jobs)
            found.take(jobs, standings)
            work.take(jobs, standings)
        rows, standings = found.shown()
        return cls(
            path=file.path,
            attributes=file.attributes,
            states=Counter({one: int(found.states[one]) for one in Standing}),
            jobs=_counted(work.jobs),
            done=_counted(work.done),
            events=_counted(work.events),
            speed=work.speed(in_progress=under_way.in_progress, launches=file.launches),
            chosen=found.chosen,
            shown=under_way.told(file.joined_jobs(rows), standings, now),
            failing=found.failing(file),
            put_aside=file.put_aside(_MOST_FILES),
            left_out=file.left_out()[["host", "reason"]].tolist(),
        )

    def fewer(self, most: int) -> Overview:
        """Show the most telling of the jobs only."""
        telling = [_TELLING.index(Standing[state.upper()]) for state in self.shown["state"]]
        chosen = np.sort(np.argsort(telling, kind="stable")[:most])
        return replace(self, shown=self.shown[chosen])


def _counted(by_kind: npt.NDArray[Any]) -> Counter[Kind]:
    return Counter({kind: int(by_kind[kind]) for kind in Kind})


class _Found:
    """What was found in the parts of ``jobs`` so far."""

    def __init__(self, selection: Selection, host_row: int, most: int) -> None:
        self.states = np.zeros(len(Standing), dtype=np.int64)
        self.chosen = 0
        self._selection = selection
        self._host_row = host_row
        self._most = most
        self._kept: dict[Standing, list[npt.NDArray[Any]]] = {one: [] for one in _TELLING}
        self._failing: dict[bool, dict[int, list[Any]]] = {True: {}, False: {}}

    def take(self, jobs: npt.NDArray[Any], standings: npt.NDArray[np.uint8]) -> None:
        """Take in some rows, and the `Standing` of each."""
        self._dtype = jobs.dtype
        self.states += np.bincount(standings, minlength=len(Standing))
        chosen = self._selection.chosen(jobs, standings, self._host_row)
        self.chosen += int(np.count_nonzero(chosen))
        for standing, kept in self._kept.items():
            wanted = self._most - sum(map(len, kept))
            if wanted > 0:
                rows = np.flatnonzero(chosen & (standings == standing))[:wanted]
                if len(rows):
                    kept.append(jobs[rows])
        failed = jobs[standings == Standing.FAILED]
        self._group(failed[failed["attempts"] > 0], began=True)
        self._group(failed[failed["attempts"] == 0], began=False)

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

    def shown(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Give the rows to be shown, by their number, and the `Standing` of each."""
        parts = [rows for kept in self._kept.values() for rows in kept]
        lengths = [sum(map(len, kept)) for kept in self._kept.values()]
        standings = np.repeat(np.array(list(self._kept), dtype=np.uint8), lengths)[: self._most]
        rows = np.concatenate([np.empty(0, dtype=self._dtype), *parts])[: self._most]
        order = np.argsort(rows["job"])
        return rows[order], standings[order]

    def failing(self, file: StatusFile) -> list[Failing]:
        """Give the groups of jobs that failed, most frequent first."""
        groups = [
            group
            for began in (True, False)
            for group in sorted(self._failing[began].values(), key=lambda group: -group[0])
        ]
        firsts = file.joined_jobs(np.array([first for _, first in groups], dtype=self._dtype))
        return [Failing(count, first) for (count, _), first in zip(groups, firsts, strict=True)]
