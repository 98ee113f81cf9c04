"""HDF5 files that anybody may have made: refused in one sentence, whatever they claim."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hvmpi.hdf5 import InputFile, write_rows
from hvmpi.training.__main__ import main
from tests.conftest import Place
from tests.training.conftest import signal_event, train_of, write_aod

Spoil = Callable[[h5py.File], object]


def _again(file: h5py.File, name: str, **how: Any) -> None:
    """Make an array anew with the type and attributes that it had."""
    dtype, attributes = file[name].dtype, dict(file[name].attrs)
    del file[name]
    made = file.create_dataset(name, dtype=how.pop("dtype", dtype), **how)
    made.attrs.update(attributes)


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(2,), dtype=file["jets"].dtype)
    layout[:] = h5py.VirtualSource("other.h5", "jets", shape=(2,))
    del file["jets"]
    file.create_virtual_dataset("jets", layout)


def _relink(link: Any) -> Spoil:
    def relink(file: h5py.File) -> None:
        del file["jets"]
        file["jets"] = file if link is None else link

    return relink


def _books(**columns: Any) -> Spoil:
    def spoil(file: h5py.File) -> None:
        for name, value in columns.items():
            table = "event_ranges" if name in ("row", "last_event") else "normalisation"
            rows = file[f"cutBookkeeper/{table}"][:]
            rows[name] = value
            file[f"cutBookkeeper/{table}"][:] = rows

    return spoil


def _say(name: str, value: Any) -> Spoil:
    return lambda file: file.attrs.update({name: value})


HUGE = {"shape": (10**11,), "chunks": (1000,), "compression": "gzip"}
BOOKS = "cutBookkeeper/normalisation"

TRAINING_FILES: dict[str, tuple[Spoil, str]] = {
    "more rows than stored": (lambda f: _again(f, "jets", **HUGE), "'jets' claims 16"),
    "more books than stored": (lambda f: _again(f, BOOKS, **HUGE), "normalisation' claims"),
    "one huge chunk": (
        lambda f: _again(f, BOOKS, shape=(1,), chunks=(10**7,), maxshape=(None,)),
        "normalisation' claims",
    ),
    "no storage for a plain array": (lambda f: _again(f, BOOKS, shape=(10**9,)), "claims"),
    "one huge value": (lambda f: _again(f, BOOKS, shape=(1,), dtype="S1000000000"), "claims"),
    "another dimension": (lambda f: _again(f, BOOKS, shape=(1, 1)), "2 dimensions"),
    "values without a size": (
        lambda f: _again(f, BOOKS, shape=(1,), dtype=h5py.string_dtype()),
        "without a fixed size",
    ),
    "nothing": (lambda f: _again(f, BOOKS, data=h5py.Empty("f8"), dtype=None), "is no array"),
    "kept in another file": (
        lambda f: _again(f, "jets", shape=(2,), external=[("/etc/passwd", 0, 10**6)]),
        "'jets' is kept in other files",
    ),
    "virtual": (_virtual, "'jets' is kept in other files"),
    "an external link": (_relink(h5py.ExternalLink("/etc/passwd", "/")), "'jets' is a link"),
    "a soft link to itself": (_relink(h5py.SoftLink("/jets")), "'jets' is a link"),
    "a group": (_relink(None), "'jets' is no array"),
    "an array for a group": (
        lambda f: (f.__delitem__("cutBookkeeper"), f.__setitem__("cutBookkeeper", [1])),
        "is in no group",
    ),
    "opaque provenance": (_say("provenance", np.void(b"\x80\x04\x95")), "'provenance'"),
    "several provenances": (_say("provenance", ["{}", "{}"]), "'provenance'"),
    "deep provenance": (_say("provenance", '{"a":' * 10**5), "'provenance' is no JSON"),
    "a list for provenance": (_say("provenance", "[1]"), "'provenance' is no JSON object"),
    "empty provenance": (_say("provenance", "{}"), "no settings and sources"),
    "an opaque schema": (_say("schema", np.void(b"\x80")), "has schema b"),
    "a row that is not there": (_books(row=7), "rows that 'normalisation' does not have"),
    "a source that is not there": (_books(source=7), "sources that 'provenance' does not have"),
    "a range that ends before it begins": (_books(last_event=0), "ends before it begins"),
}


@pytest.fixture
def little_memory() -> Any:
    """What takes gigabytes fails, and does not stop the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(("spoil", "why"), TRAINING_FILES.values(), ids=TRAINING_FILES)
def test_merge_takes_a_training_file_for_what_it_holds(
    place: Place, spoil: Spoil, why: str
) -> None:
    path = train_of(place.root, "other", [signal_event(n) for n in (1, 2)])
    with h5py.File(path, "r+") as file:
        spoil(file)
    before = place.tree()
    answer = place.hvmpi("merge", "-o", "all.h5", path.name)
    assert answer.code == 2
    assert path.name in answer.complaint
    assert why in answer.complaint
    assert place.tree() == before


AODS: dict[str, tuple[Spoil, str]] = {
    "events": (lambda f: _again(f, "events", **HUGE), "'events' claims"),
    "rows": (lambda f: _again(f, "jets/pt", **HUGE), "'jets/pt' claims"),
    "an index that goes back": (
        lambda f: f["jets/index"].write_direct(np.array([0, 8, 4])),
        "'jets/index' does not fit",
    ),
    "a shorter array": (lambda f: _again(f, "jets/pt", shape=(1,)), "'jets/pt' has shape (1,)"),
    "another type": (lambda f: _again(f, "jets/pt", shape=(8,), dtype="S4"), "type |S4"),
    "an external link": (
        lambda f: (f.__delitem__("jets"), f.__setitem__("jets", h5py.ExternalLink("x", "/"))),
        "'jets/index' is a link",
    ),
    "another normalisation": (
        lambda f: _again(f, "normalisation", shape=(1,), dtype="i8"),
        "'normalisation' has other columns",
    ),
}


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(("spoil", "why"), AODS.values(), ids=AODS)
def test_a_step_takes_a_product_for_what_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Spoil, why: str
) -> None:
    path, report = tmp_path / "other.aod.h5", tmp_path / "report.json"
    write_aod(path, [signal_event(1), signal_event(2)])
    with h5py.File(path, "r+") as file:
        spoil(file)
    words = ["extract", str(path), "-o", str(tmp_path / "out.h5"), "--report", str(report)]
    assert main(words) == 2
    said = json.loads(report.read_text())
    assert said["outcome"] == "bad_input"
    assert "other.aod.h5" in said["reason"]
    assert why in said["reason"]
    assert capsys.readouterr().err.count("\n") == 1


COLUMNS = [("state", h5py.enum_dtype({"ready": 0, "done": 1}, "u1")), ("events", "i8"), ("x", "f4")]


@pytest.mark.parametrize("kinds", [("u1", "<i8", "<f4"), ("u1", ">i8", ">f4")])
@pytest.mark.parametrize("chunks", [None, (3,)])
def test_rows_of_a_table_are_read_as_they_were_written(
    tmp_path: Path, kinds: tuple[str, ...], chunks: tuple[int] | None
) -> None:
    rows = np.zeros(10, dtype=list(zip(("state", "events", "x"), kinds, strict=True)))
    rows["state"][::3], rows["events"], rows["x"] = 1, np.arange(10) - 5, np.arange(10) / 4
    fields = [
        (name, kind if name == "state" else how)
        for (name, kind), how in zip(COLUMNS, kinds, strict=True)
    ]
    path = tmp_path / "table.h5"
    with h5py.File(path, "w") as file:
        table = file.create_dataset("table", shape=(10,), dtype=np.dtype(fields), chunks=chunks)
        write_rows(table, 0, rows[:4])
        write_rows(table, 4, rows[4:])
        write_rows(table, 10, rows[:0])
        assert np.array_equal(table[:], rows)
    with InputFile(path) as given:
        for start, stop in ((0, None), (2, 7), (0, 0), (8, 100)):
            assert np.array_equal(given.read("table", start, stop), rows[start:stop])
        assert np.array_equal(given.table("table"), rows)
