"""The vectorised variables against the same done jet by jet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmpi.openchain.schemas import LAYERS
from hvmpi.training.columns import ELECTROMAGNETIC, HADRONIC, NO_TRACK_DR
from hvmpi.training.variables import Block, delta_r, pairs, pseudorapidity, training_rows

Table = dict[str, Any]


def random_block(seed: int) -> Block:
    chance = np.random.default_rng(seed)
    events = int(chance.integers(1, 6))

    def table(mean: float, **columns: Any) -> Table:
        event = np.repeat(np.arange(events), chance.poisson(mean, events))
        count = len(event)
        directions = {
            "event": event,
            "eta": chance.uniform(-2.7, 2.7, count),
            "phi": chance.uniform(-math.pi, math.pi, count),
            "pt": chance.exponential(30.0, count),
        }
        return directions | {name: make(count) for name, make in columns.items()}

    def normal(count: int) -> Any:
        return chance.normal(size=count)

    layers = {f"e_{layer}": lambda n: chance.normal(3.0, 4.0, n) for layer in LAYERS}
    jets = table(5.0, mass=normal, n_towers=lambda n: chance.poisson(5.0, n), **layers)
    clusters = table(20.0, e=lambda n: chance.normal(5.0, 6.0, n), time=normal, **layers)
    first = np.searchsorted(jets["event"], clusters["event"])
    count = np.searchsorted(jets["event"], clusters["event"], side="right") - first
    clusters["jet"] = np.where(
        count > 0, first + chance.integers(0, 99, len(first)) % np.maximum(count, 1), -1
    )
    counts = ("n_pixel", "n_strip", "holes_pixel", "holes_strip", "shared", "vertex_n")
    tracks = table(
        12.0,
        charge=lambda n: chance.choice([-1, 1], n),
        **dict.fromkeys(("d0", "z0", "chi2"), normal),
        **{name: lambda n: chance.poisson(3.0, n) for name in counts},
    )
    tracks["pt"] /= 15.0
    long_lived = table(1.5, mass=normal, lz=normal, decay=lambda n: np.full(n, 5))
    long_lived |= {"decay_eta": long_lived["eta"], "decay_phi": long_lived["phi"]}
    long_lived["lxy"] = np.arange(len(long_lived["event"]), dtype=float)
    return Block(
        run_number=np.full(events, 9),
        event_number=np.arange(events) + 100,
        weight=np.linspace(0.5, 1.0, events),
        m_phi=600.0,
        m_s=150.0,
        jets=jets,
        tracks=tracks,
        clusters=clusters,
        long_lived=long_lived,
    )


def distance(one: Table, i: int, other: Table, j: int, prefix: str = "") -> float:
    turn = abs(one["phi"][i] - other[f"{prefix}phi"][j])
    return math.hypot(one["eta"][i] - other[f"{prefix}eta"][j], min(turn, 2.0 * math.pi - turn))


def partners(block: Block, chosen: list[int]) -> dict[int, int]:
    """Match jets and long-lived particles pair by pair, the nearest first."""
    found: dict[int, int] = {}
    every = [
        (distance(block.jets, jet, block.long_lived, particle, "decay_"), jet, particle)
        for jet in chosen
        for particle in range(len(block.long_lived["event"]))
        if block.jets["event"][jet] == block.long_lived["event"][particle]
    ]
    for dr, jet, particle in sorted(every):
        if dr < 0.4 and jet not in found and particle not in found.values():
            found[jet] = particle
    return found


def rows_of(table: Table, jets: Table, jet: int) -> list[int]:
    return np.flatnonzero(table["event"] == jets["event"][jet]).tolist()


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_against_one_jet_at_a_time(seed: int) -> None:
    block = random_block(seed)
    jets, tracks, clusters = block.jets, block.tracks, block.clusters
    assert clusters is not None
    rows = training_rows(block, unmatched=True)
    chosen = [
        jet
        for jet in range(len(jets["pt"]))
        if jets["pt"][jet] > 20 and abs(jets["eta"][jet]) < 2.5
    ]
    assert len(rows["jets"]) == len(chosen)
    partner = partners(block, chosen)
    with_long_lived = set(block.long_lived["event"].tolist())
    for row, jet in enumerate(chosen):
        found = rows["jets"][row]
        event = int(jets["event"][jet])
        expected = 1 if jet in partner else (-1 if event in with_long_lived else 0)
        assert found["label"] == expected
        if jet in partner:
            assert found["llp_Lxy"] == partner[jet]
        assert (found["eventNumber"], found["runNumber"]) == (100 + event, 9)

        own = [c for c in rows_of(clusters, jets, jet) if clusters["jet"][c] == jet]
        own.sort(key=lambda c: -max(clusters["pt"][c], 0.0))
        energy = sorted((max(clusters["e"][c], 0.0) for c in own), reverse=True)
        needed = 0
        while sum(energy[:needed]) < 0.9 * sum(energy) * (1.0 - 1e-9):
            needed += 1
        assert found["n90"] == needed
        weights = [clusters["pt"][c] for c in own]
        if own:
            distances = [distance(jets, jet, clusters, c) for c in own]
            assert found["width"] == pytest.approx(np.average(distances, weights=weights), rel=1e-5)
        valid = rows["clusters"][row]["valid"]
        assert valid.sum() == min(len(own), 30)
        assert rows["clusters"][row]["pt"][valid] == pytest.approx(sorted(weights)[::-1][:30])

        near = [
            t
            for t in rows_of(tracks, jets, jet)
            if distance(jets, jet, tracks, t) < 0.4 and tracks["pt"][t] > 0.5
        ]
        near.sort(key=lambda t: -tracks["pt"][t])
        assert found["n_tracks"] == len(near)
        assert found["sum_pt_tracks"] == pytest.approx(sum(tracks["pt"][t] for t in near), rel=1e-5)
        charge = sum(tracks["charge"][t] * tracks["pt"][t] ** 0.5 for t in near)
        assert found["charge"] == pytest.approx(charge / jets["pt"][jet] ** 0.5, abs=1e-5)
        hard = [
            distance(jets, jet, tracks, t)
            for t in rows_of(tracks, jets, jet)
            if tracks["pt"][t] > 2.0
        ]
        assert found["min_dr_track"] == pytest.approx(min(hard, default=NO_TRACK_DR), rel=1e-5)
        kept = rows["tracks"][row][: len(near)]
        assert kept["d0"] == pytest.approx([tracks["d0"][t] for t in near], rel=1e-5)
        assert kept["n_pixel"].tolist() == [tracks["n_pixel"][t] for t in near]

        e_em = sum(jets[f"e_{layer}"][jet] for layer in ELECTROMAGNETIC)
        e_had = sum(jets[f"e_{layer}"][jet] for layer in HADRONIC)
        ratio = math.log10(max(e_had, 0.1) / max(e_em, 0.1))
        assert found["log10_EH_EEM"] == pytest.approx(ratio, abs=1e-5)
        share = e_em / (e_em + e_had) if e_em + e_had > 0.0 else 0.0
        assert found["emf"] == pytest.approx(min(max(share, 0.0), 1.0), abs=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_events_do_not_know_of_each_other(seed: int) -> None:
    """The rows of a block are those of its events, one by one."""
    block = random_block(seed)
    together = training_rows(block)
    alone = [training_rows(only(block, event)) for event in range(len(block.event_number))]
    for name, rows in together.items():
        separate = np.concatenate([some[name] for some in alone])
        for column in rows.dtype.names or ():
            # Sums over a block are rounded in another order.
            np.testing.assert_allclose(rows[column], separate[column], rtol=1e-5, atol=1e-6)


def only(block: Block, event: int) -> Block:
    def cut(table: Table) -> Table:
        kept = table["event"] == event
        return {name: values[kept] for name, values in table.items()} | {
            "event": np.zeros(int(kept.sum()), dtype=int)
        }

    assert block.clusters is not None
    clusters = cut(block.clusters)
    first = int(np.searchsorted(block.jets["event"], event))
    clusters["jet"] = np.where(clusters["jet"] >= 0, clusters["jet"] - first, -1)
    one = slice(event, event + 1)
    return Block(
        run_number=block.run_number[one],
        event_number=block.event_number[one],
        weight=block.weight[one],
        m_phi=block.m_phi,
        m_s=block.m_s,
        jets=cut(block.jets),
        tracks=cut(block.tracks),
        clusters=clusters,
        long_lived=cut(block.long_lived),
    )


def test_distances_across_the_seam() -> None:
    found = delta_r(np.array([0.0, 1.0]), np.array([3.1, 0.0]), np.zeros(2), np.array([-3.1, 0.0]))
    assert found == pytest.approx([2.0 * math.pi - 6.2, 1.0])


def test_pairs_of_an_event() -> None:
    first, second = pairs(np.array([0, 2, 2, 5]), np.array([0, 0, 1, 2, 4]))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 3),
        (2, 3),
    ]
    assert all(len(some) == 0 for some in pairs(np.zeros(0, int), np.zeros(0, int)))


def test_pseudorapidity_along_the_beam() -> None:
    across, along = np.array([1.0, 0.0, 0.0]), np.array([math.sinh(2.0), 3.0, -3.0])
    assert pseudorapidity(across, along).tolist() == [pytest.approx(2.0), math.inf, -math.inf]
