"""Pictures of docs/ that show what commands print or draw, made by these commands of a run.

    python docs/pictures.py runs/TIMESTAMP

writes all of `TERMINALS` to docs/pictures/ and, of a run of configs/demo.toml, `DISPLAYED`.
(Pictures of validation and performance are made by the scripts that their pages name.)
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hvmpi.errors import HvmpiError, UsageError
from hvmpi.files import write_whole

__all__ = ["DIRECTORY", "DISPLAYED", "TERMINALS", "display", "draw", "main"]

DIRECTORY = Path(__file__).parent / "pictures"

TERMINALS: Mapping[str, tuple[str, ...]] = {
    "status": ("status",),
}
"""Names of pictures, and the words of the commands that print them."""

DISPLAYED = ("304795.25.1.10.0.aod.h5", 2)
"""The AOD of the demo, and the event in it, that display.png shows."""

_COLOURS = 128
"""Enough to look at, in a fifth of the bytes."""

_COLUMNS = 100
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def draw(name: str, run: Path, directory: Path = DIRECTORY) -> Path:
    """Make one picture of a run; return its path.

    Raises
    ------
    UsageError
        If the command does not come to a good end.
    """
    words = TERMINALS[name]
    runs = run.parent
    of_run = (run.name, f"--run-dir={runs.name}")
    said = _printed([sys.executable, "-m", "hvmpi", *words, *of_run], runs.parent)
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    # Where the run is on this machine is nothing to a reader.
    console.print(Text.from_ansi(said.replace(f"{runs.parent}/", "")), overflow="fold")
    picture = console.export_svg(title=f"python -m hvmpi {' '.join(words)}", unique_id=name)
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.svg"
    with write_whole(path) as beside:
        # The reader's own font: rich's would come from another machine.
        beside.write_text(_FONTS.sub("", picture), encoding="utf-8")
    return path


def display(aod: Path, event: int, directory: Path = DIRECTORY) -> Path:
    """Make the picture of an event; return its path.

    Raises
    ------
    UsageError
        If the command does not come to a good end.
    """
    from PIL import Image

    with tempfile.TemporaryDirectory() as made:
        words = ("display", str(aod), f"--event={event}", "--format=png", f"--output-dir={made}")
        _printed([sys.executable, "-m", "hvmpi", *words], aod.parent)
        (drawn,) = Path(made).glob("*.png")
        # This method keeps colours that are rare, and the means mend those that are light.
        picture = Image.open(drawn).convert("RGB")
        picture = picture.quantize(
            _COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE
        )
    directory.mkdir(exist_ok=True)
    path = directory / "display.png"
    with write_whole(path) as beside:
        picture.save(beside, format="png", optimize=True)
    return path


def _printed(argv: Sequence[str], directory: Path) -> str:
    """Run a command in a terminal of its own; return what it prints."""
    ours, its = pty.openpty()
    os.set_inheritable(its, True)
    environment = {**os.environ, "COLUMNS": str(_COLUMNS), "LINES": "50", "TERM": "xterm-256color"}
    with subprocess.Popen(
        argv, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=its, stderr=its
    ) as process:
        os.close(its)
        said = b""
        try:
            while part := os.read(ours, 1 << 16):
                said += part
        except OSError:
            # So a terminal tells that nobody is left.
            pass
        finally:
            os.close(ours)
    text = said.decode("utf-8", "replace").replace("\r\n", "\n")
    if process.returncode != 0:
        msg = f"{' '.join(argv[2:])} ended with {process.returncode}: {text.strip()}"
        raise UsageError(msg)
    return text


def main(argv: Sequence[str]) -> int:
    """Make all pictures of the run that is named; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the pictures of docs/pictures anew.")
    parser.add_argument("run", type=Path, help="directory of a run: runs/TIMESTAMP")
    run = parser.parse_args(argv).run.resolve()
    try:
        for name in TERMINALS:
            print(draw(name, run))
        name, event = DISPLAYED
        if (run / "aod" / name).is_file():
            print(display(run / "aod" / name, event))
    except HvmpiError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
