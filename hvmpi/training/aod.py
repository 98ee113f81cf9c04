"""The open chain's AOD, read into blocks of events for the training variables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError
from hvmpi.openchain.eventdata import Product, Table
from hvmpi.openchain.evnt import NORMALISATION_FIELDS
from hvmpi.openchain.kept import KeptProduct
from hvmpi.openchain.schemas import AOD
from hvmpi.training.books import normalisation_table, only_run, versions
from hvmpi.training.truth import LONG_LIVED, heaviest_products, long_lived_table
from hvmpi.training.variables import Block

__all__ = ["COLLECTIONS", "OpenChainAOD", "block_rows", "long_lived", "long_lived_rows"]

COLLECTIONS = ("jets", "tracks", "clusters", "truth")
"""Those of an AOD that training variables are made of."""

_EVENTS = 64
"""Events in a block; bounds the memory."""

_IN_VERTEX = 0.5
"""Least weight in the primary vertex of a track that belongs to it."""


class OpenChainAOD:
    """An open AOD of the open chain.

    Used as a context.

    Parameters
    ----------
    aod : Path or KeptProduct
        The file; or what is to stand in it, by those who wrote it. Of this are used `COLLECTIONS`.

    Attributes
    ----------
    source : dict
        What the file says of its making.

    Raises
    ------
    InputError
        If it is no AOD, damaged, without tracks, or not of one event file, as every AOD of ours is.
    """

    def __init__(self, aod: Path | KeptProduct) -> None:
        self._aod = aod if isinstance(aod, KeptProduct) else Product(aod, AOD)
        path = self._aod.path
        made = dict(self._aod.provenance)
        inputs = dict(made.pop("inputs"))
        self._input_sha256 = inputs.pop("evnt")
        self.source = {"engine": "openchain", **made, "inputs": inputs, "extraction": versions()}
        if made.get("tracker") is False:
            self._aod.__exit__()
            raise InputError(f"'{path}' was made without the tracker; make it again with tracks")
        table = self._aod.normalisation
        if len(table) != 1 or not {"process", "settings_hash"} <= set(table.dtype.names or ()):
            self._aod.__exit__()
            raise InputError(f"'{path}' has no normalisation of one event file; make it again")

    def blocks(self) -> Iterator[Block]:
        """Yield the events, block by block; raise `InputError` if a link points nowhere."""
        aod = self._aod
        (made,) = aod.normalisation
        for start in range(0, len(aod), _EVENTS):
            events = aod.events[start : start + _EVENTS]
            jets, tracks, clusters, truth = (
                _table(aod, name, start, len(events)) for name in COLLECTIONS
            )
            clusters["jet"] = block_rows(aod.path, "clusters/jet", clusters, "jet", jets)
            tracks["vertex_n"] = tracks["vertex_weight"] > _IN_VERTEX
            yield Block(
                run_number=events["run_number"].astype(np.int64),
                event_number=events["event_number"],
                weight=events["weight"],
                m_phi=float(made["m_phi"]),
                m_s=float(made["m_s"]),
                jets=jets,
                tracks=tracks,
                clusters=clusters,
                long_lived=long_lived(aod.path, truth),
            )

    def normalisation(self, ranges: NDArray[Any], _weights: NDArray[Any], /) -> NDArray[Any]:
        """Return the AOD's own, one row; its run number is the events' where it has none."""
        (made,) = self._aod.normalisation
        values = {name: made[name] for name, _ in NORMALISATION_FIELDS}
        if values["run_number"] < 0:
            values["run_number"] = only_run(ranges)
        values |= {"input_sha256": self._input_sha256, "source": 0}
        return normalisation_table(made["sample"], values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._aod.__exit__()


def _table(aod: Product | KeptProduct, name: str, start: int, events: int) -> Table:
    collection = aod[name]
    lengths = np.diff(collection.index[start : start + events + 1])
    return collection.table(start, events) | {"event": np.repeat(np.arange(events), lengths)}


def block_rows(path: Path, link: str, table: Table, field: str, target: Table) -> NDArray[np.int64]:
    """Turn links to rows of an event into links to rows of the block; -1 stays.

    Parameters
    ----------
    path : Path
        Of the AOD.
    link : str
        What the links are called there, ``collection/field``.
    table, target : Table
        What has the links, and what they point to; with a column ``event``, ascending.
    field : str
        Of `table`.

    Raises
    ------
    InputError
        If one points beyond its event.
    """
    first = np.searchsorted(target["event"], table["event"])
    stop = np.searchsorted(target["event"], table["event"], side="right")
    linked = table[field] >= 0
    rows = np.where(linked, first + table[field], -1)
    if (rows[linked] >= stop[linked]).any():
        raise InputError(f"'{path}' is damaged: '{link}' points beyond its event; make it again")
    return rows


def long_lived_rows(path: Path, truth: Table) -> NDArray[np.int64]:
    """Return the rows of the long-lived particles: those that others say they descend from."""
    ancestor = block_rows(path, "truth/llp", truth, "llp", truth)
    return np.unique(ancestor[ancestor >= 0])


def long_lived(path: Path, truth: Table) -> Table:
    """Return the long-lived particles, as `hvmpi.training.variables.Block` wants them."""
    rows = long_lived_rows(path, truth)
    parent = block_rows(path, "truth/parent", truth, "parent", truth)
    products = np.flatnonzero(np.isin(parent, rows))
    decay = heaviest_products(
        np.searchsorted(rows, parent[products]),
        truth["mass"][products],
        truth["pdg_id"][products],
        len(rows),
    )
    names = {"x": "decay_x", "y": "decay_y", "z": "decay_z"}
    particles = {name: truth[names.get(name, name)][rows] for name in LONG_LIVED if name != "decay"}
    return long_lived_table(particles | {"decay": decay})
