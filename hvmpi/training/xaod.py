"""The containers of athena's AODs and DAODs, read with uproot.

A variable ``pt`` of a container ``AntiKt4EMTopoJets`` stands in the branch
``AntiKt4EMTopoJetsAux.pt`` or ``AntiKt4EMTopoJetsAuxDyn.pt`` of the tree ``CollectionTree``; newer
files have an RNTuple ``EventData`` and a colon for the point. `VARIABLES` says which are read and
which must be there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError, SetupError
from hvmpi.training.variables import Table

__all__ = ["CONTAINERS", "SAMPLINGS", "TRACK_COUNTS", "VARIABLES", "Store", "Variable"]

CONTAINERS = {
    "event": ("EventInfo",),
    "jets": ("AntiKt4EMTopoJets", "AntiKt4EMPFlowJets", "AnalysisJets"),
    "tracks": ("InDetTrackParticles",),
    "large-radius tracks": ("InDetLargeD0TrackParticles",),
    "clusters": ("CaloCalTopoClusters",),
    "vertices": ("PrimaryVertices",),
    "truth particles": ("TruthParticles", "TruthBSMWithDecayParticles"),
    "truth vertices": ("TruthVertices", "TruthBSMWithDecayVertices"),
}
"""Names of the containers; of several the first that is there is read."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that is read.

    Attributes
    ----------
    kind : str
        Of the container, a key of `CONTAINERS`.
    name : str
    needed : bool
        Whether nothing can be made without it.
    scale : float
        Times this it is in GeV, mm, ns.
    """

    kind: str
    name: str
    needed: bool = False
    scale: float = 1.0


_MEV = 1e-3


def _track_variables(kind: str, *, needed: bool) -> tuple[Variable, ...]:
    return (
        *(Variable(kind, name, needed) for name in ("d0", "z0", "phi", "theta")),
        Variable(kind, "qOverP", needed, 1.0 / _MEV),
        *(Variable(kind, name) for name in ("vz", "chiSquared", *TRACK_COUNTS)),
    )


TRACK_COUNTS = {
    "numberOfPixelHits": "n_pixel",
    "numberOfSCTHits": "n_strip",
    "numberOfPixelHoles": "holes_pixel",
    "numberOfSCTHoles": "holes_strip",
    "numberOfPixelSharedHits": "shared",
    "numberOfSCTSharedHits": "shared",
}

VARIABLES = (
    Variable("event", "eventNumber", needed=True),
    # One of them must be there; the first is the sample's.
    Variable("event", "mcChannelNumber"),
    Variable("event", "runNumber"),
    Variable("event", "mcEventWeights"),
    *(Variable("jets", name, True, _MEV) for name in ("pt", "m", "EnergyPerSampling")),
    *(Variable("jets", name, needed=True) for name in ("eta", "phi")),
    *(Variable("jets", name) for name in ("Width", "N90Constituents", "Timing")),
    *_track_variables("tracks", needed=True),
    *_track_variables("large-radius tracks", needed=False),
    *(Variable("clusters", name, scale=_MEV) for name in ("rawE", "calE", "e_sampl")),
    *(
        Variable("clusters", f"{scale}{angle}")
        for scale in ("raw", "cal")
        for angle in ("Eta", "Phi")
    ),
    # The pattern was a member of the clusters before it was a variable like others.
    *(Variable("clusters", name) for name in ("time", "samplingPattern", "m_samplingPattern")),
    *(Variable("vertices", name) for name in ("z", "vertexType")),
    Variable("truth particles", "pdgId", needed=True),
    *(Variable("truth particles", name, True, _MEV) for name in ("px", "py", "pz", "m")),
    *(
        Variable("truth particles", f"{link}VtxLink.{part}", needed=True)
        for link in ("prod", "decay")
        for part in ("m_persKey", "m_persIndex")
    ),
    *(Variable("truth vertices", axis, needed=True) for axis in ("x", "y", "z")),
)
"""What is read. Containers of truth that are there but always empty have no variables."""

SAMPLINGS = (
    *("presampler", "em1", "em2", "em3") * 2,
    *("hec1", "hec2", "hec3", "hec4"),
    *("tile1", "tile2", "tile3") * 3,
    *("fcal1", "fcal2", "fcal3"),
)
"""Layers by number of ``CaloSampling``: PreSamplerB, EMB1-3, PreSamplerE, EME1-3, HEC0-3,
TileBar0-2, TileGap1-3, TileExt0-2, FCAL0-2; the gap scintillators go by their number."""

_TREES = ("CollectionTree", "EventData")


class Store:
    """The containers of an open file.

    Parameters
    ----------
    path : Path
    jets : str
        The container of jets; empty: the first of `CONTAINERS` that is there.

    Attributes
    ----------
    names : dict of str to str
        Of the containers, by kind; empty: there is none.

    Raises
    ------
    InputError
        If it cannot be read or is no AOD.
    SetupError
        If uproot is not installed.
    """

    def __init__(self, path: Path, jets: str) -> None:
        try:
            import awkward
            import uproot
        except ImportError as error:
            msg = f"{error.name} is not installed: pip install 'hvmpi[xaod]'"
            raise SetupError(msg) from None
        self._path, self._ak = path, awkward
        self._damage = (
            *(OSError, ValueError, KeyError, IndexError, TypeError, EOFError, AssertionError),
            *(struct.error, zlib.error, NotImplementedError, uproot.DeserializationError),
        )
        with self.reading():
            self._file = uproot.open(path)
            there = set(self._file.keys(cycle=False))
            name = next((tree for tree in _TREES if tree in there), "")
            if name:
                self._tree = self._file[name]
                self._branches = {
                    key.rpartition("/")[2]: key for key in self._tree.keys(recursive=True)
                }
        if not name:
            self._file.close()
            raise InputError(f"'{path}' has no {' and no '.join(_TREES)}: it is no AOD of athena")
        self._asked = {**CONTAINERS, "jets": (jets,) if jets else CONTAINERS["jets"]}
        self.names = {kind: self._container(names) for kind, names in self._asked.items()}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what comes of a bad file into an `InputError`."""
        try:
            yield
        except self._damage as error:
            raise InputError(f"'{self._path}' cannot be read: {error}") from error

    def _container(self, names: Sequence[str]) -> str:
        for name in names:
            prefixes = (f"{name}Aux.", f"{name}AuxDyn.", f"{name}Aux:", f"{name}AuxDyn:")
            if any(branch.startswith(prefixes) for branch in self._branches):
                return name
        return ""

    def _branch(self, variable: Variable) -> str | None:
        name = self.names[variable.kind]
        branches = [f"{name}{aux}{variable.name}" for aux in ("Aux.", "AuxDyn.", ".")]
        branches += [f"{name}{aux}{variable.name}" for aux in ("Aux:", "AuxDyn:", ":")]
        return next((self._branches[name] for name in branches if name in self._branches), None)

    def has(self, kind: str, *names: str) -> bool:
        """Say whether all of some variables are there."""
        return all(self._branch(Variable(kind, name)) is not None for name in names)

    def check(self) -> None:
        """Raise an `InputError` that names the branches that must be there and are not."""
        missing = []
        for variable in VARIABLES:
            kind = variable.kind
            if not variable.needed or self._branch(variable) is not None:
                continue
            if kind.startswith("truth") and self._is_empty(kind):
                continue
            container = self.names[kind] or " or ".join(self._asked[kind])
            missing.append(f"{container}Aux.{variable.name}")
        if not self.has("event", "mcChannelNumber") and not self.has("event", "runNumber"):
            missing.append("EventInfoAux.mcChannelNumber")
        if missing:
            raise InputError(
                f"'{self._path}' lacks what training variables are made of: {', '.join(missing)}"
            )

    def _is_empty(self, kind: str) -> bool:
        """Say whether a container is there without variables, as it is where no event had any."""
        return bool(self.names[kind]) and not any(
            self._branch(variable) for variable in VARIABLES if variable.kind == kind
        )

    def __len__(self) -> int:
        return int(self._tree.num_entries)

    def event(self, start: int, stop: int) -> Table:
        """Return variables of events; of the weights the first, 1 where there is none."""
        arrays = self._arrays("event", start, stop)
        weights = arrays.pop("mcEventWeights", None)
        table: Table = {name: np.asarray(array).astype(np.int64) for name, array in arrays.items()}
        table["weight"] = np.ones(stop - start)
        if weights is not None:
            first = self._ak.fill_none(self._ak.firsts(weights), 1.0)
            table["weight"] = np.asarray(first, dtype=np.float64)
        return table

    def table(self, kind: str, start: int, stop: int) -> Table:
        """Return flat arrays of a container's variables, and the ``event`` of each entry.

        What holds several values an entry, energies by sampling, has shape (n, 24).
        """
        arrays = self._arrays(kind, start, stop)
        member = arrays.pop("m_samplingPattern", None)
        patterns = arrays.pop("samplingPattern", member)
        table: Table = {"event": np.zeros(0, dtype=np.int64)}
        for name, values in arrays.items():
            counts = self._ak.num(values, axis=1)
            event = np.repeat(np.arange(stop - start), np.asarray(counts))
            if len(table) > 1 and not np.array_equal(event, table["event"]):
                raise InputError(
                    f"'{self._path}' is damaged: {self.names[kind]} has variables of different"
                    " lengths"
                )
            table["event"] = event
            flat = self._ak.flatten(values, axis=1)
            if name == "EnergyPerSampling":
                table[name] = self._by_sampling(flat)
            elif name == "e_sampl" and patterns is not None:
                table[name] = self._by_pattern(flat, self._ak.flatten(patterns))
            elif name != "e_sampl":
                table[name] = np.asarray(flat)
        return table

    def _arrays(self, kind: str, start: int, stop: int) -> dict[str, Any]:
        found = {}
        for variable in VARIABLES:
            branch = self._branch(variable) if variable.kind == kind else None
            if branch is not None:
                with self.reading():
                    values = self._tree[branch].array(entry_start=start, entry_stop=stop)
                scaled = values if variable.scale == 1.0 else values * variable.scale
                found[variable.name] = scaled
        return found

    def _by_sampling(self, energies: Any) -> NDArray[np.float64]:
        """Return energies by sampling that begin with the first, cut or filled to all."""
        padded = self._ak.pad_none(energies, len(SAMPLINGS), axis=1, clip=True)
        filled = np.asarray(self._ak.fill_none(padded, 0.0), dtype=np.float64)
        return filled.reshape(-1, len(SAMPLINGS))

    def _by_pattern(self, energies: Any, patterns: Any) -> NDArray[np.float64]:
        """Return energies by sampling of clusters, which hold them for the bits of a pattern."""
        bits = np.asarray(patterns)[:, np.newaxis] >> np.arange(32, dtype=np.uint32) & 1 == 1
        flat = np.asarray(self._ak.flatten(energies), dtype=np.float64)
        if not np.array_equal(bits.sum(axis=1), np.asarray(self._ak.num(energies))):
            raise InputError(
                f"'{self._path}' is damaged: {self.names['clusters']} has energies by sampling that"
                " do not fit its sampling patterns"
            )
        by_sampling = np.zeros(bits.shape)
        by_sampling[bits] = flat
        return by_sampling[:, : len(SAMPLINGS)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
