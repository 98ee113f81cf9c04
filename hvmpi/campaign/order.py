"""In which order jobs had better start: those that are expected to take longest first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.durations import Durations
from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.ledger import Ledger

__all__ = ["StartOrder", "longest_first"]

_FIRST_LOOK = 16
_LAST_LOOK = 4096
"""Done jobs at which what was measured so far is taken into account, each time twice as many."""

_STEPS = 1000.0
_LEAST_S = 1e-6


class StartOrder:
    """The order of a campaign's jobs, which gets better as it becomes known how long they take.

    Once some are done, a job of each sample of which none is goes first: one that turns out to take
    longest must not be found out about at the end.

    Parameters
    ----------
    ledger : Ledger
    before : Durations or None
        What an earlier run measured.

    Attributes
    ----------
    expected_s : dict of Kind to float
        Wall time of a job of each kind in the mean, s, where something of it was measured.
    """

    def __init__(self, ledger: Ledger, before: Durations | None) -> None:
        self._ledger = ledger
        runs = {file.run_number for file in ledger.event_files}
        # Jobs of one sample differ by their events, which are known.
        self._next_look = _FIRST_LOOK if before is None and len(runs) > 1 else _LAST_LOOK + 1
        durations = before or Durations(ledger.jobs.parts())
        self.expected_s: dict[Kind, float] = {}
        expected_s = self._put(durations)
        for kind in Kind:
            of_kind = expected_s[ledger.jobs["kind"] == kind]
            if len(of_kind) and durations.knows(kind):
                self.expected_s[kind] = float(of_kind.mean())

    def look(self) -> None:
        """Put the jobs into another order if enough of them are done to know better."""
        done = self._ledger.counts[JobState.DONE]
        if not self._next_look <= done <= _LAST_LOOK:
            return
        while self._next_look <= done:
            self._next_look *= 2
        self._put(Durations(self._ledger.jobs.parts()), scout_s=np.inf)

    def _put(self, durations: Durations, scout_s: float | None = None) -> npt.NDArray[np.float32]:
        """Put the jobs into the order that follows; give what each is expected to take, s."""
        jobs = self._ledger.jobs
        file = np.empty(len(jobs), dtype=np.int32)
        expected_s = np.empty(len(jobs), dtype=np.float32)
        first = 0
        # All of a million jobs at once would be the most that a master ever has in memory.
        for part in jobs.parts():
            rows = slice(first, first + len(part))
            file[rows] = part["event_file"]
            expected_s[rows] = _rounded(durations.expected_s(part, scout_s))
            first += len(part)
        self._ledger.start_in(longest_first(jobs["kind"], file, expected_s))
        return expected_s


def _rounded(expected_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Take times for equal that differ by rounding only: among equals the plan's order holds."""
    steps = np.round(_STEPS * np.log(np.maximum(expected_s, _LEAST_S)))
    return np.asarray(np.exp(steps / _STEPS))


def longest_first(
    kind: npt.NDArray[np.uint8], file: npt.NDArray[np.int32], expected_s: npt.NDArray[np.floating]
) -> npt.NDArray[np.intp]:
    """Order the jobs of a campaign.

    The library comes first and the merge last. A batch and the jobs that read it stay together,
    the batch before them, so that what is generated is reconstructed before more is generated and
    no disk fills with event files that wait. What is free to move, batches and the jobs of event
    files that are there, goes by the longest of its jobs; among equals the plan's order holds.

    Parameters
    ----------
    kind, file, expected_s : ndarray of shape (n_jobs,)
        `hvmpi.campaign.jobs.Kind`, row of the event file (-1: none) and expected wall time, s, of
        each job, in the plan's order.

    Returns
    -------
    ndarray of shape (n_jobs,)
        Job numbers, the first to start first.
    """
    generates = kind == Kind.GENERATION
    reads = kind == Kind.RECONSTRUCTION
    longest = np.zeros(int(file.max(initial=-1)) + 1, dtype=expected_s.dtype)
    np.maximum.at(longest, file[reads], expected_s[reads])
    generated = np.zeros(len(longest), dtype=bool)
    generated[file[generates]] = True
    of_a_batch = (file >= 0) & generated[file] if len(longest) else np.zeros(len(kind), dtype=bool)
    length = np.where(of_a_batch, longest[file] if len(longest) else 0.0, expected_s)
    stage = 1 + (kind == Kind.MERGE).astype(np.int8) - (kind == Kind.LIBRARY)
    order: npt.NDArray[np.intp] = np.lexsort((-expected_s, ~generates, file, -length, stage))
    return order
