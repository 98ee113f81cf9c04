"""A scene in two dimensions: all shapes of both views."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from hvmpi.display.energy import gev_of_longest, layers, towers
from hvmpi.display.paths import directions, straight
from hvmpi.display.scene import Scene, columns
from hvmpi.display.shapes import Label, Shape, apart
from hvmpi.display.view import TOWERS_MM, Projection, View, limits
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.jets import RADIUS
from hvmpi.openchain.layers import OUTER_R_MM
from hvmpi.openchain.missing import MIN_JET_PT_GEV
from hvmpi.openchain.vertices import IN_VERTEX

__all__ = ["Drawing"]

Floats = NDArray[np.float64]

_LABELLED = 8
"""Jets that have their pT written beside them, at most."""


class Drawing:
    """The shapes of a scene.

    Parameters
    ----------
    scene : Scene

    Attributes
    ----------
    scene : Scene
    azimuth : float
        Of the long-lived particle, else of the jet, of highest pT: up in the longitudinal view, so
        that what belongs together is not cut apart. That of y in an event without either. rad.
    rows : dict of str to ndarray of int64
        Rows of the scene's tracks and jets by style.
    towers : dict of View to Towers
    gev_of_longest : float
        Transverse energy that the longest tower stands for.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.azimuth = _azimuth(scene)
        large = scene.tracks["large_radius"] == 1
        primary = scene.tracks["vertex_weight"] > IN_VERTEX
        hard = scene.jets["pt"] > MIN_JET_PT_GEV
        self.rows = {
            "soft_jets": np.flatnonzero(~hard),
            "jets": np.flatnonzero(hard),
            "other_tracks": np.flatnonzero(~large & ~primary),
            "tracks": np.flatnonzero(~large & primary),
            "large_radius": np.flatnonzero(large),
        }
        self.towers = {view: towers(self.projection(view), scene.clusters) for view in View}
        self.gev_of_longest = gev_of_longest(self.towers)
        self._shapes: dict[View, tuple[Shape, ...]] = {}

    def projection(self, view: View) -> Projection:
        """Return the way from three dimensions to a view."""
        return Projection(view, self.azimuth)

    def shapes(self, view: View) -> tuple[Shape, ...]:
        """Return what is drawn in a view over the detector."""
        if view not in self._shapes:
            self._shapes[view] = tuple(self._made(view))
        return self._shapes[view]

    def _made(self, view: View) -> Iterator[Shape]:
        projection, scene = self.projection(view), self.scene
        yield from self._jets(projection)
        yield from layers(projection, scene.clusters)
        # Towers of the transverse view are counted first.
        first = 0 if view is View.TRANSVERSE else len(self.towers[View.TRANSVERSE].middle)
        yield from self.towers[view].shapes(view, self.gev_of_longest, first)
        for style in ("other_tracks", "tracks", "large_radius"):
            yield from _lines(projection, style, scene.tracks["path"][self.rows[style]])
        for style, leptons in (("electrons", scene.electrons), ("muons", scene.muons)):
            paths = _lepton_paths(leptons, scene.tracks["path"], through=style == "muons")
            yield from _lines(projection, style, paths)
        yield from _lines(projection, "products", _sampled(scene.products["path"]))
        yield from _lines(projection, "long_lived", _sampled(scene.long_lived["path"]))
        for row in np.flatnonzero(np.isfinite(scene.long_lived["decay_x"])).tolist():
            decay = scene.long_lived["path"][row, 1:]
            yield Shape("long_lived", row, projection.points(decay))
        for row, place in enumerate(columns(scene.vertices, ("x", "y", "z"))):
            yield Shape("vertices", row, projection.points(place[None]))
        if view is View.TRANSVERSE:
            for row, momentum in enumerate(columns(scene.missing_et, ("px", "py"))):
                yield Shape("missing_et", row, np.stack([np.zeros(2), _missing_tip(momentum)]))

    def labels(self, view: View) -> list[Label]:
        """Return words to be written at the hardest jets and at the missing transverse momentum."""
        jets, hard = self.scene.jets, self.rows["jets"][:_LABELLED]
        _, unit = _from_origin(jets["eta"][hard], jets["phi"][hard])
        ends = self.projection(view).points(straight(np.zeros_like(unit), unit))
        beyond = TOWERS_MM[0] + 0.5 * TOWERS_MM[1]
        wanted = [
            Label("jets", f"{pt:.0f} GeV", (x, y))
            for pt, (x, y) in zip(
                jets["pt"][hard].tolist(),
                (ends * (1.0 + beyond / np.linalg.norm(ends, axis=1, keepdims=True))).tolist(),
                strict=True,
            )
        ]
        if view is View.TRANSVERSE:
            for momentum in columns(self.scene.missing_et, ("px", "py")):
                x, y = (1.05 * _missing_tip(momentum)).tolist()
                text = f"missing ET {math.hypot(*momentum):.0f} GeV"
                wanted.append(Label("missing_et", text, (x, y)))
        return apart(wanted, limits(view))

    def _jets(self, projection: Projection) -> Iterator[Shape]:
        jets = self.scene.jets
        across = np.linspace(-RADIUS, RADIUS, 9)
        still = np.zeros_like(across)
        for style in ("soft_jets", "jets"):
            for place, row in enumerate(self.rows[style].tolist()):
                eta, phi = float(jets["eta"][row]), float(jets["phi"][row])
                if projection.view is View.TRANSVERSE:
                    start, unit = _from_origin(eta + still, phi + across)
                    rim = straight(start, unit)[:, :2]
                else:
                    start, unit = _from_origin(eta + across, phi + still)
                    rim = projection.points(straight(start, unit))
                points = np.concatenate([np.zeros((1, 2)), rim])
                opacity = 0.3 + 0.7 * float(jets["pt"][row] / max(jets["pt"][0], 1.0))
                yield Shape(style, place, points, closed=True, opacity=opacity)


def _azimuth(scene: Scene) -> float:
    if len(scene.long_lived["px"]):
        px, py = scene.long_lived["px"], scene.long_lived["py"]
        leading = int(np.argmax(np.hypot(px, py)))
        return math.atan2(py[leading], px[leading])
    return float(scene.jets["phi"][0]) if len(scene.jets["phi"]) else 0.5 * math.pi


def _from_origin(eta: Floats, phi: Floats) -> tuple[Floats, Floats]:
    unit = directions(np.asarray(eta, dtype=np.float64), np.asarray(phi, dtype=np.float64))
    return np.zeros_like(unit), unit


def _sampled(lines: Floats) -> Floats:
    """Put points on straight lines, shape (n, 2, 3): in r and z they are not straight."""
    steps = np.linspace(0.0, 1.0, 25)[:, None]
    return np.asarray(lines[:, :1] + steps * (lines[:, 1:] - lines[:, :1]))


def _lines(projection: Projection, style: str, paths: Iterable[Floats]) -> Iterator[Shape]:
    for row, path in enumerate(paths):
        for piece in projection.pieces(path):
            yield Shape(style, row, piece)


def _lepton_paths(leptons: Table, tracks: Floats, *, through: bool) -> Iterator[Floats]:
    """Yield the tracks of leptons; what has none, or goes `through`, flies straight to the end."""
    start, unit = _from_origin(leptons["eta"], leptons["phi"])
    for row, track in enumerate(leptons["track"].tolist()):
        path = tracks[track] if track >= 0 else start[[row]]
        if track < 0 or through:
            heading = path[-1] - path[-2] if track >= 0 else unit[row]
            ends = np.concatenate([path[-1:], straight(path[-1:], heading[None])])
            path = np.concatenate([path, _sampled(ends[None])[0, 1:]])
        yield path


def _missing_tip(momentum: Floats) -> Floats:
    reach = OUTER_R_MM + TOWERS_MM[0] + 0.6 * TOWERS_MM[1]
    azimuth = math.atan2(momentum[1], momentum[0])
    return reach * np.array([math.cos(azimuth), math.sin(azimuth)])
