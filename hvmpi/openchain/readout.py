"""The calorimeters' readout: deposits to ADC counts, ADC counts back to energy and time.

Every cell is read like one of liquid argon: a bipolar pulse, four samples of 25 ns, three gains,
energy and time by optimal filter coefficients (Cleland and Stern, NIM A 338 (1994) 467). The Tile's
own pulse is shorter and unipolar; here it has the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.layers import cells
from hvmpi.openchain.pileup_noise import pileup_noise
from hvmpi.openchain.schemas import LAYERS
from hvmpi.stopwatch import Part, spent_on

__all__ = [
    "CROSSINGS",
    "CROSSING_NS",
    "SAMPLES",
    "digitize",
    "energies",
    "noise",
    "pulse_weights",
    "sampled",
    "settings",
]

Floats = NDArray[np.float64]

CROSSING_NS = 25.0
SAMPLES = 4
CROSSINGS = range(-24, 3)
"""Crossings, counted from the event's own, whose pulses reach its samples."""

# A triangle of current, as long as charge drifts through the gap, behind preamplifier and CR-RC2
# shaper, taken as one CR-RC3 that peaks about when ATLAS's do.
_DRIFT_NS, _SHAPING_NS, _ORDER = 450.0, 15.0, 3
_STEP_NS = 0.25
_PULSE_NS = 700.0
_LATE_NS = 15.0
"""Times are found up to so much early or late; beyond, the filter hardly tells them apart."""
_PEAK_SAMPLE = 2

_PEDESTAL, _LARGEST = 1000, 4095
_SWITCH = 3900
"""A sample beyond takes the cell to the next gain."""
_GAINS = (1.0, 9.9, 93.0)
"""Energy of a count over that of the high gain's."""
_COUNTS_PER_SIGMA = 3.0
"""Counts of the high gain in an energy of one standard deviation of the noise."""

# Electronic noise of a cell's energy, GeV: within the ranges of reference/detector.md. Strips hold
# eight of ATLAS's each.
_NOISE_GEV = {
    "presampler": 0.035,
    "em1": 0.028,
    "em2": 0.033,
    "em3": 0.030,
    **dict.fromkeys(("tile1", "tile2", "tile3"), 0.025),
    "hec1": 0.20,
    "hec2": 0.25,
    "hec3": 0.35,
    "hec4": 0.45,
    "fcal1": 0.20,
    "fcal2": 0.35,
    "fcal3": 0.35,
}
# How a cell's energy fluctuates, as a / sqrt(E in GeV): for electromagnetic deposits from the beam
# tests (JINST 3 (2008) S08003: 10.1 % barrel, 28.5 % forward; 21.4 % hadronic end-cap; 28 %
# Tile), for hadronic ones what the resolution for pions asks for; and the response to hadronic
# deposits over that to electromagnetic ones, h/e.
_SAMPLING_EM = {
    "presampler": 0.3,
    **dict.fromkeys(("em1", "em2", "em3"), 0.097),
    **dict.fromkeys(("tile1", "tile2", "tile3"), 0.28),
    **dict.fromkeys(("hec1", "hec2", "hec3", "hec4"), 0.214),
    **dict.fromkeys(("fcal1", "fcal2", "fcal3"), 0.285),
}
_SAMPLING_HAD = {
    **dict.fromkeys(("presampler", "em1", "em2", "em3"), 0.45),
    **dict.fromkeys(("tile1", "tile2", "tile3"), 0.45),
    **dict.fromkeys(("hec1", "hec2", "hec3", "hec4"), 0.65),
    **dict.fromkeys(("fcal1", "fcal2", "fcal3"), 0.9),
}
_H_OVER_E = {
    **dict.fromkeys(("presampler", "em1", "em2", "em3"), 1.0 / 1.5),
    **dict.fromkeys(("tile1", "tile2", "tile3"), 1.0 / 1.36),
    **dict.fromkeys(("hec1", "hec2", "hec3", "hec4", "fcal1", "fcal2", "fcal3"), 1.0 / 1.5),
}
# How far a cell's time is off, however large its energy, ns: about what ATLAS finds after
# calibration with collisions, for liquid argon and Tile; and the spread of the collisions in time.
_TIME_SPREAD_NS = {
    **dict.fromkeys(("presampler", "em1", "em2", "em3"), 0.25),
    **dict.fromkeys(("tile1", "tile2", "tile3"), 0.4),
    **dict.fromkeys(("hec1", "hec2", "hec3", "hec4", "fcal1", "fcal2", "fcal3"), 0.3),
}
_COLLISION_SPREAD_NS = 0.18
_NON_UNIFORMITY = 0.007
"""Spread of the calibration from one region of 0.5 x 0.2 to another: the global constant term."""
_UNIFORMITY_SEED = 20080814

_SUPPRESSION, _SEED = 2.0, 4.0
"""Cells beyond so many standard deviations are read out, and round the latter all others too."""
_REGIONS = (100, 64)
"""Regions of each layer's readout, in eta from -5 to 5 and in phi."""


def settings() -> dict[str, object]:
    """Return every number of the readout, for the settings hash of a product."""
    return {
        "crossings": (CROSSINGS.start, CROSSINGS.stop, CROSSING_NS),
        "pulse": (_DRIFT_NS, _SHAPING_NS, _STEP_NS, _PULSE_NS, _PEAK_SAMPLE),
        "adc": (_PEDESTAL, _LARGEST, _SWITCH, _GAINS, _COUNTS_PER_SIGMA),
        "noise_gev": _NOISE_GEV,
        "sampling_em": _SAMPLING_EM,
        "sampling_had": _SAMPLING_HAD,
        "h_over_e": _H_OVER_E,
        "time_spread_ns": (_TIME_SPREAD_NS, _COLLISION_SPREAD_NS),
        "uniformity": (_NON_UNIFORMITY, _UNIFORMITY_SEED),
        "suppression": (_SUPPRESSION, _SEED, _REGIONS),
    }


# --- pulse and filter ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pulse:
    """The pulse, 1 at its peak, and the filter.

    Attributes
    ----------
    table : ndarray of float64
        Every `_STEP_NS` from its beginning.
    peak_ns : float
    energy, time : ndarray of float32, shape (SAMPLES,)
        Optimal filter coefficients: energy, and energy times time in ns.
    late, seen : ndarray of float64
        What the filter gives as the time (`seen`) of a pulse that is `late`, both ascending, ns.
    mixing : ndarray of float32, shape (SAMPLES, SAMPLES)
        From independent noise to noise with the shaper's autocorrelation, in counts.
    """

    table: Floats
    peak_ns: float
    energy: NDArray[np.float32]
    time: NDArray[np.float32]
    late: Floats
    seen: Floats
    mixing: NDArray[np.float32]


@cache
def _pulse() -> _Pulse:
    t = np.arange(0.0, _PULSE_NS, _STEP_NS)
    x = t / _SHAPING_NS
    shaper = x ** (_ORDER - 1) * (1.0 - x / _ORDER) * np.exp(-x)
    current = np.clip(1.0 - t / _DRIFT_NS, 0.0, None)
    table = np.convolve(current, shaper)[: len(t)]
    peak = int(np.argmax(table))
    table = table / table[peak]
    step = round(CROSSING_NS / _STEP_NS)
    at = peak + (np.arange(SAMPLES) - _PEAK_SAMPLE) * step
    shape, slope = table[at], np.gradient(table, _STEP_NS)[at]
    # White noise behind the same shaper.
    lags = np.array([shaper[: len(t) - k * step] @ shaper[k * step :] for k in range(SAMPLES)])
    k = np.arange(SAMPLES)
    covariance = (lags / lags[0])[np.abs(k[:, None] - k[None, :])]
    # Least variance with sum(a g) = 1, sum(a g') = 0; sum(b g) = 0, sum(b g') = -1.
    constraints = np.stack([shape, slope])
    weights = np.linalg.solve(covariance, constraints.T)
    solution = weights @ np.linalg.inv(constraints @ weights)
    energy, time = solution[:, 0], -solution[:, 1]
    sigma = math.sqrt(float(energy @ covariance @ energy))
    mixing = np.linalg.cholesky(covariance) * (_COUNTS_PER_SIGMA / sigma)
    late = np.arange(-_LATE_NS, _LATE_NS + _STEP_NS, _STEP_NS)
    moved = at[:, None] - np.rint(late / _STEP_NS).astype(np.int64)
    pulses = np.where(moved < 0, 0.0, table[np.maximum(moved, 0)])
    seen = np.maximum.accumulate((time @ pulses) / (energy @ pulses))
    return _Pulse(
        table=table,
        peak_ns=peak * _STEP_NS,
        energy=energy.astype(np.float32),
        time=time.astype(np.float32),
        late=late,
        # np.interp wants them to ascend.
        seen=seen + 1e-9 * late,
        mixing=mixing.astype(np.float32),
    )


def sampled(late_ns: Floats) -> Floats:
    """Return the pulse at the four samples.

    Parameters
    ----------
    late_ns : ndarray, shape (n,)
        How late each pulse comes; 0: at its peak in the third sample.

    Returns
    -------
    ndarray of float64, shape (SAMPLES, n)
        1 at the peak.
    """
    pulse = _pulse()
    sample_ns = pulse.peak_ns + (np.arange(SAMPLES) - _PEAK_SAMPLE) * CROSSING_NS
    at = (sample_ns[:, None] - late_ns) / _STEP_NS
    low = np.clip(at.astype(np.int64), 0, len(pulse.table) - 2)
    share = at - low
    value = pulse.table[low] * (1.0 - share) + pulse.table[low + 1] * share
    return np.asarray(np.where((at < 0.0) | (at > len(pulse.table) - 1), 0.0, value))


@cache
@spent_on(Part.LOAD)
def pulse_weights() -> Floats:
    """Return what 1 GeV in each of `CROSSINGS` adds to the energy that the filter gives."""
    late = np.array([CROSSING_NS * crossing for crossing in CROSSINGS])
    return np.asarray(_pulse().energy @ sampled(late))


# --- cells -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Response:
    """What the readout of each cell is like; arrays by cell."""

    noise: Floats
    sampling_em2: Floats
    sampling_had2: Floats
    h_over_e: Floats
    time_spread_ns: Floats
    uniformity: Floats
    region: NDArray[np.int64]


@cache
@spent_on(Part.LOAD)
def _response() -> _Response:
    table = cells()

    def of_layer(values: dict[str, float]) -> Floats:
        return np.array([values[layer] for layer in LAYERS])[table.layer]

    row = np.clip(((table.eta + 5.0) / 10.0 * _REGIONS[0]).astype(np.int64), 0, _REGIONS[0] - 1)
    column = ((table.phi + math.pi) / (2.0 * math.pi) * _REGIONS[1]).astype(np.int64)
    column %= _REGIONS[1]
    # The same detector for everybody.
    drawn = np.random.Generator(np.random.Philox(_UNIFORMITY_SEED)).standard_normal(
        (_REGIONS[0] // 5, _REGIONS[1] // 2)
    )
    # Every ring is as good as the other.
    drawn -= drawn.mean(axis=1, keepdims=True)
    drawn /= drawn.std(axis=1, keepdims=True)
    return _Response(
        noise=of_layer(_NOISE_GEV),
        sampling_em2=of_layer(_SAMPLING_EM) ** 2,
        sampling_had2=of_layer(_SAMPLING_HAD) ** 2,
        h_over_e=of_layer(_H_OVER_E),
        time_spread_ns=of_layer(_TIME_SPREAD_NS),
        uniformity=1.0 + _NON_UNIFORMITY * drawn[row // 5, column // 2],
        region=(table.layer * _REGIONS[0] + row) * _REGIONS[1] + column,
    )


def noise(cell: NDArray[Any] | slice, mu: float) -> Floats:
    """Return the standard deviation of cells' energies, electronics and pile-up, GeV."""
    electronic = _response().noise[cell]
    if mu == 0.0:
        return electronic
    return np.asarray(np.sqrt(electronic**2 + mu * pileup_noise()[cell] ** 2))


def visible(deposits: Table, random: np.random.Generator | None) -> Floats:
    """Return what the cells would measure of their deposits without electronics, GeV.

    Parameters
    ----------
    deposits : Table
    random : numpy.random.Generator, optional
        Lets the response fluctuate; without it the mean is given.
    """
    response, cell = _response(), deposits["cell"]
    em: Floats = deposits["e_em"].astype(np.float64)
    had: Floats = deposits["e_had"].astype(np.float64)
    if random is not None:
        # Gamma distributions have the mean and variance asked for, and are never negative.
        spread2 = response.sampling_em2[cell]
        em = random.standard_gamma(em / spread2) * spread2
        spread2 = response.sampling_had2[cell]
        had = random.standard_gamma(had / spread2) * spread2
    return np.asarray((em + had * response.h_over_e[cell]) * response.uniformity[cell])


@spent_on(Part.READOUT)
def digitize(
    deposits: Table,
    random: np.random.Generator,
    pile_up: NDArray[np.float32] | None = None,
    mu: float = 0.0,
) -> Table:
    """Read one event's cells out.

    Parameters
    ----------
    deposits : Table
        Fields as in HITS.
    random : numpy.random.Generator
        The event's own.
    pile_up : ndarray of float32, shape (SAMPLES, n_cells), optional
        What other interactions add to the samples, GeV.
    mu : float
        Their mean number a crossing; raises the thresholds of the zero suppression.

    Returns
    -------
    Table
        Cells that are read out, fields as in a RDO.
    """
    pulse, response = _pulse(), _response()
    cell, signal = deposits["cell"], visible(deposits, random)
    count_gev = response.noise / _COUNTS_PER_SIGMA
    # Sample by sample, as numpy is slow where the last axis is short.
    drawn = random.standard_normal((SAMPLES, len(count_gev)), dtype=np.float32)
    counts = np.stack([_combined(weights, drawn) for weights in pulse.mixing])
    if pile_up is not None:
        np.add(counts, pile_up / count_gev.astype(np.float32), out=counts)
    late = deposits["t"] + response.time_spread_ns[cell] * random.standard_normal(len(cell))
    late += _COLLISION_SPREAD_NS * random.standard_normal()
    pulses = sampled(late) * (signal / count_gev[cell])
    counts[:, cell] += pulses.astype(np.float32)
    gain, adc = _converted(counts)
    energy = _filtered(gain, adc, pulse.energy) * count_gev
    significance = np.abs(energy) / noise(slice(None), mu)
    read = np.flatnonzero(_read_out(significance, response.region))
    return {
        "cell": read.astype(np.int32),
        "gain": gain[read],
        **{f"adc{sample}": adc[sample, read].astype(np.uint16) for sample in range(SAMPLES)},
    }


def _converted(counts: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return gains and ADC counts for samples in counts of the high gain, which are used up."""
    gain = np.zeros(counts.shape[1], dtype=np.uint8)
    peak = counts.max(axis=0)
    large = np.flatnonzero(peak > _SWITCH - _PEDESTAL)
    # The last gain takes what is left, and saturates.
    gain[large] = 1 + (peak[large] / _GAINS[1] > _SWITCH - _PEDESTAL)
    counts[:, large] /= np.array(_GAINS, dtype=np.float32)[gain[large]]
    counts += np.float32(_PEDESTAL)
    np.rint(counts, out=counts)
    return gain, np.clip(counts, 0.0, _LARGEST, out=counts)


def _filtered(
    gain: NDArray[np.uint8], adc: NDArray[np.float32], coefficients: NDArray[np.float32]
) -> Floats:
    """Return the filter's sum, in counts of the high gain."""
    pedestal = np.float32(_PEDESTAL) * coefficients.sum()
    total = (_combined(coefficients, adc) - pedestal).astype(np.float64)
    return np.asarray(total * np.array(_GAINS)[gain])


def _combined(weights: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a weighted sum of samples, cell by cell.

    Not by a matrix product: its last bits may depend on the number of threads.
    """
    total = weights[0] * samples[0]
    for weight, sample in zip(weights[1:], samples[1:], strict=True):
        if weight:
            total += weight * sample
    return np.asarray(total)


def _read_out(significance: Floats, region: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Suppress quiet cells, but none in a layer's region with a seed or beside such a region."""
    hot = np.zeros((len(LAYERS), *_REGIONS), dtype=bool)
    hot.ravel()[region[significance > _SEED]] = True
    wide = hot.copy()
    wide[:, 1:] |= hot[:, :-1]
    wide[:, :-1] |= hot[:, 1:]
    wide |= np.roll(wide, 1, axis=2) | np.roll(wide, -1, axis=2)
    return (significance > _SUPPRESSION) | wide.ravel()[region]


@spent_on(Part.READOUT)
def energies(read: Table) -> tuple[Floats, Floats]:
    """Return energy (GeV) and time (ns) of cells that were read out.

    Parameters
    ----------
    read : Table
        Fields as in a RDO.

    Returns
    -------
    energy, time : ndarray of float64
        The time means something where the energy is well above the noise.
    """
    pulse = _pulse()
    adc = np.stack([read[f"adc{sample}"].astype(np.float32) for sample in range(SAMPLES)])
    amplitude = _filtered(read["gain"], adc, pulse.energy)
    moment = _filtered(read["gain"], adc, pulse.time)
    seen = np.divide(moment, amplitude, out=np.zeros_like(moment), where=np.abs(amplitude) > 1e-6)
    scale = _response().noise[read["cell"]] / _COUNTS_PER_SIGMA
    # The filter is linear in time, the pulse is not: a few ns beside its peak they part.
    return amplitude * scale, np.interp(seen, pulse.seen, pulse.late)
