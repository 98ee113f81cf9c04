"""What a display shows of one event: read from an AOD and checked, whatever it is drawn with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.display.paths import curved, straight
from hvmpi.errors import InputError
from hvmpi.hdf5 import InputFile
from hvmpi.openchain.eventdata import Product, Table
from hvmpi.openchain.layers import EM_LAYERS
from hvmpi.openchain.schemas import AOD, LAYERS, PERIGEE, Field
from hvmpi.training.aod import block_rows

__all__ = ["COLLECTIONS", "EM", "Scene", "columns", "read_scene"]

COLLECTIONS = (
    *("tracks", "vertices", "clusters", "jets", "electrons", "muons", "missing_et"),
    *("truth", "pile_up"),
)
"""Those of an AOD that are shown."""

EM = np.isin(LAYERS, EM_LAYERS)
"""Which of `LAYERS` are electromagnetic."""

_POINT = ("x", "y", "z")
_MOMENTUM = ("px", "py", "pz")
_DECAY = ("decay_x", "decay_y", "decay_z")
_DIRECTION = ("pt", "eta", "phi")
_LAYER_FIELDS = tuple(f"e_{layer}" for layer in LAYERS)

_MOST, _MOST_ETA = 1e9, 12.0
"""What is larger (mm, GeV, rad), a damaged file says."""


@dataclass(frozen=True)
class Scene:
    """One event; lengths in mm, energies in GeV.

    Attributes
    ----------
    sample : str
        The first of those that the file is made of.
    run_number, event_number : int
    tracks, vertices, clusters, jets, electrons, muons, missing_et, pile_up : Table
        Fields of the AOD's collections; in `clusters` and `jets` also ``e_em`` and ``e_had``, sums
        over layers; in `tracks` also ``path``, of shape (n, points, 3), and ``pdg_id`` of what made
        them, 0 where that is not known; ``track`` in `electrons` and `muons` is a row of these
        `tracks`. Jets stand by falling pT.
    long_lived : Table
        Fields of the AOD's truth, and ``path``, of shape (n, 2, 3): from where it was made to its
        decay, or to the end of the detector if it did not decay.
    products : Table
        What these decay to: fields of truth; ``of``, a row of `long_lived`; ``path``, straight.
    left_out : tuple of str
        Collections that the file does not have.
    """

    sample: str
    run_number: int
    event_number: int
    tracks: Table
    vertices: Table
    clusters: Table
    jets: Table
    electrons: Table
    muons: Table
    missing_et: Table
    pile_up: Table
    long_lived: Table
    products: Table
    left_out: tuple[str, ...]


def read_scene(path: Path, event: int | None = None, min_pt: float = 0.0) -> Scene:
    """Read one event of an AOD.

    Parameters
    ----------
    path : Path
    event : int, optional
        Its number; default: the file's first.
    min_pt : float
        Softer tracks are left out, GeV.

    Returns
    -------
    Scene

    Raises
    ------
    InputError
        If the file is no AOD, is damaged, does not hold the event, or has neither tracks nor
        clusters.
    """
    present = _present(path)
    fields = {name: AOD.collections[name] for name in present}
    with Product(path, replace(AOD, collections=fields)) as aod:
        (row,) = aod.select(event, 1)
        found = aod.events[row]
        tables = {
            name: _believed(aod[name].table(row, 1))
            if name in present
            else _empty(AOD.collections[name])
            for name in COLLECTIONS
        }
        _check_links(path, tables)
        samples = [sample.decode(errors="replace") for sample in aod.normalisation["sample"]]
    truth = tables.pop("truth")
    long_lived = _long_lived(truth)
    clusters = _with_sums(tables.pop("clusters"), ("eta", "phi", "pt", "e"))
    jets = _with_sums(tables.pop("jets"), _DIRECTION)
    tracks = _tracks(tables.pop("tracks"), truth, min_pt)
    return Scene(
        sample=samples[0] if samples else "",
        run_number=int(found["run_number"]),
        event_number=int(found["event_number"]),
        clusters=clusters,
        jets=_rows(jets, np.argsort(-jets["pt"], kind="stable")),
        tracks=tracks,
        electrons=_leptons(tables.pop("electrons"), tracks),
        muons=_leptons(tables.pop("muons"), tracks),
        vertices=_finite(tables.pop("vertices"), _POINT),
        missing_et=_finite(tables.pop("missing_et"), ("px", "py")),
        long_lived=long_lived,
        products=_products(truth, long_lived),
        left_out=tuple(name for name in COLLECTIONS if name not in present),
        pile_up=tables.pop("pile_up"),
    )


def _present(path: Path) -> list[str]:
    with InputFile(path) as file:
        file.check_schema(AOD.name, AOD.version)
        present = [name for name in COLLECTIONS if name in file]
    if not {"tracks", "clusters"} & set(present):
        raise InputError(
            f"'{path}' has neither 'tracks' nor 'clusters', there is nothing to display; make it"
            " again"
        )
    return present


def _empty(fields: tuple[Field, ...]) -> Table:
    return {field.name: np.zeros(0, dtype=field.dtype) for field in fields}


def _check_links(path: Path, tables: Mapping[str, Table]) -> None:
    """Raise an `InputError` if one of the links that are followed points beyond the event."""
    for collection, field, target in (
        ("tracks", "truth", "truth"),
        ("electrons", "track", "tracks"),
        ("muons", "track", "tracks"),
        ("truth", "llp", "truth"),
        ("truth", "parent", "truth"),
    ):
        having, meant = _as_block(tables[collection]), _as_block(tables[target])
        # Without its target a link says nothing.
        if len(meant["event"]):
            block_rows(path, f"{collection}/{field}", having, field, meant)


def _as_block(table: Table) -> Table:
    return table | {"event": np.zeros(len(next(iter(table.values()))), dtype=np.int64)}


def _rows(table: Table, rows: Any) -> Table:
    return {name: values[rows] for name, values in table.items()}


def _finite(table: Table, names: tuple[str, ...]) -> Table:
    """Leave out what has no place."""
    return _rows(table, np.isfinite(columns(table, names)).all(axis=1))


def _believed(table: Table) -> Table:
    """Make what cannot be NaN, as what is not known."""
    most = {name: _MOST_ETA if name == "eta" else _MOST for name in table}
    return {
        # What is no number is not smaller than another.
        name: np.where(np.abs(values) < most[name], values, np.nan)
        if values.dtype.kind == "f"
        else values
        for name, values in table.items()
    }


def columns(table: Table, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return fields beside each other, shape (n, len(names))."""
    return np.stack([table[name].astype(np.float64) for name in names], axis=1)


def _with_sums(table: Table, needed: tuple[str, ...]) -> Table:
    table = _finite(table, needed)
    by_layer = np.nan_to_num(columns(table, _LAYER_FIELDS))
    table |= dict(zip(_LAYER_FIELDS, by_layer.T, strict=True))
    return table | {"e_em": by_layer[:, EM].sum(axis=1), "e_had": by_layer[:, ~EM].sum(axis=1)}


def _tracks(tracks: Table, truth: Table, min_pt: float) -> Table:
    """Choose those that can be drawn; add ``path``, ``pdg_id``, and ``row`` in the AOD's event."""
    chosen = _finite(tracks | {"row": np.arange(len(tracks["pt"]))}, (*PERIGEE, *_DIRECTION))
    perigee = columns(chosen, tuple(PERIGEE))
    flies = (chosen["charge"] != 0) & (np.abs(perigee[:, 4]) > 1.0 / _MOST)
    flies &= (np.sin(perigee[:, 3]) > 0.0) & (chosen["pt"] >= min_pt)
    chosen, perigee = _rows(chosen, flies), perigee[flies]
    linked = (chosen["truth"] >= 0) & (len(truth["x"]) > 0)
    made_by = chosen["truth"][linked]
    born = np.full((len(linked), 2), np.nan)
    born[linked] = columns(truth, ("x", "y"))[made_by]
    pdg_id = np.zeros(len(linked), dtype=np.int64)
    pdg_id[linked] = truth["pdg_id"][made_by]
    charge = chosen["charge"].astype(np.float64)
    return chosen | {"path": curved(perigee, charge, born), "pdg_id": pdg_id}


def _leptons(leptons: Table, tracks: Table) -> Table:
    """Turn links to rows of the AOD into links to the tracks that are drawn; -1: none."""
    leptons = _finite(leptons, _DIRECTION)
    row = {row: place for place, row in enumerate(tracks["row"].tolist())}
    links = [row.get(track, -1) for track in leptons["track"].tolist()]
    return leptons | {"track": np.array(links, dtype=np.int64)}


def _long_lived(truth: Table) -> Table:
    """Return what others descend from, with its path."""
    rows = np.unique(truth["llp"])
    table = _finite(_rows(truth, rows[rows >= 0]) | {"row": rows[rows >= 0]}, _POINT + _MOMENTUM)
    table = _rows(table, _moves(table))
    start, decay = columns(table, _POINT), columns(table, _DECAY)
    decayed = np.isfinite(decay).all(axis=1, keepdims=True)
    end = np.where(decayed, decay, straight(start, columns(table, _MOMENTUM)))
    decays = dict(zip(_DECAY, np.where(decayed, decay, np.nan).T, strict=True))
    return table | decays | {"path": np.stack([start, end], axis=1)}


def _moves(table: Table) -> NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(columns(table, _MOMENTUM), axis=1) > 0.0)


def _products(truth: Table, long_lived: Table) -> Table:
    """Return the direct products of the decays, with straight paths."""
    place = {row: place for place, row in enumerate(long_lived["row"].tolist())}
    of = np.array([place.get(parent, -1) for parent in truth["parent"].tolist()], dtype=np.int64)
    table = _finite(_rows(truth | {"of": of}, of >= 0), _POINT + _MOMENTUM)
    table = _rows(table, _moves(table))
    start = columns(table, _POINT)
    end = straight(start, columns(table, _MOMENTUM))
    return table | {"path": np.stack([start, end], axis=1)}
