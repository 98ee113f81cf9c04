"""The calibration of jets, derived from a toy detector and tried on other jets of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hvmpi.errors import InputError
from hvmpi.openchain.__main__ import main
from hvmpi.openchain.calibration import Calibration, read_calibration
from hvmpi.openchain.eventdata import Event, Product, ProductWriter, Table
from hvmpi.openchain.evnt import NORMALISATION_FIELDS
from hvmpi.openchain.response import derive
from hvmpi.openchain.schemas import AOD

MADE = {"settings_hash": "a" * 64, "seed": 7}
MIN_PT_EM_GEV = 6.0


def empty(collection: str, size: int = 0) -> Table:
    return {field.name: np.zeros(size, field.dtype) for field in AOD.collections[collection]}


def normalisation(run_number: int, cross_section: float, weights: float) -> NDArray[np.void]:
    row = np.zeros(1, dtype=[("sample", "S8"), *NORMALISATION_FIELDS])
    row["sample"], row["process"] = f"qcd{run_number}".encode(), b"qcd"
    row["run_number"], row["cross_section_pb"], row["sum_weights"] = (
        run_number,
        cross_section,
        weights,
    )
    return row


def mean_response(eta: NDArray[np.float64], pt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a response that rises with pT as that of hadrons does, and has a crack."""
    crack = 0.1 * np.exp(-(((np.abs(eta) - 1.5) / 0.2) ** 2))
    return np.asarray(1.0 - 0.6 * pt**-0.13 - crack)


def toy_event(
    number: int,
    pt: Callable[[int], NDArray[np.float64]],
    random: np.random.Generator,
    response: Callable[..., NDArray[np.float64]],
    run_number: int,
) -> Event:
    """Return an event of twenty isolated jets, with weight 2."""
    eta, phi = (values.ravel() for values in np.meshgrid(np.arange(-2.4, 2.5, 1.2), np.arange(4)))
    eta = eta + random.uniform(-0.6, 0.6)
    phi = 1.57 * phi - 3.0
    truth = empty("truth_jets", len(eta)) | {"pt": pt(len(eta)), "eta": eta, "phi": phi}
    spread = np.hypot(0.8 / np.sqrt(truth["pt"]), 0.05)
    pt_em = truth["pt"] * response(eta, truth["pt"])
    pt_em = pt_em * (1.0 + spread * random.standard_normal(len(eta)))
    seen = np.flatnonzero(pt_em > MIN_PT_EM_GEV)
    jets = empty("jets", len(seen)) | {
        "pt_em": pt_em[seen],
        "eta": eta[seen] + 0.02,
        "phi": phi[seen],
        "truth_jet": seen,
    }
    tables = {name: empty(name) for name in AOD.collections}
    return Event(run_number, number, 2.0, tables | {"truth_jets": truth, "jets": jets})


def write_toy(
    path: Path,
    *,
    pt: tuple[float, float] = (10.0, 600.0),
    events: range = range(400),
    run_number: int = 1,
    cross_section: float = 100.0,
    response: Callable[..., NDArray[np.float64]] = mean_response,
    made: dict[str, object] | None = None,
) -> Path:
    """Write an AOD; jets' pT is flat in its logarithm."""
    with ProductWriter(path, AOD, MADE | (made or {})) as writer:
        for number in events:
            random = np.random.default_rng([run_number, number])

            def draw(size: int, random: np.random.Generator = random) -> NDArray[np.float64]:
                return np.exp(random.uniform(*np.log(pt), size))

            writer.append(toy_event(number, draw, random, response, run_number))
        writer.finish(normalisation(run_number, cross_section, 2.0 * len(events)))
    return path


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Slices of pT with falling cross-sections, the first one in two files."""
    directory = tmp_path_factory.mktemp("slices")
    made = [
        write_toy(directory / "1a.aod.h5", pt=(8.0, 70.0), events=range(300), cross_section=1e6),
        write_toy(
            directory / "1b.aod.h5", pt=(8.0, 70.0), events=range(300, 500), cross_section=1e6
        ),
    ]
    for run_number, low in enumerate((50.0, 150.0, 450.0), start=2):
        made.append(
            write_toy(
                directory / f"{run_number}.aod.h5",
                pt=(low, 4.0 * low),
                events=range(350),
                run_number=run_number,
                cross_section=1e6 * 0.03 ** (run_number - 1),
            )
        )
    return made


@pytest.fixture(scope="module")
def derived(slices: list[Path]) -> Calibration:
    return derive(slices)


def closure(calibration: Calibration, aods: list[Path], edges: list[float]) -> NDArray[np.float64]:
    """Return the mean response of calibrated jets in bins of the true pT."""
    ratios, truths = [], []
    for path in aods:
        with Product(path, AOD) as product:
            for event in product.iterate(range(len(product))):
                jets, truth = event.tables["jets"], event.tables["truth_jets"]
                pt = jets["pt_em"] * calibration.factor(jets["eta"], jets["pt_em"])
                true_pt = truth["pt"][jets["truth_jet"]]
                ratios.append(pt / true_pt)
                truths.append(true_pt)
    ratio, true_pt = np.concatenate(ratios), np.concatenate(truths)
    return np.array(
        [ratio[(true_pt >= low) & (true_pt < high)].mean() for low, high in pairwise(edges)]
    )


def test_closure(derived: Calibration, tmp_path: Path) -> None:
    """On jets that the constants have not seen, in bins that are not theirs."""
    other = write_toy(tmp_path / "other.aod.h5", events=range(5000, 6200), pt=(15.0, 700.0))
    edges = [25.0, 35.0, 45.0, 60.0, 90.0, 130.0, 180.0, 250.0, 350.0, 500.0]
    found = closure(derived, [other], edges)
    np.testing.assert_allclose(found, 1.0, atol=0.02)
    # And nothing would close by itself.
    assert np.abs(mean_response(np.zeros(1), np.array([25.0, 500.0])) - 1.0).min() > 0.2


def test_closure_on_its_own_jets_is_close(tmp_path: Path) -> None:
    """Where the response bends and is broad, its inverse alone is 2 % off in the last bin."""
    own = write_toy(tmp_path / "own.aod.h5", pt=(20.0, 110.0), response=steep, events=range(700))
    edges = [20.0, 25.0, 30.0, 40.0, 50.0, 65.0, 80.0, 110.0]
    np.testing.assert_allclose(closure(derive([own]), [own], edges), 1.0, atol=0.012)


def steep(_eta: NDArray[np.float64], pt: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.45 + 0.4 * np.tanh(np.log(pt / 40.0)) ** 2 * (pt > 40.0))


def test_closure_by_eta(derived: Calibration, tmp_path: Path) -> None:
    other = write_toy(tmp_path / "other.aod.h5", events=range(5000, 5800), pt=(30.0, 300.0))
    with Product(other, AOD) as product:
        jets, truth = product["jets"].table(), product["truth_jets"].table()
        start = np.repeat(product["truth_jets"].index[:-1], np.diff(product["jets"].index))
    ratio = jets["pt_em"] * derived.factor(jets["eta"], jets["pt_em"])
    ratio /= truth["pt"][jets["truth_jet"] + start]
    for low, high in ((0.0, 0.5), (0.8, 1.2), (1.2, 1.5), (1.5, 1.8), (2.0, 2.5)):
        chosen = (np.abs(jets["eta"]) >= low) & (np.abs(jets["eta"]) < high)
        assert ratio[chosen].mean() == pytest.approx(1.0, abs=0.02)


def test_response_is_that_of_the_detector_and_does_not_fall(derived: Calibration) -> None:
    for low, response in zip(derived.abs_eta_edges, derived.responses, strict=False):
        assert (np.diff(response.response) >= 0.0).all()
        if low > 2.0:
            continue
        pt_em = np.array([50.0, 200.0])
        middle = np.full(2, low + 0.15)
        true_pt = pt_em / derived.response(middle, pt_em)
        np.testing.assert_allclose(
            derived.response(middle, pt_em), mean_response(middle, true_pt), atol=0.03
        )


def test_bins_that_lose_jets_do_not_count(derived: Calibration) -> None:
    """Of jets from 10 to 15 GeV, with a response of 0.57, a third is below the threshold."""
    assert derived.responses[0].pt_em[0] > 9.0
    assert derived.response(np.zeros(1), np.array([4.5]))[0] == derived.responses[0].response[0]


def test_bins_without_jets_take_their_neighbours(derived: Calibration) -> None:
    """The toy has no jets beyond abs(eta) 3."""
    last, inner = derived.responses[-1], derived.responses[-4]
    assert last.response == inner.response or sum(last.jets) == 0
    assert sum(derived.responses[-1].jets) == 0
    pt = np.array([30.0, 100.0])
    np.testing.assert_array_equal(
        derived.factor(np.array([4.0, 4.0]), pt), derived.factor(np.array([6.0, -6.0]), pt)
    )


def test_provenance(derived: Calibration, slices: list[Path]) -> None:
    made = derived.provenance
    assert made["settings_hash"] == MADE["settings_hash"]
    assert made["seeds"] == [MADE["seed"]]
    assert made["events"] == 1550
    assert made["jets"] == sum(sum(response.jets) for response in derived.responses)
    assert [len(files) for files in made["samples"].values()] == [2, 1, 1, 1]
    assert sum(map(len, made["samples"].values())) == len(slices)


def test_order_and_pieces_of_the_files_do_not_matter(tmp_path: Path) -> None:
    pt = (80.0, 300.0)
    whole = write_toy(tmp_path / "whole.aod.h5", events=range(200), pt=pt)
    halves = [
        write_toy(tmp_path / f"{start}.aod.h5", events=range(start, start + 100), pt=pt)
        for start in (0, 100)
    ]
    expected = derive([whole])
    for files in (halves, halves[::-1]):
        for response, wanted in zip(derive(files).responses, expected.responses, strict=True):
            np.testing.assert_allclose(response.response, wanted.response, rtol=1e-5)
            assert response.jets == wanted.jets


def test_slices_count_by_their_events_and_not_by_their_cross_sections(tmp_path: Path) -> None:
    files = [
        write_toy(
            tmp_path / f"{run_number}.aod.h5",
            pt=(100.0, 250.0),
            events=range(events),
            run_number=run_number,
            cross_section=cross_section,
            response=lambda eta, _pt, level=level: np.full(len(eta), level),
        )
        for run_number, events, cross_section, level in ((1, 300, 1e6, 0.8), (2, 600, 1.0, 0.5))
    ]
    response = derive(files).response(np.array([0.2]), np.array([110.0]))[0]
    # By cross-sections it would be 0.8.
    assert response == pytest.approx(0.6, abs=0.02)


def test_jets_that_are_not_isolated_do_not_count(tmp_path: Path) -> None:
    def crowded(number: int) -> Event:
        random = np.random.default_rng(number)
        event = toy_event(
            number, lambda size: np.full(size, 50.0), random, lambda eta, _pt: 0.0 * eta + 0.7, 1
        )
        truth, jets = event.tables["truth_jets"], event.tables["jets"]
        # One true jet of 10 GeV near the first: its neighbour's response is not to be used.
        jets["pt_em"][jets["truth_jet"] == 0] = 500.0
        beside = {"pt": 10.0, "eta": truth["eta"][0] + 0.7, "phi": truth["phi"][0]}
        event.tables["truth_jets"] = {
            name: np.append(values, beside.get(name, 0)) for name, values in truth.items()
        }
        return event

    path = tmp_path / "crowded.aod.h5"
    with ProductWriter(path, AOD, MADE) as writer:
        for number in range(200):
            writer.append(crowded(number))
        writer.finish(normalisation(1, 100.0, 400.0))
    made = derive([path])
    assert max(value for response in made.responses for value in response.response) < 0.75


def test_what_is_written_can_be_read(derived: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "jets.json"
    derived.write(path)
    again = read_calibration(path)
    assert again == derived
    eta, pt = np.array([0.1, -1.4, 2.2]), np.array([12.0, 80.0, 300.0])
    np.testing.assert_array_equal(again.factor(eta, pt), derived.factor(eta, pt))


def test_the_command(
    slices: list[Path], derived: Calibration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, report = tmp_path / "jets.json", tmp_path / "report.json"
    files = [str(path) for path in slices]
    assert main(["calibrate", *files, "-o", str(output), "--report", str(report)]) == 0
    assert "1550 events" in capsys.readouterr().out
    assert read_calibration(output) == derived
    assert json.loads(report.read_text())["summary"]["jets"] == derived.provenance["jets"]


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_toy(tmp_path / "good.aod.h5", events=range(2))
    output = tmp_path / "jets.json"
    for files, words in (
        ([tmp_path / "none.aod.h5"], "none.aod.h5"),
        ([good], "too few"),
        ([good, good], "twice"),
    ):
        assert main(["calibrate", *map(str, files), "-o", str(output)]) == 2
        assert words in capsys.readouterr().err
        assert not output.exists()
    assert main(["calibrate", str(good), "-o", str(good)]) == 2


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    one = write_toy(tmp_path / "one.aod.h5", events=range(2))
    other = write_toy(tmp_path / "other.aod.h5", events=range(3), made={"settings_hash": "b" * 64})
    with pytest.raises(InputError, match="other settings"):
        derive([one, other])
