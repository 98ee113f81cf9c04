"""Jets: against anti-kt done pair by pair, and from clusters with known answers."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hvmpi.openchain.calibration import Calibration, Response
from hvmpi.openchain.clusters import Clusters, find_clusters
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.jets import reconstruct_jets, truth_jets
from hvmpi.openchain.layers import cells
from hvmpi.openchain.schemas import AOD, LAYERS

DOUBLE = Calibration((0.0, 4.9), (Response((20.0,), (0.5,), (0.0,), (0,)),), {})
NO_TRUTH: Table = {name: np.empty(0) for name in ("pt", "eta", "phi", "mass", "n_particles")}


def massless(pt: list[float], eta: list[float], phi: list[float]) -> Table:
    pt_, eta_, phi_ = (np.array(values, dtype=np.float64) for values in (pt, eta, phi))
    return {
        "px": pt_ * np.cos(phi_),
        "py": pt_ * np.sin(phi_),
        "pz": pt_ * np.sinh(eta_),
        "e": pt_ * np.cosh(eta_),
    }


def anti_kt(particles: Table) -> list[tuple[NDArray[np.float64], int]]:
    """Return momentum and number of constituents of all jets, the slow way."""
    left = [(row, 1) for row in np.stack([particles[k] for k in ("px", "py", "pz", "e")], axis=1)]
    jets = []

    def place(momentum: NDArray[np.float64]) -> tuple[float, float, float]:
        px, py, pz, e = momentum
        return px**2 + py**2, 0.5 * math.log((e + pz) / (e - pz)), math.atan2(py, px)

    while left:
        places = [place(momentum) for momentum, _ in left]
        best, pair = min((1.0 / pt2, (i, i)) for i, (pt2, _, _) in enumerate(places))
        for i, (pt2, y, phi) in enumerate(places):
            for j, (other_pt2, other_y, other_phi) in enumerate(places[:i]):
                turn = math.remainder(phi - other_phi, 2.0 * math.pi)
                distance2 = (y - other_y) ** 2 + turn**2
                value = min(1.0 / pt2, 1.0 / other_pt2) * distance2 / 0.4**2
                if value < best:
                    best, pair = value, (i, j)
        high, low = pair
        one = left.pop(high)
        if high == low:
            jets.append(one)
        else:
            other = left.pop(low)
            left.append((one[0] + other[0], one[1] + other[1]))
    return jets


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 25))
def test_true_jets_are_those_of_anti_kt(seed: int, number: int) -> None:
    random = np.random.default_rng(seed)
    particles = massless(
        random.exponential(4.0, number) + 0.3,
        random.uniform(-1.5, 1.5, number),
        random.uniform(-math.pi, math.pi, number),
    )
    expected = sorted(
        (
            (np.hypot(*momentum[:2]), *momentum, count)
            for momentum, count in anti_kt(particles)
            if np.hypot(*momentum[:2]) > 5.0
        ),
        key=lambda jet: -jet[0],
    )
    found = truth_jets(particles)
    assert list(found) == [field.name for field in AOD.collections["truth_jets"]]
    assert len(found["pt"]) == len(expected)
    pt, px, py, pz, e, count = np.array(expected).reshape(-1, 6).T
    np.testing.assert_allclose(found["pt"], pt)
    np.testing.assert_allclose(found["eta"], np.arcsinh(pz / pt))
    np.testing.assert_allclose(found["phi"], np.arctan2(py, px))
    np.testing.assert_array_equal(found["n_particles"], count)
    mass2 = e**2 - px**2 - py**2 - pz**2
    np.testing.assert_allclose(found["mass"] ** 2, np.maximum(mass2, 0.0), atol=1e-6)


def test_true_jets_are_above_5_gev_and_within_the_calorimeters() -> None:
    found = truth_jets(
        massless([4.9, 5.1, 50.0, 50.0], [0.0, 1.0, 4.8, -5.0], [0.0, 1.0, 2.0, 3.0])
    )
    np.testing.assert_allclose(found["pt"], [50.0, 5.1])
    np.testing.assert_allclose(found["eta"], [4.8, 1.0])
    assert len(truth_jets(massless([], [], []))["pt"]) == 0


def test_a_jet_across_the_seam_of_phi() -> None:
    found = truth_jets(massless([10.0, 10.0], [0.0, 0.0], [math.pi - 0.1, -math.pi + 0.1]))
    assert len(found["pt"]) == 1
    assert abs(found["phi"][0]) == pytest.approx(math.pi)


# --- from clusters ---------------------------------------------------------------------------


class Seen:
    """Single cells with energy, each of them a cluster."""

    def __init__(self, *deposits: tuple[str, float, float, float]) -> None:
        layer, eta, phi, energy = zip(*deposits, strict=True) if deposits else ((),) * 4
        rows = np.array([LAYERS.index(name) for name in layer], dtype=np.int64)
        place = np.array(eta, dtype=np.float64), np.array(phi, dtype=np.float64)
        number = cells().find(rows, *place)
        order = np.argsort(number)
        self.cell, self.energy = number[order], np.array(energy, dtype=np.float64)[order]
        level = np.full(len(order), 0.01)
        self.clusters: Clusters = find_clusters(self.cell, self.energy, level, level)

    def jets(self, truth: Table = NO_TRUTH) -> tuple[Table, NDArray[np.int64]]:
        return reconstruct_jets(self.clusters, self.cell, self.energy, truth, DOUBLE)


def test_jets_of_clusters() -> None:
    seen = Seen(
        ("em2", 0.11, 0.5, 20.0),
        ("em2", 0.31, 0.5, 10.0),
        ("tile2", 0.25, 0.7, 5.0),
        ("em2", -1.0, 2.5, 90.0),
        ("em2", 1.2, -2.0, 1.0),
        ("em2", 0.21, 0.3, -3.0),
    )
    jets, jet_of_cluster = seen.jets()
    assert list(jets) == [field.name for field in AOD.collections["jets"]]
    table = seen.clusters.table
    assert len(jets["pt"]) == 2
    np.testing.assert_array_equal(jets["n_clusters"], [1, 3])
    np.testing.assert_array_equal(
        np.bincount(jet_of_cluster[jet_of_cluster >= 0]), jets["n_clusters"]
    )
    assert set(jet_of_cluster[table["e"] < 2.0].tolist()) == {-1}
    np.testing.assert_allclose(jets["pt"], 2.0 * jets["pt_em"])
    np.testing.assert_allclose(jets["mass"], 2.0 * jets["mass_em"])
    mine = jet_of_cluster == 1
    px, py = ((table["pt"][mine] * turn(table["phi"][mine])).sum() for turn in (np.cos, np.sin))
    pz, e = (table["pt"][mine] * np.sinh(table["eta"][mine])).sum(), table["e"][mine].sum()
    assert jets["pt_em"][1] == pytest.approx(math.hypot(px, py))
    assert jets["eta"][1] == pytest.approx(math.asinh(pz / math.hypot(px, py)))
    assert jets["phi"][1] == pytest.approx(math.atan2(py, px))
    assert jets["mass_em"][1] == pytest.approx(math.sqrt(e**2 - px**2 - py**2 - pz**2))
    assert jets["mass_em"][0] == pytest.approx(0.0, abs=1e-5)
    np.testing.assert_allclose(jets["e_em2"], [90.0, 30.0])
    np.testing.assert_allclose(jets["e_tile2"], [0.0, 5.0])
    np.testing.assert_allclose(jets["e_hec1"], 0.0)


def test_jets_below_the_threshold_are_not_kept() -> None:
    jets, jet_of_cluster = Seen(("em2", 0.01, 0.5, 3.9), ("em2", 1.01, 0.5, 7.0)).jets()
    assert len(jets["pt"]) == 1
    np.testing.assert_array_equal(jet_of_cluster, [0, -1])


@pytest.mark.parametrize("deposits", [(), (("em2", 0.0, 0.0, -9.0),), (("em2", 0.0, 0.0, 1.0),)])
def test_events_without_jets(deposits: tuple[tuple[str, float, float, float], ...]) -> None:
    jets, jet_of_cluster = Seen(*deposits).jets()
    assert set(map(len, jets.values())) == {0}
    np.testing.assert_array_equal(jet_of_cluster, np.full(len(deposits), -1))


def test_one_cluster() -> None:
    jets, jet_of_cluster = Seen(("fcal1", 4.0, 1.0, 500.0)).jets()
    np.testing.assert_array_equal(jet_of_cluster, [0])
    assert jets["pt_em"][0] == pytest.approx(500.0 / math.cosh(jets["eta"][0]))


def test_towers() -> None:
    """Layers of a tower add up; a tower below 0.5 GeV of transverse energy does not count."""
    seen = Seen(
        ("em2", 0.01, 0.05, 20.0),
        ("em2", 0.06, 0.05, 0.3),
        ("em2", 0.16, 0.05, 0.3),
        ("tile2", 0.15, 0.05, 0.25),
        ("em2", 0.01, 0.25, 0.45),
        ("tile3", 0.1, 0.35, 3.0),
    )
    jets, _ = seen.jets()
    np.testing.assert_array_equal(jets["n_towers"], [3])
    forward, _ = Seen(("fcal1", 4.0, 1.0, 500.0), ("fcal1", 4.2, 1.3, 12.0)).jets()
    np.testing.assert_array_equal(forward["n_towers"], [1])


def test_true_jets_take_the_nearest_free_jet() -> None:
    seen = Seen(("em2", 0.0125, 0.0, 60.0), ("em2", 0.5125, 0.0, 40.0), ("em2", -1.5, 2.0, 200.0))
    truth = {
        "pt": np.array([90.0, 50.0, 45.0, 20.0]),
        "eta": np.array([0.25, 0.27, 0.30, -1.0]),
        "phi": np.array([0.0, 0.0, 0.0, 2.0]),
    }
    jets, _ = seen.jets(truth)
    # By falling pT they take: the jet at 0.01, the one at 0.51, none, none.
    np.testing.assert_allclose(jets["eta"], [-1.5, 0.0125, 0.5125], atol=0.02)
    np.testing.assert_array_equal(jets["truth_jet"], [-1, 0, 1])


def test_true_jets_match_within_their_radius() -> None:
    seen = Seen(("em2", 0.0125, 0.0, 60.0), ("em2", 2.0125, 0.0, 200.0))
    truth = {"pt": np.array([9.0, 8.0]), "eta": np.array([0.29, 2.33]), "phi": np.zeros(2)}
    jets, _ = seen.jets(truth)
    np.testing.assert_array_equal(jets["truth_jet"], [0, -1])


def test_order_of_jets_is_that_of_calibrated_pt() -> None:
    steps = Calibration(
        (0.0, 1.0, 4.9),
        (Response((20.0,), (0.9,), (0.0,), (0,)), Response((20.0,), (0.5,), (0.0,), (0,))),
        {},
    )
    seen = Seen(("em2", 0.5, 0.0, 30.0), ("em2", 1.5, 2.0, 60.0))
    jets, jet_of_cluster = reconstruct_jets(seen.clusters, seen.cell, seen.energy, NO_TRUTH, steps)
    assert jets["pt_em"][0] < jets["pt_em"][1]
    assert jets["pt"][0] > jets["pt"][1]
    np.testing.assert_allclose(jets["e_em2"], seen.clusters.table["e"][jet_of_cluster.argsort()])


def test_fastjet_keeps_silent() -> None:
    code = (
        "import numpy as np; from hvmpi.openchain.jets import truth_jets;"
        "truth_jets({name: np.ones(3) for name in ('px', 'py', 'pz')} | {'e': np.full(3, 2.0)})"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (made.stdout, made.stderr) == (b"", b"")
