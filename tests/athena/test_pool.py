"""What is found in ROOT files: real ones written by uproot, and rubbish."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hvmpi.athena.pool import TREES, count_entries, count_pool, event_count
from hvmpi.errors import BadEventFileError, HvmpiError, InputError, SetupError

Columns = Mapping[str, Any]

XAOD: Columns = {
    "EventInfoAuxDyn.mcChannelNumber": np.full(4, 99, "u4"),
    "EventInfoAux.runNumber": np.full(4, 304795, "u4"),
    "EventInfoAux.eventNumber": np.arange(11, 15, dtype="u8"),
}
HIDDEN: Columns = {"McEventCollection_p5_GEN_EVENT": np.zeros(4, "f4")}


def write_tree(path: Path, columns: Columns, name: str = "CollectionTree", **how: Any) -> Path:
    with uproot.recreate(path, **how) as file:
        file.mktree(name, {column: values.dtype for column, values in columns.items()})
        if len(next(iter(columns.values()))):
            file[name].extend(dict(columns))
    return path


def write_rntuple(path: Path, columns: Columns, name: str = "EventData", **how: Any) -> Path:
    with uproot.recreate(path, **how) as file:
        file.mkrntuple(name, dict(columns))
    return path


def outcome(path: Path, count: Callable[[Path], int]) -> int:
    """Count; give -1 for an error of ours. Others come through."""
    try:
        return count(path)
    except HvmpiError:
        return -1


def complaint(path: Path) -> str:
    with pytest.raises(BadEventFileError) as caught:
        count_pool(path)
    with pytest.raises(BadEventFileError) as counted:
        count_entries(path)
    said = str(caught.value)
    assert said == str(counted.value)
    assert "\n" not in said
    assert repr(str(path)) in said
    return said


def test_an_xaod_tells_its_events_and_their_numbers(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", XAOD)
    count = count_pool(path)
    assert (count.events, count.run_number, count.size) == (4, 304795, path.stat().st_size)
    assert count.event_numbers is not None
    assert count.event_numbers.dtype == np.int64
    assert count.event_numbers.tolist() == [11, 12, 13, 14]
    assert count_entries(path) == 4


@pytest.mark.parametrize("name", ["EventData", "RNT:CollectionTree"])
@pytest.mark.parametrize("aux", ["EventInfoAux:", "EventInfoAuxDyn:"])
def test_an_xaod_in_an_rntuple_tells_them_too(tmp_path: Path, name: str, aux: str) -> None:
    columns = {
        f"{aux}eventNumber": np.arange(11, 15, dtype="u8"),
        f"{aux}runNumber": np.full(4, 304795, "u4"),
        "AnalysisJetsAuxDyn:pt": np.ones(4, "f4"),
    }
    count = count_pool(write_rntuple(tmp_path / "a.root", columns, name))
    assert (count.events, count.run_number) == (4, 304795)
    assert count.event_numbers is not None
    assert count.event_numbers.tolist() == [11, 12, 13, 14]


@pytest.mark.parametrize(
    ("event", "run"),
    [
        ("EventInfoAuxDyn.eventNumber", "EventInfoAuxDyn.runNumber"),
        ("McEventInfo.m_event_ID.m_event_number", "McEventInfo.m_event_ID.m_run_number"),
        ("m_eventNumber", "m_runNumber"),
    ],
)
def test_each_spelling_of_the_numbers_is_read(tmp_path: Path, event: str, run: str) -> None:
    columns = {event: np.arange(3, dtype="i8") + 7, run: np.full(3, 5, "i4")}
    count = count_pool(write_tree(tmp_path / "a.root", columns))
    assert count.event_numbers is not None
    assert (count.event_numbers.tolist(), count.run_number) == ([7, 8, 9], 5)


def test_numbers_of_pileup_and_of_others_are_not_taken_for_the_event_s(tmp_path: Path) -> None:
    columns = {
        "PileupEventInfoAux.eventNumber": np.full(4, 1, "u8"),
        "TriggerAux.eventNumber": np.full(4, 2, "u8"),
        **XAOD,
    }
    count = count_pool(write_tree(tmp_path / "a.root", columns))
    assert count.event_numbers is not None
    assert count.event_numbers.tolist() == [11, 12, 13, 14]


@pytest.mark.parametrize(
    "columns",
    [
        HIDDEN,
        {"EventInfoAux.eventNumber": np.ones(4, "f8")},
        {"EventInfoAux.eventNumber": np.ones((4, 2), "u8")},
        {"EventInfoAuxDyn.mcChannelNumber": np.ones(4, "u4")},
    ],
)
def test_numbers_that_are_not_plain_are_none(tmp_path: Path, columns: Columns) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        types = {name: (v.dtype, v.shape[1:]) for name, v in columns.items()}
        file.mktree("CollectionTree", {name: np.dtype(one) for name, one in types.items()})
        file["CollectionTree"].extend(dict(columns))
    count = count_pool(tmp_path / "a.root")
    assert (count.events, count.run_number, count.event_numbers) == (4, None, None)


def test_an_engine_gets_numbers_from_1_where_they_are_hidden(tmp_path: Path) -> None:
    hidden = event_count(write_tree(tmp_path / "a.root", HIDDEN), 4)
    assert not hidden.known
    assert (hidden.event_numbers.tolist(), hidden.run_number) == ([1, 2, 3, 4], None)
    shown = event_count(write_tree(tmp_path / "b.root", XAOD), None)
    assert shown.known
    assert (shown.event_numbers.tolist(), shown.run_number) == ([11, 12, 13, 14], 304795)


def test_a_file_of_fewer_events_than_expected_is_bad(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", HIDDEN)
    with pytest.raises(BadEventFileError, match="holds 4 events, 50 were expected"):
        event_count(path, 50)


def test_a_name_with_a_colon_is_a_name(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "plain.root", XAOD).rename(tmp_path / "a.root:b")
    assert count_entries(path) == 4


def test_a_file_in_the_place_of_its_copy_is_read_anew(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", XAOD, compression=None)
    assert count_entries(path) == 4
    number = struct.pack(">Q", 13)
    path.write_bytes(path.read_bytes().replace(number, struct.pack(">Q", 99)))
    count = count_pool(path)
    assert count.event_numbers is not None
    assert count.event_numbers.tolist() == [11, 12, 99, 14]


def test_an_empty_file_is_bad(tmp_path: Path) -> None:
    (tmp_path / "a.root").touch()
    assert "is empty (0 bytes)" in complaint(tmp_path / "a.root")


@pytest.mark.parametrize("text", [b"HepMC::Version 3\n", b"r", b"\x89HDF\r\n\x1a\n" * 99])
def test_what_is_not_root_is_bad(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.root").write_bytes(text)
    said = complaint(tmp_path / "a.root")
    assert "is no ROOT file" in said
    assert repr(text[:8]) in said


def test_a_truncated_file_is_told_with_both_sizes(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", XAOD)
    size = path.stat().st_size
    os.truncate(path, size - 1)
    assert f"is truncated: {size - 1} bytes of {size}" in complaint(path)
    os.truncate(path, 12)
    assert "is truncated: it ends within the ROOT header, after 12 bytes" in complaint(path)


def test_a_truncated_file_of_more_than_2_gib_is_told_too(tmp_path: Path) -> None:
    head = struct.pack(">4siiqqiiiBiqi", b"root", 1_062_800, 100, 3 << 30, 0, 0, 0, 0, 8, 1, 0, 0)
    (tmp_path / "a.root").write_bytes(head.ljust(400, b"\0"))
    assert f"400 bytes of {3 << 30}" in complaint(tmp_path / "a.root")


def test_a_file_that_was_never_closed_is_bad(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", XAOD)
    with uproot.open(path) as file:
        place = struct.pack(">i", file.fSeekKeys)
    head, tail = path.read_bytes()[:300], path.read_bytes()[300:]
    path.write_bytes(head.replace(place, bytes(4)) + tail)
    assert "was never closed" in complaint(path)


def test_root_without_a_pool_tree_is_bad(tmp_path: Path) -> None:
    said = complaint(write_tree(tmp_path / "a.root", XAOD, "ntuple"))
    assert "without a tree CollectionTree or EventData: it holds ntuple" in said
    with uproot.recreate(tmp_path / "b.root"):
        pass
    assert "it holds nothing" in complaint(tmp_path / "b.root")


def test_what_only_has_the_name_of_the_tree_is_no_pool_tree(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file["CollectionTree"] = "text"
    assert "without a tree CollectionTree" in complaint(tmp_path / "a.root")


def test_a_file_without_events_is_bad_to_read_but_can_be_an_output(tmp_path: Path) -> None:
    empty = write_tree(tmp_path / "a.root", {"EventInfoAux.eventNumber": np.zeros(0, "u8")})
    # Athena makes no tree where no event came.
    treeless = write_tree(tmp_path / "b.root", HIDDEN, "MetaData")
    for path in (empty, treeless):
        assert count_entries(path) == 0
        with pytest.raises(BadEventFileError, match="holds 0 events"):
            count_pool(path)
        with pytest.raises(BadEventFileError, match="holds 0 events"):
            event_count(path, None)


def test_what_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.root", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            count_pool(path)


def test_without_uproot_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tree(tmp_path / "a.root", XAOD)
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(SetupError, match=r"pip install 'hvmpi\[athena\]'"):
        count_entries(path)


def test_no_file_is_left_open(tmp_path: Path) -> None:
    good = write_tree(tmp_path / "a.root", XAOD)
    bad = tmp_path / "b.root"
    bad.write_bytes(good.read_bytes()[:-1])
    damaged = tmp_path / "c.root"
    damaged.write_bytes(good.read_bytes()[:300].ljust(good.stat().st_size, b"\xff"))

    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    for _ in range(3):
        count_pool(good)
        complaint(bad)
        complaint(damaged)
    assert opened() == before


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A file to write rubbish to, and good ones to make it of."""
    place = tmp_path_factory.mktemp("rubbish") / "a.root"
    many = {name: np.resize(values, 300) for name, values in XAOD.items()}
    flat = {name.replace(".", ":"): values for name, values in many.items()}
    compressions = (None, uproot.ZLIB(1), uproot.LZMA(1), uproot.LZ4(1), uproot.ZSTD(1))
    good = [write_tree(place, many, compression=how).read_bytes() for how in compressions]
    good += [write_rntuple(place, flat, compression=how).read_bytes() for how in compressions]
    return place, good


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(which=0, cut=0.5, flips=[])
@given(
    which=st.integers(0, 9),
    cut=st.one_of(st.just(1.0), st.floats(0.0, 1.0)),
    flips=st.lists(st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 255))),
)
def test_rubbish_is_counted_or_refused_and_nothing_else(
    samples: tuple[Path, list[bytes]], which: int, cut: float, flips: list[tuple[float, int]]
) -> None:
    path, good = samples
    made = bytearray(good[which])
    for where, value in flips:
        made[int(where * len(made))] = value
    path.write_bytes(made[: int(cut * len(made))])
    assert outcome(path, count_entries) >= -1
    assert outcome(path, lambda there: count_pool(there).events) >= -1


def test_a_list_of_pages_that_would_fill_all_memory_is_refused(tmp_path: Path) -> None:
    columns = {"EventInfoAux:eventNumber": np.arange(1000, dtype="u8")}
    path = write_rntuple(tmp_path / "a.root", columns, compression=None)
    good = path.read_bytes()
    # A negative number of elements says that a checksum follows.
    places = [i for i in range(len(good)) if good[i : i + 4] == struct.pack("<i", 1000)]
    for place in places:
        path.write_bytes(good[:place] + struct.pack("<i", (1 << 31) - 1) + good[place + 4 :])
        try:
            count = count_pool(path)
        except BadEventFileError as error:
            if "list of pages" in str(error):
                return
        else:
            assert count.events == 1000
    pytest.fail("no file was refused for its pages")


def test_trees_are_sought_in_the_order_of_their_names(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        for events, name in enumerate(TREES[:2], start=2):
            file.mktree(name, {"x": "f4"})
            file[name].extend({"x": np.zeros(events, "f4")})
    assert count_entries(tmp_path / "a.root") == 2
