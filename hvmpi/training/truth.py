"""Long-lived particles as the training variables want them, from either engine's truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.training.variables import Table, pseudorapidity

__all__ = ["LONG_LIVED", "heaviest_products", "long_lived_table"]

LONG_LIVED = ("event", "px", "py", "pz", "mass", "x", "y", "z", "decay")
"""What `long_lived_table` is made of."""


def long_lived_table(particles: Table) -> Table:
    """Return the table `Block.long_lived`.

    Parameters
    ----------
    particles : Table
        `LONG_LIVED`: momentum and mass in GeV, the point of decay in mm (NaN: it did not decay) and
        the PDG number of the heaviest decay product.
    """
    px, py, pz, x, y, z = (
        particles[name].astype(np.float64) for name in ("px", "py", "pz", "x", "y", "z")
    )
    pt, lxy = np.hypot(px, py), np.hypot(x, y)
    return {
        "event": particles["event"],
        "pt": pt,
        "eta": pseudorapidity(pt, pz),
        "phi": np.arctan2(py, px),
        "mass": particles["mass"],
        "decay_eta": pseudorapidity(lxy, z),
        "decay_phi": np.arctan2(y, x),
        "lxy": lxy,
        "lz": z,
        "decay": particles["decay"],
    }


def heaviest_products(
    parent: NDArray[np.int64], mass: NDArray[Any], pdg_id: NDArray[Any], parents: int
) -> NDArray[np.int64]:
    """Return the PDG number, without sign, of each parent's heaviest product; -1: it has none.

    Parameters
    ----------
    parent, mass, pdg_id : ndarray, shape (n_products,)
        Of each product its parent, from 0 on, mass and PDG number.
    parents : int
        How many there are.
    """
    heaviest_last = np.lexsort((mass, parent))
    decay = np.full(parents, -1)
    decay[parent[heaviest_last]] = np.abs(pdg_id)[heaviest_last]
    return decay
