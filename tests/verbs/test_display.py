"""``python -m hvmpi display``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import h5py
import pytest

from tests.conftest import Place, RunOnDisk

PNG, PDF = b"\x89PNG\r\n", b"%PDF-"


@pytest.fixture
def aod(place: Place, finished_run: RunOnDisk) -> Path:
    """An AOD of six signal events that a test may spoil."""
    found = next((finished_run.directory / "aod").glob("304815.6.1.*.aod.h5"))
    copied = Path(shutil.copy(found, place.root / found.name))
    copied.chmod(0o644)
    return copied


def test_an_event_is_a_picture_a_page_and_a_file_for_phoenix(place: Place, aod: Path) -> None:
    answer = place.hvmpi("display", aod.name, "--event", "3", "-o", "shown/here")
    assert (answer.code, answer.err) == (0, "")
    stem = place.root / "shown/here" / aod.name.replace(".aod.h5", ".event3")
    assert answer.out == f"{stem.relative_to(place.root)}: as .png, .pdf, .html, .phoenix.json\n"
    made = {path.name.removeprefix(f"{stem.name}."): path for path in stem.parent.iterdir()}
    assert set(made) == {"png", "pdf", "html", "phoenix.json"}
    assert made["png"].read_bytes().startswith(PNG)
    assert made["pdf"].read_bytes().startswith(PDF)
    assert made["html"].read_text().startswith("<!DOCTYPE html>")
    (event,) = json.loads(made["phoenix.json"].read_text()).values()
    assert event["event number"] == 3
    # The same file gives the same bytes.
    assert place.hvmpi("display", aod, "--event=3", "-o", "again").code == 0
    for path in stem.parent.iterdir():
        assert (place.root / "again" / path.name).read_bytes() == path.read_bytes()


def test_without_a_number_it_is_the_first_event(place: Place, aod: Path) -> None:
    assert place.hvmpi("display", aod, "--format=phoenix").code == 0
    (made,) = place.root.glob("*.json")
    assert made.name == aod.name.replace(".aod.h5", ".event1.phoenix.json")


def test_soft_tracks_are_left_out_when_asked(place: Place, aod: Path) -> None:
    place.hvmpi("display", aod, "--format=phoenix", "--min-pt=3")
    (made,) = place.root.glob("*.json")
    (event,) = json.loads(made.read_text()).values()
    assert min(track["pT"] for track in event["Tracks"]["Tracks"]) >= 3000.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--event=99",), "holds no event 99; it holds 6 events, 1 to 6"),
        (("--event=two",), "invalid int value: 'two'"),
        (("--format=png,svg",), "there is no format 'svg'"),
        (("--min-pt=nan",), "'nan' is no least pT"),
        (("--min-pt=some",), "'some' is no least pT"),
        (("--output-dir=in-the-way",), "cannot write in 'in-the-way'"),
        (("--output-dir=in-the-way/below",), "cannot write in 'in-the-way/below'"),
    ],
)
def test_a_wrong_word_leaves_nothing(
    place: Place, aod: Path, words: tuple[str, ...], said: str
) -> None:
    (place.root / "in-the-way").touch()
    before = place.tree()
    answer = place.hvmpi("display", aod, "--format=phoenix", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.complaint
    assert place.tree() == before


def of_text(path: Path) -> None:
    path.write_text("no HDF5")


def of_root(path: Path) -> None:
    path.write_bytes(b"root\x00\x00\xf6\x0c" + bytes(500))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def of_another_version(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 1


def of_another_kind(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = "hvmpi.hits"


def gone(path: Path) -> None:
    path.unlink()


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_what_was_seen(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["tracks"], file["clusters"]


def without_a_field(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["tracks/phi"]


def with_a_link_to_nowhere(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["tracks/truth"][0] = 100_000


def without_events(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        nothing = file["events"][:0]
        del file["events"]
        file["events"] = nothing
        for group in file.values():
            if isinstance(group, h5py.Group):
                del group["index"]
                group["index"] = [0]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (of_text, "is not a whole HDF5 file"),
        (of_root, "is not a whole HDF5 file"),
        (cut_short, "is not a whole HDF5 file"),
        (of_another_version, "has schema hvmpi.aod version 1, expected hvmpi.aod version 2"),
        (of_another_kind, "has schema hvmpi.hits version 2, expected hvmpi.aod version 2"),
        (gone, "there is no file"),
        (a_directory, "there is no file"),
        (without_what_was_seen, "has neither 'tracks' nor 'clusters'"),
        (without_a_field, "'tracks/phi' is not there"),
        (with_a_link_to_nowhere, "'tracks/truth' points beyond its event"),
        (without_events, "it is empty"),
    ],
)
def test_a_file_that_is_no_aod_is_one_sentence(
    place: Place, aod: Path, spoil: object, said: str
) -> None:
    assert callable(spoil)
    spoil(aod)
    before = place.tree()
    answer = place.hvmpi("display", aod, "--format=phoenix")
    assert answer.code == 2
    assert said in answer.complaint
    assert aod.name in answer.complaint
    assert place.tree() == before


@pytest.mark.parametrize(
    "missing",
    [
        ("jets",),
        ("tracks",),
        ("clusters", "missing_et"),
        ("truth",),
        ("muons", "vertices", "pile_up"),
    ],
)
def test_a_collection_that_is_not_there_is_left_out(
    place: Place, aod: Path, missing: tuple[str, ...]
) -> None:
    with h5py.File(aod, "r+") as file:
        for name in missing:
            del file[name]
    answer = place.hvmpi("display", aod, "--format=html,phoenix")
    assert answer.code == 0
    said = answer.err.splitlines()
    assert sorted(said) == sorted(
        f"hvmpi: '{aod}' has no '{name}', which is left out" for name in missing
    )
    assert len(list(place.root.glob("*.event1.*"))) == 2


@pytest.mark.parametrize(
    ("library", "cure"),
    [
        ("matplotlib", "hvmpi[report]"),
        ("acts", "hvmpi[openchain]"),
        ("scipy", "hvmpi[openchain]"),
    ],
)
def test_without_a_library_it_says_what_to_install(
    place: Place, aod: Path, monkeypatch: pytest.MonkeyPatch, library: str, cure: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    answer = place.hvmpi("display", aod)
    assert answer.code == 2
    assert answer.complaint == f"{library} is not installed: pip install '{cure}'"


def test_a_page_needs_no_matplotlib(
    place: Place, aod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert place.hvmpi("display", aod, "--format=html").code == 0
