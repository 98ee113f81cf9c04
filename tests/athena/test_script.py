"""The script of a step: run by hand it does what it does in a job, or says why it cannot."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hvmpi.athena.script import SETUP_FAILED, StepScript
from hvmpi.site import make_site

from .site import LIMIT_S, Call, StandIn

DIRTY = {
    "PYTHONPATH": "/nowhere",
    "PYTHONHOME": "/nowhere",
    "VIRTUAL_ENV": "/nowhere",
    "LD_LIBRARY_PATH": "/nowhere",
    "OMPI_COMM_WORLD_RANK": "3",
    "AtlasVersion": "1.2.3",
    "CDPATH": "/usr",
    "PATH": "/nowhere:/usr/bin:/bin",
    "MINE": "not this",
}
NAMES = ("plain", "a b", "it's", 'say "so"', "$HOME `id` $(id)", "Größe → 🙂", "-x", "a\nb", "\\!*")


def script(
    standin: StandIn,
    place: Path,
    *argv: str,
    site: Mapping[str, Any] | None = None,
    **more: Any,
) -> StepScript:
    """Write the script of a step in a place, and what it reads."""
    words = argv or ("Gen_tf.py", "--jobConfig=304795", "--outputEVNTFile=x.root", "--maxEvents=2")
    place.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": "/usr/bin:/bin", "HVMPI_STEP": "mine", "MINE": "a\n'b' $c"}
    one = StepScript(
        name="mine",
        title="step mine\n of job 7",
        directory=place / "step",
        folder=place / "logs",
        release="AthGeneration,23.6.20",
        argv=words,
        environment=environment,
        site=make_site(standin.site(**site or {}), str),
        binds=(str(place), str(standin.base)),
    )
    one = dataclasses.replace(one, **more)
    one.folder.mkdir(exist_ok=True)
    for path, text in one.files().items():
        path.write_text(text, encoding="utf-8")
    return one


def run(
    one: StepScript, where: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script by hand."""
    return subprocess.run(
        ["/bin/bash", str(one.path)],
        cwd=where,
        env=dict(environment or {"PATH": "/usr/bin:/bin"}),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        start_new_session=True,
    )


def refusal(one: StepScript, where: Path) -> str:
    """Run a script that must refuse; give why."""
    done = run(one, where)
    assert done.returncode == 69, done
    said = (one.directory / SETUP_FAILED).read_text().strip()
    assert done.stderr.splitlines()[-1] == f"hvmpi: {said}"
    return said


def as_called(call: Call) -> tuple[Any, ...]:
    shells = {"_", "SHLVL", "OLDPWD"}
    ours = {name: value for name, value in call.environment.items() if name not in shells}
    return call.argv, call.directory, ours


def test_a_script_by_hand_does_what_it_does_in_a_job(standin: StandIn, tmp_path: Path) -> None:
    one = script(standin, tmp_path / "job")
    done = subprocess.run(
        one.command, cwd=tmp_path, env=dict(one.environment), timeout=LIMIT_S, check=True
    )
    assert done.returncode == 0
    assert run(one, Path("/"), DIRTY).returncode == 0
    job, hand = standin.calls()
    assert as_called(job) == as_called(hand)
    assert job.environment["MINE"] == one.environment["MINE"]
    assert job.argv == one.argv[1:]
    assert standin.setups() == ["AthGeneration,23.6.20"] * 2


def test_a_script_is_found_by_a_relative_path(standin: StandIn, tmp_path: Path) -> None:
    one = script(standin, tmp_path / "job")
    done = subprocess.run(
        ["bash", "mine.sh"], cwd=one.folder, env=DIRTY, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0
    assert (one.directory / "x.root").is_file()


def test_the_transform_takes_the_place_of_the_shell(standin: StandIn, tmp_path: Path) -> None:
    one = script(standin, tmp_path / "job")
    process = subprocess.Popen(
        one.command,
        env=dict(one.environment),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    assert process.wait(LIMIT_S) == 0
    assert standin.calls()[0].pid == process.pid


@pytest.mark.parametrize("name", NAMES)
def test_paths_of_any_name_are_taken(standin: StandIn, tmp_path: Path, name: str) -> None:
    place = tmp_path / "places" / name
    options = place / f"{name} options.py"
    place.mkdir(parents=True)
    options.write_text("x = 1\n")
    setup = place / "set up.sh"
    setup.write_text("export SITE_SAYS=$PWD\n")
    (place / "cvmfs").symlink_to(standin.cvmfs)
    base = place / "cvmfs" / standin.base.name
    one = script(
        standin,
        place,
        site={"setup_script": str(setup), "atlas_local_root_base": str(base)},
        copied=(options,),
    )
    done = run(one, tmp_path)
    assert done.returncode == 0, done
    (call,) = standin.calls()
    assert call.directory == one.directory
    assert call.environment["SITE_SAYS"] == str(one.directory)
    assert call.environment["ATLAS_LOCAL_ROOT_BASE"] == str(base)
    assert (one.directory / options.name).read_text() == "x = 1\n"


def test_only_the_set_up_can_be_asked_for(standin: StandIn, tmp_path: Path) -> None:
    one = script(standin, tmp_path / "job", only_set_up=True)
    assert run(one, tmp_path).returncode == 0
    assert standin.setups() == ["AthGeneration,23.6.20"]
    assert standin.calls() == []


# Why it cannot


def test_no_atlas_local_root_base(standin: StandIn, tmp_path: Path) -> None:
    one = script(standin, tmp_path / "job", site={"atlas_local_root_base": "/no $HOME"})
    assert refusal(one, tmp_path) == "there is no /no $HOME/user/atlasLocalSetup.sh"


def test_no_atlas_setup(standin: StandIn, tmp_path: Path) -> None:
    (standin.base / "user/atlasLocalSetup.sh").write_text("true\n")
    said = refusal(script(standin, tmp_path / "job"), tmp_path)
    assert said == "atlasLocalSetup.sh brought no AtlasSetup with scripts/asetup.sh"


def test_asetup_that_fails(standin: StandIn, tmp_path: Path) -> None:
    said = refusal(script(standin, tmp_path / "job", release="Athena,1.2.3"), tmp_path)
    assert said == (
        "asetup Athena,1.2.3 ended with code 1: "
        "AtlasSetup(FATAL): no release is found for the options Athena,1.2.3"
    )


def test_asetup_that_fails_and_returns_0(standin: StandIn, tmp_path: Path) -> None:
    said = refusal(script(standin, tmp_path / "job", release="99.0.1"), tmp_path)
    assert said == (
        "asetup 99.0.1 failed: AtlasSetup(FATAL): the database of releases cannot be read"
    )


def test_a_release_without_the_transform(standin: StandIn, tmp_path: Path) -> None:
    said = refusal(script(standin, tmp_path / "job", "Nothing_tf.py", "--x=1"), tmp_path)
    assert said == "asetup AthGeneration,23.6.20 brought no Nothing_tf.py"
    assert standin.calls() == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "setup-script '{}' failed with code 1"),
        ("return 3\n", "setup-script '{}' failed with code 3"),
        ("if\n", "setup-script '{}' failed with code "),
        ("exit 4\n", "the set-up of AthGeneration,23.6.20 ended the shell with code 4"),
        ("exit 0\n", "the set-up of AthGeneration,23.6.20 ended the shell with code 0"),
    ],
)
def test_a_setup_script_that_fails(
    standin: StandIn, tmp_path: Path, text: str | None, why: str
) -> None:
    setup = tmp_path / "setup.sh"
    if text is not None:
        setup.write_text(text)
    one = script(standin, tmp_path / "job", site={"setup_script": str(setup)})
    assert refusal(one, tmp_path).startswith(why.format(setup))
    assert standin.setups() == []


def test_what_a_setup_script_leaves_behind_harms_nothing(standin: StandIn, tmp_path: Path) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text("set -e -u\ncd /\nfalse\nexport FROM_SITE=1\n")
    one = script(standin, tmp_path / "job", site={"setup_script": str(setup)})
    assert run(one, tmp_path).returncode == 0
    (call,) = standin.calls()
    assert call.directory == one.directory
    assert call.environment["FROM_SITE"] == "1"


def test_job_options_that_are_gone(standin: StandIn, tmp_path: Path) -> None:
    one = script(standin, tmp_path / "job", copied=(tmp_path / "it's gone.py",))
    assert refusal(one, tmp_path) == f'there is no "{tmp_path}/it\'s gone.py"'


def test_a_directory_that_cannot_be_made(standin: StandIn, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one = script(standin, tmp_path / "job", directory=tmp_path / "file/step")
    done = run(one, tmp_path)
    assert done.returncode == 69
    assert f"hvmpi: cannot enter '{tmp_path}/file/step'" in done.stderr
    assert standin.calls() == []


# In containers


def test_in_a_container_of_apptainer(standin: StandIn, tmp_path: Path) -> None:
    one = script(standin, tmp_path / "job", container="centos 7", site={"binds": [str(tmp_path)]})
    done = run(one, Path("/"), DIRTY)
    assert done.returncode == 0, done
    (words,) = standin.containers()
    assert words[:2] == ["apptainer", "exec"]
    binds = [word for flag, word in itertools.pairwise(words) if flag == "-B"]
    assert binds == [str(tmp_path / "job"), str(standin.base), str(standin.cvmfs), str(tmp_path)]
    assert words[words.index("--pwd") + 1] == str(one.directory)
    assert words[words.index("--pwd") + 2 :] == [
        "centos 7",
        "/bin/bash",
        "--noprofile",
        "--norc",
        str(one.folder / "mine.inside.sh"),
    ]
    (call,) = standin.calls()
    assert call.argv == one.argv[1:]
    assert call.environment["CONTAINER_IMAGE"] == "centos 7"
    assert call.environment["MINE"] == one.environment["MINE"]


def test_in_a_container_of_atlas(standin: StandIn, tmp_path: Path) -> None:
    site = {"container_runtime": "atlas"}
    one = script(standin, tmp_path / "a job", container="centos7", site=site)
    done = run(one, Path("/"), DIRTY)
    assert done.returncode == 0, done
    (words,) = standin.containers()
    assert words[1:5] == ["-c", "centos7", "--pwd", str(one.directory)]
    (call,) = standin.calls()
    assert call.argv == one.argv[1:]
    assert call.directory == one.directory
    assert call.environment["CONTAINER_IMAGE"] == "centos7"
    for name in ("APPTAINER_BIND", "SINGULARITY_BIND"):
        assert call.environment[name].split(",") == [
            str(tmp_path / "a job"),
            str(standin.base),
            str(standin.cvmfs),
        ]


@pytest.mark.parametrize("runtime", ["apptainer", "atlas"])
def test_a_release_that_fails_in_a_container(
    standin: StandIn, tmp_path: Path, runtime: str
) -> None:
    site = {"container_runtime": "atlas"} if runtime == "atlas" else {}
    one = script(standin, tmp_path / "job", container="el9", release="99.0.1", site=site)
    assert run(one, tmp_path).returncode != 0
    assert "asetup 99.0.1 failed: AtlasSetup(FATAL)" in (one.directory / SETUP_FAILED).read_text()
    assert standin.calls() == []


def test_a_container_runtime_that_is_not_installed(standin: StandIn, tmp_path: Path) -> None:
    runtime = "/no such; touch harmed/apptainer"
    site = {"container_runtime": runtime}
    one = script(standin, tmp_path / "job", container="el9", site=site)
    assert refusal(one, tmp_path) == f"there is no container runtime {runtime!r}"
    assert not (one.directory / "harmed").exists()


def test_an_image_that_is_not_there_fails(standin: StandIn, tmp_path: Path) -> None:
    one = script(standin, tmp_path / "job", container="/no/image")
    done = run(one, tmp_path)
    assert done.returncode == 255
    assert "no such file" in done.stderr
    assert standin.calls() == []


def test_every_word_of_a_script_is_quoted(standin: StandIn, tmp_path: Path) -> None:
    """As a shell itself reads it: bash finds no fault with any of the texts."""
    nasty = "';`$(\"\n{[<|&!"
    for container, runtime in (("", "apptainer"), (nasty, "/a 'b/apptainer"), (nasty, "atlas")):
        one = script(
            standin,
            tmp_path / "job" / (Path(runtime).name + container),
            "Gen_tf.py",
            nasty,
            container=container,
            site={"container_runtime": runtime, "setup_script": f"/{nasty}"},
        )
        for path in one.files():
            done = subprocess.run(["bash", "-n", str(path)], capture_output=True, timeout=LIMIT_S)
            assert done.stderr == b"", shlex.join(one.command)
