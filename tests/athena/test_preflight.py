"""The look at a host, as ``doctor`` prints it and as a campaign heeds it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hvmpi.athena import preflight
from hvmpi.athena.chain import read_chain
from hvmpi.athena.engine import AthenaEngine
from hvmpi.engine import Check
from hvmpi.settings import load

from ..conftest import Place, wait_for
from .campaigns import config, tag
from .site import StandIn


def looked(
    place: Place,
    standin: StandIn,
    *tags: str,
    timeout: float = 30.0,
    site: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Check]:
    """Look at this host for a reconstruction; give what was found, by name."""
    given = {"keep": ["hits", "aod", "daod"], **more}
    chosen = config(place, standin, tags or ("s2608",), site=site, **given)
    engine = AthenaEngine(load("reconstruct", ["-c", str(chosen)]))
    before = place.tree()
    checks = list(engine.examine(timeout))
    left = place.tree().keys() - before.keys()
    assert all(name.startswith("site/") for name in left), left
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def faulty(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if not check.good]


def test_a_fit_host_is_found_fit(place: Place, standin: StandIn) -> None:
    (place.root / "setup.sh").write_text("export A=1\n")
    site = {"setup_script": str(place.root / "setup.sh")}
    checks = looked(place, standin, "s2608", "r7773", "p2952", site=site)
    assert faulty(checks) == []
    assert list(checks) == [
        "scratch",
        "cores",
        "memory",
        f"directory {standin.cvmfs}",
        f"setup-script {place.root}/setup.sh",
        "release AtlasProduction,19.2.3.7",
        "release AtlasProd1,20.7.5.1.1",
        "release AtlasDerivation,20.7.8.7",
    ]
    assert checks["release AtlasProduction,19.2.3.7"].found == "set up, with Sim_tf.py"
    # The releases are set up, and no transform is run.
    assert len(standin.setups()) == 3
    assert standin.calls() == []
    assert standin.alive() == []


def test_a_release_is_set_up_once(place: Place, standin: StandIn) -> None:
    tag(place, "one")
    tag(place, "two", input="HITS", output=["RDO"])
    assert faulty(looked(place, standin, "one", "two")) == []
    assert standin.setups() == ["Athena,23.0.53"]


@pytest.mark.parametrize(
    ("release", "found"),
    [
        ("Athena,1.2.3", "asetup Athena,1.2.3 ended with code 1: AtlasSetup(FATAL): no release"),
        ("99.0.1", "asetup 99.0.1 failed: AtlasSetup(FATAL): the database of releases"),
    ],
)
def test_a_release_that_is_not_there(
    place: Place, standin: StandIn, release: str, found: str
) -> None:
    tag(place, "bad", release=release)
    checks = looked(place, standin, "bad", argument_check=False)
    assert faulty(checks) == [f"release {release}"]
    assert checks[f"release {release}"].found.startswith(found)


def test_a_release_that_hangs_is_ended_in_time(place: Place, standin: StandIn) -> None:
    tag(place, "bad", release="99.0.2")
    tag(place, "good", input="HITS", output=["RDO"])
    checks = looked(place, standin, "bad", "good", timeout=3.0)
    assert faulty(checks) == ["release 99.0.2"]
    assert checks["release 99.0.2"].found.startswith("was not set up in")
    assert standin.alive() == []


def test_a_release_without_the_transform(place: Place, standin: StandIn) -> None:
    (standin.cvmfs / "transforms/bin/Sim_tf.py").unlink()
    checks = looked(place, standin)
    assert checks["release AtlasProduction,19.2.3.7"].found == (
        "asetup AtlasProduction,19.2.3.7 brought no Sim_tf.py"
    )


@pytest.mark.parametrize(
    ("site", "name", "found"),
    [
        ({"cvmfs": ["/no/cvmfs"]}, "directory /no/cvmfs", "cannot be listed"),
        ({"setup_script": "/no/setup.sh"}, "setup-script /no/setup.sh", "cannot be read"),
        ({"scratch_gb": 1e6}, "scratch", "1e+06 are needed (scratch-gb)"),
        ({"memory_gb": 1e6}, "memory", "a job needs 1e+06 (memory-gb)"),
        (
            {"atlas_local_root_base": "/no/base"},
            "release AtlasProduction,19.2.3.7",
            "there is no /no/base/user/atlasLocalSetup.sh",
        ),
        (
            {"container": "el9", "container_runtime": "/no/apptainer"},
            "container el9",
            "there is no container runtime '/no/apptainer'",
        ),
        ({"container": "/no/image"}, "container /no/image", "the image is not there"),
    ],
)
def test_a_site_that_is_not_as_it_says(
    place: Place, standin: StandIn, site: dict[str, Any], name: str, found: str
) -> None:
    checks = looked(place, standin, site=site)
    assert name in faulty(checks)
    assert found in checks[name].found


def test_more_cores_than_there_are(place: Place, standin: StandIn) -> None:
    tag(place, "wide", cores=100_000)
    checks = looked(place, standin, "wide", site={"memory_gb": 0})
    assert faulty(checks) == ["cores"]
    assert "a job needs 100000" in checks["cores"].found


def test_fewer_cores_may_be_used(place: Place, standin: StandIn) -> None:
    tag(place, "wide", cores=2)
    checks = looked(place, standin, "wide", host_cores=1)
    assert faulty(checks) == ["cores"]


def test_scratch_that_cannot_be_written(place: Place, standin: StandIn) -> None:
    checks = looked(place, standin, site={"scratch": "/proc/scratch"})
    assert faulty(checks)[0] == "scratch"
    assert not [name for name in checks if name.startswith("release")]


def test_a_directory_that_hangs_is_not_waited_for(
    place: Place, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = place.root / "tools"
    tools.mkdir()
    (tools / "ls").write_text("#!/bin/sh\nexec sleep 60\n")
    (tools / "ls").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    checks = looked(place, standin, timeout=1.5)
    assert f"directory {standin.cvmfs}" in faulty(checks)
    assert "does not answer" in checks[f"directory {standin.cvmfs}"].found


@pytest.mark.parametrize("runtime", ["apptainer", "atlas"])
def test_releases_are_set_up_in_their_containers(
    place: Place, standin: StandIn, runtime: str
) -> None:
    (place.root / "setup.sh").write_text("export A=1\n")
    site: dict[str, Any] = {"container": "el9", "setup_script": str(place.root / "setup.sh")}
    if runtime == "atlas":
        site["container_runtime"] = "atlas"
    checks = looked(place, standin, site=site)
    assert faulty(checks) == []
    assert "container el9" in checks
    (words,) = standin.containers()
    assert "el9" in words
    # What it sources it must see.
    assert runtime == "atlas" or str(place.root / "setup.sh") in words


def test_a_runtime_is_sought_where_steps_will_seek_it(
    place: Place, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where this process finds it: steps have a PATH of their own."""
    monkeypatch.setenv("PATH", f"{standin.bin}:{os.environ['PATH']}")
    site: dict[str, Any] = {"container": "el9", "container_runtime": "apptainer"}
    checks = looked(place, standin, site=site)
    if Path("/usr/bin/apptainer").exists():
        pytest.skip("there is a real one")
    assert "container el9" in faulty(checks)
    site["environment"] = [f"PATH={standin.bin}:/usr/bin:/bin"]
    assert faulty(looked(place, standin, site=site)) == []


def test_all_is_looked_at_at_once(place: Place, standin: StandIn) -> None:
    names = [tag(place, "a", release="99.0.2")]
    names.append(tag(place, "b", release="99.0.2,b", input="HITS", output=["RDO"]))
    names.append(tag(place, "c", release="99.0.2,c", input="RDO", output=["AOD"]))
    checks = looked(place, standin, *names, timeout=2.0)
    assert len(faulty(checks)) == 3
    # None of them had to wait for another.
    assert not any(check.found.endswith("in 0 s") for check in checks.values())
    assert standin.alive() == []


# As it is told


def test_doctor_prints_a_table_and_runs_nothing(place: Place, standin: StandIn) -> None:
    chosen = config(place, standin, ["s2608"], keep=["hits"])
    answer = place.hvmpi("doctor", "-c", chosen)
    rows = {line[:40].strip(): line for line in answer.out.splitlines()}
    assert any("release AtlasProduction,19.2.3.7" in row and " ok " in row for row in rows.values())
    assert not place.run_dir.exists()
    chosen = config(place, standin, ["s2608"], keep=["hits"], site={"cvmfs": ["/no/cvmfs"]})
    answer = place.hvmpi("doctor", "-c", chosen)
    assert answer.code == 1
    (row,) = [line for line in answer.out.splitlines() if "FAULT" in line and "cvmfs" in line]
    assert "see that it is mounted" in row


def test_a_campaign_runs_no_job_on_a_host_that_is_not_fit(place: Place, standin: StandIn) -> None:
    standin.evnt(place.root / "evnt", 2)
    chosen = config(place, standin, ["s2608"], keep=["hits"], site={"cvmfs": ["/no/cvmfs"]})
    answer = place.hvmpi("reconstruct", "--evnt-dir=evnt", "-c", chosen)
    assert answer.code != 0
    assert "is left out: directory /no/cvmfs: cannot be listed" in answer.out
    assert standin.calls() == []


def test_a_look_needs_no_tags_but_those_that_run(place: Place, standin: StandIn) -> None:
    chosen = config(place, standin, ["mc15_gen", "s2608"], keep=["hits"])
    settings = load("reconstruct", ["-c", str(chosen)])
    chain = read_chain(settings)
    checks = preflight.examine(settings, chain, lambda *_: {"HVMPI_STEP": "s2608"}, 30.0)
    assert [c.name for c in checks if c.name.startswith("release")] == [
        "release AtlasProduction,19.2.3.7"
    ]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_look_that_is_broken_off_leaves_no_process(
    place: Place, standin: StandIn, how: signal.Signals
) -> None:
    tag(place, "bad", release="99.0.2")
    process = place.start("doctor", "-c", config(place, standin, ["bad"], keep=["hits"]))
    wait_for(standin.setups)
    process.send_signal(how)
    place.finish(process)
    wait_for(lambda: not standin.alive())


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_rerun_at_another_site_goes_on_where_that_is_fit(
    place: Place, standin: StandIn, ranks: int
) -> None:
    standin.evnt(place.root / "evnt", 2)
    chosen = config(place, standin, ["s2608"], keep=["hits"], site={"cvmfs": ["/no/cvmfs"]})
    assert place.hvmpi("reconstruct", "--evnt-dir=evnt", "-c", chosen).code != 0
    (place.root / "site.toml").write_text(standin.site_toml(environment=["FROM_SITE=1"]))
    words = ("rerun", place.run().timestamp, "--site-file=site.toml")
    answer = place.mpirun(ranks, *words) if ranks else place.hvmpi(*words)
    assert answer.code == 0, answer.out + answer.err
    (call,) = standin.calls()
    assert call.environment["FROM_SITE"] == "1"
