"""Whether this process is one rank of many."""

from __future__ import annotations

import pytest

from hvmpi.errors import SetupError
from hvmpi.ranks import launched_rank, world
from tests.conftest import Place


def test_no_launcher_no_mpi(place: Place) -> None:
    assert place.root
    assert launched_rank() is None
    assert world() is None


@pytest.mark.parametrize("name", ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MPI_RANKID"])
def test_launchers_are_known(place: Place, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert place.root
    monkeypatch.setenv(name, "3")
    assert launched_rank() == 3


def test_the_mpirun_of_another_mpi_is_one_sentence(place: Place) -> None:
    """As MPICH's mpirun starts us, while mpi4py finds Open MPI: each rank would be the master."""
    place.environment |= {"PMI_RANK": "0", "PMI_SIZE": "3"}
    answer = place.finish(place.start("run", "--engine=noop", "-n1", "-b2"))
    assert answer.code == SetupError.exit_code
    assert "mpirun started 3 ranks" in answer.complaint
    assert place.runs() == []


def test_one_rank_under_mpirun_is_enough(place: Place) -> None:
    assert place.mpirun(1, "run", "--engine=noop", "-n1", "-b2").code == 0
    assert place.run().status().jobs["state"].tolist() == ["done", "done"]
