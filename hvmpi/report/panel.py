"""The axes of a plot of physics: label, points, bands and legends, the same in all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.report.plot import COLOURS, INK

__all__ = ["INCHES", "LABEL", "Panel", "count", "outside"]

Floats = NDArray[np.float64]

LABEL = "Simulation (open chain)"
_MARKERS = "osD^vP"
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.155, 0.95, 0.145, 0.905
_LINE = 0.068
"""Height of a line of the legend, of the axes."""

INCHES = (5.6, 4.3)
"""Of a plot: on a phone its letters can still be read."""

_MOST_DECADES = 2.0
"""Of a logarithmic axis with numbers at 1, 2 and 5."""


class Panel:
    """Axes at a place that does not depend on what is in them.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    x, y : str
        Labels, with units.
    remark : str
        Stands above, at the right.
    log_x, log_y : bool
    """

    def __init__(
        self,
        figure: Any,
        x: str,
        y: str,
        remark: str = "",
        *,
        log_x: bool = False,
        log_y: bool = False,
    ) -> None:
        figure.set_layout_engine("none")
        self.axes = figure.add_axes((_LEFT, _BOTTOM, _RIGHT - _LEFT, _TOP - _BOTTOM))
        self.axes.set(xlabel=x, ylabel=y)
        if log_x:
            _make_log(self.axes.xaxis)
        self._log_y = log_y
        if log_y:
            self.axes.set_yscale("log")
            self.axes.yaxis.set_major_formatter(_power)
        self._named: list[tuple[Any, str]] = []
        self._low: list[float] = []
        self._high: list[float] = []
        figure.text(_LEFT, 0.928, LABEL, style="italic", fontsize=11)
        figure.text(_RIGHT, 0.928, remark, ha="right", fontsize=10)

    def points(
        self,
        number: int,
        edges: Floats,
        values: Floats,
        errors: Floats,
        label: str,
    ) -> None:
        """Draw measured values in bins; `errors` of shape (n,), or (n, 2): down and up."""
        there = np.isfinite(values)
        if self._log_y:
            there &= values > 0.0
        if errors.ndim == 1:
            errors = np.stack([errors, errors], axis=1)
        low, high = edges[:-1], edges[1:]
        log_x = self.axes.get_xscale() == "log"
        middle = np.sqrt(low * high) if log_x else 0.5 * (low + high)
        down = errors[:, 0]
        if self._log_y:
            # A bar to 0 would have no end.
            down = np.minimum(down, 0.9 * np.where(there, values, 1.0))
        drawn = self.axes.errorbar(
            middle[there],
            values[there],
            yerr=[down[there], errors[there, 1]],
            xerr=[(middle - low)[there], (high - middle)[there]],
            fmt=_MARKERS[number],
            markersize=3.5,
            elinewidth=1.1,
            color=COLOURS[number],
            zorder=3.0 + number,
        )
        self._named.append((drawn, label))
        self._note(values[there] - down[there], values[there] + errors[there, 1])

    def band(self, number: int, edges: Floats, values: Floats, errors: Floats, label: str) -> None:
        """Draw what is expected in bins, as a line with a band of errors."""
        if errors.ndim == 1:
            errors = np.stack([errors, errors], axis=1)
        colour = COLOURS[number]
        there = np.isfinite(values)
        for first, last in _pieces(there):
            x = edges[first : last + 1]
            low, high = (
                np.append(side, side[-1])
                for side in (
                    (values - errors[:, 0])[first:last],
                    (values + errors[:, 1])[first:last],
                )
            )
            self.axes.fill_between(
                x, low, high, step="post", color=colour, alpha=0.28, linewidth=0.0, zorder=1.0
            )
        drawn = self.axes.stairs(
            values, edges, color=colour, linewidth=1.1, linestyle="--", baseline=None
        )
        self._named.append((drawn, label))
        self._note(values[there], values[there])

    def curve(self, number: int, x: Floats, y: Floats, label: str) -> None:
        """Draw what was asked for, as a line."""
        (drawn,) = self.axes.plot(x, y, color=COLOURS[number], linewidth=1.3, linestyle="--")
        self._named.append((drawn, label))
        self._note(y, y)

    def level(self, y: float) -> None:
        """Draw a thin line at a value."""
        self.axes.axhline(y, color=INK, linewidth=0.8, linestyle=":", zorder=0.5)

    def legend(self, *, floor: float | None = 0.0, below: bool = False, columns: int = 1) -> None:
        """Set the range of y, with room for the legend above (or below) all that was drawn.

        Parameters
        ----------
        floor : float, optional
            Where y begins, unless it is logarithmic; None: where the data do.
        below : bool
        columns : int
        """
        lines = -(-len(self._named) // columns)
        room = _LINE * lines + 0.06 if lines else 0.05
        low, high = self._span(floor)
        if self._log_y:
            span = np.log10(high / low)
            total = span / (1.0 - room)
            bottom = low / 10.0 ** (total - span) if below else low
            self.axes.set_ylim(bottom, bottom * 10.0**total)
            if total < _MOST_DECADES:
                _make_log(self.axes.yaxis)
        else:
            total = (high - low) / (1.0 - room)
            bottom = high - total if below else low
            self.axes.set_ylim(bottom, bottom + total)
        if self._named:
            self.axes.legend(
                [drawn for drawn, _ in self._named],
                # A sample may be called as it likes; it is no formula.
                [label.replace("$", r"\$") for _, label in self._named],
                loc="lower left" if below else "upper right",
                ncols=columns,
                alignment="left",
                labelspacing=0.3,
                handlelength=1.6,
                borderaxespad=0.4,
            )

    def _note(self, low: Floats, high: Floats) -> None:
        finite = [side[np.isfinite(side)] for side in (low, high)]
        if self._log_y:
            finite = [side[side > 0.0] for side in finite]
        self._low += finite[0].tolist()
        self._high += finite[1].tolist()

    def _span(self, floor: float | None) -> tuple[float, float]:
        if not self._high or not self._low:
            return (0.1, 1.0) if self._log_y else (0.0, 1.0)
        low, high = min(self._low), max(self._high)
        if self._log_y:
            return 0.8 * low, max(high, 4.0 * low)
        if floor is None:
            margin = 0.08 * max(high - low, 1e-3 * abs(high), 1e-12)
            return low - margin, high + margin
        return floor, max(1.04 * high, floor + 1e-12)


def _pieces(there: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where runs of bins begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(number: float, _place: int) -> str:
    """Write a power of ten; as mathtext it would take 20 times as long."""
    exponent = round(math.log10(number))
    return "1" if exponent == 0 else f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def _make_log(axis: Any) -> None:
    """Make an axis logarithmic, with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def count(number: float, of: str) -> str:
    """Return a number of something, ``1,234 jets``."""
    return f"{number:,.0f} {of}"


def outside(under: float, over: float) -> str:
    """Say which shares of the entries lie left and right of a plot's range."""
    sides = [
        f"{100.0 * share:.2g} % lie {where} the range"
        for share, where in ((under, "below"), (over, "beyond"))
        if share > 0.0
    ]
    return ", ".join(sides) or "none lie outside of the range"
