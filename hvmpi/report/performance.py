"""Plots of how well is reconstructed: track efficiency, resolutions, response of jets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table
from hvmpi.report.agreement import Agreement, of_counts, of_points
from hvmpi.report.findings import Figure, Physics, joined
from hvmpi.report.panel import INCHES, Panel, count
from hvmpi.report.plot import Plot
from hvmpi.report.points import CURVES, Binned, Points, averaged, measured
from hvmpi.report.reference import Component
from hvmpi.report.samples import Curve
from hvmpi.report.view import View

__all__ = ["performance_plots"]

Floats = NDArray[np.float64]

_PARTICLES = "charged particles, pT > 1 GeV, |eta| < 2.5"
_TRACKS = f"tracks of {_PARTICLES}, made within 20 mm of the beam line"
_MATCHED = "true jets, |eta| < 2.5, no other above 7 GeV within 1.0, with their jet"
_HALF = "Half of what holds the central 68 % of the differences to the true value at the beam line"


@dataclass(frozen=True)
class _Style:
    """How a curve is shown."""

    title: str
    about: str
    x: str
    y: str
    entries: str
    quantity: str
    form: str
    log_y: bool = False


_STYLES = {
    "track_efficiency": _Style(
        "Track efficiency against production radius",
        f"Share of {_PARTICLES}, at least 7 hits, that a track was found of, in either pass",
        "production radius of the particle [mm]",
        "track efficiency",
        "particles",
        "track efficiency, all radii",
        ".4f",
    ),
    "track_d0": _Style(
        "Resolution of d0",
        f"{_HALF}; {_TRACKS}",
        "true $p_T$ [GeV]",
        r"resolution of $d_0$ [$\mu$m]",
        "tracks",
        "resolution of d0 (um)",
        ".1f",
        log_y=True,
    ),
    "track_z0": _Style(
        "Resolution of z0",
        f"{_HALF}; {_TRACKS}",
        "true $p_T$ [GeV]",
        r"resolution of $z_0$ [$\mu$m]",
        "tracks",
        "resolution of z0 (um)",
        ".1f",
        log_y=True,
    ),
    "track_relative_pt": _Style(
        "Resolution of the tracks' pT",
        f"{_HALF}, relative to it; {_TRACKS}",
        "true $p_T$ [GeV]",
        "resolution of track $p_T$ [%]",
        "tracks",
        "resolution of track pT (%)",
        ".2f",
    ),
    "jet_response": _Style(
        "Response of jets",
        f"Mean of pT over true pT; {_MATCHED}",
        "true jet $p_T$ [GeV]",
        "mean of $p_T$ / true $p_T$",
        "jets",
        "mean response of jets",
        ".3f",
    ),
    "jet_resolution": _Style(
        "Resolution of jets",
        f"Width of the Gaussian core of pT over true pT, relative to its mean; {_MATCHED}",
        "true jet $p_T$ [GeV]",
        "resolution of jet $p_T$ [%]",
        "jets",
        "resolution of jets (%)",
        ".1f",
    ),
}


@dataclass(frozen=True)
class _Drawn:
    """One curve of one plot."""

    name: str
    entries: int
    points: Points
    expected: Points | None


def performance_plots(view: View) -> Physics:
    """Plot track efficiency, resolutions of tracks and jets, response of jets."""
    tables = {
        quantity: [
            (curve, table)
            for curve in view.curves
            if len((table := curve.table(quantity)).get("weight", ()))
        ]
        for quantity in {curve.quantity for curve in CURVES}
    }
    return joined(
        [_plot(view, curve, tables[curve.quantity]) for curve in CURVES if tables[curve.quantity]]
    )


def _plot(view: View, curve: Binned, tables: Sequence[tuple[Curve, Table]]) -> Physics:
    style = _STYLES[curve.name]
    drawn, figures, sentences, notes = [], [], [], []
    for one, table in tables:
        points = measured(curve, table)
        inside = (table[curve.x] >= curve.edges[0]) & (table[curve.x] < curve.edges[-1])
        components = view.components.get(one.name)
        expected = test = None
        if components is not None:
            expected = averaged(
                [component.points[curve.name] for component in components],
                _entries(curve, table, components),
            )
            test = _test(curve, points, expected)
        if not np.isfinite(points.values).any():
            notes.append(
                f"{style.title}: {one.name} has fewer than {curve.least:g} {style.entries} in each "
                "bin."
            )
            continue
        out = len(table[curve.x]) - int(inside.sum())
        sentences.append(
            f"{one.name}: {count(int(inside.sum()), style.entries)}"
            + (f", {test} with the reference" if test else "")
            + (f"; {out:,} lie outside of the range" if out else "; none lie outside of the range")
        )
        drawn.append(_Drawn(one.name, int(inside.sum()), points, expected))
        figures.append(_figure(curve, style, one, table, points, expected, test))
    if not drawn:
        return Physics(notes=tuple(notes))
    edges = np.array(curve.edges)
    is_track_pt = curve.name.startswith("track_") and curve.x == "pt"

    def paint(figure: Any) -> None:
        panel = Panel(
            *(figure, style.x, style.y, view.remark), log_x=curve.x == "pt", log_y=style.log_y
        )
        for number, one in enumerate(drawn):
            name = f"{one.name} ({one.entries:,} {style.entries})"
            panel.points(number, edges, one.points.values, one.points.errors, name)
        for number, one in enumerate(drawn):
            if one.expected is not None:
                panel.band(number, edges, one.expected.values, one.expected.errors, "reference")
        if curve.name in ("track_efficiency", "jet_response"):
            panel.level(1.0)
        filled = [np.flatnonzero(np.isfinite(one.points.values))[[0, -1]] for one in drawn]
        first, last = min(f[0] for f in filled), max(f[1] for f in filled)
        panel.axes.set_xlim(edges[first], edges[last + 1])
        below = curve.name == "track_efficiency"
        floor = None if below or curve.name == "jet_response" else 0.0
        panel.legend(floor=floor, below=below, columns=2 if len(drawn) > 2 else 1)
        if is_track_pt:
            panel.axes.set_xlim(edges[0], edges[last + 1])

    reference = view.about_reference if any(one.expected for one in drawn) else ""
    caption = view.caption(f"{style.about}. {reference}".strip(), sentences)
    plot = Plot(curve.name, style.title, caption, paint, INCHES)
    return Physics((plot,), tuple(notes), tuple(figures))


def _entries(curve: Binned, table: Table, components: Sequence[Component]) -> list[Floats]:
    """Return how many entries each sample has in each bin."""
    made = []
    for number in range(len(components)):
        own = table["component"] == number
        sums, _ = np.histogram(table[curve.x][own], curve.edges, weights=table["weight"][own])
        made.append(sums)
    return made


def _test(curve: Binned, points: Points, expected: Points) -> Agreement | None:
    if curve.name == "track_efficiency":
        there = np.isfinite(points.values) & np.isfinite(expected.values)
        entries = points.entries[there]
        # A reference that lost none would expect none to be lost.
        lost = (expected.entries * (1.0 - expected.values) + 0.5) / (expected.entries + 1.0)
        lost = lost[there]
        own = np.max(expected.errors[there], axis=1)
        return of_counts(
            entries * (1.0 - points.values[there]),
            entries * lost,
            entries * lost * (1.0 - lost),
            (entries * own) ** 2,
        )
    difference = points.values - expected.values
    # The error of each on the side of the other.
    errors = np.where(difference > 0.0, points.errors[:, 0], points.errors[:, 1])
    of_expected = np.where(difference > 0.0, expected.errors[:, 1], expected.errors[:, 0])
    return of_points(difference, np.hypot(errors, of_expected))


def _figure(
    curve: Binned,
    style: _Style,
    one: Curve,
    table: Table,
    points: Points,
    expected: Points | None,
    test: Agreement | None,
) -> Figure:
    """Return the number of the bin with most entries, or that of all bins of an efficiency."""
    if curve.name == "track_efficiency":
        weights = table["weight"]
        value, down, up = curve.estimate(table[curve.y].astype(np.float64), weights)
        where = ""
        reference = ""
        if expected is not None and np.isfinite(expected.values).any():
            known = np.isfinite(expected.values) & (points.entries > 0.0)
            share = np.average(expected.values[known], weights=points.entries[known])
            reference = format(float(share), style.form)
        measured_text = f"{value:{style.form}} (+{up:{style.form}} -{down:{style.form}})"
    else:
        best = int(np.argmax(np.where(np.isfinite(points.values), points.entries, -1.0)))
        where = f", pT {curve.edges[best]:g}-{curve.edges[best + 1]:g} GeV"
        reference = ""
        if expected is not None and np.isfinite(expected.values[best]):
            reference = (
                f"{expected.values[best]:{style.form}} ± "
                f"{np.mean(expected.errors[best]):{style.form}}"
            )
        measured_text = (
            f"{points.values[best]:{style.form}} ± {np.mean(points.errors[best]):{style.form}}"
        )
    agreement = (str(test) if test else "too few entries") if reference else ""
    return Figure(f"{one.name}: {style.quantity}{where}", reference, measured_text, agreement)
