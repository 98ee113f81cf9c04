"""Where the time of the open chain's steps goes, as steps and campaigns tell it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hvmpi.openchain.__main__ import main
from hvmpi.training.__main__ import main as training_main
from tests.conftest import Place
from tests.openchain.conftest import SEED
from tests.openchain.test_warm import KEEP, SAMPLE, products

PHYSICS = {"calorimeter", "readout", "clusters", "jets", "objects", "acts"}
"""What each event goes through."""


def profiled(step: list[str], report: Path) -> tuple[dict[str, float], float]:
    """Carry out a step in this process; give its parts and what it took."""
    carry_out = training_main if step[0] in ("extract", "merge") else main
    began = time.monotonic()
    assert carry_out([*step, "--report", str(report), "--profile"]) == 0
    took = time.monotonic() - began
    told = json.loads(report.read_text())["profile"]
    assert began <= told["began"] <= began + took
    return told["parts"], took


def test_parts_of_each_step_sum_up_to_it(signal_evnt: Path, tmp_path: Path) -> None:
    hits, rdo, aod, train = (tmp_path / f"{name}.h5" for name in ("hits", "rdo", "aod", "train"))
    seed = f"--seed={SEED}"
    steps = {
        "generate": (
            ["generate", "--process=gghss", "--batch-size=2", "-o", str(tmp_path / "a.hepmc3")],
            {"load", "pythia", "write"},
        ),
        "library": (
            ["library", "--events=2", "-o", str(tmp_path / "minbias.h5")],
            {"load", "pythia", "read", "acts", "calorimeter", "write"},
        ),
        "simulate": (
            ["simulate", str(signal_evnt), "--events=2", "-o", str(hits), seed],
            {"read", "acts", "convert", "calorimeter", "jets", "write"},
        ),
        "digitize": (
            ["digitize", str(hits), "-o", str(rdo), seed],
            {"read", "acts", "convert", "readout", "write"},
        ),
        "reconstruct": (
            ["reconstruct", str(rdo), "-o", str(aod), seed],
            {"read", "acts", "convert", "readout", "clusters", "jets", "objects", "write"},
        ),
        "extract": (["extract", str(aod), "-o", str(train)], {"read", "variables", "write"}),
        "merge": (["merge", str(train), "-o", str(tmp_path / "all.h5")], {"read", "write"}),
        "chain": (
            ["chain", str(signal_evnt), "--events=2", "-o", str(tmp_path / "chain.h5"), seed],
            {"load", "read", "convert", "write", *PHYSICS},
        ),
    }
    for name, (words, named) in steps.items():
        parts, took = profiled(words, tmp_path / f"{name}.json")
        assert named <= set(parts), name
        assert all(spent > 0 for spent in parts.values())
        # Only the report itself comes behind.
        assert 0.0 <= took - sum(parts.values()) < 0.5


def test_a_step_makes_the_same_with_and_without(signal_evnt: Path, tmp_path: Path) -> None:
    made = []
    for how in ((), ("--profile",)):
        outputs = [tmp_path / f"{name}{len(made)}.h5" for name in ("aod", "hits", "rdo", "train")]
        aod, *others = map(str, outputs)
        words = ["chain", str(signal_evnt), "--events=3", f"--seed={SEED}", "-o", aod]
        words += [f"--hits={others[0]}", f"--rdo={others[1]}", f"--train={others[2]}"]
        report = tmp_path / f"{len(made)}.json"
        assert main([*words, "--report", str(report), *how]) == 0
        assert ("profile" in json.loads(report.read_text())) == bool(how)
        made.append([output.read_bytes() for output in outputs])
    assert made[0] == made[1]


def test_a_step_that_fails_tells_too(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ["simulate", str(tmp_path / "none.hepmc3"), "-o", str(tmp_path / "hits.h5")]
    assert main([*words, "--report", str(report), "--profile"]) == 2
    told = json.loads(report.read_text())
    assert told["outcome"] == "bad_input"
    assert told["profile"]["parts"]["other"] > 0


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a campaign makes without being asked where its time goes."""
    from tests.conftest import clean_environment

    place = Place(tmp_path_factory.mktemp("plain"), clean_environment())
    assert place.hvmpi("run", *SAMPLE, KEEP, f"--run-dir={place.run_dir}").code == 0
    run = place.run()
    assert len(run.status().profile) == 0
    assert b"profile" not in b"".join(run.journal.read_bytes().splitlines()[1:])
    place.leave()
    return products(run.directory)


@pytest.mark.parametrize("choice", ["--fused", "--no-fused"])
def test_a_campaign_tells_where_its_time_went(
    place: Place, plain: dict[str, bytes], choice: str
) -> None:
    answer = place.mpirun(3, "run", *SAMPLE, KEEP, choice, "--profile")
    assert answer.code == 0, answer.err
    run = place.run()
    assert products(run.directory) == plain
    status = run.status()
    told: dict[tuple[int, int, str], dict[str, float]] = {}
    for job, attempt, step, part, wall_s in status.profile.tolist():
        told.setdefault((job, attempt, step), {})[part] = wall_s
    wall = {(s["job"], s["attempt"], s["step"]): s["wall_s"] for s in status.steps}
    assert told.keys() == wall.keys()
    for step, parts in told.items():
        assert "whole" not in parts
        assert "start" in parts
        assert sum(parts.values()) == pytest.approx(wall[step], abs=1e-3)
    of_chain = {part for (_, _, step), parts in told.items() for part in parts if step != "merge"}
    assert PHYSICS | {"pythia", "variables"} <= of_chain
    shown = place.hvmpi("status", "--profile")
    assert shown.code == 0
    head, *rows = shown.out.splitlines()
    assert head.split() == ["STEP", "PART", "SECONDS", "CPU", "SHARE", "MS/EVENT"]
    names = [row.split()[0] for row in rows if " all " in row]
    assert sorted(names) == sorted({step for _, _, step in wall})
    (acts,) = (
        row.split()
        for row in rows
        if row.split()[:2] in (["chain", "acts"], ["reconstruct", "acts"])
    )
    spent = sum(parts["acts"] for (_, _, step), parts in told.items() if step == acts[0])
    assert float(acts[2]) == pytest.approx(spent, abs=0.006)
    # Four events went through it.
    assert float(acts[-1]) == pytest.approx(1000 * spent / 4, abs=0.006)
    assert [row.split("  ")[0] for row in rows[-3:]] == ["around the steps", "ranks waiting", "all"]
    assert "100.0 %" in rows[-1]
