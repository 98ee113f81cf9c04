"""``report``: one page about a run, and its plots as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hvmpi.campaign.paths import RunPaths
from hvmpi.report.making import make_report
from hvmpi.verbs.arguments import chosen_run, run_parser
from hvmpi.view.text import say

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = run_parser(
        "report",
        "make one HTML page about a run, in progress or over: what ran where and when, what failed "
        "and why, and its physics; with its plots as PNG and PDF",
        "python -m hvmpi report 20261124120000 -o here.html",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.html",
        help="the page; plots go into plots/ beside it (default: report.html in the run)",
    )
    given = parser.parse_args(argv)
    directory = chosen_run(given)
    made = make_report(directory, (given.output or RunPaths.of(directory).report).absolute())
    say(f"report: {made.page}")
    if made.plots:
        say(f"plots: {len(made.plots) // 2}, as PNG and PDF, in {made.plots[0].parent}")
    return 0
