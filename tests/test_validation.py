"""The studies of the validation: on events whose answer is known, and on a handful of real ones."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hvmpi.openchain.eventdata import Event, ProductWriter, Table
from hvmpi.openchain.evnt import NORMALISATION_FIELDS
from hvmpi.openchain.schemas import AOD

pytest.importorskip("mplhep")

DIRECTORY = Path(__file__).parents[1] / "docs" / "validation"
MODULES = ("calratio", "estimates", "jets", "network", "page", "samples", "single_particles")


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """Return the scripts' modules; they import each other by name, as scripts do."""
    monkeypatch.syspath_prepend(str(DIRECTORY))
    before = set(sys.modules)
    modules = {name: importlib.import_module(name) for name in MODULES}
    monkeypatch.setattr(modules["estimates"], "STEP_SAMPLES", 15)
    yield modules
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(DIRECTORY)):
            del sys.modules[name]


# --- AODs of our own -------------------------------------------------------------------------


def empty(collection: str) -> Table:
    return {field.name: np.zeros(0, field.dtype) for field in AOD.collections[collection]}


def rows(collection: str, number: int, **values: Any) -> Table:
    """Return a table with some columns given, the rest 0."""
    table = {field.name: np.zeros(number, field.dtype) for field in AOD.collections[collection]}
    for name, given in values.items():
        table[name] = np.broadcast_to(given, number).astype(table[name].dtype)
    return table


def write_aod(
    path: Path,
    events: list[dict[str, Table]],
    *,
    mu: float = 0.0,
    weight: float = 1.0,
    **sample: Any,
) -> Path:
    made = {"seed": 1, "settings_hash": "0" * 64, "versions": {"hvmpi": "0"}, "pileup_mu": mu}
    fields = [("sample", "S8"), *NORMALISATION_FIELDS]
    normalisation = np.zeros(1, dtype=fields)
    known = {"events": len(events), "sum_weights": weight * len(events), "cross_section_pb": 1.0}
    for name, value in (
        {"sample": b"made", "m_phi": np.nan, "m_s": np.nan} | known | sample
    ).items():
        normalisation[name] = value
    with ProductWriter(path, AOD, made) as writer:
        for number, tables in enumerate(events, start=1):
            full = {name: tables.get(name, empty(name)) for name in AOD.collections}
            writer.append(Event(int(sample["run_number"]), number, weight, full))
        writer.finish(normalisation)
    return path


def qcd_event(random: np.random.Generator, response: float) -> dict[str, Table]:
    """Return two true jets of 100 GeV back to back, with their jets."""
    pt, phi = np.array([100.0, 100.0]), np.array([0.0, 3.0])
    eta = random.uniform(-0.7, 0.7, 2)
    found = pt * random.normal(response, 0.1, 2)
    return {
        "truth_jets": rows("truth_jets", 2, pt=pt, eta=eta, phi=phi),
        "jets": rows("jets", 2, pt=found, eta=eta, phi=phi, truth_jet=[0, 1], e_em2=50.0),
    }


def decay_event(lxy: float, *, track: bool = False) -> dict[str, Table]:
    """Return an s that decays at eta 0.5, phi 1; its jet is CalRatio from 2 to 3.6 m."""
    long_lived = {"px": 100.0 * math.cos(1.0), "py": 100.0 * math.sin(1.0), "pz": 10.0}
    decay = {"decay_x": lxy * math.cos(1.0), "decay_y": lxy * math.sin(1.0)}
    inside = 2000.0 < lxy < 3600.0
    direction = {"eta": 0.55, "phi": 1.05}
    tracks = rows("tracks", int(track), pt=3.0, **direction)
    energy = {"e_tile2": 100.0, "e_em2": 1.0 if inside else 50.0}
    return {
        "truth": rows("truth", 1, pdg_id=35, **long_lived, **decay, decay_z=lxy * math.sinh(0.5)),
        "jets": rows("jets", 1, pt=80.0, **direction, **energy),
        "tracks": tracks,
    }


def numbers(directory: Path, study: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / f"{study}.json").read_text())
    return found


def goal(found: dict[str, Any], beginning: str) -> dict[str, Any]:
    (one,) = [entry for entry in found["goals"] if entry["what"].startswith(beginning)]
    return one


# --- estimates -------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_step_finds_its_half_point(studies: dict[str, ModuleType], sign: float) -> None:
    random = np.random.default_rng(2)
    place = random.uniform(1.0, 3.0, 5000)
    chance = 0.9 * 0.5 * (1.0 + np.vectorize(math.erf)(sign * (place - 1.9) / (0.1 * 2**0.5)))
    passed = random.random(len(place)) < chance
    found = studies["estimates"].step(place, passed, 0.9, (2.0, 0.2 * sign))
    assert found["half"] == pytest.approx(1.9, abs=4.0 * found["half_error"])
    assert found["width"] == pytest.approx(0.1, abs=4.0 * found["width_error"])
    assert 0.001 < found["half_error"] < 0.02


# --- studies ---------------------------------------------------------------------------------


def test_jets_of_a_known_response(studies: dict[str, ModuleType], tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    kind = {"process": b"qcd", "run_number": 600002}
    for part in range(2):
        events = [qcd_event(random, 1.05) for _ in range(300)]
        write_aod(tmp_path / f"{part}.aod.h5", events, **kind)
    studies["jets"].main([str(tmp_path), "--noise-events", "3", "--output", str(tmp_path)])
    found = numbers(tmp_path, "jets")
    for how in ("by cross-section", "each jet once"):
        response = goal(found, f"QCD jets, {how}: mean")
        assert response["measured"]["value"] == pytest.approx(1.05, abs=0.02)
        assert response["reached"] is False
    resolutions = [entry for entry in found["goals"] if "resolution" in entry["what"]]
    assert len(resolutions) == 4
    for entry in resolutions:
        assert entry["measured"]["value"] == pytest.approx(100.0 * 0.1 / 1.05, rel=0.15)
        assert entry["reached"] is True
    assert goal(found, "noise")["measured"]["value"] == 0.0
    assert (tmp_path / "jets_response.png").stat().st_size < 150_000


def test_slices_weigh_as_their_cross_sections(
    studies: dict[str, ModuleType], tmp_path: Path
) -> None:
    random = np.random.default_rng(4)
    for run, response, cross_section in ((600002, 0.9, 30.0), (600003, 1.1, 10.0)):
        events = [qcd_event(random, response) for _ in range(200)]
        write_aod(
            tmp_path / f"{run}.aod.h5",
            events,
            process=b"qcd",
            run_number=run,
            cross_section_pb=cross_section,
        )
    inputs = studies["samples"].read([tmp_path])
    pairs = studies["jets"].pairs_of(inputs.of("qcd"))
    mean = np.average(pairs.response, weights=pairs.weight)
    assert mean == pytest.approx(0.75 * 0.9 + 0.25 * 1.1, abs=0.02)


def test_calratio_of_known_decays(studies: dict[str, ModuleType], tmp_path: Path) -> None:
    lengths = np.random.default_rng(5).uniform(0.0, 4600.0, 1500)
    # Of four decays one has a track next to its jet.
    events = [decay_event(lxy, track=row % 4 == 0) for row, lxy in enumerate(lengths.tolist())]
    kind = {"process": b"gghss", "run_number": 1, "m_phi": 600.0, "m_s": 150.0}
    write_aod(tmp_path / "signal.aod.h5", events, **kind)
    random = np.random.default_rng(6)
    jets = [qcd_event(random, 1.0) for _ in range(50)]
    write_aod(tmp_path / "qcd.aod.h5", jets, mu=20.0, process=b"qcd", run_number=600002)
    studies["calratio"].main([str(tmp_path), "--output", str(tmp_path)])
    found = numbers(tmp_path, "calratio")
    assert goal(found, "CalRatio: L_xy < 1.7 m")["measured"]["value"] == 0.0
    plateau = goal(found, "CalRatio: mean over")
    assert plateau["measured"]["value"] == pytest.approx(0.75, abs=0.07)
    assert plateau["reached"] is False
    assert goal(found, "CalRatio: beyond")["reached"] is True
    half = goal(found, "CalRatio: half of the plateau")["measured"]
    assert half["value"] == pytest.approx(2.0, abs=0.03)
    inside = goal(found, "CalRatio: half again")
    assert inside["measured"]["value"] == pytest.approx(0.22, abs=0.03)
    assert inside["reached"] is True
    bins = found["tables"]["efficiency_mu0"]["rows"]
    assert sum(row[1] for row in bins) == len(lengths)
    assert min(row[1] for row in bins) >= 200
    # A hundred jets say nothing of one in a thousand.
    few = goal(found, "CalRatio of QCD jets, mu = 20: pT > 60 GeV, abs(eta) < 2.5, weighted")
    assert few["reached"] is None


def test_single_particles(
    studies: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies["single_particles"], "ETAS", (0.3, 2.8))
    monkeypatch.setattr(studies["single_particles"], "ENERGIES_GEV", (20.0, 200.0))
    studies["single_particles"].main(["--particles", "16", "--output", str(tmp_path)])
    found = numbers(tmp_path, "single_particles")
    assert len(found["tables"]["resolution"]["rows"]) == 12
    for row in found["tables"]["resolution"]["rows"]:
        if row[0] != "pion":
            assert row[3]["value"] == pytest.approx(1.0, abs=0.1)
    for row in found["tables"]["depth"]["rows"]:
        assert row[5] == pytest.approx(0.0, abs=1.5)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        f"single_particles_{name}.png"
        for name in ("em_resolution", "pion_resolution", "e_over_pi", "depth")
    }


def test_no_aod_is_an_error(studies: dict[str, ModuleType], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no AOD"):
        studies["calratio"].main([str(tmp_path)])


# --- the page --------------------------------------------------------------------------------


def test_page_shows_the_numbers(studies: dict[str, ModuleType], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- begin missed -->\nold\n<!-- end missed -->\n"
        "<!-- begin made_up.table -->\n<!-- end made_up.table -->\nbehind\n"
    )
    study = importlib.import_module("study")
    made = study.Study("made_up", tmp_path, pdf=False)
    made.goal("height", "1 m", study.with_error(0.5, 0.1), False, ".2f")
    made.goal("width", "2 m", 2.0, True, ".2f")
    made.table("table", [study.Column("size (m)", ".1f")], [[1.25], [None]])
    made.finish()
    command = ["--page", str(page), "--figures", str(tmp_path)]
    assert studies["page"].main([*command, "--check"]) == 1
    assert studies["page"].main(command) == 0
    text = page.read_text()
    assert "| height | 1 m | 0.50 ± 0.10 | no |" in text
    assert "width" not in text
    assert "old" not in text
    assert "| size (m) |\n| --- |\n| 1.2 |\n| - |\n" in text
    assert text.startswith("before\n")
    assert text.endswith("behind\n")
    assert studies["page"].main([*command, "--check"]) == 0


def test_our_page_is_up_to_date(studies: dict[str, ModuleType]) -> None:
    assert studies["page"].main(["--check"]) == 0
