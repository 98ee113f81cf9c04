"""Layers: the volumes' depths, and a table of cells without gaps or lonely neighbours."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.openchain.layers import cells, map_of_volumes
from hvmpi.openchain.schemas import LAYERS


def _depth_at_eta_0(outer_r_mm: float) -> float:
    volumes = map_of_volumes()
    steps = np.diff(volumes.r_mm) * volumes.lambdas[:, 0]
    return float(steps[volumes.r_mm[1:] <= outer_r_mm].sum())


def test_depths_are_those_of_the_source() -> None:
    # JINST 3 (2008) S08003: 2.3 interaction lengths before the Tile, 9.7 in all.
    assert _depth_at_eta_0(2300.0) == pytest.approx(2.3, abs=0.15)
    assert _depth_at_eta_0(3820.0) == pytest.approx(9.7, abs=0.2)


@pytest.mark.parametrize(
    ("layer", "x0", "lambdas"),
    [
        *(("em1", 4.3, None), ("em2", 16.0, None), ("em3", 2.0, None)),
        *(("tile1", None, 1.5), ("tile2", None, 4.1), ("tile3", None, 1.8)),
    ],
)
def test_a_layers_depth(layer: str, x0: float | None, lambdas: float | None) -> None:
    volumes = map_of_volumes()
    inside = volumes.layer[:, 0] == LAYERS.index(layer)
    steps = np.diff(volumes.r_mm)[inside]
    if x0 is not None:
        assert (steps * volumes.x0[inside, 0]).sum() == pytest.approx(x0, rel=1e-9)
    if lambdas is not None:
        assert (steps * volumes.lambdas[inside, 0]).sum() == pytest.approx(lambdas, rel=0.05)


def test_every_cell_is_found_at_its_centre_and_near_its_corners() -> None:
    table = cells()
    rows = np.arange(len(table))
    for side in (-0.49, 0.0, 0.49):
        eta, phi = table.eta + side * table.d_eta, table.phi - side * table.d_phi
        np.testing.assert_array_equal(table.find(table.layer, eta, phi), rows)


@given(
    layer=st.integers(0, len(LAYERS) - 1),
    eta=st.floats(-8.0, 8.0),
    phi=st.floats(-4.0 * math.pi, 4.0 * math.pi),
)
def test_any_place_has_a_cell_of_its_layer(layer: int, eta: float, phi: float) -> None:
    table = cells()
    (cell,) = table.find(np.array([layer]), np.array([eta]), np.array([phi])).tolist()
    assert table.layer[cell] == layer
    turn = (phi - table.phi[cell] + math.pi) % (2.0 * math.pi) - math.pi
    assert abs(turn) <= table.d_phi[cell] / 2.0 + 1e-9
    of_layer = table.layer == layer
    reach = np.abs(table.eta[of_layer]) + table.d_eta[of_layer] / 2.0
    if abs(eta) < reach.max() and abs(eta) > (np.abs(table.eta[of_layer])).min():
        assert abs(eta - table.eta[cell]) <= table.d_eta[cell] / 2.0 + 1e-9


def test_neighbours_are_mutual_and_no_cell_is_its_own() -> None:
    table = cells()
    owner = np.repeat(np.arange(len(table)), np.diff(table.first))
    other = table.neighbours.astype(np.int64)
    assert (owner != other).all()
    size = len(table)
    np.testing.assert_array_equal(np.sort(owner * size + other), np.sort(other * size + owner))


def test_neighbours_touch_around_the_seam_and_across_layers() -> None:
    table = cells()
    em2 = LAYERS.index("em2")
    (here,) = table.find(np.array([em2]), np.array([0.01]), np.array([math.pi - 0.01])).tolist()
    around = table.neighbours[table.first[here] : table.first[here + 1]]
    in_layer = around[table.layer[around] == em2]
    assert len(in_layer) == 8
    assert (table.phi[in_layer] < 0.0).sum() == 3
    assert {LAYERS[layer] for layer in table.layer[around]} == {"em1", "em2", "em3"}
