"""Vertices on track arrays: the primary vertex of an event."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table
from hvmpi.stopwatch import Part, spent_on

__all__ = ["IN_VERTEX", "primary_vertex", "settings"]

IN_VERTEX = 0.5
"""A track of a larger weight in the primary vertex belongs to it."""

# Tracks that may belong to the primary vertex: prompt, from the standard pass.
_MAX_ABS_D0_MM = 2.0
# Seeds are clusters along the beam line of this size.
_SEED_WINDOW_MM = 2.0
# Weight of a track at distance chi2: 1 / (1 + exp((chi2 - cut) / 2 T)), cooled down to T = 1.
_CHI2_CUT = 9.0
_TEMPERATURES = (64.0, 16.0, 4.0, 1.0, 1.0, 1.0)
# The beam spot, about the size of the LHC's: keeps a vertex of few tracks on the beam line.
_BEAM_SPOT_MM = (0.02, 0.02, 200.0)


def settings() -> dict[str, object]:
    """Return every number of the fit, for the settings hash of a product."""
    return {
        "max_abs_d0_mm": _MAX_ABS_D0_MM,
        "seed_window_mm": _SEED_WINDOW_MM,
        "chi2_cut": _CHI2_CUT,
        "temperatures": _TEMPERATURES,
        "beam_spot_mm": _BEAM_SPOT_MM,
    }


@spent_on(Part.OBJECTS)
def primary_vertex(tracks: Table) -> tuple[Table, NDArray[np.float64]]:
    """Fit the primary vertex.

    The seed is the place on the beam line with the largest sum of pT squared; an adaptive fit
    follows, of tracks linearized at their points closest to the z axis (Fruehwirth, Waltenberger
    and Vanlaer, J. Phys. G 34 (2007) N343).

    Parameters
    ----------
    tracks : Table
        Of one event, with the fields of an AOD's tracks.

    Returns
    -------
    vertices : Table
        One row, none if fewer than two tracks agree; fields of an AOD's vertices.
    weights : ndarray of float64, shape (n_tracks,)
        Of every track in the vertex.
    """
    weights = np.zeros(len(tracks["d0"]))
    chosen = np.flatnonzero((tracks["large_radius"] == 0) & (np.abs(tracks["d0"]) < _MAX_ABS_D0_MM))
    if len(chosen) < 2:
        return _table([]), weights
    z0, pt2 = tracks["z0"][chosen], tracks["pt"][chosen] ** 2
    near = np.abs(z0[:, None] - z0[None, :]) < _SEED_WINDOW_MM
    seed = int(np.argmax(near @ np.minimum(pt2, 100.0)))

    point = np.array([0.0, 0.0, np.median(z0[near[seed]])])
    derivatives, inverse = _linearized(tracks, chosen)
    measured = np.stack([tracks["d0"][chosen], z0], axis=1)
    projected = derivatives.transpose(0, 2, 1) @ inverse
    normals = (projected @ derivatives).reshape(-1, 9)
    rights = (projected @ measured[:, :, None])[:, :, 0]
    prior = np.diag(1.0 / np.square(_BEAM_SPOT_MM))
    for temperature in _TEMPERATURES:
        chi2 = _chi2(measured - derivatives @ point, inverse)
        argument = np.minimum((chi2 - _CHI2_CUT) / (2.0 * temperature), 700.0)
        weight = 1.0 / (1.0 + np.exp(argument))
        covariance = np.linalg.inv((weight @ normals).reshape(3, 3) + prior)
        point = covariance @ (weight @ rights)
    if np.count_nonzero(weight > IN_VERTEX) < 2:
        return _table([]), weights
    weights[chosen] = weight
    chi2 = _chi2(measured - derivatives @ point, inverse)
    row = (
        *point,
        *np.diag(covariance),
        *(covariance[0, 1], covariance[0, 2], covariance[1, 2]),
        float(weight @ chi2),
        2.0 * weight.sum() - 3.0,
        np.count_nonzero(weight > IN_VERTEX),
        float(weight @ pt2),
    )
    return _table([row]), weights


def _chi2(residuals: NDArray[np.float64], inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ni,nij,nj->n", residuals, inverse, residuals))


def _linearized(
    tracks: Table, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return d(d0, z0)/d(x, y, z) and the inverse covariance of (d0, z0), by track.

    A straight line at azimuth phi through (x, y, z) near the z axis has, in ACTS's signs,
    d0 = -x sin(phi) + y cos(phi) and z0 = z - (x cos(phi) + y sin(phi)) cot(theta).
    """
    sin, cos = np.sin(tracks["phi"][chosen]), np.cos(tracks["phi"][chosen])
    cot = 1.0 / np.tan(tracks["theta"][chosen])
    zero, one = np.zeros_like(sin), np.ones_like(sin)
    derivatives = np.stack(
        [np.stack([-sin, cos, zero], axis=1), np.stack([-cos * cot, -sin * cot, one], axis=1)],
        axis=1,
    )
    covariance = np.empty((len(sin), 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = tracks["var_d0"][chosen], tracks["var_z0"][chosen]
    covariance[:, 0, 1] = covariance[:, 1, 0] = tracks["cov_d0_z0"][chosen]
    return derivatives, np.asarray(np.linalg.inv(covariance), dtype=np.float64)


_FIELDS = (
    *("x", "y", "z", "var_x", "var_y", "var_z", "cov_x_y", "cov_x_z", "cov_y_z"),
    *("chi2", "ndf", "n_tracks", "sum_pt2"),
)


def _table(rows: list[tuple[float, ...]]) -> Table:
    array = np.array(rows, dtype=np.float64).reshape(-1, len(_FIELDS))
    return dict(zip(_FIELDS, array.T, strict=True))
