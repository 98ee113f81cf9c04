"""What a payload server loads before it carries out steps of the open chain.

All of it is kept by the modules themselves, in caches that any process fills when it first needs
them. So a step that finds them filled makes the same, and one that does not, too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["chain", "generation", "library"]


def generation() -> None:
    """Load what makes events."""
    import awkward  # noqa: F401
    import pyhepmc  # noqa: F401
    import pythia8mc  # noqa: F401

    from hvmpi.openchain import generation, processes  # noqa: F401


def chain() -> None:
    """Load what events go through, with the detector and the calorimeters' tables."""
    from hvmpi.openchain import calibration, detector, layers, readout, recipe
    from hvmpi.openchain.chain import run  # noqa: F401
    from hvmpi.openchain.eventdata import provenance
    from hvmpi.openchain.schemas import AOD
    from hvmpi.training.extraction import extract  # noqa: F401

    detector.detector()
    layers.map_of_volumes()
    readout.noise(np.zeros(1, dtype=np.int64), 0.0)
    readout.pulse_weights()
    calibration.jet_calibration()
    provenance(seed=0, settings_hash=recipe.settings_hash(AOD.name), inputs={})


def library(path: str, mu: str, seed: str) -> None:
    """Read a library of minimum-bias events.

    Parameters
    ----------
    path : str
    mu : str
        Mean number of interactions a crossing.
    seed : str
        The campaign's.
    """
    from hvmpi.openchain.chain import PileUp

    PileUp(float(mu), Path(path)).load(int(seed))
