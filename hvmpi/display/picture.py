"""The picture of an event: both views, of the whole detector and of the tracker, by matplotlib."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from hvmpi.display.drawing import Drawing
from hvmpi.display.shapes import Shape
from hvmpi.display.styles import PARTS, STYLES
from hvmpi.display.view import View, close_limits, limits, outlines
from hvmpi.report.plot import INK, Drawn, Plot, draw

__all__ = ["picture"]

_INCHES = (12.0, 9.6)
_RIM = "#b9c0c7"
_DASHES = (0, (4, 2.5))


def picture(drawing: Drawing, name: str) -> Drawn:
    """Draw an event; `name` is the stem of its files."""
    return draw(Plot(name, "Event", "", lambda figure: _paint(figure, drawing), _INCHES))


def _paint(figure: Any, drawing: Drawing) -> None:
    wide = [limits(view)[0] for view in View]
    grid = figure.add_gridspec(2, 2, width_ratios=wide, height_ratios=[1.7, 1.0])
    for column, view in enumerate(View):
        shapes = list(drawing.shapes(view))
        whole, close = (figure.add_subplot(grid[row, column]) for row in range(2))
        for axes, (across, up) in ((whole, limits(view)), (close, close_limits(view))):
            _detector(axes, view)
            _shapes(axes, shapes)
            axes.set(xlim=(-across / 1e3, across / 1e3), ylim=(-up / 1e3, up / 1e3), aspect="equal")
            axes.set(xlabel="x [m]" if view is View.TRANSVERSE else "z [m]")
            axes.set(ylabel="y [m]" if view is View.TRANSVERSE else "r [m]")
            axes.minorticks_off()
        _labels(whole, drawing, view)
    _legend(figure, drawing)


def _detector(axes: Any, view: View) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    areas, lines = [], []
    for part, points, is_area in outlines(view):
        (areas if is_area else lines).append((points / 1e3, PARTS[part][0]))
    if areas:
        corners, colours = zip(*areas, strict=True)
        axes.add_collection(
            PolyCollection(corners, facecolors=colours, edgecolors=_RIM, linewidths=0.3)
        )
    corners, colours = zip(*lines, strict=True)
    axes.add_collection(LineCollection(corners, colors=colours, linewidths=0.5))


def _shapes(axes: Any, shapes: Iterable[Shape]) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    by_style: dict[str, list[Shape]] = defaultdict(list)
    for shape in shapes:
        by_style[shape.style].append(shape)
    for order, (key, style) in enumerate(STYLES.items(), 3):
        if not style.shown:
            continue
        areas = [shape for shape in by_style[key] if shape.closed]
        marks = [shape.points[0] / 1e3 for shape in by_style[key] if len(shape.points) == 1]
        lines = [shape for shape in by_style[key] if len(shape.points) > 1 and not shape.closed]
        axes.add_collection(
            PolyCollection(
                [shape.points / 1e3 for shape in areas],
                facecolors=style.light,
                alpha=[style.opacity * shape.opacity for shape in areas] or None,
                linewidths=0.0,
                zorder=order,
            )
        )
        axes.add_collection(
            LineCollection(
                [shape.points / 1e3 for shape in lines],
                colors=style.light,
                alpha=style.opacity,
                linewidths=style.width,
                linestyles=_DASHES if style.dashed else "solid",
                zorder=order,
            )
        )
        if marks:
            x, y = np.array(marks).T
            mark = "*" if key == "long_lived" else "o"
            axes.scatter(
                *(x, y),
                s=90.0 if key == "long_lived" else 14.0,
                marker=mark,
                color=style.light,
                edgecolors="white",
                linewidths=0.7,
                zorder=order + 20,
            )


def _labels(axes: Any, drawing: Drawing, view: View) -> None:
    for label in drawing.labels(view):
        x, y = label.at
        axes.text(
            *(x / 1e3, y / 1e3),
            label.text,
            fontsize=8,
            ha="center",
            va="center",
            color=INK,
            clip_on=True,
            zorder=60,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
        )


def _legend(figure: Any, drawing: Drawing) -> None:
    figure.suptitle("x")
