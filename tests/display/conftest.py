"""AODs that tests display: real ones, and copies in which something is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hvmpi.openchain.eventdata import Product, ProductWriter, Table
from hvmpi.openchain.schemas import AOD
from tests.conftest import RunOnDisk

Change = Callable[[dict[str, Table]], object]
"""Alters the tables of an event, by collection."""


@pytest.fixture(scope="session")
def signal(finished_run: RunOnDisk) -> Path:
    """An AOD with six events of Phi -> s s."""
    return next((finished_run.directory / "aod").glob("304815.6.1.*.aod.h5"))


@pytest.fixture(scope="session")
def qcd(finished_run: RunOnDisk) -> Path:
    """An AOD with six events of QCD."""
    return next((finished_run.directory / "aod").glob("600003.6.1.*.aod.h5"))


def changed(aod: Path, path: Path, change: Change, sample: bytes = b"signal") -> Path:
    """Write an AOD again, each event changed; returns its path."""
    with Product(aod, AOD) as before:
        normalisation = before.normalisation.copy()
        kind: Any = [(name, normalisation.dtype[name]) for name in normalisation.dtype.names]
        kind[[name for name, _ in kind].index("sample")] = ("sample", f"S{len(sample)}")
        normalisation = normalisation.astype(kind)
        normalisation["sample"] = sample
        with ProductWriter(path, AOD, before.provenance) as after:
            for event in before.iterate(range(len(before))):
                change(event.tables)
                after.append(event)
            after.finish(normalisation)
    return path


def emptied(table: Table) -> Table:
    return {name: values[:0] for name, values in table.items()}


def nothing_seen(tables: dict[str, Table]) -> None:
    """Leave nothing of an event but that it was."""
    for name in tables:
        tables[name] = emptied(tables[name])
