"""Proves from the journal and the products that no event is lost or made twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.ledger import Ledger, replay
from hvmpi.campaign.paths import RunPaths
from hvmpi.campaign.run import paths_of, published_products
from hvmpi.engine import Engine, make_engine
from hvmpi.errors import HvmpiError
from hvmpi.files import sha256_of
from hvmpi.settings import load_run

__all__ = ["Audit", "audit"]


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found.

    Attributes
    ----------
    faults : tuple of str
        A sentence each; empty when all is as the journal says.
    not_done : tuple of str
        Jobs that are not done, with the reason.
    files, events : int
        Products that were read, and events in them.
    """

    faults: tuple[str, ...]
    not_done: tuple[str, ...]
    files: int
    events: int


def audit(directory: Path) -> Audit:
    """Read a run's journal and every product that it names again.

    Raises
    ------
    HvmpiError
        If the journal or the settings cannot be read.
    """
    settings = load_run(directory)
    engine = make_engine(settings)
    paths = paths_of(directory, settings)
    ledger = replay(paths.journal)
    faults: list[str] = []
    seen: dict[tuple[str, int, int], int] = {}
    trained: Counter[tuple[int, ...]] = Counter()
    files = events = 0
    # The merge is behind all that it joins, in the journal too.
    for accepted in _accepted(paths.journal, ledger):
        for product, _, path, size, sha256 in accepted.outputs:
            if product == "evnt" and "evnt" not in settings.keep:
                continue
            files += 1
            final = paths.resolve(path)
            faults += _check_file(final, size, sha256)
            if not final.is_file():
                continue
            if product in ("train", "merged"):
                faults += _check_training(engine, ledger, accepted.job, final, trained)
                continue
            found, problems = _check_events(engine, ledger, accepted.job, product, final, seen)
            events += found
            faults += problems
    if ledger.library is not None:
        faults += _check_library(ledger.library)
    faults += _strays(paths, published_products(settings, engine))
    not_done = tuple(_not_done(ledger))
    return Audit(tuple(faults), not_done, files, events)


def _accepted(path: Path, ledger: Ledger) -> Iterator[journal.Accepted]:
    """Give what made each done job's products."""
    withdrawn = {
        (entry.job, entry.attempt)
        for entry in journal.read_entries(path)
        if isinstance(entry, journal.Withdrawn)
    }
    for entry in journal.read_entries(path):
        if (
            isinstance(entry, journal.Accepted)
            and ledger.state(entry.job) is JobState.DONE
            and (entry.job, entry.attempt) not in withdrawn
        ):
            yield entry


def _check_library(library: journal.LibraryListed) -> list[str]:
    path = Path(library.path)
    if not path.is_file():
        return [f"pileup-library {path} is missing"]
    if sha256_of(path) != library.sha256:
        return [f"pileup-library {path} was changed: its SHA-256 is not the journal's"]
    return []


def _check_file(path: Path, size: int, sha256: str) -> list[str]:
    if not path.is_file():
        return [f"{path} is missing"]
    if path.stat().st_size != size:
        return [f"{path} has {path.stat().st_size} bytes, the journal says {size}"]
    if sha256_of(path) != sha256:
        return [f"{path} was changed: its SHA-256 is not the journal's"]
    return []


def _check_events(
    engine: Engine,
    ledger: Ledger,
    number: int,
    product: str,
    path: Path,
    seen: dict[tuple[str, int, int], int],
) -> tuple[int, list[str]]:
    try:
        held = engine.event_numbers(product, path)
    except HvmpiError as error:
        return 0, [f"{path} cannot be read: {error}"]
    if held is None:
        return 0, []
    job = ledger.job(number)
    faults = []
    if len(held) != job.events:
        faults.append(f"{path} holds {len(held)} events, job {number} has {job.events}")
    if job.has_event_file and len(held) and int(held[0]) != job.first_event:
        faults.append(f"{path} begins with event {held[0]}, job {number} with {job.first_event}")
    if len(np.unique(held)) != len(held):
        faults.append(f"{path} holds an event twice")
    for event in held.tolist():
        key = (product, job.event_file.run_number, event)
        if key in seen:
            faults.append(
                f"event {event} of run {job.event_file.run_number} is in the {product} of "
                f"job {seen[key]} and of job {number}"
            )
        seen[key] = number
    return len(held), faults


def _check_training(
    engine: Engine,
    ledger: Ledger,
    number: int,
    path: Path,
    trained: Counter[tuple[int, ...]],
) -> list[str]:
    """Compare a job's training file with its events, the merged one with those of all jobs."""
    try:
        rows = [tuple(row) for row in engine.normalisation(path).tolist()]
    except HvmpiError as error:
        return [f"{path} cannot be read: {error}"]
    job = ledger.job(number)
    if job.kind is Kind.MERGE:
        return list(_compare(path, trained, Counter(rows)))
    trained.update(rows)
    faults = []
    events = sum(events for *_, events in rows)
    if events != job.events:
        faults.append(f"{path} stands for {events} events, job {number} has {job.events}")
    if rows and rows[0][1] != job.first_event:
        faults.append(f"{path} begins with event {rows[0][1]}, job {number} with {job.first_event}")
    return faults


def _compare(
    path: Path, wanted: Counter[tuple[int, ...]], merged: Counter[tuple[int, ...]]
) -> Iterator[str]:
    for problem, rows in (("lacks", wanted - merged), ("holds too much:", merged - wanted)):
        if rows:
            run_number, first_event, events = min(rows)
            more = f", and {len(rows) - 1} such pieces more" if len(rows) > 1 else ""
            yield (
                f"{path} {problem} {events} events of run {run_number} from event {first_event} "
                f"on{more}"
            )


def _strays(paths: RunPaths, products: list[str]) -> list[str]:
    return [
        f"{part} was left by an attempt that was not accepted; rerun removes it"
        for product in products
        for part in paths.parts(product)
    ]


def _not_done(ledger: Ledger) -> Iterator[str]:
    for file in ledger.event_files:
        if file.reason:
            yield file.reason
    for row in ledger.jobs[ledger.jobs["state"] != JobState.DONE]:
        kind = Kind(int(row["kind"])).name.lower()
        state = JobState(int(row["state"])).name.lower()
        reason = ledger.reasons[row["reason"]] if row["reason"] >= 0 else "not tried yet"
        yield f"job {row['job']} ({kind}, {row['events']} events) is {state}: {reason}"
