"""What the steps of a job have in common as commands: their options, their errors, their report.

``python -m hvmpi.openchain`` and ``python -m hvmpi.training`` are made of it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from hvmpi.campaign.jobs import Outcome
from hvmpi.errors import HvmpiError, InputError, SetupError, UsageError
from hvmpi.files import write_whole
from hvmpi.stopwatch import Stopwatch
from hvmpi.view.text import say

__all__ = ["StepParser", "add_step", "refuse_to_overwrite", "run_step"]


class StepParser(argparse.ArgumentParser):
    """An argument parser whose complaints are errors of ours."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")


def add_step(steps: Any, name: str, what: str) -> argparse.ArgumentParser:
    """Add a step to a parser's subparsers, whose ``dest`` is ``step``; it has OUT and a report."""
    step: argparse.ArgumentParser = steps.add_parser(
        name, help=what, description=what, allow_abbrev=False
    )
    step.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    step.add_argument("--report", type=Path, help="write here how the step went, as JSON")
    step.add_argument("--profile", action="store_true", help="and where its time went")
    return step


def run_step(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    carry_out: Callable[[argparse.Namespace], Any],
) -> int:
    """Carry out a step and say how it went; returns the exit code.

    Parameters
    ----------
    parser : ArgumentParser
        With steps from `add_step`.
    argv : sequence of str
    carry_out : callable
        Does the step that was asked for; returns a dataclass with a field ``events``.
    """
    given = None
    watch = Stopwatch()
    try:
        given = parser.parse_args(argv)
        with watch.running() if given.profile else nullcontext():
            summary = _attempt(given, carry_out)
    except HvmpiError as error:
        _report(given, watch, _outcome(error), str(error), -1)
        say(f"hvmpi: error: {error}", sys.stderr)
        return error.exit_code
    print(f"hvmpi: {given.step}: {summary.events} events to {str(given.output)!r}", flush=True)
    _report(given, watch, Outcome.DONE, "", summary.events, dataclasses.asdict(summary))
    return 0


def _attempt(given: argparse.Namespace, carry_out: Callable[[argparse.Namespace], Any]) -> Any:
    if not given.output.absolute().parent.is_dir():
        msg = f"there is no directory {str(given.output.absolute().parent)!r} for the output"
        raise UsageError(msg)
    try:
        return carry_out(given)
    except MemoryError as error:
        msg = f"{given.step} ran out of memory"
        raise SetupError(msg) from error


def refuse_to_overwrite(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Refuse outputs that would destroy an input, each other, or a published file.

    Raises
    ------
    UsageError
    """
    taken = {path.resolve() for path in inputs}
    for output in outputs:
        path = output.resolve()
        if path in taken:
            msg = f"{str(output)!r} is named twice, as an output and as something else"
            raise UsageError(msg)
        if path.exists() and not path.stat().st_mode & stat.S_IWUSR:
            msg = f"{str(output)!r} is there and read-only, as published files are; name another"
            raise UsageError(msg)
        taken.add(path)


def _outcome(error: HvmpiError) -> Outcome:
    if isinstance(error, InputError):
        return Outcome.BAD_INPUT
    if isinstance(error, UsageError | SetupError):
        return Outcome.SETUP_FAILED
    return Outcome.PAYLOAD_FAILED


def _report(
    given: argparse.Namespace | None,
    watch: Stopwatch,
    outcome: Outcome,
    reason: str,
    events: int,
    summary: dict[str, Any] | None = None,
) -> None:
    if given is None or given.report is None:
        return
    values = {
        "outcome": outcome.name.lower(),
        "reason": reason,
        "events": events,
        "summary": summary or {},
    }
    if given.profile:
        values["profile"] = watch.report()
    with write_whole(given.report) as beside:
        beside.write_text(json.dumps(values) + "\n")
