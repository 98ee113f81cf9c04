"""CalRatio jets: how often a decay makes one, against where it is, and how often a QCD jet is one.

    python docs/validation/calratio.py RUN... [--pdf]

RUN: directories of campaigns, or AODs, with and without pile-up. Signal: Phi (600 GeV) -> s s, s of
150 GeV with pT > 60 GeV and abs(eta) < 1.2, of any lifetime. A decay makes a CalRatio jet if a jet
within dR 0.4 of the direction from the origin to the decay has ET > 60 GeV, log10(E_H/E_EM) > 1.2,
each at least 0.1 GeV, and no track with pT > 2 GeV within dR 0.2 of its axis. QCD: the same cuts on
all jets with pT > 60 GeV. Intervals: Clopper and Pearson, 68 %; of weighted shares with effective
numbers (sum of weights squared over sum of squares).
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from estimates import share, step
from numpy.typing import NDArray
from samples import Sample, read
from study import Cell, Column, Study, axes, parser, with_error, within

from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.layers import EM_LAYERS, HADRONIC_LAYERS
from hvmpi.openchain.processes import S
from hvmpi.report.estimates import effective
from hvmpi.training.variables import ENERGY_FLOOR_GEV, delta_r, nearest, pairs

M_PHI_GEV, M_S_GEV = 600.0, 150.0
MIN_PT_GEV, MAX_ABS_ETA = 60.0, 1.2
RADIUS, MIN_ET_GEV, MIN_LOG_RATIO, TRACK_PT_GEV, TRACK_RADIUS = 0.4, 60.0, 1.2, 2.0, 0.2
CUTS = ("ET > 60 GeV", "log10(E_H/E_EM) > 1.2", "no track within 0.2")
WIDER_ABS_ETA = 2.5

LENGTH_M, BIN_M, MIN_ENTRIES = 5.0, 0.05, 200
PLATEAU_M, BEFORE_M, OUTER_M = (2.2, 3.3), 1.7, 3.82
"""Where the plateau is; where no decay shall count; the Tile's outer radius (TileDetDescr)."""
RISE_FIT_M, FALL_FIT_M = (1.3, 2.6), (3.0, 4.4)
MIN_QCD_JETS, MAX_SHARE = 10_000, 0.001

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decays:
    """Decays of the s: distance from the beam line in m, and which cuts the jets near them pass.

    Attributes
    ----------
    lxy : ndarray, shape (n,)
    cuts : ndarray of bool, shape (n, 3)
        Whether a jet near it passes each of `CUTS`.
    passed : ndarray of bool, shape (n,)
        Whether one passes all.
    """

    lxy: Floats
    cuts: Flags
    passed: Flags

    def between(self, low: float, high: float) -> Flags:
        """Return what passes of those in a range."""
        return self.passed[(self.lxy >= low) & (self.lxy < high)]


@dataclass(frozen=True, slots=True)
class QcdJets:
    """QCD jets with pT > 60 GeV and abs(eta) < 2.5."""

    abs_eta: Floats
    log_ratio: Floats
    passed: Flags
    weight: Floats
    run_number: NDArray[np.int64]

    def __getitem__(self, rows: Any) -> QcdJets:
        columns = (self.abs_eta, self.log_ratio, self.passed, self.weight, self.run_number)
        return QcdJets(*(values[rows] for values in columns))


# --- jets and decays -------------------------------------------------------------------------


def log_ratio(jets: Table) -> Floats:
    """Return log10(E_H/E_EM) of jets, each energy at least 0.1 GeV."""
    hadronic, em = (
        np.sum([jets[f"e_{layer}"] for layer in layers], axis=0, dtype=np.float64)
        for layers in (HADRONIC_LAYERS, EM_LAYERS)
    )
    return np.log10(np.maximum(hadronic, ENERGY_FLOOR_GEV) / np.maximum(em, ENERGY_FLOOR_GEV))


def cuts_of(jets: Table, tracks: Table) -> Flags:
    """Return which of `CUTS` jets pass, shape (n, 3)."""
    momentum = jets["pt"].astype(np.float64) * np.cosh(jets["eta"])
    transverse = np.hypot(momentum, jets["mass"]) / np.cosh(jets["eta"])
    to_track = nearest(jets, tracks, tracks["pt"] > TRACK_PT_GEV)
    passed = (transverse > MIN_ET_GEV, log_ratio(jets) > MIN_LOG_RATIO, to_track >= TRACK_RADIUS)
    return np.stack(passed, axis=1)


def decays_of(samples: tuple[Sample, ...]) -> Decays:
    """Return the decays of signal samples."""
    lxy, cuts, passed = [], [], []
    for sample in samples:
        for _, tables in sample.blocks("truth", "jets", "tracks"):
            truth, jets = tables["truth"], tables["jets"]
            pt = np.hypot(truth["px"], truth["py"])
            chosen = (np.abs(truth["pdg_id"]) == S) & np.isfinite(truth["decay_x"])
            chosen &= (pt > MIN_PT_GEV) & (np.abs(truth["pz"]) < pt * math.sinh(MAX_ABS_ETA))
            x, y, z = (truth[f"decay_{axis}"][chosen].astype(np.float64) for axis in "xyz")
            length = np.hypot(x, y)
            row, jet = pairs(truth["event"][chosen], jets["event"])
            eta, phi = np.arcsinh(z / length), np.arctan2(y, x)
            near = delta_r(eta[row], phi[row], jets["eta"][jet], jets["phi"][jet]) < RADIUS
            row, jet = row[near], jet[near]
            of_jet = cuts_of(jets, tables["tracks"])
            of_decay = np.zeros((len(length), len(CUTS)), dtype=np.bool_)
            np.logical_or.at(of_decay, row, of_jet[jet])
            all_of_decay = np.zeros(len(length), dtype=np.bool_)
            all_of_decay[row[of_jet[jet].all(axis=1)]] = True
            lxy.append(length / 1000.0)
            cuts.append(of_decay)
            passed.append(all_of_decay)
    return Decays(np.concatenate(lxy), np.concatenate(cuts), np.concatenate(passed))


def qcd_jets_of(samples: tuple[Sample, ...]) -> QcdJets:
    """Return the jets of QCD samples."""
    columns: list[list[Any]] = []
    for sample in samples:
        for weight, tables in sample.blocks("jets", "tracks"):
            jets = tables["jets"]
            chosen = (jets["pt"] > MIN_PT_GEV) & (np.abs(jets["eta"]) < WIDER_ABS_ETA)
            own = {name: values[chosen] for name, values in jets.items()}
            columns.append(
                [
                    np.abs(own["eta"]),
                    log_ratio(own),
                    cuts_of(own, tables["tracks"]).all(axis=1),
                    weight[own["event"]] * sample.scale,
                    np.full(len(own["pt"]), sample.run_number),
                ]
            )
    return QcdJets(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))


# --- efficiency ------------------------------------------------------------------------------


def bins_of(lxy: Floats) -> list[tuple[float, float]]:
    """Return bins from 0 on, each as narrow as leaves it 200 entries; the rest joins the last."""
    fine = np.arange(0.0, LENGTH_M + BIN_M / 2.0, BIN_M)
    counts = np.histogram(lxy, fine)[0]
    edges, entries = [0.0], 0
    for count, edge in zip(counts.tolist(), fine[1:].tolist(), strict=True):
        entries += count
        if entries >= MIN_ENTRIES:
            edges.append(edge)
            entries = 0
    if entries:
        edges[-1] = LENGTH_M
    return list(itertools.pairwise(edges))


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The efficiency at one pile-up: bins, shares with intervals, and the fits of its edges."""

    decays: Decays
    bins: list[tuple[float, float]]
    shares: list[tuple[float, tuple[float, float]]]
    plateau: tuple[float, tuple[float, float]]
    rise: dict[str, float]
    fall: dict[str, float]


def efficiency_of(decays: Decays) -> Efficiency:
    """Bin and fit."""
    bins = bins_of(decays.lxy)
    plateau = share(decays.between(*PLATEAU_M))

    def edge(within_m: tuple[float, float], start: tuple[float, float]) -> dict[str, float]:
        inside = (decays.lxy >= within_m[0]) & (decays.lxy < within_m[1])
        return step(decays.lxy[inside], decays.passed[inside], plateau[0], start)

    return Efficiency(
        decays,
        bins,
        [share(decays.between(*one)) for one in bins],
        plateau,
        edge(RISE_FIT_M, (1.95, 0.1)),
        edge(FALL_FIT_M, (3.6, -0.1)),
    )


def crossings(found: Efficiency) -> list[float | None]:
    """Return where lines through the bins first go above and then below half the plateau."""
    middle = np.array([sum(one) / 2.0 for one in found.bins])
    height = np.array([one[0] for one in found.shares]) - 0.5 * found.plateau[0]
    made: list[float | None] = []
    for sign, beyond in ((1.0, 0.0), (-1.0, PLATEAU_M[1])):
        turns = np.flatnonzero(
            (sign * height[:-1] < 0.0) & (sign * height[1:] >= 0.0) & (middle[1:] > beyond)
        )
        if len(turns) == 0:
            made.append(None)
            continue
        row = int(turns[0])
        part = height[row] / (height[row] - height[row + 1])
        made.append(float(middle[row] + part * (middle[row + 1] - middle[row])))
    return made


def signal(study: Study, found: dict[float, Efficiency]) -> None:
    """Compare the efficiency with the goals."""
    ranges = (
        (f"L_xy < {BEFORE_M:g} m", (0.0, BEFORE_M), "below 0.02", lambda value: value < 0.02),
        (
            f"mean over {PLATEAU_M[0]:g}-{PLATEAU_M[1]:g} m",
            PLATEAU_M,
            "at least 0.85",
            lambda value: value >= 0.85,
        ),
        (
            f"beyond the Tile's active outer radius, {OUTER_M:g} m",
            (OUTER_M, math.inf),
            "below 0.1",
            lambda value: value < 0.1,
        ),
    )
    for mu, one in found.items():
        where = "" if mu == 0.0 else f", mu = {mu:g}"
        for what, (low, high), asked, holds in ranges:
            inside = one.decays.between(low, high)
            value, interval = share(inside)
            study.goal(
                f"CalRatio{where}: {what} ({len(inside)} decays)",
                asked,
                within(value, interval),
                bool(holds(value)) if len(inside) >= MIN_ENTRIES else None,
                ".4f",
            )
        inside_m = OUTER_M - one.fall["half"]
        for what, value, error, (low, high), fitted_m in (
            (
                "half of the plateau (m)",
                one.rise["half"],
                one.rise["half_error"],
                (1.85, 2.05),
                RISE_FIT_M,
            ),
            (
                "half again, inside the Tile's active outer radius (m)",
                inside_m,
                one.fall["half_error"],
                (0.05, 0.3),
                FALL_FIT_M,
            ),
        ):
            enough = len(one.decays.between(*fitted_m)) >= MIN_ENTRIES
            study.goal(
                f"CalRatio{where}: {what}",
                f"{low:g}-{high:g} m",
                with_error(value, error),
                low <= value <= high if enough else None,
                ".3f",
            )
    _signal_tables(study, found)


def _signal_tables(study: Study, found: dict[float, Efficiency]) -> None:
    for mu, one in found.items():
        rows: list[list[Cell]] = []
        for (low, high), (value, interval) in zip(one.bins, one.shares, strict=True):
            inside = (one.decays.lxy >= low) & (one.decays.lxy < high)
            each = one.decays.cuts[inside].mean(axis=0).tolist()
            rows.append(
                [f"{low:.2f}-{high:.2f}", int(inside.sum()), within(value, interval), *each]
            )
        columns = [Column("L_xy (m)"), Column("decays", "d"), Column("all cuts", ".3f")]
        columns += [Column(cut, ".2f") for cut in CUTS]
        study.table(f"efficiency_mu{mu:g}", columns, rows)
    rows = []
    for mu, one in found.items():
        rise, fall = crossings(one)
        rows.append(
            [
                mu,
                within(*one.plateau),
                with_error(one.rise["half"], one.rise["half_error"]),
                rise,
                with_error(one.rise["width"], one.rise["width_error"]),
                with_error(one.fall["half"], one.fall["half_error"]),
                fall,
                with_error(one.fall["width"], one.fall["width_error"]),
            ]
        )
    study.table(
        "edges",
        [
            Column("mu", "g"),
            Column("plateau", ".3f"),
            Column("rises at, fitted (m)", ".3f"),
            Column("between bins (m)", ".2f"),
            Column("width (m)", ".3f"),
            Column("falls at, fitted (m)", ".3f"),
            Column("between bins (m)", ".2f"),
            Column("width (m)", ".3f"),
        ],
        rows,
    )


# --- QCD -------------------------------------------------------------------------------------


def background(study: Study, found: dict[float, QcdJets]) -> None:
    """Compare the share of QCD jets that pass with the goal."""
    rows: list[list[Cell]] = []
    for mu, jets in found.items():
        where = "" if mu == 0.0 else f", mu = {mu:g}"
        for abs_eta in (MAX_ABS_ETA, WIDER_ABS_ETA):
            central = jets[jets.abs_eta < abs_eta]
            for run_number in np.unique(central.run_number).tolist():
                own = central[central.run_number == run_number]
                rows.append(_row(mu, abs_eta, str(run_number), own, weighted=False))
            rows.append(_row(mu, abs_eta, "all, unweighted", central, weighted=False))
            rows.append(_row(mu, abs_eta, "all, weighted", central, weighted=True))
            for what, weights in (
                ("weighted", central.weight),
                ("unweighted", np.ones(len(central.passed))),
            ):
                value, interval = share(central.passed, weights)
                # Of fewer than a thousand one that passes would be too many already.
                enough = len(jets.passed) >= MIN_QCD_JETS and effective(weights) * MAX_SHARE >= 1.0
                study.goal(
                    f"CalRatio of QCD jets{where}: pT > 60 GeV, abs(eta) < {abs_eta:g}, {what}",
                    f"below {MAX_SHARE:g}",
                    within(value, interval),
                    value < MAX_SHARE if enough else None,
                    ".5f",
                )
        study.goal(
            f"QCD jets looked at{where}",
            "at least 10000",
            len(jets.passed),
            len(jets.passed) >= MIN_QCD_JETS,
        )
    study.table(
        "qcd",
        [
            Column("mu", "g"),
            Column("abs(eta) <", "g"),
            Column("run"),
            Column("jets", "d"),
            Column("effective", ".0f"),
            Column("pass", "d"),
            Column("share", ".5f"),
            Column("95 % upper end", ".5f"),
        ],
        rows,
    )


def _row(mu: float, abs_eta: float, name: str, jets: QcdJets, *, weighted: bool) -> list[Cell]:
    weights = jets.weight if weighted else None
    number = effective(jets.weight) if weighted else float(len(jets.passed))
    # A central interval of 90 % ends where 5 % lie above.
    upper = share(jets.passed, weights, level=0.90)[1][1]
    passed, total = int(jets.passed.sum()), len(jets.passed)
    return [mu, abs_eta, name, total, number, passed, within(*share(jets.passed, weights)), upper]


# --- pictures --------------------------------------------------------------------------------

PARTS_M = (("EM", 1.5, 1.97), ("Tile", 2.3, OUTER_M))


def draw_efficiency(study: Study, found: dict[float, Efficiency]) -> None:
    """Draw the efficiency against L_xy."""
    figure, panel = axes("$L_{xy}$ of the decay (m)", "share that makes a CalRatio jet")
    for name, low, high in PARTS_M:
        panel.axvspan(low, high, color="black", alpha=0.08, linewidth=0.0)
        panel.text((low + high) / 2.0, 1.03, name, ha="center", fontsize=13.0)
    for marker, (mu, one) in zip("osv^", found.items(), strict=False):
        low, high = np.array(one.bins).T
        value = np.array([point[0] for point in one.shares])
        interval = np.array([point[1] for point in one.shares])
        errors = np.maximum([value - interval[:, 0], interval[:, 1] - value], 0.0)
        panel.errorbar(
            (low + high) / 2.0,
            value,
            errors,
            (high - low) / 2.0,
            marker=marker,
            linestyle="none",
            label=f"mu = {mu:g}" if mu else "no pile-up",
        )
    panel.axhline(0.85, *_span(PLATEAU_M), color="C2", linestyle="--", label="asked: mean 0.85")
    panel.set_xlim(0.0, LENGTH_M)
    panel.set_ylim(0.0, 1.1)
    panel.legend(
        loc="center left",
        title=r"$\Phi$(600 GeV) $\to$ ss, s(150 GeV)",
        title_fontsize=12.0,
        fontsize=12.0,
    )
    study.picture("efficiency", figure)


def _span(edges: tuple[float, float]) -> tuple[float, float]:
    return edges[0] / LENGTH_M, edges[1] / LENGTH_M


def draw_cuts(study: Study, one: Efficiency) -> None:
    """Draw the share that passes each cut by itself."""
    figure, panel = axes("$L_{xy}$ of the decay (m)", "share with a jet that passes")
    edges = np.array([one.bins[0][0], *(high for _, high in one.bins)])
    rows = np.digitize(one.decays.lxy, edges) - 1
    for number, cut in enumerate(CUTS):
        inside = (rows >= 0) & (rows < len(one.bins))
        entries = np.bincount(rows[inside], minlength=len(one.bins))
        passed = np.bincount(rows[inside], one.decays.cuts[inside, number], minlength=len(one.bins))
        panel.stairs(passed / np.maximum(entries, 1), edges, label=cut, linewidth=2.0)
    panel.stairs([value for value, _ in one.shares], edges, color="black", label="all in one jet")
    panel.set_xlim(0.0, LENGTH_M)
    panel.set_ylim(0.0, 1.35)
    panel.legend(ncols=2)
    study.picture("cuts", figure)


def draw_ratio(study: Study, samples: tuple[Sample, ...], jets: QcdJets) -> None:
    """Draw log10(E_H/E_EM) of QCD jets and of jets of decays on the plateau."""
    import hist

    figure, panel = axes(r"$\log_{10}(E_H/E_{EM})$", "share of jets / 0.2")
    axis = hist.axis.Regular(35, -3.0, 4.0, name="ratio", underflow=True, overflow=True)
    made = {r"QCD, $p_T$ > 60 GeV, $|\eta|$ < 1.2": (jets.log_ratio, jets.weight)}
    values = _ratios_on_plateau(samples)
    made["next to decays at 2.2-3.3 m"] = (values, np.ones(len(values)))
    for name, (ratio, weight) in made.items():
        filled = hist.Hist(axis, storage=hist.storage.Weight())
        filled.fill(ratio, weight=weight / weight.sum())
        outside = 1.0 - filled.values().sum()
        panel.errorbar(
            axis.centers,
            filled.values(),
            np.sqrt(filled.variances()),
            axis.widths / 2.0,
            linestyle="none",
            marker="o",
            markersize=4.0,
            label=rf"{name} ({100.0 * outside:.1f} % outside)",
        )
    panel.axvline(MIN_LOG_RATIO, color="black", linestyle="--", linewidth=1.0)
    panel.set_ylim(0.0, 1.3 * panel.get_ylim()[1])
    panel.legend(loc="upper left")
    study.picture("log_ratio", figure)


def _ratios_on_plateau(samples: tuple[Sample, ...]) -> Floats:
    """Return log10(E_H/E_EM) of jets with pT > 60 GeV next to decays on the plateau."""
    ratios = []
    for sample in samples:
        for _, tables in sample.blocks("truth", "jets"):
            truth, jets = tables["truth"], tables["jets"]
            length = np.hypot(truth["decay_x"], truth["decay_y"]) / 1000.0
            chosen = (np.abs(truth["pdg_id"]) == S) & (length >= PLATEAU_M[0])
            chosen &= length < PLATEAU_M[1]
            row, jet = pairs(truth["event"][chosen], jets["event"])
            eta = np.arcsinh(truth["decay_z"][chosen] / (1000.0 * length[chosen]))
            phi = np.arctan2(truth["decay_y"][chosen], truth["decay_x"][chosen])
            near = delta_r(eta[row], phi[row], jets["eta"][jet], jets["phi"][jet]) < RADIUS
            near &= (jets["pt"][jet] > MIN_PT_GEV) & (np.abs(jets["eta"][jet]) < MAX_ABS_ETA)
            ratios.append(log_ratio(jets)[jet[near]])
    return np.concatenate(ratios)


# ---------------------------------------------------------------------------------------------


def is_signal(sample: Sample) -> bool:
    """Tell whether a sample is of the point of the goals."""
    return sample.m_phi == M_PHI_GEV and sample.m_s == M_S_GEV


def main(argv: Sequence[str]) -> None:
    """Measure, compare, draw."""
    options = parser(__doc__)
    options.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    given = options.parse_args(argv)
    study = Study("calratio", given.output, given.pdf)
    inputs = read(given.runs)
    study.made |= inputs.made
    efficiencies, jets, plain = {}, {}, ()
    for mu in inputs.pile_ups():
        own = tuple(sample for sample in inputs.samples if sample.mu == mu)
        points = tuple(sample for sample in own if is_signal(sample))
        slices = tuple(sample for sample in own if sample.process == "qcd")
        if points:
            efficiencies[mu] = efficiency_of(decays_of(points))
            plain = plain or points
        if slices:
            jets[mu] = qcd_jets_of(slices)
    if efficiencies:
        signal(study, efficiencies)
        draw_efficiency(study, efficiencies)
        draw_cuts(study, next(iter(efficiencies.values())))
    if jets:
        background(study, jets)
    if efficiencies and jets:
        of_first = next(iter(jets.values()))
        draw_ratio(study, plain, of_first[of_first.abs_eta < MAX_ABS_ETA])
    study.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
