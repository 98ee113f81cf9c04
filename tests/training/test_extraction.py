"""From an AOD to a training file: what stands in it, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hvmpi.errors import InputError, SetupError
from hvmpi.openchain.eventdata import ProductWriter
from hvmpi.openchain.schemas import RDO
from hvmpi.training.columns import DATASETS
from hvmpi.training.extraction import extract
from hvmpi.training.files import TrainingFile
from tests.training.conftest import (
    AT,
    QCD,
    energies,
    event,
    normalisation,
    particle,
    qcd_event,
    signal_event,
    toward,
    write_aod,
)

Make = Callable[..., Path]


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with TrainingFile(path) as train:
        return {name: train.read(name) for name in DATASETS}


@pytest.fixture
def signal(signal_aod: Path, tmp_path: Path) -> dict[str, np.ndarray[Any, Any]]:
    summary = extract(signal_aod, tmp_path / "train.h5")
    assert (summary.events, summary.first_event, summary.last_event) == (3, 1, 3)
    assert summary.run_number == 304795
    rows = {"jets": 2, "signal": 2, "qcd": 0, "tracks": 4, "clusters": 6}
    assert summary.rows == rows
    return read(tmp_path / "train.h5")


def test_only_the_jet_near_the_s_is_written(signal: dict[str, Any]) -> None:
    jets = signal["jets"]
    assert jets["pt"].tolist() == [80.0, 80.0]
    assert jets["label"].tolist() == [1, 1]
    assert jets["eventNumber"].tolist() == [1, 3]
    assert jets["runNumber"].tolist() == [304795, 304795]
    assert jets["mcEventWeight"].tolist() == [1.0, 0.5]


def test_what_is_known_of_the_s(signal: dict[str, Any]) -> None:
    jet = signal["jets"][0]
    assert (jet["llp_mH"], jet["llp_mS"], jet["llp_decay"]) == (600.0, 150.0, 5)
    assert jet["llp_pt"] == pytest.approx(50.0)
    assert jet["llp_eta"] == pytest.approx(0.0)
    assert jet["llp_phi"] == pytest.approx(math.atan2(-40.0, -30.0))
    assert jet["llp_Lxy"] == pytest.approx(2500.0)
    assert jet["llp_Lz"] == pytest.approx(2500.0 * math.sinh(0.2))


def test_the_calorimeter_variables(signal: dict[str, Any]) -> None:
    jet = signal["jets"][0]
    assert jet["emf"] == pytest.approx(1.0 / 80.0)
    assert jet["log10_EH_EEM"] == pytest.approx(math.log10(79.0))
    assert (jet["e_em3"], jet["e_tile2"], jet["e_hec1"], jet["e_fcal1"]) == (1.0, 50.0, 29.0, 0.0)
    assert (jet["mass"], jet["n_towers"]) == (5.0, 6)
    turn = 2.0 * math.pi - 6.2
    assert jet["width"] == pytest.approx((29.0 * 0.1 + 49.0 * turn + 2.0 * 0.1) / 80.0, rel=1e-5)
    # 50 GeV of 82 are not enough, 80 are.
    assert jet["n90"] == 2
    squares = 50.0**2 + 30.0**2 + 2.0**2
    time = (1.0 * 50.0**2 + 3.0 * 30.0**2 - 7.0 * 2.0**2) / squares
    assert jet["time"] == pytest.approx(time, rel=1e-5)


def test_the_track_variables(signal: dict[str, Any]) -> None:
    jet = signal["jets"][0]
    assert jet["n_tracks"] == 2
    assert jet["sum_pt_tracks"] == pytest.approx(5.0)
    # The one of 9 GeV is outside of the cone and farther than that of 4 GeV.
    assert jet["min_dr_track"] == pytest.approx(0.3, rel=1e-5)
    assert jet["charge"] == pytest.approx((2.0 - 1.0) / math.sqrt(80.0))
    assert jet["dispersion"] == pytest.approx(math.sqrt(17.0) / 5.0)


def test_tracks_and_clusters_stand_in_order_of_pt(signal: dict[str, Any]) -> None:
    tracks, clusters = signal["tracks"], signal["clusters"]
    assert tracks.shape == (2, 40)
    assert clusters.shape == (2, 30)
    assert tracks["valid"].sum(axis=1).tolist() == [2, 2]
    assert tracks["pt"][0, :2].tolist() == [4.0, 1.0]
    assert tracks["d0"][0, :2].tolist() == [-3.0, pytest.approx(0.1)]
    assert tracks["chi2"][0, 0] == 11.0
    for column, values in (
        ("n_pixel", [0, 4]),
        ("n_strip", [8, 0]),
        ("shared", [1, 0]),
        ("vertex_n", [0, 1]),
    ):
        assert tracks[column][0, :2].tolist() == values
    assert clusters["pt"][0, :3].tolist() == [49.0, 29.0, 2.0]
    assert clusters["time"][0, :3].tolist() == [1.0, 3.0, -7.0]


def test_energy_shares_of_clusters_leave_out_what_is_below_zero(signal: dict[str, Any]) -> None:
    cluster = signal["clusters"][0, 0]
    shares = {name: float(cluster[name]) for name in cluster.dtype.names if name.endswith("cal")}
    expected = {"l4ecal": 1.0 / 51.0, "l2hcal": 20.0 / 51.0, "l1hcal": 30.0 / 51.0}
    assert shares == pytest.approx(dict.fromkeys(shares, 0.0) | expected)


def test_what_is_not_there_is_padding(signal: dict[str, Any]) -> None:
    for name in ("tracks", "clusters"):
        rows = signal[name]
        empty = rows[~rows["valid"]]
        assert (np.diff(rows["valid"].astype(int), axis=1) <= 0).all()
        for column in rows.dtype.names:
            kind = rows.dtype[column].kind
            assert np.isnan(empty[column]).all() if kind == "f" else not empty[column].any()


def test_qcd_jets_have_no_s(qcd_aod: Path, tmp_path: Path) -> None:
    extract(qcd_aod, tmp_path / "train.h5")
    jets = read(tmp_path / "train.h5")["jets"]
    assert jets["label"].tolist() == [0, 0, 0, 0]
    assert (jets["llp_decay"] == -1).all()
    for column in ("llp_mH", "llp_mS", "llp_pt", "llp_eta", "llp_phi", "llp_Lxy", "llp_Lz"):
        assert np.isnan(jets[column]).all()
    # No track, no dispersion; a hard one, though in the other jet.
    assert jets["n_tracks"].tolist() == [0, 1, 0, 1]
    assert jets["dispersion"][:2].tolist() == [0.0, 1.0]
    assert jets["charge"][:2].tolist() == [0.0, pytest.approx(math.sqrt(10.0 / 40.0))]
    assert jets["min_dr_track"][0] == pytest.approx(math.hypot(2.0, 3.1))
    assert jets["emf"][:2].tolist() == [pytest.approx(2.0 / 3.0), 0.0]
    assert jets["log10_EH_EEM"][:2].tolist() == [pytest.approx(math.log10(0.5)), 0.0]


def test_an_event_without_hard_tracks(make_train: Make) -> None:
    jet = {"pt": 50.0, "eta": 0.0, "phi": 0.0}
    train = make_train("soft", [event(1, jets=[jet], tracks=[{"pt": 1.9, "charge": 1}])], **QCD)
    jets = read(train)["jets"]
    assert (jets["n_tracks"], jets["min_dr_track"]) == (1, 10.0)
    # Nor are there clusters.
    assert (jets["n90"], jets["width"], jets["time"]) == (0, 0.0, 0.0)
    assert (jets["emf"], jets["log10_EH_EEM"]) == (0.0, 0.0)


def test_unmatched_jets_may_be_kept(signal_aod: Path, tmp_path: Path) -> None:
    extract(signal_aod, tmp_path / "train.h5", unmatched=True)
    jets = read(tmp_path / "train.h5")["jets"]
    assert jets["label"].tolist() == [-1, 1, -1, 1]
    assert jets["pt"].tolist() == [90.0, 80.0, 90.0, 80.0]
    assert np.isnan(jets["llp_pt"][::2]).all()


S1 = {"px": 50.0, "mass": 20.0}


def decaying(eta: float, phi: float) -> list[dict[str, Any]]:
    return [particle(35, **S1, **toward(eta, phi, 2000.0))]


@pytest.mark.parametrize(
    ("jets", "scalars", "labels"),
    [
        # Both are within 0.4 of the first jet: the nearer takes it, the other the second.
        ([(0.0, 0.0), (0.5, 0.0)], [(0.2, 0.0), (0.1, 0.0)], [(1, 1), (1, 0)]),
        # One s, two jets: the nearer.
        ([(0.0, 0.0), (0.3, 0.0)], [(0.2, 0.0)], [(-1, -1), (1, 0)]),
        # Two s, one jet.
        ([(0.0, 0.0)], [(0.2, 0.0), (0.3, 0.0)], [(1, 0)]),
        # Just inside and just outside.
        ([(0.0, 0.0), (1.0, 0.0)], [(0.0, 0.399), (1.0, 0.401)], [(1, 0), (-1, -1)]),
        # Both s are nearer to the first jet, which takes the nearest; the second is left the other.
        ([(0.0, 0.0), (0.3, 0.0)], [(0.05, 0.0), (-0.09, 0.0)], [(1, 0), (1, 1)]),
    ],
)
def test_each_s_has_one_jet_the_nearest_first(
    make_train: Make,
    jets: list[tuple[float, float]],
    scalars: list[tuple[float, float]],
    labels: list[tuple[int, int]],
) -> None:
    truth: list[dict[str, Any]] = []
    for number, (eta, phi) in enumerate(scalars):
        truth += [particle(35, px=10.0 + number, mass=20.0, **toward(eta, phi, 2000.0))]
        row = len(truth) - 1
        truth += [particle(21, parent=row, llp=row), particle(21, parent=row, llp=row)]
    rows = [{"pt": 50.0, "eta": eta, "phi": phi} for eta, phi in jets]
    found = read(make_train("pairs", [event(1, truth=truth, jets=rows)], unmatched=True))["jets"]
    scalar = np.where(found["label"] == 1, found["llp_pt"] - 10.0, -1.0)
    assert list(zip(found["label"].tolist(), scalar.tolist(), strict=True)) == labels
    assert set(found["llp_decay"].tolist()) <= {21, -1}


@pytest.mark.parametrize(
    ("products", "code"),
    [
        ([(15, 1.777), (-15, 1.777)], 15),
        ([(22, 0.0)], 22),
        ([(-4, 1.5), (4, 1.5)], 4),
        ([(13, 0.1), (5, 4.8)], 5),
    ],
)
def test_the_decay_is_named_by_its_heaviest_product(
    make_train: Make, products: list[tuple[int, float]], code: int
) -> None:
    truth = [particle(35, px=1.0, mass=17.0, **toward(0.0, 0.0, 10.0))]
    truth += [particle(pdg_id, mass=mass, parent=0, llp=0) for pdg_id, mass in products]
    # What came of a product, heavier as it may be, is none.
    truth += [particle(511, mass=5.3, parent=1, llp=0)]
    jet = {"pt": 50.0, "eta": 0.0, "phi": 0.0}
    made = make_train("decay", [event(1, truth=truth, jets=[jet])], m_s=math.nan)
    jets = read(made)["jets"]
    assert jets["llp_decay"].tolist() == [code]
    assert jets["llp_mS"].tolist() == [17.0]


def test_distances_of_the_decay_have_no_sign(make_train: Make) -> None:
    truth = [particle(35, px=1.0, mass=17.0, **toward(-1.0, 0.0, 10.0))]
    truth += [particle(21, parent=0, llp=0)]
    made = make_train("back", [event(1, truth=truth, jets=[{"pt": 50.0, "eta": -1.0}])])
    (jet,) = read(made)["jets"]
    assert (jet["llp_Lxy"], jet["llp_Lz"]) == pytest.approx((10.0, 10.0 * math.sinh(1.0)))


def test_more_constituents_than_there_is_room_for(make_train: Make) -> None:
    many = range(1, 51)
    one = event(
        1,
        jets=[{"pt": 500.0, **AT, **energies(em2=500.0)}],
        clusters=[{"e": float(n), "pt": float(n), "jet": 0, **AT} for n in many],
        tracks=[{"pt": float(n), "charge": 1, **AT} for n in many],
    )
    rows = read(make_train("many", [one], **QCD))
    assert rows["tracks"]["pt"][0].tolist() == [float(n) for n in range(50, 10, -1)]
    assert rows["clusters"]["pt"][0].tolist() == [float(n) for n in range(50, 20, -1)]
    assert rows["jets"]["n_tracks"][0] == 50
    total = np.cumsum(np.arange(50, 0, -1))
    assert rows["jets"]["n90"][0] == np.searchsorted(total, 0.9 * total[-1]) + 1


def test_blocks_of_events_make_no_difference(make_train: Make) -> None:
    numbers = range(1, 151)
    events = [signal_event(n) if n % 3 else event(n) for n in numbers]
    jets = read(make_train("long", events))["jets"]
    assert jets["eventNumber"].tolist() == [n for n in numbers if n % 3]
    alone = read(make_train("short", [signal_event(1)]))["jets"]
    for column in jets.dtype.names:
        if column != "eventNumber":
            np.testing.assert_array_equal(jets[column], np.repeat(alone[column], len(jets)))


# --- the file --------------------------------------------------------------------------------


def test_the_same_events_give_the_same_bytes(signal_aod: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    extract(signal_aod, tmp_path / "a.h5")
    extract(signal_aod.rename(elsewhere / "b.aod.h5"), elsewhere / "b.h5")
    content = (tmp_path / "a.h5").read_bytes()
    assert content == (elsewhere / "b.h5").read_bytes()
    assert str(tmp_path).encode() not in content


def test_what_the_file_says_of_itself(signal_aod: Path, tmp_path: Path) -> None:
    extract(signal_aod, tmp_path / "train.h5")
    with h5py.File(tmp_path / "train.h5") as file:
        assert set(file) == {"jets", "tracks", "clusters", "cutBookkeeper"}
        assert (file.attrs["schema"], file.attrs["schema_version"]) == ("hvmpi.train", 1)
        assert file["jets"].attrs["flavour_label"].tolist() == ["QCD", "signal"]
        assert {file[name].compression for name in DATASETS} == {"gzip"}
        for name, dataset in DATASETS.items():
            units = json.loads(file[name].attrs["unit"])
            assert list(units) == list(file[name].dtype.names)
            assert set(json.loads(file[name].attrs["meaning"])) == set(units)
            assert all(field.unit for field in dataset.fields)
        counts = file["cutBookkeeper/nominal/counts"][()]
        assert counts["nEventsProcessed"] == 3
        assert (counts["sumOfWeights"], counts["sumOfWeightsSquared"]) == (2.5, 2.25)
        made = json.loads(file.attrs["provenance"])
    assert made["settings"]["unmatched"] is False
    (source,) = made["sources"]
    assert (source["engine"], source["seed"]) == ("openchain", 1)
    assert {"hvmpi", "numpy", "h5py"} <= set(source["extraction"])


def test_the_books_hold_the_events_that_left_no_jet(signal_aod: Path, tmp_path: Path) -> None:
    extract(signal_aod, tmp_path / "train.h5")
    with TrainingFile(tmp_path / "train.h5") as train:
        books = train.books
    assert books.events == 3
    assert books.ranges.tolist() == [(0, 304795, 1, 3)]
    (row,) = books.normalisation
    assert (row["sample"], row["process"], row["run_number"]) == (b"signal", b"gghss", 304795)
    assert (row["events"], row["n_tried"], row["sum_weights"]) == (3, 6, 2.5)
    assert row["input_sha256"] == b"ab" * 32


def test_event_numbers_with_gaps_make_ranges(make_train: Make) -> None:
    events = [event(n, run=5) for n in (9_000_000_000_000_000, 3, 4, 7)]
    with TrainingFile(make_train("gaps", events, run_number=-1)) as train:
        ranges, table = train.books.ranges, train.books.normalisation
    assert ranges.tolist() == [(0, 5, 3, 4), (0, 5, 7, 7), (0, 5, 9 * 10**15, 9 * 10**15)]
    # The event file knew no run; the job did.
    assert table["run_number"].tolist() == [5]


# --- bad input -------------------------------------------------------------------------------


def test_an_event_twice_in_one_aod(tmp_path: Path) -> None:
    aod = write_aod(tmp_path / "twice.aod.h5", [event(7), event(8), event(7)])
    with pytest.raises(InputError, match=r"twice.aod.h5' holds event 7 of run 304795 twice"):
        extract(aod, tmp_path / "train.h5")
    assert not (tmp_path / "train.h5").exists()


def test_an_aod_without_calorimeter(signal_aod: Path, tmp_path: Path) -> None:
    with h5py.File(signal_aod, "r+") as file:
        del file["clusters"]
    with pytest.raises(InputError, match=r"signal.aod.h5' is damaged: .*clusters"):
        extract(signal_aod, tmp_path / "train.h5")
    assert {path.name for path in tmp_path.iterdir()} == {"signal.aod.h5"}


def test_an_aod_of_before_there_was_a_calorimeter(signal_aod: Path, tmp_path: Path) -> None:
    with h5py.File(signal_aod, "r+") as file:
        file.attrs["schema_version"] = 1
    with pytest.raises(InputError, match=r"hvmpi.aod version 1, expected hvmpi.aod version 2"):
        extract(signal_aod, tmp_path / "train.h5")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read"), (b"", "not a whole HDF5 file"), (b"\x89HDF\r\n\x1a\n" * 9, "HDF5")],
)
def test_what_is_no_aod(tmp_path: Path, content: bytes | None, said: str) -> None:
    aod = tmp_path / "some.aod.h5"
    if content is not None:
        aod.write_bytes(content)
    with pytest.raises(InputError, match=said):
        extract(aod, tmp_path / "train.h5")


def test_a_damaged_link(tmp_path: Path) -> None:
    one = event(1, jets=[{"pt": 50.0}], clusters=[{"jet": 1}])
    aod = write_aod(tmp_path / "bad.aod.h5", [one, event(2, jets=[{"pt": 50.0}])])
    with pytest.raises(InputError, match=r"'clusters/jet' points beyond its event"):
        extract(aod, tmp_path / "train.h5")
    assert not (tmp_path / "train.h5").exists()


def test_a_product_that_is_no_aod(tmp_path: Path) -> None:
    tables = {
        name: {field.name: np.zeros(0) for field in fields}
        for name, fields in RDO.collections.items()
    }
    rdo = tmp_path / "some.rdo.h5"
    with ProductWriter(rdo, RDO, {"inputs": {"evnt": ""}}) as writer:
        writer.append(qcd_event(1).__class__(1, 1, 1.0, tables))
        writer.finish(normalisation([event(1)]))
    with pytest.raises(InputError, match=r"schema hvmpi.rdo version \d, expected hvmpi.aod"):
        extract(rdo, tmp_path / "train.h5")


def test_a_place_that_cannot_be_written(signal_aod: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot write '.*nowhere/train.h5'"):
        extract(signal_aod, tmp_path / "nowhere" / "train.h5")
