"""That lines of a display run as particles do."""

from __future__ import annotations

import numpy as np
import pytest

from hvmpi.display.paths import along_layers, curved, directions, straight
from hvmpi.openchain.field import bending_radius
from hvmpi.openchain.flight import BORE_R_MM
from hvmpi.openchain.layers import OUTER_R_MM, OUTER_Z_MM, VOLUMES
from hvmpi.openchain.schemas import LAYERS

UNKNOWN = np.full((1, 2), np.nan)


def track(pt: float, charge: int, d0: float = 0.0, phi: float = 0.0) -> np.ndarray:
    """Give the perigee of a track at right angles to z."""
    return np.array([[d0, 5.0, phi, np.pi / 2.0, charge / pt]])


def test_a_track_runs_from_its_perigee_to_the_end_of_the_field() -> None:
    (path,) = curved(track(5.0, 1, d0=3.0, phi=0.5), np.array([1.0]), UNKNOWN)
    assert path[0] == pytest.approx([-3.0 * np.sin(0.5), 3.0 * np.cos(0.5), 5.0])
    assert np.hypot(*path[-1, :2]) == pytest.approx(BORE_R_MM)
    assert path[:, 2] == pytest.approx(np.full(len(path), 5.0))


@pytest.mark.parametrize("charge", [1, -1])
def test_a_track_is_an_arc_of_the_radius_that_its_momentum_gives(charge: int) -> None:
    (path,) = curved(track(2.0, charge), np.array([float(charge)]), UNKNOWN)
    (radius,) = bending_radius(np.array([2.0]), np.array([1.0]))
    # What is positive turns clockwise, towards negative y.
    centre = np.array([0.0, -charge * radius])
    assert np.hypot(*(path[:, :2] - centre).T) == pytest.approx(np.full(len(path), radius))


def test_what_curls_up_ends_after_half_a_turn() -> None:
    (path,) = curved(track(0.2, 1), np.array([1.0]), UNKNOWN)
    (radius,) = bending_radius(np.array([0.2]), np.array([1.0]))
    assert path[-1, :2] == pytest.approx([0.0, -2.0 * radius], abs=1e-6)


def test_a_displaced_track_begins_where_its_particle_was_made() -> None:
    (path,) = curved(track(3.0, -1), np.array([-1.0]), UNKNOWN)
    for born in (path[9, :2], path[15, :2]):
        (begun,) = curved(track(3.0, -1), np.array([-1.0]), born[None])
        assert begun[0, :2] == pytest.approx(born)
        assert begun[-1] == pytest.approx(path[-1])


def test_a_track_that_comes_from_behind_the_axis_begins_behind_it() -> None:
    born = np.array([[-300.0, 0.0]])
    (path,) = curved(track(50.0, 1), np.array([1.0]), born)
    assert path[0, :2] == pytest.approx(born[0], abs=2.0)


def test_a_place_that_a_track_misses_is_not_believed() -> None:
    (path,) = curved(track(50.0, 1), np.array([1.0]), np.array([[300.0, 200.0]]))
    assert path[0, :2] == pytest.approx([0.0, 0.0])


def test_straight_lines_end_at_the_surface_of_the_detector() -> None:
    eta, phi = np.array([0.0, 0.5, 3.0, -4.0]), np.array([0.0, 2.0, -1.0, 3.0])
    ends = straight(np.zeros((4, 3)), 7.0 * directions(eta, phi))
    assert np.hypot(*ends[:2, :2].T) == pytest.approx([OUTER_R_MM] * 2)
    assert ends[2:, 2] == pytest.approx([OUTER_Z_MM, -OUTER_Z_MM])
    assert np.arctan2(ends[:, 1], ends[:, 0]) == pytest.approx(phi)


def test_what_starts_outside_gets_a_short_line() -> None:
    (end,) = straight(np.array([[9000.0, 0.0, 0.0]]), np.array([[0.0, 2.0, 0.0]]))
    assert end == pytest.approx([9000.0, 1000.0, 0.0])


def test_rays_meet_the_layers_where_the_geometry_has_them() -> None:
    near, far = along_layers(np.array([0.0]), np.array([1.0]))
    for layer, begin, end in zip(LAYERS, near[0], far[0], strict=True):
        barrel = [v.r for v in VOLUMES if v.layer == layer and v.along == "r" and v.z[0] == 0.0]
        if barrel:
            assert (begin, end) == pytest.approx(barrel[0])
        else:
            assert np.isnan(begin)


def test_between_barrel_and_end_cap_the_longer_way_counts() -> None:
    near, far = along_layers(np.array([1.5]), np.array([0.0]))
    em2 = LAYERS.index("em2")
    (end_cap,) = [v.z for v in VOLUMES if v.layer == "em2" and v.along == "z"]
    assert (near[0, em2], far[0, em2]) == pytest.approx(tuple(np.array(end_cap) / np.tanh(1.5)))
