"""The engine that makes nothing: it measures and tests the scheduler, with files of event numbers.

An event file of this engine is a text with one event number a line. A reconstruction job runs
``noop-command``, or nothing at all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Job, Kind, Outcome
from hvmpi.campaign.paths import SUFFIXES, AttemptPaths
from hvmpi.engine import EventCount, Sample, Step, StepOutput, Verdict, ended
from hvmpi.errors import BadEventFileError
from hvmpi.files import write_whole
from hvmpi.settings import Settings

__all__ = ["NoopEngine", "main"]

_DEFAULT_RUN_NUMBER = 304795


class NoopEngine:
    """An engine of one step at most, which makes nothing unless its command does."""

    name = "noop"
    products: tuple[str, ...] = ("evnt", "aod")
    event_file_patterns: tuple[str, ...] = ("*.evnt.txt",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

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

    def steps(self, job: Job, event_file: Path, paths: AttemptPaths) -> tuple[Step, ...]:
        """Name the one step, or none."""
        if job.kind is Kind.GENERATION:
            output = paths.tmp / f"{job.stem}.{SUFFIXES['noop']['evnt']}"
            argv: tuple[str, ...] = (
                sys.executable,
                "-m",
                "hvmpi.noop",
                str(output),
                str(job.first_event),
                str(job.events),
            )
            return (Step("generate", argv, outputs=(StepOutput("evnt", output),)),)
        command = self._settings.noop_command
        if not command:
            return ()
        output = paths.tmp / f"{job.stem}.{SUFFIXES['noop']['aod']}"
        filled = {
            "{job}": str(job.number),
            "{attempt}": str(job.attempt),
            "{first_event}": str(job.first_event),
            "{events}": str(job.events),
            "{input}": str(event_file),
            "{output}": str(output),
        }
        argv = tuple(_fill(word, filled) for word in command)
        makes_output = any("{output}" in word for word in command)
        outputs = (StepOutput("aod", output),) if makes_output else ()
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
        return self.count_events(path, None).event_numbers if product == "evnt" else None

    def preflight(self) -> list[str]:
        """Miss nothing."""
        return []

    def versions(self) -> dict[str, str]:
        """Use nothing."""
        return {}


def _fill(word: str, filled: dict[str, str]) -> str:
    for placeholder, value in filled.items():
        word = word.replace(placeholder, value)
    return word


def main(argv: Sequence[str]) -> int:
    """Write an event file of consecutive numbers: OUTPUT FIRST EVENTS."""
    output, first, events = Path(argv[0]), int(argv[1]), int(argv[2])
    with write_whole(output) as beside:
        beside.write_text("".join(f"{number}\n" for number in range(first, first + events)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
