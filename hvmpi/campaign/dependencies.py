"""Which jobs wait for which others: a count of those that are not done yet."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from hvmpi.errors import JournalError

__all__ = ["Dependencies"]


class Dependencies:
    """The counts of a plan, whose jobs stand in rows.

    A row waits for rows as a whole. So what is kept grows with the rows, and the work when a job
    is done with the rows that wait for it, never with all jobs.

    Parameters
    ----------
    sizes : sequence of int
        Jobs in each row; they are numbered on from row to row.
    after : sequence of sequence of int
        For each row, the rows before it of which every job must be done first.

    Raises
    ------
    JournalError
        If a row waits for itself or a later one.
    """

    def __init__(self, sizes: Sequence[int], after: Sequence[Sequence[int]]) -> None:
        self._firsts = [0, *accumulate(sizes)]
        self._unmet: list[int] = []
        self._waiting_rows: dict[int, list[int]] = {}
        for row, earlier in enumerate(after):
            if not all(0 <= other < row for other in earlier):
                msg = f"row {row} of the plan's jobs waits for rows {list(earlier)}"
                raise JournalError(msg)
            self._unmet.append(sum(sizes[other] for other in earlier))
            for other in earlier:
                self._waiting_rows.setdefault(other, []).append(row)

    def row(self, job: int) -> int:
        """Give the row that a job stands in."""
        return bisect_right(self._firsts, job) - 1

    def unmet(self, job: int) -> int:
        """Count the jobs that a job waits for and that are not done."""
        return self._unmet[self.row(job)]

    def done(self, job: int) -> list[int]:
        """Take into account that a job is done; give those that wait for nothing any more."""
        free: list[int] = []
        for row in self._waiting_rows.get(self.row(job), ()):
            self._unmet[row] -= 1
            if not self._unmet[row]:
                free += range(self._firsts[row], self._firsts[row + 1])
        return free
