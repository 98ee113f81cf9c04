"""A run in short says what its joined tables say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hvmpi.campaign import job_table, journal, status
from hvmpi.campaign.failures import Failures
from hvmpi.campaign.jobs import FailureClass, Kind, Outcome
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.overview import Overview
from hvmpi.campaign.snapshot import write_status
from hvmpi.campaign.standing import Selection, Standing
from hvmpi.campaign.status import StatusFile, read_status
from hvmpi.settings import load, to_dict

SETTINGS = to_dict(load("reconstruct", ["--evnt-dir=evnt", "--engine=noop", "--job-size=1"]))
REASONS = ["why", "größe", "not at all"]


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> object:
    """Let tables be read and written in several parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_table, "_SLICE", 5)
        patch.setattr(status, "_PART", 7)
        yield


FATES = st.lists(
    st.one_of(
        st.sampled_from(["ready", "running", "done", "barred"]),
        st.tuples(
            st.sampled_from([Outcome.PAYLOAD_FAILED, Outcome.TIMED_OUT]),
            st.sampled_from([FailureClass.NONE, FailureClass.PASSING]),
            st.sampled_from(REASONS),
        ),
    ),
    max_size=60,
)


def ledger_of(fates: list[object]) -> Ledger:
    """A campaign of one file a job, of which each came to what is asked for."""
    ledger = Ledger()
    for row in range(len(fates)):
        name = f"e{row}"
        ledger.apply(
            journal.EventFileListed(f"{name}.evnt", "s", 1, 0, 1, row + 1, name, 9, "", -1, "")
        )
        ledger.apply(journal.JobsPlanned(Kind.RECONSTRUCTION, row, 1, 1, [], []))
    ledger.apply(journal.PlanComplete(len(fates), len(fates)))
    for job, fate in enumerate(fates):
        if fate == "barred":
            ledger.apply(journal.FilePutAside(job, f"file {job % 2}"))
        elif fate != "ready":
            ledger.apply(journal.Started(job, 1, job % 3, f"host{job % 2}", 5.0))
        if fate == "done":
            ledger.apply(journal.Accepted(job, 1, 6.0, 1.0, 1, [], [["s", 1.0, 1.0, 9.0, 0]], ""))
            ledger.apply(journal.Published(job, 1))
        elif isinstance(fate, tuple):
            outcome, failure, reason = fate
            where = f"{reason}.log:3"
            ledger.apply(
                journal.Failed(
                    job, 1, 6.0, 1.0, outcome, 3, 0, reason, False, [], failure, where, "over"
                )
            )
    return ledger


def telling(jobs: np.ndarray) -> list[int]:
    """Give the jobs, those first that are shown before others."""
    order = ["failed", "running", "ahead", "ready", "waiting", "done"]
    return sorted(jobs["job"].tolist(), key=lambda job: (order.index(jobs["state"][job]), job))


@given(fates=FATES)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_it_says_what_the_joined_tables_say(fates: list[object], tmp_path: Path) -> None:
    path = tmp_path / "20260101000000" / "status.h5"
    path.parent.mkdir(exist_ok=True)
    ledger = ledger_of(fates)
    write_status(path, ledger, settings=SETTINGS, state="running")
    whole = read_status(path)
    jobs = whole.jobs
    there_was = "host1" in jobs["host"]
    # A rank runs what it got first.
    running = [job for job, fate in enumerate(fates) if fate == "running"]
    first = {job % 3: job for job in reversed(running)}.values()
    jobs["state"][[job for job in running if job not in first]] = "ahead"
    jobs["wall_s"][list(first)] = whole.attributes["updated"] - 6.0
    with StatusFile(path) as file:
        raw = np.concatenate(list(file.parts("jobs")))
        run, failures = Overview.of(file), Failures.of(file)
        every = np.concatenate(list(Selection().jobs(file)))
        done = Overview.of(file, selection=Selection(Standing.DONE))
        host1 = Selection(host="host1")
        there = (
            [] if not there_was else np.concatenate([j["job"] for j in host1.jobs(file)]).tolist()
        )
    for name in raw.dtype.names:
        assert np.array_equal(raw[name], ledger.jobs[name])
    assert {one.name.lower(): count for one, count in run.states.items() if count} == Counter(
        jobs["state"].tolist()
    )
    assert run.events[Kind.RECONSTRUCTION] == run.done[Kind.RECONSTRUCTION]
    for name in jobs.dtype.names:
        if name != "wall_s":
            assert np.array_equal(every[name], jobs[name]), name
    assert every["wall_s"] == pytest.approx(jobs["wall_s"], abs=1.1)
    assert there == jobs["job"][jobs["host"] == "host1"].tolist()
    assert np.array_equal(done.shown, jobs[jobs["state"] == "done"][:40])
    assert (run.chosen, len(run.shown)) == (len(jobs), min(len(jobs), 40))
    assert np.array_equal(run.shown, every[run.shown["job"].tolist()])
    assert run.fewer(5).shown["job"].tolist() == sorted(telling(jobs)[:5])
    failed = jobs[jobs["state"] == "failed"]
    # Whatever is left out, a job that failed is not before one that did.
    assert np.count_nonzero(run.shown["state"] == "failed") == min(len(failed), 40)
    alike = Counter(
        (row["attempts"] > 0, row["outcome"], row["failure"], row["reason"]) for row in failed
    )
    assert alike == {
        (g.first["attempts"] > 0, g.first["outcome"], g.first["failure"], g.first["reason"]): (
            g.count
        )
        for g in run.failing
    }
    for group in run.failing:
        others = failed[failed["reason"] == group.first["reason"]]
        assert group.first["job"] >= others["job"].min()
        assert group.first == jobs[group.first["job"]]
    assert (
        run.put_aside
        == whole.event_files["reason"][whole.event_files["reason"] != ""].tolist()[:10]
    )
    attempts = whole.attempts
    bad = attempts[~np.isin(attempts["outcome"], ["done", "none"])]
    assert np.array_equal(failures.attempts, bad)
    assert failures.hosts == set(attempts["host"])
    assert failures.barred.total() == np.count_nonzero(failed["attempts"] == 0)
    assert len(failures.put_aside) == np.count_nonzero(whole.event_files["reason"] != "")
