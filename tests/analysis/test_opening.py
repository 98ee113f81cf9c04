"""Products as awkward arrays: what they hold, what is read when, and what is refused."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pytest

import hvmpi
from hvmpi.errors import HvmpiError, InputError, SetupError, UsageError
from hvmpi.hdf5 import InputFile
from hvmpi.openchain.eventdata import Product
from hvmpi.openchain.schemas import AOD, HITS, RDO, Schema
from hvmpi.training.columns import DATASETS
from hvmpi.training.files import TrainingFile
from tests.conftest import RunOnDisk


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names of what is read of files, as they are read."""
    names: list[str] = []
    true = InputFile.read

    def noting(self: InputFile, name: str, *rows: Any) -> Any:
        names.append(name)
        return true(self, name, *rows)

    monkeypatch.setattr(InputFile, "read", noting)
    return names


def _same_as_files(events: ak.Array, paths: list[Path], schema: Schema) -> None:
    """Compare each column of each event with what the reader of products makes of it."""
    at = 0
    for path in paths:
        with Product(path, schema) as product:
            for event in product.iterate(range(len(product))):
                found = events[at]
                assert (found.run_number, found.event_number, found.weight) == (
                    *(event.run_number, event.event_number, event.weight),
                )
                for name, fields in schema.collections.items():
                    for field in fields:
                        values = found[name][field.name].to_numpy()
                        assert values.dtype == np.dtype(field.dtype)
                        np.testing.assert_array_equal(values, event.tables[name][field.name])
                at += 1
    assert at == len(events)


def test_an_aod_holds_what_its_files_hold(aods: list[Path]) -> None:
    _same_as_files(hvmpi.open(aods), aods, AOD)


@pytest.mark.parametrize(("name", "schema"), [("hits", HITS), ("rdo", RDO)])
def test_so_do_the_steps_before(early: Path, name: str, schema: Schema) -> None:
    _same_as_files(hvmpi.open(early / f"*.{name}.h5"), [early / f"two.{name}.h5"], schema)


def test_a_training_file_is_a_record_a_jet(finished_run: RunOnDisk) -> None:
    jets = hvmpi.open(finished_run.directory, product="train")
    with TrainingFile(finished_run.directory / "train/train.h5") as file:
        assert len(jets) == len(file)
        for name in DATASETS:
            rows = file.read(name)
            valid = rows["valid"] if rows.ndim == 2 else slice(None)
            assert {*jets[name].fields} == {*rows.dtype.names} - {"valid"}
            for field in jets[name].fields:
                values = ak.to_numpy(ak.flatten(jets[name, field], axis=None))
                assert values.dtype == rows.dtype[field]
                np.testing.assert_array_equal(values, rows[field][valid])
            if rows.ndim == 2:
                assert ak.num(jets[name]).to_list() == rows["valid"].sum(axis=1).tolist()


def test_what_can_be_named(finished_run: RunOnDisk, aods: list[Path]) -> None:
    run = finished_run.directory
    numbers = hvmpi.open(aods).event_number.to_list()
    for named in (
        str(run / "aod/*.aod.h5"),
        run / "aod/*.aod.h5",
        run / "**/*.aod.h5",
        run,
        str(run),
        run.parent / "*",
        run / "aod",
        [run / "aod/3*.aod.h5", *aods[2:]],
    ):
        assert hvmpi.open(named).event_number.to_list() == numbers
    one = hvmpi.open(aods[1])
    assert one.event_number.to_list() == list(range(7, 13))
    assert len(hvmpi.open(reversed(aods))) == len(numbers)


def test_a_name_with_brackets_is_a_name(copies: list[Path]) -> None:
    odd = copies[0].rename(copies[0].with_name("a[1]*.aod.h5"))
    assert len(hvmpi.open(odd)) == 6
    assert len(hvmpi.open(odd.parent / "a*.aod.h5")) == 6


def test_a_column_is_read_when_it_is_looked_at(aods: list[Path], read: list[str]) -> None:
    events = hvmpi.open(aods)
    assert set(read) == {"events", "normalisation"}
    assert len(events) == 24
    read.clear()
    assert ak.all(events.jets.pt > 0)
    assert sorted(read) == sorted(["jets/index", "jets/index", "jets/pt"] * len(aods))
    read.clear()
    assert ak.max(events.jets.pt) == ak.max(events[::-1].jets.pt)
    assert ak.sum(ak.num(events.jets)) == ak.count(events.jets.pt)
    assert read == []
    assert ak.all(events.weight == 1.0)
    assert set(read) == {"events"}


def test_a_change_of_directory(copies: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copies[0].parent)
    events = hvmpi.open("*.aod.h5")
    monkeypatch.chdir("/")
    assert ak.count(events.jets.pt) > 0


def test_units_meanings_normalisation_and_provenance(finished_run: RunOnDisk) -> None:
    events = hvmpi.open(finished_run.directory)
    # Selections have them, too.
    about = events[ak.num(events.jets) > 0].jets.pt.attrs
    assert about["units"]["jets"]["pt"] == "GeV"
    assert about["units"]["tracks"]["d0"] == "mm"
    assert about["meanings"]["clusters"]["jet"].startswith("row of the jet")
    assert about["units"]["events"].keys() == {"run_number", "event_number", "weight"}
    table = about["normalisation"]
    assert table["process"] == ["gghss", "gghss", "qcd", "qcd"]
    assert sum(table["sum_weights"]) == ak.sum(events.weight)
    assert min(table["cross_section_pb"]) > 0
    assert all(made["versions"]["hvmpi"] == hvmpi.__version__ for made in about["provenance"])
    assert str(finished_run.directory) not in json.dumps(about.to_dict())
    jets = hvmpi.open(finished_run.directory, product="train")
    assert jets.attrs["units"]["jets"]["llp_Lxy"] == "mm"
    assert sum(jets.attrs["normalisation"]["events"]) == 24


def test_references_are_rows_within_the_event(aods: list[Path]) -> None:
    events = hvmpi.open(aods)
    clusters, tracks = events.clusters, events.tracks
    theirs = events.jets[ak.mask(clusters.jet, clusters.jet >= 0)]
    assert ak.all(ak.is_none(theirs.pt, axis=1) == (clusters.jet < 0))
    near = np.hypot(
        theirs.eta - clusters.eta, (theirs.phi - clusters.phi + np.pi) % (2 * np.pi) - np.pi
    )
    # Of anti-kt 0.4, to which a cluster may be a little beyond.
    assert ak.max(near) < 0.8
    particles = events.truth[ak.mask(tracks.truth, tracks.truth >= 0)]
    good = ak.drop_none(tracks.charge[tracks.match > 0.9] == particles.charge[tracks.match > 0.9])
    assert ak.mean(ak.flatten(good)) > 0.95


def test_jets_are_momenta_for_vector(aods: list[Path]) -> None:
    import vector

    behavior = vector.backends.awkward.behavior
    jets = ak.Array(hvmpi.open(aods).jets, behavior=behavior)
    np.testing.assert_allclose(
        ak.flatten(jets.px), ak.flatten(jets.pt * np.cos(jets.phi)), rtol=1e-5, atol=1e-3
    )


# --- refused ---------------------------------------------------------------------------------


def _without(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]


def _version(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:9000]), "is not a whole HDF5 file"),
        (lambda path: path.write_text("no\n"), "is not a whole HDF5 file"),
        (lambda path: _without(path, "clusters"), "is damaged: 'clusters' is not there"),
        (lambda path: _without(path, "normalisation"), "is damaged: 'normalisation' is not there"),
        (_version, "has schema hvmpi.aod version 99, expected hvmpi.aod version 2"),
    ],
)
def test_a_bad_file_is_named_when_it_is_opened(copies: list[Path], spoil: Any, said: str) -> None:
    spoil(copies[2])
    with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
        hvmpi.open(copies)
    assert str(caught.value).startswith(f"'{copies[2]}' {said}")


def test_a_missing_column_is_named_when_it_is_read(copies: list[Path]) -> None:
    _without(copies[3], "jets/pt")
    events = hvmpi.open(copies)
    assert ak.any(events.jets.eta > 0)
    with pytest.raises(InputError) as caught:
        ak.sum(events.jets.pt)
    assert str(caught.value).startswith(f"'{copies[3]}' is damaged: 'jets/pt' is not there")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), "cannot read '{}' (No such file or directory)"),
        (
            lambda path: os.utime(path, ns=(1, 1)),
            "'{}' is not what it was when it was opened; open it again",
        ),
    ],
)
def test_a_file_that_changes_after_it_was_opened(
    copies: list[Path], change: Any, said: str
) -> None:
    events = hvmpi.open(copies)
    assert ak.any(events.jets.pt > 0)
    change(copies[1])
    sentence = said.format(copies[1])
    with pytest.raises(InputError) as caught:
        ak.sum(events["tracks", "pt"])
    assert str(caught.value) == sentence
    # awkward makes its own error of any that comes up while it looks for an attribute.
    with pytest.raises(AttributeError) as quoted:
        ak.sum(events.tracks.pt)
    assert sentence in str(quoted.value)
    assert isinstance(quoted.value.__cause__, InputError)
    # What was read stays.
    assert ak.any(events.jets.pt > 0)


def test_what_is_no_product_or_of_another_kind(
    finished_run: RunOnDisk, aods: list[Path], tmp_path: Path
) -> None:
    run = finished_run.directory
    (tmp_path / "empty").mkdir()
    cases: list[tuple[Any, type[HvmpiError], str]] = [
        (tmp_path / "*.aod.h5", InputError, "no file matches '"),
        (tmp_path / "x.aod.h5", InputError, "there is no file '"),
        (tmp_path / "empty", InputError, "is no run, and holds no file of aod, train, hits, rdo"),
        ([], InputError, "no file was named"),
        ([aods[0], run / "aod"], InputError, "' is named twice"),
        (run / "status.h5", InputError, "status.h5' has schema hvmpi-status; those that can be"),
        ([aods[0], run / "train/train.h5"], InputError, "train.h5' has schema hvmpi.train version"),
        (run / "settings.toml", InputError, "settings.toml' is not a whole HDF5 file"),
    ]
    for named, kind, said in cases:
        with pytest.raises(kind, match=r"^[^\n]*$") as caught:
            hvmpi.open(named)
        assert said in str(caught.value)
    with pytest.raises(InputError, match=r"has no \*\.rdo\.h5 in .* keep evnt, aod, train$"):
        hvmpi.open(run, product="rdo")
    with pytest.raises(UsageError, match="no product 'evnt'"):
        hvmpi.open(run, product="evnt")


def test_a_directory_of_several_kinds(copies: list[Path], early: Path) -> None:
    shutil.copy(early / "two.rdo.h5", copies[0].parent)
    with pytest.raises(InputError, match=r"schema hvmpi\.rdo"):
        hvmpi.open(copies[0].parent)


def test_without_awkward(aods: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "awkward", None)
    with pytest.raises(
        SetupError, match=r"awkward is not installed: pip install 'hvmpi\[convert\]'"
    ):
        hvmpi.open(aods)


def test_payloads_do_not_load_it() -> None:
    """Whoever imports hvmpi has no use for awkward before something is opened."""
    code = "import hvmpi, sys; assert not {'awkward', 'h5py', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert importlib.import_module("hvmpi").open.__name__ == "open_products"
