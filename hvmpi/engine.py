"""What an engine is: it names the commands of a job's steps and judges what they delivered.

Engines know nothing of MPI; the master knows nothing of physics.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import FailureClass, Job, Kind, Outcome
from hvmpi.campaign.paths import SUFFIXES, AttemptPaths, RunPaths, library_stem
from hvmpi.sample import SampleOptions
from hvmpi.settings import Settings

__all__ = [
    "Check",
    "Engine",
    "EventCount",
    "Inputs",
    "LibraryCount",
    "Sample",
    "Step",
    "StepOutput",
    "Verdict",
    "Warm",
    "ended",
    "make_engine",
]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample with nothing left open.

    Attributes
    ----------
    name, process : str
    run_number, num_batches, batch_size : int
    options : SampleOptions
        What the engine's steps are told.
    identity : mapping
        Plain values: all that decides the events of a batch, besides seed and batch.
    """

    name: str
    process: str
    run_number: int
    num_batches: int
    batch_size: int
    options: SampleOptions
    identity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventCount:
    """What an event file was found to hold.

    Attributes
    ----------
    event_numbers : ndarray of int64, shape (n_events,)
    size : int
        Bytes.
    run_number : int or None
        As the record has it.
    sample : str
        The sample's name where the record has it, else empty.
    known : bool
        Whether the event numbers are the file's own; they count from 1 where it hides them.
    """

    event_numbers: npt.NDArray[np.int64]
    size: int
    run_number: int | None = None
    sample: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class LibraryCount:
    """What a library of minimum-bias events was found to be.

    Attributes
    ----------
    events : int
    sha256 : str
    """

    events: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where the steps of a job find what they read.

    Attributes
    ----------
    event_file : Path
        Of a reconstruction; of no use to jobs that have none.
    library : Path or None
        The minimum-bias events to overlay; None without pile-up.
    training : Path
        Directory of the training files of all jobs, for the merge.
    """

    event_file: Path
    library: Path | None
    training: Path

    @classmethod
    def of(cls, job: Job, paths: RunPaths, settings: Settings) -> Inputs:
        """Say where a job of a run finds them."""
        library = Path(settings.pileup_library) if settings.pileup_library else None
        if settings.makes_library:
            suffix = SUFFIXES[settings.engine]["library"]
            library = paths.product("library", library_stem(settings.pileup_events), suffix)
        return cls(paths.resolve(job.event_file.path), library, paths.product_directory("train"))


@dataclass(frozen=True, slots=True)
class StepOutput:
    """A file that a step makes in its working directory, to be published as a product.

    Attributes
    ----------
    product : str
    path : Path
    name : str
        Its name when it is published; empty: the job's stem and the product's suffix.
    """

    product: str
    path: Path
    name: str = ""


@dataclass(frozen=True, slots=True)
class Warm:
    """How a step is carried out by a process that has its libraries loaded.

    Attributes
    ----------
    module : str
        Its ``main(argv)`` carries the step out and gives the exit code.
    argv : tuple of str
    load : tuple of tuple of str
        What is called before, once for all steps: a module, a function in it, and its arguments.
    """

    module: str
    argv: tuple[str, ...]
    load: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One child process of a job.

    Attributes
    ----------
    name : str
        What its log is called after.
    argv : tuple of str
        Never seen by a shell.
    environment : mapping
        Added to what every payload gets.
    outputs : tuple of StepOutput
        Those to be published.
    report : Path or None
        File in which the step says what it delivered, or why it could not.
    directory : Path or None
        Where it runs, made for it and empty at its start; None: the attempt's own directory.
    files : mapping of Path to str
        Texts that are written before it starts, for its owner to read, write and execute.
    leaves : tuple of str
        Patterns of files in `directory` that are brought to the folder of the step's name beside
        its log, however it ended.
    isolated : bool
        Whether `environment` is all that it gets.
    command : tuple of str
        What a person would type, where `argv` is a script.
    note : str
        What a person must know to type it.
    warm : Warm or None
        What is done in the place of `argv` where its libraries are loaded; it makes the same.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[StepOutput, ...] = ()
    report: Path | None = None
    directory: Path | None = None
    files: Mapping[Path, str] = field(default_factory=dict)
    leaves: tuple[str, ...] = ()
    isolated: bool = False
    command: tuple[str, ...] = ()
    note: str = ""
    warm: Warm | None = None

    @property
    def leaves_files(self) -> bool:
        """Whether files tell of how it went."""
        return bool(self.outputs or self.report or self.leaves or self.directory)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a step really delivered.

    Attributes
    ----------
    outcome : Outcome
        `Outcome.DONE` when it is what was asked for.
    reason : str
        One sentence where it is not.
    events : int
        Events in the output; -1 when the step makes none.
    failure : FailureClass
        What is to be thought of another attempt.
    where : str
        The log that tells of a failure, relative to the folder of the attempt's logs, and the line
        in it: ``s2608/log.EVNTtoHITS:1234``; empty where none does.
    outputs : tuple of StepOutput or None
        What the step made, if it is not what was to be expected of it.
    """

    outcome: Outcome
    reason: str = ""
    events: int = -1
    failure: FailureClass = FailureClass.NONE
    where: str = ""
    outputs: tuple[StepOutput, ...] | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a host was looked at for.

    Attributes
    ----------
    name : str
        What was looked at: ``scratch``, ``release AtlasProduction,19.2.3.7``...
    good : bool
    found : str
        What was found, or what is wrong and what to do.
    """

    name: str
    good: bool
    found: str


class Engine(Protocol):
    """What master, worker and verbs ask of an engine."""

    name: str
    products: tuple[str, ...]
    event_file_patterns: tuple[str, ...]
    notices: tuple[str, ...]
    examines_hosts: bool
    may_lose_events: bool

    def documents(self) -> dict[str, str]:
        """Give texts that a run keeps in its directory, by their paths in there."""

    def samples(self, settings: Settings) -> tuple[Sample, ...]:
        """Resolve the samples of a campaign; raise `ConfigError` where one cannot be."""

    def count_events(self, path: Path, expected: int | None) -> EventCount:
        """Count the events of a file; raise `BadEventFileError` where it is not fit for use."""

    def check_library(self, path: Path, mu: float) -> LibraryCount:
        """Look at a minimum-bias library made before; raise `InputError` if `mu` cannot use it."""

    def steps(self, job: Job, inputs: Inputs, paths: AttemptPaths) -> tuple[Step, ...]:
        """Name the steps of a job, in their order."""

    def check(self, job: Job, step: Step, exit_code: int) -> Verdict:
        """Judge a step that ended with `exit_code` (negative: by that signal)."""

    def event_numbers(self, product: str, path: Path) -> npt.NDArray[np.int64] | None:
        """Read the event numbers of a product; None where it has none; `InputError` if bad."""

    def count(self, product: str, path: Path, /) -> int | None:
        """Count the events of a product whose numbers cannot be read; None where it has none."""

    def training_events(self, path: Path) -> list[tuple[int, int]]:
        """List the events that went into a training file, by run and event number.

        Those that left no row, too; `InputError` if it is bad.
        """

    def cores(self, kind: Kind, /) -> int:
        """Give the cores that a job of a kind uses."""

    def preflight(self) -> list[str]:
        """List what is missing on this host, a sentence each, as far as a glance tells."""

    def examine(self, timeout: float, /) -> Iterable[Check]:
        """Look at this host thoroughly, in `timeout` seconds; nothing if not `examines_hosts`."""

    def versions(self) -> dict[str, str]:
        """Give the versions of what the engine uses."""


def ended(exit_code: int) -> str:
    """Say how a process ended: ``ended with code 3``, ``was killed by SIGSEGV``."""
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"


def make_engine(settings: Settings) -> Engine:
    """Make the engine that the settings name."""
    if settings.engine == "noop":
        from hvmpi.noop import NoopEngine

        return NoopEngine(settings)
    if settings.engine == "athena":
        from hvmpi.athena.engine import AthenaEngine

        return AthenaEngine(settings)
    from hvmpi.openchain.engine import OpenChainEngine

    return OpenChainEngine(settings)
