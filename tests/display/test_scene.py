"""That what is drawn of an event is what its AOD says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hvmpi.display.drawing import Drawing
from hvmpi.display.scene import read_scene
from hvmpi.display.view import View
from hvmpi.openchain.eventdata import Product, Table
from hvmpi.openchain.layers import OUTER_R_MM
from hvmpi.openchain.schemas import AOD
from tests.display.conftest import changed, nothing_seen


def table(aod: Path, collection: str, row: int) -> Table:
    with Product(aod, AOD) as product:
        return product[collection].table(row, 1)


def test_the_first_event_is_shown_unless_another_is_named(signal: Path) -> None:
    assert read_scene(signal).event_number == 1
    scene = read_scene(signal, 4)
    assert (scene.event_number, scene.run_number, scene.sample) == (4, 304815, "signal")
    for name in ("tracks", "clusters", "jets"):
        fields = table(signal, name, 3)
        assert len(next(iter(getattr(scene, name).values()))) == len(next(iter(fields.values())))


def test_the_s_flies_from_the_collision_to_its_decay(signal: Path) -> None:
    truth = table(signal, "truth", 1)
    scene = read_scene(signal, 2)
    assert (np.abs(scene.long_lived["pdg_id"]) == 35).all()
    rows = np.unique(truth["llp"][truth["llp"] >= 0])
    assert len(rows) == len(scene.long_lived["path"]) == 2
    for row, path in zip(rows, scene.long_lived["path"], strict=True):
        assert path[1] == pytest.approx([truth[f"decay_{axis}"][row] for axis in "xyz"])
    for product, path in zip(scene.products["of"], scene.products["path"], strict=True):
        assert path[0] == pytest.approx(scene.long_lived["path"][product, 1], abs=1e-3)
    assert len(scene.products["of"]) == 4


def test_tracks_begin_where_their_particles_were_made(signal: Path) -> None:
    """Of all events, those that begin more than 30 mm from the axis."""
    begun, made = [], []
    for number in range(1, 7):
        truth = table(signal, "truth", number - 1)
        tracks = read_scene(signal, number).tracks
        for path, row in zip(tracks["path"], tracks["truth"], strict=True):
            if row >= 0 and np.hypot(*path[0, :2]) > 30.0:
                begun.append(path[0])
                made.append([truth[axis][row] for axis in "xyz"])
    assert len(begun) > 10
    apart = np.linalg.norm(np.array(begun) - np.array(made), axis=1)
    assert np.median(apart) < 5.0


def test_soft_tracks_can_be_left_out(signal: Path) -> None:
    every, hard = read_scene(signal).tracks["pt"], read_scene(signal, min_pt=2.0).tracks["pt"]
    assert 0 < len(hard) == (every >= 2.0).sum() < len(every)


def test_each_track_and_jet_is_drawn_once(signal: Path) -> None:
    drawing = Drawing(read_scene(signal, 3))
    for kinds, size in (
        (("tracks", "other_tracks", "large_radius"), len(drawing.scene.tracks["pt"])),
        (("jets", "soft_jets"), len(drawing.scene.jets["pt"])),
    ):
        rows = np.concatenate([drawing.rows[kind] for kind in kinds])
        assert sorted(rows) == list(range(size))
    for view in View:
        seen = [s.row for s in drawing.shapes(view) if s.style == "tracks"]
        assert set(seen) == set(range(len(drawing.rows["tracks"])))


def test_towers_hold_the_transverse_energy_of_clusters(signal: Path) -> None:
    drawing = Drawing(read_scene(signal, 2))
    clusters = drawing.scene.clusters
    across = np.cosh(clusters["eta"])
    for view in View:
        towers = drawing.towers[view]
        for sums, energy in ((towers.em, clusters["e_em"]), (towers.had, clusters["e_had"])):
            assert sums.sum() == pytest.approx((np.maximum(energy, 0.0) / across).sum(), rel=1e-4)
    tips = [
        np.hypot(*shape.points.T).max()
        for shape in drawing.shapes(View.TRANSVERSE)
        if shape.style in ("em_towers", "had_towers")
    ]
    assert min(tips) > OUTER_R_MM
    assert max(tips) < OUTER_R_MM + 1100.0


def give_muons(tables: dict[str, Table]) -> None:
    """Make the hardest track one of a muon, and have another one without a track."""
    hardest = np.argmax(tables["tracks"]["pt"])
    tables["muons"] = {
        "track": np.array([hardest, -1]),
        "truth": np.array([-1, -1]),
        "charge": np.array([1, -1]),
        **{name: np.full(2, tables["tracks"][name][hardest]) for name in ("pt", "eta", "phi")},
    }


def test_a_muon_goes_on_to_the_outside(qcd: Path, tmp_path: Path) -> None:
    scene = read_scene(changed(qcd, tmp_path / "muons.aod.h5", give_muons))
    shapes = [s for s in Drawing(scene).shapes(View.LONGITUDINAL) if s.style == "muons"]
    with_track, without = ([s.points for s in shapes if s.row == row] for row in (0, 1))
    # One track flies as the other, but for the field and where it begins.
    assert with_track[-1][-1] == pytest.approx(without[-1][-1], abs=400.0)
    assert np.abs(with_track[-1][-1]).max() > 4000.0


def test_an_event_in_which_nothing_was_seen_has_views(signal: Path, tmp_path: Path) -> None:
    scene = read_scene(changed(signal, tmp_path / "nothing.aod.h5", nothing_seen))
    drawing = Drawing(scene)
    assert [list(drawing.shapes(view)) for view in View] == [[], []]
    assert drawing.azimuth == pytest.approx(np.pi / 2.0)


def test_what_is_no_number_is_not_drawn(signal: Path, tmp_path: Path) -> None:
    def spoil(tables: dict[str, Table]) -> None:
        tables["tracks"]["phi"][0] = np.nan
        tables["tracks"]["qop"][1] = 0.0
        tables["jets"]["eta"][0] = np.inf
        tables["clusters"]["e"][0] = np.nan
        tables["clusters"]["eta"][1] = 1e30

    scene = read_scene(changed(signal, tmp_path / "spoilt.aod.h5", spoil))
    before = read_scene(signal)
    assert len(scene.tracks["pt"]) == len(before.tracks["pt"]) - 2
    assert len(scene.jets["pt"]) == len(before.jets["pt"]) - 1
    assert len(scene.clusters["e"]) == len(before.clusters["e"]) - 2
    shapes = [shape for view in View for shape in Drawing(scene).shapes(view)]
    assert all(np.isfinite(shape.points).all() for shape in shapes)
