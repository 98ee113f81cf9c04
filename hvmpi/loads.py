"""Ranks by how many jobs they have: who has the fewest, at the same cost however many there are."""

from __future__ import annotations

import heapq

__all__ = ["Loads"]

_STALE = 64


class Loads:
    """How many jobs each rank has that may get more.

    A heap in which entries that are out of date are passed over, and thrown away once there are
    more of them than ranks.
    """

    def __init__(self) -> None:
        self._loads: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []

    def put(self, rank: int, load: int) -> None:
        """Say how many jobs a rank has."""
        self._loads[rank] = load
        heapq.heappush(self._heap, (load, rank))
        if len(self._heap) > 2 * len(self._loads) + _STALE:
            self._heap = [(load, rank) for rank, load in self._loads.items()]
            heapq.heapify(self._heap)

    def drop(self, rank: int) -> None:
        """Forget a rank."""
        self._loads.pop(rank, None)

    def lightest(self, other_than: int = -1) -> tuple[int, int] | None:
        """Give the least load and the lowest rank that has it; None where there is no rank.

        Parameters
        ----------
        other_than : int
            A rank that is taken only if no other has as little.
        """
        first = self._first()
        if first is None or first[1] != other_than:
            return first
        heapq.heappop(self._heap)
        second = self._first()
        while second == first:
            heapq.heappop(self._heap)
            second = self._first()
        heapq.heappush(self._heap, first)
        return second if second is not None and second[0] == first[0] else first

    def _first(self) -> tuple[int, int] | None:
        while self._heap:
            load, rank = self._heap[0]
            if self._loads.get(rank) == load:
                return self._heap[0]
            heapq.heappop(self._heap)
        return None
