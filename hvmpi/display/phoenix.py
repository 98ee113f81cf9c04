"""An event for Phoenix, the event display of the HEP Software Foundation.

The format is that of Phoenix's guide ``event_data_format.md`` and its reader ``PhoenixLoader``
(phoenix-event-display 3.0): an object of events by name, in it collections by type. Lengths are in
mm, energies in MeV.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.display.descriptions import heading
from hvmpi.display.drawing import Drawing
from hvmpi.display.paths import along_layers
from hvmpi.display.styles import STYLES
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.jets import RADIUS
from hvmpi.openchain.schemas import LAYERS, PERIGEE

__all__ = ["phoenix"]

_MEV = 1e3

_COLLECTIONS = {
    "tracks": "Tracks",
    "other_tracks": "OtherTracks",
    "large_radius": "LargeRadiusTracks",
}
"""Names of collections of tracks by style. A collection is known by its name alone, of any type."""


def phoenix(drawing: Drawing) -> str:
    """Write an event in Phoenix's format; its text is JSON.

    Tracks come as points, as this display draws them, and as perigee parameters. Clusters stand at
    the mean depth of their energy. True particles are tracks and vertices of their own.
    """
    scene = drawing.scene
    event = {
        "event number": scene.event_number,
        "run number": scene.run_number,
        "Tracks": _tracks(drawing) | _truth(scene.long_lived, scene.products),
        "CaloClusters": _clusters(scene.clusters),
        "Jets": {"Jets": _jets(scene.jets, drawing.rows["jets"])},
        "Electrons": {"Electrons": _leptons(drawing, scene.electrons, 11)},
        "Muons": {"Muons": _leptons(drawing, scene.muons, 13)},
        "MissingEnergy": {"MissingET": _missing_et(scene.missing_et)},
        "Vertices": {
            "PrimaryVertices": _vertices(drawing),
            "TrueDecays": _decays(scene.long_lived),
        },
    }
    return json.dumps({heading(scene): event}, allow_nan=False, separators=(",", ":")) + "\n"


def _colour(style: str) -> str:
    return STYLES[style].dark


def _track_colour(style: str) -> str:
    # Tracks' colours are read as hexadecimal numbers, those of all else as CSS has them.
    return "0x" + _colour(style).removeprefix("#")


def _rounded(values: NDArray[Any], digits: int) -> Any:
    return np.round(values.astype(np.float64), digits).tolist()


def _tracks(drawing: Drawing) -> dict[str, list[dict[str, Any]]]:
    tracks = drawing.scene.tracks
    perigee = np.stack([tracks[name] for name in PERIGEE], axis=1).astype(np.float64)
    perigee[:, 4] /= _MEV
    made = {}
    for style, collection in _COLLECTIONS.items():
        made[collection] = [
            {
                "pos": _rounded(tracks["path"][row], 3),
                "dparams": [float(f"{value:.6g}") for value in perigee[row]],
                "pT": round(float(tracks["pt"][row]) * _MEV, 1),
                "phi": round(float(tracks["phi"][row]), 4),
                "eta": round(float(tracks["eta"][row]), 4),
                "d0": round(float(tracks["d0"][row]), 4),
                "z0": round(float(tracks["z0"][row]), 4),
                "charge": int(tracks["charge"][row]),
                "chi2": round(float(np.nan_to_num(tracks["chi2"][row])), 2),
                "dof": int(tracks["ndf"][row]),
                "color": _track_colour(style),
            }
            for row in drawing.rows[style].tolist()
        ]
    return made


def _truth(long_lived: Table, products: Table) -> dict[str, list[dict[str, Any]]]:
    made = {}
    for collection, style, table in (
        ("TrueLongLived", "long_lived", long_lived),
        ("TrueDecayProducts", "products", products),
    ):
        pt = np.hypot(table["px"].astype(np.float64), table["py"])
        # Of less than three points Phoenix would make a track of its own.
        lines = np.stack([table["path"][:, 0], table["path"].mean(axis=1), table["path"][:, 1]], 1)
        made[collection] = [
            {
                "pos": _rounded(line, 3),
                "pT": round(momentum * _MEV, 1),
                "pdgId": pdg_id,
                "color": _track_colour(style),
            }
            for line, momentum, pdg_id in zip(
                lines, pt.tolist(), table["pdg_id"].tolist(), strict=True
            )
        ]
    return made


def _clusters(clusters: Table) -> dict[str, list[dict[str, Any]]]:
    """Return clusters, by the kind of most of their energy."""
    energy = np.stack([clusters[f"e_{layer}"] for layer in LAYERS], axis=1).astype(np.float64)
    near, far = along_layers(clusters["eta"].astype(np.float64), clusters["phi"])
    weight = np.where(np.isfinite(near), np.maximum(np.nan_to_num(energy), 0.0), 0.0)
    total = weight.sum(axis=1)
    # A distance from the origin: Phoenix calls it radius.
    depth = np.nansum(weight * 0.5 * (near + far), axis=1) / np.maximum(total, 1e-9)
    is_em = clusters["e_em"] >= clusters["e_had"]
    made = {}
    for collection, style, chosen in (
        ("EMClusters", "em", is_em),
        ("HadronicClusters", "had", ~is_em),
    ):
        rows = np.flatnonzero(chosen & (total > 0.0) & (clusters["e"] > 0.0)).tolist()
        made[collection] = [
            {
                "energy": round(float(clusters["e"][row]) * _MEV, 1),
                "eta": round(float(clusters["eta"][row]), 4),
                "phi": round(float(clusters["phi"][row]), 4),
                "radius": round(float(depth[row]), 1),
                "time": round(float(np.nan_to_num(clusters["time"][row])), 2),
                "color": _colour(style),
            }
            for row in rows
        ]
    return made


def _jets(jets: Table, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    pt, eta, mass = (jets[name].astype(np.float64) for name in ("pt", "eta", "mass"))
    energy = np.hypot(pt * np.cosh(eta), np.nan_to_num(mass))
    return [
        {
            "energy": round(float(energy[row]) * _MEV, 1),
            "pT": round(float(pt[row]) * _MEV, 1),
            "eta": round(float(eta[row]), 4),
            "phi": round(float(jets["phi"][row]), 4),
            "coneR": RADIUS,
            "color": _colour("jets"),
        }
        for row in rows.tolist()
    ]


def _leptons(drawing: Drawing, leptons: Table, pdg_id: int) -> list[dict[str, Any]]:
    links = {
        row: f"{collection}:{place}"
        for style, collection in _COLLECTIONS.items()
        for place, row in enumerate(drawing.rows[style].tolist())
    }
    made = []
    for row, track in enumerate(leptons["track"].tolist()):
        pt, eta = float(leptons["pt"][row]), float(leptons["eta"][row])
        lepton: dict[str, Any] = {
            "energy": round(pt * np.cosh(eta) * _MEV, 1),
            # One name for cuts, the other for leptons without a track.
            **dict.fromkeys(("pT", "pt"), round(pt * _MEV, 1)),
            "eta": round(eta, 4),
            "phi": round(float(leptons["phi"][row]), 4),
            "pdgId": -pdg_id if leptons["charge"][row] > 0 else pdg_id,
        }
        made.append(lepton | ({"LinkedTracks": [links[track]]} if track >= 0 else {}))
    return made


def _missing_et(missing: Table) -> list[dict[str, Any]]:
    return [
        {
            "etx": round(px * _MEV, 1),
            "ety": round(py * _MEV, 1),
            "et": round(math.hypot(px, py) * _MEV, 1),
            "color": _colour("missing_et"),
        }
        for px, py in zip(missing["px"].tolist(), missing["py"].tolist(), strict=True)
    ]


def _vertices(drawing: Drawing) -> list[dict[str, Any]]:
    vertices = drawing.scene.vertices
    tracks = len(drawing.rows["tracks"])
    return [
        {
            **{axis: round(float(vertices[axis][row]), 4) for axis in "xyz"},
            "vertexType": 1,
            "linkedTracks": list(range(tracks)),
            "linkedTrackCollection": _COLLECTIONS["tracks"],
            "color": _colour("vertices"),
        }
        for row in range(len(vertices["x"]))
    ]


def _decays(long_lived: Table) -> list[dict[str, Any]]:
    return [
        {
            **{axis: round(float(long_lived[f"decay_{axis}"][row]), 4) for axis in "xyz"},
            "pdgId": int(long_lived["pdg_id"][row]),
            "size": 30,
            "color": _colour("long_lived"),
        }
        for row in np.flatnonzero(np.isfinite(long_lived["decay_x"])).tolist()
    ]
