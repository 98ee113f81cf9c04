"""The end by SIGTERM of a verb that does its work in its own process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hvmpi.files import remove_unfinished

__all__ = ["nothing_left_by_sigterm"]


@contextmanager
def nothing_left_by_sigterm() -> Iterator[None]:
    """End at a SIGTERM with no unfinished file left, with exit code 3."""

    def leave(*_: Any) -> None:
        remove_unfinished()
        os.write(2, b"hvmpi: ended by SIGTERM; nothing unfinished is left\n")
        # HDF5 may be at work: an exception through it could keep it from ever ending.
        os._exit(3)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
