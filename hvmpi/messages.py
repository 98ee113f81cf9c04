"""What master and worker say to each other: frozen dataclasses of plain data, sent as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from hvmpi.campaign.jobs import (
    EventFile,
    FailureClass,
    Job,
    Kind,
    Outcome,
    Output,
    StepResult,
)
from hvmpi.engine import Check

__all__ = [
    "Alive",
    "Assign",
    "Cancel",
    "Examine",
    "Examined",
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


@dataclass(frozen=True, slots=True)
class Welcome:
    """Master to worker: the run, and the token that proves that both see its directory.

    ``scheduling`` holds the settings of this launch that may differ from the run's own.
    """

    directory: str
    token: str
    scheduling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hello:
    """Worker to master: ready for jobs, or, with a reason, not.

    ``cores`` are those that a process on the host may use, ``time`` is its clock, Unix seconds.
    """

    host: str
    pid: int
    reason: str = ""
    cores: int = 1
    version: str = ""
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Examine:
    """Master to worker: look whether your host is fit."""


@dataclass(frozen=True, slots=True)
class Examined:
    """Worker to master: what was found on its host."""

    host: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Worker to master: why its host had better get no more jobs; empty when it may again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Assign:
    """Master to worker: run this attempt."""

    job: Job


@dataclass(frozen=True, slots=True)
class Cancel:
    """Master to worker: end this attempt, its job went to another rank meanwhile."""

    job: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Report:
    """Worker to master: how an attempt ended.

    ``where`` names the log that tells of a failure, relative to the folder of the attempt's logs,
    and the line in it if one is known: ``s2608/log.EVNTtoHITS:1234``.
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
    steps: tuple[StepResult, ...] = field(default=())
    failure: FailureClass = FailureClass.NONE
    where: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Master to worker: end your payload, if there is one, and leave."""

    reason: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Worker to master: nothing runs here any more; back: that is understood, go."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Either way: a sign of life, where there was nothing else to say for a while."""


Message = (
    Welcome | Hello | Examine | Examined | Held | Assign | Cancel | Report | Stop | Goodbye | Alive
)

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}


def encode(message: Message) -> bytes:
    """Write a message as bytes."""
    return json.dumps([type(message).__name__, asdict(message)], separators=(",", ":")).encode()


def decode(data: bytes | bytearray) -> Message:
    """Undo `encode`."""
    name, fields = json.loads(data)
    if name == "Assign":
        job = fields["job"]
        job["kind"] = Kind(job["kind"])
        job["event_file"] = EventFile(**job["event_file"])
        return Assign(Job(**job))
    if name == "Examined":
        fields["checks"] = tuple(Check(**check) for check in fields["checks"])
    if name == "Report":
        fields["outcome"] = Outcome(fields["outcome"])
        fields["failure"] = FailureClass(fields["failure"])
        fields["outputs"] = tuple(Output(**output) for output in fields["outputs"])
        fields["steps"] = tuple(StepResult(**step) for step in fields["steps"])
    message: Message = _KINDS[name](**fields)
    return message
