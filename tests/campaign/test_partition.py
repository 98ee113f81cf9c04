"""How event files are cut into jobs by the time that their events take."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.partition import Stretch, alike, by_time

FILES = st.lists(
    st.tuples(st.integers(1, 20_000), st.sampled_from([0.01, 0.1, 1.0, 30.0])), max_size=20
)


def _jobs(stretches: tuple[Stretch, ...]) -> list[tuple[int, int]]:
    return [
        (first, min(first + part.job_size, part.skip + part.events))
        for part in stretches
        for first in range(part.skip, part.skip + part.events, part.job_size)
    ]


@given(
    files=FILES,
    workers=st.integers(1, 3000),
    shortest_s=st.floats(0.1, 100.0),
    factor=st.floats(1.0, 1000.0),
)
def test_each_event_is_in_one_job_and_jobs_get_shorter(
    files: list[tuple[int, float]], workers: int, shortest_s: float, factor: float
) -> None:
    longest_s = shortest_s * factor
    cut = list(by_time(files, workers=workers, longest_s=longest_s, shortest_s=shortest_s))
    assert len(cut) == len(files)
    for (events, _), stretches in zip(files, cut, strict=True):
        jobs = _jobs(stretches)
        assert [jobs[0][0], jobs[-1][1]] == [0, events]
        assert all(before[1] == after[0] for before, after in pairwise(jobs))
    for wanted in {event_s for _, event_s in files}:
        sizes = [
            part.job_size
            for (_, event_s), stretches in zip(files, cut, strict=True)
            if event_s == wanted
            for part in stretches
        ]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] * wanted <= max(longest_s + wanted / 2, wanted)


@given(events=st.integers(100_000, 1_000_000), workers=st.integers(1, 50))
def test_a_campaign_begins_with_the_longest_and_ends_with_the_shortest(
    events: int, workers: int
) -> None:
    files = [(events // 10, 0.1)] * 10
    cut = list(by_time(files, workers=workers, longest_s=60, shortest_s=2))
    sizes = [part.job_size for stretches in cut for part in stretches]
    if sum(count for count, _ in files) * 0.1 >= 2 * workers * 60:
        assert sizes[0] == 600
    assert sizes[-1] == 20
    # What is left when a job starts is worth two such jobs for each worker.
    left = sum(events for events, _ in files)
    for stretches in cut:
        for first, last in _jobs(stretches):
            size = next(p.job_size for p in stretches if p.skip <= first < p.skip + p.events)
            assert size == 20 or (size - 0.5) * 2 * workers <= left + size
            left -= last - first


def test_a_given_size_is_the_size_of_all() -> None:
    assert alike(25, 10) == (Stretch(0, 25, 10),)
