"""Proves from the journal and the products that no event is lost or made twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
    products = _Products(engine, ledger)
    faults: list[str] = []
    files = 0
    # The merge is behind all that it joins, in the journal too.
    for accepted in _accepted(paths.journal, ledger):
        for product, _, path, size, sha256 in accepted.outputs:
            if product == "evnt" and "evnt" not in settings.keep:
                continue
            files += 1
            final = paths.resolve(path)
            faults += _check_file(final, size, sha256)
            if final.is_file():
                faults += products.check(accepted.job, product, final)
    if ledger.library is not None:
        faults += _check_library(ledger.library)
    faults += _strays(paths, published_products(settings, engine))
    not_done = tuple(_not_done(ledger))
    return Audit(tuple(faults), not_done, files, products.events)


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


class _Products:
    """The products that were read so far, and the events in them."""

    def __init__(self, engine: Engine, ledger: Ledger) -> None:
        self._engine = engine
        self._ledger = ledger
        self._job_of_event: dict[tuple[str, int, int], int] = {}
        self._trained: Counter[tuple[int, int]] = Counter()
        self.events = 0

    def check(self, number: int, product: str, path: Path) -> list[str]:
        """Compare a product's events with its job's, and with those of all other products."""
        try:
            if product == "merged":
                return list(self._check_merged(path, Counter(self._engine.training_events(path))))
            if product == "train":
                events = self._engine.training_events(path)
                self._trained.update(events)
                return list(self._check(number, product, path, [event for _, event in events]))
            held = self._engine.event_numbers(product, path)
            if held is None or self._numbers_were_given(number):
                return list(self._check_count(number, product, path))
        except HvmpiError as error:
            return [f"{path} cannot be read: {error}"]
        return list(self._check(number, product, path, held.tolist()))

    def _numbers_were_given(self, number: int) -> bool:
        """Say whether the plan's event numbers need not be those in athena's files.

        It numbers the events of foreign event files itself where these do not tell.
        """
        file = self._ledger.job(number).event_file
        return self._engine.name == "athena" and (file.batch == 0 or file.number_from >= 0)

    def _check_count(self, number: int, product: str, path: Path) -> Iterator[str]:
        count = self._engine.count(product, path)
        if count is None:
            return
        self.events += count
        delivered = int(self._ledger.jobs["events_out"][number])
        # A derivation may have left events out.
        if count > delivered or (count < delivered and product != "daod"):
            yield f"{path} holds {count} events, job {number} delivered {delivered}"

    def _check(self, number: int, product: str, path: Path, held: list[int]) -> Iterator[str]:
        job = self._ledger.job(number)
        self.events += len(held)
        delivered = int(self._ledger.jobs["events_out"][number])
        if len(held) != delivered:
            yield f"{path} holds {len(held)} events, job {number} delivered {delivered}"
        # A training file lists its events in the order of their numbers; of a step that may lose
        # events, the first may be lost.
        begins_well = job.first_event in (held if product == "train" else held[:1])
        begins_well |= delivered < job.events and job.first_event < min(held, default=0)
        if job.has_event_file and held and not begins_well:
            yield f"{path} begins with event {held[0]}, job {number} with {job.first_event}"
        if len(set(held)) != len(held):
            yield f"{path} holds an event twice"
        run_number = job.event_file.run_number
        for event in held:
            other = self._job_of_event.setdefault((product, run_number, event), number)
            if other != number:
                yield (
                    f"event {event} of run {run_number} is in the {product} of job {other} "
                    f"and of job {number}"
                )

    def _check_merged(self, path: Path, merged: Counter[tuple[int, int]]) -> Iterator[str]:
        for problem, events in (
            ("lacks", self._trained - merged),
            ("holds too much:", merged - self._trained),
        ):
            if events:
                run_number, event = min(events)
                yield (
                    f"{path} {problem} {events.total()} events, the first is event {event} of "
                    f"run {run_number}"
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
