"""What master and worker say to each other: frozen structs of plain data, sent as MessagePack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from hvmpi.campaign.jobs import FailureClass, Job, Outcome, Output, StepResult
from hvmpi.engine import Check

__all__ = [
    "Alive",
    "Assign",
    "Cancel",
    "Examine",
    "Examined",
    "GiveBack",
    "Goodbye",
    "Held",
    "Hello",
    "Message",
    "Report",
    "Stop",
    "Welcome",
    "decode",
    "encode",
]


class _Message(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    pass


class Welcome(_Message, frozen=True, tag=True):
    """Master to worker: the run, and the token that proves that both see its directory.

    ``scheduling`` holds the settings of this launch that may differ from the run's own.
    """

    directory: str
    token: str
    scheduling: dict[str, Any]


class Hello(_Message, frozen=True, tag=True):
    """Worker to master: ready for jobs, or, with a reason, not.

    ``cores`` are those that a process on the host may use, ``time`` is its clock, Unix seconds.
    """

    host: str
    pid: int
    reason: str = ""
    cores: int = 1
    version: str = ""
    time: float = 0.0


class Examine(_Message, frozen=True, tag=True):
    """Master to worker: look whether your host is fit."""


class Examined(_Message, frozen=True, tag=True):
    """Worker to master: what was found on its host."""

    host: str
    checks: tuple[Check, ...]


class Held(_Message, frozen=True, tag=True):
    """Worker to master: why its host had better get no more jobs; empty when it may again."""

    reason: str


class Assign(_Message, frozen=True, tag=True):
    """Master to worker: run this attempt, after those that were assigned before."""

    job: Job


class Cancel(_Message, frozen=True, tag=True):
    """Master to worker: end this attempt, which is not needed any more."""

    job: int
    attempt: int
    reason: str = "it was given up while this rank gave no sign of life"


class GiveBack(_Message, frozen=True, tag=True):
    """Master to worker: report this attempt as interrupted unless it has begun."""

    job: int
    attempt: int


class Report(_Message, frozen=True, tag=True):
    """Worker to master: how an attempt ended.

    ``where`` names the log that tells of a failure, relative to the folder of the attempt's logs,
    and the line in it if one is known: ``s2608/log.EVNTtoHITS:1234``. ``began`` is when it began,
    Unix seconds; 0 where it never did.
    """

    job: int
    attempt: int
    outcome: Outcome
    reason: str
    wall_s: float
    exit_code: int
    signal: int
    events_out: int
    outputs: tuple[Output, ...] = ()
    steps: tuple[StepResult, ...] = ()
    failure: FailureClass = FailureClass.NONE
    where: str = ""
    began: float = 0.0


class Stop(_Message, frozen=True, tag=True):
    """Master to worker: end your payload, if there is one, and leave."""

    reason: str


class Goodbye(_Message, frozen=True, tag=True):
    """Worker to master: nothing runs here any more; back: that is understood, go."""


class Alive(_Message, frozen=True, tag=True):
    """Either way: a sign of life, where there was nothing else to say for a while."""


Message = (
    Welcome
    | Hello
    | Examine
    | Examined
    | Held
    | Assign
    | Cancel
    | GiveBack
    | Report
    | Stop
    | Goodbye
    | Alive
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Message])


def encode(messages: Sequence[Message]) -> bytes:
    """Write messages as bytes."""
    try:
        return _encoder.encode(messages)
    except UnicodeEncodeError:
        # Names of files may hold bytes that are no UTF-8; no MessagePack of a list begins with [.
        return json.dumps(msgspec.to_builtins(messages)).encode()


def decode(data: bytes | bytearray) -> list[Message]:
    """Undo `encode`."""
    if data[:1] == b"[":
        messages: list[Message] = msgspec.convert(json.loads(data), list[Message])
        return messages
    return _decoder.decode(data)
