"""Events and products that several tests look at: made once a session."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hvmpi.openchain import chain, evnt
from hvmpi.openchain.generation import generate
from hvmpi.openchain.processes import resolve
from hvmpi.sample import SampleOptions

SEED = 11
RUN_NUMBER = 990001
EVENTS = 40


@pytest.fixture(scope="session")
def signal_evnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phi(125 GeV) -> s s, s(50 GeV) -> b b with a mean proper decay length of 100 mm."""
    options = SampleOptions(
        name="signal",
        process="gghss",
        run_number=RUN_NUMBER,
        num_batches=1,
        batch_size=EVENTS,
        m_phi=125.0,
        m_s=50.0,
        ctau=100.0,
        decays=("bb 100",),
    )
    path = tmp_path_factory.mktemp("evnt") / "signal.evnt.hepmc3"
    generate(resolve(options), seed=SEED, batch=1, output=path)
    return path


@pytest.fixture(scope="session")
def fused(signal_evnt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the fused chain's hits.h5, rdo.h5 and aod.h5 of all events."""
    directory = tmp_path_factory.mktemp("fused")
    chain.run(
        signal_evnt,
        directory / "aod.h5",
        seed=SEED,
        hits=directory / "hits.h5",
        rdo=directory / "rdo.h5",
    )
    return directory


@pytest.fixture(scope="session")
def stepwise(signal_evnt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with hits.h5, rdo.h5 and aod.h5 of all events, made step by step."""
    directory = tmp_path_factory.mktemp("stepwise")
    hits, rdo, aod = (directory / f"{name}.h5" for name in ("hits", "rdo", "aod"))
    chain.simulate(signal_evnt, hits, seed=SEED)
    chain.digitize(hits, rdo, seed=SEED)
    chain.reconstruct(rdo, aod, seed=SEED)
    return directory


@pytest.fixture
def foreign_evnt(signal_evnt: Path, tmp_path: Path) -> Path:
    """Return three events as another generator might write them.

    Their numbers are large and have gaps, no run number is in the record, no particle's mass.
    """
    import pyhepmc

    path = tmp_path / "foreign ü'.hepmc3"
    with pyhepmc.open(path, "w") as out:
        for number, event in enumerate(evnt.read_events(signal_evnt, 0, 3), start=7_000_001):
            event.event_number = number
            del event.attributes["run_number"]
            for particle in event.particles:
                particle.unset_generated_mass()
            event.run_info = pyhepmc.GenRunInfo()
            out.write(event)
    text = path.read_bytes()
    # Beyond what pyhepmc can write: its event numbers have 32 bits.
    for written, number in ((1, 7), (2, 9_000_000_000_000_000), (3, 12)):
        text = text.replace(b"\nE 700000%d " % written, b"\nE %d " % number)
    path.write_bytes(text)
    return path


@pytest.fixture
def damaged(fused: Path, tmp_path: Path) -> Path:
    """Return a RDO that was cut short."""
    path = tmp_path / "cut.rdo.h5"
    shutil.copy(fused / "rdo.h5", path)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)
    return path
