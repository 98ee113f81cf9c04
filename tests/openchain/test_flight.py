"""Flight: helices end on the bore's surface, rays are cut into all of the material on their way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.flight import BORE_R_MM, BORE_Z_MM, Rays, cut, fly
from hvmpi.openchain.layers import DEAD, map_of_volumes
from hvmpi.openchain.schemas import LAYERS


def particle(
    *,
    pdg_id: int = 22,
    charge: float = 0.0,
    mass: float = 0.0,
    pt: float = 10.0,
    eta: float = 0.0,
    phi: float = 0.0,
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
    t: float = 0.0,
) -> Table:
    """Return a table of one stable particle."""
    momentum = (pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta))
    values = (pdg_id, charge, mass, *momentum, *at, t)
    names = ("pdg_id", "charge", "mass", "px", "py", "pz", "x", "y", "z", "t")
    return {name: np.array([value]) for name, value in zip(names, values, strict=True)}


@given(
    pt=st.floats(0.05, 500.0),
    eta=st.floats(-3.0, 3.0),
    phi=st.floats(-math.pi, math.pi),
    charge=st.sampled_from([-2.0, -1.0, 0.0, 1.0]),
    radius=st.floats(0.0, 1100.0),
    z=st.floats(-3100.0, 3100.0),
)
def test_everything_leaves_the_bore_through_its_surface(
    pt: float, eta: float, phi: float, charge: float, radius: float, z: float
) -> None:
    rays = fly(particle(charge=charge, pt=pt, eta=eta, phi=phi, at=(radius, 0.0, z)))
    if charge != 0.0 and abs(math.sinh(eta)) < 1e-4:
        # It may circle for good.
        return
    (x, y, z_out) = rays.start[0]
    at_wall = math.isclose(math.hypot(x, y), BORE_R_MM, abs_tol=1e-3)
    at_end = math.isclose(abs(z_out), BORE_Z_MM, abs_tol=1e-3)
    assert at_wall or at_end
    assert np.linalg.norm(rays.direction[0]) == pytest.approx(1.0)
    straight = math.hypot(x - radius, y, z_out - z)
    assert rays.flown[0] >= straight - 1e-3
    if charge == 0.0:
        assert rays.flown[0] == pytest.approx(straight, abs=1e-6)


def test_a_positive_particle_turns_clockwise_by_the_known_angle() -> None:
    # Bent by the chord's angle: sin(turn / 2) = r / (2 R), R = p / (0.3 B) = 3.3356 m for 2 GeV.
    rays = fly(particle(charge=1.0, pt=2.0))
    radius = 2.0 / (0.299792458e-3 * 2.0)
    turn = 2.0 * math.asin(BORE_R_MM / (2.0 * radius))
    assert math.atan2(rays.start[0, 1], rays.start[0, 0]) == pytest.approx(-turn / 2.0)
    assert math.atan2(rays.direction[0, 1], rays.direction[0, 0]) == pytest.approx(-turn)
    mirrored = fly(particle(charge=-1.0, pt=2.0))
    np.testing.assert_allclose(mirrored.start[0], rays.start[0] * [1.0, -1.0, 1.0])


def test_a_curler_ends_at_the_end_cap() -> None:
    rays = fly(particle(charge=1.0, pt=0.2, eta=1.0))
    assert rays.start[0, 2] == pytest.approx(BORE_Z_MM)
    assert math.hypot(*rays.start[0, :2]) < 2.0 * 0.2 / (0.299792458e-3 * 2.0)


def test_what_circles_for_good_gets_nowhere() -> None:
    assert fly(particle(charge=1.0, pt=0.2)).length[0] == 0.0


def test_what_is_born_behind_has_no_way() -> None:
    assert fly(particle(at=(4300.0, 0.0, 0.0))).length[0] == 0.0
    assert fly(particle(at=(100.0, 0.0, 6200.0))).length[0] == 0.0


def _layers(rays: Rays) -> list[str]:
    names = (*LAYERS, "dead")
    return [names[layer] for layer in cut(rays).layer.tolist()]


def test_the_way_straight_out() -> None:
    crossed = [layer for layer in _layers(fly(particle())) if layer != "dead"]
    once = [layer for i, layer in enumerate(crossed) if i == 0 or crossed[i - 1] != layer]
    assert once == ["presampler", "em1", "em2", "em3", "tile1", "tile2", "tile3"]
    forward = set(_layers(fly(particle(eta=4.0))))
    assert forward - {"dead"} == {"fcal1", "fcal2", "fcal3"}


def test_depth_adds_up_to_what_a_fine_walk_finds() -> None:
    rays = fly(particle(eta=0.7, phi=1.0))
    segments = cut(rays)
    # The EM barrel has 22.3 X0 along r: cosh(eta) times as much along the ray.
    inside = np.isin(segments.layer, [LAYERS.index(name) for name in ("em1", "em2", "em3")])
    assert segments.d_x0[inside].sum() == pytest.approx(22.3 * math.cosh(0.7), rel=1e-6)
    np.testing.assert_allclose(
        segments.x0 + segments.d_x0, np.cumsum(segments.d_x0), rtol=0.0, atol=1e-9
    )
    assert (segments.layer <= DEAD).all()


def test_inwards_from_the_tile_all_the_way_through() -> None:
    crossed = _layers(fly(particle(phi=math.pi, at=(3000.0, 0.0, 0.0))))
    assert crossed.count("presampler") == 2
    assert crossed[0] == "tile2"
    assert crossed[-2:] == ["tile3", "dead"]


@settings(max_examples=60, deadline=None)
@given(
    radius=st.floats(0.0, 4200.0),
    z=st.floats(-6000.0, 6000.0),
    eta=st.floats(-4.0, 4.0),
    phi=st.floats(-math.pi, math.pi),
)
def test_material_on_any_way_is_what_a_fine_walk_finds(
    radius: float, z: float, eta: float, phi: float
) -> None:
    volumes = map_of_volumes()
    # In a face between two volumes either is right.
    assume(np.abs(volumes.z_mm - abs(z)).min() > 1e-3)
    rays = fly(particle(eta=eta, phi=phi, at=(radius, 0.0, z)))
    segments = cut(rays)
    steps = 40_000
    along = (np.arange(steps) + 0.5) * rays.length[0] / steps
    places = rays.start[0] + rays.direction[0] * along[:, None]
    at = (
        np.searchsorted(volumes.r_mm[1:-1], np.hypot(places[:, 0], places[:, 1])),
        np.searchsorted(volumes.z_mm[1:-1], np.abs(places[:, 2])),
    )
    walked = float(volumes.lambdas[at].sum()) * rays.length[0] / steps
    # A step is 0.3 mm at most; a face is met by few.
    assert segments.d_lambdas.sum() == pytest.approx(walked, abs=0.02)
