"""Events of athena's ROOT (POOL) files: how many, and their numbers where these are plain.

A TTree ``CollectionTree`` has one entry an event; newer files have an RNTuple instead. xAODs hold
event numbers as a variable of ``EventInfo``, other files in classes that only athena reads.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hvmpi.engine import EventCount
from hvmpi.errors import BadEventFileError, HvmpiError, InputError, SetupError

__all__ = ["TREES", "PoolCount", "count_entries", "count_pool", "event_count"]

TREES = ("CollectionTree", "EventData", "RNT:CollectionTree")
"""Names of what holds the events; of several the first that is there."""

_POOL_SIGNS = ("##Shapes", "##Links", "##Params", "MetaData", "RNT:MetaData")
"""What athena writes into a file without events, too."""

_MAGIC = b"root"
_BIG_VERSION = 1_000_000
_HEADER = {False: struct.Struct(">4siii"), True: struct.Struct(">4siiq")}
"""Magic, version, begin, end of a TFile; of a big one the end has 64 bits."""

_MOST_ELEMENTS = 1 << 26
"""In a page of an RNTuple: far beyond what is written, within what memory holds."""

_INTEGER_FIELD = re.compile(r"(std::)?u?int(32|64)_t")
_INTEGER_DTYPES = ("i4", "i8", "u4", "u8")


@dataclass(frozen=True, slots=True)
class PoolCount:
    """What a POOL file was found to hold.

    Attributes
    ----------
    events : int
    size : int
        Bytes.
    run_number : int or None
        Of the first event; None where it is not plain.
    event_numbers : ndarray of int64, shape (events,), or None
        None where they are not plain.
    """

    events: int
    size: int
    run_number: int | None
    event_numbers: npt.NDArray[np.int64] | None


def count_pool(path: Path) -> PoolCount:
    """Count the events of a POOL file, and read their numbers where these are plain.

    Raises
    ------
    BadEventFileError
        If it is empty, truncated, damaged, no ROOT file, no POOL file, or holds no events.
    InputError
        If it is not there or may not be read.
    SetupError
        If uproot is not installed.
    """
    with _opened(path) as (size, tree):
        events = _entries(path, tree)
        if not events:
            msg = f"{str(path)!r} holds 0 events"
            raise BadEventFileError(msg)
        numbers = _column(path, tree, "eventnumber", events)
        runs = _column(path, tree, "runnumber", 1)
        return PoolCount(events, size, None if runs is None else int(runs[0]), numbers)


def count_entries(path: Path) -> int:
    """Count the events of a POOL file and read nothing else; a file may hold none.

    Raises
    ------
    BadEventFileError
        If it is empty, truncated, damaged, no ROOT file or no POOL file.
    InputError
        If it is not there or may not be read.
    SetupError
        If uproot is not installed.
    """
    with _opened(path) as (_, tree):
        return _entries(path, tree)


def event_count(path: Path, expected: int | None) -> EventCount:
    """Count the events of an event file as an engine does; one whose numbers are not plain from 1.

    Raises
    ------
    BadEventFileError
        As `count_pool`, and if there are fewer than `expected`.
    InputError, SetupError
        As `count_pool`.
    """
    found = count_pool(path)
    if expected is not None and found.events < expected:
        msg = f"{str(path)!r} holds {found.events} events, {expected} were expected"
        raise BadEventFileError(msg)
    numbers = found.event_numbers
    known = numbers is not None
    if numbers is None:
        numbers = np.arange(1, found.events + 1, dtype=np.int64)
    return EventCount(numbers, found.size, found.run_number, known=known)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, Any]]:
    """Give a POOL file's size and its tree; None where it holds no events.

    Whatever uproot makes of rubbish becomes a `BadEventFileError`.
    """
    try:
        import uproot
    except ImportError as error:
        msg = f"{error.name} is not installed: pip install 'hvmpi[athena]'"
        raise SetupError(msg) from None
    try:
        file = path.open("rb")
    except OSError as error:
        msg = f"{str(path)!r} cannot be read ({error.strerror})"
        raise InputError(msg) from error
    with file, warnings.catch_warnings():
        # NumPy warns of the sums of damaged numbers.
        warnings.simplefilter("ignore")
        try:
            size = _check_header(path, file)
            # Its caches know a file by the identifier in it, which copies share.
            with uproot.open(
                file, object_cache=None, array_cache=None, use_threads=False
            ) as directory:
                yield size, _tree(path, directory)
        except HvmpiError:
            raise
        except Exception as error:
            msg = f"{str(path)!r} is a damaged ROOT file ({_in_short(error)})"
            raise BadEventFileError(msg) from error


def _in_short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:100]}" if lines else type(error).__name__


def _check_header(path: Path, file: BinaryIO) -> int:
    """Compare what a file says of its size with what it has; give that."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(_HEADER[True].size)
    if not size:
        msg = f"{str(path)!r} is empty (0 bytes)"
        raise BadEventFileError(msg)
    if head[:4] != _MAGIC:
        msg = f"{str(path)!r} is no ROOT file: it begins with {head[:8]!r}"
        raise BadEventFileError(msg)
    if len(head) < _HEADER[True].size:
        msg = f"{str(path)!r} is truncated: it ends within the ROOT header, after {size} bytes"
        raise BadEventFileError(msg)
    version = int.from_bytes(head[4:8], "big")
    _, _, begin, end = _HEADER[version >= _BIG_VERSION].unpack_from(head)
    if end > size:
        msg = f"{str(path)!r} is truncated: {size} bytes of {end}"
        raise BadEventFileError(msg)
    if not _HEADER[True].size < begin < end:
        msg = f"{str(path)!r} is a damaged ROOT file (its header says that it ends at byte {end})"
        raise BadEventFileError(msg)
    return size


def _tree(path: Path, directory: Any) -> Any:
    """Find what holds the events; None where a POOL file has no such thing."""
    if not directory.fSeekKeys:
        msg = f"{str(path)!r} was never closed: what wrote it was stopped before its end"
        raise BadEventFileError(msg)
    there = {
        name.partition(";")[0]: kind for name, kind in directory.classnames(recursive=False).items()
    }
    for name in TREES:
        if there.get(name, "").rpartition("::")[2] in ("TTree", "RNTuple"):
            return directory[name]
    if any(name in there for name in _POOL_SIGNS):
        return None
    held = ", ".join(sorted(there)[:5]) or "nothing"
    msg = f"{str(path)!r} is a ROOT file without a tree {TREES[0]} or {TREES[1]}: it holds {held}"
    raise BadEventFileError(msg)


def _entries(path: Path, tree: Any) -> int:
    if tree is None:
        return 0
    entries = int(tree.num_entries)
    branches = getattr(tree, "branches", None)
    # Each event stands in one branch at least.
    agrees = branches is None or not entries or any(b.num_entries == entries for b in branches)
    if entries < 0 or not agrees:
        msg = (
            f"{str(path)!r} is a damaged ROOT file (it says {entries} events, its branches do not)"
        )
        raise BadEventFileError(msg)
    return entries


def _column(path: Path, tree: Any, name: str, stop: int) -> npt.NDArray[np.int64] | None:
    """Read a number of the first `stop` events; None where there is no plain branch of it."""
    branch = next(
        (tree[key] for key in _spelt(tree.keys(recursive=True), name) if _is_integer(tree[key])),
        None,
    )
    if branch is None:
        return None
    _check_pages(path, tree)
    numbers = np.asarray(branch.array(entry_stop=stop)).astype(np.int64)
    if numbers.shape != (stop,):
        msg = f"{str(path)!r} is a damaged ROOT file ({branch.name} has {len(numbers)} entries)"
        raise BadEventFileError(msg)
    return numbers


def _check_pages(path: Path, tree: Any) -> None:
    """Refuse an RNTuple whose list of pages, which uproot believes, would fill all memory."""
    for cluster in getattr(tree, "page_link_list", ()):
        for column in cluster:
            if any(page.num_elements > _MOST_ELEMENTS for page in column.pages):
                msg = f"{str(path)!r} is a damaged ROOT file (its list of pages cannot be)"
                raise BadEventFileError(msg)


def _spelt(keys: Sequence[str], name: str) -> list[str]:
    """Pick ``EventInfoAux.eventNumber``, ``m_event_number``...: those of ``EventInfo`` first."""
    ranked = []
    for key in keys:
        *containers, last = re.split(r"[./:]+", key)
        whose = "".join(containers).lower()
        if last.removeprefix("m_").replace("_", "").lower() == name and "pileup" not in whose:
            ranked.append((not whose.startswith("eventinfo"), "eventinfo" not in whose, key))
    return [key for *_, key in sorted(ranked, key=lambda one: one[:2])]


def _is_integer(branch: Any) -> bool:
    """Say whether a branch, or a field of an RNTuple, holds one integer an event."""
    import uproot

    if isinstance(branch, uproot.TBranch):
        kind = branch.interpretation
        return isinstance(kind, uproot.AsDtype) and kind.to_dtype.str[1:] in _INTEGER_DTYPES
    return bool(_INTEGER_FIELD.fullmatch(branch.typename))
