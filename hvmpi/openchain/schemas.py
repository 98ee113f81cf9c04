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

HITS = Schema("hvmpi.hits", 1, {"truth": TRUTH, "hits": _HIT_FIELDS})
RDO = Schema(
    "hvmpi.rdo",
    1,
    {"truth": TRUTH, "measurements": _MEASUREMENT_FIELDS, "truth_links": _TRUTH_LINK_FIELDS},
)
AOD = Schema(
    "hvmpi.aod",
    1,
    {
        "tracks": _TRACK_FIELDS,
        "vertices": (*_POINT_FIELDS, Field("sum_pt2", "f4", "GeV2", "of its tracks")),
        "truth": TRUTH,
    },
)

EVENT_FIELDS = (
    Field("run_number", "i4", "1", "run number"),
    Field("event_number", "i8", "1", "event number"),
    Field("weight", "f8", "1", "generator's weight"),
)
EVENTS = np.dtype([(field.name, field.dtype) for field in EVENT_FIELDS])

NORMALISATION_UNITS = {"cross_section_pb": "pb", "cross_section_error_pb": "pb"}
"""Of the table of normalisation, by field; what is not here is a pure number."""
