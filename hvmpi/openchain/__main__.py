"""The open chain's steps by hand: ``python -m hvmpi.openchain generate|simulate|...``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hvmpi.errors import SetupError
from hvmpi.options import SAMPLE_OPTIONS
from hvmpi.sample import SampleOptions
from hvmpi.step import StepParser, add_step, refuse_to_overwrite, run_step

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = StepParser(
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
    step = add_step(steps, name, what)
    step.add_argument("--seed", type=int, default=1, help="the campaign's (default: 1)")
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
    return run_step(_parser(), argv, _run)


def _run(given: argparse.Namespace) -> Any:
    outputs = [given.output, getattr(given, "hits", None), getattr(given, "rdo", None)]
    inputs = [given.input] if "input" in given else []
    refuse_to_overwrite(inputs, filter(None, outputs))
    try:
        return _STEPS[given.step](given)
    except ImportError as error:
        msg = f"the open chain is not installed ({error}); pip install 'hvmpi[openchain]'"
        raise SetupError(msg) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
