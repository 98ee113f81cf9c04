"""The ranks of a run: their launches, and the lines and groups that a page shows of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Outcome
from hvmpi.campaign.status import StatusFile
from hvmpi.report.clock import Clock, Floats, Launch

__all__ = ["Ranks"]

_MOST_LANES = 1024
"""Lines of a picture of all ranks."""


class Ranks:
    """The ranks that had attempts, by the names of their hosts.

    Attributes
    ----------
    clock : Clock
    count, hosts : int
    lanes, hosts_of_lanes : list of str
        Names of the lines of a picture of them, and the host of each.
    lanes_are : str
        ``ranks``, ``hosts``, or how many hosts together.
    groups : list of str
        Names of the hosts; of the ranks where there is one host.
    lane_of, group_of : ndarray of int of shape (count,)
        Line and group of each rank.
    """

    def __init__(self, file: StatusFile) -> None:
        names = file.decoded("hosts")["name"].astype(str)
        self._place_of_host = np.argsort(np.argsort(names, kind="stable"), kind="stable")
        self._see_launches(file)
        where, host_of = np.unique(self._keys >> 32, return_inverse=True)
        hosts = np.sort(names)[where].tolist()
        hosts_of_ranks = [hosts[at] for at in host_of.tolist()]
        ranks = [f"rank {key & 0xFFFFFFFF}" for key in self._keys.tolist()]
        self.count, self.hosts = len(ranks), len(hosts)
        if self.count <= _MOST_LANES:
            self.lanes_are, self.lane_of = "ranks", np.arange(self.count)
            named = [f"{h} {r}" for h, r in zip(hosts_of_ranks, ranks, strict=True)]
            self.lanes = named if self.hosts > 1 else ranks
            self.hosts_of_lanes = hosts_of_ranks
        else:
            together = -(-self.hosts // _MOST_LANES)
            self.lanes_are = "hosts" if together == 1 else f"groups of {together} hosts"
            self.lane_of = host_of // together
            self.lanes = self.hosts_of_lanes = hosts[::together]
        self.groups = hosts if self.hosts > 1 else ranks
        self.group_of = host_of if self.hosts > 1 else np.arange(self.count)

    def _see_launches(self, file: StatusFile) -> None:
        """Find the ranks, and when launches began and ended."""
        restarts, attributes = file.restarts(), file.attributes
        self._began = np.array([attributes["started"], *restarts["time"].tolist()])
        self._cut = _rows_of(file, restarts["reason"])
        known = self._began.copy()
        keys: list[npt.NDArray[np.int64]] = []
        for rows in file.parts("attempts"):
            keys.append(np.unique(self._key(rows)))
            np.maximum.at(known, self.launch(rows), rows["started"] + rows["wall_s"])
        self._keys = np.unique(np.concatenate(keys))
        self._ended = np.minimum(known, np.append(self._began[1:], np.inf))
        # The last one ended when the file was written, unless it was cut short.
        if attributes["state"] != "cut short":
            self._ended[-1] = max(attributes["updated"], self._began[-1])
        texts = (["", *restarts[column].tolist()] for column in ("command_line", "reason"))
        launches = zip(self._began.tolist(), self._ended.tolist(), *texts, strict=True)
        self.clock = Clock([Launch(*launch) for launch in launches])

    def _key(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Give host and rank in one number, in the order of names."""
        hosts = self._place_of_host[rows["host"]].astype(np.int64)
        return np.asarray(hosts << 32 | rows["rank"], dtype=np.int64)

    def place(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Give the places of the ranks of attempts, or of the jobs that these are of."""
        return np.searchsorted(self._keys, self._key(rows))

    def launch(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Give the launch that attempts are of."""
        return np.clip(np.searchsorted(self._began, rows["started"], side="right") - 1, 0, None)

    def is_open(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Whether nobody knows when attempts ended: they go on, or their master died."""
        return np.asarray((rows["outcome"] == Outcome.NONE) | np.isin(rows["reason"], self._cut))

    def last(self, rows: npt.NDArray[Any]) -> Floats:
        """Give when attempts ended, Unix seconds; of those that are open, with their launch."""
        ended = rows["started"] + rows["wall_s"]
        of_launch = self._ended[self.launch(rows)]
        return np.asarray(np.where(self.is_open(rows), of_launch, ended), dtype=np.float64)

    def lasted_s(self) -> Floats:
        """Give how long each launch lasted."""
        return np.asarray(np.maximum(self._ended - self._began, 0.0), dtype=np.float64)


def _rows_of(file: StatusFile, reasons: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Give the rows of ``reasons`` that hold these texts."""
    every = file.decoded("reasons")["text"] if len(reasons) else np.zeros(0, dtype=object)
    return np.flatnonzero(np.isin(every.astype(str), reasons.astype(str)))
