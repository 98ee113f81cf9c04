from __future__ import annotations

import dataclasses
import gzip
import json
import math
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyhepmc
import pytest
import pythia8mc
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.errors import ConfigError, InputError, RunError
from hvmpi.openchain import evnt
from hvmpi.openchain.generation import (
    GenerationSummary,
    check_settings,
    generate,
    generator_seed,
)
from hvmpi.openchain.processes import Process, resolve
from hvmpi.sample import SampleOptions

S, PHI, W = 35, 25, 24
DARK_PION, ZV = 4900111, 4900023
NO_UNDERLYING_EVENT = ("PartonLevel:MPI = off",)
# Charged and stable for a detector, or nearly so.
CHARGED = {11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334}

# Pythia's partons before hadronization, whose momenta the initial-state shower and the
# transverse momentum in the beams change without a record of where it comes from.
BEFORE_HADRONIZATION = {4, *range(21, 80)}

# Pythia 8.317 lets partons that take the recoil of a collapsing string (its status 72) start where
# their mothers' lifetime would end: in some 2 % of the decays, by up to about this, mm.
RECOIL_SHIFT = 5.0

Event = Any
Four = npt.NDArray[np.float64]


def sample(process: str, **options: Any) -> Process:
    return resolve(SampleOptions("sample", process, **options))


@dataclasses.dataclass(frozen=True)
class Batch:
    path: Path
    summary: GenerationSummary
    events: list[Event]


def made(process: Process, directory: Path, seed: int = 1, batch: int = 1) -> Batch:
    path = directory / f"{process.process}.{batch}.evnt.hepmc3"
    summary = generate(process, seed=seed, batch=batch, output=path)
    return Batch(path, summary, list(evnt.read_events(path)))


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Phi of 400 GeV to two s with the mass of the Z that decay to b b: 600 decays."""
    process = sample(
        "gghss",
        run_number=1,
        m_phi=400.0,
        m_s=91.2,
        ctau=100.0,
        decays=("bb 100",),
        batch_size=300,
        pythia=NO_UNDERLYING_EVENT,
    )
    return made(process, tmp_path_factory.mktemp("heavy"))


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """The default point of gghss, whole events."""
    return made(sample("gghss", batch_size=60), tmp_path_factory.mktemp("light"), batch=3)


@pytest.fixture(scope="module")
def associated(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """The default point of whss, whole events."""
    return made(sample("whss", batch_size=40), tmp_path_factory.mktemp("whss"))


def momentum(particles: Any) -> Four:
    four = [(p.momentum.px, p.momentum.py, p.momentum.pz, p.momentum.e) for p in particles]
    return np.sum(four, axis=0)


def place(vertex: Any) -> Four:
    position = vertex.position
    return np.array([position.x, position.y, position.z, position.t])


def last_copies(event: Event, pid: int) -> Iterator[Any]:
    for particle in event.particles:
        end = particle.end_vertex
        if abs(particle.pid) == pid and all(
            child.pid != particle.pid for child in end.particles_out
        ):
            yield particle


def stable_descendants(particle: Any) -> list[Any]:
    found, stack, seen = [], [particle.end_vertex], set()
    while stack:
        vertex = stack.pop()
        if vertex.id in seen:
            continue
        seen.add(vertex.id)
        for child in vertex.particles_out:
            if child.end_vertex is None:
                found.append(child)
            else:
                stack.append(child.end_vertex)
    return found


def proper_lengths(events: list[Event], pid: int) -> Four:
    lengths = []
    for event in events:
        for particle in last_copies(event, pid):
            flight = place(particle.end_vertex) - place(particle.production_vertex)
            p = momentum([particle])
            along = np.linalg.norm(p[:3])
            # In a straight line, at the speed that the momentum tells.
            np.testing.assert_allclose(flight, p / along * np.linalg.norm(flight[:3]), atol=1e-5)
            lengths.append(np.linalg.norm(flight[:3]) * particle.generated_mass / along)
    return np.array(lengths)


def kolmogorov(lengths: Four, mean: float) -> float:
    """Give the probability that lengths from an exponential look less like it than these.

    The series of Kolmogorov (1933) with Stephens's correction for a finite sample.
    """
    ordered = np.sort(lengths)
    size = len(ordered)
    expected = 1.0 - np.exp(-ordered / mean)
    above = np.arange(1, size + 1) / size - expected
    below = expected - np.arange(size) / size
    distance = max(above.max(), below.max())
    scaled = (math.sqrt(size) + 0.12 + 0.11 / math.sqrt(size)) * distance
    terms = [(-1) ** (k - 1) * math.exp(-2.0 * (k * scaled) ** 2) for k in range(1, 101)]
    return min(1.0, 2.0 * math.fsum(terms))


# -- the physics of the long-lived scalars -----------------------------------------------------


def test_mass_of_s(heavy: Batch, light: Batch) -> None:
    for batch, mass in ((heavy, 91.2), (light, 25.0)):
        found = [p.momentum.m() for event in batch.events for p in last_copies(event, S)]
        assert len(found) == 2 * len(batch.events)
        np.testing.assert_allclose(found, mass, rtol=1e-6)


def test_width_of_phi_above_125_gev_is_5_gev(heavy: Batch) -> None:
    masses = [p.momentum.m() for event in heavy.events for p in last_copies(event, PHI)]
    assert np.median(masses) == pytest.approx(400.0, abs=1.0)
    # The quartiles of a Breit-Wigner lie half a width from its peak.
    low, high = np.quantile(masses, [0.25, 0.75])
    assert high - low == pytest.approx(5.0, abs=1.5)


def test_width_of_phi_at_125_gev_is_the_standard_models(light: Batch, associated: Batch) -> None:
    for batch in (light, associated):
        masses = [p.momentum.m() for event in batch.events for p in last_copies(event, PHI)]
        assert len(masses) == len(batch.events)
        np.testing.assert_allclose(masses, 125.0, atol=0.5)
        assert np.quantile(np.abs(np.array(masses) - 125.0), 0.75) < 0.02


def test_charged_multiplicity_is_that_of_z_to_b_b_at_lep(heavy: Batch) -> None:
    counts = [
        sum(abs(child.pid) in CHARGED for child in stable_descendants(particle))
        for event in heavy.events
        for particle in last_copies(event, S)
    ]
    assert len(counts) >= 500
    assert np.mean(counts) == pytest.approx(23.1, abs=1.0)


def test_proper_lifetime_is_exponential_with_the_configured_mean(heavy: Batch) -> None:
    lengths = proper_lengths(heavy.events, S)
    assert len(lengths) == 600
    assert kolmogorov(lengths, 100.0) > 1e-3
    # The test can tell a mean that is off by a third.
    assert kolmogorov(lengths, 67.0) < 1e-3
    assert kolmogorov(lengths, 150.0) < 1e-3


def test_every_s_decays_alone_and_its_products_start_there(heavy: Batch, light: Batch) -> None:
    for batch in (heavy, light):
        for event in batch.events:
            decays = list(last_copies(event, S))
            assert len(decays) == 2
            for particle in decays:
                assert particle.status == 2
                assert [p.id for p in particle.end_vertex.particles_in] == [particle.id]
                assert len(particle.end_vertex.particles_out) == 2
                point = place(particle.end_vertex)
                assert np.linalg.norm(point[:3]) > 0.0
                for child in stable_descendants(particle):
                    start = place(child.production_vertex)
                    # B, D, K_S, Lambda fly on from there: never back in time.
                    assert start[3] >= point[3] - RECOIL_SHIFT


def test_shower_and_hadrons_of_s_are_where_it_decays(heavy: Batch) -> None:
    shifted = 0
    for event in heavy.events:
        for particle in last_copies(event, S):
            point = place(particle.end_vertex)
            stack, seen, farthest = [particle.end_vertex], set(), 0.0
            while stack:
                vertex = stack.pop()
                if vertex.id in seen:
                    continue
                seen.add(vertex.id)
                farthest = max(farthest, float(np.abs(place(vertex) - point).max()))
                # As far as hadronization goes.
                stack += [
                    child.end_vertex
                    for child in vertex.particles_out
                    if child.status != 2 and child.end_vertex is not None
                ]
            assert farthest < RECOIL_SHIFT
            shifted += farthest > 1e-6
    assert shifted < 0.05 * 2 * len(heavy.events)


@pytest.mark.parametrize("name", ["heavy", "light", "associated"])
def test_momentum_is_conserved_at_every_vertex(name: str, request: pytest.FixtureRequest) -> None:
    batch: Batch = request.getfixturevalue(name)
    checked, recoils = 0, 0
    for event in batch.events:
        finals = [p for p in event.particles if p.status == 1]
        np.testing.assert_allclose(momentum(finals), [0.0, 0.0, 0.0, 13000.0], atol=0.02)
        for vertex in event.vertices:
            before, after = momentum(vertex.particles_in), momentum(vertex.particles_out)
            incoming = {p.status for p in vertex.particles_in}
            if incoming <= BEFORE_HADRONIZATION and np.linalg.norm(place(vertex)[:3]) < 1e-9:
                continue
            if not np.allclose(before, after, atol=1e-5 * max(100.0, before[3]), rtol=0.0):
                # A string of one s that collapses to a hadron recoils against the other's.
                out = [p.status for p in vertex.particles_out]
                assert set(out) == {72} or len(out) == 1
                np.testing.assert_allclose(before, after, atol=1.0)
                recoils += 1
            checked += 1
    assert checked > 100 * len(batch.events)
    assert recoils < 0.2 * len(batch.events)


def test_hard_processes_momentum_is_conserved(light: Batch) -> None:
    for event in light.events:
        hard = [v for v in event.vertices if {p.status for p in v.particles_in} == {21}]
        assert len(hard) == 1
        np.testing.assert_allclose(
            momentum(hard[0].particles_in), momentum(hard[0].particles_out), atol=1e-5
        )


def test_w_decays_to_an_electron(associated: Batch) -> None:
    for event in associated.events:
        (w,) = last_copies(event, W)
        assert {abs(child.pid) for child in w.end_vertex.particles_out} - {22} == {11, 12}


def test_default_decay_shares(tmp_path: Path) -> None:
    process = sample(
        "gghss", batch_size=250, pythia=(*NO_UNDERLYING_EVENT, "PartonLevel:ISR = off")
    )
    cheap = made(process, tmp_path)
    first = [
        abs(particle.end_vertex.particles_out[0].pid)
        for event in cheap.events
        for particle in last_copies(event, S)
    ]
    shares = {pid: first.count(pid) / len(first) for pid in (5, 4, 15, 21)}
    assert math.fsum(shares.values()) == pytest.approx(1.0)
    for pid, share in ((5, 0.85), (4, 0.05), (15, 0.08), (21, 0.02)):
        assert shares[pid] == pytest.approx(share, abs=4.0 * math.sqrt(share / len(first)))


# -- the other processes -----------------------------------------------------------------------


def test_dark_pions_fly_and_decay(tmp_path: Path) -> None:
    process = sample("darkshower", run_number=500003, batch_size=40, pythia=NO_UNDERLYING_EVENT)
    batch = made(process, tmp_path)
    masses = []
    for event in batch.events:
        masses += [p.momentum.m() for p in last_copies(event, ZV)]
        assert all(p.status != 1 for p in event.particles if abs(p.pid) > 4_900_000)
        for pion in last_copies(event, DARK_PION):
            assert [p.id for p in pion.end_vertex.particles_in] == [pion.id]
            assert {abs(p.pid) for p in pion.end_vertex.particles_out} == {5}
            assert pion.generated_mass == pytest.approx(40.0)
    assert np.median(masses) == pytest.approx(1000.0, rel=0.05)
    lengths = proper_lengths(batch.events, DARK_PION)
    assert len(lengths) > 3 * len(batch.events)
    assert kolmogorov(lengths, 500.0) > 1e-3


def test_qcd_stays_in_its_slice(tmp_path: Path) -> None:
    batch = made(sample("qcd", run_number=600003, batch_size=40), tmp_path)
    for event in batch.events:
        (hard,) = (v for v in event.vertices if {p.status for p in v.particles_in} == {21})
        assert len(hard.particles_out) == 2
        for parton in hard.particles_out:
            # Masses given to quarks afterwards take a little of it.
            assert 160.0 * 0.99 < parton.momentum.pt() < 400.0 * 1.01
    assert 1e5 < batch.summary.cross_section_pb < 3e5


# -- events of another generator ---------------------------------------------------------------

CTAU_LHE, LHE_EVENTS = 100.0, 40


def boosted(p: Four, frame: Four) -> Four:
    mass = math.sqrt(frame[3] ** 2 - np.dot(frame[:3], frame[:3]))
    along = np.dot(frame[:3], p[:3])
    energy = (frame[3] * p[3] + along) / mass
    return np.append(p[:3] + frame[:3] * (p[3] + energy) / (frame[3] + mass), energy)


def two_body(parent: Four, mass: float, child: float, rng: np.random.Generator) -> list[Four]:
    size = math.sqrt(mass**2 / 4.0 - child**2)
    direction = rng.normal(size=3)
    p = size * direction / np.linalg.norm(direction)
    return [boosted(np.append(sign * p, mass / 2.0), parent) for sign in (1.0, -1.0)]


def write_lhe(path: Path, decayed: bool, events: int = LHE_EVENTS) -> list[list[float]]:
    """Write g g -> Phi -> s s, with lifetimes, as MadGraph does; give the lifetimes (mm)."""
    rng = np.random.default_rng(8)
    lines = [
        '<LesHouchesEvents version="1.0">',
        "<init>",
        "2212 2212 6500. 6500. 0 0 247000 247000 3 1",
        "12.5 0.25 12.5 1",
        "</init>",
    ]
    lifetimes = []
    for _ in range(events):
        y = rng.uniform(-1.5, 1.5)
        e1, e2 = 62.5 * math.exp(y), 62.5 * math.exp(-y)
        phi = np.array([0.0, 0.0, e1 - e2, e1 + e2])
        taus = rng.exponential(CTAU_LHE, 2).tolist()
        lifetimes.append(sorted(taus))
        rows = [
            (21, -1, 0, 501, 502, np.array([0.0, 0.0, e1, e1]), 0.0, 0.0),
            (21, -1, 0, 502, 501, np.array([0.0, 0.0, -e2, e2]), 0.0, 0.0),
            (25, 2, 1, 0, 0, phi, 125.0, 0.0),
        ]
        scalars = two_body(phi, 125.0, 25.0, rng)
        rows += [
            (35, 2 if decayed else 1, 3, 0, 0, p, 25.0, tau)
            for p, tau in zip(scalars, taus, strict=True)
        ]
        if decayed:
            for mother, (p, colour) in enumerate(zip(scalars, (503, 504), strict=True), start=4):
                b, bbar = two_body(p, 25.0, 4.7, rng)
                rows.append((5, 1, mother, colour, 0, b, 4.7, 0.0))
                rows.append((-5, 1, mother, 0, colour, bbar, 4.7, 0.0))
        lines += ["<event>", f"{len(rows)} 1 1.0 125.0 0.0078 0.118"]
        for pid, status, mother, colour, anticolour, p, mass, tau in rows:
            second = 2 if pid == 25 else mother
            numbers = " ".join(f"{x:.12e}" for x in (*p, mass, tau))
            lines.append(f"{pid} {status} {mother} {second} {colour} {anticolour} {numbers} 9.")
        lines.append("</event>")
    text = "\n".join([*lines, "</LesHouchesEvents>", ""])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return lifetimes


def lhe_sample(*paths: Path, batch_size: int = LHE_EVENTS) -> Process:
    return sample(
        "lhe",
        lhe=tuple(map(str, paths)),
        num_batches=len(paths),
        batch_size=batch_size,
        pythia=NO_UNDERLYING_EVENT,
    )


@pytest.mark.parametrize("decayed", [True, False])
@pytest.mark.parametrize("name", ["from madgraph 'é'.lhe", "events.lhe.gz"])
def test_lhe_keeps_the_lifetimes_of_its_record(name: str, decayed: bool, tmp_path: Path) -> None:
    lifetimes = write_lhe(tmp_path / name, decayed)
    batch = made(lhe_sample(tmp_path / name), tmp_path)
    assert batch.summary.cross_section_pb == pytest.approx(12.5)
    assert batch.summary.cross_section_error_pb == pytest.approx(0.25)
    assert len(batch.events) == LHE_EVENTS
    for event, expected in zip(batch.events, lifetimes, strict=True):
        assert sorted(proper_lengths([event], S)) == pytest.approx(expected, rel=1e-4)
        for particle in last_copies(event, S):
            assert particle.status == 2
            assert [p.id for p in particle.end_vertex.particles_in] == [particle.id]
            if decayed:
                assert [p.pid for p in particle.end_vertex.particles_out] == [5, -5]
            # Showered and hadronized: no quark is left.
            assert all(abs(p.pid) > 10 for p in stable_descendants(particle))


def test_each_batch_has_its_own_lhe_file(tmp_path: Path) -> None:
    files = [tmp_path / "a.lhe", tmp_path / "b.lhe"]
    write_lhe(files[0], decayed=True, events=4)
    write_lhe(files[1], decayed=False, events=4)
    process = lhe_sample(*files, batch_size=4)
    second = made(process, tmp_path, batch=2)
    assert [event.event_number for event in second.events] == [5, 6, 7, 8]
    inputs = json.loads(str(run_attribute(second, "provenance")))["inputs"]
    assert list(inputs) == ["b.lhe"]


def test_lhe_file_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "short.lhe"
    write_lhe(path, decayed=True, events=5)
    output = tmp_path / "out.hepmc3"
    with pytest.raises(InputError, match=r"short\.lhe is at its end after 5 events.* needs 6"):
        generate(lhe_sample(path, batch_size=6), seed=1, batch=1, output=output)
    assert [found.name for found in tmp_path.iterdir()] == ["short.lhe"]


def test_lhe_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "none.lhe"
    path.write_text("nothing\n")
    with pytest.raises(InputError, match="no Les Houches event file"):
        generate(lhe_sample(path), seed=1, batch=1, output=tmp_path / "out")


def test_lhe_file_that_is_gzipped_in_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret.lhe.gz"
    write_lhe(path, decayed=True, events=1)
    hidden = path.rename(tmp_path / "secret.lhe")
    with pytest.raises(InputError, match="is gzipped"):
        generate(lhe_sample(hidden), seed=1, batch=1, output=tmp_path / "out")


# -- the event file ----------------------------------------------------------------------------


def run_attribute(batch: Batch, name: str) -> object:
    value = batch.events[0].run_info.attributes[name]
    return value.astype(str) if hasattr(value, "astype") else value


def test_event_numbers_follow_the_batch(light: Batch) -> None:
    assert [event.event_number for event in light.events] == list(range(121, 181))
    assert light.summary.first_event == 121
    assert light.summary.events == 60


def test_event_numbers_of_batches_neither_overlap_nor_leave_gaps(tmp_path: Path) -> None:
    # The scripts replaced began batch i at num_batches * (i - 1) + 1.
    process = sample("gghss", batch_size=7, num_batches=3, pythia=NO_UNDERLYING_EVENT)
    numbers: list[int] = []
    for batch in (1, 2, 3):
        path = tmp_path / str(batch)
        generate(process, seed=1, batch=batch, output=path)
        numbers += evnt.scan(path, 7).event_numbers.tolist()
    assert numbers == list(range(1, 22))


def test_run_number_is_in_each_event(light: Batch) -> None:
    for event in light.events:
        assert event.attributes["run_number"].astype(int) == 304795


def test_beams(light: Batch, associated: Batch) -> None:
    for batch in (light, associated):
        for event in batch.events:
            assert [beam.pid for beam in event.beams] == [2212, 2212]
            assert {beam.status for beam in event.beams} == {4}
            np.testing.assert_allclose(momentum(event.beams), [0, 0, 0, 13000.0], atol=1e-6)


def test_units(light: Batch) -> None:
    assert light.events[0].momentum_unit == pyhepmc.Units.GEV
    assert light.events[0].length_unit == pyhepmc.Units.MM


def test_summary_agrees_with_the_file(light: Batch) -> None:
    row = evnt.normalisation(light.path)[0]
    summary = light.summary
    assert row["n_tried"] == summary.n_tried > 60
    assert row["n_accepted"] == summary.n_accepted == 60
    assert row["sum_weights"] == summary.sum_weights == 60.0
    assert row["cross_section_pb"] == pytest.approx(summary.cross_section_pb, rel=1e-7)
    assert row["cross_section_error_pb"] == pytest.approx(summary.cross_section_error_pb, rel=1e-7)


def test_cross_section_holds_no_branching_fraction_of_phi(light: Batch) -> None:
    # gg -> H at 13 TeV is 44 pb at N3LO and 15 pb at leading order (arXiv:1610.07922);
    # Pythia's own, with half of it lost to Phi's other decays, would be under 14.
    error = light.summary.cross_section_error_pb
    assert 14.0 < light.summary.cross_section_pb + 2.0 * error < 50.0


def test_cross_section_of_a_forced_width_is_that_of_the_standard_model(tmp_path: Path) -> None:
    # At 200 GeV the Standard Model's own width, 1.5 GeV, is narrow: nothing else differs.
    quick = (*NO_UNDERLYING_EVENT, "PartonLevel:ISR = off", "PartonLevel:FSR = off")
    process = sample(
        "gghss",
        run_number=1,
        m_phi=200.0,
        m_s=50.0,
        ctau=1.0,
        batch_size=400,
        pythia=quick,
    )
    summary = generate(process, seed=2, batch=1, output=tmp_path / "x.hepmc3")
    plain = pythia8mc.Pythia("", False)
    for line in ("Print:quiet = on", "Tune:pp = 21", "Beams:eCM = 13000", "HiggsSM:gg2H = on"):
        assert plain.readString(line)
    for line in ("25:m0 = 200", "PartonLevel:all = off", "Random:setSeed = on", "Random:seed = 3"):
        assert plain.readString(line)
    assert plain.init()
    for _ in range(2000):
        assert plain.next()
    info = plain.infoPython()
    expected = 1e9 * info.sigmaGen()
    error = math.hypot(1e9 * info.sigmaErr(), summary.cross_section_error_pb)
    assert error < 0.1 * expected
    assert abs(summary.cross_section_pb - expected) < 0.05 * expected + 3.0 * error


def test_provenance_has_no_time_host_or_path(light: Batch) -> None:
    made_by = json.loads(str(run_attribute(light, "provenance")))
    assert made_by["versions"]["pythia8mc"]
    assert made_by["seed"] == 1
    text = light.path.read_bytes()[:4096]
    assert str(light.path.parent).encode() not in text
    assert Path.home().as_posix().encode() + b"/" not in text or Path.home() == Path("/")


def test_can_be_read_when_all_vertices_are_at_the_origin(tmp_path: Path) -> None:
    process = sample("qcd", batch_size=5, pythia=("HadronLevel:all = off",))
    assert len(made(process, tmp_path).events) == 5


def test_a_part_of_a_batch(tmp_path: Path) -> None:
    process = sample("gghss", batch_size=50)
    generate(process, seed=1, batch=2, output=tmp_path / "part", events=3)
    assert evnt.scan(tmp_path / "part").event_numbers.tolist() == [51, 52, 53]
    for events in (0, 51):
        with pytest.raises(ConfigError, match="do not fit a batch of 50"):
            generate(process, seed=1, batch=2, output=tmp_path / "no", events=events)
    with pytest.raises(ConfigError, match="count from 1"):
        generate(process, seed=1, batch=0, output=tmp_path / "no")


def test_no_event_twice_and_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    # The scripts replaced gave every batch the same seed: the second of the clock.
    process = sample("gghss", batch_size=10)
    variants = {
        "first": (process, 1, 1),
        "batch": (process, 1, 2),
        "seed": (process, 2, 1),
        "run": (sample("gghss", run_number=304799, batch_size=10), 1, 1),
    }
    seen: dict[bytes, str] = {}
    for name, (variant, seed, batch) in variants.items():
        path = tmp_path / name
        generate(variant, seed=seed, batch=batch, output=path)
        for event in evnt.read_events(path):
            particles = event.numpy.particles
            content = np.stack([particles.px, particles.py, particles.pz]).tobytes()
            assert content not in seen, (name, seen.get(content))
            seen[content] = name
    assert len(seen) == 40
    other = tmp_path / "elsewhere" / "same"
    other.parent.mkdir()
    generate(process, seed=1, batch=1, output=other)
    assert other.read_bytes() == (tmp_path / "first").read_bytes()


@given(st.integers(0, 2**63), st.integers(1, 2**31), st.integers(1, 10**6), st.integers(1, 10**6))
def test_seeds_are_pythias_and_differ(seed: int, run: int, batch: int, step: int) -> None:
    first = generator_seed(seed, run, batch)
    assert 1 <= first <= 900_000_000
    others = {
        generator_seed(seed, run, batch + step),
        generator_seed(seed + step, run, batch),
        generator_seed(seed, run + step, batch),
    }
    assert len(others | {first}) == 4


def test_nothing_is_left_when_the_disk_is_full(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path;"
        "from hvmpi.errors import RunError;"
        "from hvmpi.openchain.generation import generate;"
        "from hvmpi.openchain.processes import resolve;"
        "from hvmpi.sample import SampleOptions;"
        "process = resolve(SampleOptions('a', 'gghss', batch_size=20));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000));\n"
        "try: generate(process, seed=1, batch=1, output=Path(sys.argv[1]))\n"
        "except RunError as error: print(error)"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1_000_000
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written: File too large" in done.stdout
    assert not list(tmp_path.iterdir())


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No such file or directory"):
        generate(sample("gghss"), seed=1, batch=1, output=tmp_path / "none" / "out", events=1)


# -- Pythia's settings -------------------------------------------------------------------------


@pytest.mark.parametrize("process", ["whss", "gghss", "darkshower", "qcd"])
def test_own_settings_are_accepted(process: str) -> None:
    check_settings(sample(process))


@pytest.mark.parametrize(
    "line",
    [
        "PartonLevl:MPI = off",
        "PartonLevel:MPI = maybe",
        "Tune:pp = x",
        "Tune:pp = 9999",
        "Tune:pp = 21 22",
        "PhaseSpace:pTHatMin = -5",
        "Beams:eCM = 13 TeV",
        "35:m0 = heavy",
        "35:mas = 3",
        "35:mayDecay = perhaps",
        "99999999:m0 = 3",
    ],
)
def test_setting_that_pythia_does_not_accept_is_named(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_settings(sample("gghss", pythia=("PartonLevel:MPI = on", line)))
    assert repr(line) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_users_setting_takes_effect(tmp_path: Path, light: Batch) -> None:
    quiet = made(sample("gghss", batch_size=10, pythia=NO_UNDERLYING_EVENT), tmp_path)
    count = np.mean([len(event.particles) for event in quiet.events])
    assert count < 0.6 * np.mean([len(event.particles) for event in light.events])


def test_setting_that_leaves_no_event(tmp_path: Path) -> None:
    process = sample("gghss", pythia=("PartonLevel:all = off",))
    with pytest.raises(RunError, match="without particles"):
        generate(process, seed=1, batch=1, output=tmp_path / "out", events=1)


def test_settings_that_cannot_work_do_not_loop(tmp_path: Path) -> None:
    process = sample(
        "qcd", pt_hat_min=20.0, pt_hat_max=60.0, pythia=("PhaseSpace:mHatMin = 14000",)
    )
    with pytest.raises(RunError):
        generate(process, seed=1, batch=1, output=tmp_path / "out", events=1)
    assert not list(tmp_path.iterdir())
