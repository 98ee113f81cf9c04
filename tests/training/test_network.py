"""The first network: what it is fitted to, how it is measured, what it refuses."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmpi.errors import UsageError
from hvmpi.training.columns import TRUTH_COLUMNS
from hvmpi.training.efficiency import CONFIDENCE, Discriminant, auc_error, binomial
from hvmpi.training.features import DEFAULT, FEATURES, chosen_features
from hvmpi.training.files import TrainingFile
from hvmpi.training.merging import merge
from hvmpi.training.network import TEST_SHARE, NetworkOptions, fit, read_jets, split
from hvmpi.training.results import engines, numbers, summary_rows
from hvmpi.training.weights import cross_section_weights
from tests.conftest import Place
from tests.training.samples import QCD_RUN, SIGNAL_RUN, write_sample

FEW = NetworkOptions(features=("log10_EH_EEM", "n_tracks", "width"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signal and QCD in one file."""
    directory = tmp_path_factory.mktemp("sample")
    parts = [
        write_sample(directory / "s.h5", signal=True, events=400),
        write_sample(directory / "q.h5", signal=False, events=600, cross_section_pb=3.0),
    ]
    merge(parts, directory / "train.h5")
    return directory / "train.h5"


# --- the jets --------------------------------------------------------------------------------


def test_an_event_is_trained_with_or_tested_never_both() -> None:
    events = np.repeat(np.arange(20_000), 3)
    tested = split(np.full(len(events), 7), events, seed=1)
    assert (tested.reshape(-1, 3).sum(axis=1) % 3 == 0).all()
    assert abs(tested.mean() - TEST_SHARE) < 5.0 * math.sqrt(0.3 * 0.7 / 20_000)
    for run, seed in ((8, 1), (7, 2)):
        other = split(np.full(len(events), run), events, seed=seed)
        # As often the same as two draws are.
        assert abs((tested == other).mean() - 0.58) < 0.03


def test_the_split_does_not_depend_on_what_else_there_is() -> None:
    runs, events = np.array([5, 6, 5]), np.array([1, 1, 9 * 10**15])
    together = split(runs, events, seed=3)
    alone = [split(runs[[i]], events[[i]], seed=3)[0] for i in range(3)]
    assert together.tolist() == alone


def test_only_signal_in_the_window_is_read(tmp_path: Path) -> None:
    paths = [
        write_sample(tmp_path / "s.h5", signal=True, events=2000, lxy=(0.0, 6000.0)),
        write_sample(tmp_path / "q.h5", signal=False, events=300),
    ]
    jets, _ = read_jets(paths, FEW)
    with TrainingFile(paths[0]) as file:
        distance = file.read("jets")["llp_Lxy"]
    assert jets.signal.sum() == ((distance > 1200.0) & (distance < 4200.0)).sum()
    assert (~jets.signal).sum() == 600
    counts = jets.counts()
    assert sum(sum(some.values()) for some in counts.values()) == len(jets.signal)


def test_the_cut_puts_jets_with_a_hard_track_near_below_all_others(sample: Path) -> None:
    jets, _ = read_jets([sample], FEW)
    with TrainingFile(sample) as file:
        rows = file.read("jets")
    near = rows["min_dr_track"] < 0.2
    assert jets.cut[near].max() < jets.cut[~near].min()
    np.testing.assert_array_equal(
        np.argsort(jets.cut[~near]), np.argsort(rows["log10_EH_EEM"][~near])
    )


def test_no_feature_is_truth() -> None:
    assert not set(FEATURES) & TRUTH_COLUMNS
    assert not any(name.startswith("llp") for name in FEATURES)
    assert set(DEFAULT) <= set(FEATURES)
    assert not {"pt", "eta", "phi", "mass"} & set(DEFAULT)


def test_features_are_shares_of_the_jet(sample: Path) -> None:
    names = (
        "share_em2",
        "share_tile1",
        "share_hec1",
        "lead_track_share",
        "lead_cluster_share",
        "pt",
    )
    jets, _ = read_jets([sample], NetworkOptions(features=names))
    em2, tile1, hec1, track, cluster, pt = jets.features.T
    np.testing.assert_allclose(em2 + tile1, 1.0)
    assert not hec1.any()
    assert set(track.round(5)) == {0.0, 0.3}
    np.testing.assert_allclose(cluster, 0.7, rtol=1e-5)
    assert pt.min() > 20.0


def test_features_by_name() -> None:
    assert chosen_features(["default", "pt", "emf"]) == (*DEFAULT, "pt")
    with pytest.raises(
        UsageError, match=r"no feature 'withd' \(did you mean 'width'\?\); there are pt"
    ):
        chosen_features(["withd"])
    with pytest.raises(UsageError, match=r"no feature 'llp_pt'; it is truth"):
        chosen_features(["llp_pt"])
    with pytest.raises(UsageError, match="needs features"):
        chosen_features([])


# --- weights ---------------------------------------------------------------------------------


def test_weights_add_up_to_the_cross_section(tmp_path: Path) -> None:
    """Two event files of one slice, and another slice of its own cross-section."""
    paths = [
        write_sample(tmp_path / "a.h5", signal=False, events=10, cross_section_pb=8.0),
        write_sample(
            tmp_path / "b.h5",
            signal=False,
            events=30,
            cross_section_pb=12.0,
            first_event=11,
            seed=2,
        ),
        write_sample(tmp_path / "c.h5", signal=False, events=20, run=600005, cross_section_pb=0.5),
    ]
    merge(paths, tmp_path / "all.h5")
    with TrainingFile(tmp_path / "all.h5") as file:
        jets = file.read("jets")
        weights = cross_section_weights(file.books, jets["runNumber"], jets["mcEventWeight"])
    # There are two jets in each event.
    first = jets["runNumber"] == QCD_RUN
    assert weights[first].sum() == pytest.approx(2.0 * (8.0 * 10 + 12.0 * 30) / 40.0)
    assert weights[~first].sum() == pytest.approx(2.0 * 0.5)
    assert len(set(weights[first])) == 1


def test_an_unknown_cross_section_is_no_weight(tmp_path: Path) -> None:
    path = write_sample(tmp_path / "a.h5", signal=False, events=10, cross_section_pb=math.nan)
    with TrainingFile(path) as file:
        books = file.books
    weights = cross_section_weights(books, np.array([QCD_RUN, 5]), np.ones(2))
    assert np.isnan(weights).all()


# --- efficiencies ----------------------------------------------------------------------------


def discriminant(signal: list[float], background: list[float], weights: Any = None) -> Discriminant:
    count = len(background)
    given_weights = np.ones(count) if weights is None else np.array(weights, dtype=float)
    return Discriminant("x", np.array(signal, float), np.array(background, float), given_weights)


def test_the_area_is_the_chance_that_signal_is_above() -> None:
    some = discriminant([3.0, 1.0], [0.0, 1.0, 2.0])
    above = [1, 1, 1, 1, 0.5, 0]
    assert some.auc() == pytest.approx(sum(above) / 6.0)
    weighted = discriminant([3.0, 1.0], [0.0, 1.0, 2.0], weights=[1.0, 1.0, 8.0])
    assert weighted.auc(weighted=True) == pytest.approx((1 + 1 + 8 + 1 + 0.5 + 0) / 20.0)


def test_thresholds_keep_at_least_the_signal_asked_for() -> None:
    some = discriminant([float(n) for n in range(10)], [4.5, 8.5, 0.0, 0.0])
    assert some.threshold(0.9) == 1.0
    assert some.threshold(0.85) == 1.0
    assert some.threshold(0.5) == 5.0
    assert some.threshold(1.0) == 0.0
    assert some.signal_efficiency(1.0).passed == 9
    found = some.background_efficiency(some.threshold(0.5))
    assert (found.value, found.passed, found.total) == (0.25, 1, 4)


def test_weighted_efficiency_and_its_error() -> None:
    some = discriminant([1.0], [0.0, 2.0, 2.0], weights=[6.0, 1.0, 3.0])
    share, error = some.weighted_background(1.0)
    assert share == pytest.approx(0.4)
    assert error == pytest.approx(math.sqrt(0.36 * 10.0 + 0.16 * 36.0) / 10.0)


@given(st.integers(1, 400), st.data())
@settings(max_examples=60, deadline=None)
def test_intervals_cover_as_often_as_they_say(total: int, data: st.DataObject) -> None:
    """The ends are where so few or so many would be as rare as the tails are."""
    from scipy.stats import binom

    passed = data.draw(st.integers(0, total))
    found = binomial(passed, total)
    tail = 0.5 * (1.0 - CONFIDENCE)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    if passed:
        assert binom.sf(passed - 1, total, found.low) == pytest.approx(tail, rel=1e-6)
    if passed < total:
        assert binom.cdf(passed, total, found.high) == pytest.approx(tail, rel=1e-6)


def test_the_error_of_the_area_is_the_scatter_of_samples() -> None:
    chance = np.random.default_rng(5)
    areas = [
        discriminant(
            chance.normal(1.0, 1.0, 80).tolist(), chance.normal(0.0, 1.0, 120).tolist()
        ).auc()
        for _ in range(300)
    ]
    expected = auc_error(float(np.mean(areas)), 80, 120)
    assert np.std(areas) == pytest.approx(expected, rel=0.15)


# --- the fit ---------------------------------------------------------------------------------


def test_it_learns_more_than_the_cut_knows(sample: Path) -> None:
    jets, _ = read_jets([sample], FEW)
    network = fit(jets, FEW)
    assert network.network.auc() > network.cut.auc() + 0.03
    assert network.network.auc() > 0.95
    assert {entry.feature for entry in network.importance} == set(FEW.features)
    losses = [entry.loss for entry in network.importance]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0.01
    alone = {entry.feature: entry.alone for entry in network.importance}
    # The width says less than the energies; fewer tracks are as good a sign as more would be.
    assert 0.5 < alone["width"] < alone["log10_EH_EEM"] < 1.0
    assert alone["n_tracks"] > 0.8
    tested = jets.counts()["test"]
    assert (len(network.network.signal), len(network.network.background)) == (
        tested["signal"],
        tested["qcd"],
    )


def test_what_cannot_be_told_apart_is_not(tmp_path: Path) -> None:
    """Two samples of the same jets: no better than a coin, on events it did not see."""
    paths = [
        write_sample(tmp_path / "q.h5", signal=False, events=600),
        write_sample(tmp_path / "s.h5", signal=False, events=600, seed=2, run=SIGNAL_RUN),
    ]
    with h5py_file(paths[1]) as file:
        jets = file["jets"][:]
        jets["label"], jets["llp_Lxy"] = 1, 2000.0
        file["jets"][:] = jets
    read, _ = read_jets(paths, FEW)
    network = fit(read, FEW)
    auc = network.network.auc()
    error = auc_error(0.5, len(network.network.signal), len(network.network.background))
    assert abs(auc - 0.5) < 4.0 * error
    assert network.trained.auc() > auc


def h5py_file(path: Path) -> Any:
    import h5py

    return h5py.File(path, "r+")


def test_the_same_seed_gives_the_same_network(sample: Path) -> None:
    jets, _ = read_jets([sample], FEW)
    one, again = fit(jets, FEW), fit(jets, FEW)
    np.testing.assert_array_equal(one.network.signal, again.network.signal)
    assert one.importance == again.importance
    other = NetworkOptions(seed=2, features=FEW.features)
    assert read_jets([sample], other)[0].counts() != jets.counts()


def test_a_feature_that_is_not_known_everywhere(sample: Path) -> None:
    jets, _ = read_jets([sample], FEW)
    jets.features[::3, 2] = np.nan
    assert fit(jets, FEW).network.auc() > 0.9
    jets.features[:, 2] = np.nan
    alone = {entry.feature: entry.alone for entry in fit(jets, FEW).importance}
    assert alone["width"] == 0.5


# --- the verb --------------------------------------------------------------------------------


@pytest.fixture
def furnished(place: Place, sample: Path) -> Place:
    (place.root / "train.h5").write_bytes(sample.read_bytes())
    return place


def test_train_writes_numbers_and_pictures(furnished: Place) -> None:
    answer = furnished.hvmpi("train", "train.h5", "--features=log10_EH_EEM,n_tracks,width,time")
    assert (answer.code, answer.err) == (0, "")
    directory = furnished.root / "network"
    pictures = {f"{n}.{s}" for n in ("roc", "scores", "importance") for s in ("png", "pdf")}
    assert {path.name for path in directory.iterdir()} == {"network.json", "roc.csv", *pictures}
    for name in pictures:
        beginning = (directory / name).read_bytes()[:8]
        assert beginning.startswith(b"\x89PNG" if name.endswith("png") else b"%PDF")
    found = json.loads((directory / "network.json").read_text())
    assert found["network"]["auc"] > found["cut"]["auc"]
    assert f"AUC of the network: {found['network']['auc']:.4f}" in answer.out
    assert found["events"] == 1000
    assert found["options"]["features"] == ["log10_EH_EEM", "n_tracks", "width", "time"]
    assert set(found["inputs"]) == {"train.h5"}
    at_90 = next(point for point in found["network"]["points"] if point["at_least"] == 0.9)
    assert at_90["signal"]["value"] >= 0.9
    assert at_90["qcd"]["low"] <= at_90["qcd"]["value"] <= at_90["qcd"]["high"]
    # All QCD jets are of one sample here: both ways of counting are the same.
    assert at_90["qcd_by_cross_section"]["value"] == pytest.approx(at_90["qcd"]["value"])
    working = found["cut"]["working_point"]
    assert working["network"]["signal"]["value"] >= working["signal"]["value"]
    assert working["network"]["qcd"]["value"] <= working["qcd"]["value"]
    with (directory / "roc.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["discriminant"] for row in rows} == {"network", "cut"}
    efficiencies = [float(row["qcd_efficiency"]) for row in rows if row["discriminant"] == "cut"]
    assert efficiencies == sorted(efficiencies)
    assert efficiencies[-1] == 1.0


def test_without_cross_sections_only_numbers_of_jets(tmp_path: Path) -> None:
    paths = [
        write_sample(tmp_path / "s.h5", signal=True, events=300, engine="athena"),
        write_sample(tmp_path / "q.h5", signal=False, events=300, cross_section_pb=math.nan),
    ]
    jets, books = read_jets(paths, FEW)
    found = numbers(paths, books, jets, fit(jets, FEW), FEW)
    assert found["network"]["auc_by_cross_section"] is None
    rows = summary_rows(found)
    assert [row[2] for row in rows] == ["not known"] * len(rows)
    assert engines(books) == {"openchain", "athena"}
    json.dumps(found, allow_nan=False)


BAD = {
    "no such file": (["gone.h5"], ["there is no file 'gone.h5'"]),
    "no training file": (["notes"], ["'notes' is not a whole HDF5 file"]),
    "unknown feature": (["train.h5", "--features=widht"], ["'widht'", "'width'"]),
    "no features": (["train.h5", "--features="], ["needs features"]),
    "truth": (["train.h5", "--features=label"], ["'label'", "truth"]),
    "window upside down": (["train.h5", "--min-lxy=5", "--max-lxy=4"], ["min-lxy", "5 and 4"]),
    "window nan": (["train.h5", "--min-lxy=nan"], ["min-lxy"]),
    "no signal in the window": (
        ["train.h5", "--min-lxy=5000", "--max-lxy=6000"],
        ["no signal jet with 5000 mm < L_xy < 6000 mm", "800 signal jets have L_xy from 15", "mm"],
    ),
    "signal only": (["signal.h5"], ["no QCD jet in 'signal.h5'"]),
    "QCD only": (["qcd.h5"], ["no signal jet", "merge a signal sample"]),
    "too few": (
        ["signal.h5", "qcd.h5"],
        ["too few jets in 'signal.h5' and 1 more files", "of signal", "of QCD to train", "100"],
    ),
    "the same twice": (["train.h5", "train.h5"], ["event 1 of run", "is in 'train.h5' and in"]),
    "seed": (["train.h5", "--seed=-1"], ["seed", "-1"]),
    "nothing": ([], ["TRAIN"]),
}


@pytest.mark.parametrize("words", BAD)
def test_train_refuses(furnished: Place, words: str) -> None:
    (furnished.root / "notes").write_text("no HDF5")
    write_sample(furnished.root / "signal.h5", signal=True, events=30, first_event=5000)
    write_sample(furnished.root / "qcd.h5", signal=False, events=30, first_event=5000)
    before = furnished.tree()
    argv, said = BAD[words]
    answer = furnished.hvmpi("train", *argv)
    assert answer.code == 2
    assert all(part in answer.complaint for part in said)
    assert furnished.tree() == before


@pytest.mark.parametrize("module", ["sklearn", "matplotlib", "mplhep", "hist"])
def test_train_says_what_is_not_installed(
    furnished: Place, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    answer = furnished.hvmpi("train", "train.h5", "--features=emf")
    assert answer.code == 2
    assert f"{module} is not installed: pip install 'hvmpi[train]'" in answer.complaint
    assert not (furnished.root / "network").exists()


def test_a_place_that_cannot_be_written(furnished: Place) -> None:
    (furnished.root / "network").write_text("a file")
    answer = furnished.hvmpi("train", "train.h5", "--features=emf")
    assert answer.code == 2
    assert "cannot write in" in answer.complaint
