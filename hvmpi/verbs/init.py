"""``init``: write a commented config and a host file for a new campaign."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tomli_w

from hvmpi.errors import UsageError
from hvmpi.files import write_whole
from hvmpi.option import Option
from hvmpi.options import OPTIONS
from hvmpi.verbs.arguments import VerbParser

__all__ = ["main"]

_HEAD = """\
# A campaign of hvmpi. Every option of `python -m hvmpi run --help` is a key here; what stands
# behind a # is the default. Run it with
#   mpirun -hostfile hostfile python -m hvmpi -c campaign.toml

process = "gghss"
run-number = 304795
num-batches = 4
batch-size = 25
job-size = 10
"""

_HOSTFILE = """\
# The machines to run on, one a line; slots: ranks on that machine.
#   tev01 slots=8
#   tev02 slots=8
localhost slots=3
"""


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = VerbParser(
        prog="python -m hvmpi init",
        description="write a commented config and a host file for a new campaign",
        epilog="example: python -m hvmpi init mine",
        allow_abbrev=False,
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    directory: Path = parser.parse_args(argv).directory
    files = {directory / "campaign.toml": _config(), directory / "hostfile": _HOSTFILE}
    for path in files:
        if path.exists():
            msg = f"{str(path)!r} is there already; name another directory"
            raise UsageError(msg)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            with write_whole(path) as beside:
                beside.write_text(text)
            print(path)
    except OSError as error:
        msg = f"{str(directory)!r} cannot be written ({error.strerror}); name another directory"
        raise UsageError(msg) from error
    return 0


def _config() -> str:
    given = {line.split(" = ")[0] for line in _HEAD.splitlines() if " = " in line}
    rest = (option for option in OPTIONS if option.name not in given)
    return _HEAD + "".join(f"\n# {option.help}\n# {_default(option)}\n" for option in rest)


def _default(option: Option) -> str:
    if option.default is None:
        return f"{option.name} ="
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    return tomli_w.dumps({option.name: default}).strip().replace("\n", "\n# ")
