"""How long jobs take: as measured, sample by sample, and event by event where the events are known.

A job's time is its events' own, so what one campaign measured tells of the same events in another,
whatever its job size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.status import StatusFile
from hvmpi.errors import InputError

__all__ = ["Durations", "by_sample", "measured_in"]

_TELLING = ["kind", "run_number", "first_event", "events", "wall_s"]
"""What is looked at of a done job."""

_Group = tuple[int, int]
"""A kind of job and a run number, which is a sample's own."""


@dataclass(frozen=True)
class _Course:
    """The wall time that a sample's jobs took, summed up along its event numbers.

    Attributes
    ----------
    event_s : float
        Wall time of an event, s, in the mean.
    numbers : ndarray of float64
        Event numbers, ascending.
    elapsed_s : ndarray of float64
        Wall time of the events before each, s.
    """

    event_s: float
    numbers: npt.NDArray[np.float64]
    elapsed_s: npt.NDArray[np.float64]

    @classmethod
    def of(cls, done: npt.NDArray[Any]) -> _Course:
        done = done[np.argsort(done["first_event"], kind="stable")]
        wall_s = done["wall_s"].astype(np.float64)
        events = done["events"].astype(np.float64)
        event_s = float(wall_s.sum() / events.sum())
        first = done["first_event"].astype(np.float64)
        last = first + events
        # Between jobs that were measured events take what they take in the mean.
        between = np.maximum(first[1:] - last[:-1], 0.0) * event_s
        numbers = np.column_stack([first, last]).ravel()
        grows = np.zeros(len(numbers))
        grows[1::2] = wall_s
        grows[2::2] = between
        return cls(event_s, np.maximum.accumulate(numbers), np.cumsum(grows))

    def expected_s(self, jobs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        first = jobs["first_event"].astype(np.float64)
        return self._elapsed_s(first + jobs["events"]) - self._elapsed_s(first)

    def _elapsed_s(self, number: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        inside = np.clip(number, self.numbers[0], self.numbers[-1])
        elapsed: npt.NDArray[np.float64] = np.interp(inside, self.numbers, self.elapsed_s)
        return elapsed + (number - inside) * self.event_s


class Durations:
    """What done jobs say of those to come.

    Parameters
    ----------
    parts : iterable of ndarray
        Jobs with ``kind``, ``state``, ``run_number``, ``first_event``, ``events`` and ``wall_s``,
        some at a time; those that are not done say nothing.
    """

    def __init__(self, parts: Iterable[npt.NDArray[Any]]) -> None:
        done = np.concatenate([_NONE, *map(_done, parts)])
        self._courses: dict[_Group, _Course] = {
            group: _Course.of(done[rows]) for group, rows in by_sample(done).items()
        }
        self._event_s = {
            kind: float(of_kind["wall_s"].sum(dtype=np.float64) / of_kind["events"].sum())
            for kind in Kind
            if len(of_kind := done[done["kind"] == kind])
        }

    def __bool__(self) -> bool:
        """Say whether anything was measured."""
        return bool(self._courses)

    def knows(self, kind: Kind) -> bool:
        """Say whether anything of a kind was measured."""
        return kind in self._event_s

    def event_s(self, kind: Kind, run_number: int) -> float | None:
        """Give the wall time of an event of a sample, s; else of the kind; None if unknown."""
        course = self._courses.get((kind, run_number))
        return self._event_s.get(kind) if course is None else course.event_s

    def expected_s(
        self, jobs: npt.NDArray[Any], scout_s: float | None = None
    ) -> npt.NDArray[np.float64]:
        """Give the wall time that each job is expected to take, s.

        Where nothing of its kind was measured, an event is taken to last a second: jobs of one
        kind are still put in the order of their events.

        Parameters
        ----------
        jobs : ndarray of shape (n_jobs,)
            With ``kind``, ``run_number``, ``first_event`` and ``events``.
        scout_s : float, optional
            What is given for the first job of a sample of which nothing was measured; of its others
            the events are taken to last as long as those of other samples.

        Returns
        -------
        ndarray of shape (n_jobs,)
        """
        expected = jobs["events"].astype(np.float64)
        for (kind, run_number), rows in by_sample(jobs).items():
            course = self._courses.get((kind, run_number))
            if course is not None:
                expected[rows] = course.expected_s(jobs[rows])
                continue
            expected[rows] *= self._event_s.get(Kind(kind), 1.0)
            if scout_s is not None:
                expected[rows[0]] = scout_s
        return expected


_NONE = np.zeros(
    0, dtype=[(name, "u1" if name == "kind" else "f4" if name == "wall_s" else "i8")
              for name in _TELLING],
)  # fmt: skip


def _done(jobs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    rows = (jobs["state"] == JobState.DONE) & (jobs["wall_s"] > 0) & (jobs["events"] > 0)
    rows &= np.isfinite(jobs["wall_s"])
    done = np.empty(int(np.count_nonzero(rows)), dtype=_NONE.dtype)
    for name in _TELLING:
        done[name] = jobs[name][rows]
    return done


def by_sample(jobs: npt.NDArray[Any]) -> dict[_Group, npt.NDArray[np.intp]]:
    """Give the rows of each kind and run number, which is a sample's own."""
    key = jobs["run_number"].astype(np.int64) * len(Kind) + jobs["kind"]
    order = np.argsort(key, kind="stable")
    keys, starts = np.unique(key[order], return_index=True)
    return {
        (group % len(Kind), group // len(Kind)): rows
        for group, rows in zip(keys.tolist(), np.split(order, starts)[1:], strict=True)
    }


def measured_in(directory: Path) -> Durations:
    """Read how long the jobs of an earlier run took.

    Parameters
    ----------
    directory : Path
        Of the run; its ``status.h5`` is read.

    Raises
    ------
    InputError
        If there is no such file, it is not what a run writes, or no job of it is done.
    """
    path = directory / "status.h5"
    try:
        with StatusFile(path) as file:
            measured = Durations([file.table("jobs")])
    except InputError as error:
        msg = f"times-from: {error}"
        raise InputError(msg) from error
    except (LookupError, TypeError, ValueError) as error:
        msg = f"times-from: the jobs of {str(path)!r} are not as hvmpi writes them"
        raise InputError(msg) from error
    if not measured:
        msg = f"times-from: no job of {str(directory)!r} is done: name a run that got further"
        raise InputError(msg)
    return measured
