"""The jobs before and behind all others: the minimum-bias library and the merge."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import Kind
from tests.conftest import Place, RunOnDisk, accepted_once, noop

TWO_BATCHES = ("run", "-b4", "-n2", "--job-size=2")
PILE_UP = ("--pileup-mu=2", "--pileup-events=30")
KINDS = ["library", *["generation", "reconstruction", "reconstruction"] * 2, "merge"]


def training(*, but: str = "true") -> list[str]:
    """Make each noop job write its event numbers to its training file, and say what it overlays.

    ``$1`` is the job in `but`, a command which must end well.
    """
    script = f'{but} && seq "$3" $(($3 + $4 - 1)) > "$5" && wc -l < "$6" > "$7"'
    words = ("{job}", "{attempt}", "{first_event}", "{events}", "{train}", "{library}", "{output}")
    return noop("/bin/sh", "-c", script, "sh", *words)


def until_mended(place: Place) -> list[str]:
    """Let job 2 fail until ``mended`` is there."""
    return training(but=f'{{ [ "$1" != 2 ] || [ -e "{place.root}/mended" ]; }}')


def merged(run: RunOnDisk) -> list[int]:
    return [int(line) for line in (run.directory / "train/train.txt").read_text().split()]


@pytest.fixture
def done(place: Place) -> RunOnDisk:
    """A run of two batches with a library and a merge."""
    assert place.hvmpi(*TWO_BATCHES, *PILE_UP, *training()).code == 0
    return place.run()


def test_a_campaign_makes_a_library_first_and_one_training_file_last(
    place: Place, done: RunOnDisk
) -> None:
    status = done.status()
    assert status.jobs["kind"].tolist() == KINDS
    assert set(status.jobs["state"]) == {"done"}
    assert status.jobs["event_file"].tolist() == [-1, 0, 0, 0, 1, 1, 1, -1]
    assert status.jobs["events"].tolist() == [30, 4, 2, 2, 4, 2, 2, 8]
    assert status.jobs["events_out"].tolist() == [30, 4, 2, 2, 4, 2, 2, 8]
    assert status.jobs["sample"].tolist() == ["", *["whss"] * 6, ""]
    assert status.event_files["batch"].tolist() == [1, 2]
    outputs = [Path(path) for path in status.jobs["output"]]
    assert outputs[0] == done.directory / "library/minbias.30.hits.txt"
    assert outputs[-1] == done.directory / "train/train.txt"
    assert done.files("train") == [
        *(f"304795.4.{batch}.2.{skip}.train.txt" for batch in (1, 2) for skip in (0, 2)),
        "train.txt",
    ]
    for path in [*outputs, *(done.directory / "train").iterdir()]:
        assert path.stat().st_mode & 0o222 == 0
    assert sorted(merged(done)) == list(range(1, 9))
    # Each of the others was told where the library is.
    assert {path.read_text() for path in (done.directory / "aod").iterdir()} == {"30\n"}
    answer = place.hvmpi("verify")
    assert (answer.code, "12 files" in answer.out) == (0, True), answer.out


def test_nothing_starts_before_what_it_waits_for_is_published(place: Place) -> None:
    assert place.mpirun(3, *TWO_BATCHES, *PILE_UP, *training()).code == 0
    run = place.run()
    kinds = run.ledger().jobs["kind"].tolist()
    published: list[int] = []
    generated_beside_the_library = False
    for entry in run.entries(journal.Started, journal.Published):
        if isinstance(entry, journal.Published):
            published.append(entry.job)
        elif kinds[entry.job] == Kind.RECONSTRUCTION:
            assert kinds.index(Kind.LIBRARY) in published
        elif kinds[entry.job] == Kind.MERGE:
            assert len(published) == len(kinds) - 1
        elif kinds[entry.job] == Kind.GENERATION:
            generated_beside_the_library |= 0 not in published
    assert generated_beside_the_library
    assert place.hvmpi("verify").code == 0


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (training(), {"generation", "reconstruction", "merge"}),
        (["--keep=evnt,aod", *training()], {"generation", "reconstruction"}),
        (noop("true"), {"generation", "reconstruction"}),
        (["--engine=noop", *PILE_UP], {"library", "generation", "reconstruction"}),
    ],
    ids=["training files", "they are not kept", "the engine makes none", "pile-up alone"],
)
def test_a_campaign_has_the_jobs_that_it_needs(
    place: Place, words: list[str], kinds: set[str]
) -> None:
    if "{library}" in " ".join(words):
        words = [word.replace("{library}", "/dev/null") for word in words]
    assert place.hvmpi(*TWO_BATCHES, *words).code == 0
    assert set(place.run().status().jobs["kind"]) == kinds
    assert place.hvmpi("verify").code == 0


def test_event_files_alone_need_neither(place: Place) -> None:
    assert place.hvmpi("generate", "-b4", "-n2", *PILE_UP, *training()).code == 0
    assert set(place.run().status().jobs["kind"]) == {"generation"}
    assert not (place.run().directory / "library").exists()


def test_nor_does_a_campaign_without_a_good_event_file(place: Place) -> None:
    place.event_file("bad", [])
    assert place.hvmpi("reconstruct", "--evnt-dir=evnt", *PILE_UP, *training()).code == 1
    assert len(place.run().status().jobs) == 0


def test_foreign_event_files(place: Place) -> None:
    place.event_file("a", [7, 8, 9])
    place.event_file("b", [])
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=2", *PILE_UP, *training())
    assert place.hvmpi(*words).code == 1
    run = place.run()
    jobs = run.status().jobs
    assert jobs["kind"].tolist() == ["library", "reconstruction", "reconstruction", "merge"]
    assert set(jobs["state"]) == {"done"}
    assert merged(run) == [7, 8, 9]
    assert run.files("train") == ["a.2.0.train.txt", "a.2.2.train.txt", "train.txt"]


def test_samples_have_one_training_file_together(place: Place) -> None:
    text = "".join(f"[[sample]]\nrun-number = {run}\nbatch-size = 3\nnum-batches = 1\n"
                   for run in (7, 8))  # fmt: skip
    (place.root / "two.toml").write_text(text)
    assert place.hvmpi("-c", "two.toml", *PILE_UP, *training()).code == 0
    assert merged(place.run()) == [1, 2, 3, 1, 2, 3]
    assert place.run().ledger().jobs["kind"].tolist().count(Kind.MERGE) == 1
    assert place.hvmpi("verify").code == 0


# What fails


def test_the_merge_waits_for_a_rerun_where_jobs_failed_for_good(place: Place) -> None:
    assert place.hvmpi(*TWO_BATCHES, *PILE_UP, *until_mended(place)).code == 1
    run = place.run()
    jobs = run.status().jobs
    reason = "1 job has no training file: rerun, or hvmpi merge what is there"
    assert (jobs["state"][-1], jobs["outcome"][-1]) == ("failed", "bad_input")
    assert (jobs["attempts"][-1], jobs["reason"][-1]) == (0, reason)
    assert not (run.directory / "train/train.txt").exists()
    assert f"not done: job 7 (merge, 8 events) is failed: {reason}" in place.hvmpi("verify").out
    assert f"1 jobs could not start: {reason}" in place.hvmpi("diagnose").flat
    assert f"not started: 1 x {reason} (job 7)" in place.hvmpi("status").flat
    assert "2 of 8 jobs are not done" in place.hvmpi("run", "-r", run.timestamp, "-t").out
    assert place.hvmpi("rerun", run.timestamp, "--max-attempts=1").code == 1
    assert run.status().jobs["attempts"][-1] == 0
    (place.root / "mended").touch()
    assert place.hvmpi("rerun", run.timestamp).code == 0
    # The library, and whatever else was done, is not made again.
    assert run.status().jobs["attempts"].tolist() == [1, 1, 4, 1, 1, 1, 1, 1]
    assert sorted(merged(run)) == list(range(1, 9))
    assert place.hvmpi("verify").code == 0
    assert place.hvmpi("diagnose").out.count("could not start") == 0


def test_a_merge_that_finds_too_little_fails(place: Place) -> None:
    script = training(but='[ "$1" != 2 ] || { touch "$5" "$7"; exit 0; }')
    assert place.hvmpi(*TWO_BATCHES, *PILE_UP, *script).code == 1
    run = place.run()
    jobs = run.status().jobs
    assert jobs["state"].tolist() == [*["done"] * 7, "failed"]
    assert jobs["attempts"][-1] == 2
    assert "the training files hold 6 events of 8" in run.log(7, 1)
    faults = [line for line in place.hvmpi("verify").out.splitlines() if line[:7] == "fault: "]
    assert len(faults) == 1
    assert "304795.4.1.2.0.train.txt" in faults[0]


@pytest.mark.parametrize("share", range(6))
def test_a_master_may_die_anywhere(place: Place, done: RunOnDisk, share: int) -> None:
    """The journal is cut behind a line; what was brought or published since is there."""
    lines = done.journal.read_bytes().splitlines(keepends=True)
    entries = done.entries()
    plan = next(i for i, e in enumerate(entries) if isinstance(e, journal.PlanComplete))
    for last in range(plan + 1 + share, len(lines), 6):
        run = RunOnDisk(place.run_dir / f"202001010000{last:02d}")
        shutil.copytree(done.directory, run.directory)
        run.journal.write_bytes(b"".join(lines[:last]))
        entry = entries[last - 1]
        if isinstance(entry, journal.Accepted):
            for _, part, path, *_ in entry.outputs:
                (run.directory / path).rename(run.directory / part)
        assert place.hvmpi("rerun", run.timestamp).code == 0
        assert accepted_once(run)
        assert sorted(merged(run)) == list(range(1, 9))
        assert place.hvmpi("verify", run.timestamp).code == 0


# A library that was made before


@pytest.fixture
def library(place: Place) -> Path:
    path = place.root / "minbias.30.hits.txt"
    path.write_text("".join(f"{number}\n" for number in range(1, 31)))
    return path


def test_a_library_made_before_is_used(place: Place, library: Path) -> None:
    words = ("--pileup-mu=2", f"--pileup-library={library}", *training())
    assert place.hvmpi(*TWO_BATCHES, *words).code == 0
    run = place.run()
    assert run.status().jobs["kind"].tolist() == KINDS[1:]
    (listed,) = run.entries(journal.LibraryListed)
    assert (listed.path, listed.events) == (str(library), 30)
    assert not (run.directory / "library").exists()
    assert {path.read_text() for path in (run.directory / "aod").iterdir()} == {"30\n"}
    assert place.hvmpi("verify").code == 0
    library.write_text(library.read_text().replace("30", "31"))
    answer = place.hvmpi("verify")
    assert answer.code == 1
    assert f"fault: pileup-library {library} was changed" in answer.out
    library.unlink()
    assert f"fault: pileup-library {library} is missing" in place.hvmpi("verify").out


def test_a_rerun_takes_no_other_library(place: Place, library: Path) -> None:
    words = ("--pileup-mu=2", f"--pileup-library={library}", *until_mended(place))
    assert place.hvmpi(*TWO_BATCHES, *words).code == 1
    run = place.run()
    text = library.read_text()
    library.write_text(text + "31\n")
    before = run.journal.read_bytes()
    answer = place.hvmpi("rerun", run.timestamp)
    assert answer.code == 2
    for word in (str(library), "SHA-256", run.timestamp):
        assert word in answer.complaint
    assert run.journal.read_bytes() == before
    library.write_text(text)
    (place.root / "mended").touch()
    assert place.hvmpi("rerun", run.timestamp).code == 0


# What people see


def test_the_plan_says_how_often_library_events_repeat(place: Place, library: Path) -> None:
    before = place.tree()
    answer = place.hvmpi("plan", "-b4", "-n2", "--job-size=2", *PILE_UP, *training())
    assert answer.code == 0
    assert (
        "2 event files, 8 events; 2 generation jobs, 4 reconstruction jobs, "
        "1 library job, 1 merge job" in answer.out
    )
    assert "a library of 30 events" in answer.out
    assert "overlaid about 0.533 times in the events' own crossings" in answer.out
    rows = [line.split() for line in answer.out.splitlines() if line.strip()[:1].isdigit()]
    assert [row[:2] for row in rows if row[1] in ("library", "merge")] == [
        ["0", "library"],
        ["7", "merge"],
    ]
    words = ["--pileup-mu=3", f"--pileup-library={library}", "-n3", "-b40"]
    answer = place.hvmpi("plan", *words, *training())
    assert f"from {library} of 30 events" in answer.out
    assert "overlaid about 12 times" in answer.out
    assert place.tree() == before


@pytest.mark.parametrize(("job", "step"), [(0, "library"), (7, "merge")])
def test_the_plan_prints_their_commands(place: Place, job: int, step: str) -> None:
    words = ("-b4", "-n2", "--job-size=2", *PILE_UP, f"--job={job}")
    answer = place.hvmpi("plan", *words, *training())
    assert f"commands of job {job} ({step}):" in answer.out
    assert f" -m hvmpi.noop {step} " in answer.out.splitlines()[-1]


def test_clean_all_removes_what_they_made(place: Place) -> None:
    words = (*TWO_BATCHES, *PILE_UP, *training(), "--aod-dir=products")
    assert place.hvmpi(*words).code == 0
    run = place.run()
    products = place.root / "products" / run.timestamp
    assert (products / "library/minbias.30.hits.txt").exists()
    assert (products / "train/train.txt").exists()
    assert Path(run.status().jobs["output"][-1]) == products / "train/train.txt"
    assert place.hvmpi("verify").code == 0
    assert place.hvmpi("clean", "--all", "--yes").code == 0
    assert (place.runs(), products.exists()) == ([], False)


def test_a_stray_part_of_theirs_is_found_and_removed(place: Place) -> None:
    assert place.hvmpi(*TWO_BATCHES, *PILE_UP, *until_mended(place)).code == 1
    run = place.run()
    strays = [
        run.directory / "library/.minbias.30.hits.txt.attempt2.part",
        run.directory / "train/.train.txt.attempt1.part",
    ]
    for stray in strays:
        stray.write_text("half")
    answer = place.hvmpi("verify")
    assert all(stray.name in answer.out for stray in strays)
    (place.root / "mended").touch()
    assert place.hvmpi("rerun", run.timestamp).code == 0
    assert not any(stray.exists() for stray in strays)


def _tamper(run: RunOnDisk, text: str) -> None:
    """Change the merged file, and the journal with it."""
    final = run.directory / "train/train.txt"
    (entry,) = [e for e in run.entries(journal.Accepted) if e.outputs[0][0] == "merged"]
    final.unlink()
    final.write_text(text)
    book = run.journal.read_text()
    book = book.replace(entry.outputs[0][4], hashlib.sha256(text.encode()).hexdigest())
    size = f'"train/train.txt",{entry.outputs[0][3]}'
    assert size in book
    run.journal.write_text(book.replace(size, f'"train/train.txt",{len(text)}'))


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ("1 2 3 4 5 6 7", "lacks 1 events, the first is event 8 of run 0"),
        ("1 2 3 4 5 6 7 8 8", "holds too much: 1 events, the first is event 8 of run 0"),
        ("1 2 3 4 5 6 7 9", "holds too much: 1 events, the first is event 9 of run 0"),
        ("1 2", "lacks 6 events, the first is event 3 of run 0"),
    ],
)
def test_verify_compares_the_merged_file_with_the_jobs(
    place: Place, done: RunOnDisk, numbers: str, fault: str
) -> None:
    _tamper(done, numbers.replace(" ", "\n") + "\n")
    answer = place.hvmpi("verify")
    assert answer.code == 1
    assert any("train/train.txt" in line and fault in line for line in answer.out.splitlines())
