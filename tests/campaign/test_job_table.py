"""The table of jobs: made of the plan and the attempts, whichever way it is asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign import job_table, journal
from hvmpi.campaign.jobs import Kind, Outcome
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.rows import JOB_FIELDS
from hvmpi.errors import JournalError


@pytest.fixture(autouse=True, scope="module")
def small_slices() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_table, "_SLICE", 4)
        yield


def listed(row: int, events: int) -> journal.EventFileListed:
    return journal.EventFileListed(
        f"e{row}", "s", 5, row, events, 100 * row + 1, "e", 9, "", -1, ""
    )


FILES = st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=6)


def planned(files: list[tuple[int, bool]], job_size: int) -> tuple[Ledger, list[int]]:
    """Plan files of so many events, some with numbers of their own; give all first events too."""
    ledger, firsts = Ledger(), []
    for row, (events, irregular) in enumerate(files):
        skips = range(0, events, job_size)
        numbers = [1000 * row + 7 * skip for skip in skips] if irregular else []
        firsts += numbers or [100 * row + 1 + skip for skip in skips]
        ledger.apply(listed(row, events))
        ledger.apply(journal.JobsPlanned(Kind.RECONSTRUCTION, row, job_size, events, [], numbers))
    ledger.apply(journal.PlanComplete(len(files), len(firsts)))
    return ledger, firsts


@given(FILES, st.integers(1, 7), st.data())
def test_rows_columns_and_jobs_agree(
    files: list[tuple[int, bool]], job_size: int, data: st.DataObject
) -> None:
    ledger, firsts = planned(files, job_size)
    jobs = ledger.jobs
    for job in data.draw(st.sets(st.sampled_from(range(len(firsts))))) if firsts else ():
        ledger.apply(journal.Started(job, 1, job % 3, "h", 5.0 + job))
        ledger.apply(journal.Accepted(job, 1, 6.0, 0.5 * job, 3, [], [["s", 1.0, 2.0, 3.0, 0]], ""))
    whole = np.asarray(jobs)
    assert whole.dtype == np.dtype(JOB_FIELDS)
    assert jobs["first_event"].tolist() == firsts
    assert jobs["events"].sum() == sum(events for events, _ in files)
    for name, _ in JOB_FIELDS:
        assert np.array_equal(jobs[name], whole[name])
    chosen = jobs["outcome"] == Outcome.DONE
    assert np.array_equal(jobs[chosen], whole[chosen])
    assert np.array_equal(jobs[1:5], whole[1:5])
    for number in range(len(whole)):
        row, job = jobs[number], ledger.job(number)
        assert row == whole[number]
        assert (job.skip_events, job.first_event, job.events) == (
            row["skip_events"], row["first_event"], row["events"],
        )  # fmt: skip
        assert jobs.event_file(number) == row["event_file"]
        assert job.event_file == ledger.event_files[row["event_file"]]
        assert ledger.last_rank(number) == row["rank"]
        assert ledger.kind(number) == row["kind"]


def test_numbers_of_other_jobs_are_refused() -> None:
    ledger = Ledger()
    ledger.apply(listed(0, 6))
    with pytest.raises(JournalError, match="2 event numbers are given for 3 jobs"):
        ledger.apply(journal.JobsPlanned(Kind.RECONSTRUCTION, 0, 2, 6, [], [1, 2]))


def test_more_jobs_than_can_be_numbered_are_refused() -> None:
    ledger = Ledger()
    with pytest.raises(JournalError, match="more than 2147483647 jobs"):
        ledger.apply(journal.JobsPlanned(Kind.RECONSTRUCTION, -1, 1, 2**40, [], []))
