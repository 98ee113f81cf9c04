"""In which order jobs start: the longest first, where the plan leaves a choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.clockwork import Ended, campaign
from hvmpi.campaign import journal
from hvmpi.campaign.event_files import Manifest
from hvmpi.campaign.jobs import Job, Kind
from hvmpi.campaign.order import longest_first
from hvmpi.campaign.paths import manifest
from hvmpi.campaign.rows import JOB_FIELDS
from hvmpi.files import sha256_of
from tests.conftest import Place

BATCHES = st.lists(
    st.tuples(st.booleans(), st.lists(st.floats(0.5, 50.0), min_size=1, max_size=5)), max_size=8
)
"""Event files: whether a job makes them, and the times of the jobs that read them."""


def _plan(
    batches: list[tuple[bool, list[float]]],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    rows = [(Kind.LIBRARY, -1, 7.0)]
    for file, (generated, times) in enumerate(batches):
        rows += [(Kind.GENERATION, file, 3.0)] * generated
        rows += [(Kind.RECONSTRUCTION, file, time) for time in times]
    rows.append((Kind.MERGE, -1, 100.0))
    jobs = np.zeros(len(rows), dtype=JOB_FIELDS)
    jobs["kind"], jobs["event_file"] = [row[0] for row in rows], [row[1] for row in rows]
    return jobs, np.array([row[2] for row in rows])


@given(BATCHES)
def test_each_job_has_its_turn_and_batches_stay_together(
    batches: list[tuple[bool, list[float]]],
) -> None:
    jobs, expected_s = _plan(batches)
    order = longest_first(jobs["kind"], jobs["event_file"], expected_s)
    assert sorted(order.tolist()) == list(range(len(jobs)))
    assert (order[0], order[-1]) == (0, len(jobs) - 1)
    generated = {file for file, (made, _) in enumerate(batches) if made}
    inner = order[1:-1]
    for file in generated:
        places = np.flatnonzero(jobs["event_file"][inner] == file)
        assert places.tolist() == list(range(places[0], places[-1] + 1))
        assert jobs["kind"][inner[places[0]]] == Kind.GENERATION
        times = expected_s[inner[places[1:]]].tolist()
        assert times == sorted(times, reverse=True)
    free = [job for job in inner.tolist() if jobs["event_file"][job] not in generated]
    times = expected_s[free].tolist()
    assert times == sorted(times, reverse=True)


@given(BATCHES)
def test_among_equals_the_plans_order_holds(batches: list[tuple[bool, list[float]]]) -> None:
    jobs, expected_s = _plan(batches)
    order = longest_first(jobs["kind"], jobs["event_file"], np.ones_like(expected_s))
    assert order.tolist() == list(range(len(jobs)))


def test_a_campaign_without_jobs_has_an_order() -> None:
    jobs = np.zeros(0, dtype=JOB_FIELDS)
    assert longest_first(jobs["kind"], jobs["event_file"], np.zeros(0)).tolist() == []


# Whole campaigns with workers that are simulated


def _started(ended: Ended) -> list[int]:
    entries = journal.read_entries(ended.directory / "journal.jsonl")
    return [entry.job for entry in entries if isinstance(entry, journal.Started)]


def test_jobs_that_an_earlier_run_measured_start_longest_first(place: Place) -> None:
    place.event_file("304795.100.1", range(1, 101))
    times = np.random.default_rng(3).lognormal(3.0, 1.0, 50)

    def takes(job: Job, _rank: int) -> float:
        return float(times[job.skip_events // 2])

    first = campaign(place.root, 4, takes, "--job-size=2", "--no-duplicates")
    assert _started(first)[:50] == list(range(50))
    second = campaign(
        place.root, 4, takes, "--job-size=2", "--no-duplicates", f"--times-from={first.directory}"
    )
    assert _started(second)[:40] == np.argsort(-times)[:40].tolist()


def test_the_sample_that_turns_out_to_take_longest_goes_first(place: Place) -> None:
    for run_number in (304795, 304796, 304797):
        path = place.event_file(f"{run_number}.40.1", range(1, 41))
        made = Manifest("", sha256_of(path), path.stat().st_size, 40, 1, run_number, 1, "s")
        manifest(path).write_text(made.to_json())
    slow = range(40, 80)

    def takes(job: Job, _rank: int) -> float:
        return 100.0 if job.number in slow else 10.0

    started = _started(campaign(place.root, 4, takes, "--job-size=1", "--no-duplicates"))
    # All are taken to be alike until 16 are done; then a job of each other sample goes first, and
    # once these are done, all of the slow one.
    assert started[:16] == list(range(16))
    assert {40, 80} <= set(started[16:24])
    assert max(map(started.index, slow)) <= 80
    assert set(started[-39:]).isdisjoint(slow)


def test_jobs_of_fewer_events_start_last(place: Place) -> None:
    for batch in (1, 2):
        place.event_file(f"304795.5.{batch}", range(5 * batch - 4, 5 * batch + 1))
    ended = campaign(place.root, 2, lambda *_: 1.0, "--job-size=2", "--no-duplicates")
    assert _started(ended) == [0, 1, 3, 4, 2, 5]
