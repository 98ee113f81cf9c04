"""Products to be opened, of the finished campaign and of its event file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hvmpi.openchain import chain
from tests.conftest import RunOnDisk


@pytest.fixture
def aods(finished_run: RunOnDisk) -> list[Path]:
    return sorted((finished_run.directory / "aod").glob("*.aod.h5"))


@pytest.fixture
def copies(aods: list[Path], tmp_path: Path) -> list[Path]:
    """AODs that a test may spoil."""
    made = [Path(shutil.copy(aod, tmp_path)) for aod in aods]
    for path in made:
        path.chmod(0o644)
    return made


@pytest.fixture(scope="session")
def early(finished_run: RunOnDisk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with HITS and RDO of two events."""
    directory = tmp_path_factory.mktemp("early")
    evnt = min((finished_run.directory / "evnt").glob("*.hepmc3"))
    places = {name: directory / f"two.{name}.h5" for name in ("hits", "rdo")}
    chain.run(evnt, directory / "two.h5", seed=1, events=2, **places)
    (directory / "two.h5").unlink()
    return directory
