"""The tracker: geometry, magnetic field, sub-detectors, and what ACTS is told about them."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import acts
import acts.examples
import numpy as np
from acts.examples.json import readDigiConfigFromJson
from numpy.typing import NDArray

from hvmpi.openchain.field import FIELD_T
from hvmpi.stopwatch import Part, spent_on

__all__ = [
    "LOG_LEVEL",
    "SUB_DETECTORS",
    "WORLD_R_MM",
    "WORLD_Z_MM",
    "Detector",
    "Modules",
    "SubDetector",
    "detector",
    "sub_detector_of_volume",
]

LOG_LEVEL = acts.logging.WARNING

# Fatras ends at r = 1028.5 mm, |z| = 3001 mm and prints an error for whatever starts outside.
WORLD_R_MM = 1025.0
WORLD_Z_MM = 2990.0


@dataclass(frozen=True, slots=True)
class SubDetector:
    """One kind of sensor.

    Attributes
    ----------
    name : str
    volumes : tuple of int
        The tracking volumes of ACTS's generic detector: end-cap, barrel, end-cap.
    pitch_mm : tuple of float
        Size of a readout cell along the two local axes, mm. A measurement is smeared by
        pitch / sqrt(12), the standard deviation of a hit anywhere in a cell.
    noise : float
        Probability that a cell fires by itself in one event.
    strip : bool
        Counted as strip (else as pixel) in the hits and holes of a track.
    """

    name: str
    volumes: tuple[int, ...]
    pitch_mm: tuple[float, float]
    noise: float
    strip: bool

    @property
    def resolution_mm(self) -> tuple[float, float]:
        """Standard deviations along the two local axes, mm."""
        return self.pitch_mm[0] / math.sqrt(12.0), self.pitch_mm[1] / math.sqrt(12.0)


# Pitches are those of the ACTS project's own smearing of this detector. Noise: pixels after
# masking fire below 1e-8 (ATLAS, JINST 3 (2008) P07007: below 1e-9 for most modules), silicon
# strips at about 1e-5 (ATLAS SCT, JINST 9 (2014) P08009); a short-strip cell is a macro-pixel a
# hundredth of such a strip, its rate is scaled by its area.
SUB_DETECTORS = (
    SubDetector("pixel", (7, 8, 9), (0.050, 0.050), 1e-8, strip=False),
    SubDetector("short_strip", (12, 13, 14), (0.080, 1.2), 2e-7, strip=True),
    SubDetector("long_strip", (16, 17, 18), (0.120, 10.8), 1e-5, strip=True),
)


def sub_detector_of_volume() -> NDArray[np.int8]:
    """Return a table from volume number to position in `SUB_DETECTORS`; -1 where no sensor is."""
    table = np.full(256, -1, dtype=np.int8)
    for position, sub_detector in enumerate(SUB_DETECTORS):
        table[list(sub_detector.volumes)] = position
    return table


@dataclass(frozen=True, slots=True)
class Modules:
    """The sensors of one sub-detector, as arrays of one length.

    Attributes
    ----------
    geometry_id : ndarray of uint64
        ACTS's identifiers, ascending.
    half_x_low, half_x_high, half_y : ndarray of float64
        Half-widths along the first local axis at the lower and the upper end of the second, and
        the half-length along the second, mm. A rectangle has equal half-widths.
    cells : ndarray of float64
        Readout cells of each module.
    """

    geometry_id: NDArray[np.uint64]
    half_x_low: NDArray[np.float64]
    half_x_high: NDArray[np.float64]
    half_y: NDArray[np.float64]
    cells: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Detector:
    """What the steps share; made once a process by `detector`.

    Attributes
    ----------
    generic : acts.examples.GenericDetector
        Owns the geometry and must outlive it.
    geometry : acts.TrackingGeometry
    field : acts.MagneticFieldProvider
    surfaces : mapping of acts.GeometryIdentifier to acts.Surface
    smearing : acts.examples.DigiConfigContainer
        Gaussian smearing by `SubDetector.resolution_mm`.
    modules : tuple of Modules
        In the order of `SUB_DETECTORS`.
    """

    generic: Any
    geometry: Any
    field: Any
    surfaces: Any
    smearing: Any
    modules: tuple[Modules, ...]


@cache
@spent_on(Part.LOAD)
def detector() -> Detector:
    """Build ACTS's generic detector; 0.4 s and 85 MB the first time, nothing after."""
    generic = acts.examples.GenericDetector(
        logLevel=LOG_LEVEL,
        surfaceLogLevel=LOG_LEVEL,
        layerLogLevel=LOG_LEVEL,
        volumeLogLevel=LOG_LEVEL,
    )
    geometry = generic.trackingGeometry()
    surfaces = geometry.geoIdSurfaceMap()
    return Detector(
        generic=generic,
        geometry=geometry,
        field=acts.ConstantBField(acts.Vector3(0.0, 0.0, FIELD_T * acts.UnitConstants.T)),
        surfaces=surfaces,
        smearing=_smearing(),
        modules=_modules(surfaces),
    )


def _smearing() -> Any:
    entries = [
        {
            "volume": volume,
            "value": {
                "smearing": [
                    {"index": axis, "mean": 0.0, "stddev": sigma, "type": "Gauss"}
                    for axis, sigma in enumerate(sub_detector.resolution_mm)
                ]
            },
        }
        for sub_detector in SUB_DETECTORS
        for volume in sub_detector.volumes
    ]
    document = {
        "acts-geometry-hierarchy-map": {
            "format-version": 0,
            "value-identifier": "digitization-configuration",
        },
        "entries": entries,
    }
    # The wheel binds no constructor of a smearing configuration, only this reader of a file.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "smearing.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return readDigiConfigFromJson(str(path))


def _modules(surfaces: Any) -> tuple[Modules, ...]:
    kinds = sub_detector_of_volume()
    rows: list[list[tuple[int, float, float, float]]] = [[] for _ in SUB_DETECTORS]
    for identifier, surface in surfaces.items():
        kind = kinds[identifier.volume]
        if identifier.sensitive == 0 or kind < 0:
            continue
        bounds = surface.bounds
        if isinstance(bounds, acts.TrapezoidBounds):
            low, high, half_y, _ = bounds.values()
        else:
            _, _, low, half_y = bounds.values()
            high = low
        rows[kind].append((identifier.value, low, high, half_y))
    made = []
    for sub_detector, kind_rows in zip(SUB_DETECTORS, rows, strict=True):
        kind_rows.sort()
        low, high, half_y = np.array([row[1:] for row in kind_rows], dtype=np.float64).T
        area = 2.0 * half_y * (low + high)
        made.append(
            Modules(
                geometry_id=np.array([row[0] for row in kind_rows], dtype=np.uint64),
                half_x_low=low,
                half_x_high=high,
                half_y=half_y,
                cells=area / (sub_detector.pitch_mm[0] * sub_detector.pitch_mm[1]),
            )
        )
    return tuple(made)
