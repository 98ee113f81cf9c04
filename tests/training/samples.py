"""Training files of as many jets as a network wants, drawn from simple distributions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hvmpi.training import variables
from hvmpi.training.books import EVENT_RANGES, Books, normalisation_table, provenance
from hvmpi.training.columns import DATASETS, NO_TRACK_DR
from hvmpi.training.files import TrainingWriter

SIGNAL_RUN, QCD_RUN = 304795, 600002


def write_sample(
    path: Path,
    *,
    signal: bool,
    events: int,
    seed: int = 1,
    run: int | None = None,
    cross_section_pb: float = 10.0,
    lxy: tuple[float, float] = (1500.0, 3900.0),
    engine: str = "openchain",
    first_event: int = 1,
) -> Path:
    """Write events of two jets each; signal is hadronic and trackless, QCD is not."""
    chance = np.random.default_rng(seed)
    count = 2 * events
    rows = {name: dataset.padded(count) for name, dataset in DATASETS.items()}
    jets = rows["jets"]
    run = run or (SIGNAL_RUN if signal else QCD_RUN)
    jets["runNumber"], jets["mcEventWeight"] = run, 1.0
    jets["eventNumber"] = np.repeat(np.arange(events) + first_event, 2)
    jets["label"] = int(signal)
    jets["pt"] = chance.exponential(60.0, count) + 20.0
    jets["eta"] = chance.uniform(-2.4, 2.4, count)
    jets["phi"] = chance.uniform(-np.pi, np.pi, count)
    jets["mass"] = jets["pt"] * chance.uniform(0.05, 0.2, count)
    if signal:
        share = chance.beta(1.0, 6.0, count)
        tracks = chance.poisson(0.5, count)
        jets["llp_Lxy"] = chance.uniform(*lxy, count)
        jets["time"] = chance.normal(2.0, 1.5, count)
        jets["width"] = chance.gamma(2.0, 0.03, count)
    else:
        share = chance.beta(2.5, 2.0, count)
        tracks = chance.poisson(3.0, count)
        jets["time"] = chance.normal(0.0, 1.0, count)
        jets["width"] = chance.gamma(3.0, 0.04, count)
    for layer in variables.LAYERS:
        jets[f"e_{layer}"] = 0.0
    jets["e_em2"], jets["e_tile1"] = share * jets["pt"], (1.0 - share) * jets["pt"]
    jets["emf"] = share
    jets["log10_EH_EEM"] = np.log10(
        np.maximum(jets["e_tile1"], 0.1) / np.maximum(jets["e_em2"], 0.1)
    )
    jets["n90"], jets["n_towers"] = chance.poisson(3.0, count) + 1, chance.poisson(20.0, count)
    jets["n_tracks"] = tracks
    jets["sum_pt_tracks"] = np.where(tracks, 0.4 * jets["pt"], 0.0)
    jets["min_dr_track"] = np.where(tracks, chance.uniform(0.0, 0.3, count), NO_TRACK_DR)
    jets["charge"] = chance.normal(0.0, 0.3, count)
    jets["dispersion"] = np.where(tracks, 1.0 / np.sqrt(np.maximum(tracks, 1)), 0.0)
    rows["tracks"]["pt"][tracks > 0, 0] = 0.3 * jets["pt"][tracks > 0]
    rows["tracks"]["valid"][tracks > 0, 0] = True
    rows["clusters"]["pt"][:, 0], rows["clusters"]["valid"][:, 0] = 0.7 * jets["pt"], True
    with TrainingWriter(path) as writer:
        writer.append(rows)
        writer.finish(_books(run, events, first_event, cross_section_pb, engine))
    return path


def _books(run: int, events: int, first_event: int, cross_section_pb: float, engine: str) -> Books:
    values: dict[str, Any] = {
        "process": b"qcd" if run == QCD_RUN else b"gghss",
        "run_number": run,
        "first_event": first_event,
        "events": events,
        "cross_section_pb": cross_section_pb,
        "sum_weights": float(events),
        "sum_weights2": float(events),
    }
    ranges = np.array([(0, run, first_event, first_event + events - 1)], dtype=EVENT_RANGES)
    made = provenance(variables.settings(unmatched=False), [{"engine": engine}])
    return Books(normalisation_table(b"sample", values | {"source": 0}), ranges, made)
