"""Tracking: measurements to tracks, in two passes.

The standard pass finds what comes from near the beam line. The large-radius pass works on the
measurements that the first left, with seeds that may start anywhere in the tracker and point far
from the beam line; it finds the decay products of long-lived particles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import acts.examples
import numpy as np
from acts.examples import (
    ConstTrackContainer,
    MeasurementContainer,
    MeasurementParticlesMap,
    MeasurementSubset,
    ProtoTrackContainer,
)
from numpy.typing import NDArray

from hvmpi.openchain.detector import LOG_LEVEL, SUB_DETECTORS, Detector
from hvmpi.openchain.digitization import MEASUREMENTS, PARTICLES_OF_MEASUREMENTS
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.field import FIELD_T
from hvmpi.openchain.schemas import PERIGEE
from hvmpi.openchain.sequence import SUCCESS
from hvmpi.openchain.simulation import unpack_barcode
from hvmpi.stopwatch import Part, spent_on

__all__ = ["LARGE_RADIUS", "STANDARD", "Pass", "TrackOutput", "algorithms"]

MIN_MATCH = 0.5
"""A track links to the particle that left more than this share of its measurements."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of track finding: seeds, combinatorial Kalman filter, ambiguities. mm and GeV.

    Attributes
    ----------
    name : str
        Prefix of what it leaves on ACTS's whiteboard.
    seed_volumes : tuple of int
        Volumes whose measurements seed.
    delta_r : tuple of float
        Smallest and largest distance in radius of neighbouring space points of a seed.
    impact_max : float
        Largest transverse distance of a seed from the beam line.
    collision_region : float
        Largest distance, along z, of the point where a seed crosses the beam line.
    r_max : float
        Largest radius of a space point.
    r_middle : tuple of float
        Radii of a seed's middle space point.
    min_pt : float
        Of a seed.
    max_seeds : int
        Seeds for one middle space point.
    d0_max, z0_max : float
        Of a track.
    min_measurements, max_holes : int
        Of a track.
    """

    name: str
    seed_volumes: tuple[int, ...]
    delta_r: tuple[float, float]
    impact_max: float
    collision_region: float
    r_max: float
    r_middle: tuple[float, float]
    min_pt: float
    max_seeds: int
    d0_max: float
    z0_max: float
    min_measurements: int
    max_holes: int


_PIXEL_VOLUMES = SUB_DETECTORS[0].volumes
_ALL_VOLUMES = tuple(volume for kind in SUB_DETECTORS for volume in kind.volumes)

STANDARD = Pass(
    name="standard",
    seed_volumes=_PIXEL_VOLUMES,
    delta_r=(1.0, 150.0),
    impact_max=3.0,
    collision_region=250.0,
    r_max=200.0,
    r_middle=(0.0, 200.0),
    min_pt=0.5,
    max_seeds=1,
    d0_max=4.0,
    z0_max=1000.0,
    min_measurements=7,
    max_holes=2,
)

LARGE_RADIUS = Pass(
    name="large_radius",
    seed_volumes=_ALL_VOLUMES,
    delta_r=(5.0, 300.0),
    impact_max=400.0,
    collision_region=1500.0,
    r_max=1030.0,
    r_middle=(60.0, 900.0),
    min_pt=0.9,
    max_seeds=2,
    d0_max=400.0,
    z0_max=3000.0,
    min_measurements=6,
    max_holes=2,
)

_Z_MAX_MM = 3000.0
_COT_THETA_MAX = 27.3
# Of a measurement on a track, and of one that is noted as an outlier.
_CHI2_CUTS = (15.0, 25.0)
_MAX_SHARED_HITS = 3


def settings() -> dict[str, Any]:
    """Return every number of the two passes, for the settings hash of a product."""
    passes = {
        passing.name: asdict(passing) | {"seeding": _seeding(passing)}
        for passing in (STANDARD, LARGE_RADIUS)
    }
    return passes | {
        "chi2_cuts": _CHI2_CUTS,
        "max_shared_hits": _MAX_SHARED_HITS,
        "min_match": MIN_MATCH,
    }


def _tracks(passing: Pass) -> str:
    return f"{passing.name}_tracks"


def _measurement_lists(passing: Pass) -> str:
    return f"{passing.name}_measurement_lists"


class _AllMeasurements(acts.examples.IAlgorithm):  # type: ignore[misc]
    """Offers all measurements, noise too, to the standard pass."""

    def __init__(self, output: str) -> None:
        acts.examples.IAlgorithm.__init__(self, "AllMeasurements", LOG_LEVEL)
        self._in = acts.examples.ReadDataHandle(self, MeasurementContainer, "in")
        self._in.initialize(MEASUREMENTS)
        self._out = acts.examples.WriteDataHandle(self, MeasurementSubset, "out")
        self._out.initialize(output)

    def execute(self, context: Any) -> Any:
        """Make a subset of the container that stands on the whiteboard."""
        measurements = self._in(context.eventStore)
        self._out(context, MeasurementSubset(measurements, range(len(measurements))))
        return SUCCESS


def algorithms(detector: Detector) -> list[Any]:
    """Return the algorithms of both passes, in order."""
    first, second = "standard_measurements", "large_radius_measurements"
    remove = acts.examples.MeasurementFilterAlgorithm(
        level=LOG_LEVEL,
        inputMeasurementSubset=first,
        inputTracks=_tracks(STANDARD),
        outputMeasurementSubset=second,
    )
    return [
        _AllMeasurements(first),
        *_pass_algorithms(detector, STANDARD, first),
        remove,
        *_pass_algorithms(detector, LARGE_RADIUS, second),
    ]


def _pass_algorithms(detector: Detector, passing: Pass, measurements: str) -> list[Any]:
    name, level = passing.name, LOG_LEVEL
    space_points = acts.examples.SpacePointMaker(
        level=level,
        inputMeasurements=measurements,
        outputSpacePoints=f"{name}_space_points",
        trackingGeometry=detector.geometry,
        geometrySelection=[
            acts.GeometryIdentifier(volume=volume) for volume in passing.seed_volumes
        ],
    )
    seeding = acts.examples.GridTripletSeedingAlgorithm(
        level=level,
        inputSpacePoints=f"{name}_space_points",
        outputSeeds=f"{name}_seeds",
        **_seeding(passing),
    )
    estimate = acts.examples.TrackParamsEstimationAlgorithm(
        level=level,
        inputSeeds=f"{name}_seeds",
        outputSeeds=f"{name}_estimated_seeds",
        outputTrackParameters=f"{name}_estimates",
        trackingGeometry=detector.geometry,
        magneticField=detector.field,
        particleHypothesis=acts.ParticleHypothesis.pion,
    )
    selection = acts.TrackSelector.Config(
        loc0Min=-passing.d0_max,
        loc0Max=passing.d0_max,
        loc1Min=-passing.z0_max,
        loc1Max=passing.z0_max,
        ptMin=passing.min_pt,
        minMeasurements=passing.min_measurements,
        maxHoles=passing.max_holes,
    )
    finding = acts.examples.TrackFindingAlgorithm(
        level=level,
        measurementSelectorCfg=acts.MeasurementSelector.Config(
            [(acts.GeometryIdentifier(), ([], [_CHI2_CUTS[0]], [_CHI2_CUTS[1]], [1]))]
        ),
        inputMeasurements=measurements,
        inputInitialTrackParameters=f"{name}_estimates",
        inputSeeds=f"{name}_estimated_seeds",
        outputTracks=f"{name}_candidates",
        findTracks=acts.examples.TrackFindingAlgorithm.makeTrackFinderFunction(
            detector.geometry, detector.field, level
        ),
        trackingGeometry=detector.geometry,
        magneticField=detector.field,
        trackSelectorCfg=selection,
        twoWay=True,
        seedDeduplication=True,
        stayOnSeed=True,
        # The states of passive material would only be gone through and left.
        recordMaterialStates=False,
    )
    ambiguities = acts.examples.GreedyAmbiguityResolutionAlgorithm(
        level=level,
        inputTracks=f"{name}_candidates",
        outputTracks=_tracks(passing),
        maximumSharedHits=_MAX_SHARED_HITS,
        nMeasurementsMin=passing.min_measurements,
        maximumIterations=1_000_000,
    )
    # Lists of measurements: going from state to state in Python takes twice as long.
    trajectories = acts.examples.TracksToTrajectories(
        level=level, inputTracks=_tracks(passing), outputTrajectories=f"{name}_trajectories"
    )
    lists = acts.examples.TrajectoriesToProtoTracks(
        level=level,
        inputTrajectories=f"{name}_trajectories",
        outputProtoTracks=_measurement_lists(passing),
    )
    return [space_points, seeding, estimate, finding, ambiguities, trajectories, lists]


def _seeding(passing: Pass) -> dict[str, Any]:
    shortest, longest = passing.delta_r
    return {
        "bFieldInZ": FIELD_T * acts.UnitConstants.T,
        "minPt": passing.min_pt,
        "cotThetaMax": _COT_THETA_MAX,
        "impactMax": passing.impact_max,
        "deltaRMin": shortest,
        "deltaRMax": longest,
        "deltaRMinTop": shortest,
        "deltaRMaxTop": longest,
        "deltaRMinBottom": shortest,
        "deltaRMaxBottom": longest,
        "rMin": 0.0,
        "rMax": passing.r_max,
        "zMin": -_Z_MAX_MM,
        "zMax": _Z_MAX_MM,
        "rMinMiddle": passing.r_middle[0],
        "rMaxMiddle": passing.r_middle[1],
        "useVariableMiddleSPRange": False,
        "collisionRegionMin": -passing.collision_region,
        "collisionRegionMax": passing.collision_region,
        "sigmaScattering": 5.0,
        "radLengthPerSeed": 0.1,
        "maxSeedsPerSpM": passing.max_seeds,
    }


class TrackOutput(acts.examples.IAlgorithm):  # type: ignore[misc]
    """Takes one event's tracks out of ACTS.

    Parameters
    ----------
    barcodes : callable
        Returns the barcodes that the event's tracks may link to, when the tracks are there.
    """

    def __init__(self, barcodes: Callable[[], Iterable[int]]) -> None:
        acts.examples.IAlgorithm.__init__(self, "TrackOutput", LOG_LEVEL)
        self._candidates = barcodes
        self._tracks = []
        for passing in (STANDARD, LARGE_RADIUS):
            handle = acts.examples.ReadDataHandle(self, ConstTrackContainer, passing.name)
            handle.initialize(_tracks(passing))
            lists = acts.examples.ReadDataHandle(self, ProtoTrackContainer, f"{passing.name}_lists")
            lists.initialize(_measurement_lists(passing))
            self._tracks.append((handle, lists))
        self._measurements = acts.examples.ReadDataHandle(self, MeasurementContainer, "in")
        self._measurements.initialize(MEASUREMENTS)
        self._particles = acts.examples.ReadDataHandle(self, MeasurementParticlesMap, "map")
        self._particles.initialize(PARTICLES_OF_MEASUREMENTS)
        self._is_strip = np.zeros(256, dtype=bool)
        for kind in SUB_DETECTORS:
            self._is_strip[list(kind.volumes)] = kind.strip
        self._passes: list[Table] = []
        self._used: list[list[int]] = []
        self._volumes: list[int] = []
        self._holes: list[tuple[int, int]] = []
        self._left: dict[int, list[int]] = {}

    @spent_on(Part.CONVERT)
    def execute(self, context: Any) -> Any:
        """Copy what is wanted; nothing of ACTS's is kept."""
        store = context.eventStore
        self._passes, self._used, self._holes = [], [], []
        # One look-up a particle costs a fifth of one a measurement.
        left = self._particles(store).invert()
        self._left = {
            packed: left.valuesFor(unpack_barcode(packed)) for packed in self._candidates()
        }
        for large_radius, (handle, lists) in enumerate(self._tracks):
            tracks = handle(store)
            table = {
                "parameters": np.array(tracks.parameters).reshape(-1, 6),
                "covariance": np.array(tracks.covariance).reshape(-1, 6, 6),
                "chi2": np.array(tracks.chi2),
                "ndf": np.array(tracks.ndf),
                "outliers": np.array(tracks.nOutliers),
                "large_radius": np.full(len(tracks), large_radius),
            }
            self._passes.append(table)
            self._used += [list(indices) for indices in lists(store)]
            self._holes += [
                self._count_holes(track) if holes else (0, 0)
                for track, holes in zip(tracks, np.array(tracks.nHoles).tolist(), strict=True)
            ]
        measurements = self._measurements(store)
        self._volumes = [
            measurements[index].geometryId.volume for indices in self._used for index in indices
        ]
        return SUCCESS

    def _count_holes(self, track: Any) -> tuple[int, int]:
        strips = [
            self._is_strip[state.referenceSurface.geometryId.volume]
            for state in track.trackStatesReversed
            if state.typeFlags.isHole
        ]
        return len(strips) - sum(strips), sum(strips)

    @spent_on(Part.CONVERT)
    def tracks(self, truth: Table) -> Table:
        """Return the tracks of the last event.

        Parameters
        ----------
        truth : Table
            Of the same event; what the tracks link to.

        Returns
        -------
        Table
            With the fields of an AOD's tracks but `vertex_weight`; the standard pass first.
        """
        columns = {
            name: np.concatenate([table[name] for table in self._passes])
            for name in self._passes[0]
        }
        names = list(PERIGEE)
        parameters = dict(zip(names, columns["parameters"].T, strict=False))
        table: Table = dict(parameters)
        for column, second in enumerate(names):
            for row, first in enumerate(names[: column + 1]):
                name = f"var_{first}" if row == column else f"cov_{first}_{second}"
                table[name] = columns["covariance"][:, row, column]
        table["charge"] = np.sign(parameters["qop"])
        with np.errstate(divide="ignore"):
            table["pt"] = np.sin(parameters["theta"]) / np.abs(parameters["qop"])
        table["eta"] = -np.log(np.tan(parameters["theta"] / 2.0))
        table["chi2"], table["large_radius"] = columns["chi2"], columns["large_radius"]
        # ACTS counts the measured coordinates and leaves the parameters to the reader.
        table["ndf"] = columns["ndf"].astype(np.int64) - len(names)
        lengths = np.array([len(used) for used in self._used], dtype=np.int64)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        used = np.array([index for indices in self._used for index in indices], dtype=np.int64)
        volumes = np.array(self._volumes, dtype=np.int64)
        table["n_strip"] = np.bincount(owner[self._is_strip[volumes]], minlength=len(lengths))
        table["n_pixel"] = lengths - table["n_strip"]
        holes = np.array(self._holes, dtype=np.int64).reshape(-1, 2)
        table["holes_pixel"], table["holes_strip"] = holes.T
        table["outliers"] = columns["outliers"]
        twice = np.bincount(used)[used] > 1
        table["shared"] = np.bincount(owner[twice], minlength=len(lengths))
        table["truth"], votes = self._most(used, owner, len(lengths), truth["barcode"])
        table["match"] = votes / lengths
        table["truth"][table["match"] <= MIN_MATCH] = -1
        return table

    def _most(
        self,
        used: NDArray[np.int64],
        owner: NDArray[np.int64],
        tracks: int,
        barcodes: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the row of the particle that left most of each track, and how much it left.

        Parameters
        ----------
        used, owner : ndarray of int64, shape (n_used,)
            Measurements, and the tracks that use them.
        tracks : int
        barcodes : ndarray of int64
            Of the truth, ascending.
        """
        left = np.array([index for indices in self._left.values() for index in indices], dtype=int)
        by = np.searchsorted(barcodes, list(self._left))
        by = np.repeat(by, [len(indices) for indices in self._left.values()])
        order = np.argsort(left, kind="stable")
        first, last = (np.searchsorted(left[order], used, side) for side in ("left", "right"))
        # A measurement may have been left by several, or by none.
        count = last - first
        pair = np.repeat(last - np.cumsum(count), count) + np.arange(count.sum())
        size = max(len(barcodes), 1)
        key, votes = np.unique(np.repeat(owner, count) * size + by[order[pair]], return_counts=True)
        track, row = np.divmod(key, size)
        # The last that is assigned stays: the most votes, and the smaller barcode of two equals.
        ranking = np.lexsort((-row, votes))
        rows, most = np.full(tracks, -1), np.zeros(tracks, dtype=np.int64)
        rows[track[ranking]], most[track[ranking]] = row[ranking], votes[ranking]
        return rows, most
