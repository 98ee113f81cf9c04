"""Memory and efficiency, by host; where there is one host, by rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hvmpi.report.course import Course, Group
from hvmpi.report.html import Markup, element, joined, table
from hvmpi.report.plot import COLOURS, INK, Plot
from hvmpi.report.timeline import in_words

__all__ = ["efficiency_plot", "hosts_table", "memory_plot"]

_MOST_NAMES = 40
_MOST_ROWS = 100


def _by(course: Course) -> str:
    return "host" if course.hosts > 1 else "rank"


def memory_plot(course: Course, job_memory_mb: float | None) -> Plot:
    """Draw what attempts had of memory, against what they may have."""
    groups = course.groups
    most = max(groups, key=lambda group: group.max_rss_mb)
    against = (
        f"; job-memory, at which an attempt is ended, is {job_memory_mb:,.0f} MB"
        if job_memory_mb
        else "; there is no job-memory"
    )
    return Plot(
        "memory",
        f"Memory of a job, by {_by(course)}",
        f"From the mean of its attempts (dot) to the largest (line). The largest of all: "
        f"{most.max_rss_mb:,.0f} MB, on {most.name}{against}.",
        lambda figure: _paint_memory(figure, course, job_memory_mb),
        (7.2, _height(groups)),
    )


def _height(groups: Sequence[Group]) -> float:
    return 1.3 + 0.3 * min(max(len(groups), 2), 20)


def _paint_memory(figure: Any, course: Course, job_memory_mb: float | None) -> None:
    axes = figure.subplots()
    at = np.arange(len(course.groups))
    mean = np.array([group.mean_rss_mb for group in course.groups])
    most = np.array([group.max_rss_mb for group in course.groups])
    wide = 4.0 if len(at) <= _MOST_NAMES else 0.8
    many = len(at) > _MOST_NAMES
    axes.hlines(at, mean, most, color=COLOURS[0], linewidth=wide, alpha=0.6, rasterized=many)
    axes.plot(mean, at, "o", color=COLOURS[0], markersize=6 if not many else 1, rasterized=many)
    if job_memory_mb:
        axes.axvline(job_memory_mb, color=COLOURS[4], linestyle="--")
        axes.annotate(
            "job-memory ",
            (job_memory_mb, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=COLOURS[4],
        )
    axes.set_xlim(0.0, 1.08 * max(job_memory_mb or 0.0, float(most.max(initial=0.0)), 1.0))
    axes.set_xlabel("resident memory of an attempt [MB]")
    _name(axes, course)


def efficiency_plot(course: Course) -> Plot:
    """Draw how much of their time ranks had jobs, and how much of that was processor time."""
    return Plot(
        "efficiency",
        f"Use of the ranks' time, by {_by(course)}",
        "Dark: processor time of the jobs; light: what jobs waited for beside it, files and "
        "starts; the rest: ranks had no job. "
        f"In all, ranks had jobs for {_percent(course.busy_s, course.there_s)} of their time, and "
        f"jobs used the processor for {_percent(course.cpu_s, course.busy_s)} of theirs.",
        lambda figure: _paint_efficiency(figure, course),
        (7.2, _height(course.groups)),
    )


def _percent(part: float, whole: float) -> str:
    return f"{100.0 * part / whole:.0f} %" if whole else "-"


def _paint_efficiency(figure: Any, course: Course) -> None:
    axes = figure.subplots()
    groups = course.groups
    at = np.arange(len(groups))
    busy = np.array([100.0 * group.busy for group in groups])
    used = np.array([100.0 * group.busy * group.efficiency for group in groups])
    many = len(groups) > _MOST_NAMES
    for share, label, alpha in ((busy, "had a job", 0.35), (used, "processor", 1.0)):
        axes.barh(
            at,
            share,
            height=1.0 if many else 0.62,
            color=COLOURS[0],
            alpha=alpha,
            label=label,
            rasterized=many,
        )
    axes.axvline(100.0, color=INK, linewidth=0.8)
    axes.set_xlim(0.0, max(105.0, 1.05 * float(used.max(initial=0.0))))
    axes.set_xlabel("share of the time that ranks were there [%]")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    _name(axes, course)


def _name(axes: Any, course: Course) -> None:
    """Name the lines, where they have room."""
    groups = course.groups
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.yaxis.minorticks_off()
    axes.tick_params(axis="y", which="both", length=0)
    if len(groups) <= _MOST_NAMES:
        size = 10 if len(groups) <= 20 else 7
        axes.set_yticks(range(len(groups)), [group.name for group in groups], fontsize=size)
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(groups)} hosts, by name")


def hosts_table(course: Course) -> Markup:
    """Make the table of what hosts, or the ranks of one host, did."""
    names = ("ATTEMPTS", "FAILED", "EVENTS", "BUSY", "CPU / WALL", "MEAN RSS", "MAX RSS")
    several = course.hosts > 1
    columns = [_by(course).upper(), *(["RANKS"] * several), *names]
    shown = course.groups[:_MOST_ROWS]
    rows = [(one.name, *([str(one.ranks)] * several), *_row(one)) for one in shown]
    made = table(f"What each {_by(course)} did", columns, rows, right=columns[1:])
    more = len(course.groups) - len(shown)
    return joined([made, element("p", f"... and {more} more.")] if more else [made])


def _row(group: Group) -> tuple[str, ...]:
    return (
        f"{group.attempts:,}",
        f"{group.failed:,}",
        f"{group.events:,}",
        f"{100.0 * group.busy:.0f} % of {in_words(group.there_s)}",
        f"{100.0 * group.efficiency:.0f} %",
        f"{group.mean_rss_mb:,.0f} MB",
        f"{group.max_rss_mb:,.0f} MB",
    )
