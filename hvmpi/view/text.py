"""Text that may hold names and words of others, as it may reach a terminal."""

from __future__ import annotations

import sys
from typing import TextIO

__all__ = ["printable", "say"]


def printable(text: str) -> str:
    """Write what would move the cursor, change colours or cannot be encoded as its code.

    Names of files hold any bytes, and so do messages about what stands in them.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def say(text: str, file: TextIO | None = None) -> None:
    """Print what `printable` makes of a text, at once."""
    print(printable(text), file=file or sys.stdout, flush=True)
