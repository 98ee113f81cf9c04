"""Training files joined: order, books, refusals, and what the ATLAS tools make of the result."""

from __future__ import annotations

import itertools
import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hvmpi.errors import HvmpiError, InputError, SetupError, UsageError
from hvmpi.training.__main__ import main
from hvmpi.training.columns import DATASETS
from hvmpi.training.files import TrainingFile, TrainingWriter
from hvmpi.training.merging import listed, merge
from tests.training.conftest import QCD, event, qcd_event, signal_event, train_of

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two jobs of one signal event file, one file of QCD."""
    directory = tmp_path_factory.mktemp("three")
    return [
        train_of(directory, "a", [signal_event(1), event(2)]),
        train_of(directory, "b", [signal_event(3), event(4)]),
        train_of(directory, "q", [qcd_event(n) for n in (1, 2)], evnt_sha256="cd" * 32, **QCD),
    ]


@pytest.fixture
def three(made_once: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of them, which a test may spoil."""
    return [Path(shutil.copy(path, tmp_path)) for path in made_once]


def events_of(path: Path) -> list[tuple[int, int]]:
    with TrainingFile(path) as train:
        return [tuple(row) for row in train.read("jets")[["runNumber", "eventNumber"]].tolist()]


def test_rows_stand_in_one_order_whatever_the_command_line(
    three: list[Path], tmp_path: Path
) -> None:
    contents = set()
    for number, order in enumerate(itertools.permutations(three)):
        output = tmp_path / f"out{number}.h5"
        summary = merge(order, output)
        contents.add(output.read_bytes())
    assert len(contents) == 1
    signal, qcd = 304795, 600002
    expected = [(signal, 1), (signal, 3), (qcd, 1), (qcd, 1), (qcd, 2), (qcd, 2)]
    assert events_of(output) == expected
    assert (summary.events, summary.inputs) == (6, 3)
    assert summary.samples == {"signal": 4, "qcd": 2}
    assert summary.rows == {"jets": 6, "signal": 2, "qcd": 4, "tracks": 6, "clusters": 10}


def test_rows_are_those_of_the_inputs(three: list[Path], tmp_path: Path) -> None:
    merge(three, tmp_path / "out.h5")
    with TrainingFile(tmp_path / "out.h5") as train:
        for name in DATASETS:
            parts = []
            for path in three:
                with TrainingFile(path) as part:
                    parts.append(part.read(name))
            assert train.read(name).tobytes() == np.concatenate(parts).tobytes()


def test_the_books_of_one_event_file_become_one_row(three: list[Path], tmp_path: Path) -> None:
    merge(three, tmp_path / "out.h5")
    with TrainingFile(tmp_path / "out.h5") as train:
        books = train.books
    assert books.events == 6
    table = books.normalisation
    assert table["sample"].tolist() == [b"signal", b"qcd"]
    assert table["events"].tolist() == [4, 2]
    assert table["first_event"].tolist() == [1, 1]
    assert table["n_tried"].tolist() == [8, 4]
    assert table["sum_weights"].tolist() == [4.0, 2.0]
    assert table["cross_section_pb"].tolist() == [2.0, 2.0]
    assert books.ranges.tolist() == [(0, 304795, 1, 4), (1, 600002, 1, 2)]
    assert len(books.provenance["sources"]) == 1
    with h5py.File(tmp_path / "out.h5") as file:
        counts = file["cutBookkeeper/nominal/counts"][()]
    assert counts.tolist() == (6, 6.0, 6.0)


@pytest.mark.parametrize("sizes", [(1, 5), (3, 3), (2, 2, 2)])
def test_the_sizes_of_the_jobs_make_no_difference(
    make_train: Make, tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    def parts(name: str, sizes: tuple[int, ...]) -> list[Path]:
        stops = np.cumsum(sizes)
        return [
            make_train(f"{name}{stop}", [signal_event(n) for n in range(stop - size + 1, stop + 1)])
            for size, stop in zip(sizes, stops.tolist(), strict=True)
        ]

    merge(parts("whole", (6,)), tmp_path / "whole.h5")
    merge(parts("part", sizes), tmp_path / "parts.h5")
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "parts.h5").read_bytes()


def test_what_was_merged_can_be_merged_again(three: list[Path], tmp_path: Path) -> None:
    merge(three, tmp_path / "at once.h5")
    merge(three[:2], tmp_path / "first.h5")
    merge([three[2], tmp_path / "first.h5"], tmp_path / "then.h5")
    assert (tmp_path / "then.h5").read_bytes() == (tmp_path / "at once.h5").read_bytes()


def test_each_event_file_keeps_what_it_was_made_with(make_train: Make, tmp_path: Path) -> None:
    paths = [
        make_train(f"s{seed}", [event(seed)], seed=seed, evnt_sha256=f"{seed:02d}" * 32)
        for seed in (3, 1, 2)
    ]
    merge(paths, tmp_path / "out.h5")
    with TrainingFile(tmp_path / "out.h5") as train:
        sources, table = train.books.provenance["sources"], train.books.normalisation
    seeds = [sources[row]["seed"] for row in table["source"].tolist()]
    assert seeds == table["first_event"].tolist() == [1, 2, 3]
    merge(paths[::-1], tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "out.h5").read_bytes()


def test_unknown_counts_stay_unknown(make_train: Make, tmp_path: Path) -> None:
    known = make_train("known", [event(1)])
    unknown = make_train("unknown", [event(2)], n_tried=-1, n_accepted=-1)
    merge([known, unknown], tmp_path / "out.h5")
    with TrainingFile(tmp_path / "out.h5") as train:
        (row,) = train.books.normalisation
    assert (row["n_tried"], row["n_accepted"], row["events"]) == (-1, -1, 2)


def test_more_rows_than_a_block(
    make_train: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [make_train(f"q{n}", [qcd_event(n)], **QCD) for n in range(1, 8)]
    merge(paths, tmp_path / "one block.h5")
    monkeypatch.setattr("hvmpi.training.files._BLOCK", 5)
    merge(paths, tmp_path / "blocks.h5")
    for name in DATASETS:
        with (
            TrainingFile(tmp_path / "one block.h5") as one,
            TrainingFile(tmp_path / "blocks.h5") as other,
        ):
            assert len(one) == 14
            assert one.read(name).tobytes() == other.read(name).tobytes()


# --- the same event twice --------------------------------------------------------------------


def test_an_event_in_two_files(make_train: Make, tmp_path: Path) -> None:
    paths = [
        make_train("a", [signal_event(n) for n in (1, 2, 3)]),
        make_train("other", [signal_event(n) for n in (7, 8)]),
        # Without a jet it is the same event all the same.
        make_train("b", [event(n) for n in (3, 4)]),
    ]
    said = r"event 3 of run 304795 \(gghss\) is in '.*a.train.h5' and in '.*b.train.h5'"
    with pytest.raises(InputError, match=said):
        merge(paths, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_one_file_twice(three: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"event 1 of run 304795 .*'.*a.train.h5' and in '.*a.tra"):
        merge([*three, three[0]], tmp_path / "out.h5")


def test_an_event_in_a_gap_is_another(make_train: Make, tmp_path: Path) -> None:
    paths = [make_train("a", [event(n) for n in (1, 5)]), make_train("b", [event(3)])]
    assert merge(paths, tmp_path / "out.h5").events == 3
    overlapping = make_train("c", [event(n) for n in (2, 5, 9)])
    with pytest.raises(InputError, match=r"event 5 of run"):
        merge([*paths, overlapping], tmp_path / "more.h5")


@pytest.mark.parametrize(
    "other", [{"process": b"whss"}, {"settings_hash": b"7" * 64}, {"run": 304796}]
)
def test_the_same_number_in_another_sample_is_another_event(
    make_train: Make, tmp_path: Path, other: dict[str, Any]
) -> None:
    run = other.pop("run", 304795)
    paths = [make_train("a", [signal_event(1)]), make_train("b", [event(1, run)], **other)]
    assert merge(paths, tmp_path / "out.h5").events == 2


# --- refusals --------------------------------------------------------------------------------


def test_other_settings_of_the_extraction(make_train: Make, tmp_path: Path) -> None:
    paths = [
        make_train("a", [signal_event(1)]),
        make_train("b", [signal_event(2)], unmatched=True),
    ]
    said = r"a.train.h5' and '.*b.train.h5' were extracted .* unmatched False, True"
    with pytest.raises(InputError, match=said):
        merge(paths, tmp_path / "out.h5")


def replace_jets(file: h5py.File, dtype: np.dtype[Any]) -> None:
    rows = np.zeros(len(file["jets"]), dtype=dtype)
    del file["jets"]
    file["jets"] = rows


def another_column(file: h5py.File) -> None:
    replace_jets(file, np.dtype([*DATASETS["jets"].dtype.descr, ("colour", "f4")]))


def another_type(file: h5py.File) -> None:
    columns = DATASETS["jets"].dtype.descr
    replace_jets(file, np.dtype([(n, "f8" if n == "emf" else kind) for n, kind in columns]))


def another_order(file: h5py.File) -> None:
    replace_jets(file, np.dtype(DATASETS["jets"].dtype.descr[::-1]))


def fewer_tracks(file: h5py.File) -> None:
    rows = file["tracks"][:-1]
    del file["tracks"]
    file["tracks"] = rows


def no_books(file: h5py.File) -> None:
    del file["cutBookkeeper"]


def another_version(file: h5py.File) -> None:
    file.attrs["schema_version"] = 2


def another_schema(file: h5py.File) -> None:
    file.attrs["schema"] = "hvmpi.aod"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (another_column, "those of 'jets' differ in colour"),
        (another_type, "those of 'jets' differ in emf"),
        (another_order, "those of 'jets' stand in another order"),
        (fewer_tracks, r"'tracks' has shape \(0, 40\) beside 1 jets"),
        (no_books, "is damaged"),
        (another_version, "hvmpi.train version 2, expected hvmpi.train version 1"),
        (another_schema, "schema hvmpi.aod version 1, expected hvmpi.train"),
    ],
)
def test_a_file_that_is_not_like_the_others(
    three: list[Path], tmp_path: Path, spoil: Callable[[h5py.File], None], said: str
) -> None:
    with h5py.File(three[1], "r+") as file:
        spoil(file)
    with pytest.raises(InputError, match=said) as caught:
        merge(three, tmp_path / "out.h5")
    assert "b.train.h5" in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_a_file_cut_short_in_its_rows(three: list[Path], tmp_path: Path) -> None:
    content = three[0].read_bytes()
    three[0].write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a.train.h5"):
        merge(three, tmp_path / "out.h5")
    assert sorted(path.name for path in tmp_path.glob("*out*")) == []


def test_rows_that_cannot_be_read_leave_nothing(three: list[Path], tmp_path: Path) -> None:
    with h5py.File(three[2], "r") as file:
        chunk = file["clusters"].id.get_chunk_info(0)
    with three[2].open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    with pytest.raises(InputError, match=r"q.train.h5' is damaged: 'clusters' cannot be read"):
        merge(three, tmp_path / "out.h5")
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("events", [5, 7, 0])
def test_another_number_of_events(three: list[Path], tmp_path: Path, events: int) -> None:
    with pytest.raises(InputError, match=rf"6 events went into the 3 files .*, not {events}"):
        merge(three, tmp_path / "out.h5", events=events)
    assert not (tmp_path / "out.h5").exists()


def test_an_output_that_is_there(three: list[Path], tmp_path: Path) -> None:
    there = tmp_path / "there.h5"
    there.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        merge(three, there)
    link = tmp_path / "link.h5"
    link.symlink_to(three[0])
    with pytest.raises(UsageError, match="is an input and the output"):
        merge(three, link)
    assert there.read_text() == "mine"
    with pytest.raises(UsageError, match="nothing to merge"):
        merge([], tmp_path / "out.h5")


def test_a_full_disk_leaves_nothing(three: list[Path], tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(SetupError, match=r"cannot write '.*out.h5': File too large"):
            merge(three, tmp_path / "out.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.glob("*out*"))


def test_a_writer_does_not_close_half_a_file(tmp_path: Path) -> None:
    with pytest.raises(HvmpiError, match="left unfinished"), TrainingWriter(tmp_path / "out.h5"):
        pass
    assert not list(tmp_path.iterdir())


# --- the command -----------------------------------------------------------------------------


def test_a_directory_stands_for_its_training_files(three: list[Path], tmp_path: Path) -> None:
    (tmp_path / "train.h5").write_text("merged by another")
    (tmp_path / ".z.train.h5.12.part").write_text("half")
    more = tmp_path / "list"
    more.write_text(f"{three[0]}\n\n{tmp_path}\n")
    assert listed([tmp_path]) == three
    assert listed([three[2]], more) == [three[2], three[0], *three]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no training file \(\*.train.h5\) in '.*empty'"):
        listed([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"cannot read '.*gone'"):
        listed([], tmp_path / "gone")


@pytest.mark.usefixtures("three")
def test_the_step_reports(tmp_path: Path, capsys: Any) -> None:
    report = tmp_path / "report.json"
    words = ["merge", str(tmp_path), "-o", str(tmp_path / "out.h5"), "--report", str(report)]
    assert main([*words, "--events=6"]) == 0
    said = json.loads(report.read_text())
    assert (said["outcome"], said["reason"], said["events"]) == ("done", "", 6)
    assert said["summary"]["inputs"] == 3
    assert main([*words, "--events=6"]) == 2
    said = json.loads(report.read_text())
    assert (said["outcome"], said["events"]) == ("setup_failed", -1)
    assert "is there already" in said["reason"]
    (tmp_path / "out.h5").unlink()
    assert main([*words, "--events=7"]) == 2
    assert json.loads(report.read_text())["outcome"] == "bad_input"
    assert "6 events went into" in capsys.readouterr().err


def test_the_step_extracts(signal_aod: Path, tmp_path: Path, capsys: Any) -> None:
    report = tmp_path / "report.json"
    output = tmp_path / "out.train.h5"
    words = ["extract", str(signal_aod), "-o", str(output), "--report", str(report)]
    assert main([*words, "--unmatched"]) == 0
    summary = json.loads(report.read_text())["summary"]
    assert (summary["first_event"], summary["run_number"]) == (1, 304795)
    assert summary["rows"]["jets"] == 4
    assert main(["extract", str(signal_aod), "-o", str(signal_aod)]) == 2
    assert "named twice" in capsys.readouterr().err


# --- the tools of ATLAS ----------------------------------------------------------------------


@pytest.fixture
def merged_file(three: list[Path], tmp_path: Path) -> Path:
    merge(three, tmp_path / "merged.h5")
    return tmp_path / "merged.h5"


def test_ftag_reads_it(merged_file: Path) -> None:
    from ftag import Cuts
    from ftag.hdf5 import H5Reader

    reader = H5Reader(merged_file, batch_size=4, shuffle=False)
    assert reader.num_global_objects == 6
    variables = {"jets": ["pt", "label"], "tracks": ["pt", "valid"], "clusters": None}
    data = reader.load(variables)
    assert data["tracks"].shape == (6, 40)
    assert data["tracks"].dtype["valid"] == np.dtype(bool)
    assert data["clusters"].dtype == DATASETS["clusters"].dtype
    assert data["jets"]["label"].tolist() == [1, 1, 0, 0, 0, 0]
    cut = reader.load({"jets": ["pt"]}, cuts=Cuts.from_list(["label == 1"]))
    assert cut["jets"]["pt"].tolist() == [80.0, 80.0]


def test_ftag_copies_it(merged_file: Path, tmp_path: Path) -> None:
    from ftag.hdf5 import H5Reader, H5Writer

    reader = H5Reader(merged_file, shuffle=False)
    copy = tmp_path / "copy.h5"
    writer = H5Writer.from_file(merged_file, dst=copy, compression="gzip", shuffle=False)
    names = dict.fromkeys(DATASETS)
    for batch in reader.stream(names):
        writer.write(batch)
    writer.close()
    with h5py.File(copy) as new, h5py.File(merged_file) as old:
        for name in DATASETS:
            assert new[name][:].tobytes() == old[name][:].tobytes()
        for name in ("normalisation", "event_ranges", "nominal/counts"):
            books = (file[f"cutBookkeeper/{name}"][()].tobytes() for file in (new, old))
            assert len(set(books)) == 1


@pytest.mark.usefixtures("three")
def test_ftag_makes_a_virtual_file_of_the_parts(tmp_path: Path) -> None:
    from ftag.vds import create_virtual_file

    virtual = create_virtual_file(tmp_path / "*.train.h5", tmp_path / "virtual.h5")
    with h5py.File(virtual) as file:
        assert file["jets"].shape == (6,)
        assert file["clusters"].shape == (6, 30)
        assert file["cutBookkeeper/nominal/counts"]["nEventsProcessed"] == 6
        assert file["jets"].attrs["flavour_label"].tolist() == ["QCD", "signal"]
