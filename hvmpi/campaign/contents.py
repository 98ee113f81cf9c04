"""The events that products hold, compared with those of their jobs and with each other's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from hvmpi.campaign.ledger import Ledger
from hvmpi.engine import Engine
from hvmpi.errors import HvmpiError

__all__ = ["Contents"]


class Contents:
    """The products that were read so far, and the events in them.

    Parameters
    ----------
    engine : Engine
    ledger : Ledger
    irregular : collection of int
        Rows of the event files whose event numbers do not simply follow from the first.

    Attributes
    ----------
    events : int
        Events in the products so far.
    """

    def __init__(self, engine: Engine, ledger: Ledger, irregular: Collection[int]) -> None:
        self._engine = engine
        self._ledger = ledger
        self._irregular = irregular
        self._job_of_event: dict[tuple[str, int, int], int] = {}
        self._trained: Counter[tuple[int, int]] = Counter()
        self._misses_some = False
        self.events = 0

    def miss(self, product: str) -> None:
        """Take into account that a product is not what it was: its contents prove nothing."""
        self._misses_some |= product == "train"

    def check(self, number: int, product: str, path: Path) -> list[str]:
        """Compare a product's events with its job's, and with those of all other products."""
        try:
            if product == "merged":
                merged = Counter(self._engine.training_events(path))
                # What was missed is told of already.
                return [] if self._misses_some else list(self._check_merged(path, merged))
            if product == "train":
                events = self._engine.training_events(path)
                self._trained.update(events)
                return list(self._check(number, product, path, [event for _, event in events]))
            held = self._engine.event_numbers(product, path)
            if held is None or self._numbers_were_given(number):
                return list(self._check_count(number, product, path))
        except HvmpiError as error:
            self.miss(product)
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
        elif job.has_event_file and self._ledger.jobs.event_file(number) not in self._irregular:
            last = job.first_event + job.events - 1
            others = [event for event in held if not job.first_event <= event <= last]
            if others:
                yield (
                    f"{path} holds event {others[0]}, job {number} is of events "
                    f"{job.first_event} to {last}"
                )
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
