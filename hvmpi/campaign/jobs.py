"""Jobs, their attempts, the states that they pass through, and the one table of legal moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from hvmpi.campaign.paths import MERGED_STEM, job_stem, library_stem
from hvmpi.errors import JournalError

__all__ = [
    "CHARGED",
    "NEEDED",
    "NO_EVENT_FILE",
    "TRANSITIONS",
    "EventFile",
    "FailureClass",
    "Job",
    "JobState",
    "Kind",
    "Outcome",
    "Output",
    "StepResult",
    "check_transition",
]


class Kind(IntEnum):
    """What a job makes."""

    GENERATION = 0
    LIBRARY = 1
    RECONSTRUCTION = 2
    MERGE = 3


class JobState(IntEnum):
    """Where a job stands."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    DONE = 3
    FAILED = 4


class Outcome(IntEnum):
    """How an attempt ended."""

    NONE = 0
    DONE = 1
    BAD_INPUT = 2
    SETUP_FAILED = 3
    PAYLOAD_FAILED = 4
    OUTPUT_INVALID = 5
    TIMED_OUT = 6
    OUT_OF_MEMORY = 7
    WORKER_LOST = 8
    INTERRUPTED = 9


class FailureClass(IntEnum):
    """What a failure says of another attempt; NONE leaves it to the outcome."""

    NONE = 0
    PASSING = 1
    RESOURCES = 2
    ONCE_MORE = 3
    PERMANENT = 4
    CHECK_THE_FILES = 5


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.READY, JobState.FAILED}),
    JobState.READY: frozenset({JobState.RUNNING, JobState.FAILED, JobState.WAITING}),
    JobState.RUNNING: frozenset({JobState.DONE, JobState.READY, JobState.FAILED}),
    JobState.DONE: frozenset(),
    JobState.FAILED: frozenset({JobState.READY, JobState.WAITING}),
}
"""From a state to those that may follow it; FAILED is left by a rerun only."""

CHARGED: frozenset[Outcome] = frozenset(Outcome) - {
    Outcome.NONE,
    Outcome.DONE,
    Outcome.WORKER_LOST,
    Outcome.INTERRUPTED,
}
"""Outcomes that use up one of a job's attempts: the payload's own, not the machine's."""


def check_transition(job: int, before: JobState, after: JobState) -> None:
    """Raise `JournalError` unless a job may go from one state to the other."""
    if after not in TRANSITIONS[before]:
        msg = f"job {job} cannot go from {before.name.lower()} to {after.name.lower()}"
        raise JournalError(msg)


@dataclass(frozen=True, slots=True)
class EventFile:
    """One event file of a campaign, planned or found.

    Attributes
    ----------
    path : str
        Relative to the run's directory when it lies in there, else absolute.
    sample : str
        Name of the sample that its events belong to.
    run_number, batch : int
        `batch` counts from 1; 0 for a foreign file.
    events : int
        Number of events that it holds, or will hold.
    first_event : int
        Event number of its first event in this campaign.
    stem : str
        What the names of its products begin with.
    size : int
        Bytes; -1 before it is made.
    sha256 : str
        Empty until known.
    number_from : int
        First of the event numbers given to it by ``renumber``; -1 where it keeps its own.
    reason : str
        Why it was put aside; empty when it is fit for use.
    """

    path: str
    sample: str
    run_number: int
    batch: int
    events: int
    first_event: int
    stem: str
    size: int = -1
    sha256: str = ""
    number_from: int = -1
    reason: str = ""


NO_EVENT_FILE = EventFile(
    path="", sample="", run_number=0, batch=0, events=0, first_event=0, stem=""
)
"""The event file of a job that has none: a library, a merge."""

NEEDED: frozenset[str] = frozenset({"evnt", "library", "merged"})
"""Products that are brought whatever ``keep`` says: other jobs read them, or they are the last."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is told of a job: everything that its engine needs to name the steps."""

    number: int
    kind: Kind
    attempt: int
    event_file: EventFile
    skip_events: int
    first_event: int
    events: int
    job_size: int

    @property
    def has_event_file(self) -> bool:
        """Whether it makes or reads an event file, whose numbers its events have."""
        return self.kind in (Kind.GENERATION, Kind.RECONSTRUCTION)

    @property
    def stem(self) -> str:
        """What the names of this job's products begin with."""
        if self.kind is Kind.GENERATION:
            return self.event_file.stem
        if self.kind is Kind.LIBRARY:
            return library_stem(self.events)
        if self.kind is Kind.MERGE:
            return MERGED_STEM
        return job_stem(self.event_file.stem, self.job_size, self.skip_events)


@dataclass(frozen=True, slots=True)
class Output:
    """A product that a worker brought beside its final place.

    Attributes
    ----------
    product : str
        ``evnt``, ``hits``, ``rdo``, ``aod``, ``train``, ``library``, or ``merged``: all of
        ``train`` in one file.
    part, path : str
        Where it lies now and where it is to be; relative to the run's directory when inside.
    size : int
        Bytes.
    sha256 : str
    """

    product: str
    part: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step of an attempt used.

    ``parts`` says where its wall time went, seconds by the names of `hvmpi.stopwatch.Part`; empty
    where nobody asked.
    """

    step: str
    wall_s: float
    cpu_s: float
    max_rss_mb: float
    exit_code: int
    parts: dict[str, float] = field(default_factory=dict)
