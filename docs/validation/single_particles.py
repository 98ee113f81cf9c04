"""Single particles in the calorimeters: response, resolution, e/pi, depth of showers.

    python docs/validation/single_particles.py [--particles 600] [--pdf]

Particles fly from the origin at abs(eta) = 0.3, 1.6 and 2.8, several in an event and far from each
other. The energy of electrons and photons is the sum over all cells that no other particle is
nearer to, before pulse and noise (beam tests give their resolution without noise, too), with the
fluctuations of sampling and the non-uniformity of the calibration. That of pions is the sum over
the cells within dR 0.3 as they are read out, none suppressed: pulse, noise, ADC, filter. That
window has about the noise that the goal has, 1.6 GeV at the scale of pions. Particles are where
they would be 0.8 m behind the solenoid's bore. Mean and width are those of a Gaussian core (2.5
standard deviations, iterated).
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
from estimates import resampled
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import gammainc
from study import Cell, Column, Study, axes, parser, plain_log, with_error

from hvmpi.openchain import calorimeter, readout
from hvmpi.openchain.angles import distances, wrapped
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.flight import Segments, cut, fly
from hvmpi.openchain.layers import cells
from hvmpi.openchain.recipe import settings_hash
from hvmpi.openchain.schemas import HITS, LAYERS, RDO
from hvmpi.openchain.truth import charge
from hvmpi.report.estimates import core

ENERGIES_GEV = (5.0, 20.0, 50.0, 200.0)
ETAS = (0.3, 1.6, 2.8)
BEHIND_BORE_MM = 800.0
WIDE_RADIUS = 0.4
"""Of jets, and of the window that pions are compared in as well."""
CRITICAL_GEV = 0.009
"""Of lead and liquid argon, as in the simulation."""
DEPTH_LAYERS = ("presampler", "em1", "em2", "em3")


@dataclass(frozen=True, slots=True)
class Kind:
    """Particles of one kind: PDG numbers in turns, mass, and how many in an event."""

    name: str
    pdg_ids: tuple[int, ...]
    mass_gev: float
    in_event: int

    def radius(self, eta: float) -> float:
        """Return the radius of the window; for electrons, cells beyond abs(eta) 2.5 are wider."""
        if self is PION:
            return 0.3
        return 0.15 if abs(eta) < 2.5 else 0.3


ELECTRON = Kind("electron", (11, -11), 0.000511, 8)
PHOTON = Kind("photon", (22,), 0.0, 8)
# Half as many: their showers reach further.
PION = Kind("pion", (211, -211), 0.13957, 4)
KINDS = (ELECTRON, PHOTON, PION)


@dataclass(frozen=True, slots=True)
class Point:
    """What particles of one kind, energy and eta left.

    Attributes
    ----------
    kind : Kind
    energy, eta : float
    whole : ndarray, shape (n,)
        Energy of each particle in all cells, before pulse and noise, GeV.
    noiseless, noisy : ndarray, shape (n,)
        The same in its window; as it is read out there.
    wide : ndarray, shape (n,)
        As it is read out within `WIDE_RADIUS`.
    by_layer : ndarray, shape (n_events, n_layers)
        Deposited energy over that of the event's particles.
    way : Segments
        Of one of the particles.
    """

    kind: Kind
    energy: float
    eta: float
    whole: NDArray[np.float64]
    noiseless: NDArray[np.float64]
    noisy: NDArray[np.float64]
    wide: NDArray[np.float64]
    by_layer: NDArray[np.float64]
    way: Segments

    @property
    def measured(self) -> NDArray[np.float64]:
        """What is compared with the goals."""
        return self.noisy if self.kind is PION else self.whole

    @property
    def readout(self) -> Cell:
        """Mean of what the readout gives over that of what came in."""
        change, left = self.noisy - self.noiseless, float(self.noiseless.mean())
        error = float(change.std()) / math.sqrt(len(change))
        return with_error(1.0 + float(change.mean()) / left, error / left)


# --- making them -----------------------------------------------------------------------------


def particles(kind: Kind, energy: float, eta: float, random: np.random.Generator) -> Table:
    """Return the particles of one event, on both sides of the detector in turns."""
    number = np.arange(kind.in_event)
    phi = wrapped(random.uniform(-math.pi, math.pi) + 2.0 * math.pi * number / kind.in_event)
    momentum = math.sqrt(energy**2 - kind.mass_gev**2)
    pdg_id = np.resize(kind.pdg_ids, 2 * kind.in_event)[number // 2]
    return {
        "pdg_id": pdg_id,
        "charge": np.array([charge(one) for one in pdg_id.tolist()]),
        "mass": np.full(kind.in_event, kind.mass_gev),
        "px": momentum / math.cosh(eta) * np.cos(phi),
        "py": momentum / math.cosh(eta) * np.sin(phi),
        "pz": momentum * math.tanh(eta) * np.where(number % 2, -1.0, 1.0),
        **{name: np.zeros(kind.in_event) for name in "xyzt"},
    }


def axis_of(made: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the particles are behind the bore, in eta and phi."""
    rays = fly(made)
    x, y, z = (rays.start + BEHIND_BORE_MM * rays.direction).T
    return np.arcsinh(z / np.hypot(x, y)), np.arctan2(y, x)


def by_particle(made: Table, cell: NDArray[Any], energy: NDArray[np.float64]) -> Any:
    """Return the energy of the cells that no other particle is nearer to."""
    table = cells()
    nearest = distances(table.eta[cell], table.phi[cell], *axis_of(made)).argmin(axis=1)
    return np.bincount(nearest, energy, minlength=len(made["px"]))


def in_windows(made: Table, energy: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return the energy within a radius of each particle."""
    table, sums = cells(), []
    for eta, phi in zip(*axis_of(made), strict=True):
        near = np.flatnonzero(np.abs(table.eta - eta) < radius)
        distance = np.hypot(table.eta[near] - eta, wrapped(table.phi[near] - phi))
        sums.append(energy[near[distance < radius]].sum())
    return np.array(sums)


def read_out(deposits: Table, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the energy that every cell measures."""
    with mock.patch.object(readout, "_read_out", lambda _, region: np.ones(len(region), bool)):
        energy, _ = readout.energies(readout.digitize(deposits, random))
    return energy


def measure(
    kind: Kind, energy: float, eta: float, number: int, random: np.random.Generator
) -> Point:
    """Send particles through simulation and readout."""
    whole, noiseless, noisy, wide, by_layer = [], [], [], [], []
    for _ in range(math.ceil(number / kind.in_event)):
        made = particles(kind, energy, eta, random)
        deposits, _ = calorimeter.simulate(made, random)
        state, cell = random.bit_generator.state, deposits["cell"]
        visible = np.zeros(len(cells()))
        visible[cell] = readout.visible(deposits, random)
        whole.append(by_particle(made, cell, visible[cell]))
        noiseless.append(in_windows(made, visible, kind.radius(eta)))
        # The same fluctuations of sampling once more.
        random.bit_generator.state = state
        seen = read_out(deposits, random)
        noisy.append(in_windows(made, seen, kind.radius(eta)))
        wide.append(in_windows(made, seen, WIDE_RADIUS))
        left = np.bincount(
            cells().layer[cell], deposits["e_em"] + deposits["e_had"], minlength=len(LAYERS)
        )
        by_layer.append(left / (energy * kind.in_event))
    one = {name: values[:1] for name, values in made.items()}
    return Point(
        kind,
        energy,
        eta,
        np.concatenate(whole),
        np.concatenate(noiseless),
        np.concatenate(noisy),
        np.concatenate(wide),
        np.array(by_layer),
        cut(fly(one)),
    )


# --- what they are ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """Response and relative resolution of a point, with their bootstrap samples."""

    response: float
    responses: NDArray[np.float64]
    resolution: float
    resolutions: NDArray[np.float64]

    @property
    def response_error(self) -> float:
        """Standard deviation of the bootstrap samples."""
        return float(np.std(self.responses))

    @property
    def resolution_error(self) -> float:
        """Standard deviation of the bootstrap samples."""
        return float(np.std(self.resolutions))


def result(point: Point, random: np.random.Generator) -> Result:
    """Return response and resolution."""
    samples, _ = resampled(point.measured, random)
    mean, width = core(np.concatenate([point.measured[None], samples]))
    resolution, response = width / mean, mean / point.energy
    return Result(float(response[0]), response[1:], float(resolution[0]), resolution[1:])


def wanted(kind: Kind, energy: Any) -> Any:
    """Return the resolution that is asked for."""
    if kind is PION:
        return np.sqrt(0.52**2 / energy + 0.03**2 + (1.6 / energy) ** 2)
    return np.sqrt(0.101**2 / energy + 0.007**2)


def wanted_depth(kind: Kind, energy: float) -> float:
    """Return the mean depth of a shower in radiation lengths: a / b, b = 0.5 (PDG)."""
    maximum = math.log(energy / CRITICAL_GEV) + (0.5 if kind is PHOTON else -0.5)
    return maximum + 1.0 / 0.5


def depth(point: Point, by_layer: NDArray[np.float64]) -> float:
    """Return the mean depth of the gamma distribution that the layers' energies follow best."""
    rows = [LAYERS.index(layer) for layer in DEPTH_LAYERS]
    ways = [np.flatnonzero(point.way.layer == row) for row in rows]
    begin, end = point.way.x0, point.way.x0 + point.way.d_x0
    mean = by_layer.mean(axis=0)[rows]
    error = np.maximum(by_layer.std(axis=0)[rows] / math.sqrt(len(by_layer)), 1e-4)

    def pull(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b = np.exp(parameters)
        shares = gammainc(a, b * end) - gammainc(a, b * begin)
        return (np.array([shares[way].sum() for way in ways]) - mean) / error

    first = [math.log(0.5 * wanted_depth(point.kind, point.energy)), math.log(0.5)]
    log_a, log_b = least_squares(pull, first).x
    return math.exp(log_a - log_b)


# --- tables and pictures ---------------------------------------------------------------------

Results = dict[tuple[str, float, float], Result]


def resolutions(study: Study, points: list[Point], results: Results) -> None:
    """Compare linearity and resolution with the goals."""
    rows, worst = [], {}
    for point in points:
        kind, energy, eta = point.kind, point.energy, point.eta
        found, asked = results[kind.name, eta, energy], float(wanted(kind, energy))
        ratio, (mean, width) = found.resolution / asked, core(point.noiseless)
        tolerance = 0.2 if kind is PION else 0.15
        of_goal = kind is not PION or eta == 0.3
        of_eta = [results[kind.name, eta, other] for other in ENERGIES_GEV]
        linearity = found.response / np.mean([one.response for one in of_eta]) - 1.0
        samples = found.responses / np.mean([one.responses for one in of_eta], axis=0)
        rows.append(
            [
                kind.name,
                energy,
                eta,
                with_error(found.response, found.response_error),
                with_error(100.0 * linearity, 100.0 * float(np.std(samples))),
                with_error(100.0 * found.resolution, 100.0 * found.resolution_error),
                100.0 * asked,
                with_error(ratio, found.resolution_error / asked),
                abs(ratio - 1.0) <= tolerance if of_goal else None,
                100.0 * float(width / mean),
                _wide_ratio(point) if kind is PION else None,
                point.readout,
            ]
        )
        if of_goal:
            name = "pion" if kind is PION else "EM"
            worst.setdefault(name, []).append((abs(ratio - 1.0), ratio, rows[-1][7]))
        if kind is not PION:
            worst.setdefault("linearity", []).append((abs(linearity), linearity, rows[-1][4]))
    study.table(
        "resolution",
        [
            Column("particle"),
            Column("E (GeV)", "g"),
            Column("abs(eta)", "g"),
            Column("response", ".3f"),
            Column("off the mean of its eta (%)", "+.1f"),
            Column("resolution (%)", ".2f"),
            Column("asked (%)", ".2f"),
            Column("ratio", ".2f"),
            Column("reached"),
            Column("in the window, no noise (%)", ".2f"),
            Column(f"ratio within dR {WIDE_RADIUS:g}", ".2f"),
            Column("read out / came in", ".3f"),
        ],
        rows,
    )
    off, _, cell = max(worst["linearity"], key=lambda row: row[0])
    study.goal(
        "EM linearity: response over its mean of four energies, the worst point (%)",
        "within 2 %",
        cell,
        off <= 0.02,
        "+.1f",
    )
    for name, asked, tolerance in (
        ("EM", "10.1 %/sqrt(E) + 0.7 % within 15 %", 0.15),
        ("pion", "52 %/sqrt(E) + 3 % + 1.6 GeV/E within 20 %, eta 0.3", 0.20),
    ):
        off, _, cell = max(worst[name], key=lambda row: row[0])
        study.goal(
            f"{name} resolution over what is asked, the worst point",
            asked,
            cell,
            off <= tolerance,
            ".2f",
        )


def _wide_ratio(point: Point) -> Cell:
    """Return the resolution within `WIDE_RADIUS` over what is asked."""
    # Random numbers of its own, so that the other columns do not depend on it.
    samples, _ = resampled(point.wide, np.random.Generator(np.random.Philox(2)))
    mean, width = core(np.concatenate([point.wide[None], samples]))
    ratio = width / mean / float(wanted(point.kind, point.energy))
    return with_error(ratio[0], float(np.std(ratio[1:])))


def e_over_pi(study: Study, results: Results) -> None:
    """Compare the response of electrons and pions."""
    rows, falls = [], []
    for eta in ETAS:
        ratios = []
        for energy in ENERGIES_GEV:
            electron, pion = (results[name, eta, energy] for name in ("electron", "pion"))
            samples = electron.responses / pion.responses
            ratios.append((electron.response / pion.response, float(np.std(samples))))
        falls.append(all(one[0] > other[0] for one, other in itertools.pairwise(ratios)))
        rows.append([eta, *(with_error(*ratio) for ratio in ratios), falls[-1]])
    columns = [Column("abs(eta)", "g")]
    columns += [Column(f"e/pi at {energy:g} GeV", ".3f") for energy in ENERGIES_GEV]
    study.table("e_over_pi", [*columns, Column("falls")], rows)
    cells_of = [cell for row in rows for cell in row[1:-1]]
    least = min(cells_of, key=lambda cell: cell["value"])
    study.goal("e/pi, the lowest", "above 1", least, least["value"] > 1.0, ".3f")
    study.goal(
        "e/pi falls with E at all three eta", "falls", "yes" if all(falls) else "no", all(falls)
    )
    figure, panel = axes("E (GeV)", r"e/$\pi$")
    for number, (eta, row) in enumerate(zip(ETAS, rows, strict=True)):
        panel.errorbar(
            beside(number, len(ETAS)),
            [cell["value"] for cell in row[1:-1]],
            [cell["error"] for cell in row[1:-1]],
            marker="osv"[number],
            linestyle="none",
            label=rf"$|\eta|$ = {eta:g}",
        )
    panel.axhline(1.0, color="black", linewidth=1.0, linestyle=":")
    plain_log(panel.xaxis, ENERGIES_GEV)
    panel.legend()
    study.picture("e_over_pi", figure)


def depths(study: Study, points: list[Point], random: np.random.Generator) -> None:
    """Compare the depth of electromagnetic showers with the formula."""
    rows = []
    for point in points:
        if point.kind is PION:
            continue
        found, asked = depth(point, point.by_layer), wanted_depth(point.kind, point.energy)
        size = len(point.by_layer)
        samples = [depth(point, point.by_layer[random.integers(0, size, size)]) for _ in range(30)]
        cell = with_error(found, float(np.std(samples)))
        rows.append([point.kind.name, point.energy, point.eta, cell, asked, found - asked])
    study.table(
        "depth",
        [
            Column("particle"),
            Column("E (GeV)", "g"),
            Column("abs(eta)", "g"),
            Column("mean depth (X0)", ".2f"),
            Column("formula (X0)", ".2f"),
            Column("difference (X0)", "+.2f"),
        ],
        rows,
    )
    worst = max(rows, key=lambda row: abs(row[5]))
    study.goal(
        "mean depth of EM showers less the formula, the worst point (X0)",
        "the formula (0.5 X0, ours)",
        worst[5],
        abs(worst[5]) <= 0.5,
        "+.2f",
    )
    figure, panel = axes("E (GeV)", "mean depth ($X_0$)")
    energies = np.geomspace(4.0, 250.0, 50)
    for colour, kind in zip(("C0", "C1"), (ELECTRON, PHOTON), strict=True):
        panel.plot(energies, [wanted_depth(kind, energy) for energy in energies], color=colour)
        for number, eta in enumerate(ETAS):
            own = [row[3] for row in rows if row[0] == kind.name and row[2] == eta]
            panel.errorbar(
                beside(number, len(ETAS)),
                [cell["value"] for cell in own],
                [cell["error"] for cell in own],
                color=colour,
                marker="osv"[number],
                linestyle="none",
                label=rf"{kind.name}, $|\eta|$ = {eta:g}",
            )
    plain_log(panel.xaxis, ENERGIES_GEV)
    panel.legend(title="lines: the formula")
    study.picture("depth", figure)


def beside(number: int, of: int) -> NDArray[np.float64]:
    """Return the energies, moved a little so that points do not hide each other."""
    return np.array(ENERGIES_GEV) * 1.05 ** (number - (of - 1) / 2.0)


def draw_resolutions(study: Study, results: Results) -> None:
    """Draw resolution and response against energy."""
    energies = np.geomspace(4.0, 250.0, 100)
    for name, kinds in (("em", (ELECTRON, PHOTON)), ("pion", (PION,))):
        figure, panels = axes(
            "E (GeV)",
            "",
            rows=2,
            sharex=True,
            gridspec_kw={"height_ratios": [2, 1]},
            figsize=(8.0, 8.0),
        )
        (above,), (below,) = panels
        tolerance = 0.2 if kinds[0] is PION else 0.15
        line = 100.0 * wanted(kinds[0], energies)
        above.plot(energies, line, color="black", label=f"asked, within {100 * tolerance:g} %")
        above.fill_between(
            energies,
            (1.0 - tolerance) * line,
            (1.0 + tolerance) * line,
            color="black",
            alpha=0.12,
            linewidth=0.0,
        )
        series = [(number, eta, kind) for number, eta in enumerate(ETAS) for kind in kinds]
        for place, (number, eta, kind) in enumerate(series):
            own = [results[kind.name, eta, energy] for energy in ENERGIES_GEV]
            style = {
                "color": f"C{number}",
                "marker": "osv"[number],
                "linestyle": "none",
                "markerfacecolor": "white" if kind is PHOTON else f"C{number}",
            }
            at = beside(place, len(series))
            value = np.array([one.resolution for one in own])
            error = np.array([one.resolution_error for one in own])
            label = rf"{kind.name}, $|\eta|$ = {eta:g}"
            above.errorbar(at, 100.0 * value, 100.0 * error, label=label, **style)
            value = np.array([one.response for one in own])
            below.errorbar(at, value, [one.response_error for one in own], **style)
        plain_log(above.yaxis, (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0))
        plain_log(below.xaxis, ENERGIES_GEV)
        above.set_ylabel("resolution (%)")
        below.set_ylabel("response")
        above.legend()
        study.picture(f"{name}_resolution", figure)


def main(argv: Sequence[str]) -> None:
    """Measure, compare, draw."""
    options = parser(__doc__)
    options.add_argument("--particles", type=int, default=600, help="of each kind at a point")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args(argv)
    random = np.random.Generator(np.random.Philox(given.seed))
    study = Study("single_particles", given.output, given.pdf)
    study.made |= {
        "particles_a_point": given.particles,
        "seed": given.seed,
        "settings_hash": {name: settings_hash(name)[:12] for name in (HITS.name, RDO.name)},
    }
    points = [
        measure(kind, energy, eta, given.particles, random)
        for kind in KINDS
        for eta in ETAS
        for energy in ENERGIES_GEV
    ]
    results = {
        (point.kind.name, point.eta, point.energy): result(point, random) for point in points
    }
    resolutions(study, points, results)
    e_over_pi(study, results)
    depths(study, points, random)
    draw_resolutions(study, results)
    study.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
