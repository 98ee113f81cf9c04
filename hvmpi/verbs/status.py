"""``status``: how far a run is, what failed and why, and where its products are."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from hvmpi.campaign.standing import Selection, Standing
from hvmpi.errors import UsageError
from hvmpi.verbs.arguments import VerbParser, chosen_run, run_parser

__all__ = ["main"]

_PAUSE_S = 2.0
_SHORTEST_S, _LONGEST_S = 0.1, 3600.0


def _parser() -> VerbParser:
    parser = run_parser(
        "status", "how far a run is, what failed and why", "python -m hvmpi status --state failed"
    )
    parser.add_argument(
        "--state",
        choices=[standing.name.lower() for standing in Standing],
        help="only jobs in that state; ahead: a rank has them, and runs another one first",
    )
    parser.add_argument("--host", metavar="HOST", help="only jobs whose attempt was on that host")
    parser.add_argument("--all", action="store_true", dest="all_rows", help="show every job")
    instead = parser.add_argument_group("instead of the table").add_mutually_exclusive_group()
    instead.add_argument(
        "--watch",
        nargs="?",
        const=str(_PAUSE_S),
        metavar="SECONDS",
        help=f"look again and again (every {_PAUSE_S:g} s) until the run is over; Ctrl-C ends it",
    )
    instead.add_argument(
        "--log", type=int, metavar="JOB", help="the logs of a job's newest attempt, in a pager"
    )
    instead.add_argument("--json", action="store_true", help="all of it as JSON")
    instead.add_argument("--csv", action="store_true", help="the jobs as CSV, one a line")
    instead.add_argument(
        "--profile",
        action="store_true",
        help="where the time went, by step and part, of a run with --profile",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code.

    Raises
    ------
    HvmpiError
        If there is no such run, job, host or log, or options contradict each other.
    """
    given = _parser().parse_args(argv)
    pause_s = _pause_s(given)
    _refuse_contradictions(given)
    directory = chosen_run(given)
    standing = None if given.state is None else Standing[given.state.upper()]
    selection = Selection(standing, given.host)
    # Each look at a run needs one of these, and all together take longer to be imported.
    if given.log is not None:
        from hvmpi.view.logs import show_log

        show_log(directory, given.log)
    elif given.json or given.csv:
        from hvmpi.view.export import print_csv, print_json

        (print_json if given.json else print_csv)(directory, selection)
    elif given.profile:
        from hvmpi.view.profile import show_profile

        show_profile(directory)
    elif pause_s is not None:
        from hvmpi.view.watch import watch

        watch(directory, selection, pause_s)
    else:
        from hvmpi.view.status import show_status

        show_status(directory, selection=selection, all_rows=given.all_rows)
    return 0


def _pause_s(given: argparse.Namespace) -> float | None:
    """Give the seconds of ``--watch``; what follows it may be the run."""
    if given.watch is None:
        return None
    if given.timestamp is None and re.fullmatch(r"\d{14}", given.watch):
        given.timestamp = given.watch
        return _PAUSE_S
    try:
        pause_s = float(given.watch)
    except ValueError:
        pause_s = 0.0
    if not _SHORTEST_S <= pause_s <= _LONGEST_S:
        msg = (
            f"--watch wants seconds, at least {_SHORTEST_S:g} and at most {_LONGEST_S:g}, "
            f"not {given.watch!r}"
        )
        raise UsageError(msg)
    return pause_s


def _refuse_contradictions(given: argparse.Namespace) -> None:
    chosen = {"--state": given.state is not None, "--host": given.host is not None}
    for instead, is_given in (
        ("--log", given.log is not None),
        ("--profile", given.profile),
        ("--watch", given.watch is not None),
    ):
        shows_all = {"--all": given.all_rows}
        others = shows_all if instead == "--watch" else chosen | shows_all
        other = next((name for name, there in others.items() if there), None)
        if is_given and other is not None:
            raise UsageError(f"{other} has no meaning with {instead}; leave one of them out")
