"""Leases: who was heard last when, and who has given no sign of life for too long."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Leases", "signs_every"]

_SIGNS_A_LEASE = 6.0
_LONGEST_STEP_S = 1.0


def signs_every(lease: float) -> float:
    """Give the seconds after which a rank that said nothing else gives a sign of life."""
    return lease / _SIGNS_A_LEASE


class Leases:
    """When each rank was last heard, on a clock that stands still while this process does.

    A process that was stopped, or held up by a slow disk, must not take its own silence for that
    of the others: it moves this clock by a second at most each time that it looks.

    Parameters
    ----------
    lease : float
        Seconds without a sign of life after which a rank is given up.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._now = 0.0
        self._looked: float | None = None
        self._heard: OrderedDict[int, float] = OrderedDict()
        self._silent: set[int] = set()

    @property
    def silent(self) -> frozenset[int]:
        """Ranks that were given up and have not been heard since."""
        return frozenset(self._silent)

    def heard(self, rank: int) -> bool:
        """Renew the lease of a rank; say whether it was given up before."""
        self._heard[rank] = self._now
        self._heard.move_to_end(rank)
        was_silent = rank in self._silent
        self._silent.discard(rank)
        return was_silent

    def forget(self, rank: int) -> None:
        """Expect nothing more of a rank."""
        self._heard.pop(rank, None)
        self._silent.discard(rank)

    def expired(self, now: float) -> list[int]:
        """Give the ranks whose leases have run out since the last call.

        Parameters
        ----------
        now : float
            Monotonic clock, s.
        """
        if self._looked is not None:
            self._now += min(now - self._looked, _LONGEST_STEP_S)
        self._looked = now
        expired = []
        # The one that was heard longest ago comes first.
        while self._heard:
            rank, heard = next(iter(self._heard.items()))
            if self._now - heard <= self._lease:
                break
            del self._heard[rank]
            self._silent.add(rank)
            expired.append(rank)
        return expired
