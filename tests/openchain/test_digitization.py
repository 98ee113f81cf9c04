"""Digitization: smeared measurements and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hvmpi.openchain.detector import SUB_DETECTORS, detector, sub_detector_of_volume
from hvmpi.openchain.digitization import noise
from hvmpi.openchain.eventdata import Event, Product
from hvmpi.openchain.schemas import RDO
from hvmpi.openchain.sequence import generator
from tests.openchain.conftest import RUN_NUMBER, SEED


@pytest.fixture(scope="module")
def events(fused: Path) -> list[Event]:
    with Product(fused / "rdo.h5", RDO) as product:
        return list(product.iterate(range(len(product))))


def _kinds(geometry_id: np.ndarray) -> np.ndarray:
    # ACTS keeps the volume in the highest eight bits.
    return sub_detector_of_volume()[(geometry_id >> np.uint64(56)).astype(int)]


def test_every_measurement_without_a_particle_is_noise(events: list[Event]) -> None:
    for event in events:
        measurements, links = event.tables["measurements"], event.tables["truth_links"]
        rows = np.setdiff1d(np.arange(len(measurements["local_x"])), links["measurement"])
        drawn = noise(detector(), generator(SEED, RUN_NUMBER, event.event_number, "noise"))
        for name, values in drawn.items():
            np.testing.assert_array_equal(measurements[name][rows], values)


def test_noise_has_its_rate(events: list[Event]) -> None:
    counts = np.zeros(len(SUB_DETECTORS))
    for event in events:
        drawn = noise(detector(), generator(SEED, RUN_NUMBER, event.event_number, "noise"))
        counts += np.bincount(_kinds(drawn["geometry_id"]), minlength=len(SUB_DETECTORS))
    for count, kind, modules in zip(counts, SUB_DETECTORS, detector().modules, strict=True):
        expected = kind.noise * modules.cells.sum() * len(events)
        assert count == pytest.approx(expected, abs=5 * expected**0.5)


def test_noise_is_seeded() -> None:
    def draw(*words: int) -> list[float]:
        return list(noise(detector(), generator(*words, "noise"))["local_x"])

    assert draw(1, 2, 3) == draw(1, 2, 3)
    assert draw(1, 2, 3) != draw(1, 2, 4)
    assert draw(1, 2, 3) != draw(1, 3, 3)
    assert draw(1, 2, 3) != draw(2, 2, 3)


def test_noise_is_on_the_sensors() -> None:
    where = {
        int(number): (low, high, half_y)
        for modules in detector().modules
        for number, low, high, half_y in zip(
            modules.geometry_id,
            modules.half_x_low,
            modules.half_x_high,
            modules.half_y,
            strict=True,
        )
    }
    seen = 0
    for event in range(20):
        drawn = noise(detector(), generator(1, 1, event, "noise"))
        for number, x, y in zip(
            drawn["geometry_id"], drawn["local_x"], drawn["local_y"], strict=True
        ):
            low, high, half_y = where[int(number)]
            assert abs(y) <= half_y
            assert abs(x) <= low + (high - low) * (y / half_y + 1) / 2 + 1e-9
            seen += 1
    assert seen > 1000


def test_variances_are_those_of_the_sub_detector(events: list[Event]) -> None:
    measurements = events[0].tables["measurements"]
    kinds = _kinds(measurements["geometry_id"])
    for position, kind in enumerate(SUB_DETECTORS):
        chosen = kinds == position
        assert chosen.any()
        sigma_x, sigma_y = kind.resolution_mm
        # A merged measurement has a smaller one.
        assert np.median(measurements["var_x"][chosen]) == pytest.approx(sigma_x**2)
        assert np.median(measurements["var_y"][chosen]) == pytest.approx(sigma_y**2)
