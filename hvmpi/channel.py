"""How master and worker speak: over MPI between ranks, or in one process for a single rank."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Protocol

from hvmpi.messages import Message, decode, encode

__all__ = ["Channel", "Idle", "LocalChannel", "MpiChannel", "local_pair"]

_TAG = 17


class Channel(Protocol):
    """One rank's end."""

    rank: int
    size: int

    def send(self, rank: int, message: Message) -> None:
        """Send a message; returns at once."""

    def receive(self) -> list[tuple[int, Message]]:
        """Give all messages that have come, with the rank that each is from; never waits."""

    def flush(self, seconds: float) -> None:
        """Wait until what was sent is out, for so long at most."""


class Idle:
    """A pause that grows while nothing happens.

    A blocking receive burns a core on both MPIs, and the payloads need that core; 0.2 ms growing
    by 1.3 to 10 ms costs about 1 % of one.
    """

    _SHORTEST = 0.0002
    _LONGEST = 0.01
    _GROWTH = 1.3

    def __init__(self) -> None:
        self._pause = self._SHORTEST

    def wait(self) -> None:
        """Pause, and make the next pause longer."""
        time.sleep(self._pause)
        self._pause = min(self._pause * self._GROWTH, self._LONGEST)

    def reset(self) -> None:
        """Make the next pause the shortest: something happened."""
        self._pause = self._SHORTEST


class MpiChannel:
    """A rank's end of an MPI communicator; messages go as bytes, never blocking.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    """

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self._comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self._sending: deque[tuple[Any, bytes]] = deque()

    def send(self, rank: int, message: Message) -> None:
        """Send a message; its bytes are kept until MPI has taken them."""
        data = encode(message)
        request = self._comm.Isend([data, self._mpi.BYTE], dest=rank, tag=_TAG)
        self._sending.append((request, data))
        self._clear_sent()

    def receive(self) -> list[tuple[int, Message]]:
        """Give all messages that have come."""
        self._clear_sent()
        messages: list[tuple[int, Message]] = []
        status = self._mpi.Status()
        # After a sleep the first probe on Open MPI only drives progress, the second sees.
        misses = 0
        while misses < 2:
            if self._comm.Iprobe(source=self._mpi.ANY_SOURCE, tag=_TAG, status=status):
                data = bytearray(status.Get_count(self._mpi.BYTE))
                source = status.Get_source()
                self._comm.Recv([data, self._mpi.BYTE], source=source, tag=_TAG)
                messages.append((source, decode(data)))
                misses = 0
            else:
                misses += 1
        return messages

    def flush(self, seconds: float) -> None:
        """Wait until what was sent is out, for so long at most."""
        deadline = time.monotonic() + seconds
        idle = Idle()
        while self._sending and time.monotonic() < deadline:
            self._clear_sent()
            idle.wait()

    def _clear_sent(self) -> None:
        while self._sending and self._sending[0][0].Test():
            self._sending.popleft()


class LocalChannel:
    """One of several ends within a process; messages are encoded as they are over MPI."""

    def __init__(self, rank: int, boxes: list[deque[tuple[int, bytes]]]) -> None:
        self.rank = rank
        self.size = len(boxes)
        self._boxes = boxes

    def send(self, rank: int, message: Message) -> None:
        """Put a message into a rank's box."""
        self._boxes[rank].append((self.rank, encode(message)))

    def receive(self) -> list[tuple[int, Message]]:
        """Empty this rank's box."""
        box = self._boxes[self.rank]
        messages = []
        while box:
            source, data = box.popleft()
            messages.append((source, decode(data)))
        return messages

    def flush(self, seconds: float) -> None:
        """Do nothing: what was sent is there."""


def local_pair() -> tuple[LocalChannel, LocalChannel]:
    """Make the ends of a master (rank 0) and one worker (rank 1) in one process."""
    boxes: list[deque[tuple[int, bytes]]] = [deque(), deque()]
    return LocalChannel(0, boxes), LocalChannel(1, boxes)
