"""In which order jobs had better start: those that are expected to take longest first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign.jobs import Kind

__all__ = ["longest_first"]


def longest_first(
    jobs: npt.NDArray[Any], expected_s: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Order the jobs of a campaign.

    The library comes first and the merge last. A batch and the jobs that read it stay together,
    the batch before them, so that what is generated is reconstructed before more is generated and
    no disk fills with event files that wait. What is free to move, batches and the jobs of event
    files that are there, goes by the longest of its jobs; among equals the plan's order holds.

    Parameters
    ----------
    jobs : ndarray of shape (n_jobs,)
        With ``kind`` and ``event_file``, in the plan's order.
    expected_s : ndarray of shape (n_jobs,)
        Wall time of each, s.

    Returns
    -------
    ndarray of shape (n_jobs,)
        Job numbers, the first to start first.
    """
    kind, file = jobs["kind"], jobs["event_file"]
    generates = kind == Kind.GENERATION
    reads = kind == Kind.RECONSTRUCTION
    longest = np.zeros(int(file.max(initial=-1)) + 1)
    np.maximum.at(longest, file[reads], expected_s[reads])
    generated = np.zeros(len(longest), dtype=bool)
    generated[file[generates]] = True
    of_a_batch = (file >= 0) & generated[file] if len(longest) else np.zeros(len(jobs), dtype=bool)
    length = np.where(of_a_batch, longest[file] if len(longest) else 0.0, expected_s)
    stage = np.select([kind == Kind.LIBRARY, kind == Kind.MERGE], [0, 2], default=1)
    order: npt.NDArray[np.intp] = np.lexsort((-expected_s, ~generates, file, -length, stage))
    return order
