"""Which jobs are ready, lowest number first, and the hosts that some had better not go to again."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import JobState, Kind

__all__ = ["Ready", "ReadyJobs"]


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


class ReadyJobs:
    """A heap for each kind of jobs and hosts to avoid: a few groups, of many jobs one.

    Parameters
    ----------
    jobs : mapping of str to ndarray
        The columns ``kind`` and ``state``; what is not ready any more is passed over.
    """

    def __init__(self, jobs: Mapping[str, npt.NDArray[Any]]) -> None:
        self._jobs = jobs
        self._avoid: dict[int, tuple[int, ...]] = {}
        self._held: set[int] = set()
        self._groups: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        self.queue_all()

    def queue_all(self) -> None:
        """Queue anew what is ready; no host is to be avoided any more."""
        self._avoid.clear()
        self._held.clear()
        self._groups.clear()
        ready = np.flatnonzero(self._jobs["state"] == JobState.READY)
        for kind in Kind:
            jobs = ready[self._jobs["kind"][ready] == kind].tolist()
            if jobs:
                # An ascending list is a heap already.
                self._groups[kind, ()] = jobs

    def push(self, job: int) -> None:
        """Queue a job that is ready."""
        heapq.heappush(self._groups.setdefault(self._group(job), []), job)

    def hold(self, job: int) -> None:
        """Keep a job that is ready from being given out, until `release`."""
        self._held.add(job)

    def release(self, job: int) -> None:
        """Give a job free again."""
        if job in self._held:
            self._held.discard(job)
            if self._jobs["state"][job] == JobState.READY:
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
        heads = []
        for group, jobs in list(self._groups.items()):
            while jobs and not self._belongs(jobs[0], group):
                heapq.heappop(jobs)
            if jobs:
                heads.append(Ready(jobs[0], Kind(group[0]), group[1]))
            else:
                del self._groups[group]
        return sorted(heads, key=lambda ready: ready.job)

    def _belongs(self, job: int, group: tuple[int, tuple[int, ...]]) -> bool:
        ready: bool = self._jobs["state"][job] == JobState.READY
        return ready and job not in self._held and self._group(job) == group

    def _group(self, job: int) -> tuple[int, tuple[int, ...]]:
        return int(self._jobs["kind"][job]), self._avoid.get(job, ())
