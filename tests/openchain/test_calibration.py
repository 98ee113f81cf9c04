"""The constants of the jets' energy scale: looked up, written, read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hvmpi.openchain
from hvmpi.errors import InputError, SetupError
from hvmpi.openchain.calibration import (
    Calibration,
    Response,
    calibration_hash,
    jet_calibration,
    read_calibration,
)

CENTRAL = Response((10.0, 50.0, 400.0), (0.5, 0.6, 0.8), (0.01,) * 3, (100,) * 3)
FORWARD = Response((20.0,), (0.9,), (0.02,), (100,))
TOY = Calibration((0.0, 1.0, 2.5), (CENTRAL, FORWARD), {"note": "a toy"})


def test_points_are_met_and_beyond_them_all_is_constant() -> None:
    pt = np.array([0.1, 10.0, 50.0, 400.0, 9000.0])
    found = TOY.response(np.full(5, -0.5), pt)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.6, 0.8, 0.8], atol=1e-4)
    np.testing.assert_allclose(TOY.factor(np.full(5, 2.0), pt), 1.0 / 0.9)
    assert TOY.response(np.array([9.0]), pt[:1])[0] == pytest.approx(0.9)


@given(st.floats(1.0, 3000.0), st.floats(1e-3, 1.0), st.floats(-5.0, 5.0))
def test_order_is_kept(pt: float, step: float, eta: float) -> None:
    """Neither response nor calibrated pT falls with pT."""
    both = np.array([pt, pt * (1.0 + step)])
    place = np.full(2, eta)
    response = TOY.response(place, both)
    assert response[0] <= response[1] + 1e-12
    calibrated = both * TOY.factor(place, both)
    assert calibrated[0] < calibrated[1]


def test_no_jets() -> None:
    assert TOY.factor(np.empty(0), np.empty(0)).shape == (0,)


def test_the_shipped_file() -> None:
    path = Path(hvmpi.openchain.__file__).parent / "data" / "jet_calibration.json"
    assert jet_calibration() == read_calibration(path)
    assert jet_calibration() is jet_calibration()
    assert calibration_hash() == hashlib.sha256(path.read_bytes()).hexdigest()
    factor = jet_calibration().factor(np.linspace(-4.9, 4.9, 50), np.geomspace(4.0, 2000.0, 50))
    assert ((factor >= 1.0) & (factor < 4.0)).all()


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "jets.json"
    TOY.write(path)
    assert read_calibration(path) == TOY
    with pytest.raises(SetupError, match="none"):
        TOY.write(tmp_path / "none" / "jets.json")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema", "hvmpi.aod", "expected hvmpi.jet_calibration"),
        ("schema_version", 2, "version 2, expected"),
        ("pt_em", [10.0, 5.0, 400.0], "pt_em must rise"),
        ("response", [0.5, 0.4, 0.8], "response not fall"),
        ("response", [0.5, 0.6], "as many"),
        ("response", [0.0, 0.6, 0.8], "above 0"),
        ("abs_eta", [0.0, 3.0], "abs_eta"),
    ],
)
def test_bad_files(tmp_path: Path, key: str, value: object, words: str) -> None:
    path = tmp_path / "jets.json"
    TOY.write(path)
    content = json.loads(path.read_text())
    if key in content:
        content[key] = value
    else:
        content["bins"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"jets\.json.*{words}"):
        read_calibration(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_calibration(tmp_path / "none.json")
    path = tmp_path / "jets.json"
    for text in ("", "[]", "{}", "\u00fc"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match="holds no calibration"):
            read_calibration(path)
