"""What failed in a run: attempts, and jobs that could not start; all else is passed over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import JobState, Outcome
from hvmpi.campaign.paths import RunPaths
from hvmpi.campaign.status import StatusFile

__all__ = ["Failures"]


@dataclass(frozen=True)
class Failures:
    """The failures that a status file tells of.

    Attributes
    ----------
    engine : str
    logs : RunPaths
        Where the logs of a job are.
    attempts : ndarray
        Those that did not make it, rows of `hvmpi.campaign.status.Status.attempts`.
    hosts : frozenset of str
        All on which there were attempts, good ones too.
    states : ndarray of uint8
        The `JobState` of each job.
    barred : Counter of str
        Reasons why jobs failed without an attempt.
    put_aside : list of str
        Why event files are not fit for use.
    left_out : list of (str, str)
        Host and reason of the ranks that got no jobs.
    """

    engine: str
    logs: RunPaths
    attempts: npt.NDArray[Any]
    hosts: frozenset[str]
    states: npt.NDArray[np.uint8]
    barred: Counter[str]
    put_aside: list[str]
    left_out: list[tuple[str, str]]

    @classmethod
    def of(cls, file: StatusFile) -> Failures:
        """Look through a status file."""
        bad, hosts = [], []
        for attempts in file.parts("attempts"):
            outcome = attempts["outcome"]
            bad.append(attempts[(outcome != Outcome.DONE) & (outcome != Outcome.NONE)])
            hosts.append(np.unique(attempts["host"]))
        states, barred = [], []
        for jobs in file.parts("jobs"):
            states.append(jobs["state"].astype(np.uint8))
            barred.append(jobs[(jobs["state"] == JobState.FAILED) & (jobs["attempts"] == 0)])
        settings = file.attributes["settings"]
        of_job, attempts = np.concatenate(states), np.concatenate(bad)
        # One that was overtaken by another, or given back, is no failure of a job that is done.
        needless = attempts["outcome"] == Outcome.INTERRUPTED
        needless &= of_job[attempts["job"]] == JobState.DONE
        return cls(
            engine=str(settings["engine"]),
            logs=RunPaths.of(file.path.parent, log_dir=settings.get("log-dir")),
            attempts=file.joined(attempts[~needless]),
            hosts=frozenset(file.texts("host", np.unique(np.concatenate(hosts))).tolist()),
            states=of_job,
            barred=Counter(file.texts("reason", np.concatenate(barred)["reason"]).tolist()),
            put_aside=file.put_aside(),
            left_out=file.left_out()[["host", "reason"]].tolist(),
        )

    def job_logs(self, job: int) -> Path:
        """Give the directory of the logs of a job's attempts."""
        return self.logs.job_logs(job)
