"""What a jet counts for: weights that turn numbers of jets into cross-sections."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.training.books import Books

__all__ = ["cross_section_weights"]


def cross_section_weights(
    books: Books, run_numbers: NDArray[Any], event_weights: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the cross-section that each jet stands for, pb.

    The event's weight times the sample's cross-section and filter efficiency over the sum of the
    weights of all its events, also of those that left no jet. A sample is a run number; its event
    files' estimates of the cross-section are averaged by their sums of weights.

    Parameters
    ----------
    books : Books
    run_numbers, event_weights : ndarray, shape (n_jets,)
        ``runNumber`` and ``mcEventWeight``.

    Returns
    -------
    ndarray of float64, shape (n_jets,)
        NaN where the sample's cross-section is not known.
    """
    table = books.normalisation
    runs, sample = np.unique(table["run_number"], return_inverse=True)
    sums = np.bincount(sample, table["sum_weights"], minlength=len(runs))
    # A file that was not filtered on its way need not say so.
    passed = np.nan_to_num(table["filter_efficiency"], nan=1.0)
    produced = table["cross_section_pb"] * passed * table["sum_weights"]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(sample, produced, minlength=len(runs)) / sums
        per_weight = np.where(sums != 0.0, mean / sums, np.nan)
    place = np.minimum(np.searchsorted(runs, run_numbers), len(runs) - 1)
    known = runs[place] == run_numbers
    return np.where(known, per_weight[place] * event_weights, np.nan)
