"""The modules that pages are made by; they import each other by name, as hooks do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"


@dataclass(frozen=True)
class Docs:
    """Modules of docs/."""

    messages: ModuleType
    pictures: ModuleType


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Docs]:
    monkeypatch.syspath_prepend(str(DOCS))
    before = set(sys.modules)
    yield Docs(*(importlib.import_module(name) for name in ("messages", "pictures")))
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(DOCS)):
            del sys.modules[name]
