"""HDF5 files: those of ours appear whole or not at all, those of others are data and no more."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from hvmpi.errors import InputError, SetupError
from hvmpi.files import write_whole

__all__ = [
    "COMPRESSION",
    "LIBVER",
    "GrowingArray",
    "InputFile",
    "WholeFile",
    "read_rows",
    "write_rows",
]

# Why: docs/formats.md.
COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
"""What every reader of HDF5 can undo without a plug-in."""


LIBVER = "v110"
"""From version 1.10 on HDF5 indexes small datasets in a few bytes instead of 2 kB each."""

_SMALL = 64 << 20
"""Bytes that an array may claim however few are stored."""

_MOST_OF_ONE = 1100
"""Bytes that one stored byte may stand for: gzip makes at most 1032 of one."""

_MOST_AT_ONCE = 1 << 30
"""Bytes of a table that is kept in memory as a whole."""

Kind = TypeVar("Kind")


class WholeFile:
    """An HDF5 file that gets its name when it is whole; after an exception nothing is left.

    Used as a context.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    mode : int
        What of it the user's umask leaves is the file's.
    synced : bool
        Whether it is on the disk when it has its name.

    Attributes
    ----------
    file : h5py.File

    Raises
    ------
    SetupError
        If it cannot be written.
    """

    def __init__(self, path: Path, mode: int = 0o666, *, synced: bool = True) -> None:
        self._path = path
        self._mode = mode
        self._synced = synced
        self.file: Any = None

    def __enter__(self) -> Self:
        with self._writing(), ExitStack() as opened:
            partial = opened.enter_context(write_whole(self._path, self._mode, synced=self._synced))
            self._disk = _Disk(partial, "w+")
            opened.callback(self._disk.check)
            opened.enter_context(self._disk)
            self.file = opened.enter_context(h5py.File(self._disk, "w", libver=LIBVER))
            self._opened = opened.pop_all()
        return self

    def check(self) -> None:
        """Raise `SetupError` if something could not be written."""
        with self._writing():
            self._disk.check()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._writing():
            self._opened.__exit__(kind, error, trace)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            msg = f"cannot write '{self._path}': {error.strerror or error}"
            raise SetupError(msg) from error


class _Disk(io.FileIO):
    """A file that remembers its first error and goes on as if there had been none.

    HDF5 cannot close a file after a failed write, and may take the process with it.
    """

    _error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or take note."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            self._error = self._error or error
        return size

    def check(self) -> None:
        """Raise the first error."""
        if self._error is not None:
            raise self._error


def read_rows(dataset: Any, start: int, stop: int) -> NDArray[Any]:
    """Return rows of a table as they are.

    h5py would go through all of them where a column has an enum's names, in five times as long.
    """
    kind = dataset.id.get_type()
    if stop <= start or not kind.equal(h5py.h5t.py_create(dataset.dtype, logical=True)):
        return np.asarray(dataset[start:stop])
    rows = np.empty(stop - start, dtype=dataset.dtype)
    dataset.id.read(*_spaces(dataset, start, stop), rows, kind)
    return rows


def write_rows(dataset: Any, start: int, rows: NDArray[Any]) -> None:
    """Write rows of a table."""
    if len(rows):
        as_in_file = np.ascontiguousarray(rows, dtype=dataset.dtype)
        spaces = _spaces(dataset, start, start + len(rows))
        dataset.id.write(*spaces, as_in_file, dataset.id.get_type())


def _spaces(dataset: Any, start: int, stop: int) -> tuple[Any, Any]:
    in_file = dataset.id.get_space()
    in_file.select_hyperslab((start,), (stop - start,))
    return h5py.h5s.create_simple((stop - start,)), in_file


class GrowingArray:
    """An array of one dimension in a file of ours, compressed, to which rows are added.

    By h5py's own functions for single steps: a product has 150 arrays, and what h5py makes of an
    array, of its name, its type and an attribute each time costs more than HDF5's part of it. An
    array stays open, as HDF5 compresses a part of a chunk anew whenever it is closed on it.

    Parameters
    ----------
    group : h5py.Group
    name : str
    dtype : numpy.dtype
    chunk : int
        Rows that are compressed together, 1 or more.
    **attributes : str
        What the array says of itself.
    """

    def __init__(
        self, group: Any, name: str, dtype: np.dtype[Any], chunk: int, **attributes: str
    ) -> None:
        space = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
        self._array = h5py.h5d.create(
            group.id, name.encode(), _type(dtype), space, _creation(chunk)
        )
        scalar = h5py.h5s.create(h5py.h5s.SCALAR)
        for key, text in attributes.items():
            attribute = h5py.h5a.create(self._array, key.encode(), _type(_TEXT), scalar)
            attribute.write(np.array(text, dtype=_TEXT))
        self._dtype = dtype
        self._rows = 0

    def append(self, values: NDArray[Any]) -> None:
        """Add rows; they are converted to the array's type."""
        count = len(values)
        if count == 0:
            return
        new = np.ascontiguousarray(values, dtype=self._dtype)
        self._array.set_extent((self._rows + count,))
        place = self._array.get_space()
        place.select_hyperslab((self._rows,), (count,))
        self._array.write(h5py.h5s.create_simple((count,)), place, new)
        self._rows += count

    def close(self) -> None:
        """Let HDF5 put it into the file; nothing can be added after it."""
        self._array.close()


_TEXT = h5py.string_dtype()


@cache
def _type(dtype: np.dtype[Any]) -> Any:
    return h5py.h5t.py_create(dtype, logical=True)


@cache
def _creation(chunk: int) -> Any:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    # The same arrays are the same bytes, whenever they are written.
    made.set_obj_track_times(False)
    made.set_chunk((chunk,))
    made.set_shuffle()
    made.set_deflate(COMPRESSION["compression_opts"])
    return made


class InputFile:
    """An HDF5 file that anybody may have made, read as data.

    What is asked for must lie in the file itself, not behind a link or in a file that it names, and
    be no larger than its bytes can make it: that is looked at before memory is taken.

    Used as a context.

    Parameters
    ----------
    path : Path
    image : BytesIO, optional
        The file's bytes, where it is none on disk; `path` is what it is called.

    Attributes
    ----------
    path : Path

    Raises
    ------
    InputError
        In every method: if the file or what is asked for is missing, damaged or not what it should
        be; names both.
    """

    def __init__(self, path: Path, image: io.BytesIO | None = None) -> None:
        self.path = path
        if image is None and not path.is_file():
            raise InputError(f"there is no file '{path}'")
        try:
            self._file = h5py.File(image or path, "r", locking=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"'{path}' is not a whole HDF5 file; make it again ({error})"
            ) from error
        self._datasets: dict[str, Any] = {}

    def check_schema(self, schema: str, version: int) -> None:
        """Refuse a file of another schema or version."""
        found = [
            self.attribute(name, object) if name in self._file.attrs else "none"
            for name in ("schema", "schema_version")
        ]
        if found != [schema, version]:
            raise InputError(
                f"'{self.path}' has schema {found[0]} version {found[1]}, expected {schema} version"
                f" {version}"
            )

    def attribute(self, name: str, kind: type[Kind]) -> Kind:
        """Return an attribute of the file, a single value."""
        try:
            attributes = self._file.attrs
            value = attributes[name] if attributes.get_id(name).shape == () else None
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            self.refuse(name, f"cannot be read ({error})")
        if isinstance(value, np.generic):
            value = value.item()
        if not isinstance(value, kind):
            self.refuse(name, "is not of the type that it should be")
        return value

    def has_attribute(self, name: str) -> bool:
        """Whether the file has an attribute of a name, whatever it is."""
        return name in self._file.attrs

    def json(self, name: str) -> dict[str, Any]:
        """Return what an attribute of the file says: a JSON object."""
        text = self.attribute(name, str)
        try:
            values = json.loads(text)
        except (RecursionError, ValueError) as error:
            self.refuse(name, f"is no JSON ({error})")
        if not isinstance(values, dict):
            self.refuse(name, "is no JSON object")
        return values

    def __contains__(self, name: str) -> bool:
        """Whether there is something of a name, whatever it is."""
        return bool(self._file.id.links.exists(name.encode()))

    def dataset(self, name: str) -> Any:
        """Return an ``h5py.Dataset`` with a size and a place that can be believed.

        Parameters
        ----------
        name : str
            With the groups that it is in, ``group/array``.
        """
        if name not in self._datasets:
            try:
                self._datasets[name] = self._checked(name)
            except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
                self.refuse(name, f"cannot be read ({error})")
        return self._datasets[name]

    def _checked(self, name: str) -> Any:
        found: Any = self._file
        for part in name.split("/"):
            if not isinstance(found, h5py.Group):
                self.refuse(name, "is in no group")
            links = found.id.links
            if not links.exists(part.encode()):
                self.refuse(name, "is not there")
            # Before it is followed.
            if links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
                self.refuse(name, "is a link to another place, which is not followed")
            found = found[part]
        if not isinstance(found, h5py.Dataset) or found.shape is None:
            self.refuse(name, "is no array")
        if found.is_virtual or found.external:
            self.refuse(name, "is kept in other files, which are not opened")
        if found.dtype.hasobject:
            self.refuse(name, "has values without a fixed size")
        rows = math.prod(map(int, found.shape))
        claimed = max(rows, math.prod(found.chunks or ())) * found.dtype.itemsize
        if claimed > _SMALL:
            stored = min(found.id.get_storage_size(), self._file.id.get_filesize())
            if claimed > _MOST_OF_ONE * stored:
                self.refuse(name, f"claims {claimed} bytes and has {stored} in the file")
        return found

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows of an array; all that follow `start` if no `stop` is given."""
        dataset = self.dataset(name)
        try:
            if dataset.ndim == 1 and dataset.dtype.names is not None:
                return read_rows(dataset, *slice(start, stop).indices(len(dataset))[:2])
            return np.asarray(dataset[start:stop])
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            self.refuse(name, f"cannot be read ({error})")

    def table(self, name: str, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
        """Return a whole array of one dimension, to be kept; of `dtype` if that is given."""
        dataset = self.dataset(name)
        if dataset.ndim != 1:
            self.refuse(name, f"has {dataset.ndim} dimensions, not 1")
        if dtype is not None and dataset.dtype != dtype:
            self.refuse(name, f"is of type {dataset.dtype}, not {dtype}")
        if dataset.nbytes > _MOST_AT_ONCE:
            self.refuse(name, f"is of {dataset.nbytes} bytes, more than {_MOST_AT_ONCE}")
        return self.read(name)

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raise an `InputError` for what is called `name`: that it is so or does so."""
        raise InputError(f"'{self.path}' is damaged: '{name}' {why}; make it again")

    def close(self) -> None:
        """Close the file; for an end without a context."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
