"""The steps together: the same AOD by every way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hvmpi.errors import BadEventFileError, InputError, UsageError
from hvmpi.openchain import chain
from hvmpi.openchain.eventdata import Event, Product, ProductWriter
from hvmpi.openchain.schemas import AOD, HITS, RDO, Schema
from hvmpi.training.extraction import extract
from tests.openchain.conftest import EVENTS, RUN_NUMBER, SEED


def _read(path: Path, schema: Schema = AOD) -> dict[tuple[int, int], Event]:
    with Product(path, schema) as product:
        events = list(product.iterate(range(len(product))))
    return {(event.run_number, event.event_number): event for event in events}


def _assert_same(one: Event, other: Event) -> None:
    assert one.weight == other.weight
    for collection, table in one.tables.items():
        for name, values in table.items():
            np.testing.assert_array_equal(other.tables[collection][name], values, strict=True)


def _assert_all_in(part: Path, whole: Path, schema: Schema = AOD) -> None:
    reference = _read(whole, schema)
    for identity, event in _read(part, schema).items():
        _assert_same(event, reference[identity])


@pytest.mark.parametrize("product", ["hits", "rdo", "aod"])
def test_step_by_step_makes_the_same_bytes(fused: Path, stepwise: Path, product: str) -> None:
    assert (fused / f"{product}.h5").read_bytes() == (stepwise / f"{product}.h5").read_bytes()


def test_keeping_products_changes_nothing(signal_evnt: Path, fused: Path, tmp_path: Path) -> None:
    done = chain.run(signal_evnt, tmp_path / "aod.h5", seed=SEED)
    assert (done.events, done.first_event, done.last_event) == (EVENTS, 1, EVENTS)
    assert done.run_number == RUN_NUMBER
    assert done.rows["vertices"] > 0
    assert (tmp_path / "aod.h5").read_bytes() == (fused / "aod.h5").read_bytes()


def test_an_event_alone_is_the_event_in_its_file(
    signal_evnt: Path, stepwise: Path, tmp_path: Path
) -> None:
    hits, rdo, aod = (tmp_path / f"{name}.h5" for name in ("hits", "rdo", "aod"))
    chain.simulate(signal_evnt, hits, seed=SEED, first=33, events=1)
    chain.digitize(hits, rdo, seed=SEED, first=33, events=1)
    chain.reconstruct(rdo, aod, seed=SEED, first=33, events=1)
    for path, schema in ((hits, HITS), (rdo, RDO), (aod, AOD)):
        assert list(_read(path, schema)) == [(RUN_NUMBER, 33)]
        _assert_all_in(path, stepwise / path.name, schema)


def test_a_part_of_a_product_can_be_carried_on(stepwise: Path, tmp_path: Path) -> None:
    rdo, aod = tmp_path / "rdo.h5", tmp_path / "aod.h5"
    chain.digitize(stepwise / "hits.h5", rdo, seed=SEED, first=20, events=6)
    chain.reconstruct(rdo, aod, seed=SEED, first=22, events=2)
    assert [number for _, number in _read(aod)] == [22, 23]
    _assert_all_in(rdo, stepwise / "rdo.h5", RDO)
    _assert_all_in(aod, stepwise / "aod.h5")


@pytest.mark.parametrize("size", [5, 10])
def test_job_size_does_not_matter(
    signal_evnt: Path, fused: Path, tmp_path: Path, size: int
) -> None:
    seen = []
    for skip in range(0, EVENTS, size):
        path = tmp_path / f"{skip}.h5"
        chain.run(signal_evnt, path, seed=SEED, skip=skip, events=size)
        seen += [number for _, number in _read(path)]
        _assert_all_in(path, fused / "aod.h5")
    assert seen == list(range(1, EVENTS + 1))


def test_only_the_first_step_skips(signal_evnt: Path, stepwise: Path, tmp_path: Path) -> None:
    # A job of the old scripts gave --skipEvents to each step; its simulation's output holds the
    # job's own events only, so that the later steps passed over all of them. Here `first` means
    # an event, the same one in every file.
    hits, rdo, aod = (tmp_path / f"{name}.h5" for name in ("hits", "rdo", "aod"))
    job = {"seed": SEED, "first": 31, "events": 10}
    chain.simulate(signal_evnt, hits, skip=30, **job)
    assert chain.digitize(hits, rdo, **job).events == 10
    assert chain.reconstruct(rdo, aod, **job).first_event == 31
    assert [number for _, number in _read(aod)] == list(range(31, 41))
    _assert_all_in(aod, stepwise / "aod.h5")


def test_other_seeds_and_runs_make_other_events(
    signal_evnt: Path, fused: Path, tmp_path: Path
) -> None:
    reference = _read(fused / "aod.h5")[RUN_NUMBER, 1].tables["tracks"]["d0"]
    for number, (seed, run_number) in enumerate([(SEED + 1, RUN_NUMBER), (SEED, RUN_NUMBER + 1)]):
        path = tmp_path / f"{number}.h5"
        chain.run(signal_evnt, path, seed=seed, events=1, run_number=run_number)
        d0 = _read(path)[run_number, 1].tables["tracks"]["d0"]
        assert not np.array_equal(d0, reference)


def test_foreign_events(foreign_evnt: Path, tmp_path: Path) -> None:
    whole, alone = tmp_path / "whole.h5", tmp_path / "alone.h5"
    chain.run(foreign_evnt, whole, seed=SEED, run_number=5)
    assert list(_read(whole)) == [(5, 7), (5, 9_000_000_000_000_000), (5, 12)]
    chain.run(foreign_evnt, alone, seed=SEED, run_number=5, first=9_000_000_000_000_000, events=1)
    assert list(_read(alone)) == [(5, 9_000_000_000_000_000)]
    _assert_all_in(alone, whole)


def test_foreign_events_can_be_renumbered(foreign_evnt: Path, tmp_path: Path) -> None:
    path = tmp_path / "aod.h5"
    chain.run(foreign_evnt, path, seed=SEED, run_number=5, number_from=101)
    assert list(_read(path)) == [(5, 101), (5, 102), (5, 103)]
    with Product(path, AOD) as product:
        assert product.normalisation["first_event"] == 101


def test_provenance(signal_evnt: Path, stepwise: Path) -> None:
    from hvmpi.files import sha256_of

    for name, schema in (("hits", HITS), ("rdo", RDO), ("aod", AOD)):
        with Product(stepwise / f"{name}.h5", schema) as product:
            assert product.provenance["inputs"] == {"evnt": sha256_of(signal_evnt)}
            assert product.provenance["seed"] == SEED


def test_a_known_checksum_is_not_computed_again(
    signal_evnt: Path, fused: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Product(fused / "aod.h5", AOD) as product:
        known = product.provenance["inputs"]["evnt"]
    monkeypatch.setattr(chain, "file_sha256", None)
    chain.run(signal_evnt, tmp_path / "aod.h5", seed=SEED, evnt_sha256=known)
    assert (tmp_path / "aod.h5").read_bytes() == (fused / "aod.h5").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": 41}, "holds no event 41; it holds 40 events, 1 to 40"),
        ({"first": 3, "skip": 5}, "behind 5 events comes event 6, not 3"),
        ({"events": 41}, "holds 40 events; 41 "),
        ({"events": 0}, "0 events were asked for"),
        ({"skip": -1, "events": 1}, "-1 events were to be skipped"),
        ({"skip": 40, "events": 1}, "holds 40 events; 1 "),
        ({"run_number": 2**40, "events": 1}, "run number 1099511627776"),
        ({"number_from": -3, "events": 1}, "holds event -3"),
    ],
)
def test_bad_requests(
    signal_evnt: Path, tmp_path: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        chain.run(signal_evnt, tmp_path / "aod.h5", seed=SEED, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_file_needs_a_run_number(foreign_evnt: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run number in event 7; give one"):
        chain.simulate(foreign_evnt, tmp_path / "hits.h5", seed=SEED)
    assert not (tmp_path / "hits.h5").exists()


def test_a_truncated_event_file(signal_evnt: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.hepmc3"
    path.write_bytes(signal_evnt.read_bytes()[:1_000_000])
    with pytest.raises(BadEventFileError):
        chain.run(path, tmp_path / "aod.h5", seed=SEED)
    assert list(tmp_path.iterdir()) == [path]


def test_bad_products(stepwise: Path, damaged: Path, tmp_path: Path) -> None:
    aod = tmp_path / "aod.h5"
    with pytest.raises(InputError, match="not a whole HDF5 file"):
        chain.reconstruct(damaged, aod, seed=SEED)
    with pytest.raises(InputError, match=r"hvmpi\.hits version 2, expected hvmpi\.rdo"):
        chain.reconstruct(stepwise / "hits.h5", aod, seed=SEED)
    with pytest.raises(InputError, match="holds no event 99"):
        chain.reconstruct(stepwise / "rdo.h5", aod, seed=SEED, first=99)
    with pytest.raises(InputError, match=f"made with seed {SEED}, not 12"):
        chain.reconstruct(stepwise / "rdo.h5", aod, seed=12)
    assert not aod.exists()


def test_without_the_tracker_the_calorimeters_are_the_same(
    signal_evnt: Path, fused: Path, tmp_path: Path
) -> None:
    path = tmp_path / "aod.h5"
    chain.run(signal_evnt, path, seed=SEED, events=5, tracker=False)
    with Product(path, AOD) as alone, Product(fused / "aod.h5", AOD) as whole:
        assert alone.provenance["tracker"] is False
        pairs = zip(alone.iterate(range(5)), whole.iterate(range(5)), strict=True)
        for one, other in pairs:
            assert len(one.tables["tracks"]["pt"]) == 0
            assert len(one.tables["jets"]["pt"]) > 0
            for name in ("clusters", "jets", "truth_jets", "cell_sums"):
                for field, values in one.tables[name].items():
                    np.testing.assert_array_equal(values, other.tables[name][field])
    with pytest.raises(InputError, match="was made without the tracker"):
        extract(path, tmp_path / "train.h5")
    with pytest.raises(UsageError, match="no HITS and no RDO"):
        chain.run(signal_evnt, path, seed=SEED, hits=tmp_path / "hits.h5", tracker=False)


@pytest.mark.parametrize("block", [64, 16])
def test_training_file_of_what_was_kept_in_memory(
    block: int, signal_evnt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProductWriter, "_BLOCK", block)
    aod, train, again = (tmp_path / name for name in ("aod.h5", "train.h5", "again.h5"))
    chain.run(signal_evnt, aod, seed=SEED, train=train, train_unmatched=True)
    extract(aod, again, unmatched=True)
    assert train.read_bytes() == again.read_bytes()
