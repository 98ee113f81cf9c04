"""``merge``: one training file of those of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hvmpi.errors import UsageError
from hvmpi.training.__main__ import add_merge_arguments, carry_out_merge
from hvmpi.verbs.arguments import VerbParser
from hvmpi.verbs.stopping import nothing_left_by_sigterm
from hvmpi.view.table import print_table
from hvmpi.view.text import say

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = VerbParser(
        prog="python -m hvmpi merge",
        description="one training file of those of several runs, with no event twice",
        epilog="example: python -m hvmpi merge -o all.h5 runs/*/train/train.h5",
        allow_abbrev=False,
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    add_merge_arguments(parser)
    given = parser.parse_args(argv)
    if not given.output.absolute().parent.is_dir():
        msg = f"there is no directory {str(given.output.absolute().parent)!r} for the output"
        raise UsageError(msg)
    with nothing_left_by_sigterm():
        summary = carry_out_merge(given)
    print_table(
        ("SAMPLE", "EVENTS"),
        [(name or "(unnamed)", str(events)) for name, events in summary.samples.items()],
        right=("EVENTS",),
    )
    say(
        f"{given.output}: {summary.rows['jets']} jets, {summary.rows['signal']} of them signal and"
        f" {summary.rows['qcd']} QCD, of {summary.events} events in {summary.inputs} files"
    )
    return 0
