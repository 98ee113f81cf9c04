"""The open chain's steps by hand: ``python -m hvmpi.openchain generate|simulate|...``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hvmpi.errors import SetupError, UsageError
from hvmpi.options import BY_NAME, SAMPLE_OPTIONS
from hvmpi.sample import SampleOptions
from hvmpi.step import StepParser, add_step, refuse_to_overwrite, run_step
from hvmpi.stopwatch import Part, spent_on

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
    library = _step(steps, "library", "minimum-bias HITS, to be laid over events as pile-up")
    library.add_argument("--events", type=int, required=True, help="how many")
    for name, what in (
        ("simulate", "EVNT to HITS: particles through tracker and calorimeters"),
        ("digitize", "HITS to RDO: what the readout would record"),
        ("reconstruct", "RDO to AOD: tracks, clusters, jets"),
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
        if name in ("digitize", "chain"):
            step.add_argument(
                "--pileup-mu",
                default="0",
                metavar="MU",
                help="mean number of minimum-bias interactions a crossing",
            )
            step.add_argument("--pileup-library", type=Path, metavar="HITS", help="with them")
        if name == "chain":
            step.add_argument("--hits", type=Path, help="keep the HITS too")
            step.add_argument("--rdo", type=Path, help="keep the RDO too")
            step.add_argument(
                "--no-tracker",
                action="store_false",
                dest="tracker",
                help="leave the tracker out: no tracks, in a quarter of the time; for calibrate",
            )
            step.add_argument("--train", type=Path, help="extract the training variables too")
            step.add_argument(
                "--train-unmatched",
                action="store_true",
                help="with the jets of signal events that no long-lived particle made",
            )
    noise = add_step(steps, "pileup-noise", "measure the noise of pile-up on a library")
    noise.add_argument("input", type=Path, metavar="LIBRARY")
    calibrate = add_step(steps, "calibrate", "AODs to constants of the jets' energy scale")
    calibrate.add_argument("inputs", type=Path, nargs="+", metavar="AOD")
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
    with spent_on(Part.LOAD):
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


def _library(given: argparse.Namespace) -> Any:
    with spent_on(Part.LOAD):
        from hvmpi.openchain import library

    return library.make_library(given.output, seed=given.seed, events=given.events)


def _pileup_noise(given: argparse.Namespace) -> Any:
    from hvmpi.openchain import library

    return library.measure_noise(given.input, given.output)


def _pile_up(given: argparse.Namespace) -> Any:
    with spent_on(Part.LOAD):
        from hvmpi.openchain.chain import PileUp

    mu = BY_NAME["pileup-mu"].convert(given.pileup_mu, "--pileup-mu")
    library = given.pileup_library
    if (mu > 0.0) != (library is not None):
        msg = "--pileup-mu above 0 and --pileup-library go together"
        raise UsageError(msg)
    return PileUp(mu, library) if library else None


def _simulate(given: argparse.Namespace) -> Any:
    with spent_on(Part.LOAD):
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
    with spent_on(Part.LOAD):
        from hvmpi.openchain import chain

    return chain.digitize(
        given.input,
        given.output,
        seed=given.seed,
        first=given.first,
        events=given.events,
        pile_up=_pile_up(given),
    )


def _reconstruct(given: argparse.Namespace) -> Any:
    with spent_on(Part.LOAD):
        from hvmpi.openchain import chain

    return chain.reconstruct(
        given.input, given.output, seed=given.seed, first=given.first, events=given.events
    )


def _chain(given: argparse.Namespace) -> Any:
    with spent_on(Part.LOAD):
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
        pile_up=_pile_up(given),
        tracker=given.tracker,
        train=given.train,
        train_unmatched=given.train_unmatched,
    )


def _calibrate(given: argparse.Namespace) -> Any:
    from hvmpi.openchain.response import calibrate

    return calibrate(given.inputs, given.output)


_STEPS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "generate": _generate,
    "library": _library,
    "pileup-noise": _pileup_noise,
    "simulate": _simulate,
    "digitize": _digitize,
    "reconstruct": _reconstruct,
    "chain": _chain,
    "calibrate": _calibrate,
}


def main(argv: Sequence[str]) -> int:
    """Carry out a step; returns the exit code."""
    return run_step(_parser(), argv, _run)


def _run(given: argparse.Namespace) -> Any:
    outputs = [given.output, *(getattr(given, name, None) for name in ("hits", "rdo", "train"))]
    inputs = [getattr(given, name, None) for name in ("input", "pileup_library")]
    inputs += getattr(given, "inputs", [])
    refuse_to_overwrite(filter(None, inputs), filter(None, outputs))
    try:
        return _STEPS[given.step](given)
    except ImportError as error:
        msg = f"the open chain is not installed ({error}); pip install 'hvmpi[openchain]'"
        raise SetupError(msg) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
