"""The readout: energy and time come back, noise is what it says, quiet cells are left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmpi.openchain import readout
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.layers import cells
from hvmpi.openchain.schemas import LAYERS


def deposits(cell: list[int], em: list[float], had: list[float], t: list[float]) -> Table:
    order = np.argsort(cell)
    columns = {"e_em": em, "e_had": had, "t": t}
    return {"cell": np.array(cell, dtype=np.int32)[order]} | {
        name: np.array(values, dtype=np.float32)[order] for name, values in columns.items()
    }


NOTHING = deposits([], [], [], [])


def _cell(layer: str, eta: float, phi: float = 0.1) -> int:
    number = np.array([LAYERS.index(layer)])
    return int(cells().find(number, np.array([eta]), np.array([phi]))[0])


def _read(of: Table, seed: int = 1) -> dict[int, tuple[float, float]]:
    read = readout.digitize(of, np.random.default_rng(seed))
    energy, time = readout.energies(read)
    values = zip(energy.tolist(), time.tolist(), strict=True)
    return dict(zip(read["cell"].tolist(), values, strict=True))


@settings(max_examples=40, deadline=None)
@given(energy=st.floats(10.0, 2500.0), late=st.floats(-8.0, 12.0), seed=st.integers(0, 2**32))
def test_energy_and_time_come_back(energy: float, late: float, seed: int) -> None:
    cell = _cell("em2", 0.31)
    measured, time = _read(deposits([cell], [energy], [0.0], [late]), seed)[cell]
    spread = math.hypot(0.1 * math.sqrt(energy), 0.035 + 0.01 * energy)
    # A late pulse is seen a little smaller: its top lies between the samples.
    smaller = 1.0 - 0.0005 * late**2
    assert measured == pytest.approx(energy * smaller, abs=5.0 * spread + 0.02 * energy)
    assert time == pytest.approx(late, abs=1.7 + 20.0 / energy)


def test_hadrons_are_seen_with_less() -> None:
    grid = [_cell("tile2", 0.05, phi) for phi in np.arange(-3.0, 3.0, 0.3)]
    ones, none = [100.0] * len(grid), [0.0] * len(grid)
    em, had = (_read(deposits(grid, *pair, none)) for pair in ((ones, none), (none, ones)))
    ratio = sum(em[cell][0] for cell in grid) / sum(had[cell][0] for cell in grid)
    # e/h of the Tile: reference/detector.md.
    assert ratio == pytest.approx(1.36, abs=0.05)


def test_the_low_gain_saturates() -> None:
    cell = _cell("em2", 0.31)
    (most, _), (more, _) = (
        _read(deposits([cell], [energy], [0.0], [0.0]))[cell] for energy in (5000.0, 50000.0)
    )
    assert 2500.0 < most < 5000.0
    # The samples beside the peak rise on.
    assert most < more < 5000.0


def test_noise_alone_is_as_wide_as_it_says_and_mostly_suppressed() -> None:
    read = readout.digitize(NOTHING, np.random.default_rng(1))
    energy, _ = readout.energies(read)
    significance = energy / readout.noise(read["cell"], 0.0)
    expected = math.erfc(2.0 / math.sqrt(2.0)) * len(cells())
    assert (np.abs(significance) > 2.0).sum() == pytest.approx(expected, rel=0.05)
    seeds = math.erfc(4.0 / math.sqrt(2.0)) * len(cells())
    assert (np.abs(significance) > 4.0).sum() < seeds + 5.0 * math.sqrt(seeds)
    assert len(energy) < 0.1 * len(cells())
    assert (np.diff(read["cell"]) > 0).all()


def test_no_cell_is_left_out_beside_a_seed() -> None:
    cell = _cell("em2", 0.31)
    table = cells()
    read = _read(deposits([cell], [50.0], [0.0], [0.0]))
    around = table.neighbours[table.first[cell] : table.first[cell + 1]]
    assert {near for near in around.tolist() if table.layer[near] == table.layer[cell]} <= set(read)


def test_pile_up_noise_raises_the_thresholds() -> None:
    rows = np.arange(len(cells()))
    quiet, loud = readout.noise(rows, 0.0), readout.noise(rows, 20.0)
    assert (loud >= quiet).all()
    assert (loud > quiet).mean() > 0.99
    few = readout.digitize(NOTHING, np.random.default_rng(1), mu=20.0)
    many = readout.digitize(NOTHING, np.random.default_rng(1))
    assert len(few["cell"]) < len(many["cell"])


def test_a_pulse_of_every_crossing_adds_up_to_nothing() -> None:
    # Bipolar pulses have no area: a steady rain of pile-up leaves the mean where it is.
    weights = readout.pulse_weights()
    assert weights[-readout.CROSSINGS.start] == pytest.approx(1.0, abs=1e-3)
    assert abs(weights.sum()) < 0.05


def test_times_are_as_wide_as_they_say_however_large_the_energy() -> None:
    table = cells()
    grid = np.flatnonzero((table.layer == LAYERS.index("em2")) & (np.abs(table.eta) < 1.0))[::97]
    ones, none = [1000.0] * len(grid), [0.0] * len(grid)
    times = []
    for seed in range(12):
        read = _read(deposits(grid.tolist(), ones, none, none), seed)
        times.append([read[cell][1] for cell in grid.tolist()])
    spread = np.std(times, axis=1)
    # In one event the cells' own, and the collision's in common.
    assert spread.mean() == pytest.approx(0.25, rel=0.1)
    assert 0.05 < np.std(np.mean(times, axis=1)) < 0.4
