"""Electrons and muons: which are found, how often, and how well measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.leptons import find_electrons, find_muons
from hvmpi.openchain.schemas import AOD, TRUTH

NO_TRACKS: Table = {"truth": np.empty(0, dtype=np.int64), "match": np.empty(0)}
FIND: dict[int, Callable[..., Table]] = {11: find_electrons, 13: find_muons}


def particles(
    pdg_id: int, pt: float | np.ndarray, eta: float | np.ndarray, size: int, /, **others: object
) -> Table:
    """Return stable particles of the event record, born at the origin."""
    pt, eta = np.broadcast_to(pt, size), np.broadcast_to(eta, size)
    phi = np.linspace(-3.0, 3.0, size)
    table = {field.name: np.zeros(size, field.dtype) for field in TRUTH}
    table |= {
        "barcode": np.arange(size) + 1,
        "pdg_id": np.full(size, pdg_id),
        "status": np.ones(size, dtype=np.int32),
        "charge": np.full(size, -np.sign(pdg_id), dtype=np.float32),
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
    }
    return table | {name: np.broadcast_to(values, size) for name, values in others.items()}


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("pdg_id", "pt", "efficiency"),
    [(11, 10.0, 0.70), (11, 20.0, 0.78), (11, 500.0, 0.94), (13, 3.001, 0.50), (13, 50.0, 0.97)],
)
def test_efficiency(pdg_id: int, pt: float, efficiency: float) -> None:
    size = 20000
    found = FIND[pdg_id](particles(pdg_id, pt, 0.5, size), NO_TRACKS, rng())
    low, high = binomtest(len(found["pt"]), size).proportion_ci(0.9999)
    assert low < efficiency < high


@pytest.mark.parametrize(
    ("pdg_id", "pt", "relative"),
    [(11, 10.0, 0.0327), (11, 100.0, 0.0123), (13, 10.0, 0.0201), (13, 100.0, 0.025)],
)
def test_resolution(pdg_id: int, pt: float, relative: float) -> None:
    found = FIND[pdg_id](particles(pdg_id, pt, 0.0, 20000), NO_TRACKS, rng())
    ratio = found["pt"] / pt
    assert ratio.mean() == pytest.approx(1.0, abs=4.0 * relative / 100.0)
    assert ratio.std() == pytest.approx(relative, rel=0.03)


def test_an_electron_is_measured_by_its_energy() -> None:
    """100 GeV at eta 2: pT is 26.6 GeV."""
    pt = 100.0 / np.cosh(2.0)
    found = find_electrons(particles(11, pt, 2.0, 20000), NO_TRACKS, rng())
    assert (found["pt"] / pt).std() == pytest.approx(0.0123, rel=0.03)


@pytest.mark.parametrize(
    "others",
    [
        {"status": 2},
        {"barcode": 2**32 + 5},
        {"x": 80.0, "y": -80.0},
        {"pdg_id": 22},
        {"pdg_id": 15},
    ],
)
@pytest.mark.parametrize("pdg_id", [11, 13])
def test_what_is_not_found(pdg_id: int, others: dict[str, object]) -> None:
    truth = particles(pdg_id, 50.0, 0.0, 50, **others)
    assert len(FIND[pdg_id](truth, NO_TRACKS, rng())["pt"]) == 0


@pytest.mark.parametrize(
    ("pdg_id", "pt", "eta", "there"),
    [
        (11, 5.1, 2.46, True),
        (11, 4.9, 0.0, False),
        (11, 50.0, -2.48, False),
        (-13, 3.1, -2.69, True),
        (13, 2.9, 0.0, False),
        (13, 50.0, 2.71, False),
    ],
)
def test_acceptance(pdg_id: int, pt: float, eta: float, there: bool) -> None:
    found = FIND[abs(pdg_id)](particles(pdg_id, pt, eta, 50), NO_TRACKS, rng())
    assert (len(found["pt"]) > 0) is there


def test_fields_order_and_links() -> None:
    size = 400
    random = rng(5)
    truth = particles(-11, random.uniform(6.0, 90.0, size), random.uniform(-2.4, 2.4, size), size)
    truth["x"] = np.full(size, 60.0)
    # Every second one has a track, every fourth a second, better one; one track is a fake.
    rows = np.concatenate([np.arange(0, size, 2), [-1], np.arange(0, size, 4)])
    match = np.concatenate([np.full(size // 2, 0.7), [0.9], np.full(size // 4, 0.8)])
    found = find_electrons(truth, {"truth": rows, "match": match}, random)
    assert list(found) == [field.name for field in AOD.collections["electrons"]]
    assert (np.diff(found["pt"]) < 0.0).all()
    assert len(set(found["truth"].tolist())) == len(found["truth"]) > 250
    np.testing.assert_array_equal(found["charge"], 1)
    np.testing.assert_allclose(found["phi"], np.arctan2(truth["py"], truth["px"])[found["truth"]])
    wanted = np.full(size, -1)
    wanted[::2] = np.arange(size // 2)
    wanted[::4] = size // 2 + 1 + np.arange(size // 4)
    np.testing.assert_array_equal(found["track"], wanted[found["truth"]])


def test_the_same_draws_make_the_same_leptons() -> None:
    truth = particles(13, 20.0, 0.5, 50)
    one, same, other = (find_muons(truth, NO_TRACKS, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["pt"], same["pt"])
    assert one["pt"].tolist() != other["pt"].tolist()


def test_an_empty_event() -> None:
    for find in FIND.values():
        found = find(particles(11, 1.0, 1.0, 0), NO_TRACKS, rng())
        assert set(map(len, found.values())) == {0}
