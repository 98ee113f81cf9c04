"""The report of a run: the page, its plots, and when it is made at the end of a run."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from html.parser import HTMLParser
from pathlib import Path

import h5py
import psutil
import pytest

from tests.browser import WIDTHS, Look
from tests.conftest import Place, RunOnDisk, clean_environment, shell, wait_for

RUN = ("run", "-b6", "-n1", "--job-size=2", "--max-attempts=1")
EVIL = "<script>alert(1)</script>"
SECTIONS = ["summary", "timeline", "hosts", "failures", "physics", "files"]


class Outline(HTMLParser):
    """What a page has: its tags, its headings, its identifiers, what it refers to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src", "xlink:href"):
                self.links.append(value or "")


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> RunOnDisk:
    """A run whose second job failed, and says so in bytes that are no text."""
    place = Place(tmp_path_factory.mktemp("report"), clean_environment())
    said = f"printf 'caf\\351 {EVIL}\\n\\033[31mred\\n'"
    script = f'[ "$1" != 2 ] || {{ {said}; exit 3; }}; cat "$3" > "$4"'
    words = [*RUN, *shell(script), f"--run-dir={place.run_dir}"]
    assert place.hvmpi(*words, f"--log-dir={place.root}/logs {EVIL.replace('/', '')}").code == 1
    return place.run()


@pytest.fixture(scope="module")
def failed_page(failed: RunOnDisk) -> Path:
    """Its page."""
    place = Place(failed.directory.parents[1], clean_environment())
    report(place, failed, place.root / "failed.html")
    return place.root / "failed.html"


def report(place: Place, run: RunOnDisk, page: Path) -> str:
    """Make a report elsewhere; give what is said."""
    place_of = f"--run-dir={run.directory.parent}"
    answer = place.hvmpi("report", run.timestamp, place_of, "-o", page)
    assert answer.code == 0, answer.err
    assert answer.err == ""
    return answer.out


# The page


def test_the_page_of_a_campaign(place: Place, finished_run: RunOnDisk, look: Look) -> None:
    page = place.root / "here.html"
    out = report(place, finished_run, page)
    assert out.splitlines()[0] == f"report: {page}"
    outline = Outline(page)
    assert set(SECTIONS) <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.tags.count("h1") == 1
    assert "script" not in outline.tags
    # It loads nothing, and leads nowhere else.
    assert all(link.startswith(("#", "data:")) for link in outline.links)
    anchors = {link[1:] for link in outline.links if link.startswith("#")}
    assert anchors <= set(outline.ids)
    assert "http:" not in page.read_text()
    names = {path.stem for path in (place.root / "plots").iterdir()}
    assert {"timeline", "throughput", "memory", "efficiency"} <= names
    for name in names:
        assert f"plot-{name}" in outline.ids
        assert (place.root / f"plots/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (place.root / f"plots/{name}.pdf").read_bytes().startswith(b"%PDF")
    for width in WIDTHS:
        for dark in (False, True):
            seen = look(page, width, dark=dark)
            assert seen.complaints == []
            assert "24 of 24 events reconstructed" in seen.text


def test_what_others_wrote_stays_text(failed_page: Path, look: Look) -> None:
    assert "script" not in Outline(failed_page).tags
    for width in WIDTHS:
        seen = look(failed_page, width)
        assert seen.complaints == []
        assert f"caf\ufffd {EVIL}\n?[31mred" in seen.text
        assert "noop ended with code 3" in seen.text
        assert "Read the log; mend what it tells of" in seen.text
        assert "job00000002/attempt1/noop.log" in seen.text


def test_the_summary_says_what_was_asked_and_made(failed_page: Path) -> None:
    text = re.sub(r"<[^>]+>", " ", failed_page.read_text())
    assert "4 of 6 events reconstructed; 3 of 4 jobs done, 1 failed" in text
    assert "incomplete" in text
    assert "Settings that are not the defaults" in text
    assert "noop-command" in text


def test_a_run_goes_into_its_own_directory(place: Place) -> None:
    assert place.hvmpi(*RUN, *shell('cat "$3" > "$4"')).code == 0
    directory = place.run().directory
    answer = place.hvmpi("report")
    assert answer.out.splitlines() == [
        f"report: {directory}/report.html",
        f"plots: 4, as PNG and PDF, in {directory}/plots",
    ]
    # It is no product, and no foreign file.
    assert place.hvmpi("verify").code == 0
    assert place.hvmpi("clean", "--all", "--yes").code == 0
    assert place.runs() == []


def test_a_run_that_goes_on(place: Place) -> None:
    process = place.start(*RUN, *shell('cat "$3" > "$4"; [ "$1" != 2 ] || sleep 600'))
    wait_for(lambda: place.runs() and (place.run().directory / "status.h5").exists())
    wait_for(lambda: len(place.run().status().attempts) == 3, 20.0)
    page = place.root / "now.html"
    report(place, place.run(), page)
    assert "in progress" in page.read_text()
    assert "reconstruction, going on" in page.read_text()
    process.send_signal(signal.SIGINT)
    assert place.finish(process).code == 3


def test_a_run_without_jobs(place: Place) -> None:
    (place.root / "evnt").mkdir()
    place.event_file("empty", [])
    place.hvmpi("reconstruct", "--evnt-dir=evnt", *shell("true"))
    page = place.root / "none.html"
    report(place, place.run(), page)
    assert "No attempt was begun." in page.read_text()


@pytest.mark.parametrize("library", ["matplotlib", "hist", "scipy"])
def test_without_a_library_of_plots_the_page_has_none(
    place: Place, failed: RunOnDisk, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    page = place.root / "bare.html"
    out = report(place, failed, page)
    assert out == f"report: {page}\n"
    assert f"{library} cannot be found: pip install &#x27;hvmpi[report]&#x27;" in page.read_text()
    assert not (place.root / "plots").exists()


# What is wrong


def test_a_damaged_status_file_leaves_the_journal(place: Place) -> None:
    assert place.hvmpi(*RUN, *shell('cat "$3" > "$4"')).code == 0
    directory = place.run().directory
    for spoil in ("damaged", "another version"):
        if spoil == "damaged":
            (directory / "status.h5").write_bytes(b"no HDF5")
        else:
            place.hvmpi("rerun", directory.name)
            with h5py.File(directory / "status.h5", "r+") as file:
                file.attrs["schema_version"] = 1
        answer = place.hvmpi("report", directory.name, "-o", "out.html")
        assert answer.code == 0
        assert len(answer.err.splitlines()) == 1
        assert "is damaged or another version's" in answer.err
        assert "6 of 6 events reconstructed" in (place.root / "out.html").read_text()
    (directory / "status.h5").write_bytes(b"no HDF5")
    (directory / "journal.jsonl").write_bytes(b"no journal\n")
    answer = place.hvmpi("report", directory.name, "-o", "none.html")
    assert answer.code != 0
    assert answer.err.splitlines()[-1].startswith("hvmpi: error: ")
    assert not (place.root / "none.html").exists()


def test_a_wrong_timestamp_is_told(place: Place, failed: RunOnDisk) -> None:
    answer = place.hvmpi("report", "20010101000000", f"--run-dir={failed.directory.parent}")
    assert answer.code == 2
    assert "there is no run '20010101000000'" in answer.complaint


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("nowhere/page.html", "No such file or directory"),
        ("there", "it is a directory"),
        ("file/page.html", "Not a directory"),
        ("beside/page.html", "File exists"),
    ],
)
def test_a_place_that_cannot_be_written_is_told(
    place: Place, failed: RunOnDisk, output: str, reason: str
) -> None:
    (place.root / "there").mkdir()
    (place.root / "file").touch()
    (place.root / "beside").mkdir()
    # In the place of the directory of plots.
    (place.root / "beside/plots").touch()
    before = place.tree()
    words = ["report", failed.timestamp, f"--run-dir={failed.directory.parent}", "-o", output]
    answer = place.hvmpi(*words)
    assert answer.code == 2
    assert reason in answer.complaint
    after = place.tree()
    assert {path: after[path][0] for path in after} == {path: before[path][0] for path in before}


# At the end of a run


def test_at_the_end_of_a_run_it_is_made(place: Place) -> None:
    script = '[ "$1" != 2 ] || exit 3; cat "$3" > "$4"'
    answer = place.hvmpi(*RUN, *shell(script), "--report")
    assert answer.code == 1
    directory = place.run().directory
    assert answer.out.splitlines()[-2:] == [
        f"report: {directory}/report.html",
        f"plots: 4, as PNG and PDF, in {directory}/plots",
    ]
    made = (directory / "report.html").stat().st_mtime_ns
    assert place.hvmpi("rerun", directory.name, "--report").code == 1
    assert (directory / "report.html").stat().st_mtime_ns > made


def test_rank_0_makes_it_under_mpirun(place: Place) -> None:
    answer = place.mpirun(3, *RUN, *shell('cat "$3" > "$4"'), "--report")
    assert answer.code == 0
    assert answer.out.count("report: ") == 1
    assert (place.run().directory / "report.html").exists()


def test_a_report_that_fails_changes_nothing(place: Place) -> None:
    # In the place of the directory of plots.
    script = f'for run in "{place.run_dir}"/*; do touch "$run/plots"; done; cat "$3" > "$4"'
    answer = place.hvmpi(*RUN, *shell(script), "--report")
    assert answer.code == 0
    timestamp = place.run().timestamp
    (line,) = answer.err.splitlines()
    assert line.startswith("hvmpi: there is no report (")
    assert line.endswith(
        f"); python -m hvmpi report {timestamp} --run-dir={place.run_dir} tries again"
    )
    assert place.hvmpi("verify").code == 0


def words_of_children(pid: int) -> list[str]:
    """List the words of the commands that a process started and that still run."""
    words: list[str] = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            words += child.cmdline()
    return words


def test_a_signal_ends_the_report_and_not_the_exit_code(place: Place) -> None:
    process = place.start(*RUN, *shell('cat "$3" > "$4"'), "--report")

    wait_for(lambda: "report" in words_of_children(process.pid))
    process.send_signal(signal.SIGTERM)
    answer = place.finish(process)
    assert answer.code == 0
    assert "there is no report (stopped by a signal)" in answer.err
    assert not (place.run().directory / "report.html").exists()


def test_a_run_that_is_stopped_is_not_kept_by_it(place: Place) -> None:
    words = [*RUN, *shell('cat "$3" > "$4"; [ "$1" != 2 ] || sleep 600'), "--report"]
    answer = place.hvmpi(*words, "--time-limit=2")
    assert answer.code == 3
    run = place.run()
    by_hand = f"python -m hvmpi report {run.timestamp} --run-dir={place.run_dir}"
    assert f"hvmpi: {by_hand} makes the report of what there is" in answer.out
    assert not (run.directory / "report.html").exists()
