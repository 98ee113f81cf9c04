"""The detector as a display shows it: outlines, from the geometry that the open chain uses."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cache

import acts
import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.detector import BEAM_PIPE_VOLUME, SUB_DETECTORS, detector
from hvmpi.openchain.layers import EM_LAYERS, VOLUMES

__all__ = ["Part", "Ring", "rings"]


class Part(enum.Enum):
    """What a ring belongs to; the value is what a reader calls it."""

    BEAM_PIPE = "beam pipe"
    PIXEL = "pixel detector"
    STRIP = "strip detector"
    DEAD = "coil, cryostats, girder"
    EM = "EM calorimeter"
    TILE = "tile calorimeter"
    HEC = "hadronic end-cap"
    FORWARD = "forward calorimeter"


@dataclass(frozen=True, slots=True)
class Ring:
    """A part of the detector around the beam line; the same at z and -z.

    Attributes
    ----------
    part : Part
    r, z : (float, float)
        From and to, mm; `z` begins at 0 where it crosses the middle.
    """

    part: Part
    r: tuple[float, float]
    z: tuple[float, float]

    @property
    def is_barrel(self) -> bool:
        """Whether it is in the plane z = 0."""
        return self.z[0] == 0.0


@cache
def rings() -> tuple[Ring, ...]:
    """Return all parts, from the inside to the outside; looked up once a process."""
    return (*_tracker(), *(Ring(_part(volume.layer), volume.r, volume.z) for volume in VOLUMES))


def _part(layer: str) -> Part:
    if layer == "dead":
        return Part.DEAD
    if layer.startswith("fcal"):
        return Part.FORWARD
    if layer in EM_LAYERS:
        return Part.EM
    return Part.TILE if layer.startswith("tile") else Part.HEC


def _tracker() -> list[Ring]:
    """Return beam pipe and layers of sensors; a layer is as thick as its sensors are apart."""
    built, context = detector(), acts.GeometryContext.dangerouslyDefaultConstruct()
    found: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    half_length = {
        identifier: half
        for modules in built.modules
        for identifier, half in zip(
            modules.geometry_id.tolist(), modules.half_y.tolist(), strict=True
        )
    }
    made = []
    for identifier, surface in built.surfaces.items():
        if identifier.sensitive:
            x, y, z = surface.center(context)
            row = (float(np.hypot(x, y)), float(z), half_length[identifier.value])
            found.setdefault((identifier.volume, identifier.layer), []).append(row)
        elif identifier.volume == BEAM_PIPE_VOLUME and surface.surfaceMaterial is not None:
            radius, length, *_ = surface.bounds.values()
            made.append(Ring(Part.BEAM_PIPE, (radius, radius), (0.0, length)))
    parts = {
        volume: Part.STRIP if kind.strip else Part.PIXEL
        for kind in SUB_DETECTORS
        for volume in kind.volumes
    }
    for (volume, _), sensors in sorted(found.items()):
        r, z, half = np.array(sensors).T
        # The second axis of a sensor lies along z in a barrel, along r in a disc.
        if np.ptp(z) > np.ptp(r):
            made.append(Ring(parts[volume], (r.min(), r.max()), (0.0, (z + half).max())))
        elif z.mean() > 0.0:
            made.append(Ring(parts[volume], ((r - half).min(), (r + half).max()), _ends(z)))
    return made


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.min()), float(values.max())
