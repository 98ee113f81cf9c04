"""Joins training files of any runs into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hvmpi.errors import InputError, UsageError
from hvmpi.stopwatch import Part, spent_on
from hvmpi.training.books import Books, merged, refuse_events_twice
from hvmpi.training.files import TrainingFile, TrainingWriter

__all__ = ["MergeSummary", "listed", "merge"]

_PATTERN = "*.train.h5"


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """What a merge did.

    Attributes
    ----------
    step : str
    events : int
        Events that went in, also those that left no jet.
    inputs : int
        Files that were joined.
    samples : dict of str to int
        Events by sample.
    rows : dict of str to int
        Rows written: jets, of them signal and QCD, their tracks and clusters.
    """

    step: str
    events: int
    inputs: int
    samples: dict[str, int]
    rows: dict[str, int]


def listed(given: Sequence[Path], inputs_from: Path | None = None) -> list[Path]:
    """Return the training files that are meant.

    Parameters
    ----------
    given : sequence of Path
        Files, and directories that stand for all ``*.train.h5`` in them.
    inputs_from : Path, optional
        A file with more of them, one a line.

    Raises
    ------
    InputError
        If a directory holds none, or the list cannot be read.
    """
    more: list[Path] = []
    if inputs_from is not None:
        try:
            lines = inputs_from.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read '{inputs_from}': {error}") from error
        more = [Path(line) for line in lines if line.strip()]
    files: list[Path] = []
    for path in (*given, *more):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(path.glob(_PATTERN))
        if not inside:
            raise InputError(f"there is no training file ({_PATTERN}) in '{path}'")
        files += inside
    return files


def merge(inputs: Sequence[Path], output: Path, *, events: int | None = None) -> MergeSummary:
    """Join training files; the result does not depend on the order in which they are named.

    Rows stand in the order of process, run number, settings hash and event number of the first
    event of their files. Of all inputs only the books are in memory at once.

    Parameters
    ----------
    inputs : sequence of Path
    output : Path
        Appears whole or not at all; must not be there before.
    events : int, optional
        How many events must have gone in.

    Raises
    ------
    UsageError
        If there are no inputs, or the output is one of them or is there.
    InputError
        If a file is bad, files differ in columns or in the settings of the extraction, an event is
        there twice, or they hold another number of events.
    SetupError
        If the output cannot be written.
    """
    _refuse_output(inputs, output)
    books = [_books_of(path) for path in inputs]
    refuse_events_twice(inputs, books)
    whole = merged(inputs, books)
    if events is not None and whole.events != events:
        raise InputError(
            f"{whole.events} events went into the {len(inputs)} files to be merged, not {events}"
        )
    order = sorted(range(len(inputs)), key=lambda place: books[place].beginning())
    with TrainingWriter(output) as writer:
        for place in order:
            with TrainingFile(inputs[place]) as file:
                for rows in spent_on(Part.READ).each(file.blocks()):
                    writer.append(rows)
        writer.finish(whole)
    return MergeSummary("merge", whole.events, len(inputs), _samples(whole), writer.rows)


def _refuse_output(inputs: Sequence[Path], output: Path) -> None:
    if not inputs:
        raise UsageError("there is nothing to merge; name training files or their directory")
    if output.resolve() in {path.resolve() for path in inputs}:
        raise UsageError(f"'{output}' is an input and the output of the merge; name another output")
    if output.exists():
        raise UsageError(f"'{output}' is there already; name another output")


def _books_of(path: Path) -> Books:
    with TrainingFile(path) as file:
        return file.books


def _samples(books: Books) -> dict[str, int]:
    samples: dict[str, int] = {}
    for sample, events in books.normalisation[["sample", "events"]].tolist():
        name = sample.decode("utf-8", "replace")
        samples[name] = samples.get(name, 0) + events
    return samples
