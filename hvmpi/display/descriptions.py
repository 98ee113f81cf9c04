"""What is said of an event and its objects, as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hvmpi.display.drawing import Drawing
from hvmpi.display.scene import Scene
from hvmpi.display.view import View
from hvmpi.openchain.angles import wrapped
from hvmpi.openchain.eventdata import Table
from hvmpi.view.text import printable

__all__ = ["Objects", "describe", "heading", "summary"]


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of one kind.

    Attributes
    ----------
    title : str
        What one of them is called.
    styles : tuple of str
        Those that they are drawn in.
    columns : tuple of str
        With units.
    rows : tuple of tuple of str
        An object each.
    """

    title: str
    styles: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def heading(scene: Scene) -> str:
    """Return which event it is."""
    sample = f"{printable(scene.sample)}, " if scene.sample else ""
    return f"{sample}run {scene.run_number}, event {scene.event_number}"


def summary(drawing: Drawing) -> list[str]:
    """Return what a reader should know of an event, a few words each."""
    scene = drawing.scene
    said = [_decay(row, scene.long_lived) for row in range(len(scene.long_lived["pdg_id"]))]
    if len(scene.pile_up["mu"]) and scene.pile_up["mu"][0] > 0.0:
        more, mu = scene.pile_up["interactions"][0], scene.pile_up["mu"][0]
        said.append(f"{more} pile-up interactions, mu = {mu:g}")
    said.append(f"longest tower ET = {drawing.gev_of_longest:.0f} GeV")
    return said


def _decay(row: int, long_lived: Table) -> str:
    pdg_id, mass = long_lived["pdg_id"][row], long_lived["mass"][row]
    name = f"{'s' if abs(pdg_id) in _S else f'PDG {pdg_id}'} of {mass:.4g} GeV"
    x, y, z = (long_lived[f"decay_{axis}"][row] / 1e3 for axis in "xyz")
    if not math.isfinite(x):
        return f"{name} does not decay"
    return f"{name} decays at Lxy = {math.hypot(x, y):.2f} m, z = {z:.2f} m"


_S = (35, 36)
"""PDG numbers of the s; the others of the open chain's long-lived particles are dark pions."""


def describe(drawing: Drawing) -> list[Objects]:
    """Return all objects, those first that a reader looks for first."""
    scene = drawing.scene
    jets = {style: _rows(scene.jets, drawing.rows[style]) for style in ("jets", "soft_jets")}
    return [
        _objects("true long-lived particle", ("long_lived",), *_long_lived(scene.long_lived)),
        _objects("true decay product", ("products",), *_products(scene.products)),
        _objects("jet", ("jets",), *_jets(jets["jets"])),
        _objects("missing ET", ("missing_et",), *_missing_et(scene.missing_et)),
        _objects("electron", ("electrons",), scene.electrons, _LEPTON),
        _objects("muon", ("muons",), scene.muons, _LEPTON),
        *(
            _objects(title, (style,), *_tracks(_rows(scene.tracks, drawing.rows[style])))
            for style, title in (
                ("large_radius", "track of the large-radius pass"),
                ("tracks", "track of the primary vertex"),
                ("other_tracks", "other track"),
            )
        ),
        _objects("cluster", ("em", "had"), scene.clusters, _CLUSTER),
        _towers(drawing),
        _objects("soft jet", ("soft_jets",), *_jets(jets["soft_jets"])),
        _objects("primary vertex", ("vertices",), scene.vertices, _VERTEX),
    ]


_DIRECTION = {"pT [GeV]": "pt:.2f", "eta": "eta:.2f", "phi": "phi:.2f"}


_LEPTON = _DIRECTION | {"charge": "charge:+d"}
_CLUSTER = (
    {"E [GeV]": "e:.2f"}
    | _DIRECTION
    | {"EM [GeV]": "e_em:.2f", "hadronic [GeV]": "e_had:.2f"}
    | {"time [ns]": "time:.1f", "cells": "n_cells:d"}
)
_VERTEX = {f"{axis} [mm]": f"{axis}:.3f" for axis in "xyz"} | {"tracks": "n_tracks:d"}


def _objects(
    title: str, styles: tuple[str, ...], table: Table, columns: Mapping[str, str]
) -> Objects:
    """Turn a table into text; `columns` gives, by title, a field, a colon and its format."""
    texts = []
    for field in columns.values():
        name, _, form = field.partition(":")
        texts.append([format(value, form) for value in table[name].tolist()])
    return Objects(title, styles, tuple(columns), tuple(zip(*texts, strict=True)))


def _rows(table: Table, rows: NDArray[np.int64]) -> Table:
    return {name: values[rows] for name, values in table.items()}


def _tracks(tracks: Table) -> tuple[Table, Mapping[str, str]]:
    degrees = np.maximum(tracks["ndf"].astype(np.float64), 1.0)
    return tracks | {"chi2_ndf": tracks["chi2"] / degrees}, (
        _DIRECTION
        | {"charge": "charge:+d", "d0 [mm]": "d0:.3f", "z0 [mm]": "z0:.2f"}
        | {"pixel": "n_pixel:d", "strip": "n_strip:d", "chi2/ndf": "chi2_ndf:.2f"}
        | {"true particle (PDG)": "pdg_id:d"}
    )


def _jets(jets: Table) -> tuple[Table, Mapping[str, str]]:
    # Noise makes sums negative; floored as in training files.
    em, had = (np.maximum(jets[name].astype(np.float64), 0.1) for name in ("e_em", "e_had"))
    return jets | {"emf": em / (em + had), "ratio": np.log10(had / em)}, (
        _DIRECTION
        | {"mass [GeV]": "mass:.1f", "EM fraction": "emf:.2f", "log10(E_H/E_EM)": "ratio:.2f"}
        | {"clusters": "n_clusters:d"}
    )


def _missing_et(missing: Table) -> tuple[Table, Mapping[str, str]]:
    px, py = (missing[name].astype(np.float64) for name in ("px", "py"))
    columns = {"ET [GeV]": "et:.1f", "phi": "phi:.2f", "sum of ET [GeV]": "sum_et:.0f"}
    return missing | {"et": np.hypot(px, py), "phi": np.arctan2(py, px)}, columns


def _products(products: Table) -> tuple[Table, Mapping[str, str]]:
    return products | _momenta(products), {"PDG": "pdg_id:d"} | _DIRECTION


def _long_lived(long_lived: Table) -> tuple[Table, Mapping[str, str]]:
    x, y = (long_lived[f"decay_{axis}"].astype(np.float64) for axis in "xy")
    return long_lived | _momenta(long_lived) | {"lxy": np.hypot(x, y)}, (
        {"PDG": "pdg_id:d", "mass [GeV]": "mass:.2f"}
        | _DIRECTION
        | {"decay: Lxy [mm]": "lxy:.1f", "z [mm]": "decay_z:.1f", "t [ns]": "decay_t:.2f"}
    )


def _momenta(truth: Table) -> Table:
    px, py, pz = (truth[name].astype(np.float64) for name in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    return {"pt": pt, "phi": np.arctan2(py, px), "eta": np.arcsinh(pz / np.maximum(pt, 1e-9))}


def _towers(drawing: Drawing) -> Objects:
    rows: list[tuple[str, ...]] = []
    for view in View:
        shown = drawing.towers[view]
        axis = "phi" if view is View.TRANSVERSE else "eta"
        for at, em, had in zip(shown.middle, shown.em, shown.had, strict=True):
            middle = at if view is View.LONGITUDINAL else wrapped(at)
            rows.append((f"{axis} {middle:.2f}", f"{em:.2f}", f"{had:.2f}"))
    columns = "around", "EM ET [GeV]", "hadronic ET [GeV]"
    return Objects("tower", ("em_towers", "had_towers"), columns, tuple(rows))
