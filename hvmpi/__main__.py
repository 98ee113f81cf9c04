"""The exit ladder, and nothing else."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from hvmpi.cli import main as run_command_line
from hvmpi.errors import HvmpiError
from hvmpi.ranks import leave, survives
from hvmpi.view.text import flush, say

__all__ = ["main"]

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""Why standard output may fail, which has no file name: errors of files are ours by then."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and turn whatever comes of it into an exit code."""
    # Nothing is made that others than the user's group could change, whatever the user's umask is.
    os.umask(os.umask(0o077) | 0o002)
    _let_all_be_printed()
    try:
        code = run_command_line(sys.argv[1:] if argv is None else argv)
    except HvmpiError as error:
        say(f"hvmpi: error: {error}", sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output left; nothing more can be said to it.
        flush()
        return 0
    except KeyboardInterrupt:
        print("hvmpi: interrupted", file=sys.stderr, flush=True)
        return 3
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
            flush()
            return _complain_of(error)
        traceback.print_exc()
        _end_all_ranks(error)
        return 1
    lost = flush()
    if lost is None or isinstance(lost, BrokenPipeError):
        return code
    return _complain_of(lost)


def _complain_of(lost: OSError) -> int:
    """Say that not all that was to be printed is there; returns the exit code."""
    say(f"hvmpi: error: the output cannot be written ({lost.strerror})", sys.stderr)
    return 2


def _let_all_be_printed() -> None:
    """Let signs that the terminal's encoding does not know be printed as their codes.

    What is printed where an output was closed (``>&-``) is lost: else the next file that is opened
    would stand in its place, and payloads would write into that.
    """
    nowhere = Path(os.devnull)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, nowhere.open("w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end_all_ranks(error: BaseException) -> None:
    """See that the other ranks end too: left alone they would wait for this one for ever."""
    # Where ranks survive each other, they see that this one ends.
    if "mpi4py.MPI" in sys.modules and not survives():
        from mpi4py.run import set_abort_status

        set_abort_status(error)


if __name__ == "__main__":
    exit_code = main()
    if "mpi4py.MPI" in sys.modules and survives():
        leave(exit_code)
    sys.exit(exit_code)
