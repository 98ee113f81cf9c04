"""Whether this process is one rank of many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

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


@pytest.mark.parametrize("rank", [0, 2])
def test_tasks_of_srun_without_an_mpi_are_one_sentence(place: Place, rank: int) -> None:
    """As ``srun --mpi=none`` starts us: each task would be the master of a run of its own."""
    place.environment |= {"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "3"}
    answer = place.finish(place.start("run", "--engine=noop", "-n1", "-b2"))
    assert place.runs() == []
    if rank == 0:
        assert answer.code == SetupError.exit_code
        assert "srun started 3 ranks" in answer.complaint
        assert "--mpi=pmix" in answer.complaint
    else:
        assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_a_batch_script_of_slurm_is_one_process(place: Place) -> None:
    place.environment |= {"SLURM_PROCID": "0", "SLURM_NTASKS": "3", "SLURM_JOB_ID": "7"}
    assert place.finish(place.start("run", "--engine=noop", "-n1", "-b2")).code == 0


def test_one_rank_under_mpirun_is_enough(place: Place) -> None:
    assert place.mpirun(1, "run", "--engine=noop", "-n1", "-b2").code == 0
    assert place.run().status().jobs["state"].tolist() == ["done", "done"]


def test_a_rank_does_not_wait_for_ever_for_one_that_died_before_mpi_was_up(place: Place) -> None:
    """As MPI_Init does, which no handler of Python's can interrupt."""
    library = place.root / "mpi4py"
    library.mkdir()
    (library / "__init__.py").touch()
    (library / "MPI.py").write_text("import ctypes\nctypes.PyDLL(None).sleep(600)\n")
    rank = subprocess.run(
        [sys.executable, "-c", "from hvmpi import ranks; ranks._START_S = 0.5; ranks.world()"],
        env={**place.environment, "OMPI_COMM_WORLD_RANK": "1", "PYTHONPATH": os.fspath(place.root)},
        timeout=60,
    )
    assert rank.returncode == -signal.SIGALRM
