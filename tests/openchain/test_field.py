"""The field: helices, against particles that are moved step by step."""

from __future__ import annotations

import numpy as np
import pytest

from hvmpi.openchain.field import FIELD_T, bending_radius, perigee


def test_radius_is_p_over_0_3_q_b() -> None:
    radius = bending_radius(np.array([1.0, 1.0]), np.array([1.0, -2.0]))
    assert radius == pytest.approx([1000.0 / (0.299792458 * FIELD_T), 500.0 / 0.599584916])


@pytest.mark.parametrize("charge", [1.0, -1.0])
def test_perigee_is_where_a_track_is_nearest_to_the_axis(charge: float) -> None:
    position, momentum = np.array([12.0, -7.0, 30.0]), np.array([0.8, 1.1, -0.4])
    d0, z0 = perigee(tuple(position[:, None]), tuple(momentum[:, None]), np.array([charge]))
    # 0.01 mm a step, to either side.
    pt = np.hypot(*momentum[:2])
    way = np.arange(-3000, 3000) * 0.01
    turned = np.arctan2(momentum[1], momentum[0]) - charge * way / bending_radius(pt, 1.0)
    middle = len(way) // 2
    x, y = (np.cumsum(part) * 0.01 for part in (np.cos(turned), np.sin(turned)))
    x, y = x - x[middle] + position[0], y - y[middle] + position[1]
    nearest = int(np.argmin(np.hypot(x, y)))
    assert abs(d0[0]) == pytest.approx(np.hypot(x, y)[nearest], abs=0.02)
    assert z0[0] == pytest.approx(position[2] + way[nearest] * momentum[2] / pt, abs=0.02)
    # With ACTS's sign: across the track, to the right of it, is where the axis is.
    left = np.cos(turned[nearest]) * -y[nearest] - np.sin(turned[nearest]) * -x[nearest]
    assert np.sign(d0[0]) == -np.sign(left)
