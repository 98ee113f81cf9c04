"""What is known of failures that are alike: jobs, hosts, what to do, and what their log says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from hvmpi.campaign.failures import Failures
from hvmpi.campaign.jobs import FailureClass, JobState, Outcome
from hvmpi.view.failures import FailureGroup, LogPlace, listed

__all__ = ["Diagnosis", "advice"]

_MOST_LOOKS = 100
_MOST_DECISIONS = 4

_BY_CLASS = {
    FailureClass.PASSING: (
        "Rerun; if it comes back, look at that host and at the services and file systems it uses."
    ),
    FailureClass.RESOURCES: (
        "Give the jobs more room, memory or time, or run fewer at once on a host; then rerun."
    ),
    FailureClass.ONCE_MORE: (
        "Read the log: it comes back with the same seed, so the cause is in config or code."
    ),
    FailureClass.PERMANENT: "Mend what the reason names: another attempt ends the same way.",
    FailureClass.CHECK_THE_FILES: (
        "Look whether the input is there, whole and readable on that host, then rerun."
    ),
}
_BY_OUTCOME = {
    Outcome.BAD_INPUT: "Look whether the input is there, whole and readable; then rerun.",
    Outcome.SETUP_FAILED: "Look at programs, room and permissions on that host, then rerun.",
    Outcome.PAYLOAD_FAILED: (
        "Read the log; mend what it tells of, then rerun: only what is not done is run."
    ),
    Outcome.OUTPUT_INVALID: (
        "Read the log; if it is as it should be, look at room and health of the disks, then rerun."
    ),
    Outcome.TIMED_OUT: (
        "Rerun with a larger --job-timeout, or start a new run with a smaller --job-size."
    ),
    Outcome.OUT_OF_MEMORY: (
        "Run fewer ranks on a host, or start a new run with a smaller --job-size."
    ),
    Outcome.WORKER_LOST: "Look whether that host is up, then rerun.",
    Outcome.INTERRUPTED: "Rerun: it was stopped with the campaign and is not at fault.",
}

_PLAIN = {Outcome.TIMED_OUT, Outcome.WORKER_LOST, Outcome.INTERRUPTED}
"""Outcomes that hvmpi itself finds, whatever the engine."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of failures that are alike.

    Attributes
    ----------
    title : str
        How many of what.
    jobs, hosts : str
        Which ones, and what became of the jobs.
    decided : str
        Whether they were tried again, and why; empty where nothing was said.
    advice : str
    log : LogPlace
        The one to read.
    excerpt : tuple of str
        Its telling lines, or one that says why it cannot be read.
    """

    title: str
    jobs: str
    hosts: str
    decided: str
    advice: str
    log: LogPlace
    excerpt: tuple[str, ...]

    @classmethod
    def of(cls, group: FailureGroup, failures: Failures) -> Diagnosis:
        """Look at a group of attempts, and at their logs."""
        outcome, failure = Outcome[group.outcome.upper()], FailureClass[group.failure.upper()]
        log = _telling(group.rows, failures)
        return cls(
            title=group.title,
            jobs=_jobs(group, failures),
            hosts=_hosts(group, failures),
            decided=_decided(group),
            advice=advice(outcome, failure, group.reason, failures.engine),
            log=log,
            excerpt=tuple(_excerpt(log)),
        )


def advice(outcome: Outcome, failure: FailureClass, reason: str, engine: str = "") -> str:
    """Say in one sentence what to do about a failure.

    Parameters
    ----------
    outcome : Outcome
    failure : FailureClass
    reason : str
    engine : str
        One that knows its own reasons is asked before the general tables.
    """
    if outcome in _PLAIN:
        return _BY_OUTCOME[outcome]
    if engine == "athena":
        from hvmpi.athena.failures import advice_for

        return advice_for(reason, outcome, failure)
    if outcome is Outcome.OUT_OF_MEMORY:
        return _BY_OUTCOME[outcome]
    return _BY_CLASS.get(failure) or _BY_OUTCOME.get(outcome, "Read the log.")


def _jobs(group: FailureGroup, failures: Failures) -> str:
    numbers = sorted({int(job) for job in group.rows["job"]})
    named = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    states = Counter(failures.states[numbers].tolist())
    now = ", ".join(
        f"{count} {JobState(state).name.lower()}" for state, count in states.most_common()
    )
    return f"{named} ({'' if len(numbers) == 1 else f'{len(numbers)} jobs, '}now {now})"


def _hosts(group: FailureGroup, failures: Failures) -> str:
    hosts = group.counts("host")
    others = failures.hosts - {host for host, _ in hosts}
    if len(hosts) == 1 and others and len(group.rows) > 1:
        return f"{hosts[0][0]}, all of them, and none on {_count(len(others), 'other host')}"
    return listed(hosts)


def _count(number: int, what: str) -> str:
    return f"the {what}" if number == 1 else f"the {number} {what}s"


def _decided(group: FailureGroup) -> str:
    """Say what was decided of each job in the end."""
    last = dict(zip(group.rows["job"].tolist(), group.rows["decision"].tolist(), strict=True))
    counts = Counter(filter(None, last.values())).most_common()
    if len(last) == 1:
        return "".join(text for text, _ in counts)
    named = [f"{text} ({count} job{'s' * (count > 1)})" for text, count in counts[:_MOST_DECISIONS]]
    more = [f"{len(counts) - len(named)} more"] if len(counts) > len(named) else []
    return "; ".join(named + more)


def _telling(rows: npt.NDArray[Any], failures: Failures) -> LogPlace:
    """Choose a log that is still there; those of jobs that were done later are not."""
    places = (
        LogPlace.of(failures.job_logs(int(row["job"])), int(row["attempt"]), str(row["where"]))
        for row in rows[::-1][:_MOST_LOOKS]
    )
    last = next(places)
    return last if last.path.is_file() else next((p for p in places if p.path.is_file()), last)


def _excerpt(place: LogPlace) -> list[str]:
    try:
        return place.excerpt()
    except FileNotFoundError:
        return ["(not there: logs of jobs that were done in the end stay only with keep-logs)"]
    except OSError as error:
        return [f"(it cannot be read: {error.strerror})"]
