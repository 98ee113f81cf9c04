"""Plots of the long-lived particles: how long they live, how far they fly, what they weigh."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.processes import FORCED_WIDTH, SM_WIDTH_UP_TO, Process
from hvmpi.report.agreement import of_histograms, with_distribution
from hvmpi.report.estimates import effective, mean
from hvmpi.report.findings import Figure, Physics, joined
from hvmpi.report.histograms import coarseness, filled, rebinned, regular
from hvmpi.report.panel import INCHES, Panel, count, outside
from hvmpi.report.plot import Plot
from hvmpi.report.samples import Curve
from hvmpi.report.variables import Quantity
from hvmpi.report.view import View

__all__ = ["decay_plots"]

Floats = NDArray[np.float64]

_BINS = 50
_NICE = (1.0, 2.0, 5.0, 10.0)

_ROUNDING_GEV = 0.001
"""Momenta in an AOD are rounded to single precision: masses of their sums are no better."""


@dataclass(frozen=True)
class _Signal:
    """One sample of long-lived particles."""

    curve: Curve
    decays: Table
    asked: Process | None

    @property
    def ctau(self) -> float | None:
        return self.asked.ctau if self.asked else None


def decay_plots(view: View) -> Physics:
    """Plot lifetime, decay radius and masses of the long-lived particles."""
    signals = [
        _Signal(curve, table, curve.samples[0].asked)
        for curve in view.curves
        if len((table := curve.table(Quantity.DECAYS)).get("ctau", ()))
    ]
    if not signals:
        return Physics()
    notes = [
        f"What lifetime was asked for is not known of {signal.curve.name}: its event files were "
        "not made with the settings of this run."
        for signal in signals
        if signal.ctau is None
    ]
    return joined(
        [
            Physics(notes=tuple(notes)),
            _lifetime(view, signals),
            _radius(view, signals),
            _masses(view, signals, is_phi=True),
            _masses(view, signals, is_phi=False),
        ]
    )


# --- lifetime --------------------------------------------------------------------------------


def _lifetime(view: View, signals: Sequence[_Signal]) -> Physics:
    asked = {signal.ctau for signal in signals}
    # Lifetimes that differ are told apart from what was asked for by their ratio to it alone.
    relative = len(asked) > 1 and None not in asked
    scales = [signal.ctau or 1.0 if relative else 1.0 for signal in signals]
    means = [_exponential(signal.decays["ctau"], signal.decays["weight"]) for signal in signals]
    expected = [signal.ctau or found for signal, (found, _) in zip(signals, means, strict=True)]
    width = 0.1 if relative else _nice(max(5.0 * max(expected), 1e-3) / _BINS)
    drawn, figures, sentences = [], [], []
    axis = regular(_BINS, 0.0, _BINS * width)
    factor = coarseness(axis, *(signal.decays["weight"] for signal in signals))
    for signal, scale, (found, error) in zip(signals, scales, means, strict=True):
        ctau, weights = signal.decays["ctau"], signal.decays["weight"]
        histogram = _shares(filled(axis, ctau / scale, weights), factor)
        curve: tuple[Floats, Floats] | None = None
        sentence = (
            f"{signal.curve.name}: {count(len(ctau), 'decays')}, mean {found:.0f} ± {error:.0f} mm"
        )
        if signal.ctau is not None:
            half = 0.5 * factor * width
            # Of a bin around x: the exponential, averaged over it; there is none left of the first.
            x = np.linspace(half, _BINS * width, 200)
            of_bin = math.exp(factor * width * scale / signal.ctau) - 1.0
            curve = x, np.exp(-(x + half) * scale / signal.ctau) * of_bin
            test = with_distribution(-np.expm1(-ctau / signal.ctau), weights)
            pull = (found - signal.ctau) / error if error > 0.0 else math.nan
            figures.append(
                Figure(
                    f"{signal.curve.name}: mean proper lifetime c tau (mm)",
                    f"{signal.ctau:g}",
                    f"{found:.1f} ± {error:.1f}",
                    f"{pull:+.1f} standard deviations" + (f"; {test}" if test else ""),
                )
            )
            sentence += f", asked {signal.ctau:g} mm" + (f", {test}" if test else "")
        sentences.append(f"{sentence}; {outside(*histogram.outside)}")
        drawn.append((signal, histogram, curve, (found, error)))
    step = factor * width

    def paint(figure: Any) -> None:
        x = "cτ / asked mean" if relative else "proper lifetime cτ of the s [mm]"
        unit = "" if relative else " mm"
        panel = Panel(figure, x, f"share of s / {step:g}{unit}", view.remark, log_y=True)
        for number, (signal, histogram, curve, (found, error)) in enumerate(drawn):
            panel.points(
                *(number, histogram.edges, histogram.values, histogram.errors),
                f"{signal.curve.name}: mean {found:.0f} ± {error:.0f} mm",
            )
            if curve is not None:
                panel.curve(number, *curve, f"asked: mean cτ = {signal.ctau:g} mm")
        panel.axes.set_xlim(0.0, _BINS * width)
        panel.legend()

    caption = view.caption(
        "From where the true s was made to where it decays. Dashed: the exponential with the mean "
        "that was asked for.",
        sentences,
    )
    plot = Plot("ctau", "Proper lifetime of the s", caption, paint, INCHES)
    return Physics((plot,), (), tuple(figures))


def _exponential(values: Floats, weights: Floats) -> tuple[float, float]:
    """Return the mean of an exponential, by maximum likelihood, and its error."""
    middle = float(np.average(values, weights=weights))
    return middle, middle / math.sqrt(effective(weights))


# --- decay radius ----------------------------------------------------------------------------


def _radius(view: View, signals: Sequence[_Signal]) -> Physics:
    far = max(float(np.quantile(signal.decays["lxy"], 0.95)) for signal in signals) / 1000.0
    width = _nice(max(far, 1e-3) / _BINS)
    axis = regular(_BINS, 0.0, _BINS * width)
    factor = coarseness(axis, *(signal.decays["weight"] for signal in signals))
    drawn, figures, sentences = [], [], []
    for signal in signals:
        decays = signal.decays
        made = filled(axis, decays["lxy"] / 1000.0, decays["weight"])
        histogram = _shares(made, factor)
        curve: tuple[Floats, Floats] | None = None
        sentence = f"{signal.curve.name}: {count(len(decays['lxy']), 'decays')}"
        if signal.ctau is not None:
            lengths = decays["stretch"] * signal.ctau / 1000.0
            x = np.linspace(0.0, _BINS * width, 120)
            half = 0.5 * factor * width
            beyond = _survival(lengths, decays["weight"], np.concatenate([x - half, x + half]))
            # At its left edge the plot's first bin is cut.
            curve = x[x >= half], (beyond[: len(x)] - beyond[len(x) :])[x >= half]
            edges = np.append(histogram.edges, np.inf)
            expected = -np.diff(_survival(lengths, decays["weight"], edges))
            total = float(decays["weight"].sum())
            per_entry = float((decays["weight"] ** 2).sum()) / total
            test = of_histograms(
                rebinned(made.values(flow=True), factor)[1:],
                expected * total,
                expected * total * per_entry,
                np.zeros_like(expected),
            )
            middle = mean(decays["lxy"], decays["weight"])
            from_momenta = mean(decays["stretch"] * signal.ctau, decays["weight"])[0]
            figures.append(
                Figure(
                    f"{signal.curve.name}: decay radius L_xy (mm), mean and distribution",
                    f"{from_momenta:.0f} for these momenta",
                    f"{middle[0]:.0f} ± {middle[1]:.0f}",
                    str(test) if test else "too few entries",
                )
            )
            sentence += f", {test}" if test else ""
        sentences.append(f"{sentence}; {outside(*histogram.outside)}")
        drawn.append((signal, histogram, curve))
    step = factor * width

    def paint(figure: Any) -> None:
        label = r"decay radius $L_{xy}$ of the s [m]"
        panel = Panel(figure, label, f"share of s / {step:g} m", view.remark)
        for number, (signal, histogram, curve) in enumerate(drawn):
            name = f"{signal.curve.name} ({len(signal.decays['lxy']):,} decays)"
            panel.points(number, histogram.edges, histogram.values, histogram.errors, name)
            if curve is not None:
                panel.curve(number, *curve, f"asked: mean cτ = {signal.ctau:g} mm")
        panel.axes.set_xlim(0.0, _BINS * width)
        panel.legend()

    caption = view.caption(
        "Distance of the true decay of the s from the beam line. Dashed: what the mean lifetime "
        "that was asked for makes of the momenta of these s.",
        sentences,
    )
    plot = Plot("lxy", "Decay radius of the s", caption, paint, INCHES)
    return Physics((plot,), (), tuple(figures))


def _survival(lengths: Floats, weights: Floats, radii: Floats) -> Floats:
    """Return the share of particles of given mean decay lengths that pass each radius."""
    return np.array(
        [
            float(
                np.average(np.exp(-max(radius, 0.0) / np.maximum(lengths, 1e-12)), weights=weights)
            )
            for radius in radii
        ]
    )


# --- masses ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Resonance:
    """Phi or s, of one sample."""

    signal: _Signal
    asked: float
    difference: Floats
    weights: Floats


def _masses(view: View, signals: Sequence[_Signal], *, is_phi: bool) -> Physics:
    found = []
    for signal in signals:
        table = signal.curve.table(Quantity.RESONANCES)
        asked = getattr(signal.asked, "m_phi" if is_phi else "m_s") if signal.asked else None
        if not table or asked is None:
            continue
        own = table["is_phi"] == is_phi
        if own.any():
            difference = table["mass"][own] - asked
            found.append(_Resonance(signal, asked, difference, table["weight"][own]))
    if not found:
        return Physics()
    # One bin has what was asked for in its middle.
    bins = _BINS // coarseness(range(_BINS), *(one.weights for one in found)) // 2 * 2 + 1
    width = _nice(2.0 * _half_range([one.difference for one in found]) / bins)
    half = 0.5 * bins * width
    axis = regular(bins, -half, half)
    drawn, figures, sentences = [], [], []
    for one in found:
        histogram = _shares(filled(axis, one.difference, one.weights), 1)
        middle, error = _median(one.difference)
        name = one.signal.curve.name
        figures.append(
            Figure(
                f"{name}: median mass of {'Phi' if is_phi else 's'} (GeV)",
                f"{one.asked:g}",
                _measured(one.asked + middle, error),
                _difference(middle),
            )
        )
        sentences.append(
            f"{name}: {count(len(one.difference), 'entries')}, median {_difference(middle)} from "
            f"{one.asked:g} GeV; {outside(*histogram.outside)}"
        )
        drawn.append((f"{name}: {one.asked:g} GeV", histogram))
    wide = is_phi and any(one.asked > SM_WIDTH_UP_TO for one in found)
    # Narrow ones in MeV.
    unit, scale = ("MeV", 1000.0) if half < 0.5 else ("GeV", 1.0)
    step = scale * width

    def paint(figure: Any) -> None:
        label = r"$m(ss) - m_\Phi$" if is_phi else r"$m(s) - m_s$"
        y = f"share of entries / {step:g} {unit}"
        panel = Panel(figure, f"{label} [{unit}]", y, view.remark)
        for number, (name, histogram) in enumerate(drawn):
            edges = scale * histogram.edges
            panel.points(number, edges, histogram.values, histogram.errors, name)
        if wide:
            curve = _breit_wigner(drawn[0][1].edges)
            panel.curve(len(drawn), *curve, f"Breit-Wigner, Γ = {FORCED_WIDTH:g} GeV")
        panel.axes.set_xlim(-scale * half, scale * half)
        panel.legend()

    what = (
        "True mass, from its two s, less the mass that was asked for."
        if is_phi
        else "True mass, from its decay products, less the mass that was asked for."
    )
    if wide:
        what += (
            f" Dashed: the width of {FORCED_WIDTH:g} GeV that Phi has above {SM_WIDTH_UP_TO:g} "
            "GeV; lighter ones are more frequent, as the protons' partons make them."
        )
    name, title = ("mass_phi", "Mass of Phi") if is_phi else ("mass_s", "Mass of the s")
    plot = Plot(name, title, view.caption(what, sentences), paint, INCHES)
    return Physics((plot,), (), tuple(figures))


def _breit_wigner(edges: Floats) -> tuple[Floats, Floats]:
    x = np.linspace(edges[0], edges[-1], 200)
    half, step = 0.5 * FORCED_WIDTH, edges[1] - edges[0]
    near, far = (np.arctan((x + way * 0.5 * step) / half) for way in (-1.0, 1.0))
    return x, (far - near) / math.pi


def _half_range(differences: Sequence[Floats]) -> float:
    """Return what nearly all are within, GeV."""
    return max(0.005, *(float(np.quantile(np.abs(one), 0.98)) for one in differences))


def _median(values: Floats) -> tuple[float, float]:
    """Return the median and its error, from the order of the numbers."""
    aside = min(0.5 / math.sqrt(len(values)), 0.5)
    low, middle, high = np.quantile(values, [0.5 - aside, 0.5, 0.5 + aside])
    return float(middle), float(high - low) / 2.0


def _measured(mass: float, error: float) -> str:
    if error < _ROUNDING_GEV:
        return f"{mass:.3f} ± less than {_ROUNDING_GEV:g}"
    digits = max(1 - math.floor(math.log10(error)), 0)
    return f"{mass:.{digits}f} ± {error:.{digits}f}"


def _difference(mass: float) -> str:
    return f"{mass:+.2g} GeV" if abs(mass) >= _ROUNDING_GEV else f"within {_ROUNDING_GEV:g} GeV"


# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shares:
    """A histogram of sum 1, with what lies outside."""

    edges: Floats
    values: Floats
    errors: Floats
    outside: tuple[float, float]


def _shares(histogram: Any, factor: int) -> _Shares:
    values = rebinned(histogram.values(flow=True), factor)
    total = values.sum()
    errors = np.sqrt(rebinned(histogram.variances(flow=True), factor)) / total
    edges = histogram.axes[0].edges[::factor]
    values = values / total
    return _Shares(edges, values[1:-1], errors[1:-1], (float(values[0]), float(values[-1])))


def _nice(number: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(number))
    return next(step * power for step in _NICE if step * power >= number * (1.0 - 1e-9))
