"""A plot of the report: drawn once, written as PNG, PDF and as SVG in the page's own colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvmpi.files import write_whole

__all__ = ["COLOURS", "INK", "Drawn", "Plot", "draw"]

INK = "#20262e"
"""Axes, labels and numbers; in the page the colour of its text, whatever its theme."""

COLOURS = ("#2f7fc1", "#d9730d", "#2e9e5b", "#9b59b6", "#c0392b", "#7f8c8d")
"""Of what is drawn, in order: told apart on white and on black, and by the colour-blind."""

_INCHES = (7.2, 4.6)
_DPI = 110
# Larger numbers of points make pages that no phone opens.
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"|(<svg[^>]*?) height="[^"]*"')
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)


@dataclass(frozen=True)
class Plot:
    """What is to be drawn.

    Attributes
    ----------
    name : str
        Stem of its files.
    title : str
        What it shows, in a few words.
    caption : str
        What a reader must know: how many entries, what lies outside, what it is compared with and
        how well the two agree.
    paint : callable
        Gets an empty matplotlib figure, of `inches`, and draws into it.
    inches : (float, float)
        Width and height.
    """

    name: str
    title: str
    caption: str
    paint: Callable[[Any], None]
    inches: tuple[float, float] = _INCHES


@dataclass(frozen=True)
class Drawn:
    """A plot as bytes.

    Attributes
    ----------
    plot : Plot
    png, pdf : bytes
    svg : str
        An element for a page: no background, no size of its own, ink in the colour of the text.
    """

    plot: Plot
    png: bytes
    pdf: bytes
    svg: str

    def write(self, directory: Path) -> list[Path]:
        """Write PNG and PDF; gives their paths.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        written = []
        for suffix, content in (("png", self.png), ("pdf", self.pdf)):
            path = directory / f"{self.plot.name}.{suffix}"
            with write_whole(path) as beside:
                beside.write_bytes(content)
            written.append(path)
        return written


def draw(plot: Plot) -> Drawn:
    """Draw a plot; the same numbers give the same bytes."""
    import matplotlib as mpl

    # pyplot would keep figures, and look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = _STYLE | {"svg.hashsalt": plot.name}
    png, pdf, svg = io.BytesIO(), io.BytesIO(), io.StringIO()
    with mpl.rc_context(style):
        figure = Figure(figsize=plot.inches, layout="constrained", dpi=_DPI)
        # Straight to the canvases: Figure.savefig draws everything twice.
        canvas: Any = FigureCanvasAgg(figure)
        plot.paint(figure)
        canvas.print_png(png, metadata={"Software": None})
        # Laid out once.
        figure.set_layout_engine("none")
        canvas = FigureCanvasPdf(figure)
        canvas.print_pdf(pdf, metadata={"CreationDate": None})
        for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
            patch.set_visible(False)
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(svg, metadata={"Date": None})
    return Drawn(plot, png.getvalue(), pdf.getvalue(), _for_page(svg.getvalue(), plot))


def _for_page(svg: str, plot: Plot) -> str:
    svg = _METADATA.sub("", _HEAD.sub("", svg, count=1), count=1)
    # The page says how wide it is; its shape stands in the viewBox.
    svg = _SIZE.sub(r"\1\2", _SIZE.sub(r"\1\2", svg, count=1), count=1)
    # Elements of several plots must not be taken for each other.
    svg = re.sub(r'\bid="', f'id="{plot.name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{plot.name}-", svg)
    return svg.replace(INK, "currentColor").rstrip()


_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 12,
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)!r})",
    "axes.titlecolor": INK,
    "axes.titlesize": 12,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "path.simplify": True,
    "pdf.compression": 6,
    "savefig.facecolor": "white",
    # As outlines: a page on another machine has other fonts, of other widths.
    "svg.fonttype": "path",
    "text.color": INK,
    "xaxis.labellocation": "right",
    "xtick.color": INK,
    "xtick.direction": "in",
    "xtick.minor.visible": True,
    "xtick.top": True,
    "yaxis.labellocation": "top",
    "ytick.color": INK,
    "ytick.direction": "in",
    "ytick.minor.visible": True,
    "ytick.right": True,
}
