"""That views show what is there, the right way up."""

from __future__ import annotations

import numpy as np
import pytest

from hvmpi.display.detector import Part, rings
from hvmpi.display.shapes import Label, apart
from hvmpi.display.view import Projection, View, limits, outlines
from hvmpi.openchain.layers import VOLUMES


def test_r_is_positive_around_the_azimuth_that_is_up() -> None:
    up = Projection(View.LONGITUDINAL, 2.0)
    phi = np.array([2.0, 2.0 + np.pi, 3.4, 3.7])
    points = np.stack([10.0 * np.cos(phi), 10.0 * np.sin(phi), np.arange(4.0)], axis=1)
    assert up.points(points) == pytest.approx(
        np.array([(0.0, 10.0), (1.0, -10.0), (2.0, 10.0), (3.0, -10.0)])
    )
    assert (Projection(View.TRANSVERSE, 2.0).points(points) == points[:, :2]).all()


def test_a_line_is_cut_where_r_changes_its_sign() -> None:
    line = np.array([(-100.0, 40.0, 0.0), (100.0, 40.0, 200.0), (300.0, 40.0, 400.0)])
    below, above = Projection(View.LONGITUDINAL, 0.0).pieces(line)
    assert below == pytest.approx(np.array([(0.0, -np.hypot(100.0, 40.0)), (100.0, -40.0)]))
    assert above[0] == pytest.approx([100.0, 40.0])
    assert above[-1] == pytest.approx([400.0, np.hypot(300.0, 40.0)])


def test_a_line_through_the_axis_is_whole() -> None:
    line = np.array([(-100.0, 0.0, 0.0), (100.0, 0.0, 200.0)])
    below, above = Projection(View.LONGITUDINAL, 0.0).pieces(line)
    assert below[-1] == pytest.approx(above[0])


def test_the_detector_is_that_of_the_open_chain() -> None:
    shown = [points for _, points, _ in outlines(View.LONGITUDINAL)]
    for volume in VOLUMES:
        corner = np.array([volume.z[1], volume.r[1]])
        # Thin ones are lines in their middle.
        assert any((np.abs(points - corner).max(axis=1) < 6.0).any() for points in shown)
    across, up = limits(View.LONGITUDINAL)
    assert all((np.abs(points) < (across, up)).all() for points in shown)


def test_the_tracker_has_all_its_layers() -> None:
    barrel = [ring for ring in rings() if ring.is_barrel]
    assert [round(ring.r[0]) for ring in barrel if ring.part is Part.PIXEL] == [32, 72, 116, 172]
    assert sum(ring.part is Part.STRIP for ring in barrel) == 6
    assert [ring.r[0] for ring in barrel if ring.part is Part.BEAM_PIPE] == [19.0]
    # Discs: of pixels, of short and of long strips, at one side.
    assert sum(ring.part is Part.PIXEL for ring in rings()) - 4 == 7
    assert sum(ring.part is Part.STRIP for ring in rings()) - 6 == 12


def test_words_do_not_cover_each_other() -> None:
    wanted = [Label("jets", "100 GeV", at) for at in ((5e3, 4e3), (5e3, 4.1e3), (4.9e3, 4e3))]
    placed = apart(wanted, (5e3, 5e3))
    heights = sorted(label.at[1] for label in placed)
    assert np.diff(heights).min() > 350.0
    assert all(label.at[0] < 4.5e3 for label in placed)
