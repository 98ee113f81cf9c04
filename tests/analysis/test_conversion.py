"""ROOT and Parquet files hold what the products hold, exactly."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet
import pytest
import uproot

import hvmpi
from hvmpi.analysis.conversion import Format, convert, format_of
from hvmpi.analysis.kinds import kind_of
from hvmpi.analysis.sources import find_files
from hvmpi.errors import InputError, SetupError, UsageError
from tests.conftest import RunOnDisk


@pytest.fixture(params=["aod", "train", "hits", "rdo"])
def inputs(request: pytest.FixtureRequest, finished_run: RunOnDisk, early: Path) -> list[Path]:
    where = early / f"*.{request.param}.h5" if request.param in ("hits", "rdo") else None
    return find_files(where or finished_run.directory, request.param)


def _product(inputs: list[Path]) -> str:
    return inputs[0].name.removesuffix(".h5").rpartition(".")[2]


@pytest.fixture
def block(inputs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """See that there are several blocks, which do not end where files do."""
    monkeypatch.setattr(
        kind_of(inputs[0]), "block", {"aod": 10, "train": 20}.get(_product(inputs), 1)
    )


def _columns(array: ak.Array) -> dict[str, ak.Array]:
    """Give each column by the name that it has in a tree."""
    columns = {}
    for name in array.fields:
        fields = array[name].fields
        columns |= {f"{name}_{field}": array[name, field] for field in fields}
        columns |= {} if fields else {name: array[name]}
    return columns


def _equal(one: ak.Array, other: ak.Array) -> bool:
    return bool(
        ak.array_equal(one, other, equal_nan=True, dtype_exact=True) and one.type == other.type
    )


@pytest.mark.usefixtures("block")
def test_there_and_back(inputs: list[Path], tmp_path: Path) -> None:
    opened = ak.materialize(hvmpi.open(inputs))
    expected = _columns(opened)
    what = "jets" if _product(inputs) == "train" else "events"
    for to in Format:
        done = convert(inputs, tmp_path / f"out.{to}", to)
        assert (done.what, done.rows, done.files) == (what, len(opened), len(inputs))
        assert done.size == (tmp_path / f"out.{to}").stat().st_size
    parquet = ak.from_parquet(tmp_path / "out.parquet")
    with uproot.open(tmp_path / "out.root") as file:
        tree = file[what]
        counters = {f"n{name}" for name in opened.fields if opened[name].ndim == 2}
        assert {*tree.keys()} == {*expected} | counters
        for name in counters:
            lengths = ak.num(opened[name.removeprefix("n")])
            np.testing.assert_array_equal(tree[name].array(library="np"), lengths)
        assert parquet.fields == opened.fields
        assert _columns(parquet).keys() == expected.keys()
        for name, values in _columns(parquet).items():
            assert _equal(values, expected[name]), name
            assert _equal(tree[name].array(), expected[name]), name


def test_units_normalisation_and_provenance_go_along(aods: list[Path], tmp_path: Path) -> None:
    about = hvmpi.open(aods).attrs
    for to in Format:
        convert(aods, tmp_path / f"out.{to}", to, collections=["jets", "tracks"])
    written = ak.from_parquet(tmp_path / "out.parquet").attrs
    assert {*written} == {*about}
    for key in ("units", "meanings", "provenance"):
        assert written[key] == about[key]
    with uproot.open(tmp_path / "out.root") as file:
        units = json.loads(file["units"])
        assert {*units} | {"njets", "ntracks"} == {*file["events"].keys()}
        assert (units["jets_pt"], units["tracks_d0"], units["weight"]) == ("GeV", "mm", "1")
        assert json.loads(file["meanings"])["jets_eta"] == "pseudorapidity"
        assert json.loads(file["provenance"]) == about["provenance"]
        assert file["events"].title == "hvmpi.aod"
        table = file["normalisation"].arrays(library="ak")
    for name, values in about["normalisation"].items():
        for found in (table[name].to_list(), written["normalisation"][name]):
            assert len(found) == len(aods)
            assert all(
                one == other or (math.isnan(one) and math.isnan(other))
                for one, other in zip(found, values, strict=True)
            )


def test_parquet_is_plain_arrow_and_the_same_bytes_again(aods: list[Path], tmp_path: Path) -> None:
    for name in ("one", "other"):
        convert(aods, tmp_path / name, Format.PARQUET)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    schema = pyarrow.parquet.read_schema(tmp_path / "one")
    assert schema.field("weight").type == pyarrow.float64()
    jets = schema.field("jets").type
    assert jets.value_type.field("pt").type == pyarrow.float32()


def test_only_some_collections(aods: list[Path], tmp_path: Path) -> None:
    convert(aods[:1], tmp_path / "out.parquet", Format.PARQUET, collections=["jets", "jets"])
    found = ak.from_parquet(tmp_path / "out.parquet")
    assert found.fields == ["run_number", "event_number", "weight", "jets"]


@pytest.mark.parametrize("to", Format)
def test_files_without_a_row(finished_run: RunOnDisk, tmp_path: Path, to: Format) -> None:
    """Soft QCD may leave no jet."""
    from hvmpi.training.files import TrainingFile, TrainingWriter

    with (
        TrainingFile(finished_run.directory / "train/train.h5") as file,
        TrainingWriter(tmp_path / "none.train.h5") as writer,
    ):
        writer.finish(file.books)
    opened = hvmpi.open(tmp_path / "none.train.h5")
    assert (len(opened), ak.sum(opened.tracks.pt)) == (0, 0)
    done = convert([tmp_path / "none.train.h5"], tmp_path / "out", to)
    assert done.rows == 0
    if to is Format.ROOT:
        with uproot.open(tmp_path / "out") as file:
            assert file["jets"].num_entries == 0
            assert len(file["normalisation"].arrays()) == 2 * 2
    else:
        found = ak.from_parquet(tmp_path / "out")
        assert len(found) == 0
        assert _columns(found).keys() == _columns(opened).keys()


def _cut(path: Path) -> None:
    import h5py

    with h5py.File(path, "r+") as file:
        del file["jets/pt"]


def test_nothing_is_left_of_a_failure(copies: list[Path], tmp_path: Path) -> None:
    _cut(copies[-1])
    (tmp_path / "old.root").write_text("old")
    before = sorted(tmp_path.iterdir())
    cases: list[tuple[Any, type[Exception], str]] = [
        ({"to": Format.ROOT}, InputError, "'jets/pt' is not there"),
        ({"to": Format.PARQUET}, InputError, "'jets/pt' is not there"),
        ({"output": tmp_path / "no/out"}, SetupError, "^cannot write '.*no/out': No such file"),
        ({"output": tmp_path / "old.root"}, UsageError, "is there already; .* --force"),
        ({"output": tmp_path / "old.root", "force": True}, InputError, "'jets/pt' is not there"),
        ({"output": copies[0], "force": True}, UsageError, "is named twice"),
        ({"collections": ["jets", "cells"]}, UsageError, "no collection 'cells' in hvmpi.aod; it"),
    ]
    for words, kind, said in cases:
        given = {"output": tmp_path / "out", "to": Format.ROOT} | words
        with pytest.raises(kind, match=said):
            convert(copies, given.pop("output"), given.pop("to"), **given)
        assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "old.root").read_text() == "old"
    convert(copies[:1], tmp_path / "old.root", Format.ROOT, force=True)
    assert len(uproot.open(tmp_path / "old.root")["events"].arrays("weight")) == 6


def test_what_it_is_converted_to() -> None:
    assert format_of(Path("a.root")) is Format.ROOT
    assert format_of(Path("a.b/c.parquet")) is Format.PARQUET
    assert format_of(Path("a.root"), "parquet") is Format.PARQUET
    for name in ("a", "a.h5", "root"):
        with pytest.raises(UsageError, match=r"does not say its format; .*\.root, \.parquet"):
            format_of(Path(name))
