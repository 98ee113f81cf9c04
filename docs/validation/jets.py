"""Jets of QCD events: response and resolution after calibration, and jets of nothing but noise.

    python docs/validation/jets.py RUN... [--noise-events 500] [--pdf]

RUN: directories of campaigns, or AODs. Events are weighted with the cross-section of their slice of
pT-hat over its sum of weights; beside it, each jet counts once, as in the derivation of the
constants. Used are true jets that no other above 7 GeV is nearer to than 1.0, with their jet, that
no other jet is nearer to than 0.6, as there. The response is the mean of pT over true pT; the
resolution is the width of its Gaussian core (2.5 standard deviations, iterated) over the core's
mean. Bins with fewer than 100 effective entries (sum of weights squared over sum of squares) are
shown and do not count.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from estimates import resampled
from numpy.typing import NDArray
from samples import Sample, read
from study import Cell, Column, Study, axes, parser, plain_log, with_error, within

from hvmpi.openchain import calibration, clusters, jets, readout
from hvmpi.openchain.eventdata import Table
from hvmpi.report.estimates import core, effective, interval, mean
from hvmpi.report.variables import matched_jets

PT_EDGES_GEV = (25.0, 30.0, 40.0, 60.0, 90.0, 110.0, 160.0, 250.0, 350.0, 500.0)
ABS_ETA_EDGES = (0.0, 0.8, 1.2, 1.8, 2.5)
AT_100_GEV = (90.0, 110.0)
MIN_EFFECTIVE = 100.0
NOISE_PT_GEV = 20.0

Floats = NDArray[np.float64]
Range = tuple[float, float]
Bin = tuple[Range, Range]


@dataclass(frozen=True, slots=True)
class Pairs:
    """True jets with their jet.

    Attributes
    ----------
    pt, abs_eta : ndarray, shape (n,)
        Of the true jet; GeV.
    response : ndarray, shape (n,)
        pT over true pT.
    weight : ndarray, shape (n,)
        pb.
    run_number : ndarray of int64, shape (n,)
    isolated : ndarray of bool, shape (n,)
        Whether both are.
    """

    pt: Floats
    abs_eta: Floats
    response: Floats
    weight: Floats
    run_number: NDArray[np.int64]
    isolated: NDArray[np.bool_]

    def __getitem__(self, rows: NDArray[Any]) -> Pairs:
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def between(self, pt: tuple[float, float], abs_eta: tuple[float, float]) -> Pairs:
        """Return those in a bin."""
        inside = (self.pt >= pt[0]) & (self.pt < pt[1])
        return self[inside & (self.abs_eta >= abs_eta[0]) & (self.abs_eta < abs_eta[1])]


def pairs_of(samples: tuple[Sample, ...]) -> Pairs:
    """Return the pairs of all samples."""
    columns: list[list[Floats]] = []
    for sample in samples:
        for weight, tables in sample.blocks("jets", "truth_jets"):
            matched = matched_jets(tables["jets"], tables["truth_jets"])
            columns.append(
                [
                    *(matched[name] for name in ("pt", "abs_eta", "response")),
                    weight[matched["event"]] * sample.scale,
                    np.full(len(matched["pt"]), sample.run_number),
                    matched["isolated"],
                ]
            )
    return Pairs(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))


# --- response and resolution -----------------------------------------------------------------


def response(study: Study, found: Pairs) -> None:
    """Compare the mean response with 1, in bins of pT and abs(eta)."""
    bins = list(
        itertools.product(itertools.pairwise(ABS_ETA_EDGES), itertools.pairwise(PT_EDGES_GEV))
    )
    means: dict[str, list[tuple[Bin, Cell]]] = {"by cross-section": [], "each jet once": []}
    rows: list[list[Cell]] = []
    for abs_eta, pt in bins:
        inside = found.between(pt, abs_eta)
        row: list[Cell] = [_range(pt), _range(abs_eta), len(inside.pt)]
        for how, weight in zip(means, (inside.weight, np.ones(len(inside.pt))), strict=True):
            entries = effective(weight)
            cell = with_error(*mean(inside.response, weight)) if entries > 1.0 else None
            counts = entries >= MIN_EFFECTIVE
            row += [entries, cell, abs(cell["value"] - 1.0) <= 0.02 if counts else None]
            if counts:
                means[how].append(((abs_eta, pt), cell))
        # How many there are is known already.
        rows.append([*row[:6], *row[7:]])
    study.table(
        "response",
        [
            Column("true pT (GeV)"),
            Column("abs(eta)"),
            Column("jets", "d"),
            Column("effective", ".0f"),
            Column("mean, by cross-section", ".3f"),
            Column("within 2 %"),
            Column("mean, each jet once", ".3f"),
            Column("within 2 %"),
        ],
        rows,
    )
    for how, counted in means.items():
        off = [abs(cell["value"] - 1.0) - 0.02 for _, cell in counted]
        pulls = [far / cell["error"] for far, (_, cell) in zip(off, counted, strict=True)]
        all_within = None if len(counted) < len(bins) else True
        study.goal(
            f"QCD jets, {how}: mean response, the worst of {len(counted)} bins of at least"
            f" {MIN_EFFECTIVE:g} entries, of {len(bins)} ({sum(one <= 0.0 for one in off)} are"
            f" within, {sum(one > 2.0 for one in pulls)} off by more than 2 errors)",
            "1 within 2 %, pT 25-500 GeV, abs(eta) < 2.5",
            counted[int(np.argmax(off))][1] if off else None,
            False if off and max(off) > 0.0 else all_within,
            ".3f",
        )
    draw_response(study, means["each jet once"])


def draw_response(study: Study, counted: list[tuple[Bin, Cell]]) -> None:
    """Draw the mean response against pT, each jet counted once."""
    figure, panel = axes(r"true $p_T$ (GeV)", r"mean of $p_T$ / true $p_T$")
    panel.axhspan(0.98, 1.02, color="black", alpha=0.12, linewidth=0.0, label="within 2 %")
    panel.axhline(1.0, color="black", linewidth=1.0, linestyle=":")
    for number, abs_eta in enumerate(itertools.pairwise(ABS_ETA_EDGES)):
        own = [(pt, cell) for (of, pt), cell in counted if of == abs_eta]
        panel.errorbar(
            [math.sqrt(pt[0] * pt[1]) * 1.02 ** (number - 1.5) for pt, _ in own],
            [cell["value"] for _, cell in own],
            [cell["error"] for _, cell in own],
            marker="osv^"[number],
            linestyle="none",
            label=rf"$|\eta|$ {_range(abs_eta)}",
        )
    plain_log(panel.xaxis, (25.0, 50.0, 100.0, 200.0, 500.0))
    panel.set_xlim(PT_EDGES_GEV[0], PT_EDGES_GEV[-1])
    panel.set_ylim(0.9, 1.1)
    panel.legend(ncols=2)
    study.picture("response", figure)


def _range(edges: tuple[float, float]) -> str:
    return f"{edges[0]:g}-{edges[1]:g}"


def slices(study: Study, found: Pairs) -> None:
    """Give the mean response of each slice by itself, without weights of slices."""
    rows: list[list[Cell]] = []
    for run_number in np.unique(found.run_number):
        own = found[found.run_number == run_number]
        for pt in itertools.pairwise(PT_EDGES_GEV):
            inside = own.between(pt, (0.0, ABS_ETA_EDGES[-1]))
            if effective(inside.weight) >= MIN_EFFECTIVE:
                cell = with_error(*mean(inside.response, inside.weight))
                rows.append([int(run_number), _range(pt), len(inside.pt), cell])
    columns = [Column("run", "d"), Column("true pT (GeV)"), Column("jets", "d")]
    study.table("slices", [*columns, Column("mean response", ".3f")], rows)


def resolution(study: Study, found: Pairs, random: np.random.Generator) -> None:
    """Compare the resolution at 100 GeV with the goal, and draw it against pT."""
    ways = {
        "by cross-section": (found[found.isolated], True),
        "each jet once": (found[found.isolated], False),
        "each jet once, all that have a true jet": (found, False),
    }
    rows: list[list[Cell]] = []
    points: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for pt in itertools.pairwise(PT_EDGES_GEV):
        for name, (pairs, weighted) in ways.items():
            inside = pairs.between(pt, (0.0, ABS_ETA_EDGES[-1]))
            weight = inside.weight if weighted else np.ones(len(inside.pt))
            if effective(weight) < MIN_EFFECTIVE:
                continue
            middle, cell = _core(inside.response, weight, random)
            average = mean(inside.response, weight)
            spread = (inside.response - average[0]) ** 2
            rms = 100.0 * float(np.sqrt(np.average(spread, weights=weight))) / average[0]
            entries = effective(weight)
            size = len(inside.pt)
            rows.append([_range(pt), name, size, entries, with_error(*average), middle, cell, rms])
            points[name].append((math.sqrt(pt[0] * pt[1]), cell["value"], cell["error"]))
            if pt == AT_100_GEV and not weighted:
                with_tails = with_error(rms, rms / math.sqrt(2.0 * entries))
                for what, value in (("core", cell), ("standard deviation", with_tails)):
                    study.goal(
                        f"QCD jets, {name}: resolution at {_range(pt)} GeV, abs(eta) < 2.5,"
                        f" {what} (%)",
                        "8-12 % at 100 GeV",
                        value,
                        8.0 <= value["value"] <= 12.0,
                        ".1f",
                    )
    study.table(
        "resolution",
        [
            Column("true pT (GeV)"),
            Column("counted"),
            Column("jets", "d"),
            Column("effective", ".0f"),
            Column("mean response", ".3f"),
            Column("mean of the core", ".3f"),
            Column("resolution (%)", ".1f"),
            Column("standard deviation (%)", ".1f"),
        ],
        rows,
    )
    draw_resolution(study, points)


def _core(
    values: Floats, weights: Floats, random: np.random.Generator
) -> tuple[float, dict[str, float]]:
    """Return the mean of the core, and the resolution in percent with its error."""
    means, widths = core(*resampled(values, random, weights))
    middle, width = core(values, weights)
    error = 100.0 * float(np.std(widths / means))
    return float(middle), {"value": 100.0 * float(width / middle), "error": error}


def draw_resolution(study: Study, points: dict[str, list[tuple[float, float, float]]]) -> None:
    """Draw the resolution against pT."""
    figure, panel = axes(r"true $p_T$ (GeV)", r"resolution of $p_T$ (%)")
    for number, (name, own) in enumerate(points.items()):
        if own:
            pt, value, error = np.array(own).T
            panel.errorbar(
                pt * 1.02 ** (number - 1.0),
                value,
                error,
                marker="osv"[number],
                linestyle="none",
                label=name,
            )
    panel.fill_between(AT_100_GEV, 8.0, 12.0, color="C4", alpha=0.4, linewidth=0.0, label="asked")
    plain_log(panel.xaxis, (25.0, 50.0, 100.0, 200.0, 500.0))
    panel.set_xlim(PT_EDGES_GEV[0], PT_EDGES_GEV[-1])
    panel.set_ylim(bottom=0.0)
    panel.legend(title=r"QCD jets, $|\eta|$ < 2.5")
    study.picture("resolution", figure)


# --- noise -----------------------------------------------------------------------------------


def noise(study: Study, events: int, random: np.random.Generator) -> None:
    """Count the jets of events without a particle."""
    nothing: Table = {
        "cell": np.zeros(0, np.int32),
        **{name: np.zeros(0, np.float32) for name in ("e_em", "e_had", "t")},
    }
    no_truth: Table = {name: np.zeros(0) for name in ("eta", "phi", "pt")}
    pt, number = [], []
    for _ in range(events):
        read_out = readout.digitize(nothing, random)
        energy, time = readout.energies(read_out)
        cell = read_out["cell"].astype(np.int64)
        found = clusters.find_clusters(cell, energy, time, readout.noise(cell, 0.0))
        made, _ = jets.reconstruct_jets(
            found, cell, energy, no_truth, calibration.jet_calibration()
        )
        pt.append(made["pt"])
        number.append(len(found))
    hard = int((np.concatenate(pt) > NOISE_PT_GEV).sum())
    rate = hard / events
    low, high = interval(min(hard, events), events)
    highest = float(np.concatenate([*pt, [0.0]]).max())
    study.table(
        "noise",
        [
            Column("events", "d"),
            Column("clusters an event", ".1f"),
            Column("jets above 20 GeV", "d"),
            Column("highest jet (GeV)", ".1f"),
        ],
        [[events, float(np.mean(number)), hard, highest]],
    )
    study.goal(
        "noise alone: jets above 20 GeV an event",
        "fewer than 0.1",
        within(rate, (low, high)),
        rate < 0.1,
        ".4f",
    )


def main(argv: Sequence[str]) -> None:
    """Measure, compare, draw."""
    options = parser(__doc__)
    options.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    options.add_argument("--noise-events", type=int, default=500)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args(argv)
    random = np.random.Generator(np.random.Philox(given.seed))
    study = Study("jets", given.output, given.pdf)
    inputs = read(given.runs)
    samples = tuple(sample for sample in inputs.of("qcd") if sample.mu == 0.0)
    study.made |= inputs.made
    found = pairs_of(samples)
    isolated = found[found.isolated]
    response(study, isolated)
    slices(study, isolated)
    resolution(study, found, random)
    noise(study, given.noise_events, random)
    study.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
