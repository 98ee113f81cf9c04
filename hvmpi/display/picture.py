"""The picture of an event: both views, of the whole detector and of the tracker, by matplotlib."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from hvmpi.display.descriptions import heading, summary
from hvmpi.display.drawing import Drawing
from hvmpi.display.shapes import Shape
from hvmpi.display.styles import AREAS, PARTS, RIM, STYLES, Style
from hvmpi.display.view import View, close_limits, limits, outlines
from hvmpi.report.plot import INK, Drawn, Plot, draw

__all__ = ["picture"]

_WIDTH = 12.0
_LEFT, _BETWEEN, _RIGHT = 0.6, 0.75, 0.12
_TOP, _AXIS, _LEGEND = 0.85, 0.52, 0.8
"""Inches: room for words, beside, above and below the panels."""

_LINE = 150
"""Characters."""

_DASHES = (0, (4, 2.5))


def picture(drawing: Drawing) -> Drawn:
    """Draw an event."""
    heights = [_height(limits_of) for limits_of in (limits, close_limits)]
    inches = _WIDTH, _TOP + sum(heights) + 2.0 * _AXIS + _LEGEND
    return draw(Plot("event", "Event", "", lambda figure: _paint(figure, drawing), inches))


def _height(limits_of: Callable[[View], tuple[float, float]]) -> float:
    """Return the height of a row of panels of one scale that fill the width, inches."""
    room = _WIDTH - _LEFT - _BETWEEN - _RIGHT
    return room / sum(across / up for across, up in map(limits_of, View))


def _paint(figure: Any, drawing: Drawing) -> None:
    figure.set_layout_engine("none")
    inches = figure.get_size_inches()
    bottom = inches[1] - _TOP
    for limits_of in (limits, close_limits):
        height = _height(limits_of)
        bottom -= height
        left = _LEFT
        for view in View:
            across, up = limits_of(view)
            width = height * across / up
            place = (left / inches[0], bottom / inches[1], width / inches[0], height / inches[1])
            axes = figure.add_axes(place)
            _detector(axes, view)
            _shapes(axes, drawing.shapes(view))
            if limits_of is limits:
                _labels(axes, drawing, view)
            _axes(axes, drawing, view, across, up)
            left += width + _BETWEEN
        bottom -= _AXIS
    _words(figure, drawing)


def _axes(axes: Any, drawing: Drawing, view: View, across: float, up: float) -> None:
    axes.set(xlim=(-across / 1e3, across / 1e3), ylim=(-up / 1e3, up / 1e3))
    right, upward = (f"{axis} [m]" for axis in view.axes)
    if view is View.LONGITUDINAL:
        azimuth = f"{drawing.azimuth:.2f}".replace("-", "\N{MINUS SIGN}")
        upward += f", up: \N{GREEK SMALL LETTER PHI} = {azimuth}"
    axes.set(xlabel=right, ylabel=upward)
    # Numbers without exponents need no formula.
    axes.ticklabel_format(useMathText=False)
    axes.tick_params(labelsize=9)
    axes.minorticks_off()


def _detector(axes: Any, view: View) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    # Collections cost more than what is in them.
    areas: list[tuple[Any, str]] = []
    lines: list[tuple[Any, str]] = []
    for part, points, is_area in outlines(view):
        (areas if is_area else lines).append((points / 1e3, (PARTS[part] if part else RIM)[0]))
    corners, colours = zip(*areas, strict=True)
    axes.add_collection(PolyCollection(corners, facecolors=colours, linewidths=0.0))
    paths, colours = zip(*lines, strict=True)
    axes.add_collection(LineCollection(paths, colors=colours, linewidths=0.4))


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


def _words(figure: Any, drawing: Drawing) -> None:
    # A name of a sample is no formula.
    plain: dict[str, Any] = {"color": INK, "parse_math": False}
    figure.text(0.012, 0.973, heading(drawing.scene), fontsize=14, weight="bold", **plain)
    # What belongs together is not torn apart.
    words = (said.replace(" ", "\N{NO-BREAK SPACE}") for said in summary(drawing))
    lines = textwrap.fill("; ".join(words), _LINE)
    figure.text(0.012, 0.96, lines, fontsize=10, va="top", linespacing=1.3, **plain)
    figure.text(
        0.988, 0.973, "Simulation (open chain)", fontsize=12, style="italic", ha="right", color=INK
    )
    seen = {shape.style for view in View for shape in drawing.shapes(view)}
    _legend(figure, [style for style in STYLES.values() if style.shown and style.key in seen])


def _legend(figure: Any, styles: list[Style]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for style in styles:
        if style.key in AREAS:
            handles.append(Patch(color=style.light, alpha=max(style.opacity, 0.4)))
        else:
            line = _DASHES if style.dashed else "" if style.key == "vertices" else "-"
            mark = {"long_lived": "*", "vertices": "o"}.get(style.key, "")
            handles.append(Line2D([], [], color=style.light, lw=style.width, ls=line, marker=mark))
    figure.legend(
        handles,
        [style.title for style in styles],
        loc="lower center",
        ncols=5,
        fontsize=9,
        columnspacing=1.4,
    )
