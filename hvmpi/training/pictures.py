"""Pictures of a network: ROC curves, scores, importance of the features. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.files import write_whole
from hvmpi.training.efficiency import CONFIDENCE, auc_error, binomial
from hvmpi.training.network import CUT, Network

__all__ = ["draw"]

_NETWORK, _CUT = "#5790fc", "#e42536"
_QCD = "#964a8b"
"""Of Petroff's colours (arXiv:2107.02270), told apart by all eyes."""

_SCORE_BINS = 40


def draw(directory: Path, network: Network, label: str) -> list[Path]:
    """Draw ``roc``, ``scores`` and ``importance``, each as ``.png`` and ``.pdf``.

    Parameters
    ----------
    directory : Path
    network : Network
    label : str
        Says where the jets are from; stands in each picture.
    """
    import matplotlib as mpl
    import mplhep

    made = []
    # The axes have their places, whatever layout is set elsewhere.
    places = {"figure.autolayout": False, "figure.constrained_layout.use": False}
    sizes = {"font.size": 16, "legend.fontsize": 14}
    with mpl.rc_context(mplhep.style.ROOT | sizes | places):
        for name, picture, left, top in (
            ("roc", _roc, 0.12, 0.94),
            ("scores", _scores, 0.12, 0.94),
            ("importance", _importance, 0.2, 0.86),
        ):
            figure, axes = _figure(label, left, top)
            picture(axes, network)
            made += _save(directory, name, figure)
    return made


def _figure(label: str, left: float, top: float) -> tuple[Any, Any]:
    # A figure of its own: pyplot would keep it, and look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 7.5))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((left, 0.1, 0.96 - left, top - 0.1))
    figure.text(left, 0.955, label, fontsize=16, style="italic")
    return figure, axes


def _save(directory: Path, name: str, figure: Any) -> list[Path]:
    made = []
    # Without the time, the same numbers give the same file.
    for suffix, metadata in (("png", None), ("pdf", {"CreationDate": None})):
        path = directory / f"{name}.{suffix}"
        with write_whole(path) as beside:
            figure.savefig(beside, format=suffix, dpi=120, metadata=metadata)
        made.append(path)
    return made


def _roc(axes: Any, network: Network) -> None:
    for discriminant, colour, what in (
        (network.network, _NETWORK, "network"),
        (network.cut, _CUT, "cut on log$_{10}$($E_H/E_{EM}$) and tracks"),
    ):
        signal, background, _ = discriminant.curve()
        seen = background > 0.0
        auc = discriminant.auc()
        error = auc_error(auc, len(discriminant.signal), len(discriminant.background))
        axes.plot(
            signal[seen],
            background[seen],
            color=colour,
            label=f"{what}: AUC = {auc:.4f} $\\pm$ {error:.4f}",
        )
        low, high = _band(background[seen], len(discriminant.background))
        axes.fill_between(signal[seen], low, high, color=colour, alpha=0.2, linewidth=0)
    passed = network.cut.background_efficiency(CUT[0])
    kept = network.cut.signal_efficiency(CUT[0])
    if passed.passed:
        axes.errorbar(
            *(kept.value, passed.value),
            xerr=[[kept.value - kept.low], [kept.high - kept.value]],
            yerr=[[passed.value - passed.low], [passed.high - passed.value]],
            fmt="o",
            color=_CUT,
            label=f"log$_{{10}}$($E_H/E_{{EM}}$) > {CUT[0]:g}, no track within {CUT[1]:g}",
        )
    axes.set(xlabel="Efficiency of signal", ylabel="Efficiency of QCD", yscale="log")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.3 / len(network.network.background), 20.0)
    jets = f"{len(network.network.signal)} signal and {len(network.network.background)} QCD jets"
    title = f"{jets}, intervals of {100.0 * CONFIDENCE:.1f} %"
    axes.legend(loc="upper left", title=title, alignment="left")


def _band(
    efficiency: NDArray[np.float64], total: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    intervals = [binomial(round(value * total), total) for value in efficiency]
    return (
        np.array([interval.low for interval in intervals]),
        np.array([interval.high for interval in intervals]),
    )


def _scores(axes: Any, network: Network) -> None:
    import hist
    import mplhep

    everything = np.concatenate(
        [
            values
            for discriminant in (network.network, network.trained)
            for values in (discriminant.signal, discriminant.background)
        ]
    )
    low, high = np.floor(everything.min()), np.ceil(everything.max())
    binning = hist.axis.Regular(_SCORE_BINS, low, high, overflow=False, underflow=False)
    for kind, colour, what in (("signal", _NETWORK, "signal"), ("background", _QCD, "QCD")):
        for discriminant, style in ((network.trained, "fill"), (network.network, "errorbar")):
            values = getattr(discriminant, kind)
            filled = hist.Hist(binning, storage=hist.storage.Weight())
            # All stand in the picture; the last bin has no upper edge of its own.
            filled.fill(np.clip(values, low, np.nextafter(high, low)), weight=1.0 / len(values))
            use = "training" if style == "fill" else "test"
            mplhep.histplot(
                filled,
                ax=axes,
                histtype=style,
                color=colour,
                alpha=0.35 if style == "fill" else 1.0,
                yerr=style == "errorbar",
                binwnorm=1.0,
                label=f"{what}, {use} ({len(values)})",
            )
    axes.set(xlabel="Network output, log-odds of signal", yscale="log")
    axes.set_ylabel("Share of jets / unit of log-odds")
    axes.set_xlim(low, high)
    axes.set_ylim(0.3 / len(network.trained.background), 20.0)
    axes.legend(loc="upper center", ncols=2, title="No entries are outside")


def _importance(axes: Any, network: Network) -> None:
    entries = network.importance[::-1]
    names = [entry.feature for entry in entries]
    axes.barh(
        names,
        [entry.loss for entry in entries],
        xerr=[entry.error for entry in entries],
        color=_NETWORK,
        error_kw={"linewidth": 1.0},
    )
    axes.tick_params(axis="y", labelsize=11, length=0)
    axes.set_ylim(-0.7, len(entries) - 0.3)
    axes.set_xlabel("Loss of AUC if shuffled", color=_NETWORK)
    # The same features by themselves, on an axis of their own above.
    above = axes.twiny()
    above.plot([entry.alone for entry in entries], names, "D", color=_QCD, markersize=5)
    above.set_xlim(0.5, 1.0)
    above.set_xlabel("AUC alone", color=_QCD)
    for some in (axes, above):
        some.minorticks_off()
    axes.tick_params(axis="x", top=False)
    above.tick_params(axis="x", bottom=False)
