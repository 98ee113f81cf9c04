"""The open chain's steps by hand: ``python -m hvmpi.openchain generate|simulate|...``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hvmpi.campaign.jobs import Outcome
from hvmpi.errors import HvmpiError, InputError, SetupError, UsageError
from hvmpi.files import write_whole
from hvmpi.options import SAMPLE_OPTIONS
from hvmpi.sample import SampleOptions

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m hvmpi.openchain",
        description="The steps of the open chain, each a command of its own.",
        epilog="example: python -m hvmpi.openchain simulate IN.evnt.hepmc3 -o OUT.hits.h5 "
        "--first 33 --events 1",
        allow_abbrev=False,
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    generate = _step(steps, "generate", "a batch of events with Pythia 8, to an event file")
    generate.add_argument("--batch", type=int, default=1, help="number of the batch, from 1")
    for option in SAMPLE_OPTIONS:
        if option.name != "num-batches":
            generate.add_argument(
                f"--{option.name}",
                dest=option.field,
                action="append" if option.kind == "list" else "store",
                metavar="TEXT" if option.kind == "list" else option.kind.upper(),
                help=option.help.replace("%", "%%"),
            )
    for name, what in (
        ("simulate", "EVNT to HITS: particles through the tracker"),
        ("digitize", "HITS to RDO: what the readout would record"),
        ("reconstruct", "RDO to AOD: tracks and vertices"),
        ("chain", "EVNT to AOD in one process; the same AOD, bit for bit"),
    ):
        step = _step(steps, name, what)
        step.add_argument("input", type=Path, metavar="IN")
        step.add_argument("--first", type=int, help="event number of the first event to do")
        step.add_argument("--events", type=int, default=-1, help="how many; -1: all that follow")
        if name in ("simulate", "chain"):
            step.add_argument("--skip", type=int, default=0, help="events to pass over at first")
            step.add_argument("--number-from", type=int, help="number the events anew from here")
            step.add_argument(
                "--run-number", type=int, help="for files that have none of their own"
            )
            step.add_argument(
                "--input-sha256",
                type=_sha256,
                metavar="HEX",
                help="the event file's SHA-256 where it is known; else the file is read for it",
            )
        if name == "chain":
            step.add_argument("--hits", type=Path, help="keep the HITS too")
            step.add_argument("--rdo", type=Path, help="keep the RDO too")
    return parser


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        msg = f"{text!r} is no SHA-256: it has 64 hexadecimal digits"
        raise argparse.ArgumentTypeError(msg)
    return text.lower()


def _step(steps: Any, name: str, what: str) -> argparse.ArgumentParser:
    step: argparse.ArgumentParser = steps.add_parser(
        name, help=what, description=what, allow_abbrev=False
    )
    step.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    step.add_argument("--seed", type=int, default=1, help="the campaign's (default: 1)")
    step.add_argument("--report", type=Path, help="write here how the step went, as JSON")
    return step


def _generate(given: argparse.Namespace) -> Any:
    from hvmpi.openchain.generation import generate
    from hvmpi.openchain.processes import resolve

    values: dict[str, Any] = {}
    for option in SAMPLE_OPTIONS:
        raw = getattr(given, option.field, None)
        value = option.default if raw is None else option.convert(raw, f"--{option.name}")
        values[option.field] = value
    values["num_batches"] = max(given.batch, 1)
    values["name"] = values["name"] or values["process"] or "whss"
    process = resolve(SampleOptions(**values))
    return generate(process, seed=given.seed, batch=given.batch, output=given.output)


def _simulate(given: argparse.Namespace) -> Any:
    from hvmpi.openchain import chain

    return chain.simulate(
        given.input,
        given.output,
        seed=given.seed,
        skip=given.skip,
        first=given.first,
        events=given.events,
        number_from=given.number_from,
        run_number=given.run_number,
        evnt_sha256=given.input_sha256,
    )


def _digitize(given: argparse.Namespace) -> Any:
    from hvmpi.openchain import chain

    return chain.digitize(
        given.input, given.output, seed=given.seed, first=given.first, events=given.events
    )


def _reconstruct(given: argparse.Namespace) -> Any:
    from hvmpi.openchain import chain

    return chain.reconstruct(
        given.input, given.output, seed=given.seed, first=given.first, events=given.events
    )


def _chain(given: argparse.Namespace) -> Any:
    from hvmpi.openchain import chain

    return chain.run(
        given.input,
        given.output,
        seed=given.seed,
        skip=given.skip,
        first=given.first,
        events=given.events,
        number_from=given.number_from,
        run_number=given.run_number,
        evnt_sha256=given.input_sha256,
        hits=given.hits,
        rdo=given.rdo,
    )


_STEPS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "generate": _generate,
    "simulate": _simulate,
    "digitize": _digitize,
    "reconstruct": _reconstruct,
    "chain": _chain,
}


def main(argv: Sequence[str]) -> int:
    """Carry out a step; returns the exit code."""
    given = None
    try:
        given = _parser().parse_args(argv)
        summary = _run(given)
    except HvmpiError as error:
        _report(given, _outcome(error), str(error), -1)
        print(f"hvmpi: error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    print(f"hvmpi: {given.step}: {summary.events} events to {str(given.output)!r}", flush=True)
    _report(given, Outcome.DONE, "", summary.events, dataclasses.asdict(summary))
    return 0


def _run(given: argparse.Namespace) -> Any:
    if not given.output.absolute().parent.is_dir():
        msg = f"there is no directory {str(given.output.absolute().parent)!r} for the output"
        raise UsageError(msg)
    _refuse_to_overwrite(given)
    try:
        return _STEPS[given.step](given)
    except ImportError as error:
        msg = f"the open chain is not installed ({error}); pip install 'hvmpi[openchain]'"
        raise SetupError(msg) from error
    except MemoryError as error:
        msg = f"{given.step} ran out of memory"
        raise SetupError(msg) from error


def _refuse_to_overwrite(given: argparse.Namespace) -> None:
    """Refuse outputs that would destroy the input, each other, or a published file."""
    taken = [given.input.resolve()] if "input" in given else []
    for output in (given.output, getattr(given, "hits", None), getattr(given, "rdo", None)):
        if output is None:
            continue
        path = output.resolve()
        if path in taken:
            msg = f"{str(output)!r} is named twice, as an output and as something else"
            raise UsageError(msg)
        if path.exists() and not path.stat().st_mode & stat.S_IWUSR:
            msg = f"{str(output)!r} is there and read-only, as published files are; name another"
            raise UsageError(msg)
        taken.append(path)


def _outcome(error: HvmpiError) -> Outcome:
    if isinstance(error, InputError):
        return Outcome.BAD_INPUT
    if isinstance(error, UsageError | SetupError):
        return Outcome.SETUP_FAILED
    return Outcome.PAYLOAD_FAILED


def _report(
    given: argparse.Namespace | None,
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
    with write_whole(given.report) as beside:
        beside.write_text(json.dumps(values) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
