"""A site with athena for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .site import StandIn, make_templates


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture
def standin(tmp_path: Path, templates: Path) -> Iterator[StandIn]:
    here = StandIn(tmp_path / "site", templates)
    yield here
    here.end()
