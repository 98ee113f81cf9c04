"""An errand: something slow that is done beside what else this process does."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Errand"]

_Result = TypeVar("_Result")


class Errand(Generic[_Result]):
    """Reads, sums and copies of large files, in a thread.

    Parameters
    ----------
    work : callable
        Speaks with no other rank.
    patience : float
        Seconds after which it is given up, whatever file system it waits for.
    """

    def __init__(self, work: Callable[[], _Result], patience: float) -> None:
        self._work = work
        self._patience = patience
        self._deadline = time.monotonic() + patience
        self._results: list[_Result] = []
        self._error: BaseException | None = None
        # It may hang in a file system for ever, and must not keep this process from its end.
        self._thread = threading.Thread(target=self._do, daemon=True)
        self._thread.start()

    def _do(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:
            self._error = error

    def over(self) -> bool:
        """Say whether it is done, or given up."""
        return not self._thread.is_alive() or time.monotonic() > self._deadline

    def result(self) -> _Result:
        """Give what came of it.

        Raises
        ------
        TimeoutError
            If it was given up.
        BaseException
            Whatever it raised.
        """
        if self._error is not None:
            raise self._error
        if not self._results:
            waited = f"No answer of the file system in {self._patience:g} s"
            raise TimeoutError(errno.ETIMEDOUT, waited)
        return self._results[0]
