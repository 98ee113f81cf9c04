"""The reference: the same distributions and curves of samples that were made and validated before.

``data/reference.json`` is written by ``docs/validation/reference.py`` and says what it was made of.
A sample is known by its settings for Pythia, whatever its run number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.eventdata import Table, hash_of_settings
from hvmpi.openchain.processes import Process
from hvmpi.report.histograms import JETS, filled
from hvmpi.report.points import CURVES, Points, measured
from hvmpi.report.variables import Quantity

__all__ = ["Component", "Reference", "component_of", "pythia_hash", "reference"]

Floats = NDArray[np.float64]


_POINTS = ("values", "errors", "entries")


def _plain(values: Any) -> Any:
    """Return an array as JSON has it, which knows no NaN."""
    if isinstance(values, np.ndarray):
        return [_plain(value) for value in values]
    return float(values) if np.isfinite(values) else None


@dataclass(frozen=True)
class Component:
    """What the reference has of one sample.

    Attributes
    ----------
    name : str
    events : int
    sums, squares : mapping of str to ndarray, shape (n_bins + 2,)
        Of the histograms of jets, by column: sums of weights and of their squares.
    points : mapping of str to Points
        Measured in bins, by name of the curve.
    """

    name: str
    events: int
    sums: Mapping[str, Floats]
    squares: Mapping[str, Floats]
    points: Mapping[str, Points]

    def as_json(self) -> dict[str, Any]:
        """Return it as the file has it."""
        return {
            "name": self.name,
            "events": self.events,
            "jets": {
                name: {"sums": self.sums[name].tolist(), "squares": self.squares[name].tolist()}
                for name in self.sums
            },
            "points": {
                name: {field: _plain(getattr(points, field)) for field in _POINTS}
                for name, points in self.points.items()
            },
        }

    @classmethod
    def from_json(cls, made: Mapping[str, Any]) -> Component:
        """Undo `as_json`."""
        jets = made["jets"]
        return cls(
            made["name"],
            made["events"],
            {name: np.array(one["sums"]) for name, one in jets.items()},
            {name: np.array(one["squares"]) for name, one in jets.items()},
            {
                name: Points(*(np.array(one[field], dtype=np.float64) for field in _POINTS))
                for name, one in made["points"].items()
            },
        )


@dataclass(frozen=True)
class Reference:
    """All samples of the reference.

    Attributes
    ----------
    made : dict
        Versions, seed, settings hash of the chain, how to make it again.
    components : mapping of str to Component
        By hash of Pythia's settings.
    """

    made: Mapping[str, Any]
    components: Mapping[str, Component]

    def of(self, samples: Sequence[Process | None], mu: float) -> tuple[Component, ...] | str:
        """Return the components of samples, or why the reference does not apply to them."""
        if mu:
            return f"pile-up, mu = {mu:g}, and the reference has none"
        found = []
        for process in samples:
            if process is None:
                return "it is not known how its events were made"
            component = self.components.get(pythia_hash(process))
            if component is None:
                names = ", ".join(component.name for component in self.components.values())
                return f"other masses, lifetime or settings than the reference, which has {names}"
            found.append(component)
        return tuple(found)


def pythia_hash(process: Process) -> str:
    """Return what a sample is known by: a hash of its settings for Pythia."""
    return hash_of_settings({"pythia": list(process.settings)})


def component_of(name: str, events: int, tables: Mapping[Quantity, Table]) -> Component:
    """Measure a sample as the reference has it."""
    jets = tables[Quantity.JETS]
    made = {column: filled(axis, jets[column], jets["weight"]) for column, axis in JETS.items()}
    return Component(
        name,
        events,
        {column: one.values(flow=True) for column, one in made.items()},
        {column: one.variances(flow=True) for column, one in made.items()},
        {curve.name: measured(curve, tables[curve.quantity]) for curve in CURVES},
    )


@cache
def reference() -> Reference:
    """Return the reference that is part of hvmpi."""
    text = resources.files("hvmpi.report").joinpath("data", "reference.json").read_text("utf-8")
    made = json.loads(text)
    components = {
        digest: Component.from_json(one) for digest, one in made.pop("components").items()
    }
    return Reference(made, components)
