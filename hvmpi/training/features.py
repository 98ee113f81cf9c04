"""What a network may look at: columns of `jets`, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import UsageError
from hvmpi.openchain.schemas import LAYERS
from hvmpi.option import nearest
from hvmpi.training.columns import DATASETS, TRUTH_COLUMNS
from hvmpi.training.variables import Rows

__all__ = ["DEFAULT", "FEATURES", "chosen_features", "feature_table"]

Feature = Callable[[Rows], NDArray[np.float64]]


def _column(name: str) -> Feature:
    return lambda rows: rows["jets"][name].astype(np.float64)


def _over_pt(name: str) -> Feature:
    return lambda rows: rows["jets"][name].astype(np.float64) / rows["jets"]["pt"]


def _first_over_pt(dataset: str) -> Feature:
    def share(rows: Rows) -> NDArray[np.float64]:
        # Constituents stand in order of pT.
        hardest = np.nan_to_num(rows[dataset]["pt"][:, 0]).astype(np.float64)
        return np.asarray(hardest / rows["jets"]["pt"])

    return share


def _layer_share(layer: str) -> Feature:
    def share(rows: Rows) -> NDArray[np.float64]:
        energies = [rows["jets"][f"e_{name}"].astype(np.float64) for name in LAYERS]
        total = np.asarray(np.sum(energies, axis=0))
        own = energies[LAYERS.index(layer)]
        return np.asarray(np.divide(own, total, out=np.zeros(len(own)), where=total > 0.0))

    return share


_CENTRAL_LAYERS = tuple(layer for layer in LAYERS if not layer.startswith("fcal"))

FEATURES: Mapping[str, Feature] = {
    **{
        name: _column(name)
        for name in DATASETS["jets"].dtype.names or ()
        if name not in TRUTH_COLUMNS
    },
    "mass_over_pt": _over_pt("mass"),
    "track_share": _over_pt("sum_pt_tracks"),
    "lead_track_share": _first_over_pt("tracks"),
    "lead_cluster_share": _first_over_pt("clusters"),
    **{f"share_{layer}": _layer_share(layer) for layer in _CENTRAL_LAYERS},
}
"""By name, what makes it of rows."""

DEFAULT = (
    *("log10_EH_EEM", "emf", "width", "n90", "n_towers", "n_tracks", "min_dr_track"),
    *("charge", "dispersion", "time", "mass_over_pt", "track_share"),
    *("lead_track_share", "lead_cluster_share"),
    *(f"share_{layer}" for layer in _CENTRAL_LAYERS),
)
"""The shape of the jet, not its pT, eta or phi: those are the sample's, not the decay's."""


def chosen_features(names: Sequence[str]) -> tuple[str, ...]:
    """Return the features that are meant; ``default`` stands for all of `DEFAULT`.

    Raises
    ------
    UsageError
        If one is not known, or there is none.
    """
    chosen: dict[str, None] = {}
    for name in names:
        if name == "default":
            chosen |= dict.fromkeys(DEFAULT)
        elif name in FEATURES:
            chosen[name] = None
        else:
            truth = "; it is truth" if name in TRUTH_COLUMNS else nearest(name, list(FEATURES))
            raise UsageError(
                f"there is no feature {name!r}{truth}; there are {', '.join(FEATURES)}"
            )
    if not chosen:
        raise UsageError("a network needs features to look at; leave --features out for its own")
    return tuple(chosen)


def feature_table(rows: Rows, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the features of jets, shape (n_jets, n_features); NaN where one is not known."""
    if not len(rows["jets"]):
        return np.zeros((0, len(names)))
    return np.stack([FEATURES[name](rows) for name in names], axis=1)
