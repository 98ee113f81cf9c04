"""A report made: the run read, plots drawn, the page written with its plots beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hvmpi.campaign.failures import Failures
from hvmpi.campaign.paths import plots_of
from hvmpi.campaign.profile import Profile
from hvmpi.campaign.status import StatusFile, look_at_current
from hvmpi.errors import UsageError
from hvmpi.files import write_whole
from hvmpi.memory import memory_limit
from hvmpi.report.course import Course
from hvmpi.report.drawing import draw_all, missing_libraries
from hvmpi.report.failures import failures_content, left_out_content
from hvmpi.report.hosts import efficiency_plot, hosts_table, memory_plot
from hvmpi.report.html import Markup, element, joined, table
from hvmpi.report.page import Section, figure, page
from hvmpi.report.physics import Physics, physics_plots
from hvmpi.report.plot import Plot
from hvmpi.report.selection import Selection, select
from hvmpi.report.spent import spent_plot
from hvmpi.report.summary import Summary, utc
from hvmpi.report.timeline import throughput_plot, timeline_plot
from hvmpi.view.profile import COLUMNS, profile_rows

__all__ = ["Made", "make_report"]


@dataclass(frozen=True)
class Made:
    """The files of a report: the page, and its plots, each as PNG and as PDF."""

    page: Path
    plots: tuple[Path, ...]


@dataclass(frozen=True)
class _Contents:
    """All that a report says of a run."""

    summary: Summary
    course: Course
    failures: Failures
    profile: Profile | None
    selection: Selection

    @classmethod
    def of(cls, file: StatusFile) -> _Contents:
        return cls(
            Summary.of(file),
            Course.of(file),
            Failures.of(file),
            Profile.of(file),
            select(file),
        )


def make_report(directory: Path, output: Path) -> Made:
    """Make the report of a run.

    Parameters
    ----------
    directory : Path
        The run's.
    output : Path
        The page; its plots go into ``plots`` beside it.

    Raises
    ------
    UsageError
        If it cannot be written.
    HvmpiError
        If the run cannot be read.
    """
    _refuse(output)
    contents = look_at_current(directory, _Contents.of)
    plots = _plots(contents)
    missing = missing_libraries()
    physics = Physics() if missing else physics_plots(contents.selection)
    drawn = [] if missing else draw_all([*plots.values(), *physics.plots])
    pictures = {one.plot.name: one.svg for one in drawn}
    written: list[Path] = []
    try:
        if drawn:
            plots_of(output).mkdir(exist_ok=True)
        for one in drawn:
            written += one.write(plots_of(output))
        with write_whole(output) as beside:
            beside.write_text(_page(contents, plots, physics, pictures, output), encoding="utf-8")
    except OSError as error:
        raise _unwritable(output, error.strerror) from error
    return Made(output, tuple(written))


def _refuse(output: Path) -> None:
    """Say that a page cannot be written before a minute is spent on it."""
    if output.is_dir():
        raise _unwritable(output, "it is a directory")
    try:
        with write_whole(output.with_name(f"{output.name}.trial"), synced=False) as trial:
            trial.touch()
        output.with_name(f"{output.name}.trial").unlink()
    except OSError as error:
        raise _unwritable(output, error.strerror) from error


def _unwritable(output: Path, reason: str | None) -> UsageError:
    return UsageError(f"{str(output)!r} cannot be written ({reason}); choose another --output")


def _plots(contents: _Contents) -> dict[str, Plot]:
    """Give the plots of the run itself, by name."""
    course, settings = contents.course, contents.summary.attributes["settings"]
    if not course.attempts:
        return {}
    limit_mb = memory_limit(settings["engine"], settings["job-memory"])
    plots = [timeline_plot(course), throughput_plot(course)]
    plots += [memory_plot(course, limit_mb), efficiency_plot(course)]
    if contents.profile is not None:
        plots.append(spent_plot(contents.profile))
    return {plot.name: plot for plot in plots}


def _page(
    contents: _Contents,
    plots: dict[str, Plot],
    physics: Physics,
    pictures: dict[str, str],
    output: Path,
) -> str:
    summary, course = contents.summary, contents.course

    def shown(*names: str) -> Markup:
        return joined(figure(plots[name], pictures) for name in names if name in plots)

    summed_up = [summary.content(course)]
    if missing := missing_libraries():
        text = (
            f"Plots are missing, as {' and '.join(missing)} cannot be found: "
            "pip install 'hvmpi[report]'"
        )
        summed_up.insert(0, element("p", text))
    sections = [
        Section("summary", "Summary", joined(summed_up)),
        Section(
            "timeline", "Timeline", joined([shown("timeline", "throughput"), _restarts(course)])
        ),
        Section("hosts", "Memory and efficiency", _hosts(contents, shown("memory", "efficiency"))),
        Section("time", "Where the time went", _time(contents.profile, shown("time"))),
        Section("failures", "Failures", failures_content(contents.failures)),
        Section("physics", "Physics", _physics(physics, pictures)),
        Section("files", "Files", _files(summary, pictures, output)),
    ]
    title = f"Run {summary.attributes['timestamp']}"
    return page(title, summary.state, summary.sentence(course), sections)


def _restarts(course: Course) -> Markup:
    again = course.clock.launches[1:]
    if not again:
        return Markup()
    rows = [
        (str(number), utc(one.began), element("code", one.command), one.reason)
        for number, one in enumerate(again, 1)
    ]
    columns = ("RESTART", "AT", "COMMAND", "WHAT RAN BEFORE")
    return table("When the run was taken up again", columns, rows)


def _hosts(contents: _Contents, figures: Markup) -> Markup:
    course = contents.course
    if not course.attempts:
        return joined([element("p", "No attempt was begun."), left_out_content(contents.failures)])
    return joined([figures, hosts_table(course), left_out_content(contents.failures)])


def _time(profile: Profile | None, picture: Markup) -> Markup:
    if profile is None:
        return Markup()
    seconds = table("Seconds of all ranks", COLUMNS, profile_rows(profile), COLUMNS[2:])
    return joined(
        [picture, element("details", element("summary", "All steps and their parts"), seconds)]
    )


def _physics(physics: Physics, pictures: dict[str, str]) -> Markup:
    pieces: list[Markup] = []
    if physics.figures:
        columns = ("QUANTITY", "ASKED", "MEASURED", "AGREEMENT")
        rows = [(row.quantity, row.asked, row.measured, row.agreement) for row in physics.figures]
        pieces.append(table("What was asked for, and what came of it", columns, rows))
    if physics.plots:
        shown = [figure(plot, pictures) for plot in physics.plots]
        pieces.append(element("div", *shown, class_="gallery"))
    if physics.notes:
        notes: Iterable[Markup] = (element("li", note) for note in physics.notes)
        pieces += [element("h3", "Not shown"), element("ul", *notes)]
    return joined(pieces)


def _files(summary: Summary, pictures: dict[str, str], output: Path) -> Markup:
    directory = summary.directory
    rows = [
        ("Run", element("code", str(directory))),
        ("This page", element("code", str(output))),
    ]
    if pictures:
        names = ", ".join(pictures)
        rows.append(
            (
                "Plots",
                joined([element("code", str(plots_of(output))), f": {names}, each as PNG and PDF"]),
            )
        )
    pairs = [(element("dt", what), element("dd", text)) for what, text in rows]
    return element("dl", *(piece for pair in pairs for piece in pair), class_="about")
