"""Runs the blocks of docs/analysis.md on a run, and keeps the picture that they make.

    python docs/analysis.py runs/TIMESTAMP

writes docs/pictures/calratio.png.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hvmpi.files import write_whole

__all__ = ["PICTURE", "blocks", "main", "run_blocks"]

PAGE = Path(__file__).with_suffix(".md")
PICTURE = "calratio.png"
_TIMESTAMP = "20261124120000"
_BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """Give the page's blocks that can be run: language and code."""
    return _BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def run_blocks(run: Path, directory: Path) -> dict[str, Any]:
    """Run the blocks, one after the other, in a directory where a run has the page's name for it.

    Returns
    -------
    dict
        The names that they leave.
    """
    import matplotlib as mpl

    mpl.use("agg")
    (directory / "runs").mkdir()
    (directory / "runs" / _TIMESTAMP).symlink_to(run.resolve())
    names: dict[str, Any] = {}
    commands = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}
    before = Path.cwd()
    os.chdir(directory)
    try:
        for language, code in blocks():
            if language == "bash":
                subprocess.run(["bash", "-e", "-c", code], env=environment, check=True)
            else:
                exec(compile(code, PAGE.name, "exec"), names)  # noqa: S102 - the page's own
    finally:
        os.chdir(before)
    return names


def main(argv: Sequence[str]) -> int:
    """Make the page's picture anew; returns the exit code."""
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    pictures = PAGE.parent / "pictures"
    pictures.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        run_blocks(Path(argv[0]), Path(directory))
        with write_whole(pictures / PICTURE) as beside:
            beside.write_bytes((Path(directory) / PICTURE).read_bytes())
    print(pictures / PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
