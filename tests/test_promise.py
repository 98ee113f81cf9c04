"""The physics promise: an event is the same however the campaign is cut, spread and repeated."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import Kind
from hvmpi.openchain.eventdata import Product
from hvmpi.openchain.schemas import AOD
from tests.conftest import LIMIT_S, Place, RunOnDisk, clean_environment, wait_for

BATCH_SIZE = 10
CAMPAIGN = ("run", "--process=gghss", "--run-number=304794", f"-b{BATCH_SIZE}", "-n2")

Events = dict[int, str]
"""A digest of the contents of each event by its number."""


def contents(path: Path) -> Events:
    """Digest every array of every event of an AOD, bit for bit."""
    events: Events = {}
    with Product(path, AOD) as product:
        for event in product.iterate(range(len(product))):
            digest = hashlib.sha256(f"{event.run_number} {event.weight!r}".encode())
            for name, table in sorted(event.tables.items()):
                for field, array in sorted(table.items()):
                    digest.update(f"{name} {field} {array.dtype} {array.shape}".encode())
                    digest.update(array.tobytes())
            assert event.event_number not in events
            events[event.event_number] = digest.hexdigest()
    return events


def all_contents(run: RunOnDisk) -> Events:
    """Digest the events of all AODs of a run, each in one file only."""
    events: Events = {}
    for path in sorted((run.directory / "aod").iterdir()):
        of_file = contents(path)
        assert not set(of_file) & set(events)
        events |= of_file
    return events


def trained(run: RunOnDisk) -> dict[str, bytes]:
    """Give the rows of the merged training file, bit for bit."""
    with h5py.File(run.directory / "train" / "train.h5") as file:
        return {name: file[name][()].tobytes() for name in ("jets", "tracks", "clusters")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunOnDisk]:
    """The campaign with one rank and jobs of a whole batch."""
    place = Place(tmp_path_factory.mktemp("whole"), clean_environment())
    assert place.finish(place.start(*CAMPAIGN, "--job-size=50")).code == 0
    yield place.run()
    place.leave()


@pytest.fixture(scope="module")
def expected(whole: RunOnDisk) -> Events:
    """Its events, which are as many as were asked for, and no two alike."""
    events = all_contents(whole)
    assert sorted(events) == list(range(1, 2 * BATCH_SIZE + 1))
    assert len(set(events.values())) == len(events)
    assert all(trained(whole).values())
    return events


def batches(run: RunOnDisk) -> list[bytes]:
    return [path.read_bytes() for path in sorted((run.directory / "evnt").glob("*.hepmc3"))]


@pytest.mark.parametrize(
    ("ranks", "options"),
    [
        (2, ["--job-size=5"]),
        (4, ["--job-size=10", "--keep=evnt,hits,rdo,aod"]),
        (3, ["--job-size=5", "--no-fused"]),
    ],
    ids=["2 ranks, job size 5", "4 ranks, job size 10", "step by step"],
)
def test_a_campaign_gives_the_same_events(
    place: Place, whole: RunOnDisk, expected: Events, ranks: int, options: list[str]
) -> None:
    answer = place.mpirun(ranks, *CAMPAIGN, *options)
    assert answer.code == 0, answer.out + answer.err
    run = place.run()
    assert len(set(run.ledger().jobs["rank"].tolist())) >= min(ranks - 1, 2)
    assert batches(run) == batches(whole)
    assert all_contents(run) == expected
    if "train" in run.status().attributes["settings"]["keep"]:
        assert trained(run) == trained(whole)


def test_a_rerun_gives_the_same_events(place: Place, whole: RunOnDisk, expected: Events) -> None:
    """The journal is cut where the master could have died: the first job of batch 1 runs."""
    shutil.copytree(whole.directory, place.run_dir / whole.timestamp)
    run = place.run()
    lines = run.journal.read_bytes().splitlines(keepends=True)
    entries = run.entries()
    first = next(i for i, entry in enumerate(entries) if isinstance(entry, journal.Published))
    run.journal.write_bytes(b"".join(lines[: first + 2]))
    made = [*(run.directory / "aod").iterdir(), *(run.directory / "train").iterdir()]
    for path in [*made, *(run.directory / "evnt").glob("*.2.evnt*")]:
        path.unlink()
    assert place.hvmpi("rerun", run.timestamp).code == 0
    assert max(run.status().jobs["attempts"]) == 2
    assert batches(run) == batches(whole)
    assert all_contents(run) == expected
    assert trained(run) == trained(whole)
    assert place.hvmpi("verify").code == 0


def test_an_event_simulated_alone_is_the_same(
    place: Place, whole: RunOnDisk, expected: Events
) -> None:
    source: Path = whole.directory / "evnt" / f"304794.{BATCH_SIZE}.1.evnt.hepmc3"
    for step, suffix, choice in (
        ("simulate", "hits.h5", ["--first", "7", "--events", "1"]),
        ("digitize", "rdo.h5", []),
        ("reconstruct", "aod.h5", []),
    ):
        output = place.root / f"alone.{suffix}"
        words = [sys.executable, "-m", "hvmpi.openchain", step, source, "-o", output, *choice]
        subprocess.run(words, check=True, timeout=LIMIT_S, env=dict(os.environ))
        source = output
    assert contents(source) == {7: expected[7]}


def test_the_same_jobs_give_the_same_bytes(
    place: Place, whole: RunOnDisk, expected: Events
) -> None:
    assert expected
    evnt = whole.directory / "evnt"
    assert place.hvmpi("reconstruct", f"--evnt-dir={evnt}", "--job-size=50").code == 0
    for path in (whole.directory / "aod").iterdir():
        assert (place.run().directory / "aod" / path.name).read_bytes() == path.read_bytes()


# With pile-up

PILED = ("run", "--process=gghss", "--run-number=304794", "-b3", "-n1", "--pileup-mu=2")
LIBRARY = "library/minbias.20.hits.h5"


@pytest.fixture(scope="module")
def piled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunOnDisk]:
    """A campaign that makes a library and lays it over its events, all in one job."""
    place = Place(tmp_path_factory.mktemp("piled"), clean_environment())
    assert place.finish(place.start(*PILED, "--pileup-events=20")).code == 0
    yield place.run()
    place.leave()


def test_pile_up_is_the_same_however_the_campaign_is_cut(place: Place, piled: RunOnDisk) -> None:
    """Two jobs on two ranks, step by step, with a library that was made before."""
    words = ["reconstruct", f"--evnt-dir={piled.directory}/evnt", "--job-size=2", "--no-fused"]
    words += ["--pileup-mu=2", f"--pileup-library={piled.directory / LIBRARY}"]
    answer = place.mpirun(3, *words)
    assert answer.code == 0, answer.out + answer.err
    run = place.run()
    assert run.ledger().jobs["kind"].tolist() == [Kind.RECONSTRUCTION] * 2 + [Kind.MERGE]
    assert all_contents(run) == all_contents(piled)
    assert trained(run) == trained(piled)
    assert place.hvmpi("verify").code == 0
    plain = (*words[:3], "--keep=aod", f"--run-dir={place.root}/plain")
    assert place.hvmpi(*plain).code == 0
    (without,) = (place.root / "plain").iterdir()
    # It does lie over every event.
    assert not set(all_contents(RunOnDisk(without)).values()) & set(all_contents(run).values())


def test_a_killed_campaign_makes_no_library_again(place: Place, piled: RunOnDisk) -> None:
    def reconstructs() -> bool:
        if not place.runs() or not place.run().journal.exists():
            return False
        started = place.run().entries(journal.Started)
        return bool(started) and started[-1].job == 2

    process = place.start(*PILED, "--pileup-events=20", "--job-size=2")
    wait_for(reconstructs, LIMIT_S)
    os.kill(process.pid, signal.SIGKILL)
    place.finish(process)
    run = place.run()
    library = (run.directory / LIBRARY).stat()
    assert place.hvmpi("rerun", run.timestamp).code == 0
    assert run.ledger().jobs["attempts"].tolist() == [1, 1, 2, 1, 1]
    assert (run.directory / LIBRARY).stat().st_mtime_ns == library.st_mtime_ns
    assert (run.directory / LIBRARY).read_bytes() == (piled.directory / LIBRARY).read_bytes()
    assert all_contents(run) == all_contents(piled)
    assert trained(run) == trained(piled)
    assert place.hvmpi("verify").code == 0
