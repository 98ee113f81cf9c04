from __future__ import annotations

import gzip
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyhepmc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyhepmc.io import WriterAsciiHepMC2

from hvmpi.errors import BadEventFileError, InputError
from hvmpi.openchain import asciiv3, evnt
from hvmpi.openchain.generation import generate
from hvmpi.openchain.processes import resolve
from hvmpi.sample import SampleOptions

FOREIGN_NUMBERS = (7, 3, 5, 2_000_000_011, 0)
BATCH, BATCH_SIZE = 3, 60


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batch 3 of a sample of batches of 60: events 121 to 180."""
    path = tmp_path_factory.mktemp("ours") / "ours.hepmc3"
    process = resolve(
        SampleOptions(
            "süß \\ 'x'", "gghss", batch_size=BATCH_SIZE, pythia=("PartonLevel:MPI = off",)
        )
    )
    generate(process, seed=5, batch=BATCH, output=path)
    return path


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few small events as another generator may write them: numbers in no order, no weights."""
    path = tmp_path_factory.mktemp("foreign") / "foreign.dat"
    with pyhepmc.open(path, "w") as file:
        for number in FOREIGN_NUMBERS:
            file.write(small_event(number))
    return path


def small_event(number: int) -> pyhepmc.GenEvent:
    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    momentum = np.array([0.0, 0.0, 45.0, -45.0])
    event.from_hepevt(
        number,
        momentum,
        momentum,
        momentum,
        np.full(4, 80.0),
        np.full(4, 1.0),
        np.array([11, -11, 13, -13], dtype=np.int32),
        np.array([4, 4, 1, 1], dtype=np.int32),
        children=np.array([[2, 3], [2, 3], [-1, -1], [-1, -1]], dtype=np.int32),
        fortran=False,
    )
    return event


def complaint(act: Callable[[], object], error: type[Exception] = BadEventFileError) -> str:
    with pytest.raises(error) as caught:
        act()
    sentence = str(caught.value)
    assert sentence
    assert "\n" not in sentence
    return sentence


def renamed(path: Path, directory: Path, name: str) -> Path:
    copy = directory / name
    copy.write_bytes(path.read_bytes())
    return copy


def gzipped(path: Path, directory: Path) -> Path:
    zipped = directory / "zipped"
    zipped.write_bytes(gzip.compress(path.read_bytes(), 1))
    return zipped


def numbers(events: Iterator[pyhepmc.GenEvent]) -> list[int]:
    return [event.event_number for event in events]


def test_scan_of_ours(ours: Path) -> None:
    summary = evnt.scan(ours, BATCH_SIZE)
    assert summary.events == BATCH_SIZE
    assert summary.event_numbers.dtype == np.int64
    assert summary.event_numbers.tolist() == list(range(121, 181))
    assert summary.size == ours.stat().st_size
    assert summary.run_number == 304795
    assert summary.sample == "süß \\ 'x'"


def test_scan_of_a_foreign_file(foreign: Path) -> None:
    summary = evnt.scan(foreign)
    assert summary.event_numbers.tolist() == list(FOREIGN_NUMBERS)
    assert summary.run_number is None
    assert summary.sample == ""


def test_scan_needs_neither_pyhepmc_nor_pythia(foreign: Path) -> None:
    code = (
        "import sys; sys.modules.update(pythia8mc=None, pyhepmc=None, awkward=None, h5py=None);"
        "from hvmpi.openchain import evnt; print(evnt.scan(sys.argv[1]).events)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(foreign)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{len(FOREIGN_NUMBERS)}\n"


@pytest.mark.parametrize("block", [1 << 10, 1 << 16, 1 << 23])
def test_scan_does_not_depend_on_where_blocks_end(
    block: int, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asciiv3, "BLOCK", block)
    assert evnt.scan(ours).events == BATCH_SIZE


def test_gzipped_is_known_by_its_contents(ours: Path, tmp_path: Path) -> None:
    zipped = gzipped(ours, tmp_path)
    plain, unzipped = evnt.scan(ours), evnt.scan(zipped)
    assert unzipped.event_numbers.tolist() == plain.event_numbers.tolist()
    assert unzipped.size == zipped.stat().st_size
    assert numbers(evnt.read_events(zipped, 17, 3)) == [138, 139, 140]
    assert evnt.normalisation(zipped, 17, 3) == evnt.normalisation(ours, 17, 3)


@pytest.mark.parametrize(
    "name",
    ["with a space.hepmc3", 'it\'s "quoted" $HOME;`ls`', "Ä ñ 日本.gz", "-o", "x\udcff.evnt"],
)
def test_any_name_will_do(name: str, foreign: Path, tmp_path: Path) -> None:
    path = renamed(foreign, tmp_path, name)
    assert evnt.scan(path).events == len(FOREIGN_NUMBERS)
    assert numbers(evnt.read_events(path)) == list(FOREIGN_NUMBERS)
    assert evnt.normalisation(path)["events"] == len(FOREIGN_NUMBERS)


# -- bad files ---------------------------------------------------------------------------------


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert complaint(lambda: evnt.scan(path)) == f"{path} is empty"
    path.write_bytes(gzip.compress(b""))
    assert complaint(lambda: evnt.scan(path)) == f"{path} is empty"


def test_not_there(tmp_path: Path) -> None:
    assert "No such file" in complaint(lambda: evnt.scan(tmp_path / "none"), InputError)
    assert "directory" in complaint(lambda: evnt.scan(tmp_path), InputError)


def test_no_events(tmp_path: Path) -> None:
    path = tmp_path / "none"
    path.write_text(
        "HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\n"
        "HepMC::Asciiv3-END_EVENT_LISTING\n"
    )
    assert complaint(lambda: evnt.scan(path)) == f"{path} holds no events"


def test_fewer_events_than_expected(foreign: Path) -> None:
    assert "holds 5 events, 6 were expected" in complaint(lambda: evnt.scan(foreign, 6))


def test_event_number_twice(tmp_path: Path) -> None:
    path = tmp_path / "twice"
    with pyhepmc.open(path, "w") as file:
        for number in (1, 2, 3, 2):
            file.write(small_event(number))
    assert "event number 2 more than once" in complaint(lambda: evnt.scan(path))


def test_hepmc2_is_named(tmp_path: Path) -> None:
    path = tmp_path / "old.hepmc3"
    with WriterAsciiHepMC2(str(path)) as writer:
        writer.write(small_event(1))
    assert "HepMC2" in complaint(lambda: evnt.scan(path))


@pytest.mark.parametrize(
    ("contents", "word"),
    [
        (b'<LesHouchesEvents version="1.0">\n<init>\n', "Les Houches"),
        (b"root\x00\x00\xf4", "ROOT"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"what you will\n", "not HepMC3"),
    ],
)
def test_other_formats_are_named(contents: bytes, word: str, tmp_path: Path) -> None:
    path = tmp_path / "x.hepmc3"
    path.write_bytes(contents)
    assert word in complaint(lambda: evnt.scan(path))


def test_truncated_anywhere(foreign: Path, tmp_path: Path) -> None:
    text = foreign.read_bytes()
    path = tmp_path / "truncated"
    for length in range(len(text.rstrip())):
        path.write_bytes(text[:length])
        assert complaint(lambda: evnt.scan(path))
        assert complaint(lambda: list(evnt.read_events(path)))
    path.write_bytes(text.rstrip())
    assert evnt.scan(path).events == len(FOREIGN_NUMBERS)


def test_truncated_gzip_anywhere(foreign: Path, tmp_path: Path) -> None:
    text = gzip.compress(foreign.read_bytes())
    path = tmp_path / "truncated.gz"
    for length in range(len(text)):
        path.write_bytes(text[:length])
        assert complaint(lambda: evnt.scan(path))


def test_an_event_that_lost_particles(foreign: Path, tmp_path: Path) -> None:
    text = foreign.read_bytes()
    particle = re.compile(rb"^P 4 .*\n", re.MULTILINE)
    path = tmp_path / "lost"
    path.write_bytes(particle.sub(b"", text, count=1))
    assert "event 7 has 3 of its 4 particles" in complaint(lambda: evnt.scan(path))
    assert "event 7 has 3 of its 4 particles" in complaint(lambda: list(evnt.read_events(path)))


def test_claims_are_not_believed(foreign: Path, tmp_path: Path) -> None:
    path = tmp_path / "claims"
    path.write_bytes(foreign.read_bytes().replace(b"E 7 1 4", b"E 7 1 999999999999999"))
    assert "has 4 of its 999999999999999" in complaint(lambda: evnt.scan(path))
    path.write_bytes(foreign.read_bytes().replace(b"E 7 1 4", b"E 7 1 " + b"9" * 40))
    assert "damaged" in complaint(lambda: evnt.scan(path))


def test_lines_that_cannot_be_parsed(foreign: Path, tmp_path: Path) -> None:
    path = tmp_path / "garbled"
    path.write_bytes(foreign.read_bytes().replace(b"P 3 -1 13 ", b"P what ever "))
    assert evnt.scan(path).events == len(FOREIGN_NUMBERS)
    assert "event 7 cannot be parsed" in complaint(lambda: list(evnt.read_events(path)))


def test_goes_on_after_its_end(foreign: Path, tmp_path: Path) -> None:
    path = tmp_path / "longer"
    path.write_bytes(foreign.read_bytes() + b"P 1 2 3\n")
    assert "after the end" in complaint(lambda: evnt.scan(path))


def test_an_event_without_end_is_not_held_in_memory(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asciiv3, "LARGEST_EVENT", 1 << 16)
    monkeypatch.setattr(asciiv3, "BLOCK", 1 << 12)
    path = tmp_path / "endless"
    whole = foreign.read_bytes()
    middle = whole.index(b"\nE 5")
    path.write_bytes(whole[:middle] + b"\nA " + b"x" * (1 << 18) + whole[middle:])
    assert "damaged: one event of more than" in complaint(lambda: evnt.scan(path))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_random_bytes(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "random"
    for start in (b"", b"\x1f\x8b", b"HepMC::Version 3\nHepMC::Asciiv3-START_EVENT_LISTING\nE "):
        path.write_bytes(start + contents)
        complaint(lambda: evnt.scan(path))


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1 << 12, 1 << 18, 1 << 23])
@pytest.mark.parametrize(("skip", "events"), [(0, -1), (0, 1), (59, 1), (31, 7), (31, -1), (0, 60)])
def test_reads_what_is_asked_for(
    skip: int, events: int, block: int, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asciiv3, "BLOCK", block)
    monkeypatch.setattr(asciiv3, "GLANCE", 1 << 16)
    last = 181 if events < 0 else 121 + skip + events
    assert numbers(evnt.read_events(ours, skip, events)) == list(range(121 + skip, last))


def test_event_does_not_depend_on_how_it_is_reached(ours: Path, tmp_path: Path) -> None:
    whole = list(evnt.read_events(ours))
    zipped = gzipped(ours, tmp_path)
    for position in (0, 33, 59):
        alone = next(evnt.read_events(ours, position, 1))
        unzipped = next(evnt.read_events(zipped, position, 1))
        assert alone == whole[position] == unzipped


def test_same_as_the_librarys_own_reader(ours: Path) -> None:
    with pyhepmc.open(ours) as file:
        theirs = list(file)
    assert len(theirs) == BATCH_SIZE
    for event, their in zip(evnt.read_events(ours), theirs, strict=True):
        assert event == their


def test_reads_foreign_events_by_their_place(foreign: Path) -> None:
    assert numbers(evnt.read_events(foreign, 1, 3)) == [3, 5, 2_000_000_011]


def test_ours_with_events_taken_out_is_read_by_place(ours: Path, tmp_path: Path) -> None:
    path = tmp_path / "thinned"
    text = ours.read_bytes()
    starts = [match.start() + 1 for match in re.finditer(rb"\nE ", text)]
    path.write_bytes(text[: starts[20]] + text[starts[25] :])
    kept = [*range(121, 141), *range(146, 181)]
    assert evnt.scan(path).event_numbers.tolist() == kept
    for skip in (0, 19, 20, 30, 54):
        assert numbers(evnt.read_events(path, skip, 1)) == [kept[skip]]


@pytest.mark.parametrize(("skip", "events"), [(0, 61), (60, 1), (59, 2), (1000, 5)])
def test_fewer_events_than_asked_for(skip: int, events: int, ours: Path, tmp_path: Path) -> None:
    for path in (ours, gzipped(ours, tmp_path)):
        sentence = complaint(lambda path=path: list(evnt.read_events(path, skip, events)))  # type: ignore[misc]
        assert f"holds 60 events; {events} after {skip} were asked for" in sentence
        assert complaint(lambda path=path: evnt.normalisation(path, skip, events)) == sentence  # type: ignore[misc]


# -- normalisation -----------------------------------------------------------------------------


def test_normalisation_of_a_whole_file(ours: Path) -> None:
    row = evnt.normalisation(ours)[0]
    assert row.dtype.names == ("sample", *(name for name, _ in evnt.NORMALISATION_FIELDS))
    assert row["sample"].decode() == "süß \\ 'x'"
    assert row["batch"] == BATCH
    assert row["first_event"] == 121
    assert row["events"] == row["n_accepted"] == row["sum_weights"] == row["sum_weights2"] == 60
    assert row["n_tried"] > 60
    assert row["filter_efficiency"] == 1.0
    assert row["cross_section_pb"] > row["cross_section_error_pb"] > 0.0


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, 59), max_size=8))
def test_pieces_add_up(cuts: set[int], ours: Path) -> None:
    edges = [0, *sorted(cuts), 60]
    pieces = np.concatenate(
        [evnt.normalisation(ours, start, stop - start) for start, stop in itertools.pairwise(edges)]
    )
    whole = evnt.normalisation(ours)
    for name in ("events", "n_tried", "n_accepted", "sum_weights", "sum_weights2"):
        assert pieces[name].sum() == whole[name][0], name
    for name in ("sample", "batch", "cross_section_pb", "cross_section_error_pb"):
        assert set(pieces[name]) == {whole[name][0]}, name
    assert pieces["first_event"].tolist() == [121 + start for start in edges[:-1]]


def test_foreign_files_tell_what_is_known(foreign: Path) -> None:
    row = evnt.normalisation(foreign, 1, 3)[0]
    assert row["sample"] == b""
    assert row["batch"] == row["n_tried"] == row["n_accepted"] == -1
    assert row["first_event"] == 3
    assert row["events"] == row["sum_weights"] == 3
    for name in ("cross_section_pb", "cross_section_error_pb", "filter_efficiency"):
        assert np.isnan(row[name]), name


def test_foreign_weights_and_cross_section(tmp_path: Path) -> None:
    path = tmp_path / "weighted"
    run = pyhepmc.GenRunInfo()
    run.weight_names = ["nominal", "other"]
    with pyhepmc.open(path, "w") as file:
        for number, weight in enumerate((0.5, -2.0, 4.0)):
            event = small_event(number)
            event.run_info = run
            event.weights = [weight, 100.0]
            cross_section = pyhepmc.GenCrossSection()
            cross_section.set_cross_section(3.0 + number, 0.25)
            event.cross_section = cross_section
            file.write(event)
    row = evnt.normalisation(path, 0, 2)[0]
    assert row["sum_weights"] == -1.5
    assert row["sum_weights2"] == 4.25
    assert row["cross_section_pb"] == 5.0
    assert row["cross_section_error_pb"] == 0.25
    assert row["n_tried"] == -1
