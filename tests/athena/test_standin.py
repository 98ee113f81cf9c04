"""The stand-in of an ATLAS site does what the real framework was seen to do."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
import uproot

from ..conftest import wait_for
from .site import ROWS, StandIn, write_pool

NASTY = (
    'all:CfgMgr.MessageSvc().setError+=["HepMcParticleLink"]',
    'ESDtoAOD:fixedAttrib=[s if "CONTAINER_SPLITLEVEL = \'99\'" not in s else ""];b=\\99',
    "'; touch harmed; '",
    "$(touch harmed) `touch harmed`\nsecond line",
)


def numbers(path: Path) -> list[int]:
    with uproot.open(path, object_cache=None, array_cache=None) as file:
        return list(file["CollectionTree"]["EventInfoAux.eventNumber"].array(library="np"))


def report_in(directory: Path) -> dict:
    return json.loads((directory / "jobReport.json").read_text())


def simulated(standin: StandIn, directory: Path, *arguments: str) -> tuple[int, int | None]:
    """Simulate in a directory; give the shell's code and the report's, if there is one."""
    done = standin.run(directory, "Sim_tf.py", "--outputHITSFile=h.root", *arguments)
    report = directory / "jobReport.json"
    return done.returncode, report_in(directory)["exitCode"] if report.exists() else None


def test_a_chain_brings_the_events_of_the_job_through(standin: StandIn, tmp_path: Path) -> None:
    options = standin.job_options(tmp_path / "999999")
    steps = [
        ("Gen_tf.py", f"--jobConfig={options} --maxEvents=10 --firstEvent=11 --outputEVNTFile=e"),
        ("Sim_tf.py", "--inputEVNTFile=../0/e --skipEvents=4 --maxEvents=3 --outputHITSFile=h"),
        ("Reco_tf.py", "--inputHITSFile=../1/h --outputAODFile=a --steering doRDO_TRIG"),
        ("Derivation_tf.py", "--inputAODFile=../2/a --outputDAODFile=d --formats PHYS LLP1"),
    ]
    for step, (transform, arguments) in enumerate(steps):
        done = standin.run(tmp_path / str(step), transform, *arguments.split())
        assert done.returncode == 0, done.stdout
    assert numbers(tmp_path / "0/e") == list(range(11, 21))
    assert numbers(tmp_path / "2/a") == [15, 16, 17]
    assert numbers(tmp_path / "3/DAOD_PHYS.d") == numbers(tmp_path / "3/DAOD_LLP1.d")
    assert not (tmp_path / "3/d").exists()
    substeps = [one["name"] for one in report_in(tmp_path / "2")["executor"]]
    assert substeps == ["HITtoRDO", "RDOtoRDOTrigger", "RAWtoALL"]
    assert [call.transform for call in standin.calls()] == [transform for transform, _ in steps]


def test_an_old_chain_has_other_substeps(standin: StandIn, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0/hss-runner.py").write_text("")
    steps = [
        ("19.2.4.14", "Generate_tf.py --jobConfig hss-runner.py --maxEvents 2 --outputEVNTFile e"),
        ("AtlasProduction,19.2.3.7", "Sim_tf.py --inputEVNTFile ../0/e --outputHITSFile h"),
        ("AtlasProd1,20.7.5.1.1", "Reco_tf.py --inputHITSFile ../1/h --outputAODFile a"),
        (
            "AtlasDerivation,20.7.8.7",
            "Reco_tf.py --inputAODFile ../2/a --outputDAODFile d --reductionConf EXOT15",
        ),
    ]
    for step, (release, words) in enumerate(steps):
        done = standin.run(tmp_path / str(step), *words.split(), release=release)
        assert done.returncode == 0, done.stdout
    substeps = [one["name"] for one in report_in(tmp_path / "2")["executor"]]
    assert substeps == ["HITtoRDO", "RAWtoESD", "ESDtoAOD"]
    assert numbers(tmp_path / "3/DAOD_EXOT15.d") == [1, 2]
    assert standin.setups() == [release for release, _ in steps]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_obeyed(standin: StandIn, tmp_path: Path, name: str) -> None:
    row = ROWS[name]
    standin.misbehave(row.does)
    words = (f"--inputEVNTFile={standin.evnt(tmp_path, 5)}", "--outputHITSFile=h.root")
    assert standin.run(tmp_path / "step", "Sim_tf.py", *words).returncode == row.shell
    assert (tmp_path / "step/jobReport.json").exists() == row.report
    assert (tmp_path / "step/h.root").exists() == row.output


def test_what_comes_from_the_arguments_ends_as_it_should(standin: StandIn, tmp_path: Path) -> None:
    five = f"--inputEVNTFile={standin.evnt(tmp_path, 5)}"
    (tmp_path / "text").write_text("This is no ROOT file, but long enough for its header." * 9)
    empty = write_pool(tmp_path / "empty.root", 1, [])
    cases = {
        ("--unknown=1", five): (2, None),
        ("--maxEvents=many", five): (4, 4),
        ("--jobNumber=0", five): (5, 5),
        ("--inputEVNTFile=missing",): (9, 9),
        (): (0, 0),
        ("--skipEvents=5", five): (15, 15),
        (f"--inputEVNTFile={empty}",): (15, 15),
        ("--maxEvents=99", five): (0, 0),
        (f"--inputEVNTFile={tmp_path / 'text'}",): (251, None),
    }
    found = {words: simulated(standin, tmp_path / str(i), *words) for i, words in enumerate(cases)}
    assert found == cases
    assert len(numbers(tmp_path / "7/h.root")) == 5


def test_simulation_may_lose_one_of_ten_events(standin: StandIn, tmp_path: Path) -> None:
    ten = f"--inputEVNTFile={standin.evnt(tmp_path, 10)}"
    standin.misbehave({"lost": 1}, times=1)
    standin.misbehave({"lost": 2})
    assert simulated(standin, tmp_path / "0", ten) == (0, 0)
    assert simulated(standin, tmp_path / "1", ten) == (38, 38)
    assert "expected from 9 to 10" in report_in(tmp_path / "1")["exitMsg"]


def test_an_athena_that_failed_has_its_own_code_in_the_report(
    standin: StandIn, tmp_path: Path
) -> None:
    five = f"--inputEVNTFile={standin.evnt(tmp_path, 5)}"
    standin.misbehave({"signal": 11}, job_number=3)
    assert simulated(standin, tmp_path / "0", five, "--jobNumber", "2") == (0, 0)
    assert simulated(standin, tmp_path / "1", five, "--jobNumber", "3") == (65, 65)
    assert report_in(tmp_path / "1")["executor"][0]["rc"] == 128 + 11


def test_values_of_any_text_are_recorded_as_they_are(standin: StandIn, tmp_path: Path) -> None:
    simulated(standin, tmp_path / "step", "--postExec", *NASTY, "--preExec=a;b")
    (call,) = standin.calls()
    assert call.argument("postExec") == list(NASTY)
    assert call.argument("preExec") == ["a;b"]
    assert not (tmp_path / "step/harmed").exists()


def test_a_compressed_event_file_is_read(standin: StandIn, tmp_path: Path) -> None:
    columns = {"EventInfoAux.eventNumber": [7] * 300, "EventInfoAux.runNumber": [1] * 300}
    kinds = {"EventInfoAux.eventNumber": "u8", "EventInfoAux.runNumber": "u4"}
    with uproot.recreate(tmp_path / "zipped.root", compression=uproot.ZLIB(1)) as file:
        file.mktree("CollectionTree", kinds).extend(columns)
    words = ("--inputEVNTFile=../zipped.root", "--skipEvents=297")
    assert simulated(standin, tmp_path / "step", *words) == (0, 0)
    assert numbers(tmp_path / "step/h.root") == [7, 7, 7]


@pytest.mark.parametrize(
    ("release", "fatal"),
    [("99.0.1", 0), ("Athena,12.3.4", 1), ("Athena", 1)],
)
def test_a_release_that_is_not_there_says_fatal(
    standin: StandIn, tmp_path: Path, release: str, fatal: int
) -> None:
    script = standin.script(release, "Sim_tf.py")
    done = standin.bash(script, tmp_path)
    assert "AtlasSetup(FATAL)" in done.stdout
    assert done.returncode == (99 if fatal else 127)


@pytest.mark.parametrize(
    "name",
    ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "OMPI_X", "PMIX_X", "MPI_X"],
)
def test_a_variable_that_leaks_is_refused(standin: StandIn, tmp_path: Path, name: str) -> None:
    script = standin.script("23.0.53", "Sim_tf.py")
    done = standin.bash(script, tmp_path, **{name: "/somewhere"})
    assert done.returncode == 99
    assert f"{name} leaked" in done.stdout


def test_a_second_release_in_a_shell_is_refused(standin: StandIn, tmp_path: Path) -> None:
    script = standin.script("23.0.53", "true").replace("exit $?", "")
    done = standin.bash(script + standin.script("24.0.30", "true"), tmp_path)
    assert done.returncode == 99
    assert "fresh one" in done.stdout


def test_set_u_is_not_stood(standin: StandIn, tmp_path: Path) -> None:
    done = standin.bash("set -u\n" + standin.script("23.0.53", "true"), tmp_path)
    assert done.returncode not in (0, 99)


def test_apptainer_runs_its_command(standin: StandIn, tmp_path: Path) -> None:
    script = tmp_path / "inside.sh"
    script.write_text("echo $CONTAINER $CONTAINER_IMAGE $PWD\n")
    words = ["exec", "-B", "/bin,/usr", "--pwd", "/usr", "el9", "/bin/bash", str(script)]
    done = standin.bash(shlex.join([str(standin.apptainer), *words]), tmp_path)
    assert done.stdout == "1 el9 /usr\n"
    assert standin.containers() == [["apptainer", *words]]
    for bad in (["-B", "/no/dir", "el9", "true"], ["/no/image", "true"]):
        done = standin.bash(shlex.join([str(standin.apptainer), "exec", *bad]), tmp_path)
        assert done.returncode == 255
        assert done.stdout.startswith("FATAL:")


@pytest.mark.parametrize("how", ["", "source "])
def test_the_container_of_atlas_runs_set_up_and_payload(
    standin: StandIn, tmp_path: Path, how: str
) -> None:
    lines = standin.script("23.0.53", "Sim_tf.py", "--unknown").splitlines()
    (tmp_path / "setup.sh").write_text("\n".join(lines[:-2]) + "\n")
    (tmp_path / "payload.sh").write_text("[ $CONTAINER = 1 ] && " + lines[-2] + "\n")
    local = standin.base / "user/atlasLocalSetup.sh"
    words = f"-c el9 --pwd {tmp_path} -s setup.sh -r payload.sh"
    done = standin.bash(f"{how}{local} {words}\nexit $?", tmp_path / "elsewhere")
    assert done.returncode == 2, done.stdout
    assert standin.calls()[0].directory == tmp_path
    assert standin.containers() == [["atlasLocalSetup", *words.split()]]


def test_processes_that_are_left_are_found(standin: StandIn, tmp_path: Path) -> None:
    five = f"--inputEVNTFile={standin.evnt(tmp_path, 5)}"
    standin.misbehave({"children": 1}, call=1)
    standin.misbehave({"children": 1, "children_in_own_group": True}, call=2)
    standin.misbehave({"own_signal": int(signal.SIGKILL)}, call=3)
    for step in range(3):
        simulated(standin, tmp_path / str(step), five)
    assert sorted(process.name() for process in standin.alive()) == ["sleep"] * 3
    standin.end()
    wait_for(lambda: not standin.alive())


def test_a_hanging_set_up_and_an_athena_that_hears_nothing_are_found(
    standin: StandIn, tmp_path: Path
) -> None:
    evnt = standin.evnt(tmp_path, 5)
    standin.misbehave({"sleep": 3600, "ignore_sigterm": True})
    words = ("Sim_tf.py", f"--inputEVNTFile={evnt}", "--outputHITSFile=h")
    started = [
        subprocess.Popen(
            ["/bin/bash", "-c", standin.script(release, *words)],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
        )
        for release in ("99.0.2", "23.0.53")
    ]
    wait_for(lambda: sum(process.name() == "sleep" for process in standin.alive()) == 2)
    for process in started:
        process.send_signal(signal.SIGTERM)
    assert started[0].wait(60) == -signal.SIGTERM
    assert {process.name() for process in standin.alive()} >= {"sleep", "Sim_tf.py"}
    standin.end()
    assert started[1].wait(60) != 0
