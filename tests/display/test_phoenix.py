"""That Phoenix finds what its reader looks for.

The rules are those of ``PhoenixLoader``, ``PhoenixObjects`` and ``RKHelper`` of
phoenix-event-display 3.0.5, which read such files without complaint when these tests were written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hvmpi.display.drawing import Drawing
from hvmpi.display.phoenix import phoenix
from hvmpi.display.scene import read_scene
from hvmpi.openchain.layers import OUTER_R_MM, OUTER_Z_MM
from tests.display.conftest import changed, nothing_seen
from tests.display.test_scene import give_muons

# What getTrack, getJet, getCluster, getCompound, getVertex and getMissingEnergy need.
NEEDED = {
    "Tracks": {"pos"},
    "Jets": {"eta", "phi", "energy", "coneR"},
    "CaloClusters": {"energy", "eta", "phi", "radius"},
    "Electrons": {"eta", "phi", "pt", "pT", "energy"},
    "Muons": {"eta", "phi", "pt", "pT", "energy"},
    "Vertices": {"x", "y", "z"},
    "MissingEnergy": {"etx", "ety"},
}
NUMBERS = {"event number", "run number"}
# Tracks' colours go through parseInt(color, 16), others through THREE.Color.
COLOURS = {"Tracks": re.compile(r"0x[0-9a-f]{6}")}
ANY_COLOUR = re.compile(r"#[0-9a-f]{6}")


def read(aod: Path, event: int | None = None) -> dict[str, Any]:
    events = json.loads(phoenix(Drawing(read_scene(aod, event))), parse_constant=pytest.fail)
    (only,) = events.values()
    return dict(only)


def objects(event: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for kind, collections in event.items():
        if kind not in NUMBERS:
            for name, rows in collections.items():
                for row in rows:
                    yield kind, name, row


@pytest.mark.parametrize("event", [1, 4])
def test_each_object_has_what_its_reader_needs(signal: Path, event: int) -> None:
    said = read(signal, event)
    assert (said["event number"], said["run number"]) == (event, 304815)
    assert set(said) == set(NEEDED) | NUMBERS
    names = [name for kind in NEEDED for name in said[kind]]
    # getCollection finds a collection by its name alone.
    assert len(names) == len(set(names))
    for kind, _, row in objects(said):
        assert NEEDED[kind] <= set(row)
        assert all(math.isfinite(row[name]) for name in NEEDED[kind] - {"pos"})
        if "color" in row:
            assert COLOURS.get(kind, ANY_COLOUR).fullmatch(row["color"])


def test_tracks_are_lines_of_points_and_need_no_extrapolation(signal: Path) -> None:
    for kind, name, row in objects(read(signal, 2)):
        if kind == "Tracks":
            points = np.array(row["pos"])
            assert points.shape[0] > 2
            assert points.shape[1] == 3
            assert np.isfinite(points).all()
            assert ("dparams" in row) == (not name.startswith("True"))


def test_units_are_mm_and_mev(signal: Path) -> None:
    scene, said = read_scene(signal, 2), read(signal, 2)
    hardest = max(track["pT"] for track in said["Tracks"]["Tracks"])
    assert hardest == pytest.approx(1e3 * scene.tracks["pt"].max(), rel=1e-3)
    for track in said["Tracks"]["Tracks"]:
        d0, z0, phi, theta, q_over_p = track["dparams"]
        assert abs(math.sin(theta) / q_over_p) == pytest.approx(track["pT"], rel=1e-3)
        assert (d0, z0, phi) == pytest.approx((track["d0"], track["z0"], track["phi"]), abs=1e-3)
    (met,) = said["MissingEnergy"]["MissingET"]
    assert met["etx"] == pytest.approx(1e3 * scene.missing_et["px"][0], rel=1e-3)
    jets = said["Jets"]["Jets"]
    assert [jet["pT"] > 20e3 for jet in jets] == [True] * len(jets)
    assert all(jet["energy"] >= jet["pT"] for jet in jets)


def test_clusters_stand_within_the_calorimeters(signal: Path) -> None:
    clusters = [row for kind, _, row in objects(read(signal, 2)) if kind == "CaloClusters"]
    assert len(clusters) > 100
    for cluster in clusters:
        r = cluster["radius"] / math.cosh(cluster["eta"])
        z = cluster["radius"] * abs(math.tanh(cluster["eta"]))
        assert r < OUTER_R_MM
        assert z < OUTER_Z_MM
        assert r > 1400.0 or z > 3600.0


def test_links_lead_to_tracks(qcd: Path, tmp_path: Path) -> None:
    said = read(changed(qcd, tmp_path / "muons.aod.h5", give_muons))
    linked, alone = said["Muons"]["Muons"]
    ((collection, place),) = [link.split(":") for link in linked["LinkedTracks"]]
    assert said["Tracks"][collection][int(place)]["pT"] == pytest.approx(linked["pT"], rel=1e-4)
    # Without this key the reader makes a track of its own.
    assert "LinkedTracks" not in alone
    assert [linked["pdgId"], alone["pdgId"]] == [-13, 13]
    (vertex,) = said["Vertices"]["PrimaryVertices"]
    tracks = said["Tracks"][vertex["linkedTrackCollection"]]
    assert vertex["linkedTracks"] == list(range(len(tracks)))


def test_an_event_in_which_nothing_was_seen_is_an_event(signal: Path, tmp_path: Path) -> None:
    said = read(changed(signal, tmp_path / "nothing.aod.h5", nothing_seen))
    assert list(objects(said)) == []
    assert said["event number"] == 1
