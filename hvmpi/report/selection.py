"""Which files of a run are looked at: all, or some that are spread evenly over its samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.status import StatusFile

__all__ = ["MOST_EVENTS", "MOST_FILES", "Selection", "select"]

MOST_FILES, MOST_EVENTS = 200, 20_000
"""What is read of a run at most, but at least one file of each sample."""


@dataclass(frozen=True)
class Selection:
    """Files of a run.

    Attributes
    ----------
    product : str
        ``aod``, ``train``, or empty where the run kept neither.
    paths : tuple of Path
        To be read.
    files, events : int
        That the run has.
    """

    product: str
    paths: tuple[Path, ...]
    files: int
    events: int


def select(status: StatusFile) -> Selection:
    """Choose files of a run's reconstruction jobs that are done."""
    keep = status.attributes["settings"]["keep"]
    product = next((kind for kind in ("aod", "train") if kind in keep), "")
    places: list[NDArray[np.int64]] = []
    files: list[NDArray[Any]] = []
    sizes: list[NDArray[Any]] = []
    first = 0
    for jobs in status.parts("jobs"):
        done = (jobs["kind"] == Kind.RECONSTRUCTION) & (jobs["state"] == JobState.DONE)
        places.append(first + np.flatnonzero(done))
        files.append(jobs["event_file"][done])
        sizes.append(jobs["events"][done])
        first += len(jobs)
    place, size = np.concatenate(places), np.concatenate(sizes)
    samples = status.table("event_files")["sample"][np.concatenate(files)]
    chosen = place[_spread(samples, size)]
    rows = np.concatenate(_rows(status, chosen))
    if product == "aod":
        found = status.joined_jobs(rows)["output"]
    elif product == "train":
        found = status.training_files(rows)
    else:
        found = rows[:0]
    return Selection(product, tuple(map(Path, found)), len(place), int(size.sum()))


def _spread(samples: NDArray[Any], events: NDArray[Any]) -> NDArray[np.int64]:
    """Return places that are spread evenly over each sample, ascending."""
    names, sample = np.unique(samples, return_inverse=True)
    chosen = []
    for number in range(len(names)):
        own = np.flatnonzero(sample == number)
        fair_events = MOST_EVENTS / len(names) / max(float(events[own].mean()), 1.0)
        fair = max(int(min(MOST_FILES / len(names), fair_events)), 1)
        at = np.linspace(0, len(own) - 1, min(fair, len(own)))
        chosen.append(own[np.unique(np.round(at).astype(np.int64))])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)


def _rows(status: StatusFile, places: NDArray[np.int64]) -> list[NDArray[Any]]:
    found, first = [], 0
    for jobs in status.parts("jobs"):
        inside = places[(places >= first) & (places < first + len(jobs))]
        found.append(jobs[inside - first])
        first += len(jobs)
    return found
