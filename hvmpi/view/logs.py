"""The logs of one job, in a pager where a person reads them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hvmpi.campaign.status import StatusFile, look_at_current
from hvmpi.errors import InputError, UsageError
from hvmpi.view.failures import logs_in
from hvmpi.view.text import printable, terminal

__all__ = ["show_log"]

_ATTEMPT = re.compile(r"attempt(\d+)")
_AT_ONCE = 65536
"""Characters of a line that are read at once: a log may be one line."""


def show_log(directory: Path, job: int) -> None:
    """Show the logs of a job's newest attempt that left some, those of all its steps.

    Parameters
    ----------
    directory : Path
        Of the run.
    job : int

    Raises
    ------
    HvmpiError
        If there is no such job, it left no log, or a log cannot be read.
    """
    row = look_at_current(directory, lambda file: _row(file, job))
    folder = Path(row["log"])
    try:
        logs = _newest(folder)
    except OSError as error:
        msg = f"the logs of job {job} in {str(folder)!r} cannot be read ({error.strerror})"
        raise InputError(msg) from error
    if not logs:
        raise InputError(_why_none(row, folder))
    _page(_lines(logs))


def _row(file: StatusFile, job: int) -> Any:
    row = file.job(job)
    if row is None:
        msg = (
            f"run {file.attributes['timestamp']} has no job {job}; "
            f"its jobs are 0 to {file.jobs - 1}"
        )
        raise UsageError(msg)
    return row


def _newest(folder: Path) -> list[Path]:
    """List the logs of the newest attempt that left some, in the order that they were ended in."""
    if not folder.is_dir():
        return []
    found = ((_ATTEMPT.fullmatch(path.name), path) for path in folder.iterdir())
    attempts = sorted(((int(match[1]), path) for match, path in found if match), reverse=True)
    for _, attempt in attempts:
        logs = logs_in(attempt)
        if logs:
            return logs
    return []


def _why_none(row: Any, folder: Path) -> str:
    job, state = f"job {row['job']}", row["state"]
    if state == "done":
        return f"{job} is done, and its logs are removed; those of a run with --keep-logs stay"
    if not row["attempts"]:
        reason = " ".join(str(row["reason"]).split())
        return (
            f"{job} has no log: it is {state}, and no attempt began{f' ({reason})' * bool(reason)}"
        )
    return f"{job} ({state}) has no log in {str(folder)!r}: no step left one, or it was removed"


def _lines(logs: list[Path]) -> Iterator[str]:
    """Give all that logs hold, each behind its path, without what would steer a terminal."""
    for number, log in enumerate(logs):
        yield f"{chr(10) * (number > 0)}==> {printable(str(log))} <==\n"
        try:
            with log.open(encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                line = "\n"
                for line in iter(lambda: file.readline(_AT_ONCE), ""):
                    yield printable(line)
                if not line.endswith("\n"):
                    yield "\n"
        except OSError as error:
            yield f"(it cannot be read: {error.strerror})\n"


def _page(lines: Iterator[str]) -> None:
    """Show lines in the user's pager, in less, or as they are where nobody reads them there."""
    pager = None
    if terminal() is not None:
        # A pager that cannot be started, or is no command, is done without.
        with contextlib.suppress(OSError, ValueError):
            pager = subprocess.Popen(
                shlex.split(os.environ.get("PAGER", "")) or ["less"],
                # As git has it: less stays only if there is more than a screen.
                env={"LESS": "FX", **os.environ},
                stdin=subprocess.PIPE,
                text=True,
                errors="backslashreplace",
            )
    if pager is None or pager.stdin is None:
        sys.stdout.writelines(lines)
        return
    # Ctrl-C is the pager's to understand.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # Who has read enough leaves it.
        with contextlib.suppress(BrokenPipeError), pager.stdin:
            pager.stdin.writelines(lines)
        pager.wait()
    finally:
        signal.signal(signal.SIGINT, before)
