"""Campaigns under way: attempts, reruns, kills, signals, no barrier."""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from hvmpi import __version__
from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, JobState, Kind, Outcome, Output
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.retry import Spent
from hvmpi.campaign.run import Run, begin_run
from hvmpi.channel import LocalChannel
from hvmpi.engine import make_engine
from hvmpi.master import Master
from hvmpi.messages import (
    Alive,
    Assign,
    Cancel,
    GiveBack,
    Goodbye,
    Held,
    Hello,
    Message,
    Report,
    Stop,
    Welcome,
)
from hvmpi.settings import load
from tests.conftest import THREE_JOBS, Place, RunOnDisk, accepted_once, noop, shell, until_mended

# What a payload can do wrong costs its job an attempt and nothing else

WRONGS = {
    "SIGSEGV": ("kill -SEGV $$", "payload_failed", -11, 11, "SIGSEGV"),
    "SIGKILL": ("kill -KILL $$", "payload_failed", -9, 9, "SIGKILL"),
    "code 3": ("exit 3", "payload_failed", 3, 0, "code 3"),
    "timeout": ("exec sleep 600", "timed_out", -15, 15, "job-timeout (1 s)"),
    "no output": ("exit 0", "output_invalid", 0, 0, "304795.6.1.2.2.aod.txt"),
}


@pytest.mark.parametrize(("what", "outcome", "code", "number", "why"), WRONGS.values(), ids=WRONGS)
def test_a_wrong_costs_its_job_an_attempt_and_nothing_else(
    three: Place, what: str, outcome: str, code: int, number: int, why: str
) -> None:
    script = f'[ "$1$2" != 11 ] || {what}; touch "$4"'
    assert three.hvmpi(*THREE_JOBS, *shell(script), "--job-timeout=1").code == 0
    run = three.run()
    status = run.status()
    assert status.jobs["state"].tolist() == ["done"] * 3
    assert status.jobs["attempts"].tolist() == [1, 2, 1]
    (bad,) = status.attempts[status.attempts["outcome"] != "done"]
    assert (bad["job"], bad["attempt"]) == (1, 1)
    assert (bad["outcome"], bad["exit_code"], bad["signal"]) == (outcome, code, number)
    assert bad["failure"] == ("resources" if outcome == "timed_out" else "none")
    assert bad["where"] == "noop.log"
    assert why in bad["reason"]
    assert len(run.files("aod")) == 3


def test_a_missing_program_costs_attempts_and_nothing_else(three: Place) -> None:
    answer = three.hvmpi(*THREE_JOBS, *noop("/no/such/program", "{output}"))
    assert answer.code == 1
    status = three.run().status()
    assert status.jobs["state"].tolist() == ["failed"] * 3
    assert status.jobs["attempts"].tolist() == [2] * 3
    assert set(status.jobs["outcome"]) == {"setup_failed"}
    assert "/no/such/program" in status.jobs["reason"][0]
    assert "Traceback" not in answer.out + answer.err


def test_a_payload_that_does_not_heed_sigterm_is_killed(three: Place) -> None:
    script = 'trap "" TERM; [ "$1" != 1 ] || sleep 600; touch "$4"'
    words = (*THREE_JOBS, *shell(script), "--job-timeout=0.5", "--max-attempts=1")
    assert three.hvmpi(*words).code == 1
    status = three.run().status()
    assert status.jobs["state"].tolist() == ["done", "failed", "done"]
    assert status.jobs["outcome"][1] == "timed_out"


@pytest.mark.parametrize("most", [1, 3])
def test_max_attempts(three: Place, most: int) -> None:
    words = (*THREE_JOBS, *until_mended(three, "exit 3"), f"--max-attempts={most}")
    assert three.hvmpi(*words).code == 1
    status = three.run().status()
    assert status.jobs["attempts"].tolist() == [1, most, 1]
    assert status.jobs["state"].tolist() == ["done", "failed", "done"]


def test_two_attempts_are_the_default(three: Place) -> None:
    assert three.hvmpi(*THREE_JOBS, *until_mended(three, "exit 3")).code == 1
    assert three.run().status().jobs["attempts"].tolist() == [1, 2, 1]


# Logs


def test_logs_of_failed_jobs_stay_and_those_of_done_ones_go(three: Place) -> None:
    words = (*THREE_JOBS, *shell('echo "$1 $2"; [ "$1" != 1 ] || exit 3; touch "$4"'))
    assert three.hvmpi(*words).code == 1
    run = three.run()
    assert [run.log(1, attempt) for attempt in (1, 2)] == ["1 1\n", "1 2\n"]
    assert [path.name for path in (run.directory / "logs/0000").iterdir()] == ["job00000001"]


def test_all_logs_stay_with_keep_logs(three: Place) -> None:
    words = (*THREE_JOBS, "--keep-logs", *shell('echo "$1 $2"; touch "$4"'))
    assert three.hvmpi(*words).code == 0
    run = three.run()
    assert [run.log(job, 1) for job in range(3)] == ["0 1\n", "1 1\n", "2 1\n"]


def test_working_directories_are_gone(three: Place) -> None:
    assert three.hvmpi(*THREE_JOBS, *until_mended(three, "exit 3")).code == 1
    assert not (three.run().directory / "tmp").exists()


# Rerun


def test_a_rerun_continues_attempt_numbers_and_keeps_earlier_logs(three: Place) -> None:
    words = (*THREE_JOBS, *shell('echo "attempt $2"; [ "$1" != 1 ] || exit 3; touch "$4"'))
    assert three.hvmpi(*words).code == 1
    run = three.run()
    assert three.hvmpi("rerun", run.timestamp, "--max-attempts=3").code == 1
    status = run.status()
    assert status.jobs["attempts"].tolist() == [1, 5, 1]
    assert status.attempts["attempt"][status.attempts["job"] == 1].tolist() == [1, 2, 3, 4, 5]
    assert [run.log(1, number) for number in range(1, 6)] == [
        f"attempt {number}\n" for number in range(1, 6)
    ]


def test_a_rerun_with_r_does_the_same(three: Place) -> None:
    assert three.hvmpi(*THREE_JOBS, *until_mended(three, "exit 3")).code == 1
    (three.root / "mended").touch()
    assert three.hvmpi("-r", three.run().timestamp).code == 0
    assert three.run().status().jobs["attempts"].tolist() == [1, 3, 1]
    assert three.run().status().attributes["state"] == "complete"


def test_a_rerun_of_a_finished_run_does_nothing(three: Place) -> None:
    assert three.hvmpi(*THREE_JOBS, *shell('touch "$4"')).code == 0
    run = three.run()
    started = run.entries(journal.Started)
    assert three.hvmpi("rerun", run.timestamp).code == 0
    assert run.entries(journal.Started) == started
    assert accepted_once(run)


def test_a_rerun_takes_physics_from_the_run_and_ignores_other_keys_of_a_config(
    three: Place,
) -> None:
    assert three.hvmpi(*THREE_JOBS, *until_mended(three, "exit 3")).code == 1
    (three.root / "mended").touch()
    (three.root / "my.toml").write_text("job-size = 1\nseed = 9\nmax-attempts = 7\n")
    answer = three.hvmpi("rerun", three.run().timestamp, "-c", "my.toml")
    assert answer.code == 0
    (notice,) = [line for line in answer.out.splitlines() if "ignored" in line]
    assert "job-size" in notice
    assert "seed" in notice
    assert len(three.run().status().jobs) == 3


def test_other_versions_are_refused_unless_allowed(
    three: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert three.hvmpi(*THREE_JOBS, *until_mended(three, "exit 3")).code == 1
    (three.root / "mended").touch()
    run = three.run()
    monkeypatch.setattr("hvmpi.campaign.run.__version__", "99.0")
    before = three.tree()
    answer = three.hvmpi("rerun", run.timestamp)
    assert answer.code == 2
    assert "99.0" in answer.complaint
    assert "--allow-version-change" in answer.complaint
    assert {name: of for name, of in three.tree().items() if name != f"runs/{run.timestamp}"} == {
        name: of for name, of in before.items() if name != f"runs/{run.timestamp}"
    }
    assert three.hvmpi("rerun", run.timestamp, "--allow-version-change").code == 0
    (resumed,) = run.entries(journal.Resumed)
    assert resumed.versions["hvmpi"] == "99.0"


# Publication


def _cut_after(run: RunOnDisk, entry: type[journal.Entry], job: int) -> None:
    """Take away all lines of the journal behind the one of a job."""
    lines = run.journal.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines):
        fields = json.loads(line)
        if fields["type"] == entry.type and fields["job"] == job:
            run.journal.write_bytes(b"".join(lines[: number + 1]))
            return
    raise AssertionError(entry, job)


@pytest.mark.parametrize("renamed", [False, True])
def test_what_was_accepted_is_published_by_the_next_master(three: Place, renamed: bool) -> None:
    assert three.hvmpi(*THREE_JOBS, *shell('echo "$1 $2" > "$4"')).code == 0
    run = three.run()
    _cut_after(run, journal.Accepted, 1)
    final = run.directory / "aod/304795.6.1.2.2.aod.txt"
    if not renamed:
        final.rename(final.with_name(f".{final.name}.attempt1.part"))
    assert three.hvmpi("rerun", run.timestamp).code == 0
    assert final.read_text() == "1 1\n"
    assert run.status().jobs["attempts"].tolist() == [1, 1, 1]
    assert final.stat().st_mode & 0o222 == 0
    assert accepted_once(run)
    assert three.hvmpi("verify").code == 0


def test_an_accepted_output_that_is_gone_is_made_again(three: Place) -> None:
    assert three.hvmpi(*THREE_JOBS, *shell('echo "$1" > "$4"')).code == 0
    run = three.run()
    _cut_after(run, journal.Accepted, 1)
    final = run.directory / "aod/304795.6.1.2.2.aod.txt"
    final.unlink()
    assert three.hvmpi("rerun", run.timestamp).code == 0
    assert final.read_text() == "1\n"
    (lost,) = run.status().attempts[run.status().attempts["outcome"] == "output_invalid"]
    assert (lost["job"], lost["attempt"]) == (1, 1)
    assert "is gone" in lost["reason"]
    assert three.hvmpi("verify").code == 0


def test_what_is_there_already_is_not_overwritten(three: Place) -> None:
    assert three.hvmpi(*THREE_JOBS, *shell('echo "$1" > "$4"')).code == 0
    run = three.run()
    _cut_after(run, journal.Started, 1)
    final = run.directory / "aod/304795.6.1.2.2.aod.txt"
    final.chmod(0o644)
    final.write_text("somebody else's")
    answer = three.hvmpi("rerun", run.timestamp, "--max-attempts=1")
    assert answer.code == 1
    assert "is not overwritten" in answer.out
    assert final.read_text() == "somebody else's"
    assert run.status().jobs["state"].tolist() == ["done", "failed", "done"]


def test_a_batch_that_was_accepted_is_published_and_its_jobs_run(place: Place) -> None:
    words = ("run", "-b", "4", "-n", "2", "--job-size=2", *shell('cat "$3" > "$4"'))
    assert place.hvmpi(*words).code == 0
    run = place.run()
    _cut_after(run, journal.Accepted, 0)
    for path in (run.directory / "aod").iterdir():
        path.unlink()
    final = run.directory / "evnt/304795.4.1.evnt.txt"
    final.with_name(final.name + ".json").unlink()
    final.rename(final.with_name(f".{final.name}.attempt1.part"))
    assert place.hvmpi("rerun", run.timestamp).code == 0
    assert place.hvmpi("verify").code == 0
    assert final.with_name(final.name + ".json").exists()


def test_a_stray_part_is_removed_and_not_taken(three: Place) -> None:
    assert three.hvmpi(*THREE_JOBS, *until_mended(three, "exit 3")).code == 1
    run = three.run()
    stray = run.directory / "aod/.304795.6.1.2.2.aod.txt.attempt2.part"
    stray.write_text("half")
    answer = three.hvmpi("verify")
    assert answer.code == 1
    assert stray.name in answer.out
    (three.root / "mended").touch()
    assert three.hvmpi("rerun", run.timestamp).code == 0
    assert not stray.exists()
    assert (run.directory / "aod/304795.6.1.2.2.aod.txt").read_text() == ""
    assert three.hvmpi("verify").code == 0


def test_published_files_are_read_only_and_nothing_else_is_there(place: Place) -> None:
    words = ("run", "-b", "4", "-n", "2", "--job-size=2", *shell('cat "$3" > "$4"; touch x'))
    assert place.hvmpi(*words).code == 0
    run = place.run()
    assert run.files("evnt") == [
        name
        for batch in (1, 2)
        for name in (f"304795.4.{batch}.evnt.txt", f"304795.4.{batch}.evnt.txt.json")
    ]
    assert run.files("aod") == [f"304795.4.{b}.2.{s}.aod.txt" for b in (1, 2) for s in (0, 2)]
    for path in [*(run.directory / "evnt").iterdir(), *(run.directory / "aod").iterdir()]:
        assert path.stat().st_mode & 0o222 == 0


def test_event_files_that_are_not_kept_go_when_all_is_done(place: Place) -> None:
    words = ("run", "-b", "4", "-n", "2", "--keep=aod", *shell('cat "$3" > "$4"'))
    assert place.hvmpi(*words).code == 0
    assert place.run().files("evnt") == []
    assert place.hvmpi("verify").code == 0


def test_products_and_logs_can_lie_elsewhere(place: Place) -> None:
    words = ["run", "-b", "4", "-n", "1", "--keep-logs", *shell('pwd; cat "$3" > "$4"')]
    words += ["--evnt-dir=a b/evnt", "--aod-dir=a b/aod", "--log-dir=a b/logs", "--tmp-dir=t"]
    assert place.hvmpi(*words).code == 0
    run = place.run()
    status = run.status()
    assert status.jobs["output"].tolist() == [
        str(place.root / "a b/evnt/304795.4.1.evnt.txt"),
        str(place.root / f"a b/aod/{run.timestamp}/304795.4.1.50.0.aod.txt"),
    ]
    assert all(Path(path).is_file() for path in status.jobs["output"])
    log = Path(status.jobs["log"][1]) / "attempt1/noop.log"
    assert log.is_relative_to(place.root / "a b/logs" / run.timestamp)
    assert log.read_text().startswith(str(place.root / "t" / run.timestamp))
    assert place.hvmpi("verify").code == 0


# No barrier: a master with workers that are moved by hand


def hello(host: str, cores: int = 1, *, version: str = __version__, late_s: float = 0.0) -> Hello:
    return Hello(host, 1, "", cores, version, time.time() + late_s)


class Table:
    """A master and two workers of which the test decides when they answer."""

    def __init__(self, run: Run) -> None:
        boxes: list[deque[tuple[int, bytes]]] = [deque() for _ in range(3)]
        self.ends = [LocalChannel(rank, boxes) for rank in range(3)]
        self.said: list[str] = []
        self.run = run
        self.master = Master(run, self.ends[0], self.said.append)
        self.master.begin()

    def send(self, rank: int, message: Message) -> None:
        self.ends[rank].send(0, message)
        self.master.step()

    def got(self, rank: int) -> list[Message]:
        return [message for _, message in self.ends[rank].receive()]

    def assigned(self, rank: int) -> Assign:
        (message,) = self.got(rank)
        assert isinstance(message, Assign)
        return message

    def done(self, assign: Assign) -> Report:
        job, paths = assign.job, self.run.paths
        outputs: tuple[Output, ...] = ()
        if job.kind is Kind.GENERATION:
            final = paths.resolve(job.event_file.path)
            part = paths.part(final, job.attempt)
            part.write_text("1\n")
            outputs = (Output("evnt", paths.stored(part), paths.stored(final), 2, "0" * 64),)
        return Report(job.number, job.attempt, Outcome.DONE, "", 1.0, 0, 0, job.events, outputs)


def failed(
    assign: Assign,
    outcome: Outcome = Outcome.PAYLOAD_FAILED,
    failure: FailureClass = FailureClass.NONE,
) -> Report:
    job = assign.job
    return Report(job.number, job.attempt, outcome, "why", 1.0, 1, 0, -1, failure=failure)


def set_up(place: Place, batches: int, *more: str) -> Table:
    """Begin a run of batches of four events, each a generation job and two others."""
    words = ["--engine=noop", f"-n{batches}", "-b4", "--job-size=2", *more]
    words.append(f"--run-dir={place.run_dir}")
    settings = load("run", words)
    engine = make_engine(settings)
    return Table(begin_run(settings, engine, make_plan(settings, engine)))


@pytest.fixture
def table(place: Place) -> Table:
    """Two batches: jobs 0 and 3 generate."""
    return set_up(place, 2)


def _greet(table: Table) -> None:
    for rank in (1, 2):
        (welcome,) = table.got(rank)
        assert isinstance(welcome, Welcome)
        table.send(rank, hello(f"host{rank}"))


def test_jobs_of_an_event_file_start_while_others_are_still_generated(table: Table) -> None:
    _greet(table)
    first, slow = table.assigned(1), table.assigned(2)
    assert (first.job.number, slow.job.number) == (0, 3)
    table.send(1, table.done(first))
    for number in (1, 2):
        assign = table.assigned(1)
        assert assign.job.number == number
        table.send(1, table.done(assign))
    assert table.got(1) == []
    table.send(2, table.done(slow))
    assert [table.assigned(rank).job.number for rank in (1, 2)] == [4, 5]


def test_a_job_never_starts_before_its_event_file_is_published(place: Place) -> None:
    words = ("run", "-b", "6", "-n", "4", "--job-size=2", *shell('cat "$3" > "$4"'))
    assert place.mpirun(3, *words).code == 0
    run = place.run()
    ledger = run.ledger()
    published: set[int] = set()
    last_generation_ended = first_job_started = -1
    for place_in_journal, entry in enumerate(run.entries()):
        if isinstance(entry, journal.Published) and ledger.jobs["kind"][entry.job] == 0:
            published.add(int(ledger.jobs["event_file"][entry.job]))
            last_generation_ended = place_in_journal
        if isinstance(entry, journal.Started) and ledger.jobs["kind"][entry.job] == 2:
            assert int(ledger.jobs["event_file"][entry.job]) in published
            if first_job_started < 0:
                first_job_started = place_in_journal
    assert 0 < first_job_started < last_generation_ended


def test_a_failed_job_goes_to_another_rank_when_one_is_free(place: Place) -> None:
    table = set_up(place, 1)
    _greet(table)
    table.send(1, failed(table.assigned(1)))
    assert table.got(1) == []
    assert table.assigned(2).job.attempt == 2


def test_a_job_that_had_better_be_elsewhere_goes_to_the_other_host(place: Place) -> None:
    table = set_up(place, 3)
    _greet(table)
    first, second = table.assigned(1), table.assigned(2)
    lost = failed(first, Outcome.SETUP_FAILED, FailureClass.PASSING)
    table.send(1, replace(lost, where="noop.log:7"))
    # It waits for host 2, and another job overtakes it.
    assert table.assigned(1).job.number == 6
    table.send(2, table.done(second))
    again = table.assigned(2)
    assert (again.job.number, again.job.attempt) == (0, 2)
    decision = "passing: again, on another host if there is one, 1 of 10 lost"
    assert f"job 0 attempt 1: setup_failed: why ({decision})" in table.said
    (entry,) = RunOnDisk(table.run.paths.directory).entries(journal.Failed)
    assert (entry.failure, entry.where, entry.decision) == (
        FailureClass.PASSING, "noop.log:7", decision,
    )  # fmt: skip


def test_lost_machines_and_payloads_have_budgets_of_their_own(place: Place) -> None:
    table = set_up(place, 1, "--max-attempts=2", "--max-lost=2", "--retry-pause=0")
    _greet(table)
    ledger = table.run.ledger
    for failure in (FailureClass.PASSING, FailureClass.ONCE_MORE, FailureClass.PASSING):
        rank = int(ledger.jobs["rank"][0])
        table.send(rank, failed(table.assigned(rank), failure=failure))
        assert ledger.state(0) is JobState.RUNNING
    assert ledger.spent(0) == Spent(charged=1, lost=2)
    rank = int(ledger.jobs["rank"][0])
    table.send(rank, failed(table.assigned(rank), failure=FailureClass.PASSING))
    assert ledger.state(0) is JobState.FAILED
    ledger.apply(journal.Resumed(7.0, "again", {}, "launch", "ended"))
    assert ledger.spent(0) == Spent()


def test_a_permanent_failure_is_not_tried_again(table: Table) -> None:
    _greet(table)
    table.send(1, failed(table.assigned(1), failure=FailureClass.PERMANENT))
    assert table.run.ledger.state(0) is JobState.FAILED
    assert any(line.endswith("(permanent: not tried again)") for line in table.said)


def test_a_single_rank_on_too_small_a_host_ends_with_the_reason(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvmpi.noop.NoopEngine.cores", lambda *_: 100_000)
    answer = place.hvmpi("run", "--engine=noop", "-n1", "-b4")
    assert answer.code == 3
    assert "jobs need 100000 (cores of the tags, host-cores)" in answer.out
    (ended,) = place.run().entries(journal.Ended)
    assert ended.reason.startswith("no worker is left: ")
    assert "jobs need 100000" in ended.reason
    closing = answer.out.splitlines()[-1]
    assert closing.startswith("hvmpi: no host is fit: ")
    assert closing.endswith("; python -m hvmpi doctor looks at them without running anything")
    monkeypatch.undo()
    monkeypatch.chdir(place.root)
    assert place.hvmpi("rerun", place.run().timestamp).code == 0


def test_jobs_of_several_cores_run_one_by_one_on_a_host_that_has_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvmpi.noop.NoopEngine.cores", lambda *_: 4)
    table = set_up(place, 2)
    for rank in (1, 2):
        table.got(rank)
        table.send(rank, hello("host", 7))
    first = table.assigned(1)
    assert table.got(2) == []
    table.send(1, table.done(first))
    assert len(table.got(1) + table.got(2)) == 1


def test_a_report_that_comes_twice_counts_once(table: Table) -> None:
    _greet(table)
    assign = table.assigned(1)
    report = table.done(assign)
    table.send(1, report)
    table.send(1, report)
    table.send(1, replace(report, outcome=Outcome.PAYLOAD_FAILED, outputs=()))
    assert table.run.ledger.state(0) is JobState.DONE
    entries = journal.read_entries(table.run.paths.journal)
    assert sum(isinstance(entry, journal.Accepted | journal.Failed) for entry in entries) == 1


def test_a_report_of_an_earlier_attempt_is_not_believed(table: Table) -> None:
    _greet(table)
    first = table.assigned(1)
    table.send(1, failed(first))
    late = table.done(first)
    table.send(2, failed(table.assigned(2)))
    before = np.array(table.run.ledger.jobs)
    table.send(1, late)
    assert np.array_equal(table.run.ledger.jobs, before)


def test_a_failure_that_is_not_the_payloads_costs_no_attempt(table: Table) -> None:
    _greet(table)
    for _ in range(5):
        table.send(1, failed(table.assigned(1), Outcome.INTERRUPTED))
    assert table.run.ledger.state(0) is JobState.RUNNING
    assert table.run.ledger.spent(0) == Spent()


def test_jobs_of_an_event_file_that_could_not_be_made_fail_with_its_reason(table: Table) -> None:
    _greet(table)
    table.got(2)
    for _ in range(2):
        table.send(1, failed(table.assigned(1)))
    ledger = table.run.ledger
    states = [ledger.state(job) for job in range(3)]
    assert states == [JobState.FAILED] * 3
    assert "job 0: why" in ledger.event_files[0].reason
    assert ledger.reasons[ledger.jobs["reason"][2]] == ledger.event_files[0].reason


def test_without_its_library_nothing_is_reconstructed_before_a_rerun(place: Place) -> None:
    """Jobs 0 to 4: the library, a batch, its two jobs, the merge."""
    words = ("--pileup-mu=1", "--pileup-events=10", "--noop-command={train}")
    table = set_up(place, 1, *words)
    _greet(table)
    library, batch = table.assigned(1), table.assigned(2)
    assert (library.job.kind, batch.job.kind) == (Kind.LIBRARY, Kind.GENERATION)
    table.send(1, failed(library))
    # What does not need it goes on.
    table.send(1, failed(table.assigned(1)))
    ledger = table.run.ledger
    assert ledger.state(0) is JobState.FAILED
    assert not ledger.stuck
    table.send(2, table.done(batch))
    states = [JobState.FAILED, JobState.DONE, *[JobState.FAILED] * 3]
    assert [ledger.state(job) for job in range(5)] == states
    assert ledger.jobs["attempts"].tolist() == [2, 1, 0, 0, 0]
    assert [ledger.reasons[reason] for reason in ledger.jobs["reason"][2:]] == [
        *["its pile-up library was not made: job 0: why"] * 2,
        "2 jobs have no training file: rerun, or hvmpi merge what is there",
    ]
    assert sum("cannot start" in line for line in table.said) == 2
    ledger.apply(journal.Resumed(7.0, "again", {}, "launch", "ended"))
    again = [JobState.READY, JobState.DONE, *[JobState.WAITING] * 3]
    assert [ledger.state(job) for job in range(5)] == again


def test_a_worker_that_cannot_see_the_run_is_left_out_with_its_reason(table: Table) -> None:
    for rank in (1, 2):
        table.got(rank)
    table.send(1, Hello("far", 1, "far cannot read the run directory"))
    (stop,) = table.got(1)
    assert isinstance(stop, Stop)
    table.send(1, Goodbye())
    table.send(2, hello("near"))
    assert table.assigned(2).job.number == 0
    assert any("far cannot read the run directory" in line for line in table.said)
    run = RunOnDisk(table.run.paths.directory)
    (entry,) = run.entries(journal.LeftOut)
    assert isinstance(entry, journal.LeftOut)
    assert (entry.host, entry.rank, entry.reason) == ("far", 1, "far cannot read the run directory")
    table.run.write_status("running")
    assert run.status().left_out.tolist() == [("far", 1, entry.reason)]


def test_a_campaign_without_workers_ends_and_can_be_taken_up_again(table: Table) -> None:
    for rank in (1, 2):
        table.got(rank)
        table.send(rank, Hello("far", 1, "blind"))
        table.send(rank, Goodbye())
    assert table.master.over
    assert table.master.end() == 3


def test_stop_ends_all_and_hands_out_nothing_more(table: Table) -> None:
    _greet(table)
    running = [table.assigned(rank) for rank in (1, 2)]
    table.master.stop("enough")
    for rank, assign in zip((1, 2), running, strict=True):
        (stop,) = table.got(rank)
        assert stop == Stop("enough")
        table.send(rank, failed(assign, Outcome.INTERRUPTED))
        assert table.got(rank) == []
        table.send(rank, Goodbye())
    assert table.master.over
    assert table.master.end() == 3
    assert table.run.ledger.counts[JobState.READY] == 2


def test_the_ledger_of_the_master_is_what_the_journal_gives(table: Table) -> None:
    _greet(table)
    first, second = table.assigned(1), table.assigned(2)
    table.send(2, failed(second))
    table.send(1, table.done(first))
    table.send(2, failed(table.assigned(2), Outcome.TIMED_OUT))
    table.run.journal.sync()
    replayed = RunOnDisk(table.run.paths.directory).ledger()
    live = table.run.ledger
    assert replayed.counts == live.counts
    for name in ("jobs", "attempts", "steps"):
        assert np.array_equal(getattr(replayed, name), getattr(live, name))
    assert (replayed.hosts, replayed.reasons) == (live.hosts, live.reasons)
    assert replayed.event_files == live.event_files


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"version": "0.0"}, "far has hvmpi 0.0, not"), ({"late_s": 60.0}, "clock of far is +60 s")],
)
def test_a_rank_of_another_version_or_clock_is_left_out(
    table: Table, changes: dict[str, Any], named: str
) -> None:
    table.send(1, hello("far", **changes))
    assert isinstance(table.got(1)[-1], Stop)
    assert named in "".join(table.said)


# Ranks that die or hang, moved by hand


def _let_pass(table: Table, seconds: float, monkeypatch: pytest.MonkeyPatch, *alive: int) -> None:
    """Let time pass in which only some ranks give signs of life."""
    now = time.monotonic()
    for second in range(int(seconds) + 1):
        monkeypatch.setattr(time, "monotonic", lambda at=now + second: at)
        for rank in alive:
            table.ends[rank].send(0, Alive())
        table.master.step()


def _told(table: Table, rank: int) -> list[Message]:
    """Give what was said to a rank, signs of life and words of leave left out."""
    return [m for m in table.got(rank) if not isinstance(m, Alive | Goodbye)]


def test_the_job_of_a_dead_rank_goes_to_the_next_at_no_charge(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    _greet(table)
    lost, other = table.assigned(1), table.assigned(2)
    monkeypatch.setattr(table.ends[0], "failed", lambda: [1])
    table.master.step()
    monkeypatch.undo()
    ledger = table.run.ledger
    assert ledger.state(lost.job.number) is JobState.READY
    assert ledger.spent(lost.job.number) == Spent(charged=0, lost=1)
    table.send(2, table.done(other))
    again = table.assigned(2)
    assert (again.job.number, again.job.attempt) == (lost.job.number, 2)
    assert "rank 1 on host1 died" in table.said


def test_a_dead_rank_keeps_nobody_from_the_end(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    _greet(table)
    monkeypatch.setattr(table.ends[0], "failed", lambda: [1, 2])
    table.master.step()
    table.master.step()
    assert table.master.over
    assert table.master.left_behind == set()
    assert table.master.end() == 3
    (ended,) = RunOnDisk(table.run.paths.directory).entries(journal.Ended)
    assert ended.reason == "no worker is left: rank 1 on host1 died; rank 2 on host2 died"


def test_a_rank_that_gives_signs_of_life_keeps_its_job(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    _greet(table)
    first = table.assigned(1)
    _let_pass(table, 200.0, monkeypatch, 1, 2)
    assert table.run.ledger.running_attempts(first.job.number) == (1,)
    # And it is told that the master is alive.
    assert Alive() in table.got(1)


def test_a_silent_rank_gets_nothing_until_it_is_heard_again(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    _greet(table)
    first, second = table.assigned(1), table.assigned(2)
    _let_pass(table, 62.0, monkeypatch, 2)
    assert "rank 1 on host1 gave no sign of life for 60 s" in table.said
    assert table.run.ledger.state(first.job.number) is JobState.READY
    table.send(2, table.done(second))
    (again,) = _told(table, 2)
    assert isinstance(again, Assign)
    assert (again.job.number, again.job.attempt) == (first.job.number, 2)
    assert _told(table, 1) == []
    table.send(1, Alive())
    # Its payload is not wanted any more, but it holds the rank until it is over.
    assert _told(table, 1) == [Cancel(first.job.number, 1)]
    table.send(1, failed(first, Outcome.INTERRUPTED))
    (next_one,) = _told(table, 1)
    assert isinstance(next_one, Assign)


def test_what_a_late_answer_brought_is_removed(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    _greet(table)
    first = table.assigned(1)
    late = table.done(first)
    part = table.run.paths.resolve(late.outputs[0].part)
    _let_pass(table, 62.0, monkeypatch, 2)
    assert part.exists()
    before = table.run.ledger.jobs["outcome"].copy()
    table.send(1, late)
    assert not part.exists()
    assert np.array_equal(table.run.ledger.jobs["outcome"], before)


def test_ranks_that_hang_do_not_hold_up_the_end(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    _greet(table)
    _let_pass(table, 62.0, monkeypatch, 2)
    table.master.stop("enough")
    table.send(2, Goodbye())
    assert table.master.over
    assert table.master.left_behind == {1}


def test_a_campaign_of_which_all_ranks_hang_ends(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    _greet(table)
    _let_pass(table, 62.0, monkeypatch)
    assert not table.master.over
    _let_pass(table, 62.0, monkeypatch)
    assert table.master.over
    assert table.master.end() == 3
    (ended,) = RunOnDisk(table.run.paths.directory).entries(journal.Ended)
    assert ended.reason.startswith("no worker is left: rank 1 on host1 gave no sign of life")


def test_jobs_that_do_not_fit_into_the_time_are_left_for_a_rerun(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ready jobs of a kind that takes longer than what remains wait, others start."""
    monkeypatch.setattr("psutil.Process.create_time", lambda _: time.time())
    table = set_up(place, 3, "--time-limit=1000")
    _greet(table)
    first, second = table.assigned(1), table.assigned(2)
    table.send(1, replace(table.done(first), wall_s=5000.0))
    assert table.assigned(1).job.kind is Kind.RECONSTRUCTION
    table.send(2, table.done(second))
    assert table.assigned(2).job.kind is Kind.RECONSTRUCTION
    generation = table.run.ledger.jobs["kind"] == Kind.GENERATION
    states = table.run.ledger.jobs["state"][generation].tolist()
    assert states == [JobState.DONE, JobState.DONE, JobState.READY]
    assert not table.master.over


# Jobs given ahead, moved by hand


def set_up_many(place: Place, *more: str) -> Table:
    """Begin a run of twenty jobs that all are ready."""
    place.event_file("304795.40.1", range(1, 41))
    words = ["--engine=noop", "--evnt-dir=evnt", "--job-size=2", f"--run-dir={place.run_dir}"]
    settings = load("reconstruct", [*words, *more])
    engine = make_engine(settings)
    return Table(begin_run(settings, engine, make_plan(settings, engine)))


def _numbers(messages: list[Message]) -> list[int]:
    return [message.job.number for message in messages if isinstance(message, Assign)]


def _run_of(table: Table) -> RunOnDisk:
    return RunOnDisk(table.run.paths.directory)


def test_a_rank_gets_the_next_job_ahead_while_many_are_left(place: Place) -> None:
    table = set_up_many(place)
    _greet(table)
    first, ahead = (message for message in table.got(1) if isinstance(message, Assign))
    assert (first.job.number, ahead.job.number) == (0, 1)
    assert _numbers(table.got(2)) == [2, 3]
    # What was decided stands in the journal before it is sent.
    assert {entry.job for entry in _run_of(table).entries(journal.Started)} == {0, 1, 2, 3}
    # Towards the end a rank gets one only when it has none.
    given = deque([first, ahead])
    most = 0
    while given:
        most = max(most, len(given))
        table.send(1, table.done(given.popleft()))
        given += [m for m in table.got(1) if isinstance(m, Assign)]
        assert len(given) <= (2 if table.run.ledger.counts[JobState.READY] >= 5 else 1)
    assert most == 2
    assert table.run.ledger.counts[JobState.READY] == 0


def test_a_report_says_when_the_attempt_really_began(place: Place) -> None:
    table = set_up_many(place)
    _greet(table)
    first = table.got(1)[0]
    assert isinstance(first, Assign)
    table.send(1, replace(table.done(first), began=5.0))
    assert table.run.ledger.jobs["started"][0] == 5.0
    assert table.run.ledger.attempts["started"][0] == 5.0
    replayed = _run_of(table).ledger()
    assert np.array_equal(replayed.attempts, table.run.ledger.attempts)


def test_of_a_rank_that_dies_only_what_it_ran_is_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = set_up_many(place)
    _greet(table)
    running, waiting = _numbers(table.got(1))
    monkeypatch.setattr(table.ends[0], "failed", lambda: [1])
    table.master.step()
    monkeypatch.undo()
    ledger = table.run.ledger
    assert (ledger.spent(running), ledger.spent(waiting)) == (Spent(lost=1), Spent())
    outcomes = {e.job: (e.outcome, e.reason) for e in _run_of(table).entries(journal.Failed)}
    assert outcomes == {
        running: (Outcome.WORKER_LOST, "rank 1 on host1 died"),
        waiting: (Outcome.INTERRUPTED, "rank 1 on host1 died before it began"),
    }
    assert {ledger.state(job) for job in (running, waiting)} <= {JobState.READY, JobState.RUNNING}


def test_a_silent_rank_that_comes_back_is_told_to_end_both(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = set_up_many(place)
    _greet(table)
    both = [message.job for message in _told(table, 1) if isinstance(message, Assign)]
    _let_pass(table, 62.0, monkeypatch, 2)
    assert [table.run.ledger.spent(job.number).lost for job in both] == [1, 0]
    table.send(1, Alive())
    cancelled = [m for m in _told(table, 1) if isinstance(m, Cancel)]
    assert cancelled == [Cancel(job.number, job.attempt) for job in both]
    before = table.run.ledger.jobs["attempts"].copy()
    for job in both:
        table.send(1, failed(Assign(job), Outcome.INTERRUPTED))
    assert [table.run.ledger.spent(job.number).charged for job in both] == [0, 0]
    # It works again, and on nothing that another has meanwhile.
    again = [m.job for m in _told(table, 1) if isinstance(m, Assign)]
    assert again
    for job in again:
        assert job.attempt == before[job.number] + 1


def test_what_waits_behind_a_long_job_goes_to_a_rank_that_is_idle(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = set_up_many(place)
    _greet(table)
    _, waiting = _numbers(table.got(1))
    others = deque(m for m in table.got(2) if isinstance(m, Assign))
    while others:
        table.send(2, table.done(others.popleft()))
        others += [m for m in table.got(2) if isinstance(m, Assign)]
    assert table.run.ledger.counts[JobState.READY] == 0
    now, mono = time.time(), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: now + 1.0)
    monkeypatch.setattr(time, "monotonic", lambda: mono + 1.0)
    table.master.step()
    monkeypatch.undo()
    (asked,) = _told(table, 1)
    assert asked == GiveBack(waiting, 1)
    back = Report(waiting, 1, Outcome.INTERRUPTED, "given back", 0.0, 0, 0, -1)
    table.send(1, back)
    (again,) = (m for m in table.got(2) if isinstance(m, Assign))
    assert (again.job.number, again.job.attempt) == (waiting, 2)
    assert table.run.ledger.spent(waiting) == Spent()
    # It may have begun meanwhile; then it stays where it is.
    table.master.step()
    assert _told(table, 1) == []


def test_what_was_on_its_way_to_a_rank_that_left_is_free(place: Place) -> None:
    """As when a worker that got a signal says goodbye just as it is sent a job."""
    table = set_up_many(place)
    _greet(table)
    both = _numbers(table.got(1))
    table.send(1, Goodbye())
    ledger = table.run.ledger
    assert [ledger.spent(job) for job in both] == [Spent(), Spent()]
    assert all(1 not in ledger.running_attempts(job) for job in both)


def test_a_host_that_is_held_gives_back_what_waits(place: Place) -> None:
    table = set_up_many(place)
    _greet(table)
    _, waiting = _numbers(table.got(1))
    table.send(1, Held("host1 is full"))
    assert table.got(1) == [GiveBack(waiting, 1)]


def test_with_a_time_limit_a_job_is_given_ahead_only_if_it_fits_behind_the_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.Process.create_time", lambda _: time.time())
    table = set_up_many(place, "--time-limit=1000")
    _greet(table)
    # Nobody knows yet how long they take.
    first, second = table.assigned(1), table.assigned(2)
    table.send(1, replace(table.done(first), wall_s=600.0))
    assert len(table.got(1)) == 1
    for rank in (1, 2):
        table.got(rank)
    table.send(2, replace(table.done(second), wall_s=600.0))
    assert len(table.got(2)) == 1


def test_stop_takes_nothing_back_that_the_ranks_give_back_themselves(place: Place) -> None:
    table = set_up_many(place)
    _greet(table)
    given = {rank: [m for m in table.got(rank) if isinstance(m, Assign)] for rank in (1, 2)}
    table.master.stop("enough")
    for rank, assigns in given.items():
        for assign in assigns:
            table.send(rank, failed(assign, Outcome.INTERRUPTED))
        table.send(rank, Goodbye())
        assert [m for m in table.got(rank) if isinstance(m, Assign)] == []
    assert table.master.over
    assert table.master.end() == 3
    assert table.run.ledger.counts[JobState.READY] == 20
    assert all(table.run.ledger.spent(job) == Spent() for job in range(20))
