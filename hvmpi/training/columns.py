"""What stands in a training file: every dataset, column, type and unit.

The layout is that of the ATLAS flavour-tagging files, as ``atlas-ftag-tools`` and ``salt`` read
them: datasets of packed rows, `jets` of shape (N,), constituents of shape (N, M) with a column
`valid`. Row i of `tracks` and of `clusters` belongs to row i of `jets`, which has its run, event
and weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.layers import EM_LAYERS, HADRONIC_LAYERS
from hvmpi.openchain.schemas import LAYERS, Field

__all__ = [
    "BACKGROUND",
    "DATASETS",
    "ELECTROMAGNETIC",
    "FLAVOUR_LABELS",
    "HADRONIC",
    "NO_TRACK_DR",
    "RADIUS",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SIGNAL",
    "TRUTH_COLUMNS",
    "UNLABELLED",
    "Dataset",
]

SCHEMA, SCHEMA_VERSION = "hvmpi.train", 1

FLAVOUR_LABELS = ("QCD", "signal")
"""Names of the labels, by their number."""

BACKGROUND, SIGNAL, UNLABELLED = 0, 1, -1

ELECTROMAGNETIC, HADRONIC = EM_LAYERS, HADRONIC_LAYERS

RADIUS = 0.4
"""Of the jets, and of the cone that holds a jet's tracks."""

NO_TRACK_DR = 10.0
"""Stands for dR where there is no track: farther than any two directions in the detector."""

_PADDING = {"f": np.nan, "i": -1, "u": 0, "b": False}


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset of a training file.

    Attributes
    ----------
    fields : tuple of Field
        Its columns.
    slots : int
        Constituents a jet; 0: it has one row a jet.
    """

    fields: tuple[Field, ...]
    slots: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The packed type of a row."""
        return np.dtype([(field.name, field.dtype) for field in self.fields])

    def shape(self, jets: int) -> tuple[int, ...]:
        """Give the dataset's shape for a number of jets."""
        return (jets, self.slots) if self.slots else (jets,)

    def padded(self, jets: int) -> NDArray[Any]:
        """Return rows that say nothing: NaN, -1, 0 for unsigned counts, False."""
        rows = np.empty(self.shape(jets), dtype=self.dtype)
        for field in self.fields:
            rows[field.name] = _PADDING[np.dtype(field.dtype).kind]
        return rows


_TRUTH = (
    Field("llp_mH", "f4", "GeV", "nominal mass of Phi, of which the s comes; NaN: unknown"),
    Field("llp_mS", "f4", "GeV", "nominal mass of the s; its own where that is unknown"),
    Field("llp_pt", "f4", "GeV", "transverse momentum of the s"),
    Field("llp_eta", "f4", "1", "pseudorapidity of the s"),
    Field("llp_phi", "f4", "rad", "azimuth of the s"),
    Field("llp_Lxy", "f4", "mm", "distance of its decay from the z axis"),
    Field("llp_Lz", "f4", "mm", "distance of its decay from the origin along z, without sign"),
    Field("llp_decay", "i4", "1", "PDG number, without sign, of its heaviest decay product"),
)

_JETS = (
    Field("pt", "f4", "GeV", "transverse momentum, calibrated"),
    Field("eta", "f4", "1", "pseudorapidity"),
    Field("phi", "f4", "rad", "azimuth"),
    Field("mass", "f4", "GeV", "mass, calibrated"),
    Field("emf", "f4", "1", f"share of {' '.join(ELECTROMAGNETIC)} in its energy, 0 to 1"),
    Field(
        "log10_EH_EEM",
        "f4",
        "1",
        "log10 of its energy in hadronic over that in electromagnetic layers, each at least"
        " 0.1 GeV",
    ),
    Field("width", "f4", "1", "mean dR of its clusters from its axis, weighted by their pT"),
    Field("n90", "i4", "1", "fewest clusters that hold 90 % of its energy"),
    Field("n_towers", "i4", "1", "towers of 0.1 x 0.1 in eta and phi that its cells lie in"),
    Field("n_tracks", "i4", "1", "tracks, pT > 0.5 GeV, within dR 0.4 of its axis"),
    Field("sum_pt_tracks", "f4", "GeV", "scalar sum of the pT of these tracks"),
    Field(
        "min_dr_track",
        "f4",
        "1",
        f"dR to the nearest track with pT > 2 GeV; {NO_TRACK_DR:g}: the event has none",
    ),
    Field("charge", "f4", "e", "charge of its tracks, weighted by the square root of their pT"),
    Field(
        "dispersion", "f4", "1", "root of the sum of squares over the sum of pT; 0: it has no track"
    ),
    Field("time", "f4", "ns", "mean time of its clusters, weighted by energy squared"),
    *(Field(f"e_{layer}", "f4", "GeV", "its energy in the layer, EM scale") for layer in LAYERS),
    Field("label", "i4", "1", "0: QCD, 1: signal, -1: of a signal event, with no s near"),
    *_TRUTH,
    Field("runNumber", "i4", "1", "run number"),
    Field("eventNumber", "i8", "1", "event number"),
    Field("mcEventWeight", "f4", "1", "generator's weight"),
)

_TRACKS = (
    Field("pt", "f4", "GeV", "transverse momentum"),
    Field("eta", "f4", "1", "pseudorapidity"),
    Field("phi", "f4", "rad", "azimuth"),
    Field("d0", "f4", "mm", "least distance from the z axis, signed"),
    Field("z0", "f4", "mm", "z where it is closest to the z axis"),
    Field("chi2", "f4", "1", "chi-squared of the fit"),
    Field("n_pixel", "u1", "1", "pixel measurements"),
    Field("n_strip", "u1", "1", "strip measurements"),
    Field("holes_pixel", "u1", "1", "pixel sensors crossed without a measurement"),
    Field("holes_strip", "u1", "1", "strip sensors crossed without a measurement"),
    Field("shared", "u1", "1", "measurements that another track uses too"),
    Field("vertex_n", "u1", "1", "1: it belongs to the primary vertex, 0: to none"),
    Field("valid", "?", "1", "whether there is a track"),
)

_CLUSTERS = (
    Field("pt", "f4", "GeV", "transverse momentum, EM scale"),
    Field("eta", "f4", "1", "pseudorapidity"),
    Field("phi", "f4", "rad", "azimuth"),
    Field("time", "f4", "ns", "mean time by energy squared"),
    Field("l1ecal", "f4", "1", "share of the energy in presampler"),
    Field("l2ecal", "f4", "1", "share of the energy in em1"),
    Field("l3ecal", "f4", "1", "share of the energy in em2"),
    Field("l4ecal", "f4", "1", "share of the energy in em3 and fcal1"),
    Field("l1hcal", "f4", "1", "share of the energy in tile1, hec1 and fcal2"),
    Field("l2hcal", "f4", "1", "share of the energy in tile2, hec2 and fcal3"),
    Field("l3hcal", "f4", "1", "share of the energy in tile3 and hec3"),
    Field("l4hcal", "f4", "1", "share of the energy in hec4"),
    Field("valid", "?", "1", "whether there is a cluster"),
)

DATASETS: Mapping[str, Dataset] = {
    "jets": Dataset(_JETS),
    "tracks": Dataset(_TRACKS, slots=40),
    "clusters": Dataset(_CLUSTERS, slots=30),
}

TRUTH_COLUMNS = frozenset(
    {"label", "runNumber", "eventNumber", "mcEventWeight"} | {field.name for field in _TRUTH}
)
"""Columns of `jets` that no network may look at."""
