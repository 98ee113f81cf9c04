"""The stand-in of an ATLAS site does what the real framework was seen to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import uproot

from .site import ROWS, StandIn


def numbers(path: Path) -> list[int]:
    with uproot.open(path, object_cache=None, array_cache=None) as file:
        return list(file["CollectionTree"]["EventInfoAux.eventNumber"].array(library="np"))


def report_in(directory: Path) -> dict:
    return json.loads((directory / "jobReport.json").read_text())


def test_a_chain_brings_the_events_of_the_job_through(standin: StandIn, tmp_path: Path) -> None:
    options = standin.job_options(tmp_path / "999999")
    evnt = tmp_path / "evnt.pool.root"
    steps = [
        (
            "Gen_tf.py",
            [
                f"--jobConfig={options}",
                "--maxEvents=10",
                "--firstEvent=11",
                f"--outputEVNTFile={evnt}",
            ],
        ),
        (
            "Sim_tf.py",
            [
                f"--inputEVNTFile={evnt}",
                "--skipEvents=4",
                "--maxEvents=3",
                "--outputHITSFile=h.pool.root",
                "--jobNumber",
                "3",
            ],
        ),
        (
            "Reco_tf.py",
            [
                f"--inputHITSFile={tmp_path}/1/h.pool.root",
                "--outputAODFile=a.pool.root",
                "--steering",
                "doRDO_TRIG",
            ],
        ),
        (
            "Derivation_tf.py",
            [
                f"--inputAODFile={tmp_path}/2/a.pool.root",
                "--outputDAODFile=d.pool.root",
                "--formats",
                "PHYS",
                "LLP1",
            ],
        ),
    ]
    for step, (transform, arguments) in enumerate(steps):
        done = standin.run(tmp_path / str(step), transform, *arguments)
        assert done.returncode == 0, done.stdout
    assert numbers(evnt) == list(range(11, 21))
    assert numbers(tmp_path / "2" / "a.pool.root") == [15, 16, 17]
    assert numbers(tmp_path / "3" / "DAOD_LLP1.d.pool.root") == [15, 16, 17]
    assert not (tmp_path / "3" / "d.pool.root").exists()
    assert [one["name"] for one in report_in(tmp_path / "2")["executor"]] == [
        "HITtoRDO",
        "RDOtoRDOTrigger",
        "RAWtoALL",
    ]
    assert [call.transform for call in standin.calls()] == [transform for transform, _ in steps]
    assert standin.calls("Sim_tf.py")[0].argument("jobNumber") == ["3"]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_obeyed(standin: StandIn, tmp_path: Path, name: str) -> None:
    row = ROWS[name]
    evnt = standin.evnt(tmp_path, 5)
    standin.misbehave(row.does)
    done = standin.run(
        tmp_path / "step", "Sim_tf.py", f"--inputEVNTFile={evnt}", "--outputHITSFile=h"
    )
    assert done.returncode == row.shell, done.stdout
    assert (tmp_path / "step" / "jobReport.json").exists() == row.report
    assert (tmp_path / "step" / "h").exists() == row.output
