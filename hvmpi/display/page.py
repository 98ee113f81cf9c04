"""The interactive page of an event: one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.resources import files
from string import Template
from typing import Any

from hvmpi.display.descriptions import describe, heading, summary
from hvmpi.display.drawing import Drawing
from hvmpi.display.shapes import Shape
from hvmpi.display.styles import AREAS, PARTS, RIM, STYLES
from hvmpi.display.view import View, close_limits, limits, outlines

__all__ = ["page"]

_LINE, _AREA = 0, 1
_RIM_NAME = "rim"


def page(drawing: Drawing) -> str:
    """Make the page of an event.

    Its own script and style are all that it runs: a policy in it names them by their hashes, and
    what the file says of the event is data in it, never markup or script.
    """
    style, script = (_text(name) for name in ("page.css", "page.js"))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{_digest(script)}'",
            # The height of a view is set by the script.
            f"style-src 'sha256-{_digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    said = "".join(f"<li>{html.escape(words)}</li>" for words in summary(drawing))
    return Template(_text("page.html")).substitute(
        policy=policy,
        heading=html.escape(heading(drawing.scene)),
        summary=said,
        axis=f"In the longitudinal view r is positive within 90 degrees of phi ="
        f" {drawing.azimuth:.2f}.",
        style=style,
        script=script,
        event=_as_data(_event(drawing)),
    )


def _text(name: str) -> str:
    return files("hvmpi.display").joinpath("data", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _as_data(values: Any) -> str:
    """Write JSON in which no tag can begin or end."""
    text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _event(drawing: Drawing) -> dict[str, Any]:
    return {
        "styles": [asdict(style) | {"area": style.key in AREAS} for style in STYLES.values()],
        "parts": {
            name: {"light": light, "dark": dark}
            for name, (light, dark) in [
                *((part.name, colours) for part, colours in PARTS.items()),
                (_RIM_NAME, RIM),
            ]
        },
        "objects": [asdict(objects) for objects in describe(drawing)],
        "views": [_view(drawing, view) for view in View],
    }


def _view(drawing: Drawing, view: View) -> dict[str, Any]:
    return {
        "title": view.name.capitalize(),
        "axes": list(view.axes),
        "limits": limits(view),
        "close": close_limits(view),
        "detector": [
            [part.name if part else _RIM_NAME, _AREA if area else _LINE, _flat(points, 1)]
            for part, points, area in outlines(view)
        ],
        "shapes": list(_shapes(drawing.shapes(view))),
        "labels": [[label.style, label.text, *label.at] for label in drawing.labels(view)],
    }


def _shapes(shapes: Iterable[Shape]) -> Iterator[list[Any]]:
    for shape in shapes:
        kind = _AREA if shape.closed else _LINE
        # Micrometres of a track can be zoomed into.
        points = _flat(shape.points, 1 if shape.closed else 3)
        yield [shape.style, shape.row, kind, round(shape.opacity, 3), points]


def _flat(points: Any, digits: int) -> list[float]:
    return [round(value, digits) for value in points.ravel().tolist()]
