"""When what ran: the timeline of every rank, and what came of it by time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from hvmpi.campaign.jobs import Kind
from hvmpi.report.clock import BINS
from hvmpi.report.course import Bars, Course
from hvmpi.report.plot import COLOURS, INK, Plot

__all__ = ["in_words", "throughput_plot", "timeline_plot"]

_COLOUR = {
    Kind.GENERATION: COLOURS[1],
    Kind.LIBRARY: COLOURS[2],
    Kind.RECONSTRUCTION: COLOURS[0],
    Kind.MERGE: COLOURS[3],
}
_FAILED, _NEEDLESS = COLOURS[4], COLOURS[5]
_MOST_NAMES = 40
"""Lines that have room for their names."""
_MOST_LABELS = 8
_BINS_OF_RATES = 120

_UNITS = ((86400.0, "d", 3.0), (3600.0, "h", 3.0), (60.0, "min", 10.0), (1.0, "s", 0.0))
"""Seconds, sign, and from how many of it on it is used."""


def in_words(seconds: float) -> str:
    """Write a time as a person does: ``24.3 s``, ``2 h 05 min``, ``3 d 04 h``."""
    if seconds < 90.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60.0), 60)
    if hours < 72:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(round(seconds / 3600.0), 24)
    return f"{days} d {hours:02d} h"


def timeline_plot(course: Course) -> Plot:
    """Draw what each rank ran when: attempts one by one, or how busy ranks were."""
    lines = max(min(len(course.lanes), _MOST_NAMES), 1)
    height = 1.7 + (0.34 if lines <= 16 else 0.15) * lines
    return Plot(
        "timeline",
        "What each rank ran",
        _caption(course),
        lambda figure: _paint_timeline(figure, course),
        (9.0, height),
    )


def _caption(course: Course) -> str:
    bars = course.bars
    if bars is not None:
        what = "A bar is an attempt of a job; blank is waiting"
        what += ", a cross the end of an attempt that failed" * bool(bars.failed.any())
        what += ", hatched what began beside another attempt of its job" * bool(bars.again.any())
    else:
        what = (
            f"A line is one of {len(course.lanes)} {course.lanes_are}: the darker, the longer its "
            "ranks had attempts in that time; blank is waiting, red is where attempts failed"
        )
    facts = [f"{course.attempts:,} attempts, {course.failed:,} failed"]
    if course.needless:
        facts.append(f"{course.needless:,} stopped, of jobs that another attempt did")
    if course.there_s:
        idle = max(1.0 - course.busy_s / course.there_s, 0.0)
        facts.append(f"ranks waited for {100 * idle:.0f} % of their time")
    restarts = len(course.clock.restarts_s)
    again = " Dashed lines: the run was taken up again" * bool(restarts)
    again += ", the pauses before it cut short" * course.clock.has_cut
    return f"{what}. {'; '.join(facts)}.{again}{'.' * bool(again)}"


def _paint_timeline(figure: Any, course: Course) -> None:
    axes = figure.subplots()
    unit_s = _time_axis(axes, course)
    if course.bars is not None:
        _paint_bars(axes, course.bars, unit_s)
    else:
        _paint_busy(axes, course)
    lanes = len(course.lanes)
    axes.set_ylim(max(lanes, 1) - 0.5, -0.5)
    axes.tick_params(axis="y", which="both", length=0)
    axes.yaxis.minorticks_off()
    _name_lines(axes, course)
    _mark_restarts(axes, course, unit_s, labelled=True)


def _name_lines(axes: Any, course: Course) -> None:
    """Name the lines, or the hosts that they are of, where these have room."""
    lanes, hosts = len(course.lanes), Counter(course.hosts_of_lanes)
    if lanes <= _MOST_NAMES:
        axes.set_yticks(range(lanes), course.lanes, fontsize=10 if lanes <= 16 else 8)
    elif len(hosts) <= _MOST_NAMES:
        ends = np.cumsum(list(hosts.values()))
        middles = ends - np.array(list(hosts.values())) / 2.0 - 0.5
        axes.set_yticks(middles, list(hosts), fontsize=8)
        axes.hlines(ends[:-1] - 0.5, *axes.get_xlim(), color=INK, linewidth=0.3)
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{lanes} {course.lanes_are}, by name")


def _time_axis(axes: Any, course: Course) -> float:
    """Set up the axis of time; give the seconds of its unit."""
    total_s = course.clock.total_s
    unit_s, sign = next((unit, sign) for unit, sign, least in _UNITS if total_s >= least * unit)
    axes.set_xlim(0.0, total_s / unit_s)
    axes.set_xlabel(f"time from the start{', pauses cut short' * course.clock.has_cut} [{sign}]")
    return unit_s


def _mark_restarts(axes: Any, course: Course, unit_s: float, *, labelled: bool) -> None:
    restarts = course.clock.restarts_s
    for number, when_s in enumerate(restarts, 1):
        axes.axvline(when_s / unit_s, color=INK, linestyle="--", linewidth=1.0)
        if labelled and len(restarts) <= _MOST_LABELS:
            axes.annotate(
                f"restart {number}",
                (when_s / unit_s, 1.0),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                annotation_clip=False,
            )


def _paint_bars(axes: Any, bars: Bars, unit_s: float) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    first, last = bars.first / unit_s, bars.last / unit_s
    # What ended at once is a line, not nothing.
    last = np.maximum(last, first + axes.get_xlim()[1] / 1000.0)
    corners = np.stack(
        [
            np.column_stack([x, bars.lane + y])
            for x, y in ((first, -0.38), (first, 0.38), (last, 0.38), (last, -0.38))
        ],
        axis=1,
    )
    legend: list[Any] = []

    def draw(chosen: Any, colour: str, label: str, **how: Any) -> None:
        if not chosen.any():
            return
        look = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.4, **how}
        axes.add_collection(PolyCollection(list(corners[chosen]), **look))
        legend.append(Patch(label=label, **look))

    good = ~(bars.failed | bars.needless)
    for kind, colour in _COLOUR.items():
        own = (bars.kind == kind) & good
        draw(own & ~bars.going, colour, kind.name.lower())
        draw(own & bars.going, colour, f"{kind.name.lower()}, going on", alpha=0.5)
    draw(bars.failed, _FAILED, "failed")
    draw(bars.needless, _NEEDLESS, "stopped")
    draw(bars.again, "none", "second attempt beside", hatch="////", edgecolor="white", linewidth=0)
    if bars.failed.any():
        crosses: dict[str, Any] = {
            "linestyle": "none",
            "marker": "x",
            "color": INK,
            "markersize": 6,
        }
        axes.plot(last[bars.failed], bars.lane[bars.failed], clip_on=False, zorder=4, **crosses)
        legend = [one for one in legend if one.get_label() != "failed"] + [
            Line2D([], [], label="failed", markeredgewidth=1.6, **{**crosses, "color": _FAILED})
        ]
    axes.figure.legend(handles=legend, loc="outside upper center", ncols=min(len(legend), 4))


def _paint_busy(axes: Any, course: Course) -> None:
    from matplotlib.colors import to_rgb

    picture = np.zeros((*course.busy.shape, 4))
    picture[..., :3] = to_rgb(_COLOUR[Kind.RECONSTRUCTION])
    picture[..., 3] = course.busy
    picture[course.failures > 0] = (*to_rgb(_FAILED), 1.0)
    lanes = max(len(course.lanes), 1)
    right = axes.get_xlim()[1]
    axes.imshow(
        picture,
        aspect="auto",
        extent=(0.0, right, lanes - 0.5, -0.5),
        # As it is: a failure must not be smoothed away.
        interpolation="none",
    )


def throughput_plot(course: Course) -> Plot:
    """Draw events a second, and the jobs that were done, by time."""
    return Plot(
        "throughput",
        "Events a second, and jobs done",
        "Events of the jobs that were done, spread over the time that each took; below, the jobs "
        "that were done and the attempts that had failed by then.",
        lambda figure: _paint_throughput(figure, course),
        (9.0, 5.2),
    )


def _paint_throughput(figure: Any, course: Course) -> None:
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    unit_s = _time_axis(below, course)
    edges = np.linspace(0.0, below.get_xlim()[1], _BINS_OF_RATES + 1)
    for kind, rate in course.rates.items():
        if rate.any():
            mean = rate.reshape(_BINS_OF_RATES, BINS // _BINS_OF_RATES).mean(axis=1)
            colour = _COLOUR[kind]
            above.stairs(mean, edges, color=colour, linewidth=1.6, label=kind.name.lower())
            above.stairs(mean, edges, color=colour, fill=True, alpha=0.15)
    above.set_ylim(bottom=0.0)
    above.set_ylabel("events / s")
    fine = np.linspace(0.0, below.get_xlim()[1], BINS + 1)[1:]
    below.plot(fine, course.done, color=_COLOUR[Kind.RECONSTRUCTION], label="jobs done")
    if course.lost.any():
        below.plot(fine, course.lost, "--", color=_FAILED, label="attempts failed")
    below.set_ylim(bottom=0.0)
    below.set_ylabel("number")
    for axes in (above, below):
        _mark_restarts(axes, course, unit_s, labelled=False)
        if axes.get_legend_handles_labels()[0]:
            axes.margins(y=0.15)
            axes.legend(loc="best", ncols=2)
