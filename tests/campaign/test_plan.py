"""Samples, event files, jobs: every event once, every number once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hvmpi.campaign.event_files import read_manifest
from hvmpi.campaign.jobs import Job, Kind
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.plan import Plan, make_plan
from hvmpi.campaign.replay import fold
from hvmpi.engine import make_engine
from hvmpi.errors import InputError
from hvmpi.sample import SampleOptions
from hvmpi.settings import Settings, load
from tests.conftest import Place

BASE = load("run", ["--engine=noop"])


def planned(asked: Settings) -> Plan:
    return make_plan(asked, make_engine(asked))


def ledger_of(plan: Plan) -> Ledger:
    return fold(plan.entries(), Path("20260101000000/journal.jsonl"))


def jobs_of(plan: Plan) -> list[Job]:
    ledger = ledger_of(plan)
    return [ledger.job(number) for number in range(len(ledger.jobs))]


SAMPLES = st.lists(
    st.builds(
        SampleOptions,
        name=st.just("s"),
        process=st.just("noop"),
        run_number=st.integers(1, 2**31 - 1),
        num_batches=st.integers(1, 6),
        batch_size=st.integers(1, 300),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda sample: sample.run_number,
)


@given(SAMPLES, st.integers(1, 400))
@settings(deadline=None)
def test_every_event_is_in_one_job_and_every_name_is_its_own(
    samples: list[SampleOptions], job_size: int
) -> None:
    named = tuple(replace(sample, name=f"s{n}") for n, sample in enumerate(samples))
    jobs = jobs_of(planned(replace(BASE, samples=named, job_size=job_size)))
    assert [job.number for job in jobs] == list(range(len(jobs)))
    assert len({(job.kind, job.stem) for job in jobs}) == len(jobs)
    for kind in (Kind.GENERATION, Kind.RECONSTRUCTION):
        events = [
            (job.event_file.run_number, job.first_event + event)
            for job in jobs
            if job.kind is kind
            for event in range(job.events)
        ]
        expected = {
            (sample.run_number, event)
            for sample in named
            for event in range(1, sample.num_batches * sample.batch_size + 1)
        }
        assert len(events) == len(expected)
        assert set(events) == expected
    for job in jobs:
        assert 0 < job.events <= (job_size if job.kind else job.event_file.events)
        assert job.first_event == job.event_file.first_event + job.skip_events
        if job.kind is Kind.RECONSTRUCTION:
            assert job.skip_events % job_size == 0


@given(
    st.lists(st.integers(1, 10_000), min_size=1, max_size=60, unique=True),
    st.integers(1, 70),
    st.booleans(),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_event_numbers_of_a_file_are_the_truth(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], job_size: int, renumber: bool
) -> None:
    directory = tmp_path_factory.mktemp("evnt")
    (directory / "foreign.evnt.txt").write_text("\n".join(map(str, numbers)))
    asked = replace(BASE, verb="reconstruct", evnt_dir=str(directory), job_size=job_size)
    jobs = jobs_of(planned(replace(asked, renumber=renumber)))
    skips = list(range(0, len(numbers), job_size))
    assert [job.skip_events for job in jobs] == skips
    assert sum(job.events for job in jobs) == len(numbers)
    firsts = [1 + skip for skip in skips] if renumber else [numbers[skip] for skip in skips]
    assert [job.first_event for job in jobs] == firsts
    assert [job.stem for job in jobs] == [f"foreign.{job_size}.{skip}" for skip in skips]


def test_names_of_generated_files() -> None:
    asked = replace(BASE, samples=(replace(BASE.samples[0], num_batches=2, batch_size=30),))
    files = [planned_file.file for planned_file in planned(asked).files]
    assert [file.path for file in files] == [
        "evnt/304795.30.1.evnt.txt",
        "evnt/304795.30.2.evnt.txt",
    ]
    assert [file.first_event for file in files] == [1, 31]


def test_two_names_that_differ_in_their_ending_only(place: Place, event_files: Path) -> None:
    """``a.hepmc`` beside ``a.hepmc3``: their products must not meet."""
    evnt = place.root / "evnt"
    evnt.mkdir()
    for batch, name in ((1, "a.hepmc"), (2, "a.hepmc3")):
        source = event_files / f"304794.3.{batch}.evnt.hepmc3"
        (evnt / name).write_bytes(source.read_bytes())
    jobs = jobs_of(planned(load("reconstruct", [f"--evnt-dir={evnt}"])))
    assert sorted(job.stem for job in jobs) == ["a.hepmc.50.0", "a.hepmc3.50.0", "train"]


def test_files_are_taken_in_the_order_of_their_numbers(place: Place) -> None:
    for batch in (10, 9, 2, 1):
        place.event_file(f"7.1.{batch}", [batch])
    jobs = jobs_of(planned(load("reconstruct", ["--engine=noop", "--evnt-dir=evnt"])))
    assert [job.first_event for job in jobs] == [1, 2, 9, 10]


def test_hidden_files_and_directories_are_no_event_files(place: Place) -> None:
    place.event_file("a", [1])
    place.event_file(".half", [1])
    (place.root / "evnt" / "folder.evnt.txt").mkdir()
    (place.root / "evnt" / "a.evnt.txt.json").write_text("{}")
    jobs = jobs_of(planned(load("reconstruct", ["--engine=noop", "--evnt-dir=evnt"])))
    assert [job.stem for job in jobs] == ["a.50.0"]


def test_many_interleaved_files_may_not_share_a_number(place: Place) -> None:
    place.event_file("even", range(2, 20, 2))
    place.event_file("odd", range(1, 20, 2))
    asked = load("reconstruct", ["--engine=noop", "--evnt-dir=evnt"])
    assert len(planned(asked).files) == 2
    place.event_file("late", [40, 15])
    with pytest.raises(InputError, match=r"'[^']*odd\.evnt\.txt' .*event 15|event 15"):
        planned(asked)


def test_a_manifest_says_how_a_file_was_made(place: Place) -> None:
    assert place.hvmpi("generate", "--engine=noop", "-n2", "-b3", "--seed=5").code == 0
    run = place.run()
    made = read_manifest(run.directory / "evnt/304795.3.2.evnt.txt")
    assert made is not None
    assert (made.events, made.first_event, made.batch, made.run_number) == (3, 4, 2, 304795)
    status = run.status()
    assert status.event_files["sha256"].tolist()[1] == made.sha256
    assert status.event_files["size"].tolist()[1] == made.size


def _hashes(place: Place, *words: str) -> Iterator[str]:
    folder = place.root / f"evnt{len(list(place.root.glob('evnt*')))}"
    common = ("generate", "--engine=noop", "-n1", f"--evnt-dir={folder}")
    assert place.hvmpi(*common, *words).code == 0
    for path in folder.glob("*.txt"):
        made = read_manifest(path)
        assert made is not None
        yield made.settings_hash


def test_all_that_decides_the_events_is_in_the_hash(place: Place) -> None:
    (first,) = _hashes(place, "-b3")
    (same,) = _hashes(place, "-b3", "--job-size=7", "--max-attempts=5")
    others = [
        next(_hashes(place, *words))
        for words in (["-b4"], ["-b3", "--seed=2"], ["-b3", "--run-number=7"])
    ]
    assert same == first
    assert len({first, *others}) == 4


def test_a_plan_of_a_million_jobs_is_small() -> None:
    sample = replace(BASE.samples[0], num_batches=1000, batch_size=1000)
    asked = replace(BASE, samples=(sample,), job_size=1)
    plan = planned(asked)
    assert sum(1 for _ in plan.entries()) == 3 * 1000 + 1
    jobs = ledger_of(plan).jobs
    assert len(jobs) == 1_001_000
    assert len(np.unique(jobs["job"])) == len(jobs)
    assert jobs.dtype.itemsize < 120
