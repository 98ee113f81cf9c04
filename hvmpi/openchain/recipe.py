"""Every number that the open chain's products depend on, and their hash."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

from hvmpi.openchain import (
    calibration,
    calorimeter,
    clusters,
    jets,
    layers,
    leptons,
    missing,
    pileup_noise,
    readout,
    simulation,
    tracking,
    truth,
    vertices,
)
from hvmpi.openchain.detector import SUB_DETECTORS
from hvmpi.openchain.eventdata import hash_of_settings
from hvmpi.openchain.field import FIELD_T
from hvmpi.openchain.schemas import HITS, RDO

__all__ = ["settings", "settings_hash"]


def settings(product: str) -> dict[str, Any]:
    """Return every number that a product, named as its schema, depends on; pile-up apart."""
    made: dict[str, Any] = {
        "field_t": FIELD_T,
        "sub_detectors": [asdict(kind) for kind in SUB_DETECTORS],
        "simulation": truth.settings() | simulation.settings(),
        "layers": layers.settings(),
        "calorimeter": calorimeter.settings(),
        "jets": jets.settings(),
    }
    if product == HITS.name:
        return made
    made["readout"] = readout.settings()
    made["pileup_noise"] = pileup_noise.table_hash()
    if product == RDO.name:
        return made
    return made | {
        "tracking": tracking.settings(),
        "vertices": vertices.settings(),
        "clusters": clusters.settings(),
        "leptons": leptons.settings(),
        "missing_et": missing.settings(),
        "calibration": calibration.calibration_hash(),
    }


@cache
def settings_hash(product: str, mu: float = 0.0) -> str:
    """Return the SHA-256 of a product's settings.

    Parameters
    ----------
    product : str
        The name of its schema.
    mu : float
        Mean number of pile-up interactions; what is simulated does not depend on it.
    """
    made = settings(product)
    if mu and product != HITS.name:
        made["pileup_mu"] = mu
    return hash_of_settings(made)
