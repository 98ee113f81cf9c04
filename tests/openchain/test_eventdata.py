"""Products: what is written is read back, whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmpi.errors import InputError, RunError, SetupError
from hvmpi.openchain import schemas
from hvmpi.openchain.eventdata import Event, Product, ProductWriter, provenance
from hvmpi.openchain.evnt import NORMALISATION_FIELDS
from hvmpi.openchain.schemas import AOD, EVENTS, HITS, RDO

MADE = provenance(seed=1, settings_hash="0" * 64, inputs={"evnt": "0" * 64})
NORMALISATION = np.zeros(1, dtype=[("sample", "S4"), *NORMALISATION_FIELDS])


def _event(number: int, measurements: int, weight: float = 1.0) -> Event:
    random = np.random.default_rng(number)
    tables = {}
    for collection, fields in RDO.collections.items():
        rows = measurements if collection == "measurements" else measurements // 2
        tables[collection] = {
            field.name: random.uniform(0, 100, rows).astype(field.dtype) for field in fields
        }
    return Event(run_number=7, event_number=number, weight=weight, tables=tables)


def _write(path: Path, events: list[Event]) -> None:
    with ProductWriter(path, RDO, MADE) as writer:
        for event in events:
            writer.append(event)
        writer.finish(NORMALISATION)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 40), max_size=140), data=st.data())
def test_any_events_come_back(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("product") / "events.rdo.h5"
    numbers = data.draw(
        st.lists(st.integers(0, 2**62), min_size=len(sizes), max_size=len(sizes), unique=True)
    )
    events = [_event(n, size, weight=n / 3) for n, size in zip(numbers, sizes, strict=True)]
    _write(path, events)
    with Product(path, RDO) as product:
        assert product.events.dtype == EVENTS
        assert product.events["event_number"].tolist() == numbers
        read = list(product.iterate(range(len(product))))
    assert len(read) == len(events)
    for written, back in zip(events, read, strict=True):
        assert back.event_number == written.event_number
        assert back.weight == written.weight
        for collection, table in written.tables.items():
            for name, values in table.items():
                np.testing.assert_array_equal(back.tables[collection][name], values)


def test_same_events_same_bytes(tmp_path: Path) -> None:
    events = [_event(number, 30) for number in range(100)]
    (tmp_path / "elsewhere").mkdir()
    _write(tmp_path / "a.h5", events)
    _write(tmp_path / "elsewhere" / "b.h5", events)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "elsewhere" / "b.h5").read_bytes()


@pytest.mark.parametrize(("name", "schema"), [("hits", HITS), ("rdo", RDO), ("aod", AOD)])
def test_layout(fused: Path, name: str, schema: schemas.Schema) -> None:
    with h5py.File(fused / f"{name}.h5") as file:
        assert file.attrs["schema"] == schema.name
        assert file.attrs["schema_version"] == schema.version
        made = json.loads(file.attrs["provenance"])
        assert {"versions", "cpu_type", "settings_hash", "seed", "inputs"} <= set(made)
        events = len(file["events"])
        for collection in schema.collections:
            lengths = {len(array) for key, array in file[collection].items() if key != "index"}
            index = file[collection]["index"][:]
            assert lengths == {index[-1]}
            assert len(index) == events + 1
            assert index[0] == 0
            assert (np.diff(index) >= 0).all()
            for field in schema.collections[collection]:
                array = file[collection][field.name]
                assert (array.attrs["unit"], array.attrs["meaning"]) == (field.unit, field.meaning)
                assert array.dtype == np.dtype(field.dtype)
                assert array.compression == "gzip"
        arrays: list[h5py.Dataset] = []
        file.visititems(lambda _, node: arrays.append(node) if hasattr(node, "dtype") else None)
        assert all("unit" in array.attrs for array in arrays)


def test_no_time_host_or_path_in_a_product(fused: Path, signal_evnt: Path) -> None:
    import socket

    for name in ("hits", "rdo", "aod"):
        content = (fused / f"{name}.h5").read_bytes()
        assert str(signal_evnt.parent).encode() not in content
        assert str(fused).encode() not in content
        assert f'"{socket.gethostname()}"'.encode() not in content


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.rdo.h5"
    with pytest.raises(KeyError), ProductWriter(path, RDO, MADE) as writer:
        writer.append(Event(7, 1, 1.0, {}))
    with pytest.raises(RunError, match="unfinished"), ProductWriter(path, RDO, MADE) as writer:
        writer.append(_event(1, 10))
    assert list(tmp_path.iterdir()) == []


def test_an_older_product_survives_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.rdo.h5"
    _write(path, [_event(1, 10)])
    before = path.read_bytes()
    with pytest.raises(KeyError), ProductWriter(path, RDO, MADE):
        raise KeyError
    assert path.read_bytes() == before


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot write '.*nowhere"):
        _write(tmp_path / "nowhere" / "x.h5", [])


def test_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "events.rdo.h5"
    script = f"""
import resource
from pathlib import Path
from tests.openchain.test_eventdata import _event, _write
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
_write(Path({str(path)!r}), [_event(number, 2000) for number in range(200)])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert f"SetupError: cannot write '{path}': File too large" in done.stderr
    assert "ignored" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_schema_is_refused(fused: Path) -> None:
    with pytest.raises(InputError) as caught:
        Product(fused / "hits.h5", AOD)
    for text in (str(fused / "hits.h5"), "hvmpi.hits version 2", "hvmpi.aod version 2"):
        assert text in str(caught.value)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.rdo.h5"
    _write(path, [_event(1, 10)])
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(InputError, match=r"version 99, expected hvmpi\.rdo version 2"):
        Product(path, RDO)


def test_a_truncated_product_is_refused(damaged: Path) -> None:
    with pytest.raises(InputError, match="not a whole HDF5 file"):
        Product(damaged, RDO)


def test_no_product_at_all(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match="not a whole HDF5 file"):
        Product(tmp_path / "text.h5", RDO)
    with pytest.raises(InputError, match="there is no file"):
        Product(tmp_path / "missing.h5", RDO)
    with h5py.File(tmp_path / "bare.h5", "w"):
        pass
    with pytest.raises(InputError, match="schema none"):
        Product(tmp_path / "bare.h5", RDO)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.rdo.h5"
    _write(path, [_event(1, 10)])
    with h5py.File(path, "r+") as file:
        del file["measurements/local_x"]
    with (
        Product(path, RDO) as product,
        pytest.raises(InputError, match="'measurements/local_x' is not there"),
    ):
        list(product.iterate(range(1)))


@pytest.mark.parametrize(
    ("first", "events", "message"),
    [
        (99, 1, "holds no event 99; it holds 10 events, 5 to 14"),
        (13, 3, "holds 2 events from event 13 on, 3 were asked for"),
        (None, 11, "holds 10 events from the first on, 11 were asked for"),
        (None, 0, "0 events were asked for"),
        (None, -2, "-2 events were asked for"),
    ],
)
def test_events_that_are_not_there(
    tmp_path: Path, first: int | None, events: int, message: str
) -> None:
    path = tmp_path / "events.rdo.h5"
    _write(path, [_event(number, 3) for number in range(5, 15)])
    with Product(path, RDO) as product, pytest.raises(InputError, match=message):
        product.select(first, events)


def test_normalisation_of_a_part(fused: Path) -> None:
    with Product(fused / "hits.h5", HITS) as product:
        whole, part = product.normalisation, product.normalisation_of(range(10, 15))
        np.testing.assert_array_equal(product.normalisation_of(range(len(product))), whole)
    assert whole["events"] == 40
    assert whole["n_accepted"] == 40
    assert part["events"] == 5
    assert part["first_event"] == 11
    assert part["sum_weights"] == 5.0
    assert part["n_tried"] == -1
    assert part["cross_section_pb"] == whole["cross_section_pb"]
