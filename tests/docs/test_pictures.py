"""That the pictures of docs/ are there, shown, and made by what their pages name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Place, RunOnDisk
from tests.docs.conftest import DOCS, Docs

SHOWN = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
SUFFIXES = {".png", ".svg", ".jpg", ".webp"}


def shown() -> dict[Path, list[Path]]:
    """Give the pages that each picture stands in."""
    found: dict[Path, list[Path]] = {}
    for page in sorted(DOCS.rglob("*.md")):
        for target in SHOWN.findall(page.read_text(encoding="utf-8")):
            found.setdefault((page.parent / target).resolve(), []).append(page)
    return found


def maker(picture: Path, docs: Docs) -> tuple[Path, str]:
    """Give the script that makes a picture, and what a page calls it by."""
    folder = str(picture.parent.relative_to(DOCS))
    if folder == "performance":
        return DOCS.parent / "benchmarks" / "page.py", "run_benchmarks.sh"
    if folder == "validation/figures":
        scripts = (DOCS / "validation").glob("*.py")
        fitting = [path for path in scripts if picture.name.startswith(f"{path.stem}_")]
        script = max(fitting, key=lambda path: len(path.stem))
        return script, f"docs/validation/{script.name}"
    assert folder == "pictures", f"nothing is known to make {picture}"
    if picture.stem == "calratio":
        return DOCS / "analysis.py", "docs/analysis.py"
    assert picture.stem in {*docs.pictures.TERMINALS, "display"}
    return DOCS / "pictures.py", "docs/pictures.py"


def test_each_picture_is_there_and_shown() -> None:
    there = {path.resolve() for path in DOCS.rglob("*") if path.suffix in SUFFIXES}
    assert there == set(shown())


def test_each_picture_is_made_by_a_script_that_a_page_names(docs: Docs) -> None:
    for picture, pages in shown().items():
        script, name = maker(picture, docs)
        assert script.is_file()
        # Validation has a page of its own, and its pictures may stand in others too.
        pages = [*pages, DOCS / "validation.md"] if "validation" in name else pages
        assert any(name in page.read_text(encoding="utf-8") for page in pages), picture


def test_pictures_of_terminals_are_made_of_a_run(
    docs: Docs, finished_run: RunOnDisk, tmp_path: Path
) -> None:
    for name in docs.pictures.TERMINALS:
        picture = docs.pictures.draw(name, finished_run.directory, tmp_path).read_text()
        assert picture.startswith("<svg")
        assert "@font-face" not in picture
        assert "done" in picture.replace("&#160;", " ")
        assert str(finished_run.directory.parents[1]) not in picture


def test_the_picture_of_an_event_is_made_of_its_aod(
    docs: Docs, finished_run: RunOnDisk, tmp_path: Path
) -> None:
    aod = next((finished_run.directory / "aod").glob("304815.6.1.*.aod.h5"))
    picture = docs.pictures.display(aod, 2, tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (DOCS / "pictures" / "display.png").stat().st_size < 150_000


def test_a_directory_that_is_no_run_is_one_sentence(
    docs: Docs, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert docs.pictures.main([str(place.root / "runs" / "20200101000000")]) == 2
    assert capsys.readouterr().err.startswith("error: hvmpi status")
