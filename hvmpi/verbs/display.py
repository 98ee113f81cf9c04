"""``display``: one event of an AOD as a picture, as an interactive page and for Phoenix."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hvmpi.errors import SetupError
from hvmpi.files import write_whole
from hvmpi.libraries import refuse_without
from hvmpi.verbs.arguments import VerbParser
from hvmpi.verbs.stopping import nothing_left_by_sigterm
from hvmpi.view.text import say

if TYPE_CHECKING:
    from hvmpi.display.drawing import Drawing

__all__ = ["main"]

_SUFFIX = ".aod.h5"
_FORMATS = ("png", "html", "phoenix")


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    given = _parser().parse_args(argv)
    refuse_without("openchain", "acts", "scipy")
    if "png" in given.format:
        refuse_without("report", "matplotlib")
    # ACTS and matplotlib are not loaded to say what is wrong with a command line.
    from hvmpi.display.drawing import Drawing
    from hvmpi.display.scene import read_scene

    scene = read_scene(given.aod, given.event, given.min_pt)
    for name in scene.left_out:
        say(f"hvmpi: '{given.aod}' has no '{name}', which is left out", sys.stderr)
    stem = f"{given.aod.name.removesuffix(_SUFFIX)}.event{scene.event_number}"
    contents = _contents(Drawing(scene), given.format)
    try:
        given.output_dir.mkdir(parents=True, exist_ok=True)
        with nothing_left_by_sigterm():
            for suffix, content in contents.items():
                with write_whole(given.output_dir / f"{stem}.{suffix}") as beside:
                    beside.write_bytes(content)
    except OSError as error:
        msg = f"cannot write in {str(given.output_dir)!r} ({error.strerror or error})"
        raise SetupError(msg) from error
    say(f"{given.output_dir / stem}: as .{', .'.join(contents)}")
    return 0


def _contents(drawing: Drawing, formats: Sequence[str]) -> dict[str, bytes]:
    """Make all files by their suffixes, before the first is written."""
    made: dict[str, bytes] = {}
    if "png" in formats:
        from hvmpi.display.picture import picture

        drawn = picture(drawing)
        made |= {"png": drawn.png, "pdf": drawn.pdf}
    if "html" in formats:
        from hvmpi.display.page import page

        made["html"] = page(drawing).encode()
    if "phoenix" in formats:
        from hvmpi.display.phoenix import phoenix

        made["phoenix.json"] = phoenix(drawing).encode()
    return made


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in _FORMATS:
            msg = f"there is no format {name!r}; there are {', '.join(_FORMATS)}"
            raise argparse.ArgumentTypeError(msg)
    return names


def _least_pt(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        msg = f"{text!r} is no least pT; give GeV, 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return value


def _parser() -> VerbParser:
    parser = VerbParser(
        prog="python -m hvmpi display",
        description="draw one event of an AOD: a picture, an interactive page, and a file for "
        "Phoenix, the event display of the HEP Software Foundation",
        epilog="example: python -m hvmpi display "
        "runs/20261124120000/aod/304795.25.1.10.0.aod.h5 --event 3",
        allow_abbrev=False,
    )
    parser.add_argument("aod", type=Path, metavar="AOD")
    parser.add_argument(
        "--event", type=int, metavar="N", help="its event number (default: the file's first)"
    )
    parser.add_argument(
        *("-o", "--output-dir"),
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the files go here (default: where you stand)",
    )
    parser.add_argument(
        "--format",
        type=_formats,
        default=_FORMATS,
        metavar="NAMES",
        help=f"separated by commas: {', '.join(_FORMATS)} (default: all); a picture is a PDF, too",
    )
    parser.add_argument(
        "--min-pt",
        type=_least_pt,
        default=0.0,
        metavar="GEV",
        help="leave out tracks below this pT (default: none)",
    )
    return parser
