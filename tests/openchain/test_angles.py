"""Azimuths and distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.openchain.angles import distances, wrapped


@given(st.floats(-100.0, 100.0))
def test_wrapped(phi: float) -> None:
    (found,) = wrapped(np.array([phi]))
    assert abs(found) <= math.pi + 1e-12
    assert math.remainder(found - phi, 2.0 * math.pi) == pytest.approx(0.0, abs=1e-9)


def test_distances() -> None:
    found = distances(
        np.array([0.0, 1.0]),
        np.array([3.1, 0.0]),
        np.array([0.0, 1.0, 4.0]),
        np.array([-3.1, 0, 4]),
    )
    assert found.shape == (2, 3)
    assert found[0, 0] == pytest.approx(2.0 * math.pi - 6.2)
    assert found[1, 1] == 0.0
    assert found[1, 2] == pytest.approx(math.hypot(3.0, 2.0 * math.pi - 4.0))
