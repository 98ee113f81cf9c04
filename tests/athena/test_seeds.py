"""Seeds: the same again, never twice in a sample, and such as MadGraph takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hvmpi.athena.seeds import GENERATION_SEEDS, generation_seed, job_seed

SEEDS = st.integers(0, 2**63 - 1)
BATCHES = st.integers(0, GENERATION_SEEDS - 1)


def test_no_batch_of_a_large_sample_has_the_seed_of_another() -> None:
    seeds = {generation_seed(1, 304795, batch) for batch in range(1, 200_001)}
    assert len(seeds) == 200_000
    assert min(seeds) >= 0
    assert max(seeds) < GENERATION_SEEDS == 30081**2
    # Spread over all that there are.
    assert abs(sum(seeds) / len(seeds) / GENERATION_SEEDS - 0.5) < 0.01


@given(SEEDS, st.integers(1, 2**31 - 1), BATCHES, BATCHES)
def test_two_batches_have_two_seeds(seed: int, run_number: int, one: int, other: int) -> None:
    first, second = (generation_seed(seed, run_number, batch) for batch in (one, other))
    assert (first == second) == (one == other)
    assert 0 <= first < GENERATION_SEEDS


@given(SEEDS, st.integers(1, 2**31 - 1))
def test_campaigns_and_samples_have_seeds_of_their_own(seed: int, run_number: int) -> None:
    def of(seed: int, run_number: int) -> list[int]:
        return [generation_seed(seed, run_number, batch) for batch in range(1, 4)]

    assert of(seed, run_number) not in (of(seed + 1, run_number), of(seed, run_number + 1))


def test_seeds_never_change() -> None:
    # A rerun must make the same events, whenever it comes.
    seeds = [generation_seed(1, 304795, batch) for batch in (1, 2, 20)]
    assert seeds == [
        215755349,
        493830940,
        46656834,
    ]
    assert job_seed(1, 304795, 51, "s2608") == 1067339128


def test_steps_and_jobs_have_seeds_of_their_own() -> None:
    seeds = {
        job_seed(seed, run_number, first_event, step)
        for seed in (1, 2)
        for run_number in (304794, 304795)
        for first_event in range(1, 1001, 50)
        for step in ("s2608", "r7773")
    }
    assert len(seeds) == 2 * 2 * 20 * 2
    assert all(0 <= seed < 2**31 for seed in seeds)
