"""What verbs that look at a run have in common on the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hvmpi.campaign.paths import find_run
from hvmpi.errors import UsageError
from hvmpi.options import BY_NAME

__all__ = ["DESCRIBE", "Described", "VerbParser", "chosen_run", "run_parser"]

DESCRIBE: Sequence[str] = ("--describe",)
"""Given to a verb's `main` as its command line, makes it raise `Described`; known by identity."""


class Described(Exception):  # noqa: N818 - an answer
    """The parser of a verb, which was asked for instead of being carried out.

    Attributes
    ----------
    parser : argparse.ArgumentParser
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


class VerbParser(argparse.ArgumentParser):
    """An argument parser whose complaints are errors of ours."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read a command line, or raise `Described`."""
        if args is DESCRIBE:
            raise Described(self)
        return super().parse_known_args(args, namespace)


def run_parser(verb: str, description: str, example: str) -> VerbParser:
    """Make the parser of a verb that looks at one run, the newest if none is named."""
    parser = VerbParser(
        prog=f"python -m hvmpi {verb}",
        description=description,
        epilog=f"example: {example}",
        allow_abbrev=False,
    )
    parser.add_argument("timestamp", nargs="?", metavar="TIMESTAMP", help="default: the newest")
    parser.add_argument(
        "--run-dir",
        type=Path,
        metavar="PATH",
        help="directory of the runs (default: what the config says, else runs)",
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="the campaign, for its run-dir")
    return parser


def chosen_run(given: argparse.Namespace) -> Path:
    """Give the directory of the run that was named."""
    return find_run(given.run_dir or _usual_run_dir(given.config), given.timestamp)


def _usual_run_dir(config: str | None) -> Path:
    option = BY_NAME["run-dir"]
    if config is None:
        value = os.environ.get(option.variable) or option.default
        return Path(option.convert(value, f"environment variable {option.variable}"))
    # The parser of all options takes a third of the time of a status.
    from hvmpi.settings import load

    return Path(load("plan", ["--config", config]).run_dir)
