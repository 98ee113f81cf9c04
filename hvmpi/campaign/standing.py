"""Where jobs stand as people see it: of those that a rank has it runs one, the others wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import JobState, Outcome
from hvmpi.campaign.status import StatusFile
from hvmpi.errors import InputError, UsageError

__all__ = ["Selection", "Standing", "UnderWay"]


class Standing(IntEnum):
    """A `JobState`, or that a rank has the job and runs another one first."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    DONE = 3
    FAILED = 4
    AHEAD = 5


_NAMES = np.array([standing.name.lower() for standing in Standing], dtype=object)


@dataclass(frozen=True)
class UnderWay:
    """What the ranks of a run have.

    Attributes
    ----------
    in_progress : bool
        Whether there are ranks; jobs that ran when the last one was lost are ready again.
    began : dict of int to float
        The jobs that a rank runs, and when it began, Unix seconds.
    ahead : ndarray of int
        The jobs that wait at a rank until it has time for them.
    """

    in_progress: bool
    began: dict[int, float] = field(default_factory=dict)
    ahead: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def of(cls, file: StatusFile) -> UnderWay:
        """Look through the attempts of a status file."""
        if file.attributes["state"] != "running":
            return cls(in_progress=False)
        under_way = []
        ended: dict[int, float] = {}
        for attempts in file.parts("attempts"):
            open_ = attempts["outcome"] == Outcome.NONE
            under_way.append(attempts[["job", "rank", "started"]][open_])
            over = attempts[["rank", "started", "wall_s"]][~open_]
            for rank, last in _latest_ends(over):
                ended[rank] = max(last, ended.get(rank, 0.0))
        began: dict[int, float] = {}
        jobs = set()
        busy = set()
        # A rank runs what it got first.
        for job, rank, given in np.concatenate(under_way).tolist():
            jobs.add(job)
            if rank not in busy:
                busy.add(rank)
                began.setdefault(job, max(given, ended.get(rank, 0.0)))
        ahead = np.array(sorted(jobs - began.keys()), dtype=np.int64)
        return cls(in_progress=True, began=began, ahead=ahead)

    def standings(self, jobs: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Give the `Standing` of each of some rows of ``jobs``."""
        standings = np.array(jobs["state"], dtype=np.uint8)
        running = np.flatnonzero(standings == JobState.RUNNING)
        if not self.in_progress:
            standings[running] = Standing.READY
        else:
            standings[running[np.isin(jobs["job"][running], self.ahead)]] = Standing.AHEAD
        return standings

    def told(
        self, joined: npt.NDArray[Any], standings: npt.NDArray[np.uint8], now: float
    ) -> npt.NDArray[Any]:
        """Put standings, and the time that what runs has taken at `now`, into joined rows."""
        joined["state"] = _NAMES[standings]
        for place in np.flatnonzero(standings == Standing.RUNNING).tolist():
            began = self.began.get(int(joined["job"][place]))
            # Of one that is not known its attempt has just ended.
            if began is not None:
                joined["wall_s"][place] = max(now - began, 0.0)
        return joined


def _latest_ends(attempts: npt.NDArray[Any]) -> list[tuple[int, float]]:
    """Give the ranks of attempts, and when the last one of each ended."""
    if not len(attempts):
        return []
    order = np.argsort(attempts["rank"], kind="stable")
    ranks = attempts["rank"][order]
    firsts = np.flatnonzero(np.diff(ranks, prepend=ranks[0] - 1))
    last = np.maximum.reduceat((attempts["started"] + attempts["wall_s"])[order], firsts)
    return list(zip(ranks[firsts].tolist(), last.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that are asked for; None asks for all.

    Attributes
    ----------
    standing : Standing, optional
    host : str, optional
        That of a job's attempt, the last one where none is under way or was good.
    """

    standing: Standing | None = None
    host: str | None = None

    def host_row(self, file: StatusFile) -> int:
        """Give the row of the host in a status file; -1 where none is asked for.

        Raises
        ------
        UsageError
            If it had no job; names those that had.
        """
        if self.host is None:
            return -1
        names: list[str] = file.decoded("hosts")["name"].tolist()
        if self.host not in names:
            some = [*names[:8], *([f"{len(names) - 8} more"] if len(names) > 8 else [])]
            had = f"those that had are {', '.join(some)}" if names else "no job was started"
            msg = (
                f"--host {self.host!r}: no job of run {file.attributes['timestamp']} was there; "
                f"{had}"
            )
            raise UsageError(msg)
        return names.index(self.host)

    def chosen(
        self, jobs: npt.NDArray[Any], standings: npt.NDArray[np.uint8], host_row: int
    ) -> npt.NDArray[np.bool_]:
        """Say which of some rows of ``jobs`` are asked for."""
        chosen = np.ones(len(jobs), dtype=np.bool_)
        if self.standing is not None:
            chosen &= standings == self.standing
        if self.host is not None:
            chosen &= jobs["host"] == host_row
        return chosen

    def jobs(self, file: StatusFile) -> Iterator[npt.NDArray[Any]]:
        """Give the jobs that are asked for, joined, some at a time, however many they are.

        Their ``state`` is the `Standing`, the ``wall_s`` of what runs the time until now.

        Raises
        ------
        UsageError
            If the host had no job, or the file is damaged. It is no `InputError`, at which a look
            would begin anew: what was printed would stand there twice.
        """
        under_way = UnderWay.of(file)
        host_row = self.host_row(file)
        seen = 0
        try:
            for jobs in file.parts("jobs"):
                standings = under_way.standings(jobs)
                chosen = self.chosen(jobs, standings, host_row)
                rows = file.joined_jobs(jobs[chosen])
                yield under_way.told(rows, standings[chosen], file.attributes["updated"])
                seen += len(jobs)
        except (InputError, AttributeError, LookupError, TypeError, ValueError) as error:
            msg = (
                f"status file {str(file.path)!r} cannot be read behind job {seen} ({error}), and "
                "what was printed is not whole; take the file away: the journal has all of it"
            )
            raise UsageError(msg) from error
