"""``completion``: print what lets a shell complete verbs, options and runs."""

from __future__ import annotations

from collections.abc import Sequence

from hvmpi.completion.scripts import SCRIPTS
from hvmpi.verbs.arguments import VerbParser

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = VerbParser(
        prog="python -m hvmpi completion",
        description="print what lets a shell complete verbs, options, their values and runs: of "
        "hvmpi, python -m hvmpi and run_chain.sh",
        epilog='example: eval "$(python -m hvmpi completion bash)"',
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=[*SCRIPTS], help="the shell that is to complete")
    print(SCRIPTS[parser.parse_args(argv).shell](), end="")
    return 0
