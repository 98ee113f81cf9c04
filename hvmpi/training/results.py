"""What came of a network, as numbers: ``network.json``, ``roc.csv`` and a table to print."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hvmpi.files import sha256_of, write_whole
from hvmpi.training.books import Books, versions
from hvmpi.training.efficiency import CONFIDENCE, Discriminant, auc_error
from hvmpi.training.network import CUT, PARAMETERS, TEST_SHARE, Jets, Network, NetworkOptions

__all__ = ["engines", "numbers", "summary_rows", "write_numbers"]

SCHEMA, SCHEMA_VERSION = "hvmpi.network", 1

_SIGNAL_EFFICIENCIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def numbers(
    paths: Sequence[Path],
    books: Sequence[Books],
    jets: Jets,
    network: Network,
    options: NetworkOptions,
) -> dict[str, Any]:
    """Return all that is known of a fitted network, as plain JSON without times and paths."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "inputs": {path.name: sha256_of(path) for path in paths},
        "events": sum(entry.events for entry in books),
        "options": asdict(options),
        "classifier": {"name": "HistGradientBoostingClassifier", **PARAMETERS},
        "test_share": TEST_SHARE,
        "jets": jets.counts(),
        "confidence": CONFIDENCE,
        "network": _measured(network.network) | {"auc_trained": network.trained.auc()},
        "cut": _measured(network.cut) | {"working_point": _working_point(network)},
        "importance": [asdict(entry) for entry in network.importance],
        "versions": versions("scikit-learn", "scipy"),
    }


def _measured(discriminant: Discriminant) -> dict[str, Any]:
    auc = discriminant.auc()
    return {
        "auc": auc,
        "auc_error": auc_error(auc, len(discriminant.signal), len(discriminant.background)),
        "auc_by_cross_section": _if_weighted(discriminant, discriminant.auc),
        "points": list(_points(discriminant)),
    }


def _if_weighted(discriminant: Discriminant, auc: Any) -> float | None:
    return float(auc(weighted=True)) if discriminant.weighted else None


def _points(discriminant: Discriminant) -> Iterator[dict[str, Any]]:
    for efficiency in _SIGNAL_EFFICIENCIES:
        threshold = discriminant.threshold(efficiency)
        yield {"at_least": efficiency} | _point(discriminant, threshold)


def _point(discriminant: Discriminant, threshold: float) -> dict[str, Any]:
    by_cross_section = None
    if discriminant.weighted:
        share, error = discriminant.weighted_background(threshold)
        by_cross_section = {"value": share, "error": error}
    return {
        "threshold": threshold,
        "signal": asdict(discriminant.signal_efficiency(threshold)),
        "qcd": asdict(discriminant.background_efficiency(threshold)),
        "qcd_by_cross_section": by_cross_section,
    }


def _working_point(network: Network) -> dict[str, Any]:
    """Return the published cut's efficiencies, and the network's at no less signal."""
    point = _point(network.cut, CUT[0])
    same = network.network.threshold(point["signal"]["value"])
    return {
        "log10_EH_EEM": CUT[0],
        "no_track_within": CUT[1],
        **point,
        "network": _point(network.network, same) if point["signal"]["passed"] else None,
    }


def engines(books: Sequence[Books]) -> set[str]:
    """Return what the jets were simulated with."""
    return {str(source["engine"]) for entry in books for source in entry.provenance["sources"]}


def write_numbers(directory: Path, found: Mapping[str, Any], network: Network) -> list[Path]:
    """Write ``network.json`` and ``roc.csv``; each appears whole or not at all."""
    table, curve = directory / "network.json", directory / "roc.csv"
    with write_whole(table) as beside:
        beside.write_text(json.dumps(found, indent=1) + "\n")
    with write_whole(curve) as beside, beside.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("discriminant", "signal_efficiency", "qcd_efficiency", "threshold"))
        for discriminant in (network.network, network.cut):
            for point in zip(*discriminant.curve(), strict=True):
                writer.writerow((discriminant.name, *(f"{value:.6g}" for value in point)))
    return [table, curve]


def summary_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what is to be printed: for each signal efficiency what passes of QCD.

    Columns: signal efficiency, efficiency of QCD with its interval and by cross-section, for the
    network and for the cut.
    """
    rows = []
    for network, cut in zip(found["network"]["points"], found["cut"]["points"], strict=True):
        columns = [f"{100.0 * network['at_least']:g} %"]
        for point in (network, cut):
            columns += [_interval(point["qcd"]), _by_cross_section(point)]
        rows.append(tuple(columns))
    return rows


def _interval(efficiency: Mapping[str, float]) -> str:
    value = efficiency["value"]
    above, below = efficiency["high"] - value, value - efficiency["low"]
    return f"{value:.2g} +{above:.1g} -{below:.1g}"


def _by_cross_section(point: Mapping[str, Any]) -> str:
    share = point["qcd_by_cross_section"]
    if share is None:
        return "not known"
    return f"{share['value']:.2g} +- {share['error']:.1g}" if point["qcd"]["passed"] else "none"
