"""Pile-up: drawn event by event, the same in any job, refused where the library is not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from hvmpi.errors import InputError
from hvmpi.openchain import chain, pileup_noise, readout
from hvmpi.openchain.__main__ import main
from hvmpi.openchain.chain import PileUp
from hvmpi.openchain.eventdata import Product
from hvmpi.openchain.layers import cells
from hvmpi.openchain.pileup import Library, check_library
from hvmpi.openchain.schemas import AOD, HITS, LAYERS
from tests.openchain.conftest import RUN_NUMBER, SEED

LIBRARY_EVENTS = 40
MU = 3.0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library made by the command that campaigns use."""
    path = tmp_path_factory.mktemp("library") / "minbias.hits.h5"
    assert main(["library", "-o", str(path), f"--events={LIBRARY_EVENTS}", "--seed=7"]) == 0
    return path


@pytest.fixture(scope="module")
def overlaid(signal_evnt: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the AOD of six events with pile-up."""
    path = tmp_path_factory.mktemp("overlaid") / "aod.h5"
    chain.run(signal_evnt, path, seed=SEED, events=6, pile_up=PileUp(MU, library))
    return path


def test_interactions_are_poisson_and_each_event_has_its_own(library: Path) -> None:
    drawn = Library(library, MU, seed=1)
    counts = np.array([drawn.overlay(RUN_NUMBER, number).interactions for number in range(200)])
    assert counts.mean() == pytest.approx(MU, abs=5.0 * np.sqrt(MU / 200))
    assert counts.var() == pytest.approx(MU, rel=0.5)
    one, again = (drawn.overlay(RUN_NUMBER, 5) for _ in range(2))
    np.testing.assert_array_equal(one.samples, again.samples)
    np.testing.assert_array_equal(one.hits["x"], again.hits["x"])
    other = Library(library, MU, seed=2).overlay(RUN_NUMBER, 5)
    assert not np.array_equal(one.samples, other.samples)


def test_no_library_event_comes_twice_in_a_crossing(library: Path) -> None:
    drawn = Library(library, MU, seed=1)
    for number in range(50):
        hits = drawn.overlay(RUN_NUMBER, number).hits
        if len(hits["x"]) == 0:
            continue
        rows = np.stack([hits[name] for name in ("x", "y", "z", "ct", "px")], axis=1)
        assert len(np.unique(rows, axis=0)) == len(rows)
        assert (np.diff(hits["interaction"]) >= 0).all()


def test_pile_up_adds_nothing_on_average_to_cells(library: Path) -> None:
    drawn = Library(library, MU, seed=1)
    total = np.zeros(len(LAYERS))
    squares = np.zeros(len(LAYERS))
    filter_weights = np.array([0.0, 0.0, 1.0, 0.0])
    events = 150
    for number in range(events):
        peak = filter_weights @ drawn.overlay(RUN_NUMBER, number).samples
        sums = np.bincount(cells().layer, weights=peak)
        total += sums
        squares += sums**2
    mean = total / events
    error = np.sqrt((squares / events - mean**2) / events)
    assert (np.abs(mean) < 5.0 * error).all()
    assert (error > 0.0).all()


def test_events_with_pile_up_do_not_depend_on_their_job(
    signal_evnt: Path, library: Path, overlaid: Path, tmp_path: Path
) -> None:
    part = tmp_path / "part.h5"
    chain.run(signal_evnt, part, seed=SEED, skip=3, events=2, pile_up=PileUp(MU, library))
    with Product(overlaid, AOD) as whole, Product(part, AOD) as piece:
        pairs = zip(whole.iterate(range(3, 5)), piece.iterate(range(2)), strict=True)
        for one, other in pairs:
            for name, table in one.tables.items():
                for field, values in table.items():
                    np.testing.assert_array_equal(values, other.tables[name][field])


def test_step_by_step_is_the_same_with_pile_up(
    signal_evnt: Path, library: Path, overlaid: Path, tmp_path: Path
) -> None:
    hits, rdo, aod = (tmp_path / f"{name}.h5" for name in ("hits", "rdo", "aod"))
    chain.simulate(signal_evnt, hits, seed=SEED, events=6)
    words = ["--pileup-mu", str(MU), "--pileup-library", str(library), f"--seed={SEED}"]
    assert main(["digitize", str(hits), "-o", str(rdo), *words]) == 0
    chain.reconstruct(rdo, aod, seed=SEED)
    assert aod.read_bytes() == overlaid.read_bytes()


def test_pile_up_is_seen(overlaid: Path, fused: Path) -> None:
    with Product(overlaid, AOD) as loud, Product(fused / "aod.h5", AOD) as quiet:
        assert (loud["pile_up"]["mu"] == MU).all()
        assert (quiet["pile_up"]["interactions"] == 0).all()
        tracks = [np.diff(product["tracks"].index)[:6].sum() for product in (loud, quiet)]
        assert tracks[0] > tracks[1]
        made = loud.provenance
    assert set(made["inputs"]) == {"evnt", "library"}
    assert made["pileup_mu"] == MU


def _complaint(path: Path, mu: float = 1.0) -> str:
    with pytest.raises(InputError) as caught:
        check_library(path, mu)
    return str(caught.value)


def test_libraries_that_are_not_fit(library: Path, fused: Path, tmp_path: Path) -> None:
    assert check_library(library, 4.0).events == LIBRARY_EVENTS
    assert "is not there" in _complaint(tmp_path / "none.h5")
    assert "holds 40 events; mu = 4.1 needs 41" in _complaint(library, 4.1)
    assert "its process is gghss, not minbias" in _complaint(fused / "hits.h5")
    assert "hvmpi.aod version" in _complaint(fused / "aod.h5")
    other = tmp_path / "other.hits.h5"
    shutil.copy(library, other)
    with h5py.File(other, "r+") as file:
        made = file.attrs["provenance"]
        at = made.index('"settings_hash": "') + len('"settings_hash": "')
        file.attrs["provenance"] = made[:at] + "0" * 12 + made[at + 12 :]
    assert "was simulated with other settings (hash 000000000000" in _complaint(other)
    (tmp_path / "cut.h5").write_bytes(library.read_bytes()[:5000])
    assert "is not a whole HDF5 file" in _complaint(tmp_path / "cut.h5")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--pileup-mu=2"], "go together"),
        (["--pileup-mu=-1", "--pileup-library=x"], "pileup-mu must be at least 0"),
        (["--pileup-mu=nan", "--pileup-library=x"], "pileup-mu must be"),
        (["--pileup-mu=many", "--pileup-library=x"], "pileup-mu wants a number"),
        (["--pileup-mu=2", "--pileup-library=nowhere.h5"], "is not there"),
    ],
)
def test_bad_words(
    words: list[str],
    sentence: str,
    signal_evnt: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "aod.h5"
    report = tmp_path / "report.json"
    words = [*words, "--report", str(report)]
    assert main(["chain", str(signal_evnt), "-o", str(out), "--events=1", *words]) == 2
    assert sentence in capsys.readouterr().err
    # Not bad_input, for which the event file would be put aside.
    assert json.loads(report.read_text())["outcome"] != "bad_input"
    assert list(tmp_path.iterdir()) == [report]


def test_noise_of_pile_up_is_measured_as_campbell_says(library: Path, tmp_path: Path) -> None:
    path = tmp_path / "noise.csv"
    assert main(["pileup-noise", str(library), "-o", str(path)]) == 0
    assert path.read_text().startswith("# Noise of pile-up at mu = 1, measured on 40 ")
    # Two events, one of which leaves 3 GeV in each cell of a ring of 128 in em2's layer.
    table = cells()
    ring = np.flatnonzero(
        (table.layer == LAYERS.index("em2")) & (np.abs(np.abs(table.eta) - 0.3) < 0.1)
    )
    weights = np.array([0.5, 1.0, -0.5])
    measured = pileup_noise.measure(ring, np.full(len(ring), 3.0), 2, weights)
    row, column = LAYERS.index("em2"), round(0.2 / pileup_noise.ETA_BIN)
    assert measured[row, column] == pytest.approx(np.sqrt(9.0 / 2.0 * 1.5))
    assert np.count_nonzero(measured) == 1


def test_library_hits_have_deposits(library: Path) -> None:
    with Product(library, HITS) as product:
        assert len(product) == LIBRARY_EVENTS
        assert product.normalisation["process"].tolist() == [b"minbias"]
        spread = product["truth"]["z"]
        assert len(product["deposits"]) > 100 * LIBRARY_EVENTS
    # The luminous region is long.
    assert spread.std() > 20.0
    assert readout.SAMPLES == 4
