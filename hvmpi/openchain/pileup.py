"""Pile-up: minimum-bias interactions out of a library, laid over an event's hits and deposits.

How many interactions each crossing brings, and which of the library's, is drawn from (seed, run
number, event number). In the event's own crossing the tracker's hits are added too; the other
crossings reach the calorimeters only, whose pulses last longer. Within the event's own crossing no
library event comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import acts
import acts.examples
import numpy as np
from acts.examples import SimHitContainer
from numpy.typing import NDArray

from hvmpi.engine import LibraryCount
from hvmpi.errors import InputError
from hvmpi.openchain import readout
from hvmpi.openchain.detector import LOG_LEVEL
from hvmpi.openchain.eventdata import Product, Table, file_sha256
from hvmpi.openchain.layers import cells
from hvmpi.openchain.recipe import settings_hash
from hvmpi.openchain.schemas import HITS
from hvmpi.openchain.sequence import SUCCESS, generator
from hvmpi.openchain.simulation import HITS as HITS_NAME
from hvmpi.openchain.simulation import hits_to_acts
from hvmpi.options import least_pileup_events
from hvmpi.stopwatch import Part, spent_on

__all__ = [
    "OVERLAID",
    "PROCESS",
    "Library",
    "Overlay",
    "OverlayHits",
    "check_library",
]

PROCESS = "minbias"
"""The process whose HITS make a library."""

OVERLAID = "simhits_overlaid"

_RESPONSE_SEED = 20070000


def check_library(path: Path, mu: float) -> LibraryCount:
    """See whether a file serves as library.

    Parameters
    ----------
    path : Path
    mu : float
        Mean number of interactions a crossing.

    Raises
    ------
    InputError
        If it is missing, no HITS, of another process, made with other settings, or too small.
    """
    if not path.is_file():
        raise InputError(f"the pile-up library '{path}' is not there; leave pileup-library out")
    with Product(path, HITS) as product:
        _check(product, mu)
        events = len(product)
    return LibraryCount(events, file_sha256(path))


def _check(product: Product, mu: float) -> None:
    wanted = settings_hash(HITS.name)
    path, made = product.path, product.provenance["settings_hash"]
    processes = {name.decode() for name in product.normalisation["process"].tolist()}
    if processes != {PROCESS}:
        raise InputError(
            f"'{path}' is no pile-up library: its process is {', '.join(sorted(processes))}, not"
            f" {PROCESS}"
        )
    if made != wanted:
        raise InputError(
            f"the pile-up library '{path}' was simulated with other settings (hash {made[:12]},"
            f" now {wanted[:12]}); make another"
        )
    least = least_pileup_events(mu)
    if len(product) < least:
        raise InputError(
            f"the pile-up library '{path}' holds {len(product)} events; mu = {mu:g} needs {least}"
        )


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is laid over one event.

    Attributes
    ----------
    interactions : int
        In the event's own crossing.
    hits : Table
        Tracker hits of the event's own crossing, and ``interaction``, from 0 on.
    samples : ndarray of float32, shape (SAMPLES, n_cells)
        What all crossings add to the calorimeters' samples, GeV.
    """

    interactions: int
    hits: Table
    samples: NDArray[np.float32]


class Library:
    """A library in memory.

    Parameters
    ----------
    path : Path
    mu : float
        Mean number of interactions a crossing.
    seed : int
        The campaign's.

    Attributes
    ----------
    sha256 : str
    mu : float

    Raises
    ------
    InputError
        As `check_library`.
    """

    def __init__(self, path: Path, mu: float, seed: int) -> None:
        self.mu, self._seed = mu, seed
        if not path.is_file():
            raise InputError(f"the pile-up library '{path}' is not there")
        with Product(path, HITS) as product:
            _check(product, mu)
            self._events = len(product)
            self._hits, self._hit_index = product["hits"].table(), product["hits"].index
            deposits, self._deposit_index = product["deposits"].table(), product["deposits"].index
        self.sha256 = file_sha256(path)
        # Drawn for the whole library at once: the same in every job.
        random = np.random.Generator(np.random.Philox(_RESPONSE_SEED))
        self._cell = deposits["cell"].astype(np.int64)
        self._energy = readout.visible(deposits, random)
        self._late = deposits["t"].astype(np.float64)

    @spent_on(Part.PILE_UP)
    def overlay(self, run_number: int, event_number: int) -> Overlay:
        """Draw what is laid over an event."""
        random = generator(self._seed, run_number, event_number, "pile_up")
        samples = np.zeros((readout.SAMPLES, len(cells())), dtype=np.float32)
        chosen = self._draw(random)
        for pulse, events in zip(_crossing_pulses(), self._draw_others(random), strict=True):
            rows = _rows(self._deposit_index, events)
            energy = np.bincount(
                self._cell[rows], weights=self._energy[rows], minlength=samples.shape[1]
            )
            samples += pulse[:, None] * energy.astype(np.float32)
        rows = _rows(self._deposit_index, chosen)
        pulses = readout.sampled(self._late[rows]) * self._energy[rows]
        for sample, pulse in zip(samples, pulses, strict=True):
            sample += np.bincount(
                self._cell[rows], weights=pulse, minlength=samples.shape[1]
            ).astype(np.float32)
        rows = _rows(self._hit_index, chosen)
        lengths = np.diff(self._hit_index)[chosen]
        hits = {name: values[rows] for name, values in self._hits.items()}
        hits["interaction"] = np.repeat(np.arange(len(chosen)), lengths)
        return Overlay(len(chosen), hits, samples)

    def _draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        # A library ten times as large as mu falls short once in never.
        count = min(int(random.poisson(self.mu)), self._events)
        return np.asarray(random.choice(self._events, count, replace=False))

    def _draw_others(self, random: np.random.Generator) -> list[NDArray[np.int64]]:
        counts = random.poisson(self.mu, len(readout.CROSSINGS) - 1)
        events = random.integers(0, self._events, int(counts.sum()))
        return np.split(events, np.cumsum(counts)[:-1])


def _crossing_pulses() -> NDArray[np.float32]:
    """Return the pulses of all crossings but the event's own at its samples; one a row."""
    others = [crossing for crossing in readout.CROSSINGS if crossing != 0]
    late = np.array([readout.CROSSING_NS * crossing for crossing in others])
    return readout.sampled(late).T.astype(np.float32)


def _rows(index: NDArray[np.int64], events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of some events, one event's behind the other's."""
    lengths = np.diff(index)[events]
    ends = np.cumsum(lengths)
    shift = np.repeat(index[events] - (ends - lengths), lengths)
    return shift + np.arange(len(shift))


class OverlayHits(acts.examples.IAlgorithm):  # type: ignore[misc]
    """Adds pile-up hits to the event's own: `simulation.HITS` to `OVERLAID`."""

    def __init__(self) -> None:
        acts.examples.IAlgorithm.__init__(self, "OverlayHits", LOG_LEVEL)
        self._in = acts.examples.ReadDataHandle(self, SimHitContainer, "in")
        self._in.initialize(HITS_NAME)
        self._out = acts.examples.WriteDataHandle(self, SimHitContainer, "out")
        self._out.initialize(OVERLAID)
        self.hits: Table = {}

    @spent_on(Part.PILE_UP)
    def execute(self, context: Any) -> Any:
        """Put both together; what was to be added is used up."""
        container = hits_to_acts(self.hits)
        for hit in self._in(context.eventStore):
            container.insert(hit)
        self._out(context, container)
        self.hits = {}
        return SUCCESS
