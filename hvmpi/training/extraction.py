"""From one AOD to one training file, whichever engine made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError
from hvmpi.openchain.kept import KeptProduct
from hvmpi.stopwatch import Part, spent_on
from hvmpi.training import variables
from hvmpi.training.aod import OpenChainAOD
from hvmpi.training.athena import AthenaAOD, AthenaSample
from hvmpi.training.books import Books, event_ranges, provenance
from hvmpi.training.files import TrainingWriter
from hvmpi.training.variables import Block, training_rows

__all__ = ["TrainSummary", "extract"]

_ROOT = b"root"
"""What files of ROOT begin with."""


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What an extraction did.

    Attributes
    ----------
    step : str
    events : int
    first_event, last_event : int
        Numbers of the first and the last event.
    run_number : int
        Of the first event.
    rows : dict of str to int
        Rows written: jets, of them signal and QCD, their tracks and clusters.
    """

    step: str
    events: int
    first_event: int
    last_event: int
    run_number: int
    rows: dict[str, int]


class _Input(Protocol):
    """An open AOD of either engine."""

    @property
    def source(self) -> Mapping[str, Any]:
        """Give what is known of its making."""

    def blocks(self) -> Iterator[Block]:
        """Yield the events."""

    def normalisation(self, ranges: NDArray[Any], weights: NDArray[Any], /) -> NDArray[Any]:
        """Return the table of normalisation of the events, one row."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def extract(
    aod: Path | KeptProduct,
    train: Path,
    *,
    unmatched: bool = False,
    sample: AthenaSample | None = None,
) -> TrainSummary:
    """Make the training file of an AOD.

    Parameters
    ----------
    aod : Path or KeptProduct
        The open chain's AOD, or an AOD or DAOD of athena; told apart by what they hold. What the
        open chain has just written need not be read again.
    train : Path
        The training file; appears whole or not at all.
    unmatched : bool
        Keep the jets of signal events that no s is near to, with label -1.
    sample : AthenaSample, optional
        What a file of athena does not say of itself.

    Raises
    ------
    InputError
        If the file is missing, bad, or lacks what the variables are made of.
    SetupError
        If the training file cannot be written, or uproot is not installed.
    """
    path = aod.path if isinstance(aod, KeptProduct) else aod
    opened: _Input
    if isinstance(aod, Path) and _is_root(aod):
        opened = AthenaAOD(aod, sample or AthenaSample())
    else:
        opened = OpenChainAOD(aod)
    runs, numbers, weights = [], [], []
    with opened as source, TrainingWriter(train) as writer:
        for block in spent_on(Part.READ).each(source.blocks()):
            writer.append(training_rows(block, unmatched=unmatched))
            runs.append(block.run_number)
            numbers.append(block.event_number)
            weights.append(block.weight)
        run, number = (np.concatenate(some or [np.zeros(0, int)]) for some in (runs, numbers))
        ranges = event_ranges(path, run, number)
        table = source.normalisation(ranges, np.concatenate(weights))
        made = provenance(variables.settings(unmatched=unmatched), [source.source])
        writer.finish(Books(table, ranges, made))
        return TrainSummary(
            "extract", len(number), int(number[0]), int(number[-1]), int(run[0]), writer.rows
        )


def _is_root(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(_ROOT)) == _ROOT
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error
