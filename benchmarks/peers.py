"""Two workers of a peer carry out tasks; prints the seconds that they took, workers there already.

    python benchmarks/peers.py PEER noop|spawn TASKS

PEER is ``futures`` (mpi4py.futures with chunks of one task; started by mpirun -n 3), ``dask``
(dask.distributed, a LocalCluster) or ``joblib`` (loky). Run in an environment that has it. The
tasks do nothing, or run ``/bin/true``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

WORKERS = 2


def nothing(number: int) -> int:
    """Do nothing."""
    return number


def spawn(_number: int) -> int:
    """Start a process, and wait for its end."""
    return subprocess.run(["/bin/true"], check=False).returncode


def futures(task: Callable[[int], int], tasks: int) -> float:
    """Carry out tasks by mpi4py.futures."""
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as pool:
        pool.bootup(wait=True)
        list(pool.map(task, range(2 * WORKERS), chunksize=1))
        began = time.perf_counter()
        done = sum(1 for _ in pool.map(task, range(tasks), chunksize=1, unordered=True))
        taken = time.perf_counter() - began
    _check(done, tasks)
    return taken


def dask(task: Callable[[int], int], tasks: int) -> float:
    """Carry out tasks by dask.distributed."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(task, range(2 * WORKERS), pure=False))
        began = time.perf_counter()
        done = len(client.gather(client.map(task, range(tasks), pure=False)))
        taken = time.perf_counter() - began
    _check(done, tasks)
    return taken


def joblib(task: Callable[[int], int], tasks: int) -> float:
    """Carry out tasks by joblib."""
    from joblib import Parallel, delayed

    with Parallel(n_jobs=WORKERS, backend="loky") as pool:
        pool(delayed(task)(number) for number in range(2 * WORKERS))
        began = time.perf_counter()
        done = len(pool(delayed(task)(number) for number in range(tasks)))
        taken = time.perf_counter() - began
    _check(done, tasks)
    return taken


def _check(done: int, tasks: int) -> None:
    if done != tasks:
        sys.exit(f"{done} tasks of {tasks} were done")


def main(peer: str, what: str, tasks: str) -> None:
    """Measure."""
    task = {"noop": nothing, "spawn": spawn}[what]
    taken = {"futures": futures, "dask": dask, "joblib": joblib}[peer](task, int(tasks))
    print(f"seconds {taken:.6f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
