"""Training files as steps of a job: ``python -m hvmpi.training extract|merge``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hvmpi.step import StepParser, add_step, refuse_to_overwrite, run_step
from hvmpi.stopwatch import Part, spent_on

__all__ = ["add_merge_arguments", "carry_out_merge", "main"]


def _parser() -> argparse.ArgumentParser:
    parser = StepParser(
        prog="python -m hvmpi.training",
        description="Training files: from an AOD, and from others of them.",
        epilog="example: python -m hvmpi.training extract IN.aod.h5 -o OUT.train.h5",
        allow_abbrev=False,
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    extract = add_step(steps, "extract", "the training file of an AOD (athena's DAODs too)")
    extract.add_argument("input", type=Path, metavar="AOD")
    extract.add_argument(
        "--unmatched", action="store_true", help="keep jets of signal events with no s near"
    )
    athena = extract.add_argument_group("what a file of athena does not say of itself")
    athena.add_argument("--name", default="", help="of the sample (default: the process)")
    athena.add_argument("--process", default="", help="gghss, qcd... of at most 12 letters")
    athena.add_argument("--m-phi", type=float, metavar="GEV", help="nominal mass of Phi")
    athena.add_argument("--m-s", type=float, metavar="GEV", help="nominal mass of the s")
    athena.add_argument("--jets", default="", metavar="CONTAINER", help="AntiKt4EMTopoJets...")
    athena.add_argument(
        "--long-lived",
        type=int,
        action="append",
        metavar="PDG",
        help="PDG number of the long-lived particle, without sign (default: 35, 36, dark pions)",
    )
    add_merge_arguments(add_step(steps, "merge", "one training file of many"))
    return parser


def add_merge_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a merge takes besides its output."""
    parser.add_argument(
        "inputs",
        nargs="*",
        type=Path,
        metavar="TRAIN",
        help="training files, or directories with *.train.h5",
    )
    parser.add_argument(
        "--inputs-from", type=Path, metavar="FILE", help="a file that names more, one a line"
    )
    parser.add_argument(
        "--events", type=int, help="refuse to merge if not so many events went into the files"
    )


def carry_out_merge(given: argparse.Namespace) -> Any:
    """Merge as the command line says; returns the summary."""
    with spent_on(Part.LOAD):
        from hvmpi.training.merging import listed, merge

    return merge(listed(given.inputs, given.inputs_from), given.output, events=given.events)


def _extract(given: argparse.Namespace) -> Any:
    with spent_on(Part.LOAD):
        from hvmpi.training.athena import AthenaSample
        from hvmpi.training.extraction import extract

    refuse_to_overwrite([given.input], [given.output])
    values = {
        "name": given.name or given.process,
        "process": given.process,
        "m_phi": given.m_phi,
        "m_s": given.m_s,
        "jets": given.jets,
        "long_lived": tuple(map(abs, given.long_lived)) if given.long_lived else None,
    }
    known = {name: value for name, value in values.items() if value is not None}
    return extract(
        given.input, given.output, unmatched=given.unmatched, sample=AthenaSample(**known)
    )


def main(argv: Sequence[str]) -> int:
    """Carry out a step; returns the exit code."""
    steps = {"extract": _extract, "merge": carry_out_merge}
    return run_step(_parser(), argv, lambda given: steps[given.step](given))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
