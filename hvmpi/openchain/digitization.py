"""Digitization: hits to measurements, and noise."""

from __future__ import annotations

from typing import Any

import acts.examples
import numpy as np
from acts.examples import MeasurementContainer, MeasurementParticlesMap
from numpy.typing import NDArray

from hvmpi.openchain.detector import LOG_LEVEL, SUB_DETECTORS, Detector
from hvmpi.openchain.eventdata import Table, to_table
from hvmpi.openchain.sequence import SUCCESS, generator, random_numbers
from hvmpi.openchain.simulation import EVENT_VERTEX, HITS, pack_barcode, unpack_barcode
from hvmpi.stopwatch import Part, spent_on

__all__ = [
    "MEASUREMENTS",
    "PARTICLES_OF_MEASUREMENTS",
    "Noise",
    "RdoOutput",
    "measurements_to_acts",
    "noise",
    "smearing",
]

MEASUREMENTS = "measurements"
PARTICLES_OF_MEASUREMENTS = "measurement_particles_map"

_MEASUREMENT = ("geometry_id", "local_x", "local_y", "var_x", "var_y")
_AXES = [0, 1]


def smearing(detector: Detector, seed: int, run_number: int, hits: str = HITS) -> Any:
    """Return the digitization algorithm: hits to `MEASUREMENTS`, one a hit."""
    return acts.examples.DigitizationAlgorithm(
        level=LOG_LEVEL,
        digitizationConfigs=detector.smearing,
        surfaceByIdentifier=detector.surfaces,
        randomNumbers=random_numbers(seed, run_number, "digitization"),
        inputSimHits=hits,
        outputMeasurements=MEASUREMENTS,
        outputMeasurementSubset="measurements_without_noise",
        outputMeasurementParticlesMap=PARTICLES_OF_MEASUREMENTS,
        outputMeasurementSimHitsMap="measurement_simhits_map",
        outputParticleMeasurementsMap="particle_measurements_map",
        outputSimHitMeasurementsMap="simhit_measurements_map",
    )


def noise(detector: Detector, random: np.random.Generator) -> Table:
    """Draw one event's noise measurements.

    Cells fire by themselves, each with its sub-detector's probability, anywhere on a sensor.

    Parameters
    ----------
    detector : Detector
    random : numpy.random.Generator
        From `hvmpi.openchain.sequence.generator`, so that an event's noise is its own.

    Returns
    -------
    Table
        With the fields of an RDO's measurements.
    """
    drawn: list[tuple[NDArray[Any], ...]] = []
    for sub_detector, modules in zip(SUB_DETECTORS, detector.modules, strict=True):
        total = float(modules.cells.sum())
        fired = int(random.poisson(sub_detector.noise * total))
        edges = np.cumsum(modules.cells)
        module = np.searchsorted(edges, random.uniform(0.0, total, fired), side="right")
        module = np.minimum(module, len(edges) - 1)
        # Uniform on a trapezoid: the share of the area below a point along y is quadratic.
        low, high = modules.half_x_low[module], modules.half_x_high[module]
        height = _uniform_height(low, high, random.uniform(size=fired))
        half_x = low + (high - low) * height
        x = half_x * random.uniform(-1.0, 1.0, fired)
        y = modules.half_y[module] * (2.0 * height - 1.0)
        sigma_x, sigma_y = sub_detector.resolution_mm
        drawn.append(
            (
                modules.geometry_id[module],
                x,
                y,
                np.full(fired, sigma_x**2),
                np.full(fired, sigma_y**2),
            )
        )
    return {
        name: np.concatenate(columns)
        for name, columns in zip(_MEASUREMENT, zip(*drawn, strict=True), strict=True)
    }


def _uniform_height(
    low: NDArray[np.float64], high: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    slope = high - low
    root = np.sqrt(low**2 + share * (high**2 - low**2))
    return np.asarray(share * (low + high) / (low + root)) if slope.any() else share


class Noise(acts.examples.IAlgorithm):  # type: ignore[misc]
    """Adds the noise of each event to its measurements, in ACTS's own container."""

    def __init__(self, detector: Detector, seed: int, run_number: int) -> None:
        acts.examples.IAlgorithm.__init__(self, "Noise", LOG_LEVEL)
        self._detector, self._seed, self._run_number = detector, seed, run_number
        self._measurements = acts.examples.ReadDataHandle(self, MeasurementContainer, "in")
        self._measurements.initialize(MEASUREMENTS)

    @spent_on(Part.READOUT)
    def execute(self, context: Any) -> Any:
        """Append to the container where it stands: copying it would cost as much as the noise."""
        random = generator(self._seed, self._run_number, context.eventNumber, "noise")
        _emplace(self._measurements(context.eventStore), noise(self._detector, random))
        return SUCCESS


def _emplace(container: Any, table: Table) -> None:
    columns = (table[name].tolist() for name in _MEASUREMENT)
    for geometry_id, x, y, var_x, var_y in zip(*columns, strict=True):
        # It takes variances, though it calls them covariance.
        container.emplaceMeasurement(
            acts.GeometryIdentifier(geometry_id), _AXES, [x, y], [var_x, var_y]
        )


class RdoOutput(acts.examples.IAlgorithm):  # type: ignore[misc]
    """Takes one event's measurements, and who left them, out of ACTS."""

    def __init__(self) -> None:
        acts.examples.IAlgorithm.__init__(self, "RdoOutput", LOG_LEVEL)
        self._measurements = acts.examples.ReadDataHandle(self, MeasurementContainer, "in")
        self._measurements.initialize(MEASUREMENTS)
        self._particles = acts.examples.ReadDataHandle(self, MeasurementParticlesMap, "map")
        self._particles.initialize(PARTICLES_OF_MEASUREMENTS)
        self._rows: list[tuple[Any, ...]] = []
        self._links: list[tuple[int, int]] = []

    @spent_on(Part.CONVERT)
    def execute(self, context: Any) -> Any:
        """Copy; nothing of ACTS's is kept."""
        self._rows = []
        for measurement in self._measurements(context.eventStore):
            local, covariance = measurement.fullParameters, measurement.fullCovariance
            self._rows.append(
                (
                    measurement.geometryId.value,
                    local[0],
                    local[1],
                    covariance[0, 0],
                    covariance[1, 1],
                )
            )
        # Pile-up has no truth to link to.
        self._links = [
            (index, pack_barcode(barcode))
            for index, barcode in self._particles(context.eventStore)
            if barcode.vertexPrimary == EVENT_VERTEX
        ]
        return SUCCESS

    @spent_on(Part.CONVERT)
    def measurements(self) -> Table:
        """Return the measurements of the last event, in the order in which ACTS holds them."""
        return to_table(
            self._rows, {**dict.fromkeys(_MEASUREMENT, np.float64), "geometry_id": np.uint64}
        )

    @spent_on(Part.CONVERT)
    def truth_links(self) -> Table:
        """Return which particles left which measurement of the last event."""
        return to_table(self._links, {"measurement": np.int64, "barcode": np.int64})


@spent_on(Part.CONVERT)
def measurements_to_acts(measurements: Table, truth_links: Table) -> dict[str, Any]:
    """Return one event's measurements and their particles as ACTS's containers, by name."""
    container = MeasurementContainer()
    container.reserve(len(measurements["geometry_id"]))
    _emplace(container, measurements)
    particles = MeasurementParticlesMap()
    packed = truth_links["barcode"].tolist()
    barcodes = {number: unpack_barcode(number) for number in set(packed)}
    for measurement, number in zip(truth_links["measurement"].tolist(), packed, strict=True):
        particles.insert(measurement, barcodes[number])
    return {MEASUREMENTS: container, PARTICLES_OF_MEASUREMENTS: particles}
