"""The calorimeters' simulation: showers along each particle's way, to energy and time in cells.

Every visible stable particle is taken as it was born, through the solenoid's field (`flight`) to
the calorimeters. Its energy is shared over the pieces of its way by the longitudinal profile of
its shower, begun where the particle enters material or is born in it; each share is spread
sideways over spots, and spots fall into cells. Matter of the tracker is not seen.

Sources: electromagnetic profiles, Particle Data Group, Passage of particles through matter; their
fluctuations and radial profile, Grindhammer and Peters, hep-ex/0001020. Hadronic profiles: Bock,
Hansl-Kozanecka and Shah, NIM 186 (1981) 533, with a fluctuating electromagnetic part of the mean
of Gabriel et al., NIM A 338 (1994) 336, instead of their fixed one. Ours: the lumpiness of
hadronic showers, and their radial profile, which has the form of the electromagnetic one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.field import C_MM_PER_NS
from hvmpi.openchain.flight import Rays, Segments, cut, fly, running_sums
from hvmpi.openchain.layers import DEAD, cells
from hvmpi.openchain.schemas import LAYERS
from hvmpi.stopwatch import Part, spent_on

__all__ = ["MUON", "is_invisible", "settings", "simulate"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_ABS_ETA = 5.0
"""What flies further forward leaves the detector."""

MIN_ENERGY_GEV = 0.2
"""Particles with less to deposit are taken as lost in dead material."""

_INVISIBLE = (12, 14, 16, 25, 35, 36, 37)
_PHOTON, _ELECTRON = 22, 11
MUON = 13
_NEW_PHYSICS, _NUCLEI = 1_000_000, 1_000_000_000

# Critical energies: lead and liquid argon, steel with scintillator, copper, tungsten. PDG.
_CRITICAL_GEV = {
    **dict.fromkeys(("presampler", "em1", "em2", "em3"), 0.009),
    **dict.fromkeys(("tile1", "tile2", "tile3"), 0.0217),
    **dict.fromkeys(("hec1", "hec2", "hec3", "hec4", "fcal1"), 0.0194),
    **dict.fromkeys(("fcal2", "fcal3"), 0.008),
}
# Moliere radii and interaction lengths, mm, of the same (PDG, mixed by volume).
_MOLIERE_MM = {
    **dict.fromkeys(("presampler", "em1", "em2", "em3"), 41.0),
    **dict.fromkeys(("tile1", "tile2", "tile3"), 24.0),
    **dict.fromkeys(("hec1", "hec2", "hec3", "hec4", "fcal1"), 20.0),
    **dict.fromkeys(("fcal2", "fcal3"), 12.0),
}
_LAMBDA_MM = {
    **dict.fromkeys(("presampler", "em1", "em2", "em3"), 335.0),
    **dict.fromkeys(("tile1", "tile2", "tile3"), 207.0),
    **dict.fromkeys(("hec1", "hec2", "hec3", "hec4", "fcal1"), 215.0),
    **dict.fromkeys(("fcal2", "fcal3"), 122.0),
}

_EM_B = 0.5
"""The slope of electromagnetic profiles, in inverse radiation lengths."""

_MIP_GEV_PER_LAMBDA = 0.22
"""Least ionisation; 11.4 MeV/cm and 16.8 cm in iron, much the same in lead and copper."""

_MUON_RISE, _MUON_SPREAD = 1.3, 0.15
"""A muon's loss over the least, from 10 GeV on; spread of its loss in an interaction length."""

_GABRIEL_K = 0.82
_GABRIEL_E0_GEV = {"meson": 1.0, "baryon": 2.6}
_EM_PART_CONCENTRATION = (3.0, 6.0)
"""Of the beta distribution of the electromagnetic part: at 1 GeV, and more by ln(E)."""

_LUMPS_PER_GEV, _LUMPS = 3.0, (3.0, 300.0)
_SPOTS_PER_GEV, _MOST_SPOTS, _FORWARD_SPOTS = 6.0, 150, 3
_LEAST_GEV = 0.0005
"""A share of a shower that is less counts as lost in dead material."""


def settings() -> dict[str, object]:
    """Return every number of the showers, for the settings hash of a product."""
    return {
        "max_abs_eta": MAX_ABS_ETA,
        "min_energy_gev": MIN_ENERGY_GEV,
        "critical_gev": _CRITICAL_GEV,
        "moliere_mm": _MOLIERE_MM,
        "lambda_mm": _LAMBDA_MM,
        "em_b": _EM_B,
        "mip_gev_per_lambda": _MIP_GEV_PER_LAMBDA,
        "muon": (_MUON_RISE, _MUON_SPREAD),
        "gabriel": (_GABRIEL_K, _GABRIEL_E0_GEV),
        "em_part_concentration": _EM_PART_CONCENTRATION,
        "lumps": (_LUMPS_PER_GEV, *_LUMPS),
        "spots": (_SPOTS_PER_GEV, _MOST_SPOTS, _FORWARD_SPOTS),
        "least_gev": _LEAST_GEV,
        "radial": (_CORE_SHARE, _CORE, _TAIL, _HADRON_R50),
    }


@dataclass(frozen=True, slots=True)
class _Shares:
    """Energy of the pieces of the particles' ways, GeV, as two arrays by segment."""

    em: Floats
    had: Floats


@spent_on(Part.CALORIMETER)
def simulate(stable: Table, random: np.random.Generator) -> tuple[Table, Table]:
    """Shower one event's particles.

    Parameters
    ----------
    stable : Table
        Every stable particle: ``pdg_id``, ``charge``, ``mass``, ``px``, ``py``, ``pz`` (GeV),
        ``x``, ``y``, ``z`` (mm), ``t`` (ns).
    random : numpy.random.Generator
        The event's own.

    Returns
    -------
    deposits, event_truth : Table
        Fields as in HITS, single precision.
    """
    invisible = is_invisible(stable["pdg_id"])
    missing = [float(stable[axis][invisible].sum()) for axis in ("px", "py")]
    available = _available(stable)
    visible = float(available[~invisible].sum())
    rows = np.flatnonzero(~invisible & _is_central(stable) & (available > MIN_ENERGY_GEV))
    small = float(available[~invisible & _is_central(stable)].sum() - available[rows].sum())
    particles = {name: values[rows] for name, values in stable.items()}
    energy = available[rows]

    rays = fly(particles)
    segments = cut(rays)
    shares = _shares(particles, energy, segments, random)
    total = shares.em + shares.had
    dead = (segments.layer == DEAD) | (total < _LEAST_GEV)
    lost = float(total[dead].sum()) + small
    deposits = _deposits(particles, rays, segments, shares, np.flatnonzero(~dead), random)
    active = float(total[~dead].sum())
    event_truth = (visible, active, lost, visible - active - lost, *missing)
    names = ("e_visible", "e_active", "e_dead", "e_behind", "miss_px", "miss_py")
    return deposits, {
        name: np.array([value], dtype=np.float32)
        for name, value in zip(names, event_truth, strict=True)
    }


def is_invisible(pdg_id: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Tell neutrinos, the s and other new particles, which leave nothing."""
    number = np.abs(pdg_id)
    new = (number >= _NEW_PHYSICS) & (number < _NUCLEI)
    return np.asarray(np.isin(number, _INVISIBLE) | new)


def _available(stable: Table) -> Floats:
    """Return what each particle can leave: baryons keep their mass, antibaryons bring two."""
    momentum2 = sum(stable[axis].astype(np.float64) ** 2 for axis in ("px", "py", "pz"))
    mass = stable["mass"].astype(np.float64)
    energy = np.sqrt(momentum2 + mass**2)
    baryon = _is_baryon(stable["pdg_id"])
    return np.where(baryon, energy - np.sign(stable["pdg_id"]) * mass, energy)


def _is_baryon(pdg_id: NDArray[np.integer]) -> NDArray[np.bool_]:
    number = np.abs(pdg_id)
    digits = number % 10_000
    return np.asarray(((number < _NEW_PHYSICS) & (digits >= 1000)) | (number >= _NUCLEI))


def _is_central(stable: Table) -> NDArray[np.bool_]:
    transverse = np.hypot(stable["px"], stable["py"])
    return np.asarray(np.abs(stable["pz"]) < transverse * math.sinh(MAX_ABS_ETA))


# --- along the way ---------------------------------------------------------------------------


def _shares(
    particles: Table, energy: Floats, segments: Segments, random: np.random.Generator
) -> _Shares:
    kind = np.abs(particles["pdg_id"])
    electromagnetic = (kind == _PHOTON) | (kind == _ELECTRON)
    muon = kind == MUON
    em, had = np.zeros(len(segments.particle)), np.zeros(len(segments.particle))
    of_em, of_muon = electromagnetic[segments.particle], muon[segments.particle]
    rows = np.flatnonzero(of_em)
    em[rows] = _electromagnetic(kind, energy, segments, rows, random)
    rows = np.flatnonzero(of_muon)
    em[rows] = _muons(energy, segments, rows, random)
    rows = np.flatnonzero(~of_em & ~of_muon)
    em[rows], had[rows] = _hadrons(particles, energy, segments, rows, random)
    return _Shares(em, had)


def _by_layer(values: dict[str, float], otherwise: str = "em2") -> Floats:
    """Return an array by layer number, with what dead material is taken for at its end."""
    return np.array([*(values[layer] for layer in LAYERS), values[otherwise]])


def _first_layer(segments: Segments, rows: Ints, particles: int) -> Ints:
    """Return the layer in which each particle's way begins; that of em2 where it has none."""
    first = np.full(particles, LAYERS.index("em2"))
    # The last that is assigned stays.
    first[segments.particle[rows[::-1]]] = segments.layer[rows[::-1]]
    return first


def _electromagnetic(
    kind: Ints, energy: Floats, segments: Segments, rows: Ints, random: np.random.Generator
) -> Floats:
    """Return the shares of electrons and photons: gamma distributions in radiation lengths."""
    critical = _by_layer(_CRITICAL_GEV)[_first_layer(segments, rows, len(energy))]
    logarithm = np.log(np.maximum(energy / critical, 3.0))
    maximum = np.maximum(logarithm + np.where(kind == _PHOTON, 0.5, -0.5), 0.3)
    # Grindhammer and Peters, table A.2, sampling calorimeters: ln T and ln alpha vary together.
    spread_t = 1.0 / np.maximum(-2.5 + 1.25 * logarithm, 1.5)
    spread_alpha = 1.0 / np.maximum(-0.82 + 0.79 * logarithm, 1.5)
    correlation = 0.784 - 0.023 * logarithm
    one, other = random.standard_normal((2, len(energy)))
    up, across = np.sqrt((1.0 + correlation) / 2.0), np.sqrt((1.0 - correlation) / 2.0)
    t_max = maximum * np.exp(spread_t * (up * one + across * other) - spread_t**2 / 2.0)
    alpha = (1.0 + _EM_B * maximum) * np.exp(
        spread_alpha * (up * one - across * other) - spread_alpha**2 / 2.0
    )
    alpha = np.maximum(alpha, 1.05)
    beta = (alpha - 1.0) / t_max
    # Where the maximum comes with too flat a slope the mean depth would be anything.
    beta = np.clip(beta, 0.2 * _EM_B, 3.0 * _EM_B)
    of = segments.particle[rows]
    end = (segments.x0 + segments.d_x0)[rows]
    return np.asarray(energy[of] * _steps(gammainc(alpha[of], beta[of] * end), of))


def _steps(total: Floats, of: Ints) -> Floats:
    """Return what each segment adds to what has come together at its end."""
    steps = np.diff(total, prepend=0.0)
    begins = np.flatnonzero(np.diff(of, prepend=-1))
    steps[begins] = total[begins]
    # Rounding may let a sum fall by a hair.
    return np.maximum(steps, 0.0)


def _muons(energy: Floats, segments: Segments, rows: Ints, random: np.random.Generator) -> Floats:
    of, depth = segments.particle[rows], segments.d_lambdas[rows]
    rise = np.clip(1.0 + (_MUON_RISE - 1.0) * np.log10(np.maximum(energy, 1.0)), 1.0, _MUON_RISE)
    # A gamma distribution: positive, with a tail to large losses, and it adds up.
    shape = np.maximum(depth, 1e-9) / _MUON_SPREAD**2
    loss = _MIP_GEV_PER_LAMBDA * rise[of] * depth * random.standard_gamma(shape) / shape
    return _until_stopped(loss, of, energy)


def _until_stopped(loss: Floats, of: Ints, energy: Floats) -> Floats:
    """Return losses along the ways, as long as there is energy left."""
    spent = running_sums(loss, of, len(energy))
    return np.asarray(np.clip(np.minimum(spent, energy[of]) - (spent - loss), 0.0, None))


def _hadrons(
    particles: Table, energy: Floats, segments: Segments, rows: Ints, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return electromagnetic and hadronic shares: ionisation up to the start, then showers."""
    size = len(energy)
    of = segments.particle[rows]
    start = random.standard_exponential(size)
    low, deep = segments.lambdas[rows], segments.d_lambdas[rows]
    # Ionisation before the shower, as long as there is energy.
    charged = particles["charge"] != 0.0
    ionising = np.clip(start[of] - low, 0.0, deep) * _MIP_GEV_PER_LAMBDA * charged[of]
    ionisation = _until_stopped(ionising, of, energy)
    left = np.maximum(energy - np.bincount(of, weights=ionisation, minlength=size), 0.0)

    baryon = _is_baryon(particles["pdg_id"])
    scale = np.where(baryon, _GABRIEL_E0_GEV["baryon"], _GABRIEL_E0_GEV["meson"])
    mean = np.clip(1.0 - np.maximum(energy / scale, 1.0) ** (_GABRIEL_K - 1.0), 0.0, 0.95)
    concentration = _EM_PART_CONCENTRATION[0] + _EM_PART_CONCENTRATION[1] * np.log(
        np.maximum(energy, 1.0)
    )
    part = random.beta(
        np.maximum(mean * concentration, 1e-3), np.maximum((1.0 - mean) * concentration, 1e-3)
    )
    part[mean == 0.0] = 0.0

    logarithm = np.log(np.maximum(energy, 1.0))
    shape = 0.6165 + 0.3183 * logarithm
    slope_t, slope_l = 0.2198, 0.9099 - 0.0237 * logarithm
    begins = np.clip(start[of] - low, 0.0, deep)
    # Radiation lengths since the start; where the start lies in a segment, from there on.
    share_before = np.divide(begins, deep, out=np.zeros_like(deep), where=deep > 0.0)
    in_shower = deep - begins
    t_length = segments.d_x0[rows] * (1.0 - share_before)
    t_end, l_end = (running_sums(length, of, size) for length in (t_length, in_shower))
    em = left[of] * part[of] * _steps(gammainc(shape[of], slope_t * t_end), of)
    had = (left * (1.0 - part))[of] * _steps(gammainc(shape[of], slope_l[of] * l_end), of)
    em, had = _lumpy(em, had, of, energy, left, random)
    return em + ionisation, had


def _lumpy(
    em: Floats, had: Floats, of: Ints, energy: Floats, left: Floats, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Vary the shares of a shower as if it came in few lumps, with what leaks out among them.

    A Dirichlet distribution: gamma variates that are normalised.
    """
    lumps = np.clip(_LUMPS_PER_GEV * energy, *_LUMPS)
    total = em + had
    inside = np.bincount(of, weights=total, minlength=len(energy))
    outside = np.clip(left - inside, 0.0, None)
    per_gev = np.divide(lumps, left, out=np.zeros_like(left), where=left > 0.0)
    drawn = random.standard_gamma(np.maximum(per_gev[of] * total, 1e-6))
    drawn[total <= 0.0] = 0.0
    leaks = random.standard_gamma(np.maximum(per_gev * outside, 1e-6))
    sums = np.bincount(of, weights=drawn, minlength=len(energy)) + leaks
    factor = np.divide(left, sums, out=np.zeros_like(left), where=sums > 0.0)
    new = drawn * factor[of]
    share = np.divide(em, total, out=np.zeros_like(em), where=total > 0.0)
    return new * share, new * (1.0 - share)


# --- sideways --------------------------------------------------------------------------------

# Grindhammer and Peters: 2 r R^2 / (r^2 + R^2)^2 with a core and a tail. Their parameters run with
# depth; these are near their values behind the maximum, in Moliere radii.
_CORE_SHARE, _CORE, _TAIL = 0.85, 0.18, 0.9
_HADRON_R50 = 0.22
"""Median radius of the hadronic part, in interaction lengths."""


def _deposits(
    particles: Table,
    rays: Rays,
    segments: Segments,
    shares: _Shares,
    rows: Ints,
    random: np.random.Generator,
) -> Table:
    """Spread shares over spots, and gather the spots in cells."""
    energy = shares.em[rows] + shares.had[rows]
    of, layer = segments.particle[rows], segments.layer[rows]
    most = np.where(layer >= LAYERS.index("fcal1"), _FORWARD_SPOTS, _MOST_SPOTS)
    count = np.minimum(1 + (_SPOTS_PER_GEV * energy).astype(np.int64), most)
    spot = np.repeat(np.arange(len(rows)), count)
    share = (1.0 / count)[spot]
    em, had = shares.em[rows][spot] * share, shares.had[rows][spot] * share
    layer, of = layer[spot], of[spot]
    where, turn, radial, kind = random.random((4, len(spot)))
    along = segments.along[rows][spot] + where * segments.length[rows][spot]
    hadronic = kind * (em + had) < had
    moliere, interaction = _by_layer(_MOLIERE_MM)[layer], _by_layer(_LAMBDA_MM)[layer]
    # Hadrons begin their sub-showers off the axis, too.
    core = np.where(radial < _CORE_SHARE, _CORE, _TAIL) * moliere
    lone = np.mod(radial, _CORE_SHARE) / np.where(
        radial < _CORE_SHARE, _CORE_SHARE, 1.0 - _CORE_SHARE
    )
    distance = np.where(
        hadronic,
        _HADRON_R50 * interaction * np.sqrt(radial / np.maximum(1.0 - radial, 1e-3)),
        core * np.sqrt(lone / np.maximum(1.0 - lone, 1e-3)),
    )
    position = rays.start[of] + rays.direction[of] * along[:, None]
    position += _sideways(rays.direction[of], distance, 2.0 * math.pi * turn)
    cell = _cell(layer, position)
    time = _time(particles, rays, of, along, position)
    return _gather(cell, em, had, time)


def _sideways(direction: Floats, distance: Floats, turn: Floats) -> Floats:
    """Return steps of some length across a direction."""
    across = np.hypot(direction[:, 0], direction[:, 1])
    safe = np.maximum(across, 1e-12)
    cos, sin = direction[:, 0] / safe, direction[:, 1] / safe
    # Unit vectors along phi and theta.
    one = np.stack([-sin, cos, np.zeros_like(sin)], axis=1)
    other = np.stack([direction[:, 2] * cos, direction[:, 2] * sin, -across], axis=1)
    steps = (distance * np.cos(turn))[:, None] * one + (distance * np.sin(turn))[:, None] * other
    return np.asarray(steps)


def _cell(layer: Ints, position: Floats) -> Ints:
    radius = np.maximum(np.hypot(position[:, 0], position[:, 1]), 1e-3)
    eta = np.arcsinh(position[:, 2] / radius)
    return cells().find(layer, eta, np.arctan2(position[:, 1], position[:, 0]))


def _time(particles: Table, rays: Rays, of: Ints, along: Floats, position: Floats) -> Floats:
    """Return times since light from the origin came by, ns."""
    momentum2 = sum(particles[axis].astype(np.float64) ** 2 for axis in ("px", "py", "pz"))
    mass = particles["mass"].astype(np.float64)
    slowness = np.sqrt(1.0 + mass**2 / momentum2)
    way = (rays.flown[of] + along) * slowness[of]
    light = np.sqrt(np.einsum("ij,ij->i", position, position))
    return np.asarray(particles["t"][of] + (way - light) / C_MM_PER_NS)


def _gather(cell: Ints, em: Floats, had: Floats, time: Floats) -> Table:
    order = np.argsort(cell, kind="stable")
    numbers = cell[order]
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    if len(first) == 0:
        sums = [np.zeros(0)] * 3
    else:
        columns = (em, had, (em + had) * time)
        sums = [np.add.reduceat(values[order], first) for values in columns]
    return {
        "cell": numbers[first].astype(np.int32),
        "e_em": sums[0].astype(np.float32),
        "e_had": sums[1].astype(np.float32),
        "t": (sums[2] / np.maximum(sums[0] + sums[1], 1e-30)).astype(np.float32),
    }
