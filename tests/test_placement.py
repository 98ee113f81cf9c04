"""Which job goes to which rank: cores are counted, and hosts that failed a job avoided."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, Kind, Outcome
from hvmpi.campaign.ledger import Ledger
from hvmpi.placement import Placement
from hvmpi.settings import load

SMALL, LARGE = Kind.GENERATION, Kind.RECONSTRUCTION
Plan = list[tuple[Kind, int]]


class Scene:
    """Jobs that all are ready, in rows of a kind, and ranks that the test lets work."""

    def __init__(self, plan: Plan, cores: dict[Kind, int], *options: str) -> None:
        self.ledger = Ledger()
        for kind, jobs in plan:
            self.ledger.apply(journal.JobsPlanned(kind, -1, 1, jobs, [], []))
        self.ledger.apply(journal.PlanComplete(0, sum(jobs for _, jobs in plan)))
        self.cores = cores
        settings = load("run", ["--engine=noop", *options])
        self.placement = Placement(self.ledger, settings, cores)
        self.jobs: dict[int, int] = {}

    def hosts(self, *hosts: tuple[int, int]) -> None:
        """Take in, for each host, as many ranks; a host has as many cores."""
        rank = 0
        for number, (ranks, cores) in enumerate(hosts):
            for _ in range(ranks):
                rank += 1
                assert self.placement.take_in(rank, "abc"[number], cores) == ""

    def start(self) -> list[tuple[int, str]]:
        """Start what can start; give the jobs and their hosts."""
        started = []
        while (chosen := self.placement.choose()) is not None:
            job, rank = chosen
            host = self.placement.host(rank)
            attempt = int(self.ledger.jobs["attempts"][job]) + 1
            self.ledger.apply(journal.Started(job, attempt, rank, host, 0.0))
            self.placement.started(rank, job, attempt)
            assert job not in self.jobs
            assert rank not in self.jobs.values()
            self.jobs[job] = rank
            started.append((job, host))
        return started

    def end(self, job: int, failure: FailureClass | None = None) -> None:
        """End a job; with a class it failed and is tried again."""
        (attempt,) = self.ledger.running_attempts(job)
        assert attempt is not None
        if failure is None:
            self.ledger.apply(journal.Accepted(job, attempt, 0.0, 1.0, 1, [], [], ""))
            self.ledger.apply(journal.Published(job, attempt))
        else:
            outcome = int(Outcome.PAYLOAD_FAILED)
            self.ledger.apply(
                journal.Failed(
                    job, attempt, 0.0, 1.0, outcome, 1, 0, "why", True, [], failure, "", "again"
                )
            )
        self.placement.ended(self.jobs.pop(job), job, attempt)


def test_where_jobs_use_one_core_a_rank_is_a_job() -> None:
    scene = Scene([(SMALL, 9)], {SMALL: 1})
    scene.hosts((4, 2))
    assert len(scene.start()) == 4


def test_with_host_cores_no_more_jobs_than_these_run_on_a_host() -> None:
    scene = Scene([(SMALL, 9)], {SMALL: 1}, "--host-cores=2")
    scene.hosts((4, 64), (4, 64))
    assert [host for _, host in scene.start()] == ["a", "a", "b", "b"]
    scene.end(0)
    assert scene.start() == [(4, "a")]


def test_jobs_of_several_cores_are_counted_against_those_of_their_host() -> None:
    scene = Scene([(LARGE, 9)], {LARGE: 4})
    scene.hosts((8, 9), (8, 4))
    assert scene.start() == [(0, "a"), (1, "a"), (2, "b")]


def test_a_large_job_is_not_overtaken_for_ever_by_small_ones() -> None:
    scene = Scene([(SMALL, 2), (LARGE, 1), (SMALL, 9)], {SMALL: 1, LARGE: 4})
    scene.hosts((8, 4))
    assert scene.start() == [(0, "a"), (1, "a")]
    scene.end(1)
    assert scene.start() == []
    scene.end(0)
    assert scene.start() == [(2, "a")]


def test_a_large_job_keeps_one_host_free_and_the_others_work_on() -> None:
    scene = Scene([(SMALL, 3), (LARGE, 1), (SMALL, 9)], {SMALL: 1, LARGE: 4})
    scene.hosts((3, 4), (6, 5))
    assert scene.start() == [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "b")]
    scene = Scene([(SMALL, 3), (LARGE, 2), (SMALL, 9)], {SMALL: 1, LARGE: 4})
    scene.hosts((4, 4), (6, 5))
    # The second of the large ones waits for host a, and host b has one core for a small one.
    assert scene.start() == [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (5, "b")]


def test_a_rank_on_a_host_that_is_too_small_is_left_out_with_its_reason() -> None:
    scene = Scene([(SMALL, 1), (LARGE, 1)], {SMALL: 1, LARGE: 8})
    reason = scene.placement.take_in(1, "tev03", 4)
    assert reason == (
        "tev03 has 4 cores, reconstruction jobs need 8 (cores of the tags, host-cores)"
    )
    assert scene.placement.empty
    assert scene.placement.take_in(2, "tev04", 8) == ""
    assert scene.start() == [(0, "tev04")]


def test_host_cores_say_how_small_a_host_is() -> None:
    scene = Scene([(LARGE, 1)], {LARGE: 8}, "--host-cores=1")
    assert "tev03 has 1 core, " in scene.placement.take_in(1, "tev03", 64)
    scene = Scene([(LARGE, 1)], {LARGE: 8}, "--host-cores=8")
    assert scene.placement.take_in(1, "tev03", 2) == ""


def test_a_host_has_the_cores_that_its_best_rank_sees() -> None:
    """Where mpirun binds ranks to cores, one may see more than another."""
    scene = Scene([(LARGE, 4)], {LARGE: 4})
    for rank, cores in ((1, 4), (2, 2), (3, 8), (4, 1)):
        assert scene.placement.take_in(rank, "a", cores) == ""
    assert len(scene.start()) == 2


# The same or another host


def test_a_job_that_had_better_be_elsewhere_waits_and_others_overtake_it() -> None:
    scene = Scene([(SMALL, 5)], {SMALL: 1})
    scene.hosts((1, 8), (1, 8))
    assert scene.start() == [(0, "a"), (1, "b")]
    scene.end(0, FailureClass.PASSING)
    assert scene.start() == [(2, "a")]
    scene.end(1)
    assert scene.start() == [(0, "b")]


def test_a_job_that_may_stay_goes_to_another_rank_if_one_is_free() -> None:
    scene = Scene([(SMALL, 1)], {SMALL: 1})
    scene.hosts((2, 8))
    scene.start()
    for last, then in ((1, 2), (2, 1)):
        assert scene.jobs == {0: last}
        scene.end(0, FailureClass.ONCE_MORE)
        scene.start()
        assert scene.jobs == {0: then}


def test_with_a_single_host_a_job_goes_there_again() -> None:
    scene = Scene([(SMALL, 1)], {SMALL: 1})
    scene.hosts((1, 8))
    for _ in range(3):
        assert scene.start() == [(0, "a")]
        scene.end(0, FailureClass.PASSING)


def test_when_it_failed_on_all_hosts_it_goes_to_any_but_the_last() -> None:
    scene = Scene([(SMALL, 1)], {SMALL: 1})
    scene.hosts((1, 8), (1, 8), (1, 8))
    seen = []
    for _ in range(5):
        ((_, host),) = scene.start()
        seen.append(host)
        scene.end(0, FailureClass.PASSING)
    assert seen[:3] == ["a", "b", "c"]
    assert all(one != other for one, other in pairwise(seen))


def test_when_the_other_hosts_leave_it_goes_to_the_same() -> None:
    scene = Scene([(SMALL, 2)], {SMALL: 1})
    scene.hosts((1, 8), (1, 8))
    assert scene.start() == [(0, "a"), (1, "b")]
    scene.end(0, FailureClass.RESOURCES)
    assert scene.start() == []
    scene.placement.leave(2)
    assert scene.start() == [(0, "a")]


def test_a_job_that_waits_for_another_host_keeps_none_free() -> None:
    scene = Scene([(LARGE, 4)], {LARGE: 4})
    scene.hosts((2, 8), (1, 4))
    assert scene.start() == [(0, "a"), (1, "a"), (2, "b")]
    scene.end(0, FailureClass.PASSING)
    assert scene.start() == [(3, "a")]


def test_a_report_that_comes_late_frees_nothing() -> None:
    scene = Scene([(SMALL, 9)], {SMALL: 1}, "--host-cores=1")
    scene.hosts((2, 8))
    assert scene.start() == [(0, "a")]
    scene.placement.ended(1, 0, 2)
    scene.placement.ended(2, 0, 1)
    assert scene.start() == []


@hypothesis_settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([SMALL, LARGE]), st.integers(1, 4)), min_size=1, max_size=6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(1, 4), st.integers(4, 9)), min_size=1, max_size=3),
    st.data(),
)
def test_no_host_is_overfilled_and_every_job_comes_to_its_end(
    plan: Plan, small: int, large: int, hosts: list[tuple[int, int]], data: st.DataObject
) -> None:
    cores = {SMALL: small, LARGE: large}
    most = data.draw(st.sampled_from([None, 5]))
    scene = Scene(plan, cores, *([f"--host-cores={most}"] if most else []))
    scene.hosts(*hosts)
    counted = most is not None or max(small, large) > 1
    failures = Counter[int]()
    while scene.ledger.unfinished:
        scene.start()
        assert scene.jobs, "nothing runs, and something is left"
        used = Counter[str]()
        for job, rank in scene.jobs.items():
            used[scene.placement.host(rank)] += cores[Kind(int(scene.ledger.jobs["kind"][job]))]
        for number, (_, has) in enumerate(hosts):
            assert not counted or used["abc"[number]] <= (most or has)
        job = data.draw(st.sampled_from(sorted(scene.jobs)))
        failure = data.draw(st.sampled_from([None, *FailureClass])) if failures[job] < 4 else None
        failures[job] += failure is not None
        scene.end(job, failure)


# Jobs that a rank is given ahead


def _ahead(scene: Scene, most: int = 2) -> list[tuple[int, int]]:
    """Give ranks jobs ahead; return the jobs and their ranks."""
    given = []
    while (
        chosen := scene.placement.choose_ahead(lambda _: most, lambda _kind, _row: True)
    ) is not None:
        jobs, rank = chosen
        for job in jobs:
            attempt = int(scene.ledger.jobs["attempts"][job]) + 1
            host = scene.placement.host(rank)
            scene.ledger.apply(journal.Started(job, attempt, rank, host, 0.0))
            scene.placement.started(rank, job, attempt)
            scene.jobs[job] = rank
            given.append((job, rank))
    return given


def test_ranks_get_jobs_ahead_and_begin_them_in_their_order() -> None:
    scene = Scene([(SMALL, 9)], {SMALL: 1})
    scene.hosts((2, 2))
    assert _ahead(scene) == []
    scene.start()
    assert _ahead(scene, 3) == [(2, 1), (3, 1), (4, 2), (5, 2)]
    scene.end(0)
    running = next(iter(scene.placement.given(1)), None)
    assert running is not None
    assert running.job == 2
    # It runs the next one, so it is not idle.
    assert scene.start() == []
    assert _ahead(scene, 3) == [(6, 1)]
    assert scene.placement.ahead == 4


@pytest.mark.parametrize("words", [["--host-cores=4"], []])
def test_where_cores_are_counted_nothing_is_given_ahead(words: list[str]) -> None:
    scene = Scene([(LARGE, 9)], {LARGE: 1 if words else 2}, *words)
    scene.hosts((2, 4))
    scene.start()
    assert _ahead(scene) == []


def test_a_job_that_had_better_be_elsewhere_is_not_given_ahead() -> None:
    scene = Scene([(SMALL, 5)], {SMALL: 1})
    scene.hosts((1, 8), (1, 8))
    scene.start()
    scene.end(0, FailureClass.PASSING)
    assert scene.start() == [(2, "a")]
    assert _ahead(scene) == [(3, 1), (4, 2)]
    scene.end(1)
    scene.end(4)
    assert scene.start() == [(0, "b")]


def test_what_waits_is_asked_back_for_an_idle_rank_half_of_it_at_a_time() -> None:
    scene = Scene([(SMALL, 6)], {SMALL: 1})
    scene.hosts((1, 8))
    scene.start()
    assert len(_ahead(scene, 9)) == 5
    assert scene.placement.to_give_back(float("inf")) == []
    assert scene.placement.take_in(2, "b", 8) == ""
    assert scene.placement.to_give_back(0.0) == []
    asked = [scene.placement.to_give_back(float("inf")) for _ in range(4)]
    assert [[given.job for _, given in some] for some in asked] == [[3, 4, 5], [2], [1], []]
    assert {rank for some in asked for rank, _ in some} == {1}


def test_a_host_that_is_held_gets_nothing_ahead_and_gives_back_what_waits() -> None:
    scene = Scene([(SMALL, 9)], {SMALL: 1})
    scene.hosts((2, 8), (1, 8))
    scene.start()
    assert _ahead(scene) == [(3, 1), (4, 2), (5, 3)]
    assert [given.job for _, given in scene.placement.hold(2, "a is full")] == [3, 4]
    scene.end(3, FailureClass.NONE)
    scene.end(0)
    assert scene.start() == []
    assert _ahead(scene) == []
    assert scene.placement.hold(2, "") == []
    assert scene.start() == [(3, "a")]


@pytest.mark.parametrize("engine", ["athena", "noop"])
def test_with_athena_cores_are_always_counted(engine: str) -> None:
    ledger = Scene([(SMALL, 9)], {SMALL: 1}).ledger
    settings = load("run", ["--engine=noop"])
    placement = Placement(ledger, replace(settings, engine=engine), {SMALL: 1})
    for rank in (1, 2):
        assert placement.take_in(rank, "a", 1) == ""
    placement.started(1, 0, 1)
    assert (placement.choose() is None) == (engine == "athena")
