"""``convert``: products as ROOT or Parquet files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hvmpi.analysis.conversion import Format, convert, format_of
from hvmpi.analysis.sources import PRODUCTS, find_files
from hvmpi.campaign.paths import is_timestamp
from hvmpi.verbs.arguments import VerbParser, add_run_dir, chosen_run
from hvmpi.verbs.stopping import nothing_left_by_sigterm
from hvmpi.view.text import say

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    given = _parser().parse_args(argv)
    to = format_of(given.output, given.format)
    files = find_files([_place(given, word) for word in given.inputs or [None]], given.product)
    collections = [name.strip() for name in given.collections.split(",") if name.strip()]
    with nothing_left_by_sigterm():
        done = convert(files, given.output, to, collections=collections, force=given.force)
    say(
        f"{given.output}: {done.rows} {done.what} of {done.files} file{'s' * (done.files > 1)},"
        f" {done.size / 1e6:.1f} MB, {to}"
    )
    return 0


def _place(given: argparse.Namespace, word: str | None) -> str | Path:
    """Give the directory of a run where one is meant: by its timestamp, or by no word at all."""
    if word is not None and (Path(word).exists() or not is_timestamp(word)):
        return word
    return chosen_run(argparse.Namespace(**vars(given), timestamp=word))


def _parser() -> VerbParser:
    parser = VerbParser(
        prog="python -m hvmpi convert",
        description="products as one ROOT file (a tree) or one Parquet file",
        epilog="example: python -m hvmpi convert runs/20261124120000 -o events.root",
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="FILE",
        help="AOD, HITS, RDO or training files of one kind, directories of them, runs or their"
        " TIMESTAMPs (default: the newest run)",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    parser.add_argument(
        "--format", choices=[str(one) for one in Format], help="(default: what OUT ends with)"
    )
    parser.add_argument(
        "--collections",
        default="",
        metavar="NAMES",
        help="those to be converted, separated by commas (default: all)",
    )
    parser.add_argument(
        "--product", choices=PRODUCTS, default="aod", help="what of a run (default: aod)"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")
    add_run_dir(parser)
    return parser
