"""The response of jets: measured against true jets, inverted, and made constants of.

Numerical inversion (A. Cukierman and B. Nachman, NIM A 858 (2017) 1; ATLAS, Eur. Phys. J. C 81
(2021) 689), with one factor for pT and mass, and without a correction of eta.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hvmpi
from hvmpi.errors import InputError
from hvmpi.openchain.angles import distances
from hvmpi.openchain.calibration import Calibration, Response, curve
from hvmpi.openchain.eventdata import Product, Table, file_sha256
from hvmpi.openchain.schemas import AOD

__all__ = ["CalibrationSummary", "calibrate", "derive"]

# Barrel, its end, where the Tile's parts and the end-cap meet, end-cap, its end, forward.
ABS_ETA_EDGES = (0.0, 0.8, 1.2, 1.8, 2.5, 3.2, 4.9)
TRUTH_PT_EDGES_GEV = (
    *(10.0, 15.0, 20.0, 25.0, 32.0, 42.0, 60.0, 85.0, 120.0, 170.0, 250.0),
    *(350.0, 500.0, 800.0, 1300.0, 2500.0),
)
# A true jet is isolated if no other above 7 GeV is nearer than 1.0, its jet if no other is nearer
# than 0.6.
_ISOLATION, _NEIGHBOUR_PT_GEV, _JET_ISOLATION = 1.0, 7.0, 0.6
# Where more true jets than these are lost, those that are found are the upward fluctuations.
_MIN_FOUND = 0.95
# Of a bin, by weight: 1/sum of squared shares.
_MIN_ENTRIES = 100.0
_ITERATIONS = 5


@dataclass(frozen=True, slots=True)
class CalibrationSummary:
    """What a calibration was derived from.

    Attributes
    ----------
    step : str
    events : int
    jets : int
        Isolated and matched, in the bins that count.
    """

    step: str
    events: int
    jets: int


@dataclass(frozen=True, slots=True)
class _Jets:
    """Isolated true jets with an isolated jet, or none, near them.

    Attributes
    ----------
    truth_pt, weight : ndarray of float64, shape (n,)
    abs_eta : ndarray of float64, shape (n,)
        Of the jet; of the true jet where there is none.
    pt_em : ndarray of float64, shape (n,)
        NaN where there is no jet.
    """

    truth_pt: NDArray[np.float64]
    abs_eta: NDArray[np.float64]
    pt_em: NDArray[np.float64]
    weight: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[Any]) -> _Jets:
        return _Jets(
            *(values[rows] for values in (self.truth_pt, self.abs_eta, self.pt_em, self.weight))
        )


def calibrate(aods: Sequence[Path], output: Path) -> CalibrationSummary:
    """Derive constants and write them to a file: the step of that name."""
    made = derive(aods)
    made.write(output)
    return CalibrationSummary("calibrate", made.provenance["events"], made.provenance["jets"])


def derive(aods: Sequence[Path]) -> Calibration:
    """Derive constants from the jets of AODs, best of QCD in slices of pT-hat.

    Events count by their own weights; slices are not weighted with their cross-sections, which
    would leave the statistics of one of them: the response in a narrow bin of true pT hardly
    depends on the slice. Used are isolated true jets and the jets that took them. The mean of
    pt_em over the true pT, in bins of the jet's abs(eta) and the true pT, against the mean of
    pt_em is the first guess; it is then corrected, a few times over, by the mean response that is
    left of the calibrated jets, and held from falling with pT (pooled neighbours, weighted with
    their errors). Bins do not count where less than 95 % of the true jets have a jet, so that the
    mean is not that of upward fluctuations, or where the weights leave fewer than 100 entries. A
    bin of abs(eta) where none counts takes the constants of its neighbour at the smaller
    abs(eta), or else the larger.

    Parameters
    ----------
    aods : sequence of Path

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        If a file is missing, damaged, given twice, or made with other settings than the rest, or if
        there are too few jets.
    """
    found = _Inputs(aods)
    jets = found.jets()
    row = np.digitize(jets.abs_eta, ABS_ETA_EDGES[1:-1])
    responses = [_response(jets[row == number]) for number in range(len(ABS_ETA_EDGES) - 1)]
    if not any(responses):
        raise InputError(
            f"{len(jets.pt_em)} isolated true jets are too few to calibrate with: no bin of pT and"
            " eta has 100 of them; give more events"
        )
    filled = _filled(responses)
    number = sum(sum(response.jets) for response in responses if response)
    return Calibration(ABS_ETA_EDGES, filled, found.provenance(number))


def _filled(responses: Sequence[Response | None]) -> tuple[Response, ...]:
    there = {row: response for row, response in enumerate(responses) if response is not None}
    filled = []
    for row in range(len(responses)):
        source = max((near for near in there if near <= row), default=min(there))
        response = there[source]
        filled.append(
            response if source == row else replace(response, jets=(0,) * len(response.jets))
        )
    return tuple(filled)


def _response(jets: _Jets) -> Response | None:
    """Return the response in one bin of abs(eta); None if no bin of pT counts."""
    column = np.digitize(jets.truth_pt, TRUTH_PT_EDGES_GEV) - 1
    size = len(TRUTH_PT_EDGES_GEV) - 1
    inside = (column >= 0) & (column < size)
    there = inside & np.isfinite(jets.pt_em)

    def total(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(column[chosen], values[chosen], minlength=size).astype(np.float64)

    weights, all_weights = total(jets.weight, there), total(jets.weight, inside)
    squares = total(jets.weight**2, there)
    counts = (weights > _MIN_FOUND * all_weights) & (weights**2 > _MIN_ENTRIES * squares)
    if not counts.any():
        return None
    jets, column = jets[there], column[there]
    kept = counts[column]
    jets, column = jets[kept], (np.cumsum(counts) - 1)[column[kept]]
    size = int(counts.sum())

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(column, jets.weight * values, minlength=size)) / weights

    weights = weights[counts]
    ratio = jets.pt_em / jets.truth_pt
    pt_em, response = mean(jets.pt_em), mean(ratio)
    spread = np.bincount(column, (jets.weight * (ratio - response[column])) ** 2, minlength=size)
    error = np.sqrt(spread) / weights
    precision = 1.0 / np.maximum(error, 1e-6) ** 2
    response = _rising(response, precision)
    log_pt, jet_log_pt = np.log(pt_em), np.log(jets.pt_em)
    for _ in range(_ITERATIONS):
        here = curve(log_pt, response)(np.clip(jet_log_pt, log_pt[0], log_pt[-1]))
        response = _rising(response * mean(ratio / here), precision)
    return Response(
        _figures(pt_em),
        _figures(response),
        _figures(error),
        tuple(np.bincount(column, minlength=size).tolist()),
    )


def _figures(values: NDArray[np.float64]) -> tuple[float, ...]:
    # More than six would be noise.
    return tuple(float(f"{value:.6g}") for value in values)


def _rising(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest values, by weighted squares, that do not fall.

    Each is the largest over all beginnings of the smallest over all ends of the mean in between
    (Barlow, Bartholomew, Bremner and Brunk, Statistical Inference under Order Restrictions, 1972).
    """
    cumulated, weight = (
        np.concatenate([[0.0], np.cumsum(terms)]) for terms in (values * weights, weights)
    )
    begin, end = np.triu_indices(len(values))
    means = np.full((len(values), len(values)), np.inf)
    means[begin, end] = (cumulated[end + 1] - cumulated[begin]) / (weight[end + 1] - weight[begin])
    smallest = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.tril(smallest.T, 0).max(axis=1))


class _Inputs:
    """The AODs that constants are derived from."""

    def __init__(self, aods: Sequence[Path]) -> None:
        self._paths = aods
        self._sha256 = [file_sha256(path) for path in aods]
        for path, digest in zip(aods, self._sha256, strict=True):
            if self._sha256.count(digest) > 1:
                raise InputError(f"'{path}' is given twice, or holds the same as another file")
        self._events = 0
        self._seeds: set[int] = set()
        self._settings_hash = ""
        self._samples: dict[str, list[str]] = {}
        for path, digest in zip(aods, self._sha256, strict=True):
            with Product(path, AOD) as product:
                self._note(product, digest)

    def _note(self, product: Product, digest: str) -> None:
        made = product.provenance
        self._settings_hash = self._settings_hash or made["settings_hash"]
        if made["settings_hash"] != self._settings_hash:
            raise InputError(
                f"'{product.path}' was made with other settings than '{self._paths[0]}'; calibrate"
                " with files of one kind"
            )
        self._events += len(product)
        self._seeds.add(int(made["seed"]))
        for row in product.normalisation:
            name = f"{row['sample'].decode()} {row['run_number']}"
            names = self._samples.setdefault(name, [])
            if digest not in names:
                names.append(digest)

    def jets(self) -> _Jets:
        """Return the jets of all files."""
        rows = [row for path in self._paths for row in self._of(path)]
        columns = zip(*rows, strict=True) if rows else iter(((),) * 4)
        return _Jets(*(np.concatenate([[], *column]) for column in columns))

    def _of(self, path: Path) -> Iterator[tuple[NDArray[np.float64], ...]]:
        with Product(path, AOD) as product:
            # The other collections are large and of no use here.
            truth, jets = product["truth_jets"], product["jets"]
            tables = truth.table(), jets.table()
            for row, event in enumerate(product.events):
                yield _isolated(
                    _rows(tables[0], truth.index[row : row + 2]),
                    _rows(tables[1], jets.index[row : row + 2]),
                    float(event["weight"]),
                )

    def provenance(self, jets: int) -> dict[str, Any]:
        """Return what the constants say of their making."""
        return {
            "hvmpi_version": hvmpi.__version__,
            "settings_hash": self._settings_hash,
            "seeds": sorted(self._seeds),
            "events": self._events,
            "jets": jets,
            "samples": {name: sorted(self._samples[name]) for name in sorted(self._samples)},
        }


def _rows(table: Table, ends: NDArray[np.int64]) -> Table:
    return {name: values[int(ends[0]) : int(ends[1])] for name, values in table.items()}


def _isolated(truth: Table, jets: Table, weight: float) -> tuple[NDArray[np.float64], ...]:
    """Return truth pT, abs(eta), pt_em, weight of an event's isolated true jets."""
    alone = _alone(truth, truth["pt"] > _NEIGHBOUR_PT_GEV, _ISOLATION)
    clear = _alone(jets, np.ones(len(jets["pt"]), dtype=np.bool_), _JET_ISOLATION)
    taken = np.flatnonzero(jets["truth_jet"] >= 0)
    jet_of_truth = np.full(len(alone), -1)
    jet_of_truth[jets["truth_jet"][taken]] = taken
    lost = jet_of_truth < 0
    # A jet that is not isolated says nothing, a true jet without any that it is lost.
    use = alone & (lost | np.append(clear, True)[jet_of_truth])
    eta = np.where(lost, truth["eta"], np.append(jets["eta"], 0.0)[jet_of_truth])
    pt_em = np.where(lost, np.nan, np.append(jets["pt_em"], 0.0)[jet_of_truth])
    return (
        truth["pt"][use].astype(np.float64),
        np.abs(eta[use]).astype(np.float64),
        pt_em[use].astype(np.float64),
        np.full(np.count_nonzero(use), weight),
    )


def _alone(table: Table, others: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Return whether none of the `others` in a table lies within a radius of each row."""
    distance = distances(table["eta"], table["phi"], table["eta"], table["phi"])
    np.fill_diagonal(distance, np.inf)
    return np.asarray(~((distance < radius) & others).any(axis=1))
