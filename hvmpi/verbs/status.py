"""``status``: how far a run is, what failed and why, and where its products are."""

from __future__ import annotations

from collections.abc import Sequence

from hvmpi.verbs.arguments import chosen_run, run_parser
from hvmpi.view.status import show_status

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = run_parser(
        "status", "how far a run is, what failed and why", "python -m hvmpi status --state failed"
    )
    parser.add_argument(
        "--state",
        choices=["waiting", "ready", "running", "done", "failed"],
        help="only jobs in that state",
    )
    parser.add_argument("--all", action="store_true", dest="all_rows", help="show every job")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="where the time went, by step and part, of a run with --profile",
    )
    given = parser.parse_args(argv)
    if given.profile:
        # What most looks at a run have no use for.
        from hvmpi.view.profile import show_profile

        show_profile(chosen_run(given))
        return 0
    show_status(chosen_run(given), state=given.state, all_rows=given.all_rows)
    return 0
