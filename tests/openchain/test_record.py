"""Event records: the lines of Asciiv3 give the arrays that pyhepmc gives, or are left to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyhepmc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hvmpi.errors import InputError
from hvmpi.openchain import evnt, truth
from hvmpi.openchain.asciiv3 import Walk, open_event_file
from hvmpi.openchain.record import EventRecord, weights_named


def of_lines(path: Path) -> list[EventRecord | None]:
    with open_event_file(path) as (stream, _):
        walk = Walk(path, stream)
        weights = weights_named(walk.header)
        return [EventRecord.of_lines(event, weights) for event in walk.events()]


def of_pyhepmc(path: Path) -> list[EventRecord]:
    return [EventRecord.of_genevent(event) for event in evnt.read_events(path)]


def sorted_pairs(pairs: tuple[NDArray[Any], NDArray[Any]]) -> list[list[int]]:
    order = np.argsort(pairs[0], kind="stable")
    return [values[order].tolist() for values in pairs]


def assert_same(record: EventRecord | None, other: EventRecord) -> None:
    assert record is not None
    rows = np.arange(len(other.pid))
    arrays, others = (
        (one.pid, one.status, one.positions, *one.momenta(rows)) for one in (record, other)
    )
    for values, expected in zip(arrays, others, strict=True):
        assert values.dtype == expected.dtype
        # By their bytes: -0 is not 0, and NaN is itself.
        assert np.ascontiguousarray(values).tobytes() == np.ascontiguousarray(expected).tobytes()
    assert sorted_pairs(record.incoming) == sorted_pairs(other.incoming)
    assert sorted_pairs(record.outgoing) == sorted_pairs(other.outgoing)
    assert (record.weight, record.run_number) == (other.weight, other.run_number)


def test_lines_of_ours_are_read_as_pyhepmc_reads_them(signal_evnt: Path) -> None:
    records = of_lines(signal_evnt)
    assert len(records) == 40
    for record, other in zip(records, of_pyhepmc(signal_evnt), strict=True):
        assert_same(record, other)


def test_same_truth_from_either(signal_evnt: Path) -> None:
    for (_, record), event in zip(
        evnt.read_records(signal_evnt, 3, 4), evnt.read_events(signal_evnt, 3, 4), strict=True
    ):
        made, other = (
            truth.from_record(one, 7, 1) for one in (record, EventRecord.of_genevent(event))
        )
        for tables in ((made.truth, other.truth), (made.stable, other.stable)):
            for name, values in tables[0].items():
                np.testing.assert_array_equal(values, tables[1][name])
        assert made.simulated.tolist() == other.simulated.tolist()
        assert made.keep.tolist() == other.keep.tolist()


# --- any events --------------------------------------------------------------------------------

_NUMBERS = st.one_of(
    st.just(0.0), st.floats(-1e99, 1e99).filter(lambda x: x == 0 or abs(x) > 1e-99)
)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[list[int], int, bool]], list[list[float]]]:
    """Draw vertices (incoming particles, how many leave, whether placed) and momenta.

    Particles 0 and 1 are beams; each vertex takes some that are there and not taken yet.
    """
    free, count = [0, 1], 2
    vertices = []
    for _ in range(draw(st.integers(0, 6))):
        if not free:
            break
        taken = draw(st.lists(st.sampled_from(free), min_size=1, max_size=3, unique=True))
        leaving = draw(st.integers(1, 3))
        vertices.append((taken, leaving, draw(st.booleans())))
        free = [n for n in free if n not in taken] + list(range(count, count + leaving))
        count += leaving
    momenta = draw(
        st.lists(st.lists(_NUMBERS, min_size=5, max_size=5), min_size=count, max_size=count)
    )
    return vertices, momenta


def event_of(
    vertices: Sequence[tuple[Sequence[int], int, bool]], momenta: Sequence[Sequence[float]]
) -> pyhepmc.GenEvent:
    run = pyhepmc.GenRunInfo()
    run.weight_names = ["Weight"]
    event = pyhepmc.GenEvent(run, pyhepmc.Units.GEV, pyhepmc.Units.MM)
    particles = []
    for number, (px, py, pz, e, mass) in enumerate(momenta):
        particle = pyhepmc.GenParticle((px, py, pz, e), 11 + number, 1 + number % 3)
        particle.generated_mass = mass
        particles.append(particle)
    count = 2
    for incoming, leaving, placed in vertices:
        vertex = pyhepmc.GenVertex((1.5, -2.25, 1e-3, 4.0) if placed else (0, 0, 0, 0))
        for number in incoming:
            vertex.add_particle_in(particles[number])
        for number in range(count, count + leaving):
            vertex.add_particle_out(particles[number])
        count += leaving
        event.add_vertex(vertex)
    event.event_number = 3
    event.weights = [0.1]
    event.attributes["run_number"] = 12
    return event


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=graphs(), precision=st.sampled_from([3, 12, 16]))
def test_any_event_is_read_as_pyhepmc_reads_it(
    tmp_path_factory: pytest.TempPathFactory, drawn: Any, precision: int
) -> None:
    path = tmp_path_factory.mktemp("record") / "events"
    with pyhepmc.open(path, "w", precision=precision) as file:
        file.write(event_of(*drawn))
    try:
        expected = of_pyhepmc(path)
    except InputError:
        # What HepMC3 cannot read back.
        with pytest.raises(InputError, match=re.escape(str(path))):
            list(evnt.read_records(path))
        return
    ((number, record),) = evnt.read_records(path)
    assert number == 3
    assert_same(record, expected[0])


# --- any damage --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a file with one event of 8 particles: with and without lines of vertices."""
    path = tmp_path_factory.mktemp("small") / "events"
    vertices = [([0, 1], 2, False), ([2], 2, True), ([3], 2, False)]
    momenta = [[0.5 * n, -1.25, 3.0 / (n + 1), 40.0, 0.14] for n in range(8)]
    with pyhepmc.open(path, "w", precision=12) as file:
        file.write(event_of(vertices, momenta))
    assert of_lines(path)[0] is not None
    return path.read_bytes()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_lines_are_left_to_pyhepmc_or_refused(
    tmp_path_factory: pytest.TempPathFactory, small: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(small.index(b"\nW "), len(small) - 1))
    length = data.draw(st.integers(0, 4))
    new = data.draw(
        st.one_of(st.text("0123456789-+. ,[]@PVEAe\n", max_size=4), st.text(max_size=3))
    )
    path = tmp_path_factory.mktemp("damaged") / "events"
    path.write_bytes(small[:at] + new.encode() + small[at + length :])
    try:
        expected = of_pyhepmc(path)
    except InputError:
        with pytest.raises(InputError, match=re.escape(str(path))):
            list(evnt.read_records(path))
        return
    for (_, record), other in zip(evnt.read_records(path), expected, strict=True):
        assert_same(record, other)


@pytest.mark.parametrize(
    ("line", "damaged"),
    [
        (rb"^P 8 ", b"P 7 "),
        (rb"^P 8 4 ", b"P 8 8 "),
        (rb"^P 8 4 ", b"P 8 9 "),
        (rb"^P 8 4 ", b"P 8 -9 "),
        (rb"^V -2 0 \[3\]", b"V -2 0 [8]"),
        (rb"^V -2 0 \[3\]", b"V -2 0 [1]"),
        (rb"^V -2 0 \[3\]", b"V -3 0 [3]"),
        (rb"^V -2 0 \[3\]", b"V -2 0 [999999999]"),
        (rb"^V -2 ", b"V -999999999 "),
        (rb"^E 3 3 8", b"E 3 4 8"),
        (rb"^E 3 3 8", b"E 3 3 8 @ 1.0 2.0 3.0 4.0"),
        (rb"^U GEV MM", b"U MEV CM"),
        (rb"^W 1", b"W 2.0000000000000000000000e+00 1"),
        (rb"^W Weight", b"W Wei\x0cght"),
        (rb"^W Weight", b"W Wei ght"),
    ],
)
def test_what_is_unusual_is_not_read_by_columns(
    small: bytes, line: bytes, damaged: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "unusual"
    text, times = re.subn(line, damaged, small, flags=re.MULTILINE)
    assert times == 1
    path.write_bytes(text)
    assert of_lines(path) == [None]
