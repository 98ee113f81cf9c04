"""Masters, workers and whole campaigns that are killed, signalled, or started twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from functools import partial

import psutil
import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.retry import Spent
from tests.conftest import (
    THREE_JOBS,
    Place,
    RunOnDisk,
    accepted_once,
    shell,
    until_mended,
    wait_for,
)


@pytest.mark.parametrize("victim", ["the single rank", "rank 0", "mpirun"])
def test_a_killed_master_loses_only_what_ran(three: Place, victim: str) -> None:
    words = (*THREE_JOBS, *until_mended(three, "exec sleep 600"))
    process = three.start(*words, ranks=0 if victim == "the single rank" else 3)
    wait_for(lambda: three.runs() and _running(three.run()) == {1})
    payload = _find(three, "sleep")
    holder = json.loads((three.run().directory / "lock.json").read_text())
    os.kill(process.pid if victim == "mpirun" else holder["pid"], signal.SIGKILL)
    three.finish(process)
    wait_for(lambda: not _find_ranks(three))
    wait_for(lambda: not payload.is_running() or payload.status() == "zombie")
    (three.root / "mended").touch()
    assert three.hvmpi("rerun", three.run().timestamp).code == 0
    run = three.run()
    assert accepted_once(run)
    attempts = run.status().attempts
    assert attempts["outcome"][attempts["job"] == 1].tolist() == ["interrupted", "done"]
    assert three.hvmpi("verify").code == 0


# Ranks that die or hang


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_the_job_of_a_rank_that_dies_goes_to_another(three: Place, name: str) -> None:
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"), ranks=3)
    wait_for(lambda: three.runs() and _running(three.run()) == {1} and _done(three.run()) == {0, 2})
    payload = _find(three, "sleep")
    (three.root / "mended").touch()
    os.kill(_worker_of(payload).pid, signal.Signals[name])
    answer = three.finish(process)
    assert answer.code == 0
    run = three.run()
    attempts = run.status().attempts
    (first, second) = attempts[attempts["job"] == 1]
    assert (first["outcome"], second["outcome"]) == ("worker_lost", "done")
    assert f"rank {first['rank']} on " in first["reason"]
    assert "died" in first["reason"]
    assert second["rank"] != first["rank"]
    (failed,) = run.entries(journal.Failed)
    assert failed.decision.startswith("worker lost: again")
    assert failed.decision.endswith("1 of 10 lost")
    assert run.ledger().spent(1) == Spent(charged=0, lost=1)
    wait_for(lambda: not payload.is_running() or payload.status() == psutil.STATUS_ZOMBIE)
    assert accepted_once(run)
    assert three.hvmpi("verify").code == 0


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("SIGKILL", {"worker_lost", "interrupted"}),
        ("SIGSTOP", {"worker_lost", "interrupted"}),
        ("SIGTERM", {"interrupted"}),
    ],
)
def test_jobs_that_a_rank_has_ahead_cost_nothing_when_it_goes(
    place: Place, name: str, outcomes: set[str]
) -> None:
    place.event_file("304795.30.1", range(1, 31))
    mended = place.root / "mended"
    script = f'while [ ! -e "{mended}" ]; do sleep 0.05; done; touch "$4"'
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=1", "--lease=2", *shell(script))
    process = place.start(*words, ranks=3)
    # Each rank runs one, and has another one ahead.
    wait_for(lambda: place.runs() and len(_running(place.run())) == 4)
    run = place.run()
    wait_for(lambda: len(_find_all(place, "sh", "-c", script)) == 2)
    os.kill(_rank(place, 1).pid, signal.Signals[name])
    wait_for(lambda: len(run.entries(journal.Failed)) == 2)
    mended.touch()
    assert place.finish(process).code == 0
    attempts = run.status().attempts
    gone = attempts[attempts["outcome"] != "done"]
    assert set(gone["outcome"].tolist()) == outcomes
    assert len(gone) == 2
    assert set(gone["rank"].tolist()) == {1}
    ledger = run.ledger()
    lost = [ledger.spent(job).lost for job in range(30)]
    assert sum(lost) == (name != "SIGTERM")
    assert [ledger.spent(job).charged for job in range(30)] == [0] * 30
    assert accepted_once(run)
    wait_for(lambda: not _find_ranks(place))
    assert place.hvmpi("verify").code == 0


def test_without_any_worker_a_campaign_ends_and_can_be_taken_up_again(three: Place) -> None:
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"), ranks=2)
    wait_for(lambda: three.runs() and _running(three.run()) == {1})
    os.kill(_worker_of(_find(three, "sleep")).pid, signal.SIGKILL)
    assert three.finish(process).code == 3
    (ended,) = three.run().entries(journal.Ended)
    assert ended.reason.startswith("no worker is left: rank 1 on ")
    (three.root / "mended").touch()
    assert three.hvmpi("rerun", three.run().timestamp).code == 0
    assert accepted_once(three.run())
    assert three.hvmpi("verify").code == 0


def test_the_job_of_a_rank_that_hangs_goes_to_another(three: Place) -> None:
    """The rank is still stopped when all is done: it must not hold up the end."""
    words = (*THREE_JOBS, "--lease=2", *until_mended(three, "exec sleep 600"))
    process = three.start(*words, ranks=3)
    wait_for(lambda: three.runs() and _running(three.run()) == {1} and _done(three.run()) == {0, 2})
    payload = _find(three, "sleep")
    worker = _worker_of(payload)
    (three.root / "mended").touch()
    worker.suspend()
    answer = three.finish(process)
    assert answer.code == 0
    run = three.run()
    attempts = run.status().attempts
    (first, second) = attempts[attempts["job"] == 1]
    assert (first["outcome"], second["outcome"]) == ("worker_lost", "done")
    assert "gave no sign of life for 2 s" in first["reason"]
    assert run.ledger().spent(1).charged == 0
    assert accepted_once(run)
    # mpirun let it go on when it ended the others.
    wait_for(lambda: not _find_ranks(three))
    wait_for(lambda: not payload.is_running() or payload.status() == psutil.STATUS_ZOMBIE)
    assert three.hvmpi("verify").code == 0


@pytest.mark.parametrize("comes", ["while it is made again", "when it is made"])
def test_a_late_answer_is_dropped_and_its_rank_used_again(place: Place, comes: str) -> None:
    """Job 0 hangs in its first attempt; its rank wakes up with the answer ready."""
    place.event_file("304795.4.1", range(1, 5))
    early, late, ready = (place.root / name for name in ("early", "late", "ready"))
    script = (
        f'if [ "$1$2" = 01 ]; then touch "{ready}"; '
        f'while [ ! -e "{early}" ]; do sleep 0.05; done; fi; '
        f'if [ "$1" = 1 ]; then while [ ! -e "{late}" ]; do sleep 0.05; done; fi; '
        f'if [ "$1$2" = 02 ]; then while [ ! -e "{early}" ]; do sleep 0.05; done; '
        f'while [ "{comes}" != "when it is made" ] && [ ! -e "{late}" ]; do sleep 0.05; done; fi; '
        'echo "attempt $2" > "$4"'
    )
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=2", "--lease=2", *shell(script))
    process = place.start(*words, ranks=4)
    wait_for(ready.exists)
    run = place.run()
    (began,) = [entry for entry in run.entries(journal.Started) if entry.job == 0]
    worker = _rank(place, began.rank)
    worker.suspend()
    wait_for(lambda: len([e for e in run.entries(journal.Started) if e.job == 0]) == 2)
    early.touch()
    if comes == "when it is made":
        wait_for(lambda: 0 in _done(run))
    worker.resume()
    wait_for(lambda: not list((run.directory / "tmp").glob("*/job00000000.attempt1")))
    late.touch()
    answer = place.finish(process)
    assert answer.code == 0
    assert "is there again" in answer.out
    assert accepted_once(run)
    attempts = run.status().attempts
    assert attempts["outcome"][attempts["job"] == 0].tolist() == ["worker_lost", "done"]
    assert (run.directory / "aod/304795.4.1.2.0.aod.txt").read_text() == "attempt 2\n"
    assert place.hvmpi("verify").code == 0


def test_workers_without_a_master_end_their_payloads_and_leave(three: Place) -> None:
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"), ranks=3)
    wait_for(lambda: three.runs() and _running(three.run()) == {1})
    payload = _find(three, "sleep")
    holder = json.loads((three.run().directory / "lock.json").read_text())
    os.kill(holder["pid"], signal.SIGKILL)
    wait_for(lambda: not _find_ranks(three), 10.0)
    assert not payload.is_running() or payload.status() == psutil.STATUS_ZOMBIE
    three.finish(process)
    (three.root / "mended").touch()
    assert three.mpirun(3, "rerun", three.run().timestamp).code == 0
    assert accepted_once(three.run())
    assert three.hvmpi("verify").code == 0


# The wall clock


@pytest.mark.parametrize("ranks", [0, 3])
def test_what_runs_at_the_end_of_the_time_is_interrupted(three: Place, ranks: int) -> None:
    words = (*THREE_JOBS, "--time-limit=9", *until_mended(three, "exec sleep 600"))
    assert three.finish(three.start(*words, ranks=ranks)).code == 3
    run = three.run()
    (ended,) = run.entries(journal.Ended)
    assert ended.reason == "time-limit (9 s) is over"
    attempts = run.status().attempts
    assert attempts["outcome"][attempts["job"] == 1].tolist() == ["interrupted"]
    (three.root / "mended").touch()
    again = three.start("rerun", run.timestamp, "--time-limit=100")
    assert three.finish(again).code == 0
    assert accepted_once(run)
    assert three.hvmpi("verify").code == 0


def test_a_job_that_would_not_be_done_in_time_is_not_started(three: Place) -> None:
    words = (*THREE_JOBS, "--time-limit=12", *shell('sleep 5; touch "$4"'))
    assert three.finish(three.start(*words)).code == 3
    run = three.run()
    (ended,) = run.entries(journal.Ended)
    assert ended.reason.startswith("time-limit (12 s): no job that is left would be done in time")
    assert set(run.status().attempts["outcome"].tolist()) == {"done"}
    again = three.start("rerun", run.timestamp, "--time-limit=100")
    assert three.finish(again).code == 0
    assert accepted_once(run)
    assert three.hvmpi("verify").code == 0


# Signals


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_a_run_that_can_be_taken_up_again(three: Place, name: str) -> None:
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"))
    wait_for(lambda: three.runs() and _running(three.run()) == {1})
    process.send_signal(signal.Signals[name])
    answer = three.finish(process)
    assert answer.code == 3
    assert "Traceback" not in answer.err
    run = three.run()
    (ended,) = run.entries(journal.Ended)
    assert (ended.exit_code, ended.left, name in ended.reason) == (3, 2, True)
    assert run.status().attributes["state"] == "incomplete"
    (three.root / "mended").touch()
    assert three.hvmpi("rerun", run.timestamp).code == 0
    # An interruption is not the job's fault: it costs it no attempt.
    assert accepted_once(run)
    assert three.hvmpi("verify").code == 0


def test_a_signal_to_rank_0_ends_all_ranks(three: Place) -> None:
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"), ranks=3)
    wait_for(lambda: three.runs() and _running(three.run()) == {1} and _done(three.run()) == {0, 2})
    holder = json.loads((three.run().directory / "lock.json").read_text())
    os.kill(holder["pid"], signal.SIGUSR1)
    assert three.finish(process).code == 3
    status = three.run().status()
    assert status.jobs["state"].tolist() == ["done", "ready", "done"]
    assert status.attempts["outcome"].tolist().count("interrupted") == 1
    (three.root / "mended").touch()
    assert three.mpirun(3, "rerun", three.run().timestamp).code == 0
    assert accepted_once(three.run())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_mpirun_leaves_a_run_that_can_be_taken_up_again(
    three: Place, name: str
) -> None:
    """As when a person presses Ctrl-C, or a batch system's time is over."""
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"), ranks=3)
    wait_for(lambda: three.runs() and _running(three.run()) == {1})
    payload = _find(three, "sleep")
    process.send_signal(signal.Signals[name])
    answer = three.finish(process)
    assert answer.code != 0
    assert "Traceback" not in answer.err
    wait_for(lambda: not _find_ranks(three))
    wait_for(lambda: not payload.is_running() or payload.status() == "zombie")
    (three.root / "mended").touch()
    assert three.hvmpi("rerun", three.run().timestamp).code == 0
    assert accepted_once(three.run())
    assert three.hvmpi("verify").code == 0


@pytest.mark.parametrize("ranks", [0, 3])
def test_a_full_disk_is_one_sentence_and_a_rerun_does_the_rest(place: Place, ranks: int) -> None:
    """No file may grow beyond 32 kB, so that the journal cannot be written any more."""
    place.event_file("304795.80.1", range(1, 81))
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=1", *shell('touch "$4"'))
    process = place.start(*words, ranks=ranks, file_kb=32)
    answer = place.finish(process)
    assert answer.code == 3
    assert "Traceback" not in answer.err
    # mpirun says things of its own, at times in the same line.
    said = [line for line in answer.err.splitlines() if "hvmpi: error: " in line]
    assert len(said) == 1
    assert "File too large" in said[0]
    assert "rerun" in said[0]
    assert place.hvmpi("rerun", place.run().timestamp).code == 0
    assert accepted_once(place.run())
    assert place.hvmpi("verify").code == 0


def test_children_of_a_killed_worker_die(three: Place) -> None:
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"), ranks=2)
    wait_for(lambda: three.runs() and _running(three.run()) == {1})
    payload = _find(three, "sleep")
    os.kill(_worker_of(payload).pid, signal.SIGKILL)
    three.finish(process)
    wait_for(lambda: not payload.is_running() or payload.status() == "zombie")


FAMILY = """
sleep 600 &
set -m
sleep 600 &
bash -c 'trap "" TERM; while :; do sleep 0.1; done' &
echo $$ > "$1.part"
mv "$1.part" "$1"
wait
"""
"""A payload's children: in its group, in groups of their own, and one that ignores SIGTERM."""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("victim", ["the worker", "rank 0", "mpirun"])
def test_nothing_that_a_payload_started_outlives_its_worker(
    three: Place, victim: str, name: str
) -> None:
    (three.root / "family.sh").write_text(FAMILY)
    told = three.root / "told"
    otherwise = f'bash "{three.root}/family.sh" "{told}"'
    process = three.start(*THREE_JOBS, *until_mended(three, otherwise), ranks=3)
    wait_for(told.exists)
    session = os.getsid(int(told.read_text()))
    worker = _worker_of(psutil.Process(session))
    beside = worker.children()
    assert len(beside) == 2
    number = signal.Signals[name]
    # Where another worker takes the job over, it finds nothing wrong.
    (three.root / "mended").touch()
    if victim == "mpirun":
        process.send_signal(number)
    elif victim == "the worker":
        worker.send_signal(number)
    else:
        lock = json.loads((three.run().directory / "lock.json").read_text())
        os.kill(lock["pid"], number)
    wait_for(lambda: not _alive(session), 10.0)
    for process_beside in beside:
        wait_for(partial(_gone, process_beside))
    three.finish(process)


def test_nothing_that_a_payload_started_outlives_a_job_by_hand(place: Place) -> None:
    (place.root / "family.sh").write_text(FAMILY)
    told = place.root / "told"
    event_file = place.event_file("a", [1, 2])
    process = place.start("job", event_file, *shell(f'bash "{place.root}/family.sh" "{told}"'))
    wait_for(told.exists)
    session = os.getsid(int(told.read_text()))
    process.kill()
    place.finish(process)
    wait_for(lambda: not _alive(session), 10.0)


def test_the_ranks_leave_the_cores_to_the_payloads(three: Place) -> None:
    process = three.start(*THREE_JOBS, *shell('sleep 2; touch "$4"'), ranks=3)
    wait_for(lambda: three.runs() and len(_running(three.run())) == 2)
    ranks = _find_ranks(three)
    assert len(ranks) == 3
    before = [sum(rank.cpu_times()[:2]) for rank in ranks]
    jobs = _running(three.run())
    wait_for(lambda: not _running(three.run()) & jobs)
    spent = [sum(rank.cpu_times()[:2]) - was for rank, was in zip(ranks, before, strict=True)]
    # The payloads sleep for two seconds: a rank that polls without pause takes as much.
    assert max(spent) < 1.0
    assert three.finish(process).code == 0


# Locks


def test_a_second_master_is_refused(three: Place) -> None:
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"))
    wait_for(lambda: three.runs() and _running(three.run()) == {1})
    run = three.run()
    journal_before = run.journal.read_bytes()
    for words in (["rerun", run.timestamp], ["clean", run.timestamp, "--yes"]):
        answer = three.hvmpi(*words)
        assert answer.code == 2
        assert run.timestamp in answer.complaint
        assert f"process {process.pid}" in answer.complaint
    assert run.journal.read_bytes() == journal_before
    assert (run.directory / "tmp").exists()
    process.send_signal(signal.SIGTERM)
    assert three.finish(process).code == 3


def test_a_stale_lock_is_broken_with_a_message(three: Place) -> None:
    process = three.start(*THREE_JOBS, *until_mended(three, "exec sleep 600"))
    wait_for(lambda: three.runs() and _running(three.run()) == {1})
    process.kill()
    three.finish(process)
    (three.root / "mended").touch()
    answer = three.hvmpi("rerun", three.run().timestamp)
    assert answer.code == 0
    assert f"lock of process {process.pid}" in answer.out
    assert not (three.run().directory / "lock.json").exists()


def _running(run: RunOnDisk) -> set[int]:
    """Give the jobs that run; nothing before the plan is written or before any other is done."""
    if not run.journal.exists():
        return set()
    entries = run.entries()
    started = [entry.job for entry in entries if isinstance(entry, journal.Started)]
    over = {e.job for e in entries if isinstance(e, journal.Published | journal.Failed)}
    return set(started) - over if len(set(started)) >= 2 else set()


def _alive(session: int) -> list[psutil.Process]:
    """List the processes of a session."""
    found = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == session and process.info["status"] != "zombie":
                found.append(process)
    return found


def _done(run: RunOnDisk) -> set[int]:
    return {entry.job for entry in run.entries(journal.Published)}


def _rank(place: Place, number: int) -> psutil.Process:
    (found,) = [
        rank
        for rank in _find_ranks(place)
        if rank.environ().get("OMPI_COMM_WORLD_RANK") == str(number)
    ]
    return found


def _worker_of(payload: psutil.Process) -> psutil.Process:
    """Give the rank beside whose payload server a payload runs."""
    worker = payload.parents()[1]
    assert "hvmpi" in worker.cmdline()
    return worker


def _gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _find(place: Place, word: str) -> psutil.Process:
    """Wait for the one process of this place that runs a program."""
    wait_for(lambda: len(_find_all(place, word)) == 1)
    return _find_all(place, word)[0]


def _find_ranks(place: Place) -> list[psutil.Process]:
    ranks = [
        process
        for process in _find_all(place, "-m", "hvmpi")
        if process.status() != psutil.STATUS_ZOMBIE
    ]
    # A payload that has not begun yet looks like the rank that starts it.
    return [rank for rank in ranks if rank.info["ppid"] not in {other.pid for other in ranks}]


def _find_all(place: Place, *words: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd", "ppid", "exe"])
        if str(process.info["cwd"]).startswith(str(place.root))
        and set(words) <= set(process.info["cmdline"] or ())
        and "prterun" not in str(process.info["exe"])
    ]
