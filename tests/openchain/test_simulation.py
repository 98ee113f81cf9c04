"""Simulation: what is sent through the tracker, what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.openchain import chain, evnt, truth
from hvmpi.openchain.detector import WORLD_R_MM, WORLD_Z_MM, detector
from hvmpi.openchain.eventdata import Product
from hvmpi.openchain.field import C_MM_PER_NS
from hvmpi.openchain.record import EventRecord
from hvmpi.openchain.schemas import HITS, LAYERS, TRUTH
from hvmpi.openchain.sequence import generator, random_numbers
from hvmpi.openchain.simulation import MIN_HITS, pack_barcode, unpack_barcode
from tests.openchain.conftest import RUN_NUMBER


@pytest.mark.parametrize(
    ("pdg_id", "charge"),
    [
        (11, -1),
        (-13, 1),
        (22, 0),
        (211, 1),
        (-321, -1),
        (411, 1),
        (421, 0),
        (521, 1),
        (511, 0),
        (130, 0),
        (2212, 1),
        (2112, 0),
        (3112, -1),
        (3222, 1),
        (-3312, 1),
        (3334, -1),
        (24, 1),
        (35, 0),
        (4900111, 0),
        (1000010020, 1),
        (1000020040, 2),
        (1, -1 / 3),
        (2, 2 / 3),
    ],
)
def test_charges(pdg_id: int, charge: float) -> None:
    assert truth.charge(pdg_id) == pytest.approx(charge)
    assert truth.charge(-pdg_id) == pytest.approx(-charge)


@given(
    particle=st.integers(1, 2**32 - 1), generation=st.integers(0, 255), sub=st.integers(0, 65535)
)
def test_barcodes_keep_what_they_hold(particle: int, generation: int, sub: int) -> None:
    packed = particle | generation << 32 | sub << 40
    assert pack_barcode(unpack_barcode(packed)) == packed


def test_random_numbers_depend_on_seed_run_event_and_step() -> None:
    words = [(1, 2, 3), (2, 1, 3), (3, 2, 1), (1, 2, 2**40), (1, 2, 2**40 + 2**32), (12, 3, 3)]
    draws = {
        generator(seed, run, event, step).integers(2**63)
        for seed, run, event in words
        for step in ("noise", "other")
    }
    assert len(draws) == 2 * len(words)
    assert generator(1, 2, 3, "noise").integers(2**63) == generator(1, 2, 3, "noise").integers(
        2**63
    )
    assert random_numbers(1, 23, "simulation") is not None


def test_decays_are_in_the_truth(signal_evnt: Path, fused: Path) -> None:
    with Product(fused / "hits.h5", HITS) as product:
        events = list(product.iterate(range(len(product))))
    for event, record in zip(events, evnt.read_events(signal_evnt), strict=True):
        table = event.tables["truth"]
        rows = np.flatnonzero(table["pdg_id"] == 35)
        assert len(rows) == 2
        for row in rows.tolist():
            particle = record.particles[int(table["barcode"][row]) - 1]
            end = particle.end_vertex.position
            assert particle.pid == 35
            decay = [float(table[f"decay_{axis}"][row]) for axis in "xyz"]
            assert decay == pytest.approx([end.x, end.y, end.z], rel=1e-6, abs=1e-6)
            assert table["decay_t"][row] == pytest.approx(end.t / C_MM_PER_NS, rel=1e-6)
            daughters = np.flatnonzero((table["parent"] == row) & np.isin(table["status"], (2, 91)))
            assert sorted(table["pdg_id"][daughters]) == [-5, 5]
            assert (table["llp"][daughters] == row).all()
            # Energy and momentum of the daughters are the s's own.
            for axis in ("px", "py", "pz"):
                assert table[axis][daughters].sum() == pytest.approx(table[axis][row], abs=0.01)


def test_descendants_start_behind_the_decay(fused: Path) -> None:
    with Product(fused / "hits.h5", HITS) as product:
        tables = [event.tables["truth"] for event in product.iterate(range(len(product)))]
    for table in tables:
        rows = np.flatnonzero(table["llp"] >= 0)
        assert len(rows) > 0
        times = table["t"][rows] - table["decay_t"][table["llp"][rows]]
        assert (times > -1e-5).all()


def test_hits_belong_to_the_particles(fused: Path) -> None:
    with Product(fused / "hits.h5", HITS) as product:
        events = list(product.iterate(range(len(product))))
    sensors = {int(number) for modules in detector().modules for number in modules.geometry_id}
    for event in events:
        kept, hits = event.tables["truth"], event.tables["hits"]
        assert set(hits["geometry_id"].tolist()) <= sensors
        barcodes, counts = np.unique(hits["barcode"], return_counts=True)
        left = dict(zip(barcodes.tolist(), counts.tolist(), strict=True))
        for barcode, number in zip(kept["barcode"].tolist(), kept["hits"].tolist(), strict=True):
            if number >= MIN_HITS:
                assert left[barcode] == number
        assert {key for key, number in left.items() if number >= MIN_HITS} <= set(
            kept["barcode"].tolist()
        )
        # The s is neutral and leaves nothing.
        assert (kept["hits"][kept["pdg_id"] == 35] == 0).all()
        assert (np.hypot(hits["x"], hits["y"]) < WORLD_R_MM + 10).all()
        loss = hits["e"] - hits["e_after"]
        assert (loss >= -1e-9).all()
        assert loss.max() > 0


def test_photons_convert(fused: Path) -> None:
    with Product(fused / "hits.h5", HITS) as product:
        table = product["truth"].table()
        index = product["truth"].index
    made = np.flatnonzero(table["barcode"] > 2**32)
    assert len(made) > 0
    assert set(np.abs(table["pdg_id"][made]).tolist()) == {11}
    first = index[np.searchsorted(index, made, side="right") - 1]
    parents = table["pdg_id"][first + table["parent"][made]]
    assert set(np.abs(parents).tolist()) <= {11, 22}


def _one_particle_event(directory: Path, position: tuple[float, float, float]) -> Path:
    import pyhepmc

    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    beam = pyhepmc.GenParticle((0.0, 0.0, 6500.0, 6500.0), 2212, 4)
    scalar = pyhepmc.GenParticle((20.0, 0.0, 0.0, 60.0), 35, 2)
    pion = pyhepmc.GenParticle((10.0, 0.0, 1.0, 10.05), 211, 1)
    start = pyhepmc.GenVertex((0.0, 0.0, 0.0, 0.0))
    start.add_particle_in(beam)
    start.add_particle_out(scalar)
    end = pyhepmc.GenVertex((*position, 2000.0))
    end.add_particle_in(scalar)
    end.add_particle_out(pion)
    event.add_vertex(start)
    event.add_vertex(end)
    event.event_number = 1
    path = directory / "one.hepmc3"
    with pyhepmc.open(path, "w") as out:
        out.write(event)
    return path


@pytest.mark.parametrize(
    ("position", "seen"),
    [
        ((10.0, 0.0, 0.0), True),
        ((WORLD_R_MM + 1, 0.0, 0.0), False),
        ((1500.0, 0.0, 0.0), False),
        ((10.0, 0.0, WORLD_Z_MM + 1), False),
    ],
)
def test_decays_outside_the_tracker_leave_no_hits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], position: tuple[float, ...], seen: bool
) -> None:
    path = _one_particle_event(tmp_path, position)  # type: ignore[arg-type]
    done = chain.simulate(path, tmp_path / "hits.h5", seed=1, run_number=1)
    assert (done.rows["hits"] > 0) is seen
    with Product(tmp_path / "hits.h5", HITS) as product:
        table = product["truth"].table()
    # What decayed stays in the truth all the same.
    assert table["pdg_id"].tolist() == [35, 211]
    assert table["decay_x"][0] == pytest.approx(position[0])
    assert capfd.readouterr().out == ""


def test_an_event_without_particles(tmp_path: Path) -> None:
    path = _one_particle_event(tmp_path, (0.0, 0.0, 0.0))
    text = path.read_bytes().replace(b" 35 ", b" 12 ").replace(b" 211 ", b" 12 ")
    path.write_bytes(text)
    done = chain.run(path, tmp_path / "aod.h5", seed=1, run_number=1)
    rows = dict(done.rows)
    # There is always noise, and a row for the event as a whole.
    assert rows.pop("clusters") > 0
    assert {name: rows.pop(name) for name in ("event_truth", "missing_et", "pile_up")} == {
        "event_truth": 1,
        "missing_et": 1,
        "pile_up": 1,
    }
    assert rows.pop("cell_sums") == len(LAYERS)
    assert set(rows.values()) == {0}


def test_truth_has_its_fields(signal_evnt: Path) -> None:
    record = next(evnt.read_events(signal_evnt))
    event = truth.from_record(EventRecord.of_genevent(record), RUN_NUMBER, 1)
    assert set(event.truth) | {"hits"} == {field.name for field in TRUTH}
    assert len({len(values) for values in event.truth.values()}) == 1


def _family() -> Any:
    """Return an event in which two vertices have no position and a shower branches.

    1, 2 beams -> 3 s, 4 g; 3 s at (30, 40, 50) -> 5 b, 6 b~; 5 b, 4 g recoiling -> 7 b, 8 g, 9 g;
    7 b, 8 g, 6 b~ -> 10 pi+ (hadronization of three partons, a b among them).
    """
    import pyhepmc

    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    kinds = [(2212, 4), (2212, 4), (35, 2), (21, 51), (5, 23), (-5, 23), (5, 71), (21, 71)]
    kinds += [(21, 1), (211, 1)]
    p = [pyhepmc.GenParticle((1.0 + n, 0, 0.5, 20.0), *kind) for n, kind in enumerate(kinds)]
    graph = [((0, 1), (2, 3), 0), ((2,), (4, 5), 30), ((4, 3), (6, 7, 8), 0), ((6, 7, 5), (9,), 0)]
    for incoming, outgoing, x in graph:
        vertex = pyhepmc.GenVertex((x, x * 4 / 3, x * 5 / 3, x * 10))
        for n in incoming:
            vertex.add_particle_in(p[n])
        for n in outgoing:
            vertex.add_particle_out(p[n])
        event.add_vertex(vertex)
    return event


def test_truth_knows_who_comes_from_whom() -> None:
    record = _family()
    event = truth.from_record(EventRecord.of_genevent(record), RUN_NUMBER, 1)
    table = event.truth
    by_kind = {int(number): row for row, number in enumerate(table["pdg_id"])}
    s, pion = by_kind[35], by_kind[211]
    assert sorted(table["pdg_id"].tolist()) == [-5, 5, 35, 211]
    for quark in (by_kind[5], by_kind[-5]):
        assert (table["parent"][quark], table["llp"][quark]) == (s, s)
        assert [float(table[axis][quark]) for axis in "xyz"] == pytest.approx([30, 40, 50])
        assert table["t"][quark] == pytest.approx(300 / C_MM_PER_NS)
    # Three partons make it, none of them a pion: it has the s above it, but no mother.
    assert (table["parent"][pion], table["llp"][pion]) == (-1, s)
    assert (table["parent"][s], table["llp"][s]) == (-1, -1)
    # As pyhepmc has it: a vertex without a position is where its first incoming one was made.
    assert table["x"][pion] == pytest.approx(30)
    for row, barcode in enumerate(table["barcode"].tolist()):
        made = record.particles[barcode - 1].production_vertex.position
        place = [float(table[axis][row]) for axis in "xyz"]
        assert place == pytest.approx([made.x, made.y, made.z])
