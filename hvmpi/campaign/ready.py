"""Which jobs are ready, lowest number first, and the hosts that some had better not go to again."""

from __future__ import annotations

import heapq
import itertools
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import JobState, Kind

__all__ = ["Ready", "ReadyJobs"]


_READY = int(JobState.READY)


@dataclass(frozen=True, slots=True)
class Ready:
    """A job that may start.

    Attributes
    ----------
    job : int
    kind : Kind
    avoid : tuple of int
        Hosts on which its last attempts failed in a way that asks for another, the latest last.
    """

    job: int
    kind: Kind
    avoid: tuple[int, ...] = ()


class _Group:
    """Jobs of one kind and hosts to avoid: most in their order from the beginning, the rest heaped.

    `head` is what `ReadyJobs` has in its list for this group.
    """

    __slots__ = ("_end", "_heap", "_next", "_row", "avoid", "head", "kind")

    def __init__(self, kind: Kind, avoid: tuple[int, ...], jobs: Sequence[int] = ()) -> None:
        self.kind = kind
        self.avoid = avoid
        self.head: Ready | None = None
        self._row = jobs
        self._next, self._end = 0, len(jobs)
        self._heap: list[int] = []

    def push(self, job: int) -> None:
        heapq.heappush(self._heap, job)

    def lowest(self) -> int | None:
        row = int(self._row[self._next]) if self._next < self._end else None
        if self._heap and (row is None or self._heap[0] <= row):
            return self._heap[0]
        return row

    def following(self, most: int) -> npt.NDArray[Any]:
        """Give the lowest so far as they stand in the row, without those that are heaped."""
        row = np.asarray(self._row[self._next : min(self._next + most, self._end)])
        return row[: np.searchsorted(row, self._heap[0])] if self._heap else row

    def drop(self) -> None:
        """Drop the lowest."""
        if self._heap and self._heap[0] == self.lowest():
            heapq.heappop(self._heap)
        else:
            self._next += 1


class ReadyJobs:
    """A queue for each kind of jobs and hosts to avoid: a few groups, of many jobs one.

    Their heads are kept in order, so that the next job costs the same however many there are.

    Parameters
    ----------
    jobs : ndarray of shape (n_jobs,)
        With ``kind`` and ``state``; what is not ready any more is passed over.
    """

    def __init__(self, jobs: npt.NDArray[Any]) -> None:
        self._kinds = jobs["kind"]
        self._states = jobs["state"]
        self._avoid: dict[int, tuple[int, ...]] = {}
        self._held: set[int] = set()
        self._groups: dict[tuple[int, tuple[int, ...]], _Group] = {}
        self._heads: list[tuple[int, _Group]] = []
        self.queue_all()

    def queue_all(self) -> None:
        """Queue anew what is ready; no host is to be avoided any more."""
        self._avoid.clear()
        self._held.clear()
        self._groups.clear()
        self._heads.clear()
        ready = np.flatnonzero(self._states == JobState.READY).astype(np.int32)
        for kind in Kind:
            jobs = ready[self._kinds[ready] == kind]
            if len(jobs):
                group = self._groups[kind, ()] = _Group(kind, (), jobs)
                self._put_head(group)

    def push(self, job: int) -> None:
        """Queue a job that is ready."""
        avoid = self._avoid.get(job, ())
        kind = Kind(self._kinds.item(job))
        group = self._groups.get((kind, avoid))
        if group is None:
            group = self._groups[kind, avoid] = _Group(kind, avoid)
        group.push(job)
        if group.head is None or job < group.head.job:
            self._put_head(group)

    def hold(self, job: int) -> None:
        """Keep a job that is ready from being given out, until `release`."""
        self._held.add(job)

    def release(self, job: int) -> None:
        """Give a job free again."""
        if job in self._held:
            self._held.discard(job)
            if self._states[job] == JobState.READY:
                self.push(job)

    def avoid(self, job: int, host: int) -> None:
        """Let a job, before it is ready again, rather go to another host."""
        before = self._avoid.get(job, ())
        self._avoid[job] = (*(other for other in before if other != host), host)

    def forget(self, job: int) -> None:
        """Let a job go to any host."""
        self._avoid.pop(job, None)

    def heads(self) -> list[Ready]:
        """Give the job of the lowest number of each group, lowest first.

        The work grows with the groups, not with the jobs.
        """
        heads: list[Ready] = []
        place = 0
        while place < len(self._heads):
            job, group = self._heads[place]
            head = group.head
            # An entry that is out of date, or there twice, stands for no group.
            stands = head is not None and head.job == job and (not heads or heads[-1] is not head)
            if head is not None and stands and self._belongs(job, group):
                heads.append(head)
                place += 1
                continue
            del self._heads[place]
            if stands:
                group.drop()
                self._put_head(group)
        return heads

    def first(self, ready: Ready, most: int) -> list[int]:
        """Give a head, and the jobs of its group that are next behind it of all that are ready.

        Parameters
        ----------
        ready : Ready
            One of `heads`; what is behind those before it is not looked at.
        most : int
            How many at most.
        """
        group = self._groups[ready.kind, ready.avoid]
        jobs = group.following(most)
        if not len(jobs) or jobs[0] != ready.job:
            return [ready.job]
        others = [job for job, other in self._heads if other is not group and job > ready.job]
        if others:
            jobs = jobs[: np.searchsorted(jobs, min(others))]
        out = np.flatnonzero(self._states[jobs] != _READY)
        found: list[int] = (jobs[: out[0]] if len(out) else jobs).tolist()
        if self._held or self._avoid:
            return list(itertools.takewhile(lambda job: self._belongs(job, group), found))
        return found

    def _put_head(self, group: _Group) -> None:
        """Put the head of a group among the others, behind all that are lower."""
        job = group.lowest()
        while job is not None and self._states.item(job) != _READY:
            group.drop()
            job = group.lowest()
        if job is None:
            group.head = None
            del self._groups[group.kind, group.avoid]
        else:
            group.head = Ready(job, group.kind, group.avoid)
            insort(self._heads, (job, group), key=_number)

    def _belongs(self, job: int, group: _Group) -> bool:
        return (
            self._states.item(job) == _READY
            and job not in self._held
            and self._avoid.get(job, ()) == group.avoid
        )


def _number(head: tuple[int, _Group]) -> int:
    return head[0]
