"""How far a campaign is and how long the rest takes, told from a ledger and a clock of our own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, JobState, Kind, Outcome
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.pace import Pace
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.replay import fold
from hvmpi.engine import make_engine
from hvmpi.settings import load
from tests.conftest import Place


class Campaign:
    """A ledger of the noop engine, and what becomes of its jobs at which time."""

    def __init__(self, *words: str) -> None:
        settings = load("run", ["--engine=noop", *words])
        plan = make_plan(settings, make_engine(settings))
        self.ledger: Ledger = fold(plan.entries(), Path("journal.jsonl"))
        self.now = 1000.0

    def pace(self, expected_s: dict[Kind, float] | None = None) -> Pace:
        return Pace(self.ledger, expected_s or {})

    def begin(self, *jobs: int) -> None:
        for job in jobs:
            attempt = int(self.ledger.jobs.attempts[job]) + 1
            self.ledger.apply(journal.Started(job, attempt, 1, "host", self.now))

    def do(self, *jobs: int, wall_s: float) -> None:
        """Begin jobs and let them be done at once, as if they had taken so long."""
        self.begin(*jobs)
        for job in jobs:
            attempt = int(self.ledger.jobs.attempts[job])
            self.ledger.apply(journal.Accepted(job, attempt, self.now, wall_s, 1, [], [], ""))
            self.ledger.apply(journal.Published(job, attempt))

    def fail(self, job: int) -> None:
        self.begin(job)
        attempt = int(self.ledger.jobs.attempts[job])
        outcome, failure = int(Outcome.PAYLOAD_FAILED), int(FailureClass.PERMANENT)
        self.ledger.apply(
            journal.Failed(
                job, attempt, self.now, 1.0, outcome, 1, 0, "so it is", False, [], failure, "", ""
            )
        )


@pytest.fixture
def campaign(place: Place, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """Two batches of ten events, in jobs of five: jobs 0 and 3 generate."""
    made = Campaign("-n2", "-b10", "--job-size=5")
    clock = SimpleNamespace(monotonic=lambda: made.now)
    monkeypatch.setattr("hvmpi.campaign.pace.time", clock)
    kinds = [made.ledger.kind(job) for job in range(6)]
    assert kinds == [Kind.GENERATION, Kind.RECONSTRUCTION, Kind.RECONSTRUCTION] * 2
    assert place.root
    return made


def test_before_anything_is_done_nothing_is_known(campaign: Campaign) -> None:
    pace = campaign.pace()
    campaign.now += 5
    found = pace.look()
    assert (found.events_done, found.events, found.jobs_done, found.jobs) == (0, 20, 0, 6)
    assert (found.elapsed_s, found.events_per_s, found.left_s) == (5.0, 0.0, None)


def test_the_rest_is_told_by_kind_and_by_the_ranks_that_work(campaign: Campaign) -> None:
    pace = campaign.pace()
    # Two ranks, each a batch in 4 s.
    campaign.now += 4
    campaign.do(0, 3, wall_s=4.0)
    assert pace.look().left_s is None
    # And each a job of 5 events in 10 s.
    campaign.now += 10
    campaign.do(1, 2, wall_s=10.0)
    found = pace.look()
    assert (found.events_done, found.jobs_done, found.unfinished) == (10, 4, 2)
    assert found.left_s == pytest.approx(10.0)
    assert found.events_per_s == pytest.approx(10 / 14)
    campaign.now += 3
    assert pace.look().left_s == pytest.approx(7.0)
    # What takes longer than expected ends nobody knows when.
    campaign.now += 8
    assert pace.look().left_s is None
    campaign.now += 1
    campaign.do(4, 5, wall_s=22.0)
    found = pace.look()
    assert (found.events_done, found.unfinished, found.left_s) == (20, 0, 0.0)


def test_the_last_job_is_one_ranks(campaign: Campaign) -> None:
    pace = campaign.pace()
    campaign.now += 4
    campaign.do(0, 3, wall_s=4.0)
    campaign.now += 10
    campaign.do(1, 2, 4, wall_s=10.0)
    # Three worked at once; of these two have nothing to do any more.
    assert pace.look().left_s == pytest.approx(10.0)


def test_an_earlier_run_tells_from_the_start_of_a_kind(campaign: Campaign) -> None:
    pace = campaign.pace({Kind.RECONSTRUCTION: 20.0})
    campaign.now += 5
    campaign.do(0, wall_s=5.0)
    # A rank; 5 s for the other batch, 20 s for each of four jobs.
    assert pace.look().left_s == pytest.approx(85.0)


def test_failed_jobs_are_no_work_any_more(campaign: Campaign) -> None:
    pace = campaign.pace()
    campaign.now += 4
    campaign.do(0, 3, wall_s=4.0)
    campaign.now += 10
    campaign.do(1, 2, wall_s=10.0)
    campaign.fail(4)
    found = pace.look()
    assert (found.failed, found.events_done, found.unfinished) == (1, 10, 1)
    assert found.left_s == pytest.approx(10.0)


def test_what_was_done_before_tells_nothing_of_this_launch(campaign: Campaign) -> None:
    campaign.do(0, 3, wall_s=1.0)
    campaign.do(1, wall_s=1.0)
    pace = campaign.pace()
    campaign.now += 2
    found = pace.look()
    assert (found.events_done, found.events_per_s, found.left_s) == (5, 0.0, None)
    campaign.now += 2
    campaign.do(2, wall_s=4.0)
    assert pace.look().events_per_s == pytest.approx(5 / 4)


def test_where_only_event_files_are_made_their_events_count(place: Place) -> None:
    settings = load("generate", ["--engine=noop", "-n3", "-b10"])
    plan = make_plan(settings, make_engine(settings))
    ledger = fold(plan.entries(), place.root / "journal.jsonl")
    assert ledger.counts[JobState.READY] == 3
    assert Pace(ledger, {}).look().events == 30
