"""A few runs of the benchmark that kills parts of campaigns at random, with fixed seeds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.chaos import Blow, Result, Victim, crash, draw, run_trial

SEED = 98
"""A worker, the master and a guardian stopped a while; payload, mpirun and supervisor killed."""
CRASH_SEED = 18
"""Six crashes, two of them of one job, and a hang."""


def test_whatever_is_killed_or_stopped_no_event_is_lost_or_made_twice(tmp_path: Path) -> None:
    trials = [draw(SEED, number) for number in range(len(Victim))]
    assert {trial.victim for trial in trials} == set(Victim)
    assert {trial.blow for trial in trials} >= {Blow.KILL, Blow.PAUSE}

    def carry_out(number: int) -> Result:
        return run_trial(trials[number], tmp_path / str(number))

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(carry_out, range(len(trials))))
    assert {r.trial.victim: r.problems for r in results if r.problems or r.errors} == {}
    assert all(result.opens for result in results)


def test_jobs_that_crash_and_hang_are_done_in_as_many_attempts_as_they_must(
    tmp_path: Path,
) -> None:
    crashes = crash(300, CRASH_SEED, tmp_path / "crashes")
    assert crashes.problems == ()
    assert crashes.jobs == 300
    assert crashes.crashed > 0
    assert crashes.attempts == crashes.jobs + crashes.crashed + crashes.hung


def test_a_seed_and_a_number_give_the_same_run_again() -> None:
    assert draw(SEED, 7) == draw(SEED, 7)
    assert draw(SEED, 7) != draw(SEED + 1, 7)
