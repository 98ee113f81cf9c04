"""The commands of steps, and that ``plan`` prints just them."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hvmpi.athena.chain import read_chain
from hvmpi.athena.commands import Command, command_of, product_of
from hvmpi.athena.seeds import generation_seed, job_seed
from hvmpi.athena.tags import PLACEHOLDERS
from hvmpi.campaign.jobs import EventFile, Job, Kind
from hvmpi.engine import Inputs
from hvmpi.settings import load

from ..conftest import Place
from .campaigns import CONFIGS, config, tag
from .site import StandIn

MC15 = ("mc15_gen", "s2608", "r7773", "p2952")
NASTY = ["a 'b' \"c\" $(id) `id` \\ \n;{{x}}!", "all:x[0]='y';z=\"w\"", "\ttab", ""]


def printed(out: str) -> list[list[str]]:
    """Read the commands that were printed as a shell does, each of one step."""
    found = []
    for part in out.split("\n# ")[1:]:
        text = part.partition("\n")[2].partition("\n\ncommands of job")[0]
        found.append(shlex.split(text))
    return found


# What plan prints


def test_plan_prints_the_commands_that_the_transforms_get(place: Place, standin: StandIn) -> None:
    tag(
        place,
        "mine",
        arguments={"preExec": [*NASTY], "CA": True},
    )
    settings: dict[str, Any] = {"batch_size": 4, "num_batches": 1, "job_size": 2, "keep": ["hits"]}
    chosen = config(place, standin, ["mc23_gen", "mine"], job_config="304795", **settings)
    answer = place.hvmpi("plan", "run", "-c", chosen)
    assert answer.code == 0, answer.err
    generation, simulation = printed(answer.out)
    standin.release("23.6.26")
    assert place.hvmpi("run", "-c", chosen).code == 0
    called = [[call.transform, *call.argv] for call in standin.calls()]
    own = str(place.run().timestamp)
    assert generation == called[0]
    assert [word.replace("TIMESTAMP", own) for word in simulation] == called[1]
    assert called[1][called[1].index("--preExec") + 1].endswith("{x}!")


@pytest.mark.parametrize("name", ["mc15_whss", "mc23_hss"])
def test_plan_of_a_shipped_config_needs_no_athena(
    place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise AssertionError("nothing is to be run")

    monkeypatch.setattr(subprocess, "Popen", gone)
    answer = place.hvmpi("plan", "run", "-c", CONFIGS / f"{name}.toml")
    assert answer.code == 0, answer.err
    assert place.tree() == {}
    commands = printed(answer.out)
    assert [words[0] for words in commands] == {
        "mc15_whss": ["Generate_tf.py", "Sim_tf.py", "Reco_tf.py", "Reco_tf.py"],
        "mc23_hss": ["Gen_tf.py", "Sim_tf.py", "Reco_tf.py", "Derivation_tf.py"],
    }[name]
    # One line a command, whatever the width of the terminal.
    for words in commands:
        assert f"\n{shlex.join(words)}\n" in answer.out
    assert "# s2608: asetup AtlasProduction,19.2.3.7, in " in answer.out or name != "mc15_whss"


def test_plan_shows_the_job_that_is_asked_for(place: Place, standin: StandIn) -> None:
    settings: dict[str, Any] = {
        "batch_size": 100,
        "num_batches": 2,
        "keep": ["hits"],
        "job_config": "304795",
    }
    chosen = config(place, standin, ["mc15_gen", "s2608"], **settings)
    out = place.hvmpi("plan", "run", "-c", chosen, "--job=5").out
    (words,) = printed(out)
    assert {"--skipEvents=50", "--maxEvents=50"} <= set(words)
    assert any(word.endswith("304795.100.2.evnt.pool.root") for word in words)
    answer = place.hvmpi("plan", "run", "-c", chosen, "--job=6")
    assert answer.code == 2
    assert "jobs 0 to 5" in answer.complaint


def test_what_plan_notes_is_no_line_to_be_run(place: Place, standin: StandIn) -> None:
    settings: dict[str, Any] = {
        "job_config": "304795",
        "keep": ["hits"],
        "tmp_dir": "two\ntouch harmed",
    }
    chosen = config(place, standin, ["mc15_gen", "s2608"], **settings)
    out = place.hvmpi("plan", "run", "-c", chosen).out
    assert not any(line.startswith("touch harmed") for line in out.splitlines())


# One command


FILE = EventFile("evnt/304795.10.3.evnt.pool.root", "whss", 304795, 3, 10, 21, "304795.10.3")


def command(place: Place, name: str, *words: str, tags: tuple[str, ...] = MC15) -> Command:
    """Make the command of a step for a job of events 24 to 26."""
    given = [f"--tags={one}" for one in tags]
    samples = ["--job-config=hss-runner.py", "--run-number=304795", *words]
    (place.root / "c.toml").touch()
    settings = load("run", ["-c", "c.toml", "--engine=athena", "--keep=daod", *given, *samples])
    chain = read_chain(settings)
    one = chain.tag(name)
    kind = Kind.GENERATION if one.is_generation else Kind.RECONSTRUCTION
    skip, events = (0, 10) if one.is_generation else (3, 3)
    job = Job(
        number=7,
        kind=kind,
        event_file=FILE,
        attempt=1,
        skip_events=skip,
        first_event=21 + skip,
        events=events,
        job_size=3,
    )
    inputs = Inputs(place.root / FILE.path, None, place.root)
    return command_of(one, job, chain, inputs, place.root / "tmp", settings)


def test_a_generation_is_told_of_its_batch(place: Place) -> None:
    made = command(place, "mc15_gen")
    name, seed, *rest = made.argv
    assert made.input is None
    assert [name, seed, *rest] == [
        "Generate_tf.py",
        "--outputEVNTFile=304795.10.3.evnt.pool.root",
        "--jobConfig=hss-runner.py",
        "--maxEvents=10",
        "--runNumber=304795",
        "--firstEvent=21",
        "--ecmEnergy=13000",
        f"--randomSeed={generation_seed(1, 304795, 3)}",
    ]
    assert made.copied == (place.root / "hss-runner.py",)
    assert [one.path.name for one in made.outputs] == ["304795.10.3.evnt.pool.root"]


def test_steps_pass_files_on(place: Place) -> None:
    tmp = place.root / "tmp"
    stem = "304795.10.3"
    before = place.root / FILE.path
    for name, kind, product in (
        ("s2608", "HITS", "hits"),
        ("r7773", "AOD", "aod"),
        ("p2952", "DAOD_EXOT15", "daod"),
    ):
        made = command(place, name)
        assert made.input == before
        assert made.argv[1].endswith(f"={before}")
        # The job options are the generation's.
        assert made.copied == ()
        (output,) = made.outputs
        assert output.product == product_of(kind) == product
        assert output.path == tmp / name / output.name
        assert output.name.startswith("DAOD_EXOT15." if product == "daod" else stem)
        before = output.path
    words = command(place, "p2952").argv
    assert f"--outputDAODFile={output.name.removeprefix('DAOD_EXOT15.')}" in words
    assert not any("outputDAOD_EXOT15File" in word for word in words)


def test_only_the_first_step_is_told_which_events(place: Place) -> None:
    assert command(place, "s2608").argv[-2:] == ("--skipEvents=3", "--maxEvents=3")
    for name in ("r7773", "p2952"):
        assert not any(word.startswith(("--skip", "--max")) for word in command(place, name).argv)


def test_a_tag_may_say_itself_where_the_events_go(place: Place) -> None:
    tag(place, "mine", arguments={"maxEvents": ["EVNTtoHITS:{max_events}", "x:2"]})
    made = command(place, "mine", "--keep=hits", tags=("mc15_gen", "mine"))
    assert made.argv[3:] == ("--maxEvents", "EVNTtoHITS:3", "x:2", "--skipEvents=3")


def test_formats_share_an_argument_and_files_of_their_own_do_not(place: Place) -> None:
    tag(
        place,
        "both",
        transform="Derivation_tf.py",
        output=["DAOD_PHYS", "DAOD_LLP1"],
        arguments={"formats": ["PHYS", "LLP1"]},
    )
    made = command(place, "both", tags=("mc15_gen", "both"))
    assert [word for word in made.argv if "output" in word] == [
        "--outputDAODFile=304795.10.3.3.3.pool.root"
    ]
    assert [one.name.partition(".")[0] for one in made.outputs] == ["DAOD_PHYS", "DAOD_LLP1"]
    tag(place, "direct", transform="Reco_tf.py", output=["DAOD_IDTIDE", "DAOD_TLA"])
    made = command(place, "direct", tags=("mc15_gen", "direct"))
    given = [word.partition("=")[2] for word in made.argv if "output" in word]
    assert given == [one.name for one in made.outputs] == [one.path.name for one in made.outputs]
    assert len(set(given)) == 2


def test_every_placeholder_is_filled(place: Place) -> None:
    arguments = {"preExec": [f"{name}={{{name}}}" for name in PLACEHOLDERS]}
    tag(place, "mine", arguments=arguments, cores=4, environment={"MINE": "{{x}} {job}"})
    sample = (
        "--name=mine",
        "--process=whss",
        "--m-phi=125.0001234",
        "--m-s=55",
        "--ctau=1234567.8",
    )
    made = command(place, "mine", *sample, "--seed=5", tags=("mc15_gen", "mine"))
    at = made.argv.index("--preExec")
    found = dict(word.split("=", 1) for word in made.argv[at + 1 : at + 1 + len(PLACEHOLDERS)])
    assert found.pop("seed") == str(job_seed(5, 304795, 24, "mine"))
    assert found == {
        "job": "8",
        "first_event": "24",
        "max_events": "3",
        "skip_events": "3",
        "run_number": "304795",
        "batch": "3",
        "job_config": "hss-runner.py",
        "cores": "4",
        "sample": "whss",
        "process": "whss",
        "m_phi": "125.0001234",
        "m_s": "55",
        "ctau": "1234567.8",
    }
    assert made.environment == {"MINE": "{x} 8"}


@pytest.mark.parametrize(("given", "copied"), [("304795", False), ("jo", False), ("a.py", True)])
def test_job_options_are_a_number_a_directory_or_a_file(
    place: Place, given: str, copied: bool
) -> None:
    made = command(place, "mc15_gen", f"--job-config={given}")
    path = given if given.isdecimal() else str(place.root / given)
    assert f"--jobConfig={given if copied else path}" in made.argv
    assert made.copied == ((Path(path),) if copied else ())
