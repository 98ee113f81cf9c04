"""What the page of the physics has from the code: run numbers, sensors, layers, tracking passes."""

from __future__ import annotations

import csv
import dataclasses
from importlib import resources

import numpy as np
from tables import code, plain, table

from hvmpi.openchain import readout
from hvmpi.openchain.detector import SUB_DETECTORS
from hvmpi.openchain.layers import cells
from hvmpi.openchain.schemas import LAYERS
from hvmpi.openchain.tracking import LARGE_RADIUS, STANDARD

__all__ = ["layers", "passes", "points", "sensors"]

_TABLES = (
    ("whss, gghss", "hss_points.csv"),
    ("darkshower", "darkshower_points.csv"),
    ("qcd", "qcd_slices.csv"),
)
_PASSES = {
    "seed_volumes": "volumes of ACTS's generic detector that seed",
    "delta_r": "distance in r of neighbouring space points of a seed, mm",
    "impact_max": "transverse distance of a seed from the beam line, at most, mm",
    "collision_region": "distance along z of where a seed crosses the beam line, at most, mm",
    "r_max": "radius of a space point, at most, mm",
    "r_middle": "radius of a seed's middle space point, mm",
    "min_pt": "pT of a seed, at least, GeV",
    "max_seeds": "seeds for one middle space point",
    "d0_max": "d0 of a track, at most, mm",
    "z0_max": "z0 of a track, at most, mm",
    "min_measurements": "measurements of a track, at least",
    "max_holes": "holes of a track, at most",
}


def points() -> str:
    """Make the tables of what run numbers stand for."""
    parts = []
    for title, name in _TABLES:
        text = (resources.files("hvmpi.openchain") / "data" / name).read_text(encoding="utf-8")
        head, *rows = csv.reader(line for line in text.splitlines() if not line.startswith("#"))
        parts += [f"### Run numbers of {title}\n", table([*map(plain, head)], rows)]
    return "\n".join(parts)


def sensors() -> str:
    """Make the table of the tracker's sensors."""
    rows = (
        (
            code(kind.name),
            ", ".join(map(str, kind.volumes)),
            " x ".join(f"{pitch * 1000.0:g}" for pitch in kind.pitch_mm),
            f"{kind.noise:g}",
        )
        for kind in SUB_DETECTORS
    )
    return table(("sensors", "volumes in ACTS", "cell (um)", "noise in an event, a cell"), rows)


def layers() -> str:
    """Make the table of the calorimeters' layers: cells, and how they are read out."""
    every = cells()
    numbers = readout.settings()
    rows = []
    for row, name in enumerate(LAYERS):
        mine = every.layer == row
        low, high = np.abs(every.eta[mine]).min(), np.abs(every.eta[mine]).max()
        columns = (numbers[key] for key in ("noise_gev", "sampling_em", "sampling_had", "h_over_e"))
        noise, em, had, ratio = (column[name] for column in columns)  # type: ignore[index]
        rows.append(
            (
                code(name),
                f"{mine.sum():,}",
                f"{low:.2f} to {high:.2f}",
                f"{1000.0 * noise:.0f}",
                f"{100.0 * em:.1f}",
                f"{100.0 * had:.0f}",
                f"{ratio:.2f}",
            )
        )
    head = ("layer", "cells", "abs(eta) of their centres", "noise (MeV)")
    return table((*head, "a of EM (%)", "a of hadronic (%)", "h/e"), rows)


def passes() -> str:
    """Make the table of the two passes of tracking."""
    both = [dataclasses.asdict(one) for one in (STANDARD, LARGE_RADIUS)]
    rows = (
        (plain(meaning), *(_span(one[name]) for one in both)) for name, meaning in _PASSES.items()
    )
    return table(("", *(one["name"].replace("_", "-") for one in both)), rows)


def _span(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return f"{value[0]} to {value[1]}" if len(value) == 2 else ", ".join(map(str, value))
