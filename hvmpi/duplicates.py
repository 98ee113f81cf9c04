"""Second attempts of jobs that take suspiciously long, on ranks that have nothing else to do."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["Duplicate", "Duplicates", "Underway"]

_REMEMBERED = 256
_LEAST_FINISHED = 8
"""Finished jobs of a group from which on its times are taken for known."""
_MARGIN = 1.5
"""How many times longer than a fresh attempt the running one must be expected to go on."""
_LEAST_GAIN_S = 1.0

Group = tuple[int, int]
"""A kind of job and a run number: jobs whose events take about the same time."""


@dataclass(frozen=True, slots=True)
class Underway:
    """A job of which one attempt runs.

    Attributes
    ----------
    job : int
    group : tuple of int
        Its kind and run number.
    events : int
    elapsed_s : float
        Since that attempt began.
    """

    job: int
    group: Group
    events: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A job that is worth a second attempt, and why."""

    job: int
    reason: str


class Duplicates:
    """Whether a second attempt of a running job would be done before the first.

    What a job takes comes in two parts: its events, and its host. A second attempt meets the same
    events, and mends only what the host does. Nobody knows which it is, so a duplicate is a bet: it
    costs a rank that would idle, is placed on the job that is expected to gain most, and after each
    that was lost the next must promise twice as much.
    """

    def __init__(self) -> None:
        self._event_s: defaultdict[Group, deque[float]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED)
        )
        self._lost_in_a_row = 0

    def finished(self, group: Group, events: int, wall_s: float) -> None:
        """Take into account how long a job took."""
        self._event_s[group].append(wall_s / max(events, 1))

    def settled(self, *, won: bool) -> None:
        """Take into account whether a duplicate was done before the attempt that it doubles."""
        self._lost_in_a_row = 0 if won else self._lost_in_a_row + 1

    def choose(self, underway: Iterable[Underway]) -> Duplicate | None:
        """Give the job whose second attempt would gain most; None where none would.

        The time that an attempt goes on is the mean of what jobs like it that took longer than it
        so far went on, and, as one more of them, of as long again as it has run: with regular times
        a job that is beyond all of them is suspect, with heavy tails less so.
        """
        margin = _MARGIN * 2.0**self._lost_in_a_row
        best, gains_s = None, _LEAST_GAIN_S
        for job in underway:
            times = self._event_s.get(job.group, ())
            if len(times) < _LEAST_FINISHED:
                continue
            like_it = np.array(times) * max(job.events, 1)
            fresh_s = float(like_it.mean())
            # Most jobs are younger than this, and need no more of a look.
            if job.elapsed_s < fresh_s:
                continue
            further = like_it[like_it > job.elapsed_s] - job.elapsed_s
            remaining_s = float(further.sum() + job.elapsed_s) / (len(further) + 1)
            if remaining_s > margin * fresh_s and remaining_s - fresh_s > gains_s:
                gains_s = remaining_s - fresh_s
                best = Duplicate(
                    job.job,
                    f"its attempt has run for {job.elapsed_s:.3g} s, jobs like it take "
                    f"{fresh_s:.3g} s, and this rank had nothing else to do",
                )
        return best
