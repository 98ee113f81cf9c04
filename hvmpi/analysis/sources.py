"""The files that are opened together: which they are, what they hold, and reading from them."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvmpi.analysis.kinds import Kind, kind_of
from hvmpi.campaign.paths import MERGED_STEM, SUFFIXES, RunPaths
from hvmpi.errors import InputError, UsageError
from hvmpi.hdf5 import InputFile
from hvmpi.settings import load_run

__all__ = ["PRODUCTS", "Names", "Piece", "Source", "Sources", "find_files", "joined"]

Names = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A file, a pattern, a directory, a run's directory; or several."""

PRODUCTS = ("aod", "train", "hits", "rdo")
"""What can be opened of a run."""

_ENDINGS = SUFFIXES["openchain"]


# --- which files -----------------------------------------------------------------------------


def find_files(named: Names, product: str = "aod") -> list[Path]:
    """Give the files that are meant.

    Parameters
    ----------
    named : str, path or iterable of them
        Files, patterns (``*``, ``?``, ``[...]``, ``**``; what matches is sorted), directories,
        which stand for the products in them, and directories of runs.
    product : str
        What is meant of a run: one of `PRODUCTS`.

    Raises
    ------
    InputError
        If a pattern matches nothing, a directory holds no product, or a file is named twice.
    UsageError
        If there is no such product.
    """
    if product not in PRODUCTS:
        msg = f"there is no product {product!r} to be opened; choose from {', '.join(PRODUCTS)}"
        raise UsageError(msg)
    names = [named] if isinstance(named, str | os.PathLike) else list(named)
    files = [
        file for name in names for path in _matches(os.fspath(name)) for file in _at(path, product)
    ]
    if not files:
        raise InputError("no file was named; name files, a pattern or the directory of a run")
    seen: set[Path] = set()
    for file in files:
        place = file.resolve()
        if place in seen:
            raise InputError(f"'{file}' is named twice, and its events would count twice")
        seen.add(place)
    return files


def _matches(name: str) -> list[Path]:
    if not glob.has_magic(name) or Path(name).exists():
        return [Path(name)]
    # Path.glob takes no pattern that is absolute.
    matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
    if not matches:
        raise InputError(f"no file matches '{name}'")
    return [Path(match) for match in matches]


def _at(path: Path, product: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    if (path / "journal.jsonl").is_file():
        return _of_run(path, product)
    inside = sorted(file for one in PRODUCTS for file in path.glob(f"*.{_ENDINGS[one]}"))
    if not inside:
        raise InputError(f"'{path}' is no run, and holds no file of {', '.join(PRODUCTS)}")
    return inside


def _of_run(directory: Path, product: str) -> list[Path]:
    settings = load_run(directory)
    paths = RunPaths.of(directory, aod_dir=settings.aod_dir)
    merged = paths.product("merged", MERGED_STEM, _ENDINGS["merged"])
    if product == "train" and merged.is_file():
        return [merged]
    place = paths.product_directory(product)
    files = sorted(place.glob(f"*.{_ENDINGS[product]}"))
    if not files:
        raise InputError(
            f"run '{directory}' has no *.{_ENDINGS[product]} in '{place}'; it was made with engine"
            f" {settings.engine} and keep {', '.join(settings.keep)}"
        )
    return files


# --- what they hold --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was when it was opened.

    Attributes
    ----------
    path : Path
    kind : Kind
    rows : int
        Events, or jets of a training file.
    state : tuple of int
        What the file system said of it.
    """

    path: Path
    kind: Kind
    rows: int
    state: tuple[int, ...]

    def read(self, columns: Sequence[str], rows: range) -> dict[str, NDArray[Any]]:
        """Read some rows of columns, and nothing else.

        Raises
        ------
        InputError
            If the file is not what it was, or damaged.
        """
        if _state(self.path) != self.state:
            raise InputError(f"'{self.path}' is not what it was when it was opened; open it again")
        with InputFile(self.path) as file:
            return self.kind.read(file, self.rows, columns, rows)


Piece = tuple[Source, range]
"""Some rows of a file."""


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"cannot read '{path}' ({error.strerror})") from error
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class Sources:
    """Files of one kind, one after the other.

    Parameters
    ----------
    paths : sequence of Path
        One or more.

    Attributes
    ----------
    kind : Kind
    files : list of Source
    about : dict
        ``units`` and ``meanings`` by collection and column, the table of ``normalisation`` by
        column, a row an event file or a part of one, and ``provenance``: what the files say of
        their making, once each. Plain JSON.

    Raises
    ------
    InputError
        If a file is missing, damaged, or not of the first one's kind; names it.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.kind = kind_of(paths[0])
        self.files: list[Source] = []
        tables: list[NDArray[Any]] = []
        provenance: dict[str, Any] = {}
        for path in paths:
            state = _state(path)
            found = self.kind.look(path)
            # The process may stand elsewhere when a column is read.
            self.files.append(Source(path.absolute(), self.kind, found.rows, state))
            tables.append(found.normalisation)
            provenance.setdefault(json.dumps(found.provenance, sort_keys=True), found.provenance)
        self.about: dict[str, Any] = {
            "units": self._of_columns("unit"),
            "meanings": self._of_columns("meaning"),
            "normalisation": _plain(np.concatenate(tables)),
            "provenance": list(provenance.values()),
        }

    def _of_columns(self, attribute: str) -> dict[str, dict[str, str]]:
        return {
            name: {field.name: getattr(field, attribute) for field in fields}
            for name, fields in self.kind.tables.items()
        }

    def __len__(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def pieces(self) -> list[Piece]:
        """All rows of all files."""
        return [(file, range(file.rows)) for file in self.files]

    def blocks(self) -> Iterator[list[Piece]]:
        """Yield all rows of all files, a block of the kind's size at a time, wherever files end."""
        rows = room = self.kind.block
        block: list[Piece] = []
        for file, left in self.pieces:
            while len(left) >= room:
                yield [*block, (file, left[:room])]
                block, left, room = [], left[room:], rows
            if left:
                block.append((file, left))
                room -= len(left)
        if block or not len(self):
            yield block or self.pieces


def joined(pieces: Iterable[Piece], columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read columns of pieces of files, and join the pieces; of ``.../index`` to offsets."""
    parts = [file.read(columns, rows) for file, rows in pieces]
    return {column: _join(column, [part.pop(column) for part in parts]) for column in columns}


def _join(column: str, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    whole = np.concatenate(parts)
    return np.concatenate([[0], np.cumsum(whole)]) if column.endswith("/index") else whole


def _plain(table: NDArray[Any]) -> dict[str, list[Any]]:
    """Give a table as lists by the names of its columns, text as text."""
    columns: Mapping[str, NDArray[Any]] = {name: table[name] for name in table.dtype.names or ()}
    return {
        name: [text.decode("utf-8", "replace") for text in values.tolist()]
        if values.dtype.kind == "S"
        else values.tolist()
        for name, values in columns.items()
    }
