"""How master and worker speak: over MPI between ranks, or in one process for a single rank."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from hvmpi.messages import Goodbye, Hello, Message, Stop, decode, encode
from hvmpi.ranks import survives

__all__ = [
    "MASTER",
    "Channel",
    "Idle",
    "LocalChannel",
    "MpiChannel",
    "dismiss",
    "local_pair",
    "part",
]

_TAG = 17
_LEAVE_S = 10.0
_PARTING_S = 2.0
_LOOK_S = 0.02
"""MPI tells of a death within 5 to 30 ms."""

MASTER = 0
"""The rank that all others speak with."""


class HasFileno(Protocol):
    """What can be waited for."""

    def fileno(self) -> int:
        """Give its descriptor."""


class Channel(Protocol):
    """One rank's end."""

    rank: int
    size: int

    def send(self, rank: int, message: Message) -> None:
        """Send a message with the next `post`; returns at once."""

    def post(self) -> None:
        """Let go what there is to send: what goes to one rank, in one piece."""

    def receive(self) -> list[tuple[int, Message]]:
        """Give all messages that have come, with the rank that each is from; never waits."""

    def failed(self) -> list[int]:
        """Give the ranks that died since the last call, where the MPI tells."""

    def flush(self, seconds: float) -> None:
        """Post, and wait until what was sent is out, for so long at most."""


class Idle:
    """A pause that grows while nothing happens.

    A blocking receive burns a core on both MPIs, and the payloads need that core; 0.2 ms growing
    by 1.3 to 10 ms costs about 1 % of one.
    """

    _SHORTEST = 0.0002
    _UNHURRIED = 0.003
    _LONGEST = 0.01
    _GROWTH = 1.3

    def __init__(self) -> None:
        self._pause = self._SHORTEST

    def wait(self, until: Sequence[HasFileno] = ()) -> None:
        """Pause and make the next pause longer; where something is waited for, until it comes.

        Messages are looked for meanwhile, in no hurry.
        """
        if until:
            select.select(until, (), (), self._LONGEST)
            return
        time.sleep(self._pause)
        self._pause = min(self._pause * self._GROWTH, self._LONGEST)

    def reset(self, *, in_no_hurry: bool = False) -> None:
        """Make the next pause the shortest: something happened."""
        self._pause = self._UNHURRIED if in_no_hurry else self._SHORTEST


class MpiChannel:
    """A rank's end of an MPI communicator; messages go as bytes, in one piece those of a `post`.

    What has to do with ranks that died (Open MPI with ``--with-ft ulfm``) is dropped.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    """

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self._comm = comm
        comm.Set_errhandler(MPI.ERRORS_RETURN)
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self._outbox: dict[int, list[Message]] = {}
        self._sending: deque[tuple[Any, bytes]] = deque()
        self._receiving: list[tuple[int, Any, bytearray]] = []
        self._survives = survives()
        self._dead: set[int] = set()
        self._told: set[int] = set()
        self._looked_at = 0.0
        self._status = MPI.Status()

    def send(self, rank: int, message: Message) -> None:
        """Send a message with the next `post`."""
        self._outbox.setdefault(rank, []).append(message)

    def post(self) -> None:
        """Send what there is to send; its bytes are kept until MPI has taken them."""
        if not self._outbox:
            return
        for rank, messages in self._outbox.items():
            self._post(rank, messages)
        self._outbox.clear()

    def _post(self, rank: int, messages: list[Message]) -> None:
        if rank in self._dead:
            return
        data = encode(messages)
        try:
            request = self._comm.Isend([data, self._mpi.BYTE], dest=rank, tag=_TAG)
        except self._mpi.Exception as error:
            self._pass_over_the_dead(error)
            return
        self._sending.append((request, data))

    def receive(self) -> list[tuple[int, Message]]:
        """Give all messages that have come."""
        self._clear_sent()
        status = self._status
        # After a sleep the first probe on Open MPI only drives progress, the second sees. On a
        # busy machine one that finds nothing costs a time slice.
        misses = 0
        while misses < 2:
            try:
                found = self._comm.Iprobe(source=self._mpi.ANY_SOURCE, tag=_TAG, status=status)
            except self._mpi.Exception as error:
                self._pass_over_the_dead(error)
                found = False
            if found:
                # Who stops in the middle of a large message must not hold this rank up.
                data = bytearray(status.Get_count(self._mpi.BYTE))
                source = status.Get_source()
                request = self._comm.Irecv([data, self._mpi.BYTE], source=source, tag=_TAG)
                self._receiving.append((source, request, data))
                misses = 1
            else:
                misses += 1
        return self._take_received()

    def failed(self) -> list[int]:
        """Give the ranks that died since the last call."""
        now = time.monotonic()
        # It is a call that takes as long as a message.
        if self._survives and now - self._looked_at > _LOOK_S:
            self._looked_at = now
            self._look_for_the_dead()
        if len(self._dead) == len(self._told):
            return []
        new = sorted(self._dead - self._told)
        self._told.update(new)
        return new

    def flush(self, seconds: float) -> None:
        """Post, and wait until what was sent is out, for so long at most."""
        self.post()
        deadline = time.monotonic() + seconds
        idle = Idle()
        while self._sending and time.monotonic() < deadline:
            self._clear_sent()
            idle.wait()

    def _take_received(self) -> list[tuple[int, Message]]:
        messages: list[tuple[int, Message]] = []
        coming: list[tuple[int, Any, bytearray]] = []
        for source, request, data in self._receiving:
            # One that is not whole yet holds back those that the same rank sent after it.
            if any(source == other for other, _, _ in coming):
                coming.append((source, request, data))
                continue
            try:
                whole = request.Test()
            except self._mpi.Exception as error:
                self._pass_over_the_dead(error)
                continue
            if whole:
                messages += [(source, message) for message in decode(data)]
            else:
                coming.append((source, request, data))
        self._receiving = coming
        return messages

    def _clear_sent(self) -> None:
        while self._sending:
            try:
                if not self._sending[0][0].Test():
                    return
            except self._mpi.Exception as error:
                self._pass_over_the_dead(error)
            self._sending.popleft()

    def _pass_over_the_dead(self, error: Exception) -> None:
        """Raise an error of MPI unless a rank's death is the reason."""
        if self._survives:
            self._look_for_the_dead()
        if not self._dead:
            raise error

    def _look_for_the_dead(self) -> None:
        group = self._comm.Get_failed()
        if group.Get_size() > len(self._dead):
            everybody = self._comm.Get_group()
            numbers = group.Translate_ranks(list(range(group.Get_size())), everybody)
            self._dead.update(int(number) for number in numbers)
            self._comm.Ack_failed(group.Get_size())
            everybody.Free()
        group.Free()


class LocalChannel:
    """One of several ends within a process; messages are encoded as they are over MPI."""

    def __init__(self, rank: int, boxes: list[deque[tuple[int, bytes]]]) -> None:
        self.rank = rank
        self.size = len(boxes)
        self._boxes = boxes

    def send(self, rank: int, message: Message) -> None:
        """Put a message into a rank's box."""
        self._boxes[rank].append((self.rank, encode([message])))

    def post(self) -> None:
        """Do nothing: what was sent is there."""

    def receive(self) -> list[tuple[int, Message]]:
        """Empty this rank's box."""
        box = self._boxes[self.rank]
        messages = []
        while box:
            source, data = box.popleft()
            messages += [(source, message) for message in decode(data)]
        return messages

    def failed(self) -> list[int]:
        """Give none: all ends are in one process."""
        return []

    def flush(self, seconds: float) -> None:
        """Do nothing: what was sent is there."""


def dismiss(channel: Channel, reason: str) -> None:
    """Send all other ranks home and see them leave, so that none waits for ever.

    Parameters
    ----------
    channel : Channel
        Rank 0's.
    reason : str
    """
    left = set(range(1, channel.size))
    for rank in left:
        channel.send(rank, Stop(reason))
    idle = Idle()
    deadline = time.monotonic() + _LEAVE_S
    while left and time.monotonic() < deadline:
        channel.post()
        for rank, message in channel.receive():
            if isinstance(message, Goodbye):
                left.discard(rank)
                channel.send(rank, Goodbye())
            elif isinstance(message, Hello):
                idle.reset()
        left.difference_update(channel.failed())
        idle.wait()
    channel.post()


def part(channel: Channel) -> None:
    """Wait until the master has heard of all that was sent: a rank that ends may take it along."""
    channel.post()
    idle = Idle()
    deadline = time.monotonic() + _PARTING_S
    while time.monotonic() < deadline and MASTER not in channel.failed():
        if any(isinstance(message, Goodbye) for _, message in channel.receive()):
            return
        idle.wait()


def local_pair() -> tuple[LocalChannel, LocalChannel]:
    """Make the ends of a master (rank 0) and one worker (rank 1) in one process."""
    boxes: list[deque[tuple[int, bytes]]] = [deque(), deque()]
    return LocalChannel(0, boxes), LocalChannel(1, boxes)
