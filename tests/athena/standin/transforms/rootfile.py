"""Reads and patches event numbers in uncompressed or zlib-compressed ROOT files.

No uproot: it takes longer to start than a whole stand-in may take. A basket of a branch is found by
its key, which names the branch and the tree; its contents are big-endian numbers.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

TREE = b"CollectionTree"
EVENT_NUMBER = b"EventInfoAux.eventNumber"
RUN_NUMBER = b"EventInfoAux.runNumber"

_KEY = struct.Struct(">iHiIHH")
_BASKET = struct.Struct(">HIIII")
_BIG_KEY, _SMALL_KEY = 34, 26
_BIG_VERSION = 1004
"""Its key has positions of 64 bits before the name of the class."""


class NotRootError(Exception):
    """The file is empty, truncated or no ROOT file."""


def read_events(path: Path) -> list[tuple[int, int]]:
    """Give run and event number of each event."""
    data = path.read_bytes()
    if len(data) < 100 or data[:4] != b"root":
        raise NotRootError(f"{path} is not a ROOT file")
    if struct.unpack_from(">I", data, 12)[0] > len(data) or TREE not in data:
        raise NotRootError(f"{path} is truncated or holds no {TREE.decode()}")
    try:
        events = _column(data, EVENT_NUMBER, "Q")
        runs = _column(data, RUN_NUMBER, "I")
        return list(zip(runs, events, strict=True))
    except (struct.error, zlib.error, ValueError) as error:
        raise NotRootError(f"{path} is damaged: {error}") from None


def patched(template: bytes, events: Sequence[tuple[int, int]]) -> bytes:
    """Give a template of as many events, uncompressed, with these run and event numbers."""
    data = bytearray(template)
    for branch, letter, column in ((EVENT_NUMBER, "Q", 1), (RUN_NUMBER, "I", 0)):
        numbers = [event[column] for event in events]
        for start, _, count, _ in _baskets(template, branch):
            struct.pack_into(f">{count}{letter}", data, start, *numbers)
    return bytes(data)


def _column(data: bytes, branch: bytes, letter: str) -> list[int]:
    numbers: list[int] = []
    for start, end, count, packed in _baskets(data, branch):
        # A compressed block has nine bytes of its own before the stream of zlib.
        content = zlib.decompress(data[start + 9 : end]) if packed else data[start:end]
        numbers += struct.unpack_from(f">{count}{letter}", content)
    return numbers


def _baskets(data: bytes, branch: bytes) -> Iterator[tuple[int, int, int, bool]]:
    """Find where a branch's numbers begin and end, how many they are, whether compressed."""
    needle = b"\x07TBasket" + bytes([len(branch)]) + branch + bytes([len(TREE)]) + TREE
    for found in re.finditer(re.escape(needle), data):
        key = found.start() - _BIG_KEY
        if _KEY.unpack_from(data, key)[1] != _BIG_VERSION:
            key = found.start() - _SMALL_KEY
        length, _, plain, _, head, _ = _KEY.unpack_from(data, key)
        count = _BASKET.unpack_from(data, found.end())[3]
        if length > 0 and count:
            yield key + head, key + length, count, plain != length - head
