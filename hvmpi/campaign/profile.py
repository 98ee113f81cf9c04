"""Where the time of a campaign's ranks went: by step and part, around the steps, and waiting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Outcome
from hvmpi.campaign.status import StatusFile
from hvmpi.stopwatch import Part

__all__ = ["PartTime", "Profile", "StepTime"]


@dataclass(frozen=True, slots=True)
class PartTime:
    """What all attempts spent on a part of a step.

    Attributes
    ----------
    part : str
    wall_s : float
    """

    part: str
    wall_s: float


@dataclass(frozen=True, slots=True)
class StepTime:
    """What all attempts spent on a step.

    Attributes
    ----------
    step : str
    wall_s, cpu_s : float
    events : int
        That it was given, all attempts together.
    parts : tuple of PartTime
        In the order of `hvmpi.stopwatch.Part`; they sum up to `wall_s`. Empty of steps that do not
        say where their time goes.
    """

    step: str
    wall_s: float
    cpu_s: float
    events: int
    parts: tuple[PartTime, ...]


@dataclass(frozen=True)
class Profile:
    """Where the time of a campaign went, of the attempts that were profiled and have ended.

    Attributes
    ----------
    timestamp : str
    steps : tuple of StepTime
        Those that took longest first.
    around_s : float
        What attempts took beyond their steps: places made, outputs checked and brought.
    lost_s : float
        Of attempts that were lost with their rank: nobody knows of their steps.
    waiting_s : float or None
        What the ranks that had attempts spent on none of them; None where it is not known: the
        campaign is in progress, or was started more than once, or not all of it was profiled.
    """

    timestamp: str
    steps: tuple[StepTime, ...]
    around_s: float
    lost_s: float
    waiting_s: float | None

    @classmethod
    def of(cls, file: StatusFile) -> Profile | None:
        """Look through a status file; None if no step was profiled."""
        if not file.is_profiled:
            return None
        return cls(file.attributes["timestamp"], _steps(file), *_around(file))

    @property
    def ranks_s(self) -> float:
        """Give all of it: what ranks had, as far as that is known."""
        steps = sum(step.wall_s for step in self.steps)
        return steps + self.around_s + self.lost_s + (self.waiting_s or 0.0)


def _steps(file: StatusFile) -> tuple[StepTime, ...]:
    names = file.decoded("step_names")["name"].tolist()
    spent = np.zeros((len(names), len(Part)))
    for rows in file.parts("profile"):
        np.add.at(spent, (rows["step"], rows["part"]), rows["wall_s"])
    cpu_s, events = np.zeros(len(names)), np.zeros(len(names), dtype=np.int64)
    events_of_job = np.concatenate([jobs["events"] for jobs in file.parts("jobs")])
    profiled = _attempts_of(file, "profile")
    for rows in file.parts("steps"):
        known = rows[_are_among(_keys(rows), profiled)]
        for number, name in enumerate(names):
            own = known[known["step"] == name.encode("utf-8", "surrogateescape")]
            cpu_s[number] += own["cpu_s"].sum(dtype=np.float64)
            events[number] += events_of_job[own["job"]].sum()
    made = [
        StepTime(
            step=name,
            wall_s=float(spent[number].sum()),
            cpu_s=float(cpu_s[number]),
            events=int(events[number]),
            parts=tuple(
                PartTime(part.name.lower(), float(spent[number, part]))
                for part in Part
                if part is not Part.WHOLE and spent[number, part]
            ),
        )
        for number, name in enumerate(names)
        if spent[number].any()
    ]
    return tuple(sorted(made, key=lambda step: -step.wall_s))


def _around(file: StatusFile) -> tuple[float, float, float | None]:
    """Give what went around the steps, was lost, and was spent waiting, s."""
    profiled = _attempts_of(file, "profile")
    in_steps = sum(rows["wall_s"].sum(dtype=np.float64) for rows in file.parts("profile"))
    taken = of_profiled = lost = 0.0
    ranks: set[tuple[int, int]] = set()
    all_profiled = True
    for attempts in file.parts("attempts"):
        wall_s = attempts["wall_s"].astype(np.float64)
        are_lost = attempts["outcome"] == Outcome.WORKER_LOST
        known = _are_among(_keys(attempts), profiled)
        taken += wall_s.sum()
        lost += wall_s[are_lost].sum()
        of_profiled += wall_s[known & ~are_lost].sum()
        all_profiled &= bool((known | are_lost | (wall_s == 0.0)).all())
        ranks.update(zip(attempts["host"].tolist(), attempts["rank"].tolist(), strict=True))
    waiting = None
    ended = file.attributes["state"] != "running" and file.launches == 1
    if ended and all_profiled:
        lasted = file.attributes["updated"] - file.attributes["started"]
        waiting = max(lasted * len(ranks) - taken, 0.0)
    return max(of_profiled - in_steps, 0.0), lost, waiting


def _attempts_of(file: StatusFile, table: str) -> npt.NDArray[np.int64]:
    """List the attempts of which a table has rows."""
    found = [np.unique(_keys(rows)) for rows in file.parts(table)]
    return np.unique(np.concatenate(found))


def _are_among(
    keys: npt.NDArray[np.int64], ascending: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    # `isin` would sort all of them for each of a thousand parts of a table.
    places = np.searchsorted(ascending, keys)
    return np.asarray(np.append(ascending, -1)[places] == keys)


def _keys(rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Give one number for the job and the attempt of each row."""
    keys: npt.NDArray[np.int64] = rows["job"].astype(np.int64) << 16 | rows["attempt"]
    return keys
