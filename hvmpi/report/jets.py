"""Plots of jets: momentum, direction, and how deep in the calorimeters their energy lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table
from hvmpi.report.agreement import Agreement, of_histograms
from hvmpi.report.estimates import mean
from hvmpi.report.findings import Figure, Physics, joined
from hvmpi.report.histograms import JETS, coarseness, filled, rebinned
from hvmpi.report.panel import INCHES, Panel, count, outside
from hvmpi.report.plot import Plot
from hvmpi.report.samples import Curve
from hvmpi.report.variables import Quantity
from hvmpi.report.view import View

__all__ = ["jet_plots"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Variable:
    """How a column of jets is shown."""

    column: str
    name: str
    title: str
    x: str
    unit: str
    quantity: str
    log: bool = False


_VARIABLES = (
    _Variable(
        "pt", "jet_pt", "Jets: transverse momentum", "jet $p_T$ [GeV]", "GeV", "pT (GeV)", True
    ),
    _Variable("eta", "jet_eta", "Jets: pseudorapidity", r"jet η", "", "eta"),
    _Variable(
        "emf",
        "jet_emf",
        "Jets: electromagnetic fraction",
        "EM fraction of the jet",
        "",
        "EM fraction",
    ),
    _Variable(
        "log10_EH_EEM",
        "jet_log_ratio",
        "Jets: hadronic over electromagnetic energy",
        r"$\log_{10}(E_H/E_{EM})$ of the jet",
        "",
        "log10(E_H/E_EM)",
    ),
)


@dataclass(frozen=True)
class _Drawn:
    """One curve of one plot; shares of the jets by bin, over the width where bins differ."""

    name: str
    jets: int
    values: Floats
    errors: Floats
    expected: tuple[Floats, Floats] | None


def jet_plots(view: View) -> Physics:
    """Plot the jets of each sample: near the s of signal, all of QCD."""
    curves = [
        (curve, table)
        for curve in view.curves
        if len((table := curve.table(Quantity.JETS)).get("pt", ()))
    ]
    if not curves:
        return Physics()
    return joined([_plot(view, variable, curves) for variable in _VARIABLES])


def _plot(
    view: View,
    variable: _Variable,
    curves: Sequence[tuple[Curve, Table]],
) -> Physics:
    axis = JETS[variable.column]
    factor = coarseness(axis, *(table["weight"] for _, table in curves))
    edges = axis.edges[::factor]
    widths = np.diff(edges) if variable.log else np.ones(len(edges) - 1)
    drawn, figures, sentences = [], [], []
    for curve, table in curves:
        values, weights = table[variable.column], table["weight"]
        made = filled(axis, values, weights)
        sums = rebinned(made.values(flow=True), factor)
        total = sums.sum()
        errors = np.sqrt(rebinned(made.variances(flow=True), factor))
        expected = test = None
        if curve.reference:
            shape, statistical, systematic = _expected(variable.column, table, curve, factor)
            test = of_histograms(sums, shape, statistical, systematic)
            expected = (
                shape[1:-1] / total / widths,
                np.sqrt(systematic[1:-1]) / total / widths,
            )
        drawn.append(
            _Drawn(
                curve.name,
                len(values),
                sums[1:-1] / total / widths,
                errors[1:-1] / total / widths,
                expected,
            )
        )
        sentences.append(
            f"{curve.name}: {count(len(values), 'jets')}{_text(test)}; "
            f"{outside(float(sums[0] / total), float(sums[-1] / total))}"
        )
        figures.append(_figure(variable, curve, values, weights, test))
    step = "" if variable.log else f"{edges[1] - edges[0]:g}"
    per = f"{step} {variable.unit}".strip()
    last = max(int(np.flatnonzero(one.values)[-1]) if one.values.any() else 0 for one in drawn)

    def paint(figure: Any) -> None:
        panel = Panel(
            *(figure, variable.x, f"share of jets / {per}", view.remark),
            log_x=variable.log,
            log_y=variable.log,
        )
        for number, one in enumerate(drawn):
            panel.points(number, edges, one.values, one.errors, f"{one.name} ({one.jets:,} jets)")
        for number, one in enumerate(drawn):
            if one.expected is not None:
                panel.band(number, edges, *one.expected, "reference")
        panel.axes.set_xlim(edges[0], edges[last + 1] if variable.log else edges[-1])
        panel.legend(columns=2 if len(drawn) > 2 else 1)

    caption = view.caption(_about(view, curves), sentences)
    return Physics(
        (Plot(variable.name, variable.title, caption, paint, INCHES),), (), tuple(figures)
    )


def _about(view: View, curves: Sequence[tuple[Curve, Table]]) -> str:
    said = ["Jets with pT > 20 GeV and |eta| < 2.5."]
    if any(curve.name != "QCD" for curve, _ in curves):
        said.append("Of signal: the jet next to each s.")
    if any(len(curve.samples) > 1 for curve, _ in curves):
        said.append("Slices of QCD are added by their cross-sections.")
    if any(curve.reference for curve, _ in curves):
        said.append(view.about_reference)
    return " ".join(said)


def _expected(
    column: str, table: Table, curve: Curve, factor: int
) -> tuple[Floats, Floats, Floats]:
    """Return what the reference makes of the jets of a curve: sums, their variances, its own.

    Each sample of the curve has its jets, and these the shape that the reference has of it.
    """
    sums, squares, own = 0.0, 0.0, 0.0
    for number, component in enumerate(curve.reference):
        weights = table["weight"][table["component"] == number]
        of_reference = component.sums[column].sum()
        if not of_reference > 0.0:
            continue
        shape = rebinned(component.sums[column], factor) / of_reference
        error2 = rebinned(component.squares[column], factor) / of_reference**2
        sums = sums + weights.sum() * shape
        squares = squares + (weights**2).sum() * shape
        own = own + weights.sum() ** 2 * error2
    return np.asarray(sums), np.asarray(squares), np.asarray(own)


def _figure(
    variable: _Variable,
    curve: Curve,
    values: Floats,
    weights: Floats,
    test: Agreement | None,
) -> Figure:
    middle, error = mean(values, weights)
    asked = agreement = ""
    if curve.reference:
        events = sum(component.events for component in curve.reference)
        asked = f"the reference's ({events:,} events)"
        agreement = str(test) if test else "too few entries"
    return Figure(
        f"{curve.name}: {variable.quantity} of jets, mean and distribution",
        asked,
        f"{middle:.3g} ± {error:.2g}" if error > 0.0 else f"{middle:.3g}",
        agreement,
    )


def _text(test: Agreement | None) -> str:
    return f", {test} with the reference" if test else ""
