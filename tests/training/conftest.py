"""Small AODs made by hand, whose training variables are known."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hvmpi.openchain.eventdata import Event, ProductWriter, Table
from hvmpi.openchain.evnt import NORMALISATION_FIELDS
from hvmpi.openchain.schemas import AOD, LAYERS
from hvmpi.training.extraction import extract

EVNT_SHA256 = "ab" * 32

Rows = Sequence[dict[str, Any]]


def collection(name: str, rows: Rows) -> Table:
    """Give a collection of the AOD; what a row does not say is 0, of links -1."""
    links = {"parent", "llp", "truth", "jet", "truth_jet", "track"}
    return {
        field.name: np.array(
            [row.get(field.name, -1 if field.name in links else 0) for row in rows],
            dtype=field.dtype,
        )
        for field in AOD.collections[name]
    }


def event(number: int, run: int = 304795, weight: float = 1.0, **collections: Rows) -> Event:
    tables = {name: collection(name, collections.get(name, ())) for name in AOD.collections}
    return Event(run, number, weight, tables)


def energies(**layers: float) -> dict[str, float]:
    assert set(layers) <= set(LAYERS)
    return {f"e_{layer}": energy for layer, energy in layers.items()}


def normalisation(events: Sequence[Event], **values: Any) -> np.ndarray[Any, Any]:
    """Give the table of normalisation of some events, as the chain writes it."""
    row = np.zeros(1, dtype=[("sample", "S8"), *NORMALISATION_FIELDS])
    weights = [event.weight for event in events]
    known = {
        "sample": b"signal",
        "process": b"gghss",
        "settings_hash": b"5" * 64,
        "run_number": events[0].run_number,
        "m_phi": 600.0,
        "m_s": 150.0,
        "batch": 1,
        "first_event": events[0].event_number,
        "events": len(events),
        "cross_section_pb": 2.0,
        "cross_section_error_pb": 0.1,
        "filter_efficiency": 1.0,
        "n_tried": 2 * len(events),
        "n_accepted": len(events),
        "sum_weights": math.fsum(weights),
        "sum_weights2": math.fsum(weight**2 for weight in weights),
    }
    for name, value in (known | values).items():
        row[name] = value
    return row


def write_aod(
    path: Path,
    events: Sequence[Event],
    *,
    evnt_sha256: str = EVNT_SHA256,
    seed: int = 1,
    **values: Any,
) -> Path:
    made = {
        "versions": {"hvmpi": "0.1.0"},
        "cpu_type": "some",
        "settings_hash": "6" * 64,
        "seed": seed,
        "calibration_hash": None,
        "inputs": {"evnt": evnt_sha256},
    }
    with ProductWriter(path, AOD, made) as writer:
        for one in events:
            writer.append(one)
        writer.finish(normalisation(events, **values))
    return path


# --- events ----------------------------------------------------------------------------------

AT = {"eta": 0.2, "phi": 3.1}
"""Where the signal jet is: near the seam of the azimuth."""


def particle(pdg_id: int, **more: Any) -> dict[str, Any]:
    nowhere = {f"decay_{axis}": math.nan for axis in "xyzt"}
    return nowhere | {"pdg_id": pdg_id, "status": 22} | more


def toward(eta: float, phi: float, lxy: float) -> dict[str, float]:
    """Give the point of a decay that is seen from the origin in a direction."""
    point = (lxy * math.cos(phi), lxy * math.sin(phi), lxy * math.sinh(eta))
    return dict(zip(("decay_x", "decay_y", "decay_z"), point, strict=True))


def signal_event(number: int, *, run: int = 304795, weight: float = 1.0) -> Event:
    """Give an event of Phi -> s s, with one s that decays in the Tile calorimeter to b b.

    Its jet is row 1; the s is at azimuth -3.1, across the seam and 0.083 away.
    """
    return event(
        number,
        run,
        weight,
        truth=[
            particle(25, mass=600.0),
            # A copy of the hard process, which ends where it began, then the s itself.
            particle(35, parent=0, px=1.0, mass=149.0, **toward(0.2, 3.1, 0.01)),
            particle(
                *(35,),
                parent=1,
                px=-30.0,
                py=-40.0,
                pz=0.0,
                mass=149.5,
                **toward(0.2, -3.1, 2500.0),
            ),
            particle(5, parent=2, llp=2, mass=4.8),
            particle(-5, parent=2, llp=2, mass=4.8),
            # The other s decays behind the calorimeters, to tau tau.
            particle(35, parent=0, px=100.0, pz=-100.0, mass=149.5, **toward(-2.0, 0.0, 9000.0)),
            particle(15, parent=5, llp=5, mass=1.777),
            particle(-15, parent=5, llp=5, mass=1.777),
        ],
        jets=[
            {"pt": 90.0, "eta": -1.5, "phi": 1.0, "mass": 8.0, **energies(em2=60.0, tile1=30.0)},
            {
                "pt": 80.0,
                "mass": 5.0,
                "n_towers": 6,
                **AT,
                **energies(em3=1.0, tile2=50.0, hec1=29),
            },
            {"pt": 19.9, "eta": 0.2, "phi": -3.1},
            {"pt": 70.0, "eta": 2.6, "phi": 0.0},
        ],
        clusters=[
            {"e": 30.0, "pt": 29.0, "eta": 0.2, "phi": 3.0, "time": 3.0, "jet": 1}
            | energies(tile2=30.0),
            {"e": 50.0, "pt": 49.0, "eta": 0.2, "phi": -3.1, "time": 1.0, "jet": 1}
            | energies(em3=1.0, tile2=20.0, hec1=30.0, tile1=-1.0),
            {"e": 2.0, "pt": 2.0, "eta": 0.1, "phi": 3.1, "time": -7.0, "jet": 1}
            | energies(em1=2.0),
            {"e": 95.0, "pt": 40.0, "eta": -1.5, "phi": 1.0, "jet": 0} | energies(em2=95.0),
            {"e": 1.0, "pt": 1.0, "eta": 0.2, "phi": 3.1, "jet": -1} | energies(em2=1.0),
        ],
        tracks=[
            # Inside the jet, across the seam; too soft to count as hard.
            {"pt": 1.0, "eta": 0.2, "phi": -3.1, "charge": -1, "d0": 0.1, "n_pixel": 4}
            | {"vertex_weight": 0.9},
            {"pt": 4.0, "eta": 0.2, "phi": 2.8, "charge": 1, "d0": -3.0, "n_strip": 8, "shared": 1}
            | {"vertex_weight": 0.5, "large_radius": 1, "chi2": 11.0},
            {"pt": 0.4, "eta": 0.2, "phi": 3.1, "charge": 1},
            {"pt": 9.0, "eta": 0.7, "phi": 3.1, "charge": 1},
        ],
    )


def qcd_event(number: int, *, run: int = 600002, weight: float = 1.0) -> Event:
    """Give an event of two jets, with a track in the second."""
    return event(
        number,
        run,
        weight,
        truth=[particle(21), particle(211, status=1)],
        jets=[
            {"pt": 60.0, "eta": 1.0, "phi": 0.0, "mass": 7.0, **energies(em1=20, em2=20, tile1=20)},
            {"pt": 40.0, "eta": -1.0, "phi": 3.1, "mass": 4.0, **energies(hec2=-5.0, em2=-0.5)},
        ],
        clusters=[
            {"e": 60.0, "pt": 60.0, "eta": 1.0, "phi": 0.0, "jet": 0} | energies(em1=40.0),
            {"e": 40.0, "pt": 40.0, "eta": -1.0, "phi": 3.1, "jet": 1} | energies(em2=40.0),
        ],
        tracks=[{"pt": 10.0, "eta": -1.0, "phi": 3.1, "charge": 1, "vertex_weight": 1.0}],
    )


QCD = {"sample": b"qcd", "process": b"qcd", "m_phi": math.nan, "m_s": math.nan}


@pytest.fixture
def signal_aod(tmp_path: Path) -> Path:
    """Three events of signal, the middle one with nothing in it."""
    return write_aod(
        tmp_path / "signal.aod.h5", [signal_event(1), event(2), signal_event(3, weight=0.5)]
    )


@pytest.fixture
def qcd_aod(tmp_path: Path) -> Path:
    """Two events of QCD."""
    events = [qcd_event(number) for number in (1, 2)]
    return write_aod(tmp_path / "qcd.aod.h5", events, evnt_sha256="cd" * 32, **QCD)


def train_of(
    directory: Path, name: str, events: Sequence[Event], *, unmatched: bool = False, **values: Any
) -> Path:
    """Make the training file of some events, by the module's own way in."""
    path = directory / f"{name}.train.h5"
    aod = write_aod(directory / f"{name}.aod.h5", events, **values)
    extract(aod, path, unmatched=unmatched)
    return path


@pytest.fixture
def make_train(tmp_path: Path) -> Callable[..., Path]:
    return functools.partial(train_of, tmp_path)
