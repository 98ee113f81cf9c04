"""The jobs of a campaign: planned in rows, each with its state and the attempt that it tells of.

Of a job in memory there is only what its row of the plan and its attempts do not say: 24 bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import (
    NO_EVENT_FILE,
    EventFile,
    FailureClass,
    Job,
    JobState,
    Kind,
    Outcome,
)
from hvmpi.campaign.rows import ATTEMPT_FIELDS, JOB_FIELDS, Rows
from hvmpi.errors import JournalError

__all__ = ["JobTable", "PlannedJobs"]

_ROW_FIELDS: list[tuple[str, str]] = [
    ("first_job", "i8"),
    ("kind", "u1"),
    ("waits", "u1"),
    ("event_file", "i4"),
    ("run_number", "i4"),
    ("job_size", "i8"),
    ("skip", "i8"),
    ("events", "i8"),
    ("first_event", "i8"),
    ("numbers_at", "i8"),
]
"""Of a row of the plan: its first job begins ``skip`` events behind the file's first event.

``numbers_at`` is where its jobs' first event numbers are kept, or -1.
"""

_OF_ATTEMPT = (
    "outcome", "failure", "host", "rank", "started", "wall_s", "cpu_s", "max_rss_mb", "exit_code",
    "reason", "where",
)  # fmt: skip
"""What a job has from the attempt that it tells of."""

_NO_ATTEMPT = np.array(
    [tuple(-1 if name in ("host", "rank", "reason", "where") else 0 for name, _ in ATTEMPT_FIELDS)],
    dtype=ATTEMPT_FIELDS,
)
_MOST_JOBS = np.iinfo(np.int32).max
_SLICE = 1 << 14
"""Jobs whose rows are made at once: their bytes stay in the processor's cache."""

_NO_JOBS = np.zeros(0, dtype=np.int64)


class PlannedJobs:
    """The rows of a plan."""

    def __init__(self) -> None:
        self._rows = Rows(_ROW_FIELDS)
        self._numbers: list[int] = []
        self.jobs = 0

    def add(
        self,
        *,
        kind: int,
        event_file: int,
        file: EventFile,
        job_size: int,
        events: int,
        numbers: list[int],
        skip: int = 0,
        waits: bool,
    ) -> int:
        """Add a row of jobs; give how many they are."""
        count = -(-events // job_size)
        if self.jobs + count > _MOST_JOBS:
            msg = f"there are more than {_MOST_JOBS} jobs"
            raise JournalError(msg)
        if numbers and len(numbers) != count:
            msg = f"{len(numbers)} event numbers are given for {count} jobs"
            raise JournalError(msg)
        numbers_at = len(self._numbers) if numbers else -1
        self._numbers += numbers
        self._rows.append(
            self.jobs, kind, waits, event_file, file.run_number, job_size, skip, events,
            file.first_event, numbers_at,
        )  # fmt: skip
        self.jobs += count
        return count

    def rows(self) -> npt.NDArray[Any]:
        """Give the rows, `_ROW_FIELDS`."""
        return np.asarray(self._rows)

    def numbers(self) -> npt.NDArray[np.int64]:
        """Give the first event numbers of the jobs where they do not follow from the file's."""
        return np.array(self._numbers, dtype=np.int64)


class JobTable:
    """All jobs, as if they were a structured array of `JOB_FIELDS`.

    ``jobs["state"]``, and so ``kind``, ``attempts`` and ``events_out``, is what is kept; other
    columns, and rows, are made when asked for.

    Parameters
    ----------
    planned : PlannedJobs
    attempts : Rows
        `ATTEMPT_FIELDS`.

    Attributes
    ----------
    dtype : dtype
        Of its rows.
    columns : dict of str to ndarray
        Those that are kept.
    states, attempts, shown, events_out, barred : memoryview
        The columns as plain numbers, which a single one is read and written faster in: the state,
        the number of attempts, the row of the attempt that a job tells of (-1: none), its events,
        the reason why it could not start (-1: none).
    """

    dtype = np.dtype(JOB_FIELDS)

    def __init__(self, planned: PlannedJobs, attempts: Rows) -> None:
        rows = planned.rows()
        self._attempts = attempts
        self._rows = rows
        self._numbers = planned.numbers()
        self._firsts = rows["first_job"].copy()
        self._first_jobs = self._firsts.data
        sizes = np.diff(self._firsts, append=planned.jobs)
        self.columns: dict[str, npt.NDArray[Any]] = {
            "state": np.repeat(
                np.where(rows["waits"], JobState.WAITING, JobState.READY).astype(np.uint8), sizes
            ),
            "kind": np.repeat(rows["kind"], sizes),
            "attempts": np.zeros(planned.jobs, dtype=np.uint16),
            "events_out": np.full(planned.jobs, -1, dtype=np.int64),
        }
        self._shown = np.full(planned.jobs, -1, dtype=np.int32)
        self._barred = np.full(planned.jobs, -1, dtype=np.int32)
        self.states = self.columns["state"].data
        self.kinds = self.columns["kind"].data
        self.attempts = self.columns["attempts"].data
        self.events_out = self.columns["events_out"].data
        self.shown = self._shown.data
        self.barred = self._barred.data

    def __len__(self) -> int:
        return len(self.columns["state"])

    def __getitem__(self, key: Any) -> Any:
        """Give a column by its name, else rows as indexing of an array gives them."""
        if isinstance(key, str):
            kept = self.columns.get(key)
            if kept is not None:
                return kept
            parts = (self.take(_NO_JOBS), *self.parts())
            return np.concatenate([part[key] for part in parts])
        if isinstance(key, int | np.integer):
            return self.take(np.array([range(len(self))[key]]))[0]
        return self.take(np.arange(len(self))[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Make the rows of all jobs."""
        return np.concatenate([self.take(_NO_JOBS), *self.parts()])

    def parts(self, dtype: npt.DTypeLike = dtype) -> Iterator[npt.NDArray[Any]]:
        """Make the rows of all jobs, some at a time."""
        for first in range(0, len(self), _SLICE):
            yield self.take(np.arange(first, min(first + _SLICE, len(self))), dtype)

    def take(
        self, numbers: npt.NDArray[np.integer], dtype: npt.DTypeLike = dtype
    ) -> npt.NDArray[Any]:
        """Make the rows of some jobs."""
        jobs = np.zeros(len(numbers), dtype=dtype)
        jobs["job"] = numbers
        for name, column in self.columns.items():
            jobs[name] = column.take(numbers)
        rows = self._rows.take(np.searchsorted(self._firsts, numbers, side="right") - 1)
        place = numbers - rows["first_job"]
        within = place * rows["job_size"]
        skip = rows["skip"] + within
        jobs["run_number"] = rows["run_number"]
        jobs["event_file"] = rows["event_file"]
        jobs["skip_events"] = skip
        jobs["events"] = np.minimum(rows["job_size"], rows["events"] - within)
        jobs["job_size"] = rows["job_size"]
        jobs["first_event"] = self._first_events(rows, place, skip)
        self._tell_of_attempts(jobs, numbers)
        return jobs

    def _first_events(
        self, rows: npt.NDArray[Any], place: npt.NDArray[Any], skip: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        first: npt.NDArray[Any] = rows["first_event"] + skip
        given = np.flatnonzero(rows["numbers_at"] >= 0)
        first[given] = self._numbers[rows["numbers_at"][given] + place[given]]
        return first

    def _tell_of_attempts(self, jobs: npt.NDArray[Any], numbers: npt.NDArray[np.integer]) -> None:
        shown = self._shown.take(numbers)
        begun = np.flatnonzero(shown >= 0)
        attempts = self._attempts.take(shown[begun])
        for name in _OF_ATTEMPT:
            if len(begun) == len(jobs):
                jobs[name] = attempts[name]
            else:
                jobs[name] = _NO_ATTEMPT[name]
                jobs[name][begun] = attempts[name]
        barred = self._barred.take(numbers)
        not_begun = np.flatnonzero(barred >= 0)
        jobs["outcome"][not_begun] = Outcome.BAD_INPUT
        jobs["failure"][not_begun] = FailureClass.NONE
        jobs["reason"][not_begun] = barred[not_begun]
        jobs["where"][not_begun] = -1

    def job(self, number: int, event_files: Sequence[EventFile]) -> Job:
        """Describe a job as its next attempt."""
        row = bisect_right(self._first_jobs, number) - 1
        first_job, kind, _, event_file, _, job_size, before, events, first_event, numbers_at = (
            self._rows[row].item()
        )
        place = number - first_job
        skip = before + place * job_size
        return Job(
            number=number,
            kind=Kind(kind),
            attempt=self.attempts[number] + 1,
            event_file=NO_EVENT_FILE if event_file < 0 else event_files[event_file],
            skip_events=skip,
            first_event=(
                first_event + skip if numbers_at < 0 else int(self._numbers[numbers_at + place])
            ),
            events=min(job_size, before + events - skip),
            job_size=job_size,
        )

    def event_file(self, number: int) -> int:
        """Give the row of a job's event file; -1 where it has none."""
        return int(self._rows["event_file"][bisect_right(self._first_jobs, number) - 1])
