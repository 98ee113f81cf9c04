"""The open chain's steps as commands, and the engine that names them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hvmpi.campaign.jobs import EventFile, Job, Kind
from hvmpi.campaign.paths import AttemptPaths
from hvmpi.engine import Inputs
from hvmpi.files import sha256_of
from hvmpi.openchain.__main__ import main
from hvmpi.openchain.engine import OpenChainEngine
from hvmpi.settings import load
from tests.openchain.conftest import SEED

KNOWN = "0123456789abcdef" * 4


@pytest.mark.parametrize("step", ["simulate", "chain"])
def test_the_checksum_may_be_given(signal_evnt: Path, tmp_path: Path, step: str) -> None:
    words = [step, str(signal_evnt), f"--seed={SEED}", "--events=2"]
    made = []
    for name, choice in (("read", ()), ("given", (sha256_of(signal_evnt).upper(),))):
        output = tmp_path / f"{name}.h5"
        given = [f"--input-sha256={checksum}" for checksum in choice]
        assert main([*words, "-o", str(output), *given]) == 0
        made.append(output.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("checksum", ["", KNOWN[1:], KNOWN + "0", "x" * 64])
def test_what_is_no_checksum_is_refused(
    signal_evnt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], checksum: str
) -> None:
    output = tmp_path / "aod.h5"
    words = ["chain", str(signal_evnt), "-o", str(output), f"--input-sha256={checksum}"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"{checksum!r} is no SHA-256: it has 64 hexadecimal digits" in said
    assert said.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize("choice", ["--fused", "--no-fused"])
def test_the_engine_tells_the_first_step_what_it_knows(tmp_path: Path, choice: str) -> None:
    settings = load("reconstruct", [f"--evnt-dir={tmp_path}", choice])
    engine = OpenChainEngine(settings)
    file = EventFile("a.hepmc3", "s", 304794, 1, 10, 1, "304794.10.1")
    paths = AttemptPaths(logs=tmp_path / "logs", tmp=tmp_path)
    told = []
    for known in ("", KNOWN):
        job = Job(1, Kind.RECONSTRUCTION, 1, replace(file, sha256=known), 0, 1, 5, 5)
        steps = engine.steps(job, Inputs(tmp_path / "a.hepmc3", None, tmp_path), paths)
        told.append([[w for w in step.argv if w.startswith("--input-sha")] for step in steps])
    assert not any(told[0])
    assert told[1] == [[f"--input-sha256={KNOWN}"], *([[]] * (len(told[1]) - 1))]


@pytest.mark.parametrize("step", ["simulate", "chain"])
def test_the_input_is_not_overwritten(
    signal_evnt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    evnt = tmp_path / "x.hepmc3"
    evnt.write_bytes(signal_evnt.read_bytes())
    link = tmp_path / "link"
    link.symlink_to(evnt)
    assert main([step, str(evnt), "-o", str(link), "--events=1"]) == 2
    assert "named twice" in capsys.readouterr().err
    assert evnt.read_bytes() == signal_evnt.read_bytes()


def test_a_published_file_is_not_overwritten(signal_evnt: Path, tmp_path: Path) -> None:
    published = tmp_path / "aod.h5"
    published.write_text("published")
    published.chmod(0o444)
    assert main(["chain", str(signal_evnt), "-o", str(published), "--events=1"]) == 2
    assert published.read_text() == "published"
