"""Topological clusters: deposits with known answers, and what holds for any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hvmpi.openchain.clusters import Clusters, cell_sums, find_clusters
from hvmpi.openchain.layers import cells
from hvmpi.openchain.schemas import AOD, LAYERS

SIGMA_GEV = 0.05


def cell_at(layer: str, eta: float, phi: float) -> int:
    where = np.array([LAYERS.index(layer)]), np.array([eta]), np.array([phi])
    return int(cells().find(*where)[0])


def neighbours_of(cell: int) -> NDArray[np.int32]:
    table = cells()
    return table.neighbours[table.first[cell] : table.first[cell + 1]]


def around(*deposits: tuple[int, float], floor: float = 0.01) -> dict[int, float]:
    """Return energies on cells and, below noise, on all neighbours of theirs."""
    made = {int(near): floor for cell, _ in deposits for near in neighbours_of(cell)}
    return made | dict(deposits)


def clusters_of(
    deposits: dict[int, float],
    sigma: float | dict[int, float] = SIGMA_GEV,
    time: dict[int, float] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], Clusters]:
    cell = np.array(sorted(deposits), dtype=np.int64)
    energy = np.array([deposits[number] for number in cell.tolist()])
    noise = np.array(
        [sigma.get(n, SIGMA_GEV) if isinstance(sigma, dict) else sigma for n in cell.tolist()]
    )
    times = np.array([(time or {}).get(n, 0.0) for n in cell.tolist()])
    return cell, energy, find_clusters(cell, energy, times, noise)


def test_table_has_the_fields_of_the_product() -> None:
    _, _, found = clusters_of({cell_at("em2", 0.3, 0.3): 1.0})
    wanted = [field.name for field in AOD.collections["clusters"] if field.name != "jet"]
    assert list(found.table) == wanted


def test_two_separated_deposits_are_two_clusters() -> None:
    one, other = cell_at("em2", 0.3, 0.3), cell_at("em2", 0.5, 0.3)
    cell, _, found = clusters_of(around((one, 2.0), (other, 5.0)))
    assert len(found) == 2
    first, second = (found.cluster_of_cell[np.flatnonzero(cell == n)[0]] for n in (other, one))
    assert (first, second) == (0, 1)
    np.testing.assert_array_equal(
        found.table["n_cells"], [1 + len(neighbours_of(other)), 1 + len(neighbours_of(one))]
    )
    np.testing.assert_allclose(
        found.table["e"],
        [5.0 + 0.01 * len(neighbours_of(other)), 2.0 + 0.01 * len(neighbours_of(one))],
    )


@pytest.mark.parametrize(
    ("seed", "growth", "expected"), [(4.1, 2.1, 2), (4.1, 1.9, 1), (3.9, 3.9, 0), (-4.1, -2.1, 2)]
)
def test_thresholds(seed: float, growth: float, expected: int) -> None:
    """Four cells in a row: seed, growth, and one that only growth reaches; one far away."""
    row = [cell_at("tile2", 0.05 + 0.1 * step, 1.0) for step in range(3)]
    alone = cell_at("tile2", 1.05, 1.0)
    deposits = dict(zip(row, (seed, growth, 0.5), strict=True)) | {alone: growth}
    cell, _, found = clusters_of({n: SIGMA_GEV * value for n, value in deposits.items()})
    inside = set(cell[found.cluster_of_cell >= 0].tolist())
    assert inside == {0: set(), 1: set(row[:2]), 2: set(row)}[expected]


def test_a_perimeter_cell_is_not_grown_through() -> None:
    row = [cell_at("tile2", 0.05 + 0.1 * step, 1.0) for step in range(4)]
    deposits = dict(zip(row, (10.0, 1.0, 3.0, 10.0), strict=True))
    cell, _, found = clusters_of({n: SIGMA_GEV * value for n, value in deposits.items()})
    assert len(found) == 2
    # The cell between them has neighbours of 10 and 3 sigma.
    assert found.cluster_of_cell[cell == row[1]] == found.cluster_of_cell[cell == row[0]]
    assert found.cluster_of_cell[cell == row[2]] == found.cluster_of_cell[cell == row[3]]


def test_clusters_merge_across_layers_and_calorimeters() -> None:
    column = [cell_at(layer, 0.31, 0.31) for layer in ("em2", "em3", "tile1", "tile2")]
    _, _, found = clusters_of(dict.fromkeys(column, 1.0))
    assert len(found) == 1
    assert found.table["e"] == pytest.approx(4.0)
    for layer in LAYERS:
        expected = 1.0 if layer in ("em2", "em3", "tile1", "tile2") else 0.0
        assert found.table[f"e_{layer}"] == pytest.approx(expected)


def test_clusters_merge_from_barrel_to_end_cap() -> None:
    tile, hec = cell_at("tile1", 1.65, 0.31), cell_at("hec1", 1.65, 0.31)
    assert hec in neighbours_of(tile)
    _, _, found = clusters_of({tile: 1.0, hec: 2.0})
    assert len(found) == 1


def peaks(layer: str, width: float, valley: float, *, below: str | None = None) -> dict[int, float]:
    """Return two peaks of 5 and 4 GeV, five cells from each other, joined by a valley."""
    row = [cell_at(layer, 0.5 * width + width * step, 0.31) for step in range(-2, 8)]
    energies = (0.2, 1.0, 5.0, 1.0, valley, valley, 1.0, 4.0, 1.0, 0.2)
    made = around(*zip(row, energies, strict=True), floor=0.03)
    if below is not None:
        made[cell_at(below, 0.01, 0.31)] = 3.0
    return made


def test_two_maxima_split_a_cluster() -> None:
    cell, energy, found = clusters_of(peaks("em2", 0.025, 0.3))
    assert len(found) == 2
    assert found.table["e"].sum() == pytest.approx(energy.sum())
    top = [
        cell[(found.cluster_of_cell == n)][energy[found.cluster_of_cell == n].argmax()]
        for n in (0, 1)
    ]
    assert top == [cell_at("em2", 0.0125, 0.31), cell_at("em2", 0.1375, 0.31)]
    np.testing.assert_allclose(found.table["eta"], [0.0125, 0.1375], atol=0.01)


@pytest.mark.parametrize(
    ("layer", "width", "expected"), [("em1", 0.025, 2), ("presampler", 0.025, 1), ("tile2", 0.1, 2)]
)
def test_maxima_by_layer(layer: str, width: float, expected: int) -> None:
    _, _, found = clusters_of(peaks(layer, width, 0.3))
    assert len(found) == expected


def test_small_maxima_do_not_split() -> None:
    shrunk = {cell: 0.12 * energy for cell, energy in peaks("em2", 0.025, 1.0).items()}
    _, _, found = clusters_of(shrunk, sigma=0.01)
    assert found.table["n_cells"].max() == len(shrunk)


@pytest.mark.parametrize(("sides", "expected"), [(1, 1), (2, 2)])
def test_maxima_with_few_neighbours_do_not_split(sides: int, expected: int) -> None:
    """The maxima have two neighbours in their row, and one or two beside it."""
    row = [cell_at("em2", 0.0125 + 0.025 * step, 0.31) for step in range(7)]
    made = dict(zip(row, (0.3, 5.0, 1.0, 0.3, 1.0, 4.0, 0.3), strict=True))
    for side in (0.025, -0.025)[:sides]:
        made |= {cell_at("em2", eta, 0.31 + side): 0.01 for eta in (0.0375, 0.1375)}
    _, _, found = clusters_of(made)
    assert len(found) == expected


def test_a_shower_is_not_split_along_its_depth() -> None:
    """Energy in em2 and in tile2, a gap in tile1: the tile's maximum is behind that of em2."""
    top, bottom = cell_at("em2", 0.31, 0.31), cell_at("tile2", 0.31, 0.31)
    between = [cell_at(layer, 0.31, 0.31) for layer in ("em3", "tile1")]
    made = around((top, 5.0), (bottom, 9.0), *((cell, 0.3) for cell in between))
    _, _, found = clusters_of(made)
    assert len(found) == 1
    # The same, seen from another direction: nothing hides the maximum of the tile.
    apart = cell_at("tile2", 0.41, 0.31)
    aside = [
        cell_at(layer, eta, 0.31)
        for layer, eta in (("em3", 0.31), ("tile1", 0.31), ("tile1", 0.41))
    ]
    made = around((top, 5.0), (apart, 9.0), *((cell, 0.3) for cell in aside))
    _, _, found = clusters_of(made)
    assert len(found) == 2


def test_of_maxima_behind_one_another_the_more_energetic_one_counts() -> None:
    """Two in the tile on one line from the origin, and one apart."""
    front, back = cell_at("tile1", 0.31, 0.31), cell_at("tile3", 0.31, 0.31)
    apart = cell_at("tile1", 0.75, 0.31)
    row = [cell_at(layer, 0.31, 0.31) for layer in ("tile2",)]
    row += [cell_at("tile1", eta, 0.31) for eta in (0.45, 0.55, 0.65)]
    made = around((front, 5.0), (back, 4.0), (apart, 6.0), *((cell, 0.3) for cell in row))
    cell, _, found = clusters_of(made)
    assert len(found) == 2
    owner = dict(zip(cell.tolist(), found.cluster_of_cell.tolist(), strict=True))
    assert owner[front] == owner[back] != owner[apart]


def test_a_strip_maximum_gives_way_to_one_behind_it() -> None:
    strip, other = cell_at("em1", 0.0125, 0.31), cell_at("em1", 0.1375, 0.31)
    made = peaks("em2", 0.025, 0.3) | dict.fromkeys([*neighbours_of(strip).tolist()], 0.2)
    made |= peaks("em2", 0.025, 0.3) | {strip: 8.0, other: 1.0}
    _, _, found = clusters_of(made)
    assert len(found) == 2


def test_direction_across_the_seam_of_phi() -> None:
    low, high = cell_at("em2", 0.3, -math.pi + 0.01), cell_at("em2", 0.3, math.pi - 0.01)
    assert high in neighbours_of(low)
    _, _, found = clusters_of({low: 1.0, high: 3.0})
    assert len(found) == 1
    step = 2.0 * math.pi / 256
    assert found.table["phi"][0] == pytest.approx(math.pi - step / 4.0)


def test_direction_energy_and_time() -> None:
    left, right = cell_at("tile2", 0.25, 1.0), cell_at("tile2", 0.35, 1.0)
    low = cell_at("tile2", 0.45, 1.0)
    _, _, found = clusters_of(
        {left: 3.0, right: 1.0, low: -0.08}, time={left: 2.0, right: 12.0, low: 1000.0}
    )
    table = found.table
    assert table["e"][0] == pytest.approx(3.92)
    assert table["eta"][0] == pytest.approx((3.0 * 0.25 + 0.35 + 0.08 * 0.45) / 4.08)
    assert table["time"][0] == pytest.approx((9.0 * 2.0 + 12.0) / 10.0)
    assert table["pt"][0] == pytest.approx(3.92 / math.cosh(table["eta"][0]))


def test_clusters_below_zero_are_kept_at_the_end() -> None:
    one, other = cell_at("em2", 0.3, 0.3), cell_at("em2", 0.5, 0.3)
    _, _, found = clusters_of({one: -1.0, other: 1.0})
    np.testing.assert_array_equal(found.table["e"], [1.0, -1.0])
    assert found.table["time"][1] == 0.0


def test_equal_energies_are_ordered_by_cell() -> None:
    places = [cell_at("em2", eta, 0.3) for eta in (0.3, 0.5, 0.7)]
    cell, _, found = clusters_of(dict.fromkeys(places, 1.0))
    np.testing.assert_array_equal(found.cluster_of_cell, [0, 1, 2])
    np.testing.assert_array_equal(cell, sorted(places))


def test_no_cells_and_no_significant_cells() -> None:
    nothing = np.empty(0)
    for cell in (np.empty(0, dtype=np.int64), np.arange(0, 1000, 7)):
        level = np.full(len(cell), 0.1)
        found = find_clusters(cell, level, level, level)
        assert len(found) == 0
        assert (found.cluster_of_cell == -1).all()
        sums = cell_sums(cell, level, found.cluster_of_cell)
        assert sums["e"].sum() == 0.0
        assert sums["e_read"].sum() == pytest.approx(0.1 * len(cell))
    assert len(find_clusters(np.empty(0, dtype=np.int64), nothing, nothing, nothing)) == 0


def test_noise_alone_makes_few_small_clusters() -> None:
    """Above 4 sigma are 6.3e-5 of the cells: 7.3 seeds an event, now and then two in a cluster."""
    random = np.random.default_rng(3)
    numbers = []
    for _ in range(20):
        energy = random.normal(0.0, SIGMA_GEV, len(cells()))
        cell = np.flatnonzero(np.abs(energy) > 1.5 * SIGMA_GEV)
        found = find_clusters(
            cell, energy[cell], np.zeros(len(cell)), np.full(len(cell), SIGMA_GEV)
        )
        numbers.append(len(found))
        assert np.abs(found.table["e"]).max() < 2.0
    expected = len(cells()) * math.erfc(4.0 / math.sqrt(2.0)) * 20
    assert sum(numbers) == pytest.approx(expected, abs=5.0 * math.sqrt(expected))


def reference(cell: NDArray[np.int64], size: NDArray[np.float64]) -> list[set[int]]:
    """Grow clusters one cell at a time; only what is grown through, before splitting."""
    significance = dict(zip(cell.tolist(), size.tolist(), strict=True))
    left = {number for number, value in significance.items() if value > 2.0}
    found = []
    while left:
        group, stack = set(), [left.pop()]
        while stack:
            here = stack.pop()
            group.add(here)
            near = set(neighbours_of(here).tolist()) & left
            left -= near
            stack.extend(near)
        if max(significance[number] for number in group) > 4.0:
            found.append(group)
    return found


@st.composite
def showers(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells near a few directions, many layers, some with a lot of energy."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    number = draw(st.integers(1, 400))
    directions = random.uniform([-4.5, -math.pi], [4.5, math.pi], (draw(st.integers(1, 4)), 2))
    eta, phi = directions[random.integers(0, len(directions), number)].T
    cell = np.unique(
        cells().find(
            random.integers(0, len(LAYERS), number),
            eta + random.normal(0.0, 0.15, number),
            phi + random.normal(0.0, 0.15, number),
        )
    )
    scale = draw(st.sampled_from([SIGMA_GEV, 0.5, 5.0]))
    return cell, random.normal(0.0, SIGMA_GEV, len(cell)) + random.exponential(scale, len(cell))


@settings(max_examples=60, deadline=None)
@given(showers())
def test_what_holds_for_any_cells(event: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    cell, energy = event
    sigma = np.full(len(cell), SIGMA_GEV)
    found = find_clusters(cell, energy, np.zeros(len(cell)), sigma)
    inside = found.cluster_of_cell >= 0
    # Every cluster has cells, every clustered cell one cluster, and the energy is theirs.
    np.testing.assert_array_equal(
        np.bincount(found.cluster_of_cell[inside], minlength=len(found)), found.table["n_cells"]
    )
    assert (found.table["n_cells"] > 0).all()
    assert found.table["e"].sum() == pytest.approx(energy[inside].sum(), abs=1e-9)
    by_layer = sum(found.table[f"e_{layer}"] for layer in LAYERS)
    np.testing.assert_allclose(by_layer, found.table["e"], atol=1e-9)
    assert (np.diff(found.table["e"]) <= 0.0).all()
    assert (np.abs(found.table["phi"]) <= math.pi).all()
    # Without splitting, it is what growing cell by cell finds, with a ring around.
    groups = reference(cell, np.abs(energy) / SIGMA_GEV)
    grown = set().union(*groups)
    ring = {int(near) for number in grown for near in neighbours_of(number)}
    assert set(cell[inside].tolist()) == grown | (ring & set(cell.tolist()))
    owner = dict(zip(cell.tolist(), found.cluster_of_cell.tolist(), strict=True))
    owners = [{owner[number] for number in group} for group in groups]
    assert sum(map(len, owners)) == len(set().union(*owners))


@settings(max_examples=30, deadline=None)
@given(showers(), st.integers(0, 255))
def test_a_turn_changes_nothing(
    event: tuple[NDArray[np.int64], NDArray[np.float64]], turn: int
) -> None:
    """By a quarter, all grids come to lie on themselves."""
    cell, energy = event
    table = cells()
    turned = table.find(
        table.layer[cell], table.eta[cell], table.phi[cell] + (turn % 4) * math.pi / 2.0
    )
    order = np.argsort(turned)
    sigma, zero = np.full(len(cell), SIGMA_GEV), np.zeros(len(cell))
    found = find_clusters(cell, energy, zero, sigma)
    again = find_clusters(turned[order], energy[order], zero, sigma)
    np.testing.assert_allclose(again.table["e"], found.table["e"])
    np.testing.assert_array_equal(again.table["n_cells"], found.table["n_cells"])


def test_cell_sums() -> None:
    one, other = cell_at("em2", 0.3, 0.3), cell_at("tile2", -0.7, 0.3)
    cell, energy, found = clusters_of({one: 1.0, other: 0.01})
    sums = cell_sums(cell, energy, found.cluster_of_cell)
    assert list(sums) == [field.name for field in AOD.collections["cell_sums"]]
    row = LAYERS.index
    assert sums["layer"].tolist() == list(range(len(LAYERS)))
    assert sums["e"][row("em2")] == pytest.approx(1.0)
    assert sums["e"][row("tile2")] == 0.0
    assert sums["e_read"][row("tile2")] == pytest.approx(0.01)
    assert sums["n_cells"].sum() == 2
