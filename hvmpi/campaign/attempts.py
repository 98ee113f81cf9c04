"""The attempts of a campaign's jobs, their steps, and which of them are under way."""

from __future__ import annotations

from collections.abc import Iterator

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, Outcome
from hvmpi.campaign.rows import (
    ATTEMPT_FIELDS,
    PROFILE_FIELDS,
    STEP_FIELDS,
    Rows,
    Span,
    Texts,
)
from hvmpi.stopwatch import Part

__all__ = ["Attempts"]

_RESULT = Span(ATTEMPT_FIELDS, "wall_s", "decision")
_UNDER_WAY = (0.0, 0.0, 0.0, 0, 0, Outcome.NONE, FailureClass.NONE, -1, -1, -1)


class Attempts:
    """All attempts so far.

    Attributes
    ----------
    rows, steps, profile : Rows
        `ATTEMPT_FIELDS`, `STEP_FIELDS` and `PROFILE_FIELDS`.
    hosts, reasons, places, step_names : Texts
        What these refer to.
    """

    def __init__(self) -> None:
        self.rows = Rows(ATTEMPT_FIELDS)
        self.steps = Rows(STEP_FIELDS)
        self.profile = Rows(PROFILE_FIELDS)
        self.hosts = Texts()
        self.reasons = Texts()
        self.places = Texts()
        self.step_names = Texts()
        self._under_way: dict[int, dict[int, int]] = {}

    def under_way(self, job: int) -> tuple[int, ...]:
        """Give the numbers of a job's attempts that are under way, in the order of their starts."""
        return tuple(self._under_way.get(job, ()))

    def are_under_way(self, job: int) -> bool:
        """Whether an attempt of a job is under way."""
        return job in self._under_way

    def jobs_under_way(self) -> list[int]:
        """List the jobs of which an attempt is under way."""
        return sorted(self._under_way)

    def newest_row(self, job: int) -> int:
        """Give the row of the attempt under way that began last."""
        return next(reversed(self._under_way[job].values()))

    def begin(self, entry: journal.Started) -> int:
        """Take in a new attempt; give its row."""
        row = self.rows.append(
            entry.job,
            entry.attempt,
            self.hosts.row(entry.host),
            entry.rank,
            entry.time,
            *_UNDER_WAY,
        )
        self._under_way.setdefault(entry.job, {})[entry.attempt] = row
        return row

    def end(self, entry: journal.Accepted | journal.Failed) -> int:
        """Take in the result of an attempt; give its row, -1 where none such is under way."""
        job, attempt = entry.job, entry.attempt
        of_job = self._under_way.get(job)
        if of_job is None or attempt not in of_job:
            return -1
        row = of_job.pop(attempt)
        if not of_job:
            del self._under_way[job]
        total_cpu_s = most_rss_mb = 0.0
        for step, wall_s, cpu_s, max_rss_mb, exit_code, *profile in entry.steps:
            total_cpu_s += cpu_s
            most_rss_mb = max(most_rss_mb, max_rss_mb)
            name = self.step_names.row(step)
            self.steps.append(job, attempt, name, wall_s, cpu_s, max_rss_mb, exit_code)
            for part, spent in (pair for parts in profile for pair in dict(parts).items()):
                self.profile.append(job, attempt, name, Part[str(part).upper()], spent)
        used = entry.wall_s, total_cpu_s, most_rss_mb
        reason = self.reasons.row(entry.reason)
        if isinstance(entry, journal.Accepted):
            how = 0, 0, Outcome.DONE, FailureClass.NONE, reason, -1, -1
        else:
            how = (
                entry.exit_code,
                entry.signal,
                Outcome(entry.outcome),
                FailureClass(entry.failure),
                reason,
                self.places.row(entry.where),
                self.reasons.row(entry.decision),
            )
        self.rows.write(_RESULT, row, *used, *how)
        if entry.began:
            self.rows.set(row, "started", entry.began)
        return row

    def end_all(self, outcome: Outcome, reason: str) -> Iterator[int]:
        """End every attempt that is under way; give the jobs that they are of."""
        under_way, self._under_way = self._under_way, {}
        for job, of_job in under_way.items():
            for row in of_job.values():
                self.change(row, outcome, reason)
            yield job

    def change(self, row: int, outcome: Outcome, reason: str, decision: str | None = None) -> None:
        """Let an attempt have ended in another way than it seemed."""
        self.rows.set(row, "outcome", outcome)
        self.rows.set(row, "reason", self.reasons.row(reason))
        if decision is not None:
            self.rows.set(row, "decision", self.reasons.row(decision))
