"""``init``: write a commented config, a host file and a batch script for a new campaign."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from hvmpi.cli import MPIRUN
from hvmpi.errors import SetupError, UsageError
from hvmpi.files import write_whole
from hvmpi.option import Option
from hvmpi.options import BY_NAME, OPTIONS
from hvmpi.verbs.arguments import VerbParser
from hvmpi.view.text import say_all

__all__ = ["main"]

_HERE = Path(__file__).resolve().parent.parent
_CHECKOUT = _HERE.parent
_IN_CHECKOUT, _IN_PACKAGE = _CHECKOUT / "configs" / "batch", _HERE / "data" / "batch"
_TEMPLATES = _IN_CHECKOUT if _IN_CHECKOUT.is_dir() else _IN_PACKAGE

_BATCH = {
    "slurm": (("sbatch", "slurm.sh"),),
    "htcondor": (("condor_submit", "htcondor.sub"), ("", "htcondor.sh")),
    "pbs": (("qsub", "pbs.sh"),),
}
"""Of each batch system its files, and the command that one of them is handed to."""

_CONFIG, _HOSTFILE = "campaign.toml", "hostfile"
_RUN_CHAIN = "./run_chain.sh"

_CHOSEN: dict[str, Any] = {
    "process": "gghss",
    "run-number": 304795,
    "num-batches": 4,
    "batch-size": 25,
    "job-size": 10,
}
"""What the new campaign asks for: the demo, to be changed."""

_HEAD = """\
# A campaign of hvmpi: a key for each long option of `python -m hvmpi run --help`. What stands
# behind a # is the default.
"""

_HOSTS = """\
# The machines to run on, one a line; slots: ranks on that machine.
#   tev01 slots=8
#   tev02 slots=8
localhost slots=3
"""


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = VerbParser(
        prog="python -m hvmpi init",
        description="write a commented config, a host file and a batch script for a new campaign",
        epilog="example: python -m hvmpi init mine --batch slurm",
        allow_abbrev=False,
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument(
        "--batch",
        choices=[*_BATCH],
        default="slurm",
        help="the batch system that the script is for (default: slurm)",
    )
    given = parser.parse_args(argv)
    directory: Path = given.directory
    files = {_CONFIG: _config(), _HOSTFILE: _HOSTS}
    files |= {name: _batch_file(name) for _, name in _BATCH[given.batch]}
    for name in files:
        if (directory / name).exists():
            msg = f"{str(directory / name)!r} is there already; name another directory"
            raise UsageError(msg)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with write_whole(directory / name, 0o777 if name.endswith(".sh") else 0o666) as beside:
                beside.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{str(directory)!r} cannot be written ({error.strerror}); name another directory"
        raise UsageError(msg) from error
    say_all(str(directory / name) for name in files)
    say_all(["", "next:"])
    say_all(f"  {shlex.join(words)}" for words in _next_commands(directory, given.batch))
    return 0


def _next_commands(directory: Path, batch: str) -> Iterator[tuple[str, ...]]:
    yield "cd", str(directory)
    yield "python", "-m", "hvmpi", "plan", "-c", _CONFIG
    if (_CHECKOUT / _RUN_CHAIN).is_file():
        yield str(_CHECKOUT / _RUN_CHAIN), "--hostfile", _HOSTFILE, "-c", _CONFIG
    else:
        yield *MPIRUN.split(), "-c", _CONFIG
    for command, name in _BATCH[batch]:
        if command:
            yield command, name


def _batch_file(name: str) -> str:
    """Give a file of `configs/batch` as it is to stand in a directory beside the config."""
    try:
        text = (_TEMPLATES / name).read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{str(_TEMPLATES / name)!r} cannot be read ({error.strerror}): install hvmpi anew"
        raise SetupError(msg) from error
    text = text.replace("configs/demo.toml", _CONFIG).replace("configs/batch/", "")
    if (_CHECKOUT / _RUN_CHAIN).is_file():
        text = text.replace(_RUN_CHAIN, shlex.quote(str(_CHECKOUT / _RUN_CHAIN)))
    return text


def _config() -> str:
    chosen = (_entry(BY_NAME[name], value) for name, value in _CHOSEN.items())
    rest = (_entry(option) for option in OPTIONS if option.name not in _CHOSEN)
    return "\n".join([_HEAD, *chosen, *rest])


def _entry(option: Option, value: Any = None) -> str:
    """Write an option with its help: with a value, or with its default behind a #."""
    told = option.help
    if value is not None and option.default is not None:
        told += f" (default: {option.default})"
    told = textwrap.fill(told, 96, initial_indent="# ", subsequent_indent="# ")
    if value is not None:
        return f"{told}\n{_toml(option, value)}\n"
    line = f"{option.name} =" if option.default is None else _toml(option, option.default)
    return f"{told}\n# {line}\n"


def _toml(option: Option, value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return tomli_w.dumps({option.name: plain}).strip().replace("\n", "\n# ")
