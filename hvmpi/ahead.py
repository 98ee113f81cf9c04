"""How many jobs a rank may have: one that it runs, and those that it begins without asking."""

from __future__ import annotations

from collections.abc import Mapping

from hvmpi.campaign.jobs import Kind

__all__ = ["Ahead"]

_LEAST = 2
_MOST = 256
_MOST_OF_ALL = 10_000
"""Of all ranks together: half a second's work of the master, whose memory they take."""
_FILLED_S = 0.01
"""About as long as a report may take to be heard, and the next job to come, on a busy machine."""
_LONG_S = 5.0
"""From here on the time until a report is answered is nothing, and what waits may be long, too."""
_READY_A_RANK = 3
_WEIGHT = 0.05


class Ahead:
    """How long jobs take, and how many of them fill the time until a report is answered.

    Two, so that a rank begins the next job when one has ended; of jobs that take less than a few
    milliseconds as many as take 10 ms together; of those that take seconds one. Only while there
    are so many ready jobs that each rank will still get three for every one that is given ahead:
    what waits behind a slow job must not be among the last ones.

    Parameters
    ----------
    expected_s : mapping of Kind to float
        How long jobs take as far as that is known before any is done.
    """

    def __init__(self, expected_s: Mapping[Kind, float] | None = None) -> None:
        self._mean_s: dict[Kind, float] = dict(expected_s or {})

    def measured(self, kind: Kind, wall_s: float) -> None:
        """Take into account how long a job took."""
        mean = self._mean_s.get(kind, wall_s)
        self._mean_s[kind] = mean + _WEIGHT * (wall_s - mean)

    def most(self, kind: Kind, ready: int, ranks: int) -> int:
        """Give the jobs of a kind that a rank may have.

        Parameters
        ----------
        kind : Kind
        ready : int
            Jobs that are ready.
        ranks : int
            Those that share them.
        """
        share = 1 + ready // (_READY_A_RANK * max(ranks, 1))
        if kind not in self._mean_s:
            return min(share, _LEAST)
        if self._mean_s[kind] > _LONG_S:
            return 1
        share = min(share, max(_MOST_OF_ALL // max(ranks, 1), _LEAST))
        fill = _FILLED_S / max(self._mean_s[kind], _FILLED_S / _MOST)
        return min(share, max(int(fill), _LEAST))
