"""A first network: how well a small classifier tells signal from QCD, a check of a sample.

Gradient-boosted trees of scikit-learn (histogram-based, as in LightGBM: Ke et al., NeurIPS 2017),
which need no scaling and take NaN as it is. Every jet counts once in training and both kinds are
balanced: by cross-section a handful of soft QCD jets would decide it all. The efficiency of QCD is
given both ways, by number of jets and by cross-section. Needs scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError, UsageError
from hvmpi.training.books import Books, refuse_events_twice
from hvmpi.training.columns import BACKGROUND, SIGNAL
from hvmpi.training.efficiency import Discriminant
from hvmpi.training.features import DEFAULT, feature_table
from hvmpi.training.files import TrainingFile
from hvmpi.training.variables import Rows
from hvmpi.training.weights import cross_section_weights

__all__ = ["CUT", "Importance", "Jets", "Network", "NetworkOptions", "fit", "read_jets", "split"]

TEST_SHARE = 0.3
"""Of the events."""

LEAST_TO_TRAIN, LEAST_TO_TEST = 100, 50
"""Jets of either kind."""

PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.05,
    "max_iter": 150,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 50,
    "l2_regularization": 1.0,
    "early_stopping": False,
    "class_weight": "balanced",
}
"""Of the trees: small ones, as the samples of a quick check are."""

CUT = (1.2, 0.2)
"""The tag of ATLAS, Eur. Phys. J. C 79 (2019) 481: log10(E_H/E_EM) above the first, no track with
pT > 2 GeV within the second of the axis."""

_BELOW_ALL = 100.0
"""Taken from the cut's discriminant if there is such a track: more than any two values differ."""

_IMPORTANCE_JETS = 2500
"""Of either kind: enough, as it is predicted five times a feature."""

_IMPORTANCE_REPEATS = 5
_FEW_JETS = 100_000
"""Up to so many a single thread is no slower, and many times faster on a machine that is busy."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What a fit depends on besides the jets.

    Attributes
    ----------
    seed : int
    features : tuple of str
        Of `hvmpi.training.features.FEATURES`.
    min_lxy, max_lxy : float
        The s of signal jets decay between these distances from the z axis, mm.
    """

    seed: int = 1
    features: tuple[str, ...] = DEFAULT
    min_lxy: float = 1200.0
    max_lxy: float = 4200.0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"seed must be from 0 to {2**32 - 1}, not {self.seed}")
        if not 0.0 <= self.min_lxy < self.max_lxy:
            raise UsageError(
                f"min-lxy must be at least 0 mm and below max-lxy, not {self.min_lxy:g} and"
                f" {self.max_lxy:g}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Jets:
    """The jets to train and test with.

    Attributes
    ----------
    features : ndarray of float64, shape (n_jets, n_features)
    signal : ndarray of bool, shape (n_jets,)
    cut : ndarray of float64, shape (n_jets,)
        The discriminant of the cut: log10(E_H/E_EM), of jets with a hard track near below all
        others.
    weights : ndarray of float64, shape (n_jets,)
        Cross-section, pb; NaN: not known.
    tested : ndarray of bool, shape (n_jets,)
        Whether the jet's event is kept for the test.
    """

    features: NDArray[np.float64]
    signal: NDArray[np.bool_]
    cut: NDArray[np.float64]
    weights: NDArray[np.float64]
    tested: NDArray[np.bool_]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the numbers of jets of either kind to train and to test with."""
        return {
            use: {
                kind: int((chosen & of_kind).sum())
                for kind, of_kind in (("signal", self.signal), ("qcd", ~self.signal))
            }
            for use, chosen in (("train", ~self.tested), ("test", self.tested))
        }


@dataclass(frozen=True, slots=True)
class Importance:
    """What a feature does for the area under the ROC curve.

    Attributes
    ----------
    feature : str
    loss, error : float
        What is lost if it is shuffled: mean and standard deviation over repeats. Little where
        others say the same.
    alone : float
        The area that it has by itself, larger or smaller for signal: 0.5 to 1.
    """

    feature: str
    loss: float
    error: float
    alone: float


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A fitted network and what came of it.

    Attributes
    ----------
    network, cut : Discriminant
        Of the jets that were kept for the test.
    trained : Discriminant
        The network's, of those that it was fitted to.
    importance : tuple of Importance
        The largest first.
    """

    network: Discriminant
    cut: Discriminant
    trained: Discriminant
    importance: tuple[Importance, ...]


# --- the jets --------------------------------------------------------------------------------


def split(run_numbers: NDArray[Any], event_numbers: NDArray[Any], seed: int) -> NDArray[np.bool_]:
    """Say which jets are kept for the test: all of an event, or none.

    By a hash of run, event and seed, so that it depends on nothing else: steps of SplitMix64
    (Steele, Lea and Flood, OOPSLA 2014).
    """
    state = np.full(len(run_numbers), seed, dtype=np.uint64)
    for part in (run_numbers, event_numbers):
        state ^= part.astype(np.int64).view(np.uint64)
        state += np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
        state ^= state >> np.uint64(31)
    return np.asarray(state < np.uint64(round(TEST_SHARE * 2.0**64)))


def read_jets(paths: Sequence[Path], options: NetworkOptions) -> tuple[Jets, list[Books]]:
    """Read the jets of training files, of signal those in the window, and the files' books.

    Raises
    ------
    InputError
        If a file is bad, an event is in two, or there are too few jets of a kind.
    """
    books, tables = [], []
    outside: list[NDArray[Any]] = []
    for path in paths:
        with TrainingFile(path) as file:
            books.append(file.books)
            for rows in file.blocks():
                distance = rows["jets"]["llp_Lxy"]
                inside = (distance > options.min_lxy) & (distance < options.max_lxy)
                signal = rows["jets"]["label"] == SIGNAL
                outside.append(distance[signal & ~inside])
                kept = (signal & inside) | (rows["jets"]["label"] == BACKGROUND)
                chosen = {name: values[kept] for name, values in rows.items()}
                tables.append(_jets(chosen, file.books, options))
    refuse_events_twice(paths, books)
    if not tables:
        raise InputError(f"there are no jets in {_named(paths)}")
    jets = Jets(
        *(
            np.concatenate([getattr(table, name) for table in tables])
            for name in ("features", "signal", "cut", "weights", "tested")
        )
    )
    _refuse_too_few(paths, jets, np.concatenate(outside), options)
    return jets, books


def _jets(rows: Rows, books: Books, options: NetworkOptions) -> Jets:
    jets = rows["jets"]
    cut = jets["log10_EH_EEM"].astype(np.float64)
    tracks = np.nan_to_num(jets["min_dr_track"], nan=np.inf) < CUT[1]
    return Jets(
        features=feature_table(rows, options.features),
        signal=jets["label"] == SIGNAL,
        cut=np.where(tracks, cut - _BELOW_ALL, cut),
        weights=cross_section_weights(books, jets["runNumber"], jets["mcEventWeight"]),
        tested=split(jets["runNumber"], jets["eventNumber"], options.seed),
    )


def _refuse_too_few(
    paths: Sequence[Path], jets: Jets, outside: NDArray[Any], options: NetworkOptions
) -> None:
    window = f"{options.min_lxy:g} mm < L_xy < {options.max_lxy:g} mm"
    if not jets.signal.any():
        there = (
            f"its {len(outside)} signal jets have L_xy from {outside.min():.0f} to"
            f" {outside.max():.0f} mm; give another --min-lxy or --max-lxy"
            if len(outside)
            else "merge a signal sample into it"
        )
        raise InputError(f"there is no signal jet with {window} in {_named(paths)}: {there}")
    if jets.signal.all():
        raise InputError(f"there is no QCD jet in {_named(paths)}: merge a QCD sample into it")
    counts = jets.counts()
    least = {"train": LEAST_TO_TRAIN, "test": LEAST_TO_TEST}
    if any(number < least[use] for use in counts for number in counts[use].values()):
        numbers = " and ".join(
            f"{counts[use]['signal']} of signal and {counts[use]['qcd']} of QCD to {use} with"
            f" (at least {least[use]} of each)"
            for use in counts
        )
        raise InputError(f"there are too few jets in {_named(paths)}, {window}: {numbers}")


def _named(paths: Sequence[Path]) -> str:
    return f"'{paths[0]}'" + (f" and {len(paths) - 1} more files" if len(paths) > 1 else "")


# --- the fit ---------------------------------------------------------------------------------


def fit(jets: Jets, options: NetworkOptions) -> Network:
    """Fit the network, and measure it on the jets that were kept for that."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    known = np.isfinite(jets.features[~jets.tested]).any(axis=0)
    # A column of nothing but NaN cannot be binned.
    jets = replace(jets, features=np.where(known, jets.features, 0.0))
    classifier = HistGradientBoostingClassifier(random_state=options.seed, **PARAMETERS)
    threads = 1 if len(jets.signal) <= _FEW_JETS else None
    with threadpool_limits(threads, user_api="openmp"):
        classifier.fit(jets.features[~jets.tested], jets.signal[~jets.tested])
        score = classifier.decision_function(jets.features)
        importance = _importance(classifier, jets, options)
    return Network(
        network=_discriminant("network", jets, score, jets.tested),
        cut=_discriminant("cut", jets, jets.cut, jets.tested),
        trained=_discriminant("network", jets, score, ~jets.tested),
        importance=importance,
    )


def _discriminant(
    name: str, jets: Jets, values: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> Discriminant:
    signal, background = chosen & jets.signal, chosen & ~jets.signal
    return Discriminant(name, values[signal], values[background], jets.weights[background])


def _importance(classifier: Any, jets: Jets, options: NetworkOptions) -> tuple[Importance, ...]:
    from sklearn.inspection import permutation_importance

    chance = np.random.default_rng(options.seed)
    kinds = (np.flatnonzero(jets.tested & kind) for kind in (jets.signal, ~jets.signal))
    tested = np.concatenate(
        [np.sort(chance.permutation(rows)[:_IMPORTANCE_JETS]) for rows in kinds]
    )
    found = permutation_importance(
        classifier,
        jets.features[tested],
        jets.signal[tested],
        scoring="roc_auc",
        n_repeats=_IMPORTANCE_REPEATS,
        random_state=options.seed,
    )
    means, errors = found.importances_mean.tolist(), found.importances_std.tolist()
    alone = [_alone(column, jets.signal[tested]) for column in jets.features[tested].T]
    every = zip(options.features, means, errors, alone, strict=True)
    return tuple(
        sorted(
            (Importance(*entry) for entry in every), key=lambda entry: (-entry.loss, -entry.alone)
        )
    )


def _alone(values: NDArray[np.float64], signal: NDArray[np.bool_]) -> float:
    from sklearn.metrics import roc_auc_score

    known = np.isfinite(values)
    if len(np.unique(signal[known])) < 2:
        return 0.5
    area = float(roc_auc_score(signal[known], values[known]))
    return max(area, 1.0 - area)
