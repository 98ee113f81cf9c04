"""Second attempts of slow jobs: first answer wins, never more than two, charged to nobody."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from benchmarks.clockwork import campaign
from hvmpi.campaign import journal
from hvmpi.campaign.audit import audit
from hvmpi.campaign.jobs import Job, JobState, Outcome
from hvmpi.campaign.replay import replay
from hvmpi.campaign.retry import Spent
from hvmpi.duplicates import remaining_s
from hvmpi.messages import Assign, Cancel, GiveBack, Message
from tests.conftest import Place, RunOnDisk, shell
from tests.test_master import Table, failed, hello, set_up

USUAL_S = 30.0
TIMES = st.lists(st.floats(0.1, 1000.0), max_size=50)


# How long an attempt may go on


@given(times=TIMES, elapsed_s=st.floats(0.0, 2000.0))
def test_what_is_expected_lies_between_what_is_known_and_as_long_again(
    times: list[float], elapsed_s: float
) -> None:
    further = [time - elapsed_s for time in times if time > elapsed_s]
    expected = remaining_s(elapsed_s, np.array(times))
    assert min([*further, elapsed_s]) - 1e-9 <= expected <= max([*further, elapsed_s]) + 1e-9


def test_beyond_all_that_are_known_it_goes_on_for_as_long_again() -> None:
    assert remaining_s(30.0, np.full(100, 10.0)) == 30.0


def test_among_many_that_are_known_it_goes_on_as_these_do() -> None:
    times = np.random.default_rng(1).exponential(10.0, 100_000)
    assert remaining_s(12.0, times) == pytest.approx(10.0, rel=0.05)


# A master whose workers are moved by hand: rank 2 hangs with a job, rank 1 does all others


class Stall:
    """A campaign of which all is done that can be, but for one slow job of rank 2."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
        self.late_s = 0.0
        monotonic, unix = time.monotonic, time.time
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + self.late_s)
        monkeypatch.setattr(time, "time", lambda: unix() + self.late_s)
        self.table: Table = set_up(place, 12, *more)
        self.ledger = self.table.run.ledger
        for rank in (1, 2):
            self.table.got(rank)
            self.table.send(rank, hello(f"host{rank}"))
        self.slow, *_ = (m for m in self.table.got(2) if isinstance(m, Assign))
        self._do_the_rest()
        self.job = self.slow.job.number

    def _do_the_rest(self) -> None:
        idle = 0
        while idle < 3:
            self.late_s += 0.2
            self.table.master.step()
            assigned = [m for m in self.table.got(1) if isinstance(m, Assign)]
            for one in assigned:
                report = self.table.done(one)
                self.table.send(1, structs.replace(report, wall_s=USUAL_S))
            for message in self.table.got(2):
                if isinstance(message, GiveBack):
                    back = failed(self.slow, Outcome.INTERRUPTED)
                    wanted = {"job": message.job, "attempt": message.attempt}
                    self.table.send(2, structs.replace(back, **wanted))
            idle = 0 if assigned else idle + 1

    def let_pass(self, seconds: float) -> None:
        self.late_s += seconds
        self.table.master.step()

    def assigned(self, rank: int) -> list[Assign]:
        return [m for m in self.table.got(rank) if isinstance(m, Assign)]

    def second(self) -> Assign:
        """Wait until rank 1 gets a second attempt of the slow job."""
        self.let_pass(100.0)
        (second,) = self.assigned(1)
        assert (second.job.number, second.job.attempt) == (self.job, 2)
        return second

    def told(self, rank: int) -> list[Message]:
        return [m for m in self.table.got(rank) if isinstance(m, Cancel)]

    def entries(self, *kinds: type[journal.Entry]) -> list[journal.Entry]:
        self.table.run.journal.write()
        every = RunOnDisk(self.table.run.paths.directory).entries(*kinds)
        return [entry for entry in every if getattr(entry, "job", None) == self.job]


@pytest.fixture
def stall(place: Place, monkeypatch: pytest.MonkeyPatch) -> Stall:
    return Stall(place, monkeypatch)


def test_a_slow_job_gets_a_second_attempt_once_nothing_else_is_to_do(stall: Stall) -> None:
    second = stall.second()
    assert stall.ledger.running_attempts(stall.job) == (1, 2)
    first_line, second_line = stall.entries(journal.Started)
    assert first_line.reason == ""
    assert second_line.reason.startswith("attempt 1 has run for 10")
    assert any(line.startswith(f"job {stall.job} gets a second") for line in stall.table.said)
    stall.let_pass(500.0)
    assert stall.assigned(1) == stall.assigned(2) == []
    assert second.job.event_file == stall.slow.job.event_file


def test_the_first_answer_wins_and_the_other_attempt_is_called_off(stall: Stall) -> None:
    stall.table.send(1, stall.table.done(stall.second()))
    assert stall.ledger.state(stall.job) is JobState.DONE
    reason = "attempt 2 of its job was done before"
    assert stall.told(2) == [Cancel(stall.job, 1, reason)]
    stall.table.send(2, failed(stall.slow, Outcome.INTERRUPTED))
    assert stall.ledger.running_attempts(stall.job) == ()
    assert stall.ledger.spent(stall.job) == Spent()
    (accepted,) = stall.entries(journal.Accepted)
    assert accepted.attempt == 2
    # And rank 2 gets the jobs that waited for it.
    assert stall.assigned(1) + stall.assigned(2) != []


def test_an_answer_that_comes_too_late_is_removed_and_charged_to_nobody(stall: Stall) -> None:
    second = stall.second()
    late = stall.table.done(stall.slow)
    stall.table.send(1, stall.table.done(second))
    part = stall.table.run.paths.resolve(late.outputs[0].part)
    assert part.exists()
    stall.table.send(2, late)
    assert not part.exists()
    assert stall.ledger.spent(stall.job) == Spent()
    assert len(stall.entries(journal.Accepted)) == 1
    (over,) = stall.entries(journal.Failed)
    assert (over.attempt, over.outcome) == (1, Outcome.INTERRUPTED)


def test_the_first_attempt_may_win(stall: Stall) -> None:
    second = stall.second()
    stall.table.send(2, stall.table.done(stall.slow))
    (cancel,) = stall.told(1)
    assert cancel == Cancel(stall.job, 2, "attempt 1 of its job was done before")
    stall.table.send(1, failed(second, Outcome.INTERRUPTED))
    attempts = np.asarray(stall.ledger.attempts)
    outcomes = attempts["outcome"][attempts["job"] == stall.job].tolist()
    assert outcomes == [Outcome.DONE, Outcome.INTERRUPTED]
    assert stall.ledger.jobs["rank"][stall.job] == 2


@pytest.mark.parametrize("dies", [1, 2])
def test_the_loss_of_a_rank_with_one_of_two_attempts_leaves_the_job_running(
    stall: Stall, dies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = stall.second()
    other = {1: stall.slow, 2: second}[dies]
    monkeypatch.setattr(stall.table.ends[0], "failed", lambda: [dies])
    stall.table.master.step()
    monkeypatch.setattr(stall.table.ends[0], "failed", list)
    assert stall.ledger.state(stall.job) is JobState.RUNNING
    assert stall.ledger.running_attempts(stall.job) == (other.job.attempt,)
    (lost,) = stall.entries(journal.Failed)
    assert lost.decision == f"attempt {other.job.attempt} goes on"
    stall.table.send(3 - dies, stall.table.done(other))
    assert stall.ledger.state(stall.job) is JobState.DONE


def test_a_job_of_which_both_attempts_fail_is_tried_again(stall: Stall) -> None:
    second = stall.second()
    stall.table.send(1, failed(second, Outcome.WORKER_LOST))
    assert stall.ledger.state(stall.job) is JobState.RUNNING
    assert stall.assigned(1) == []
    stall.table.send(2, failed(stall.slow, Outcome.WORKER_LOST))
    (third,) = stall.assigned(1) + stall.assigned(2)
    assert (third.job.number, third.job.attempt) == (stall.job, 3)


def test_an_event_file_is_not_put_aside_while_another_attempt_makes_it(stall: Stall) -> None:
    second = stall.second()
    stall.table.send(2, failed(stall.slow, Outcome.BAD_INPUT))
    row = int(stall.ledger.jobs["event_file"][stall.job])
    assert stall.ledger.event_files[row].reason == ""
    stall.table.send(1, stall.table.done(second))
    assert stall.ledger.state(stall.job) is JobState.DONE


def test_a_duplicate_yields_to_jobs_that_have_no_attempt_yet(stall: Stall) -> None:
    second = stall.second()
    # Jobs become ready: an earlier one is to be made again, say.
    job = next(j for j in range(len(stall.ledger.jobs)) if j != stall.job)
    stall.ledger.jobs.states[job] = JobState.WAITING
    stall.ledger._move(job, JobState.READY)
    stall.table.master.step()
    assert stall.told(1) == [
        Cancel(stall.job, 2, "its rank is needed for jobs that have no attempt yet")
    ]
    stall.table.send(1, failed(second, Outcome.INTERRUPTED))
    assert stall.ledger.running_attempts(stall.job) == (1,)
    assert stall.ledger.spent(stall.job) == Spent()
    assert [one.job.number for one in stall.assigned(1)] == [job]


def test_without_duplicates_a_slow_job_is_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    stall = Stall(place, monkeypatch, "--no-duplicates")
    stall.let_pass(1000.0)
    assert stall.assigned(1) == []


def test_where_cores_are_counted_a_duplicate_needs_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvmpi.noop.NoopEngine.cores", lambda *_: 4)
    table = set_up(place, 12)
    for rank in (1, 2):
        table.got(rank)
        table.send(rank, hello("host", 7))
    placement = table.master._placement
    assert placement.has_idle
    (kind,) = {given.kind for _, given in placement.running_first()}
    assert placement.idle_beside(1, kind) is None


# Whole campaigns with workers that are simulated


@example(seed=263, sigma=0.5, slow={4: 50.0, 2: 1e6, 1: 1e6})
@given(
    seed=st.integers(0, 10_000),
    sigma=st.sampled_from([0.05, 0.5, 1.5]),
    slow=st.dictionaries(st.integers(1, 5), st.sampled_from([5.0, 50.0, 1e6]), max_size=3),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_never_more_than_two_attempts_and_none_is_charged(
    tmp_path_factory: pytest.TempPathFactory, seed: int, sigma: float, slow: dict[int, float]
) -> None:
    place = tmp_path_factory.mktemp("campaign")
    takes_s = 60.0 * np.random.default_rng(seed).lognormal(0.0, sigma, 60)
    files = place / "evnt"
    files.mkdir()
    (files / "304795.60.1.evnt.txt").write_text("".join(f"{n}\n" for n in range(1, 61)))

    def takes(job: Job, rank: int) -> float:
        return float(takes_s[job.skip_events]) * slow.get(rank, 1.0)

    ended = campaign(place, 6, takes, "--job-size=1")
    assert _most_at_once(ended.directory / "journal.jsonl") <= 2
    ledger = replay(ended.directory / "journal.jsonl")
    assert ledger.counts[JobState.DONE] == 60
    assert all(ledger.spent(job) == Spent() for job in range(60))
    found = audit(ended.directory)
    assert (found.faults, found.not_done, found.done) == ((), (), 60)
    # A rank that is hopelessly slow keeps nobody waiting.
    assert ended.makespan_s < 3600 * 24 * 7


@pytest.mark.parametrize("slow", [30, 50, 57])
def test_what_waits_behind_a_slow_job_is_begun_before_that_is_doubled(
    tmp_path: Path, slow: int
) -> None:
    files = tmp_path / "evnt"
    files.mkdir()
    (files / "304795.60.1.evnt.txt").write_text("".join(f"{n}\n" for n in range(1, 61)))

    def takes(job: Job, _: int) -> float:
        return 1000.0 if (job.skip_events, job.attempt) == (slow, 1) else 0.5

    ended = campaign(tmp_path, 2, takes, "--job-size=1")
    entries = list(journal.read_entries(ended.directory / "journal.jsonl"))
    (doubled,) = (e.time for e in entries if isinstance(e, journal.Started) and e.reason)
    accepted = [e for e in entries if isinstance(e, journal.Accepted) and e.job != slow]
    assert len(accepted) == 59
    assert max(entry.began for entry in accepted) <= doubled


def _most_at_once(path: Path) -> int:
    under_way: Counter[int] = Counter()
    most = 0
    for entry in journal.read_entries(path):
        if isinstance(entry, journal.Started):
            under_way[entry.job] += 1
            most = max(most, under_way[entry.job])
        elif isinstance(entry, journal.Accepted | journal.Failed):
            under_way[entry.job] -= 1
    return most


# Real ranks


def test_a_payload_that_hangs_is_overtaken_by_a_second_attempt(place: Place) -> None:
    place.event_file("304795.60.1", range(1, 61))
    # The first attempt of job 20 would take ten minutes, others a twentieth of a second.
    script = '[ "$1$2" != 201 ] || exec sleep 600; sleep 0.05; echo "$1 $2" > "$4"'
    words = ("reconstruct", "--evnt-dir", place.root / "evnt", "-b2", *shell(script))
    answer = place.mpirun(3, *words)
    assert answer.code == 0, answer.err
    assert "job 20 gets a second attempt" in answer.out
    run = place.run()
    status = run.status()
    assert status.jobs["state"].tolist() == ["done"] * 30
    of_it = status.attempts[status.attempts["job"] == 20]
    assert of_it["outcome"].tolist() == ["interrupted", "done"]
    assert of_it["reason"].tolist() == ["attempt 2 of its job was done before", ""]
    assert (run.directory / "aod/304795.60.1.2.40.aod.txt").read_text() == "20 2\n"
    assert not (run.directory / "logs").exists()
    assert not (run.directory / "tmp").exists()
    assert place.hvmpi("verify").code == 0


def test_a_rank_that_is_stopped_keeps_nobody_waiting_and_a_rerun_finds_all_done(
    place: Place,
) -> None:
    place.event_file("304795.60.1", range(1, 61))
    script = '[ "$1$2" != 201 ] || kill -STOP $PPID $$; sleep 0.05; echo "$1 $2" > "$4"'
    words = ("reconstruct", "--evnt-dir", place.root / "evnt", "-b2", *shell(script))
    answer = place.mpirun(3, *words)
    assert answer.code == 0, answer.err
    run = place.run()
    assert run.status().jobs["state"].tolist() == ["done"] * 30
    assert place.hvmpi("verify").code == 0
    assert place.hvmpi("rerun", run.timestamp).code == 0
    assert len(run.files("aod")) == 30
