"""How event files are cut into jobs: by a size that was given, or by the time that events take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["PACES", "Pace", "Stretch", "alike", "by_time"]

_JOBS_A_WORKER = 2
"""Of what is left a job takes half of a worker's share at most."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events of a file that jobs of one size read; the last of them may have fewer.

    Attributes
    ----------
    skip : int
        Events of the file before it.
    events : int
    job_size : int
    """

    skip: int
    events: int
    job_size: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of an engine before anything was measured.

    Attributes
    ----------
    event_s, pileup_s : float
        Wall time of an event, and of each interaction that is overlaid, s.
    longest_s, shortest_s : float
        Wall time of the jobs that a campaign begins and ends with, s: what may be lost with an
        attempt, and what its start must not outweigh.
    """

    event_s: float
    pileup_s: float
    longest_s: float
    shortest_s: float


PACES = {
    "openchain": Pace(0.1, 0.05, 60.0, 2.0),
    "athena": Pace(30.0, 0.0, 7200.0, 900.0),
    "noop": Pace(0.01, 0.0, 10.0, 0.5),
}
"""By engine; the open chain's is what ``benchmarks/cost.py`` measures."""


def alike(events: int, job_size: int) -> tuple[Stretch, ...]:
    """Cut a file into jobs of one size."""
    return (Stretch(0, events, job_size),)


def by_time(
    files: Sequence[tuple[int, float]], *, workers: int, longest_s: float, shortest_s: float
) -> Iterator[tuple[Stretch, ...]]:
    """Cut files into jobs that get shorter towards the end.

    A job takes half of a worker's share of what is left (guided self-scheduling, in steps of a
    factor of two), within limits: so all workers end at about the same time, whatever an event
    turns out to take, and there are few jobs.

    Parameters
    ----------
    files : sequence of (int, float)
        Events of each file, and the wall time of one, s.
    workers : int
    longest_s, shortest_s : float
        Limits of a job's wall time, s; a job has one event at least, whatever it takes.

    Yields
    ------
    tuple of Stretch
        Of each file, all of its events.
    """
    most = max((events for events, _ in files), default=1)
    left_s = sum(events * event_s for events, event_s in files)
    target_s = longest_s
    for events, event_s in files:
        stretches: list[Stretch] = []
        skip = 0
        while skip < events:
            while target_s > shortest_s and _JOBS_A_WORKER * workers * target_s > left_s:
                target_s = max(target_s / 2, shortest_s)
            size = max(min(round(target_s / event_s), most), 1)
            spare_s = left_s - _JOBS_A_WORKER * workers * target_s
            jobs = max(int(spare_s / (size * event_s)), 1)
            shortest = target_s <= shortest_s
            taken = events - skip if shortest else min(jobs * size, events - skip)
            stretches.append(Stretch(skip, taken, size))
            skip += taken
            left_s -= taken * event_s
        yield tuple(stretches)
