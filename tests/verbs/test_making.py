"""The verbs that make something without a run: job, init; and doctor."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import h5py
import pytest

from hvmpi.hosts import read_hostfile
from hvmpi.options import BY_NAME
from hvmpi.settings import load
from tests.conftest import Place, noop, shell


def numbers(path: Path) -> list[int]:
    with h5py.File(path) as file:
        return file["events"]["event_number"].tolist()


@pytest.fixture
def event_file(event_files: Path) -> Path:
    return event_files / "304794.3.2.evnt.hepmc3"


def test_one_job_by_hand(place: Place, event_file: Path) -> None:
    (place.root / "aod").mkdir()
    words = ["-n", "1", "-s", "1", "--output-dir=aod", "--log-file=job.log", "--tmp-dir=."]
    answer = place.hvmpi("job", event_file, *words)
    assert answer.code == 0
    made, train = sorted((place.root / "aod").iterdir())
    assert answer.out == f"aod/{made.name}\naod/{train.name}\n"
    assert made.name == "304794.3.2.1.1.aod.h5"
    assert train.name == "304794.3.2.1.1.train.h5"
    assert numbers(made) == [5]
    assert (made.stat().st_mode | train.stat().st_mode) & 0o222 == 0
    assert "1 events" in (place.root / "job.log").read_text()
    assert sorted(path.name for path in place.root.iterdir()) == ["aod", "job.log"]
    before = place.tree()
    again = place.hvmpi("job", event_file, *words[:5])
    assert again.code == 2
    assert made.name in again.complaint
    assert set(place.tree()) == set(before)


@pytest.mark.parametrize("words", [["-s", "3"], ["-s", "-1"], ["-n", "0"], ["-n", "-2"]])
def test_a_job_of_no_events_is_refused(place: Place, event_file: Path, words: list[str]) -> None:
    before = place.tree()
    answer = place.hvmpi("job", event_file, *words)
    assert answer.code == 2
    assert words[0] in answer.complaint
    assert place.tree() == before


def test_a_job_of_a_bad_event_file_is_refused(place: Place) -> None:
    (place.root / "bad.hepmc3").write_text("prose\n")
    answer = place.hvmpi("job", "bad.hepmc3")
    assert answer.code == 2
    assert "bad.hepmc3" in answer.complaint


def test_a_job_that_fails_says_so(place: Place) -> None:
    event_file = place.event_file("a", [1, 2])
    answer = place.hvmpi("job", event_file, *shell("echo a wire is loose; exit 3"))
    assert answer.code == 1
    assert "code 3" in answer.complaint
    assert "a wire is loose" in answer.out


def test_one_job_by_hand_with_pile_up_brings_its_training_file(place: Place) -> None:
    event_file = place.event_file("a", [1, 2])
    library = place.root / "minbias"
    library.write_text("1\n" * 10)
    words = noop("/bin/sh", "-c", 'wc -l < "$1" > "$2"', "sh", "{library}", "{train}")
    answer = place.hvmpi("job", event_file, "--pileup-mu=1", f"--pileup-library={library}", *words)
    assert answer.code == 0
    assert (place.root / "a.2.0.train.txt").read_text() == "10\n"


BATCH = {"slurm": ["slurm.sh"], "htcondor": ["htcondor.sh", "htcondor.sub"], "pbs": ["pbs.sh"]}


def test_init_writes_a_config_that_works(place: Place) -> None:
    answer = place.hvmpi("init", "my campaign")
    assert answer.code == 0
    config = place.root / "my campaign" / "campaign.toml"
    asked = load("run", ["-c", str(config)])
    assert asked.samples[0].process == "gghss"
    assert place.hvmpi("plan", "-c", config).code == 0
    # What stands behind a # is a key that can be used as it stands, where it has a default.
    told, named = {}, set()
    for block in config.read_text().split("\n\n")[1:]:
        lines = block.splitlines()
        (first,) = [n for n, line in enumerate(lines) if re.match(r"(# )?[a-z-]+ =", line)]
        assert first > 0, block
        text = "\n".join(line.removeprefix("# ") for line in lines[first:])
        name = text.partition(" =")[0]
        named.add(name)
        told |= {} if text.endswith(" =") else tomllib.loads(text)
        default = BY_NAME[name].default
        if lines[first].startswith("# "):
            assert told.get(name, default) == (list(default) if default == () else default) or (
                told[name] == list(default)
            )
    assert named == set(BY_NAME)
    assert told["job-timeout"] == 86400.0
    before = place.tree()
    again = place.hvmpi("init", "my campaign")
    assert again.code == 2
    assert "campaign.toml" in again.complaint
    assert place.tree() == before


@pytest.mark.parametrize("system", BATCH)
def test_init_writes_what_is_handed_to_a_batch_system(place: Place, system: str) -> None:
    answer = place.hvmpi("init", "it's mine", "--batch", system)
    assert answer.code == 0
    directory = place.root / "it's mine"
    names = sorted(path.name for path in directory.iterdir())
    assert names == sorted(["campaign.toml", "hostfile", *BATCH[system]])
    assert read_hostfile(directory / "hostfile")
    texts = {name: (directory / name).read_text() for name in BATCH[system]}
    assert any("campaign.toml" in text for text in texts.values())
    for name, text in texts.items():
        assert "configs/" not in text
        assert os.access(directory / name, os.X_OK) == name.endswith(".sh")
        if name.endswith(".sh"):
            subprocess.run(["bash", "-n", directory / name], check=True, timeout=60)
    # The commands to type next are those of a shell, and begin with the way there.
    head, *commands = answer.out.partition("next:\n")[2].splitlines()
    assert shlex.split(head) == ["cd", "it's mine"]
    assert "python -m hvmpi plan -c campaign.toml" in commands[0]
    assert shlex.split(commands[-1])[-1] in BATCH[system]


@pytest.mark.parametrize("there", ["campaign.toml", "hostfile", "slurm.sh"])
def test_init_overwrites_nothing(place: Place, there: str) -> None:
    (place.root / "mine").mkdir()
    (place.root / "mine" / there).write_text("mine")
    before = place.tree()
    answer = place.hvmpi("init", "mine")
    assert answer.code == 2
    assert there in answer.complaint
    assert place.tree() == before


def test_init_needs_a_directory_and_a_batch_system_that_it_knows(place: Place) -> None:
    (place.root / "file").touch()
    for words in (["file"], ["mine", "--batch", "lsf"], []):
        answer = place.hvmpi("init", *words)
        assert answer.code == 2
        assert answer.complaint
    assert set(place.tree()) == {"file"}


def test_doctor_finds_what_is_needed(place: Place) -> None:
    answer = place.hvmpi("doctor")
    rows = {line.split("  ")[0]: line for line in answer.out.splitlines()}
    for check in ("python", "MPI library", "mpirun", "engine openchain", "run-dir", "cores"):
        assert " ok " in rows[check], rows[check]
    assert place.tree() == {}


def test_doctor_finds_a_fault(place: Place) -> None:
    answer = place.hvmpi("doctor", "--engine=noop", "--run-dir=/proc/nowhere")
    assert answer.code == 1
    (row,) = [line for line in answer.out.splitlines() if line.startswith("run-dir")]
    assert "FAULT" in row
