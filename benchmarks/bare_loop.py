"""The bare loop that campaigns are compared with: one process calls the steps one by one.

    python benchmarks/bare_loop.py COMMANDS MERGE

``COMMANDS`` is a JSON file with a list of steps, each the words that hvmpi itself would call
``hvmpi.openchain`` with; ``{sha256:PATH}`` among them is the checksum of an event file, taken once.
When they are done it says so on standard output, waits for a line on standard input, and, if that
is ``merge``, carries out the step in ``MERGE``, words for ``hvmpi.training``.
"""

from __future__ import annotations

import contextlib
import json
import sys
from functools import cache
from pathlib import Path

from hvmpi.files import sha256_of
from hvmpi.openchain.__main__ import main as openchain
from hvmpi.training.__main__ import main as training

_DIGEST = "{sha256:"


@cache
def _digest(path: str) -> str:
    return sha256_of(Path(path))


def _filled(word: str) -> str:
    name, found, path = word.partition(_DIGEST)
    return name + _digest(path.removesuffix("}")) if found else word


def main(commands: Path, merge: Path) -> int:
    """Carry out the steps; returns the exit code."""
    with contextlib.redirect_stdout(sys.stderr):
        for words in json.loads(commands.read_text()):
            if code := openchain([_filled(word) for word in words]):
                return code
    print("done", flush=True)
    if sys.stdin.readline().strip() != "merge":
        return 0
    with contextlib.redirect_stdout(sys.stderr):
        return training(json.loads(merge.read_text()))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
