"""Configs of campaigns at the stand-in's site."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from ..conftest import Place
from .site import StandIn

__all__ = ["CONFIGS", "TAGS", "config", "tag"]

CONFIGS = Path(__file__).parents[2] / "configs"
TAGS = CONFIGS / "tags"


def config(
    place: Place,
    standin: StandIn,
    tags: Sequence[str],
    *,
    site: Mapping[str, Any] | None = None,
    name: str = "campaign",
    **settings: Any,
) -> Path:
    """Write a config with the tags beside it, as copies that a test may change.

    Parameters
    ----------
    place : Place
    standin : StandIn
    tags : sequence of str
        Shipped ones are copied; others must be there.
    site : mapping, optional
        Further keys of ``[site]``, as `StandIn.site` takes them.
    name : str
    settings
        With underscores for hyphens.
    """
    (place.root / "tags").mkdir(exist_ok=True)
    for one in tags:
        copy = place.root / f"tags/{one}.toml"
        if not copy.exists() and (TAGS / copy.name).exists():
            shutil.copy(TAGS / copy.name, copy)
    values = {key.replace("_", "-"): value for key, value in settings.items()}
    table = {"engine": "athena", "tags": list(tags), **values, "site": standin.site(**site or {})}
    path = place.root / f"{name}.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def tag(place: Place, name: str, **keys: Any) -> str:
    """Write a tag that simulates, but for what `keys` say; returns its name."""
    usual = {
        "transform": "Sim_tf.py",
        "release": "Athena,23.0.53",
        "input": "EVNT",
        "output": ["HITS"],
        "arguments": {},
    }
    (place.root / "tags").mkdir(exist_ok=True)
    (place.root / f"tags/{name}.toml").write_text(tomli_w.dumps({"name": name, **usual, **keys}))
    return name
