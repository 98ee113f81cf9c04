"""Which jobs are ready, in their order, and the hosts that some had better not go to again."""

from __future__ import annotations

import heapq
import itertools
from bisect import insort
from collections.abc import Mapping, Sequence
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
    """Jobs of one kind and hosts to avoid, by their places in the order.

    Most are there from the beginning, the rest is heaped. `head`, at `place`, is what `ReadyJobs`
    has in its list for this group.
    """

    __slots__ = ("_end", "_heap", "_next", "_row", "avoid", "head", "kind", "place")

    def __init__(self, kind: Kind, avoid: tuple[int, ...], places: Sequence[int] = ()) -> None:
        self.kind = kind
        self.avoid = avoid
        self.head: Ready | None = None
        self.place = -1
        self._row = places
        self._next, self._end = 0, len(places)
        self._heap: list[int] = []

    def push(self, place: int) -> None:
        heapq.heappush(self._heap, place)

    def first(self) -> int | None:
        row = int(self._row[self._next]) if self._next < self._end else None
        if self._heap and (row is None or self._heap[0] <= row):
            return self._heap[0]
        return row

    def following(self, most: int) -> npt.NDArray[Any]:
        """Give the first so far as they stand in the row, without those that are heaped."""
        row = np.asarray(self._row[self._next : min(self._next + most, self._end)])
        return row[: np.searchsorted(row, self._heap[0])] if self._heap else row

    def drop(self) -> None:
        """Drop the first."""
        if self._heap and self._heap[0] == self.first():
            heapq.heappop(self._heap)
        else:
            self._next += 1


class ReadyJobs:
    """A queue for each kind of jobs and hosts to avoid: a few groups, of many jobs one.

    Their heads are kept in order, so that the next job costs the same however many there are. The
    order is that of the jobs' numbers until `start_in` gives another.

    Parameters
    ----------
    jobs : mapping of str to ndarray
        The columns ``kind`` and ``state``; what is not ready any more is passed over.
    """

    def __init__(self, jobs: Mapping[str, npt.NDArray[Any]]) -> None:
        self._kinds = jobs["kind"]
        self._states = jobs["state"]
        self._avoid: dict[int, tuple[int, ...]] = {}
        self._held: set[int] = set()
        self._job_at: npt.NDArray[np.integer[Any]] | None = None
        self._place_of: npt.NDArray[np.integer[Any]] | None = None
        self._groups: dict[tuple[int, tuple[int, ...]], _Group] = {}
        self._heads: list[tuple[int, _Group]] = []
        self.queue_all()

    def queue_all(self) -> None:
        """Queue anew what is ready; no host is to be avoided any more."""
        self._avoid.clear()
        self._held.clear()
        self._queue()

    def start_in(self, order: npt.NDArray[np.integer[Any]]) -> None:
        """Let jobs start in another order from now on.

        Parameters
        ----------
        order : ndarray of shape (n_jobs,)
            All job numbers, the first to start first.
        """
        self._job_at = self._place_of = None
        if np.array_equal(order, np.arange(len(order))):
            self._queue()
            return
        self._job_at = order.astype(np.int32)
        self._place_of = np.empty_like(self._job_at)
        self._place_of[self._job_at] = np.arange(len(order), dtype=np.int32)
        self._queue()

    def _queue(self) -> None:
        self._groups.clear()
        self._heads.clear()
        ready = self._states == JobState.READY
        ready[list(self._avoid)] = False
        kinds = self._kinds
        if self._job_at is not None:
            ready, kinds = ready[self._job_at], kinds[self._job_at]
        places = np.flatnonzero(ready).astype(np.int32)
        for kind in Kind:
            of_kind = places[kinds[places] == kind]
            if len(of_kind):
                group = self._groups[kind, ()] = _Group(kind, (), of_kind)
                self._put_head(group)
        for job in self._avoid:
            if self._states.item(job) == JobState.READY:
                self.push(job)

    def push(self, job: int) -> None:
        """Queue a job that is ready."""
        avoid = self._avoid.get(job, ())
        kind = Kind(self._kinds.item(job))
        group = self._groups.get((kind, avoid))
        if group is None:
            group = self._groups[kind, avoid] = _Group(kind, avoid)
        place = job if self._place_of is None else self._place_of.item(job)
        group.push(place)
        if group.head is None or place < group.place:
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
        """Give the first job of each group, the first in the order first.

        The work grows with the groups, not with the jobs.
        """
        heads: list[Ready] = []
        at = 0
        while at < len(self._heads):
            place, group = self._heads[at]
            head = group.head
            # An entry that is out of date, or there twice, stands for no group.
            stands = head is not None and group.place == place
            stands = stands and (not heads or heads[-1] is not head)
            if head is not None and stands and self._belongs(head.job, group):
                heads.append(head)
                at += 1
                continue
            del self._heads[at]
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
        places = group.following(most)
        if not len(places) or places[0] != group.place:
            return [ready.job]
        others = [
            place for place, other in self._heads if other is not group and place > group.place
        ]
        if others:
            places = places[: np.searchsorted(places, min(others))]
        jobs = places if self._job_at is None else self._job_at[places]
        out = np.flatnonzero(self._states[jobs] != _READY)
        found: list[int] = (jobs[: out[0]] if len(out) else jobs).tolist()
        if self._held or self._avoid:
            return list(itertools.takewhile(lambda job: self._belongs(job, group), found))
        return found

    def _put_head(self, group: _Group) -> None:
        """Put the head of a group among the others, behind all that come before it."""
        place = group.first()
        while place is not None and self._states.item(self._job(place)) != _READY:
            group.drop()
            place = group.first()
        if place is None:
            group.head = None
            del self._groups[group.kind, group.avoid]
        else:
            group.place = place
            group.head = Ready(self._job(place), group.kind, group.avoid)
            insort(self._heads, (place, group), key=_place)

    def _job(self, place: int) -> int:
        return place if self._job_at is None else self._job_at.item(place)

    def _belongs(self, job: int, group: _Group) -> bool:
        return (
            self._states.item(job) == _READY
            and job not in self._held
            and self._avoid.get(job, ()) == group.avoid
        )


def _place(head: tuple[int, _Group]) -> int:
    return head[0]
