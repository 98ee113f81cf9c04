"""One event through ACTS: sequences that are set up once and run for one event at a time.

ACTS seeds an algorithm's random numbers with a 64-bit hash of (seed, event number, position of
the algorithm in its sequence). The event number is the event's own, not its place in a file, and
`random_numbers` hashes the campaign's seed with the run number and the step; so what follows
generation depends on (seed, run number, event number) and on nothing of the job. The position is
kept by `Pad`: a step that runs alone puts pads where the fused chain has other algorithms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import acts.examples
import numpy as np

from hvmpi.errors import RunError
from hvmpi.openchain.detector import LOG_LEVEL
from hvmpi.stopwatch import Part, spent_on

__all__ = ["EventSequence", "Pad", "Source", "generator", "random_numbers"]

SUCCESS = acts.examples.ProcessCode.SUCCESS


def _digest(*words: int | str) -> bytes:
    return hashlib.sha256("/".join(map(str, words)).encode()).digest()


def random_numbers(seed: int, run_number: int, step: str) -> Any:
    """Return ACTS's random number service for one step of one run.

    Parameters
    ----------
    seed : int
        The campaign's.
    run_number : int
    step : str
        Keeps the steps' numbers apart.

    Returns
    -------
    acts.examples.RandomNumbers
        Its 64-bit seed is the beginning of a SHA-256 of the three.
    """
    config = acts.examples.RandomNumbers.Config()
    config.seed = int.from_bytes(_digest(seed, run_number, step)[:8], "little")
    return acts.examples.RandomNumbers(config)


def generator(seed: int, run_number: int, event_number: int, step: str) -> np.random.Generator:
    """Return numpy's generator for one step of one event (Philox, 128-bit key by SHA-256)."""
    key = int.from_bytes(_digest(seed, run_number, step, event_number)[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


class Pad(acts.examples.IAlgorithm):  # type: ignore[misc]
    """Does nothing; holds a position, so that those behind it keep their random numbers."""

    def __init__(self, position: int) -> None:
        acts.examples.IAlgorithm.__init__(self, f"Pad{position}", LOG_LEVEL)

    def execute(self, _context: Any) -> Any:
        """Succeed."""
        return SUCCESS


class Source(acts.examples.IReader):  # type: ignore[misc]
    """The first element of a sequence: hands one event's containers to ACTS.

    Parameters
    ----------
    **types
        Names on ACTS's whiteboard and the types of what will stand there.
    """

    def __init__(self, **types: Any) -> None:
        acts.examples.IReader.__init__(self, "Source", LOG_LEVEL)
        self.event_number = 0
        self.containers: dict[str, Any] = {}
        self._handles = {}
        for name, kind in types.items():
            handle = acts.examples.WriteDataHandle(self, kind, name)
            handle.initialize(name)
            self._handles[name] = handle

    def availableEvents(self) -> tuple[int, int]:  # noqa: N802 (ACTS calls it by this name)
        """Return the range that holds the one event."""
        return self.event_number, self.event_number + 1

    def read(self, context: Any) -> Any:
        """Put the containers on the whiteboard, which takes them over."""
        for name, handle in self._handles.items():
            handle(context, self.containers.pop(name))
        return SUCCESS


class EventSequence:
    """A source and the algorithms behind it.

    ACTS numbers the events of one run of a sequence without gaps; foreign event files do not.
    One run an event costs 0.3 ms and leaves any numbers to any files.
    """

    def __init__(self, source: Source, algorithms: Sequence[Any]) -> None:
        self._source = source
        self._algorithms = tuple(algorithms)

    @spent_on(Part.ACTS)
    def run(self, event_number: int, containers: dict[str, Any]) -> None:
        """Send one event through.

        Parameters
        ----------
        event_number : int
            Not negative.
        containers : dict
            ACTS containers by the names that the source was made with; they are used up.

        Raises
        ------
        RunError
            If an algorithm failed.
        """
        self._source.event_number = event_number
        self._source.containers = containers
        sequencer = acts.examples.Sequencer(
            events=1, numThreads=1, logLevel=LOG_LEVEL, trackFpes=False, outputTimingFile=""
        )
        sequencer.addReader(self._source)
        for algorithm in self._algorithms:
            sequencer.addAlgorithm(algorithm)
        try:
            sequencer.run()
        except RuntimeError as error:
            raise RunError(f"ACTS failed in event {event_number}: {error}") from error
