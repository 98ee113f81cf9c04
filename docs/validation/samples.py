"""AODs of campaigns by sample: their weights, and their collections in whole arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import HvmpiError
from hvmpi.openchain.eventdata import Product, Table
from hvmpi.openchain.schemas import AOD


@dataclass(slots=True)
class Sample:
    """A sample with one pile-up, in all files that are given.

    Attributes
    ----------
    name, process : str
    run_number : int
    m_phi, m_s : float
        GeV; NaN where there are none.
    mu : float
        Mean number of pile-up interactions.
    cross_section_pb : float
        Mean of the event files', weighted with their events.
    """

    name: str
    process: str
    run_number: int
    m_phi: float
    m_s: float
    mu: float
    paths: list[Path] = field(default_factory=list)
    events: int = 0
    sum_weights: float = 0.0
    sum_cross_sections: float = 0.0

    @property
    def cross_section_pb(self) -> float:
        """Mean of the event files', weighted with their events."""
        return self.sum_cross_sections / self.events

    @property
    def scale(self) -> float:
        """What to multiply an event's weight with, pb."""
        return self.cross_section_pb / self.sum_weights

    def blocks(self, *names: str) -> Iterator[tuple[NDArray[np.float64], dict[str, Table]]]:
        """Yield the events' weights and some collections, file by file.

        Tables have a column ``event``, the row of the event in the file.
        """
        for path in self.paths:
            with Product(path, AOD) as product:
                yield (
                    product.events["weight"].copy(),
                    {name: _table(product, name) for name in names},
                )


def _table(product: Product, name: str) -> Table:
    collection = product[name]
    lengths = np.diff(collection.index)
    return collection.table() | {"event": np.repeat(np.arange(len(lengths)), lengths)}


@dataclass(frozen=True, slots=True)
class Inputs:
    """All samples, and what they were made with."""

    samples: tuple[Sample, ...]
    made: dict[str, Any]

    def of(self, process: str) -> tuple[Sample, ...]:
        """Return the samples of a process, by run number."""
        return tuple(sample for sample in self.samples if sample.process == process)

    def pile_ups(self) -> tuple[float, ...]:
        """Return the mu that there are, ascending."""
        return tuple(sorted({sample.mu for sample in self.samples}))


def read(given: Sequence[Path]) -> Inputs:
    """Find AODs, files or all below directories, and read what they say of themselves."""
    paths = [
        path for one in given for path in (sorted(one.rglob("*.aod.h5")) if one.is_dir() else [one])
    ]
    samples: dict[tuple[Any, ...], Sample] = {}
    seeds, hashes, versions = set(), set(), set()
    try:
        for path in paths:
            with Product(path, AOD) as product:
                _note(samples, product)
                seeds.add(product.provenance["seed"])
                hashes.add(product.provenance["settings_hash"][:12])
                versions.add(product.provenance["versions"]["hvmpi"])
    except HvmpiError as error:
        sys.exit(str(error))
    if not samples:
        sys.exit(f"no AOD in {', '.join(map(str, given))}")
    ordered = sorted(samples.values(), key=lambda sample: (sample.mu, sample.run_number))
    made = {
        "hvmpi_version": ", ".join(sorted(versions)),
        "settings_hash": sorted(hashes),
        "seed": sorted(seeds),
        "events": {
            f"{sample.name}, run {sample.run_number}, mu = {sample.mu:g}": sample.events
            for sample in ordered
        },
    }
    return Inputs(tuple(ordered), made)


def _note(samples: dict[tuple[Any, ...], Sample], product: Product) -> None:
    mu = float(product.provenance.get("pileup_mu", 0.0))
    for row in product.normalisation:
        name, process = row["sample"].decode(), row["process"].decode()
        run_number, digest = int(row["run_number"]), row["settings_hash"].decode()
        key = name, process, run_number, digest, mu
        sample = samples.setdefault(
            key, Sample(name, process, run_number, float(row["m_phi"]), float(row["m_s"]), mu)
        )
        if product.path not in sample.paths:
            sample.paths.append(product.path)
        sample.events += int(row["events"])
        sample.sum_weights += float(row["sum_weights"])
        sample.sum_cross_sections += float(row["cross_section_pb"] * row["events"])
