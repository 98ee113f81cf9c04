"""The libraries of the extras of pyproject.toml: asked for before the work that needs them."""

from __future__ import annotations

import importlib

from hvmpi.errors import SetupError

__all__ = ["refuse_without"]


def refuse_without(extra: str, *libraries: str) -> None:
    """Import libraries that an extra brings.

    Raises
    ------
    SetupError
        If one is not installed; says how it comes.
    """
    for library in libraries:
        try:
            importlib.import_module(library)
        except ImportError as error:
            msg = f"{library} is not installed: pip install 'hvmpi[{extra}]'"
            raise SetupError(msg) from error
