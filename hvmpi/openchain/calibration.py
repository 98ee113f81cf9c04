"""The calibration of jets: constants of their energy scale, and the file that they stand in.

`hvmpi.openchain.response` derives them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from hvmpi.errors import InputError, SetupError
from hvmpi.files import write_whole
from hvmpi.stopwatch import Part, spent_on

__all__ = [
    "Calibration",
    "Response",
    "calibration_hash",
    "curve",
    "jet_calibration",
    "read_calibration",
]

SCHEMA, SCHEMA_VERSION = "hvmpi.jet_calibration", 1
_FILE = "jet_calibration.json"


@dataclass(frozen=True, slots=True)
class Response:
    """The mean response in one bin of abs(eta).

    Attributes
    ----------
    pt_em : tuple of float
        GeV, ascending: mean pT at electromagnetic scale in bins of the true pT.
    response : tuple of float
        Mean pT at electromagnetic scale over true pT; not falling. Between the bins it is a
        monotonic cubic in ln(pt_em) (Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984)
        300), beyond them constant.
    error : tuple of float
        Statistical, of the response.
    jets : tuple of int
        Without weights.
    """

    pt_em: tuple[float, ...]
    response: tuple[float, ...]
    error: tuple[float, ...]
    jets: tuple[int, ...]


# The response is looked up between the values at this many pT, equidistant in the logarithm.
_NODES = 512


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants of the jets' energy scale.

    Attributes
    ----------
    abs_eta_edges : tuple of float
        Of the bins, ascending. Beyond the last one its constants hold.
    responses : tuple of Response
        One a bin.
    provenance : mapping
        What they were derived from.
    """

    abs_eta_edges: tuple[float, ...]
    responses: tuple[Response, ...]
    provenance: Mapping[str, Any]
    _log_pt: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _values: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends = [np.log(response.pt_em) for response in self.responses]
        low, high = min(end[0] for end in ends), max(end[-1] for end in ends)
        nodes = np.linspace(low, max(high, low + 1e-6), _NODES)
        values = [
            curve(end, response.response)(np.clip(nodes, end[0], end[-1]))
            for end, response in zip(ends, self.responses, strict=True)
        ]
        object.__setattr__(self, "_log_pt", nodes)
        object.__setattr__(self, "_values", np.array(values))

    def response(
        self, eta: NDArray[np.floating], pt_em: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return the mean response of jets; they are arrays of one length, pT in GeV."""
        row = np.searchsorted(self.abs_eta_edges, np.abs(eta), side="right") - 1
        row = np.clip(row, 0, len(self.responses) - 1)
        step = self._log_pt[1] - self._log_pt[0]
        place = np.clip((np.log(pt_em) - self._log_pt[0]) / step, 0.0, _NODES - 1.0)
        left = np.minimum(place.astype(np.int64), _NODES - 2)
        share = place - left
        values = self._values[row, left] * (1.0 - share) + self._values[row, left + 1] * share
        return np.asarray(values, dtype=np.float64)

    def factor(self, eta: NDArray[np.floating], pt_em: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what to multiply pT and mass of jets with.

        Parameters
        ----------
        eta : ndarray of float, shape (n_jets,)
        pt_em : ndarray of float, shape (n_jets,)
            GeV, electromagnetic scale.
        """
        return 1.0 / self.response(eta, pt_em)

    def write(self, path: Path) -> None:
        """Write the constants to a file, whole or not at all."""
        bins = [
            {"abs_eta": [low, high]} | {name: list(getattr(response, name)) for name in _COLUMNS}
            for low, high, response in zip(
                self.abs_eta_edges, self.abs_eta_edges[1:], self.responses, strict=False
            )
        ]
        content = {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "provenance": dict(self.provenance),
            "unit": {"pt_em": "GeV"},
            "bins": bins,
        }
        try:
            with write_whole(path) as beside:
                beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise SetupError(f"cannot write '{path}': {error.strerror or error}") from error


_COLUMNS = ("pt_em", "response", "error", "jets")


def curve(log_pt: NDArray[np.float64], response: Sequence[float] | NDArray[np.float64]) -> Any:
    """Return the function through some points, for places between the first and the last."""
    if len(log_pt) == 1:
        return lambda place: np.full(len(place), response[0])
    return PchipInterpolator(log_pt, response)


# --- reading ---------------------------------------------------------------------------------


def read_calibration(path: Path) -> Calibration:
    """Read constants that `Calibration.write` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another schema or version.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"'{path}' holds no calibration of jets ({error})") from error


@cache
@spent_on(Part.LOAD)
def jet_calibration() -> Calibration:
    """Return the constants that are shipped; read once a process."""
    return _parsed(_shipped())


@cache
def calibration_hash() -> str:
    """Return the SHA-256 of the constants that are shipped, in hexadecimal."""
    return hashlib.sha256(_shipped().encode()).hexdigest()


def _shipped() -> str:
    return resources.files("hvmpi.openchain").joinpath("data", _FILE).read_text("utf-8")


def _parsed(text: str) -> Calibration:
    content = json.loads(text)
    if (content["schema"], content["schema_version"]) != (SCHEMA, SCHEMA_VERSION):
        raise ValueError(
            f"schema {content['schema']} version {content['schema_version']}, expected"
            f" {SCHEMA} version {SCHEMA_VERSION}"
        )
    bins = content["bins"]
    edges = (float(bins[0]["abs_eta"][0]), *(float(row["abs_eta"][1]) for row in bins))
    if not (np.diff(edges) > 0.0).all():
        raise ValueError("the bins' abs_eta must rise")
    responses = tuple(Response(**{name: tuple(row[name]) for name in _COLUMNS}) for row in bins)
    for response in responses:
        _check(response)
    return Calibration(edges, responses, content["provenance"])


def _check(response: Response) -> None:
    pt_em, values = np.array(response.pt_em), np.array(response.response)
    if not (len(values) == len(pt_em) > 0 and pt_em[0] > 0.0 and values[0] > 0.0):
        raise ValueError("pt_em and response must be as many, and above 0")
    if not ((np.diff(pt_em) > 0.0).all() and (np.diff(values) >= 0.0).all()):
        raise ValueError("pt_em must rise and response not fall")
