"""Bad input: refused with one sentence and nothing written, put aside, or simply taken."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from hvmpi.campaign import journal
from tests.conftest import Place, noop, shell

CONFIG = 'engine = "noop"\nbatch-size = 3\nnum-batches = 2\njob-size = 2\n'

COMMAND_LINES: dict[str, tuple[list[str], list[str]]] = {
    "unknown option": (["--jobsize=3"], ["--jobsize", "'--job-size'"]),
    "unknown option of a verb": (["generate", "--colour"], ["--colour"]),
    "abbreviated option": (["--num-batch=3"], ["--num-batch", "'--num-batches'"]),
    "unknown verb": (["reconstuct"], ["reconstuct", "'reconstruct'"]),
    "two verbs": (["run", "generate"], ["'generate'"]),
    "job-size 0": (["--job-size=0"], ["job-size", "at least 1", "0"]),
    "job-size -5": (["--job-size=-5"], ["job-size", "at least 1", "-5"]),
    "job-size ten": (["--job-size=ten"], ["job-size", "whole number", "'ten'"]),
    "job-size 2.5": (["--job-size=2.5"], ["job-size", "whole number", "'2.5'"]),
    "job-size without a value": (["--job-size"], ["--job-size"]),
    "batch-size 0": (["-b", "0"], ["batch-size"]),
    "num-batches 0": (["-n", "0"], ["num-batches"]),
    "max-attempts 0": (["--max-attempts=0"], ["max-attempts"]),
    "job-timeout 0": (["--job-timeout=0"], ["job-timeout", "more than 0"]),
    "job-timeout nan": (["--job-timeout=nan"], ["job-timeout"]),
    "job-timeout inf": (["--job-timeout=inf"], ["job-timeout"]),
    "nice 20": (["--nice=20"], ["nice", "at most 19"]),
    "seed -1": (["--seed=-1"], ["seed"]),
    "ctau -1": (["--ctau=-1"], ["ctau"]),
    "pileup-mu -1": (["--pileup-mu=-1"], ["pileup-mu", "at least 0 and at most 200", "-1"]),
    "pileup-mu 201": (["--pileup-mu=201"], ["pileup-mu", "at most 200", "201"]),
    "pileup-mu nan": (["--pileup-mu=nan"], ["pileup-mu", "nan"]),
    "pileup-mu much": (["--pileup-mu=much"], ["pileup-mu", "a number", "'much'"]),
    "pileup-events 0": (["--pileup-mu=1", "--pileup-events=0"], ["pileup-events", "at least 1"]),
    "pileup-events without pile-up": (
        ["--pileup-events=500"],
        ["--pileup-events", "pileup-events is given, and pileup-mu is 0"],
    ),
    "pileup-library without pile-up": (
        ["--pileup-library=other/notes.md"],
        ["--pileup-library", "pileup-library is given, and pileup-mu is 0"],
    ),
    "pileup-library and pileup-events": (
        ["--pileup-mu=1", "--pileup-library=other/notes.md", "--pileup-events=50"],
        ["pileup-library", "pileup-events", "leave one of them out"],
    ),
    "pileup-events too few": (
        ["--pileup-mu=2.5", "--pileup-events=24"],
        ["pileup-events", "at least 25", "pileup-mu 2.5", "24"],
    ),
    "pileup-events of the default too few": (
        ["--pileup-mu=200"],
        ["pileup-events", "at least 2000", "1000"],
    ),
    "pileup-library missing": (
        ["--pileup-mu=1", "--pileup-library=gone"],
        ["pileup-library", "gone"],
    ),
    "pileup-library too small": (
        ["--pileup-mu=1", "--pileup-library=other/notes.md"],
        ["pileup-library", "notes.md", "holds 1 events", "10"],
    ),
    "a job by hand makes no library": (
        ["job", "other/notes.md", "--pileup-mu=150"],
        ["--pileup-mu 150", "--pileup-library"],
    ),
    "a job by hand without its library": (
        ["job", "other/notes.md", "--pileup-mu=1", "--pileup-library=gone"],
        ["pileup-library", "gone"],
    ),
    "unknown engine": (["--engine=atena"], ["engine", "'atena'", "openchain"]),
    "unknown process": (["--engine=openchain", "--process=gghs"], ["process", "gghs ", "gghss"]),
    "unknown run number": (["--engine=openchain", "--run-number=5"], ["5", "run"]),
    "unknown product": (["--keep=aodd"], ["keep", "'aodd'", "'aod'"]),
    "an argument too much": (["run", "more"], ["'more'"]),
    "config missing": (["-c", "no such.toml"], ["'no such.toml'", "No such file"]),
    "config is a directory": (["-c", "."], ["'.'"]),
    "evnt-dir missing": (["reconstruct", "--evnt-dir=gone"], ["evnt-dir", "gone"]),
    "evnt-dir not given": (["reconstruct"], ["--evnt-dir"]),
    "evnt-dir empty": (["reconstruct", "--evnt-dir=empty"], ["empty", "no event files"]),
    "evnt-dir without event files": (["reconstruct", "--evnt-dir=other"], ["no event files"]),
    "evnt-dir is a file": (["reconstruct", "--evnt-dir=other/notes.md"], ["notes.md"]),
    "run-dir below a file": (["--run-dir=other/notes.md/runs"], ["run-dir", "notes.md"]),
    "run-dir in the kernel": (["--run-dir=/proc/runs"], ["run-dir", "/proc/runs"]),
    "rerun of no run": (["rerun", "20200101000000"], ["20200101000000"]),
    "rerun as an option": (["-r", "20200101000000"], ["20200101000000"]),
    "rerun of a path": (["rerun", "../other"], ["../other"]),
    "rerun of nothing": (["rerun"], ["TIMESTAMP"]),
    "status of no run": (["status", "20200101000000"], ["20200101000000"]),
    "verify of no run": (["verify"], ["no run"]),
    "plan of no verb": (["plan", "clean"], ["clean"]),
    "plan of no job": (["plan", "--job=99999"], ["99999"]),
    "job of no file": (["job", "gone.evnt.txt"], ["gone.evnt.txt"]),
}

CONFIGS: dict[str, tuple[str, list[str]]] = {
    "not TOML": ("engine = noop", ["TOML", "line 1"]),
    "a key twice": ("seed = 1\nseed = 2", ["TOML"]),
    "misspelt key": (CONFIG + "jobsize = 3", ["line 5", "'jobsize'", "'job-size'"]),
    "underscore": (CONFIG + "run_number = 3", ["line 5", "'run_number'", "'run-number'"]),
    "unknown key": (CONFIG + "colour = 3", ["line 5", "'colour'"]),
    "unknown table": (CONFIG + "[jobs]\nsize = 3", ["line 5", "'jobs'"]),
    "misspelt key of a sample": (
        'engine = "noop"\n[[sample]]\nprocess = "qcd"\n[[sample]]\nproces = "qcd"',
        ["line 4", "'proces'", "'process'"],
    ),
    "top key in a sample": (
        'engine = "noop"\n[[sample]]\njob-size = 3',
        ["line 2", "'job-size'", "sample"],
    ),
    "sample key beside samples": (
        'engine = "noop"\nprocess = "qcd"\n[[sample]]\nprocess = "qcd"',
        ["line 2", "process", "[[sample]]"],
    ),
    "a sample that is no table": ("sample = 3", ["line 1", "[[sample]]"]),
    "a sample that is one table": ("[sample]\nprocess = 'qcd'", ["line 1", "[[sample]]"]),
    "a text for a number": ('job-size = "ten"', ["line 1", "job-size", "'ten'"]),
    "a number in quotes": ('job-size = "10"', ["line 1", "job-size", "'10'"]),
    "a truth for a number": ("job-size = true", ["line 1", "job-size", "True"]),
    "a fraction for a number": ("job-size = 2.5", ["line 1", "job-size", "2.5"]),
    "job-size 0": ("\njob-size = 0", ["line 2", "job-size", "at least 1"]),
    "job-size -5": ("job-size = -5", ["line 1", "job-size", "at least 1"]),
    "pileup-mu -1": ("pileup-mu = -1", ["line 1", "pileup-mu", "at least 0"]),
    "pileup-library without pile-up": (
        'engine = "noop"\npileup-library = "other"',
        ["line 2", "pileup-library is given, and pileup-mu is 0"],
    ),
    "a number for a text": ("engine = 3", ["line 1", "engine"]),
    "a number for a truth": ("fused = 1", ["line 1", "fused", "true or false"]),
    "a text for a list": ('keep = "aod"', ["line 1", "keep", "list"]),
    "a number in a list": ("pythia = [3]", ["line 1", "pythia", "list"]),
    "unknown engine": ('engine = "nop"', ["line 1", "engine", "'nop'", "'noop'"]),
    "unknown product": ('keep = ["aot"]', ["line 1", "keep", "'aot'"]),
    "wrong value in a sample": (
        'engine = "noop"\n[[sample]]\nbatch-size = 0',
        ["line 2", "batch-size", "at least 1"],
    ),
    "one run number twice": (
        'engine = "noop"\n[[sample]]\nrun-number = 7\n[[sample]]\nrun-number = 7',
        ["run number 7", "run-number"],
    ),
}


@pytest.fixture
def furnished(place: Place) -> Place:
    """A place with a directory that is empty and one that holds other files."""
    (place.root / "empty").mkdir()
    (place.root / "other").mkdir()
    (place.root / "other" / "notes.md").write_text("notes\n")
    return place


@pytest.mark.parametrize(("words", "named"), COMMAND_LINES.values(), ids=COMMAND_LINES)
def test_a_wrong_command_line_is_refused(
    furnished: Place, words: list[str], named: list[str]
) -> None:
    before = furnished.tree()
    if "--engine" not in " ".join(words) and words[0] not in ("reconstuct", "status", "verify"):
        words = [*words, "--engine=noop"]
    answer = furnished.hvmpi(*words)
    assert answer.code == 2
    for word in named:
        assert word in answer.complaint
    assert furnished.tree() == before


@pytest.mark.parametrize(("text", "named"), CONFIGS.values(), ids=CONFIGS)
def test_a_wrong_config_is_refused(place: Place, text: str, named: list[str]) -> None:
    (place.root / "my campaign.toml").write_text(text)
    before = place.tree()
    answer = place.hvmpi("-c", "my campaign.toml")
    assert answer.code == 2
    assert "my campaign.toml" in answer.complaint or "run number" in answer.complaint
    for word in named:
        assert word in answer.complaint
    assert place.tree() == before


def test_a_config_that_is_no_text_is_refused(place: Place) -> None:
    (place.root / "my.toml").write_bytes(b"\x89HDF\xff\x00")
    answer = place.hvmpi("-c", "my.toml")
    assert answer.code == 2
    assert "my.toml" in answer.complaint


def test_a_wrong_variable_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HVMPI_JOB_SIZE", "many")
    before = place.tree()
    answer = place.hvmpi("run", "--engine=noop")
    assert answer.code == 2
    assert "HVMPI_JOB_SIZE" in answer.complaint
    assert place.tree() == before


def test_sample_options_beside_several_samples_are_refused(place: Place) -> None:
    text = 'engine = "noop"\n[[sample]]\nrun-number = 7\n[[sample]]\nrun-number = 8\n'
    (place.root / "my.toml").write_text(text)
    answer = place.hvmpi("-c", "my.toml", "--batch-size=4")
    assert answer.code == 2
    assert "--batch-size" in answer.complaint


def test_an_open_chain_that_is_not_installed_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvmpi.openchain.engine.find_spec", lambda _: None)
    answer = place.hvmpi("run", "--process=gghss", "-n1", "-b2")
    assert answer.code == 2
    assert "pip install 'hvmpi[openchain]'" in answer.complaint
    assert place.tree() == {}


def test_an_unknown_pythia_setting_is_refused(place: Place) -> None:
    before = place.tree()
    answer = place.hvmpi("run", "--process=gghss", "--pythia=Tune:pq = 21")
    assert answer.code == 2
    assert "Tune:pq" in answer.complaint
    assert place.tree() == before


def test_another_physics_option_at_a_rerun_is_refused(place: Place) -> None:
    assert place.hvmpi("run", "--engine=noop", "-n", "1", "-b", "3").code == 0
    run = place.run()
    before = place.tree()
    for option in ("--seed=7", "--batch-size=4", "--job-size=2", "--process=qcd", "--no-fused"):
        answer = place.hvmpi("rerun", run.timestamp, option)
        assert answer.code == 2
        assert option.partition("=")[0].replace("--no-", "--") in answer.complaint
    assert place.tree() == before
    assert place.hvmpi("rerun", run.timestamp, "--seed=1", "--batch-size=3").code == 0


def test_a_rerun_whose_settings_were_edited_is_refused(place: Place) -> None:
    assert place.hvmpi("run", "--engine=noop", "-n", "1", "-b", "3", *noop("false")).code == 1
    run = place.run()
    settings = run.directory / "settings.toml"
    text = settings.read_text()
    settings.write_text(text.replace("seed = 1\n", "seed = 77\n"))
    before = run.journal.read_text()
    answer = place.hvmpi("rerun", run.timestamp)
    assert answer.code == 2
    assert "settings.toml" in answer.complaint
    assert run.journal.read_text() == before
    # How it is scheduled is the user's.
    settings.write_text(text.replace("nice = 10\n", "nice = 11\n"))
    assert place.hvmpi("rerun", run.timestamp).code == 1


def test_event_files_that_share_a_number_are_refused(place: Place) -> None:
    evnt = place.event_file("first", range(1, 11)).parent
    place.event_file("second", [10, 11, 12])
    before = place.tree()
    answer = place.hvmpi("reconstruct", f"--evnt-dir={evnt}", *noop())
    assert answer.code == 2
    for word in ("first.evnt.txt", "second.evnt.txt", "event 10", "renumber"):
        assert word in answer.complaint
    assert place.tree() == before


def test_event_files_that_share_a_number_can_be_renumbered(place: Place) -> None:
    evnt = place.event_file("first", range(1, 11)).parent
    place.event_file("second", [10, 11, 12])
    words = ("reconstruct", f"--evnt-dir={evnt}", "--renumber", "-b", "4", *noop())
    assert place.hvmpi(*words).code == 0
    assert place.run().ledger().jobs["first_event"].tolist() == [1, 5, 9, 11]


def test_an_event_file_of_other_settings_is_not_overwritten(place: Place) -> None:
    words = ("generate", "--engine=noop", "-n", "2", "-b", "3", "--evnt-dir=evnt")
    assert place.hvmpi(*words).code == 0
    before = place.tree()
    answer = place.hvmpi(*words, "--seed=2")
    assert answer.code == 2
    assert "304795.3.1.evnt.txt" in answer.complaint
    assert place.tree() == before
    (place.root / "evnt/304795.3.1.evnt.txt.json").unlink()
    answer = place.hvmpi(*words)
    assert answer.code == 2
    assert "304795.3.1.evnt.txt" in answer.complaint


def test_an_event_file_of_the_same_settings_is_used_again(place: Place) -> None:
    words = ("--engine=noop", "-b", "3", "--evnt-dir=evnt")
    assert place.hvmpi("generate", *words, "-n", "2").code == 0
    assert place.hvmpi("run", *words, "-n", "3", "--job-size=2").code == 0
    jobs = place.runs()[1].status().jobs
    assert jobs["kind"].tolist().count("generation") == 1
    assert jobs["events"][jobs["kind"] == "reconstruction"].sum() == 9


# Ranks must leave, and only one may speak


@pytest.mark.parametrize("ranks", [0, 3])
@pytest.mark.parametrize(
    "words",
    [["--job-size=ten"], ["--jobsize=3"], ["reconstuct"], ["reconstruct", "--evnt-dir=gone"]],
    ids=["value", "option", "verb", "evnt-dir"],
)
def test_the_command_itself_refuses(furnished: Place, words: list[str], ranks: int) -> None:
    before = furnished.tree()
    answer = furnished.finish(furnished.start(*words, ranks=ranks))
    assert answer.code == 2
    assert "Traceback" not in answer.err + answer.out
    # mpirun says things of its own, at times in the same line.
    assert answer.err.count("hvmpi: error: ") == 1
    if not ranks:
        assert answer.complaint
    assert furnished.tree() == before


# Put aside


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _cut_the_end(path: Path) -> None:
    text = path.read_bytes()
    path.write_bytes(text[: text.rindex(b"HepMC::")])


def _write_hdf5(path: Path) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file["jobs"] = [1]


def _write_prose(path: Path) -> None:
    path.write_text("not an event in sight\n" * 50)


def _write_noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def _drop_an_event(path: Path) -> None:
    text = path.read_text()
    end = text[text.rindex("HepMC::") :]
    path.write_text(text[: text.rindex("\nE ") + 1] + end)


SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (_empty, "empty"),
    "truncated": (_truncate, "truncated|end|damaged|cut"),
    "without its end": (_cut_the_end, "truncated|end|cut"),
    "HDF5": (_write_hdf5, "HepMC3"),
    "prose": (_write_prose, "HepMC3"),
    "noise": (_write_noise, "HepMC3"),
    "an event short": (_drop_an_event, "2 events"),
}


@pytest.mark.parametrize(("spoil", "why"), SPOILERS.values(), ids=SPOILERS)
def test_a_bad_event_file_is_put_aside(
    place: Place, evnt_dir: Path, spoil: Callable[[Path], object], why: str
) -> None:
    bad = evnt_dir / "304794.3.2.evnt.hepmc3"
    (evnt_dir / "304794.3.1.evnt.hepmc3").unlink()
    spoil(bad)
    answer = place.hvmpi("reconstruct", f"--evnt-dir={evnt_dir}")
    assert answer.code == 1
    assert "Traceback" not in answer.err
    status = place.run().status()
    assert len(status.jobs) == 0
    (row,) = status.event_files
    assert row["path"] == str(bad)
    assert any(word in row["reason"] for word in why.split("|")), row["reason"]
    assert bad.name in answer.out
    assert place.hvmpi("verify").code == 1


def test_the_good_event_files_run_beside_the_bad(place: Place, evnt_dir: Path) -> None:
    _truncate(evnt_dir / "304794.3.1.evnt.hepmc3")
    shutil.copy(evnt_dir / "304794.3.2.evnt.hepmc3", evnt_dir / "good.hepmc3")
    _empty(evnt_dir / "304794.3.2.evnt.hepmc3")
    answer = place.mpirun(2, "reconstruct", f"--evnt-dir={evnt_dir}", "--job-size=2")
    assert answer.code == 1
    run = place.run()
    status = run.status()
    jobs = status.jobs[status.jobs["kind"] == "reconstruction"]
    good = [Path(path).name for path in status.event_files["path"][jobs["event_file"]]]
    assert good == ["good.hepmc3", "good.hepmc3"]
    assert sorted(status.event_files["reason"] == "") == [False, False, True]
    # What they made is merged: nothing is missing of the events that there are.
    assert status.jobs["kind"].tolist() == ["reconstruction", "reconstruction", "merge"]
    assert status.jobs["state"].tolist() == ["done"] * 3
    assert run.files("aod") == ["good.2.0.aod.h5", "good.2.2.aod.h5"]


def test_a_file_that_a_job_finds_bad_fails_all_its_jobs_at_once(place: Place) -> None:
    words = ("--process=gghss", "--run-number=304794", "-b", "3", "-n", "2", "--evnt-dir=evnt")
    assert place.hvmpi("generate", *words).code == 0
    bad = place.root / "evnt/304794.3.1.evnt.hepmc3"
    # It goes bad after the plan, which a rerun does not make again.
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=1", "--max-attempts=1")
    assert place.hvmpi(*words, "--job-timeout=0.001").code == 1
    run = place.runs()[1]
    text = bad.read_bytes()
    bad.chmod(0o644)
    bad.write_bytes(text[: len(text) // 20] + b"?" * (len(text) - len(text) // 20))
    assert place.hvmpi("rerun", run.timestamp, "--job-timeout=600").code == 1
    status = run.status()
    assert status.jobs["state"].tolist() == ["failed"] * 3 + ["done"] * 3 + ["failed"]
    assert status.jobs["outcome"].tolist() == ["bad_input"] * 3 + ["done"] * 3 + ["bad_input"]
    assert status.jobs["attempts"].tolist() == [2, 1, 1, 2, 2, 2, 0]
    assert bad.name in status.event_files["reason"][0]


# Must simply work

NAMES = ["two words", 'it\'s "quoted" $HOME `x`', "größe-ß-粒子", "-dash", "a;b&c|d*?[x]", "%s{}"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_an_event_file_works(place: Place, name: str) -> None:
    evnt = place.event_file(name, range(1, 6), folder="event files of 'März'").parent
    words = ("reconstruct", f"--evnt-dir={evnt}", "--job-size=3", *shell('cp "$3" "$4"'))
    assert place.hvmpi(*words).code == 0
    run = place.run()
    assert run.files("aod") == sorted(f"{name}.3.{skip}.aod.txt" for skip in (0, 3))
    status = run.status()
    assert status.event_files["path"].tolist() == [str(evnt / f"{name}.evnt.txt")]
    assert all(Path(path).is_file() for path in status.jobs["output"])
    assert place.hvmpi("verify").code == 0
    assert place.hvmpi("rerun", run.timestamp).code == 0


def test_any_name_works_with_real_events(place: Place, event_files: Path) -> None:
    source = event_files / "304794.3.1.evnt.hepmc3"
    evnt = place.root / "Ereignisse \"für\" 'alle'"
    evnt.mkdir()
    shutil.copy(source, evnt / "it's größer.hepmc3")
    other = source.parent / "304794.3.2.evnt.hepmc3"
    with gzip.open(evnt / "packed 粒子.hepmc3.gz", "wb") as packed:
        packed.write(other.read_bytes())
    words = ("reconstruct", f"--evnt-dir={evnt}", f"--run-dir={place.root}/läufe 1")
    assert place.hvmpi(*words).code == 0
    (run,) = (place.root / "läufe 1").iterdir()
    made = sorted(path.name for path in (run / "aod").iterdir())
    assert made == ["it's größer.50.0.aod.h5", "packed 粒子.50.0.aod.h5"]


def test_two_runs_started_in_the_same_second_have_directories_of_their_own(place: Place) -> None:
    words = ("run", "--engine=noop", "-n", "1", "-b", "3")
    started = [place.start(*words) for _ in range(3)]
    assert [place.finish(process).code for process in started] == [0, 0, 0]
    assert len(place.runs()) == 3
    for run in place.runs():
        assert run.entries(journal.RunBegun)[0].timestamp == run.timestamp
        assert place.hvmpi("verify", run.timestamp).code == 0


def test_numbers_that_hepmc3_would_believe_make_a_file_bad(place: Place, evnt_dir: Path) -> None:
    """It would ask for gigabytes, read beyond its memory, or raise an error of its own."""
    text = (evnt_dir / "304794.3.1.evnt.hepmc3").read_text()
    head, *events, end = re.split(r"\n(?=E |HepMC::Asciiv3-END)", text)
    wrong = {
        "vertex": (r"\nV -\d+ ", "\nV -2000000000 ", "'V -2000000000 "),
        "incoming": (r"\n(V -\d+ \d+ )\[\d+", r"\n\1[999999999", "[999999999"),
        "weights": (r"\nW 1\S+", "\nW" + " 1" * 200_000, "number of weights"),
    }
    for event, (name, (pattern, replacement, _)) in zip(events, wrong.items(), strict=True):
        spoilt = re.sub(pattern, replacement, event, count=1)
        assert spoilt != event
        (evnt_dir / f"{name}.hepmc3").write_text("\n".join((head, spoilt, end)))
    (evnt_dir / "304794.3.1.evnt.hepmc3").unlink()
    answer = place.hvmpi("reconstruct", f"--evnt-dir={evnt_dir}", "--job-size=3")
    assert answer.code == 1
    status = place.run().status()
    assert status.jobs["attempts"].tolist() == [1] * 4 + [0]
    jobs = {
        Path(path).stem: job
        for path, job in zip(
            status.event_files["path"][status.jobs["event_file"][:4]], status.jobs, strict=False
        )
    }
    assert jobs.pop("304794.3.2.evnt")["outcome"] == "done"
    for name, job in jobs.items():
        assert job["outcome"] == "bad_input"
        assert f"{name}.hepmc3 is damaged: event " in job["reason"]
        assert wrong[name][2] in job["reason"]
        assert "Traceback" not in place.run().log(int(job["job"]), 1)
