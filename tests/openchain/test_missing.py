"""Missing transverse momentum: sums with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hvmpi.openchain.clusters import Clusters
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.missing import missing_et
from hvmpi.openchain.schemas import AOD


def rows(*directions: tuple[float, float, float], pt_em: float | None = None) -> Table:
    """Return pt, eta and phi; and pt_em, for jets, as a share of pt."""
    pt, eta, phi = np.array(directions, dtype=np.float64).reshape(-1, 3).T
    return {"pt": pt, "eta": eta, "phi": phi} | ({"pt_em": pt_em * pt} if pt_em else {})


def clusters(*directions: tuple[float, float, float]) -> Clusters:
    table = rows(*directions)
    return Clusters(table | {"e": table["pt"] * np.cosh(table["eta"])}, np.empty(0, dtype=np.int64))


def of(
    jets: Table, seen: Clusters, jet: list[int], electrons: Table, muons: Table
) -> tuple[float, float, float]:
    made = missing_et(jets, seen, np.array(jet, dtype=np.int64), electrons, muons)
    assert list(made) == [field.name for field in AOD.collections["missing_et"]]
    assert set(map(len, made.values())) == {1}
    return float(made["px"][0]), float(made["py"][0]), float(made["sum_et"][0])


NONE = rows()


def test_nothing_is_missing_from_nothing() -> None:
    assert of(rows(pt_em=0.5), clusters(), [], NONE, NONE) == (0.0, 0.0, 0.0)


def test_jets_soft_clusters_and_muons() -> None:
    jets = rows((100.0, 0.0, 0.0), (15.0, 1.0, math.pi / 2.0), pt_em=0.6)
    seen = clusters(
        (60.0, 0.0, 0.0), (9.0, 1.0, math.pi / 2.0), (2.0, -3.0, math.pi), (-1.0, 0.0, 1.0)
    )
    muons = rows((30.0, 2.0, -math.pi / 2.0))
    found = of(jets, seen, [0, 1, -1, -1], NONE, muons)
    # The second jet is too soft: its cluster enters instead.
    assert found == pytest.approx((-100.0 + 2.0, -9.0 + 30.0, 100.0 + 9.0 + 2.0 + 30.0))


def test_an_electron_is_not_calibrated_as_a_jet() -> None:
    jets = rows((80.0, 0.0, 0.0), (80.0, 0.0, 3.0), pt_em=0.5)
    seen = clusters((40.0, 0.0, 0.0), (40.0, 0.0, 3.0))
    near, far = rows((41.0, 0.1, 0.1)), rows((41.0, 0.3, 0.3))
    expected = (-40.0 - 80.0 * math.cos(3.0), -80.0 * math.sin(3.0), 120.0)
    assert of(jets, seen, [0, 1], near, NONE) == pytest.approx(expected)
    expected = (-80.0 - 80.0 * math.cos(3.0), -80.0 * math.sin(3.0), 160.0)
    assert of(jets, seen, [0, 1], far, NONE) == pytest.approx(expected)
