"""The engine that makes nothing: it measures and tests the scheduler, with files of event numbers.

An event file of this engine is a text with one event number a line, and so is a library of
minimum-bias events or a training file. A reconstruction job runs ``noop-command``, or nothing at
all; it makes a training file where that names ``{train}``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Job, Kind, Outcome
from hvmpi.campaign.paths import SUFFIXES, AttemptPaths
from hvmpi.engine import (
    Check,
    EventCount,
    Inputs,
    LibraryCount,
    Sample,
    Step,
    StepOutput,
    Verdict,
    Warm,
    ended,
)
from hvmpi.errors import BadEventFileError, InputError
from hvmpi.files import sha256_of, write_whole
from hvmpi.options import least_pileup_events
from hvmpi.settings import Settings

__all__ = ["NoopEngine", "main"]

_DEFAULT_RUN_NUMBER = 304795
_PLACEHOLDERS = {"aod": "{output}", "train": "{train}"}


class NoopEngine:
    """An engine of one step at most, which makes nothing unless its command does."""

    name = "noop"
    notices: tuple[str, ...] = ()
    examines_hosts = False
    may_lose_events = False
    event_file_patterns: tuple[str, ...] = ("*.evnt.txt",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        train = ("train",) if self._is_told("{train}") else ()
        self._fills = any("{" in word for word in settings.noop_command)
        self.products: tuple[str, ...] = ("evnt", "library", "aod", *train)

    def _is_told(self, placeholder: str) -> bool:
        return any(placeholder in word for word in self._settings.noop_command)

    def documents(self) -> dict[str, str]:
        """Give none."""
        return {}

    def samples(self, settings: Settings) -> tuple[Sample, ...]:
        """Take the samples as they are."""
        return tuple(
            Sample(
                name=options.name,
                process=options.process or "noop",
                run_number=options.run_number or _DEFAULT_RUN_NUMBER,
                num_batches=options.num_batches,
                batch_size=options.batch_size,
                options=options,
                identity={"process": options.process, "run_number": options.run_number},
            )
            for options in settings.samples
        )

    def count_events(self, path: Path, expected: int | None) -> EventCount:
        """Count the lines of an event file."""
        try:
            numbers = np.array(path.read_text().split(), dtype=np.int64)
        except (OSError, ValueError) as error:
            msg = f"event file {str(path)!r} is no list of event numbers ({error})"
            raise BadEventFileError(msg) from error
        if not len(numbers) or (expected is not None and len(numbers) < expected):
            msg = f"event file {str(path)!r} holds {len(numbers)} events, {expected} are expected"
            raise BadEventFileError(msg)
        return EventCount(numbers, path.stat().st_size)

    def check_library(self, path: Path, mu: float) -> LibraryCount:
        """Count the lines of a library."""
        try:
            events, sha256 = len(path.read_text().split()), sha256_of(path)
        except (OSError, ValueError) as error:
            msg = f"pileup-library {str(path)!r} cannot be read ({error})"
            raise InputError(msg) from error
        least = least_pileup_events(mu)
        if events < least:
            msg = f"pileup-library {str(path)!r} holds {events} events, mu {mu:g} needs {least}"
            raise InputError(msg)
        return LibraryCount(events, sha256)

    def steps(self, job: Job, inputs: Inputs, paths: AttemptPaths) -> tuple[Step, ...]:
        """Name the one step, or none."""
        events = str(job.events)
        if job.kind is Kind.GENERATION:
            return (_own_step("generate", "evnt", str(job.first_event), events, job, paths),)
        if job.kind is Kind.LIBRARY:
            return (_own_step("library", "library", "1", events, job, paths),)
        if job.kind is Kind.MERGE:
            return (_own_step("merge", "merged", str(inputs.training), events, job, paths),)
        command = self._settings.noop_command
        if not command:
            return ()
        if not self._fills:
            return (Step("noop", command),)
        filled = {
            "{job}": str(job.number),
            "{attempt}": str(job.attempt),
            "{first_event}": str(job.first_event),
            "{events}": events,
            "{input}": str(inputs.event_file),
            "{library}": str(inputs.library or ""),
        }
        outputs = tuple(
            _output(product, job, paths)
            for product, placeholder in _PLACEHOLDERS.items()
            if self._is_told(placeholder)
        )
        filled |= {_PLACEHOLDERS[output.product]: str(output.path) for output in outputs}
        argv = tuple(_fill(word, filled) for word in command)
        return (Step("noop", argv, outputs=outputs),)

    def check(self, job: Job, step: Step, exit_code: int) -> Verdict:
        """Believe the exit code, and that an output is there."""
        if exit_code:
            return Verdict(Outcome.PAYLOAD_FAILED, f"{step.name} {ended(exit_code)}")
        for output in step.outputs:
            if not output.path.is_file():
                reason = f"{step.name} ended well but made no {output.path.name}"
                return Verdict(Outcome.OUTPUT_INVALID, reason)
        return Verdict(Outcome.DONE, events=job.events)

    def event_numbers(self, product: str, path: Path) -> npt.NDArray[np.int64] | None:
        """Read an event file's numbers; what the command makes is not known."""
        known = product in ("evnt", "library")
        return self.count_events(path, None).event_numbers if known else None

    def count(self, _product: str, _path: Path, /) -> int | None:
        """Count none: what has events has numbers."""
        return None

    def training_events(self, path: Path) -> list[tuple[int, int]]:
        """Read the event numbers of a training file, which knows of no runs."""
        return [(0, number) for number in self.count_events(path, None).event_numbers.tolist()]

    def cores(self, _kind: Kind, /) -> int:
        """Use one."""
        return 1

    def preflight(self) -> list[str]:
        """Miss nothing."""
        return []

    def examine(self, _timeout: float, /) -> tuple[Check, ...]:
        """Look at nothing."""
        return ()

    def versions(self) -> dict[str, str]:
        """Use nothing."""
        return {}


def _output(product: str, job: Job, paths: AttemptPaths) -> StepOutput:
    return StepOutput(product, paths.tmp / f"{job.stem}.{SUFFIXES['noop'][product]}")


def _own_step(
    name: str, product: str, source: str, events: str, job: Job, paths: AttemptPaths
) -> Step:
    output = _output(product, job, paths)
    words = (name, str(output.path), source, events)
    argv = (sys.executable, "-m", __name__, *words)
    return Step(name, argv, outputs=(output,), warm=Warm(__name__, words))


def _fill(word: str, filled: dict[str, str]) -> str:
    for placeholder, value in filled.items():
        word = word.replace(placeholder, value)
    return word


def main(argv: Sequence[str]) -> int:
    """Write a file of event numbers: consecutive ones, or those of the training files."""
    parser = argparse.ArgumentParser(prog="python -m hvmpi.noop")
    parser.add_argument("step", choices=["generate", "library", "merge"])
    parser.add_argument("output", type=Path)
    parser.add_argument("source", help="the first number; to merge: the directory")
    parser.add_argument("events", type=int)
    given = parser.parse_args(argv)
    if given.step == "merge":
        files = sorted(Path(given.source).glob(f"[!.]*.{SUFFIXES['noop']['train']}"))
        numbers = [number for path in files for number in path.read_text().split()]
        if len(numbers) != given.events:
            print(f"the training files hold {len(numbers)} events of {given.events}")
            return 2
    else:
        first = int(given.source)
        numbers = list(map(str, range(first, first + given.events)))
    with write_whole(given.output) as beside:
        beside.write_text("".join(f"{number}\n" for number in numbers))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
