"""``clean``: remove logs and temporary files of one run, or all that it made."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hvmpi.campaign.lock import refuse_in_progress
from hvmpi.campaign.run import paths_of
from hvmpi.errors import RunError, UsageError
from hvmpi.settings import load_run
from hvmpi.verbs.arguments import chosen_run, run_parser

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = run_parser(
        "clean",
        "remove logs and temporary files of one run; with --all its products, journal and "
        "directory too (event files in an evnt-dir of their own stay)",
        "python -m hvmpi clean 20261124120000 --yes",
    )
    parser.add_argument("--all", action="store_true", dest="everything", help="all that it made")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(argv)
    directory = chosen_run(given)
    paths = paths_of(directory, load_run(directory))
    refuse_in_progress(paths.lock)
    doomed = [paths.logs, paths.tmp]
    if given.everything:
        doomed += [paths.products, directory]
    doomed = [path for path in dict.fromkeys(doomed) if path.exists()]
    if not doomed:
        print(f"run {directory.name}: nothing to remove")
        return 0
    if not given.yes and not _agreed(doomed):
        print("nothing was removed")
        return 0
    for path in doomed:
        _remove(path)
    print(f"run {directory.name}: removed {', '.join(map(str, doomed))}")
    return 0


def _agreed(doomed: Sequence[Path]) -> bool:
    if not sys.stdin.isatty():
        msg = "clean asks before it removes anything, and nobody can answer here; add --yes"
        raise UsageError(msg)
    print("to be removed: " + ", ".join(map(str, doomed)))
    return input("remove? [y/N] ").strip().lower() in ("y", "yes")


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"{str(path)!r} cannot be removed ({error.strerror})"
        raise RunError(msg) from error
