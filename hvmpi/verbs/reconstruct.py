"""``reconstruct``: run the jobs of existing event files."""

from __future__ import annotations

from collections.abc import Sequence

from hvmpi.conductor import conduct

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    return conduct("reconstruct", argv)
