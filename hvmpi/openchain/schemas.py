"""What stands in the open chain's products: every collection, field, type and unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = [
    "AOD",
    "EVENTS",
    "EVENT_FIELDS",
    "HITS",
    "LAYERS",
    "NORMALISATION_UNITS",
    "PERIGEE",
    "RDO",
    "TRUTH",
    "Field",
    "Schema",
]


@dataclass(frozen=True, slots=True)
class Field:
    """One array of a collection.

    Attributes
    ----------
    name : str
    dtype : str
        As numpy and HDF5 spell it.
    unit : str
        ``mm``, ``GeV``, ``ns``, ``rad``, products and inverses of them; ``1`` for a pure number.
    meaning : str
    """

    name: str
    dtype: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Schema:
    """What a kind of product holds.

    Attributes
    ----------
    name : str
        Stands in the file; a reader refuses another.
    version : int
        Stands in the file; raised with every change.
    collections : mapping of str to tuple of Field
    """

    name: str
    version: int
    collections: Mapping[str, tuple[Field, ...]]


LAYERS = (
    *("presampler", "em1", "em2", "em3"),
    *("tile1", "tile2", "tile3"),
    *("hec1", "hec2", "hec3", "hec4"),
    *("fcal1", "fcal2", "fcal3"),
)
"""The calorimeters' layers; their order is that of every array by layer."""

TRUTH = (
    Field("barcode", "i8", "1", "number in the event record; above 2**32: made in simulation"),
    Field("pdg_id", "i4", "1", "PDG number"),
    Field("status", "i4", "1", "status in the event record; 1 for what simulation made"),
    Field("charge", "f4", "e", "charge"),
    Field("mass", "f4", "GeV", "mass"),
    Field("px", "f4", "GeV", "momentum where it was made"),
    Field("py", "f4", "GeV", "momentum where it was made"),
    Field("pz", "f4", "GeV", "momentum where it was made"),
    Field("x", "f4", "mm", "where it was made"),
    Field("y", "f4", "mm", "where it was made"),
    Field("z", "f4", "mm", "where it was made"),
    Field("t", "f4", "ns", "when it was made"),
    Field("decay_x", "f4", "mm", "where it decayed in the event record; NaN: it did not"),
    Field("decay_y", "f4", "mm", "where it decayed in the event record; NaN: it did not"),
    Field("decay_z", "f4", "mm", "where it decayed in the event record; NaN: it did not"),
    Field("decay_t", "f4", "ns", "when it decayed in the event record; NaN: it did not"),
    Field("parent", "i4", "1", "row of the nearest ancestor that is kept; -1: none"),
    Field("llp", "i4", "1", "row of the long-lived particle it descends from; -1: none"),
    Field("hits", "i2", "1", "hits it left in the tracker"),
)

_HIT_FIELDS = (
    Field("geometry_id", "u8", "1", "sensor, as ACTS numbers them"),
    Field("barcode", "i8", "1", "the particle's barcode"),
    Field("order", "i4", "1", "position among the particle's hits"),
    *(Field(axis, "f8", "mm", "position") for axis in ("x", "y", "z")),
    Field("ct", "f8", "mm", "time times the speed of light"),
    *(Field(axis, "f8", "GeV", "momentum before the sensor") for axis in ("px", "py", "pz")),
    Field("e", "f8", "GeV", "energy before the sensor"),
    *(
        Field(f"{axis}_after", "f8", "GeV", "momentum behind the sensor")
        for axis in ("px", "py", "pz")
    ),
    Field("e_after", "f8", "GeV", "energy behind the sensor"),
)

_MEASUREMENT_FIELDS = (
    Field("geometry_id", "u8", "1", "sensor, as ACTS numbers them"),
    Field("local_x", "f8", "mm", "position along the sensor's first axis"),
    Field("local_y", "f8", "mm", "position along the sensor's second axis"),
    Field("var_x", "f8", "mm2", "variance of local_x"),
    Field("var_y", "f8", "mm2", "variance of local_y"),
)

_TRUTH_LINK_FIELDS = (
    Field("measurement", "i4", "1", "row in the event's measurements; noise has no link"),
    Field("barcode", "i8", "1", "a particle that left it; more than one where hits merged"),
)

PERIGEE = {"d0": "mm", "z0": "mm", "phi": "rad", "theta": "rad", "qop": "1/GeV"}
"""Track parameters at the point closest to the z axis, with their units, in ACTS's order."""


def _covariance_fields() -> Iterator[Field]:
    names = list(PERIGEE)
    for column, second in enumerate(names):
        for first in names[: column + 1]:
            name = f"var_{first}" if first == second else f"cov_{first}_{second}"
            units = PERIGEE[first], PERIGEE[second]
            unit = f"{units[0]}2" if units[0] == units[1] else " ".join(units)
            yield Field(name, "f4", unit, "covariance")


_TRACK_FIELDS = (
    *(
        Field(name, "f4", unit, "at the point closest to the z axis")
        for name, unit in PERIGEE.items()
    ),
    Field("charge", "i1", "e", "charge"),
    Field("pt", "f4", "GeV", "transverse momentum"),
    Field("eta", "f4", "1", "pseudorapidity"),
    *_covariance_fields(),
    Field("chi2", "f4", "1", "chi-squared of the fit"),
    Field("ndf", "i2", "1", "degrees of freedom of the fit"),
    Field("n_pixel", "u1", "1", "pixel measurements"),
    Field("n_strip", "u1", "1", "strip measurements, short and long"),
    Field("holes_pixel", "u1", "1", "pixel sensors crossed without a measurement"),
    Field("holes_strip", "u1", "1", "strip sensors crossed without a measurement"),
    Field("outliers", "u1", "1", "measurements seen but not used"),
    Field("shared", "u1", "1", "measurements that another track of the event uses too"),
    Field("large_radius", "u1", "1", "0: found in the standard pass, 1: in the large-radius pass"),
    Field("truth", "i4", "1", "row of the particle with most of its measurements; -1: a fake"),
    Field("match", "f4", "1", "share of its measurements that this particle left"),
    Field("vertex_weight", "f4", "1", "weight in the primary vertex"),
)

_POINT_FIELDS = (
    *(Field(axis, "f4", "mm", "position") for axis in ("x", "y", "z")),
    *(Field(f"var_{axis}", "f4", "mm2", "covariance") for axis in ("x", "y", "z")),
    *(Field(f"cov_{pair}", "f4", "mm2", "covariance") for pair in ("x_y", "x_z", "y_z")),
    Field("chi2", "f4", "1", "weighted chi-squared"),
    Field("ndf", "f4", "1", "weighted degrees of freedom"),
    Field("n_tracks", "i2", "1", "tracks in it"),
)

_DEPOSIT_FIELDS = (
    Field("cell", "i4", "1", "calorimeter cell, ascending: a row of the table of cells"),
    Field("e_em", "f4", "GeV", "energy left by electromagnetic showers and by ionisation"),
    Field("e_had", "f4", "GeV", "energy left by the hadronic part of showers"),
    Field("t", "f4", "ns", "mean time, since light from the origin came by"),
)

_EVENT_TRUTH_FIELDS = (
    Field("e_visible", "f4", "GeV", "energy that was to be measured"),
    Field("e_active", "f4", "GeV", "of it, left in the layers"),
    Field("e_dead", "f4", "GeV", "of it, left in dead material"),
    Field(
        "e_behind", "f4", "GeV", "of it, left or born behind the calorimeters, or at abs(eta) > 5"
    ),
    Field("miss_px", "f4", "GeV", "momentum that leaves nothing: neutrinos and their like"),
    Field("miss_py", "f4", "GeV", "momentum that leaves nothing: neutrinos and their like"),
)

_CELL_FIELDS = (
    Field("cell", "i4", "1", "calorimeter cell, ascending: a row of the table of cells"),
    Field("gain", "u1", "1", "0: high, 1: medium, 2: low"),
    *(
        Field(f"adc{sample}", "u2", "1", "sample, 25 ns after the one before")
        for sample in range(4)
    ),
)

_PILE_UP_FIELDS = (
    Field("mu", "f4", "1", "mean number of interactions a crossing"),
    Field("interactions", "i2", "1", "minimum-bias interactions in the event's own crossing"),
)


def _layer_fields(meaning: str) -> tuple[Field, ...]:
    return tuple(Field(f"e_{layer}", "f4", "GeV", meaning) for layer in LAYERS)


_CLUSTER_FIELDS = (
    Field("e", "f4", "GeV", "energy, electromagnetic scale"),
    Field("pt", "f4", "GeV", "transverse momentum, massless"),
    Field("eta", "f4", "1", "pseudorapidity, seen from the origin"),
    Field("phi", "f4", "rad", "azimuth"),
    Field("time", "f4", "ns", "mean time by energy squared, since light from the origin came by"),
    Field("n_cells", "i2", "1", "cells in it"),
    *_layer_fields("energy by layer"),
    Field("jet", "i4", "1", "row of the jet that it is a constituent of; -1: none"),
)

_JET_FIELDS = (
    Field("pt", "f4", "GeV", "transverse momentum, calibrated"),
    Field("eta", "f4", "1", "pseudorapidity"),
    Field("phi", "f4", "rad", "azimuth"),
    Field("mass", "f4", "GeV", "mass, calibrated"),
    Field("pt_em", "f4", "GeV", "transverse momentum, electromagnetic scale"),
    Field("mass_em", "f4", "GeV", "mass, electromagnetic scale"),
    Field("n_clusters", "i2", "1", "its constituents: the clusters that name this row"),
    Field("n_towers", "i2", "1", "towers of 0.1 x 0.1 in eta and phi that its cells lie in"),
    *_layer_fields("energy of its clusters by layer, electromagnetic scale"),
    Field("truth_jet", "i4", "1", "row of the nearest truth jet within dR 0.3; -1: none"),
)

_TRUTH_JET_FIELDS = (
    Field("pt", "f4", "GeV", "transverse momentum"),
    Field("eta", "f4", "1", "pseudorapidity"),
    Field("phi", "f4", "rad", "azimuth"),
    Field("mass", "f4", "GeV", "mass"),
    Field("n_particles", "i2", "1", "its constituents"),
)

_LEPTON_FIELDS = (
    Field("pt", "f4", "GeV", "transverse momentum"),
    Field("eta", "f4", "1", "pseudorapidity"),
    Field("phi", "f4", "rad", "azimuth"),
    Field("charge", "i1", "e", "charge"),
    Field("truth", "i4", "1", "row of the true particle"),
    Field("track", "i4", "1", "row of its track; -1: none"),
)

_MISSING_FIELDS = (
    Field("px", "f4", "GeV", "missing transverse momentum"),
    Field("py", "f4", "GeV", "missing transverse momentum"),
    Field("sum_et", "f4", "GeV", "scalar sum of what it is made of"),
)

_CELL_SUM_FIELDS = (
    Field("layer", "u1", "1", "layer: " + " ".join(LAYERS)),
    Field("e", "f4", "GeV", "sum over the cells in clusters"),
    Field("e_read", "f4", "GeV", "sum over the cells that were read out"),
    Field("n_cells", "i4", "1", "cells that were read out"),
)

_GENERATED = {
    "truth": TRUTH,
    "truth_jets": _TRUTH_JET_FIELDS,
    "event_truth": _EVENT_TRUTH_FIELDS,
}

HITS = Schema("hvmpi.hits", 2, {**_GENERATED, "hits": _HIT_FIELDS, "deposits": _DEPOSIT_FIELDS})
RDO = Schema(
    "hvmpi.rdo",
    2,
    {
        **_GENERATED,
        "measurements": _MEASUREMENT_FIELDS,
        "truth_links": _TRUTH_LINK_FIELDS,
        "cells": _CELL_FIELDS,
        "pile_up": _PILE_UP_FIELDS,
    },
)
AOD = Schema(
    "hvmpi.aod",
    2,
    {
        **_GENERATED,
        "tracks": _TRACK_FIELDS,
        "vertices": (*_POINT_FIELDS, Field("sum_pt2", "f4", "GeV2", "of its tracks")),
        "clusters": _CLUSTER_FIELDS,
        "jets": _JET_FIELDS,
        "electrons": _LEPTON_FIELDS,
        "muons": _LEPTON_FIELDS,
        "missing_et": _MISSING_FIELDS,
        "cell_sums": _CELL_SUM_FIELDS,
        "pile_up": _PILE_UP_FIELDS,
    },
)

EVENT_FIELDS = (
    Field("run_number", "i4", "1", "run number"),
    Field("event_number", "i8", "1", "event number"),
    Field("weight", "f8", "1", "generator's weight"),
)
EVENTS = np.dtype([(field.name, field.dtype) for field in EVENT_FIELDS])

NORMALISATION_UNITS = {
    "m_phi": "GeV",
    "m_s": "GeV",
    "cross_section_pb": "pb",
    "cross_section_error_pb": "pb",
}
"""Of the table of normalisation, by field; what is not here is a pure number."""
