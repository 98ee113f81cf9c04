"""Showers: energy is conserved and goes where the particle is, or nowhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammainc

from hvmpi.openchain.calorimeter import simulate
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.field import C_MM_PER_NS
from hvmpi.openchain.layers import EM_LAYERS, cells
from hvmpi.openchain.schemas import LAYERS
from tests.openchain.test_flight import particle

PION, PROTON, NEUTRON = (
    {"pdg_id": 211, "charge": 1.0, "mass": 0.13957},
    {"pdg_id": 2212, "charge": 1.0, "mass": 0.93827},
    {"pdg_id": 2112, "charge": 0.0, "mass": 0.93957},
)


def _many(count: int, **of: object) -> Table:
    one = particle(**of)  # type: ignore[arg-type]
    return {name: np.repeat(values, count) for name, values in one.items()}


def _by_layer(deposits: Table) -> dict[str, float]:
    sums = np.bincount(
        cells().layer[deposits["cell"]],
        weights=deposits["e_em"].astype(float) + deposits["e_had"],
        minlength=len(LAYERS),
    )
    return dict(zip(LAYERS, sums.tolist(), strict=True))


def _simulate(stable: Table, seed: int = 1) -> tuple[Table, dict[str, float]]:
    deposits, event = simulate(stable, np.random.default_rng(seed))
    return deposits, {name: float(values[0]) for name, values in event.items()}


@settings(max_examples=60, deadline=None)
@given(
    pdg_id=st.sampled_from([22, 11, -11, 13, 211, -211, 130, 2212, -2212, 2112, -2112, 1000010020]),
    pt=st.floats(0.3, 300.0),
    eta=st.floats(-4.9, 4.9),
    radius=st.floats(0.0, 4600.0),
    turn=st.floats(-math.pi, math.pi),
    seed=st.integers(0, 2**32),
)
def test_energy_is_accounted_for(
    pdg_id: int, pt: float, eta: float, radius: float, turn: float, seed: int
) -> None:
    mass = {22: 0.0, 11: 0.000511, 13: 0.10566, 211: 0.13957, 130: 0.49761}.get(abs(pdg_id), 0.938)
    charge = 0.0 if abs(pdg_id) in (22, 130, 2112) else math.copysign(1.0, pdg_id)
    at = (radius * math.cos(turn), radius * math.sin(turn), 100.0)
    stable = particle(
        pdg_id=pdg_id, charge=charge, mass=mass, pt=pt, eta=eta, phi=0.3, at=at, t=radius / 290.0
    )
    deposits, event = _simulate(stable, seed)
    total = float((deposits["e_em"].astype(float) + deposits["e_had"]).sum())
    assert total == pytest.approx(event["e_active"], rel=1e-5, abs=1e-6)
    parts = (event["e_active"], event["e_dead"], event["e_behind"])
    assert sum(parts) == pytest.approx(event["e_visible"], rel=1e-5)
    assert min(parts) >= -1e-4 * event["e_visible"]
    assert (deposits["e_em"] >= 0.0).all()
    assert (deposits["e_had"] >= 0.0).all()
    assert (np.diff(deposits["cell"]) > 0).all()


@pytest.mark.parametrize("pdg_id", [12, -14, 16, 35, 4900111, 1000022])
def test_what_is_invisible_leaves_nothing_but_missing_momentum(pdg_id: int) -> None:
    deposits, event = _simulate(particle(pdg_id=pdg_id, pt=50.0))
    assert len(deposits["cell"]) == 0
    assert event["e_visible"] == 0.0
    assert event["miss_px"] == pytest.approx(50.0)


def test_what_is_born_behind_the_calorimeters_leaves_nothing() -> None:
    deposits, event = _simulate(particle(**PION, pt=50.0, at=(4300.0, 0.0, 0.0)))  # type: ignore[arg-type]
    assert len(deposits["cell"]) == 0
    assert event["e_behind"] == event["e_visible"] > 0.0


def test_an_electron_stays_in_the_electromagnetic_layers_a_pion_goes_through() -> None:
    electrons, _ = _simulate(_many(100, pdg_id=11, charge=-1.0, mass=0.000511, pt=50.0, eta=0.3))
    pions, _ = _simulate(_many(100, **PION, pt=50.0, eta=0.3))
    electron, pion = _by_layer(electrons), _by_layer(pions)
    share = sum(electron[layer] for layer in EM_LAYERS) / sum(electron.values())
    assert share > 0.99
    assert max(electron, key=electron.__getitem__) == "em2"
    assert 0.2 < sum(pion[layer] for layer in EM_LAYERS) / sum(pion.values()) < 0.7
    assert sum(pions["e_had"]) > 0.2 * sum(pion.values())
    assert not electrons["e_had"].any()


def test_what_is_born_in_the_tile_leaves_nothing_before_it() -> None:
    stable = _many(50, **PION, pt=50.0, eta=0.0, at=(2650.0, 0.0, 0.0))
    layers = _by_layer(_simulate(stable)[0])
    assert layers["tile2"] > 0.5 * sum(layers.values())
    # Spots go sideways, not back.
    assert sum(layers[layer] for layer in EM_LAYERS) == 0.0


def test_a_muon_ionises() -> None:
    # 2.5 to 3 GeV across the calorimeters: reference/detector.md.
    deposits, event = _simulate(_many(200, pdg_id=13, charge=-1.0, mass=0.10566, pt=50.0))
    loss = (event["e_active"] + event["e_dead"]) / 200
    assert 2.2 < loss < 3.4
    assert not deposits["e_had"].any()


def test_baryons_leave_kinetic_energy_antibaryons_two_masses_more() -> None:
    (proton, antiproton) = (
        _simulate(particle(**{**PROTON, "pdg_id": sign * 2212}, pt=3.0))[1]["e_visible"]  # type: ignore[arg-type]
        for sign in (1, -1)
    )
    assert antiproton - proton == pytest.approx(2.0 * 0.93827, rel=1e-4)


@pytest.mark.parametrize("pdg_id", [11, 22])
@pytest.mark.parametrize("energy", [5.0, 50.0])
def test_depth_of_electromagnetic_showers(pdg_id: int, energy: float) -> None:
    # PDG: a gamma distribution with t_max = ln(E / Ec) -+ 0.5 and b = 0.5. What reaches the middle
    # layer and beyond lies behind 5.68 X0: dead material, presampler and strips.
    stable = _many(400, pdg_id=pdg_id, pt=energy, eta=0.0)
    layers = _by_layer(_simulate(stable)[0])
    t_max = math.log(energy / 0.009) + (0.5 if pdg_id == 22 else -0.5)
    behind = 1.0 - float(gammainc(1.0 + 0.5 * t_max, 0.5 * 5.68))
    deep = sum(layers[layer] for layer in ("em2", "em3", "tile1", "tile2", "tile3"))
    assert deep / sum(layers.values()) == pytest.approx(behind, abs=0.03)


def test_time_is_that_of_light_unless_the_particle_is_slow() -> None:
    deposits, _ = _simulate(particle(pdg_id=22, pt=100.0, eta=0.5))
    energy = deposits["e_em"].astype(float)
    assert float((deposits["t"] * energy).sum() / energy.sum()) == pytest.approx(0.0, abs=0.05)
    slow = particle(**{**PROTON, "charge": 0.0, "pdg_id": 130, "mass": 0.4976}, pt=0.5)  # type: ignore[arg-type]
    deposits, _ = _simulate(slow)
    way = 1500.0
    late = way / C_MM_PER_NS * (math.sqrt(1.0 + (0.4976 / 0.5) ** 2) - 1.0)
    energy = deposits["e_em"].astype(float) + deposits["e_had"]
    assert float((deposits["t"] * energy).sum() / energy.sum()) > 0.8 * late


def test_the_same_numbers_make_the_same_showers() -> None:
    stable = _many(30, **PION, pt=20.0, eta=1.0)
    one, other = _simulate(stable, 3)[0], _simulate(stable, 3)[0]
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_an_event_of_nothing() -> None:
    none = {name: values[:0] for name, values in particle().items()}
    deposits, event = _simulate(none)
    assert {len(values) for values in deposits.values()} == {0}
    assert event["e_visible"] == 0.0
