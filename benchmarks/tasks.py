"""How many jobs a second two workers do, the journal and status written, against peers' tasks.

Ours: ``mpirun -n 3 python -m hvmpi reconstruct`` with the noop engine, whole, with two numbers of
jobs: what the difference of the jobs takes more is their time. So start and end do not count, and
planning, the journal on disk, snapshots, and acceptance of each job do. GNU parallel is measured in
the same way. The other peers time their task loop themselves, with workers that are there already.
All have two workers, on the same machine, in turns.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import (
    BenchmarkError,
    Figure,
    Goal,
    Measured,
    Measurement,
    at_least,
    skipped,
)
from benchmarks.launching import hvmpi, mpirun, run
from benchmarks.simulation import make_event_files

TITLE = "jobs a second, two workers, full bookkeeping"

WORKERS = 2
PEERS = Path(__file__).with_name("peers.py")

Rate = Callable[[Path], float]


def measure(given: Measurement) -> Measured:
    """Compare rates."""
    noop = _ours(given, given.size((1000, 81_000), (200, 3200)))
    spawning = _ours(
        given,
        given.size((100, 1100), (20, 220)),
        # The plain thing, as peers do: no shell between.
        "--noop-command=/bin/true",
    )
    joblib = dask = None
    if given.peers is not None:
        dask = _peer(given.peers, "dask", "noop", given.size(3000, 500))
        joblib = _peer(given.peers, "joblib", "spawn", given.size(1500, 200))
    futures = _peer(sys.executable, "futures", "noop", given.size(10_000, 1000))
    futures_spawning = _peer(sys.executable, "futures", "spawn", given.size(1500, 200))
    parallel = _parallel(given.size((50, 450), (10, 110))) if shutil.which("parallel") else None
    own_jobs, jobs = "no-op jobs, full bookkeeping", "jobs that spawn /bin/true, full bookkeeping"
    return Measured(
        (
            *_against(
                given,
                own_jobs,
                noop,
                {
                    "mpi4py.futures, chunksize 1": (futures, at_least(10.0)),
                    "dask.distributed": (dask, at_least(50.0)),
                },
            ),
            *_against(
                given,
                jobs,
                spawning,
                {
                    "mpi4py.futures, subprocess.run": (futures_spawning, at_least(1.2)),
                    "joblib, subprocess.run": (joblib, at_least(0.9)),
                    "GNU parallel --joblog": (parallel, at_least(5.0)),
                },
            ),
        )
    )


def _against(
    given: Measurement, what: str, ours: Rate, peers: dict[str, tuple[Rate | None, Goal]]
) -> list[Figure]:
    """Measure all in turns; give a figure a peer."""
    rates: dict[str, list[float]] = {"": []} | {name: [] for name in peers}
    reasons = {name: "skipped: not installed" for name, (rate, _) in peers.items() if rate is None}
    every: dict[str, Rate | None] = {"": ours} | {name: rate for name, (rate, _) in peers.items()}
    for pair in range(given.pairs):
        order = list(every)
        for name in order[pair % len(order) :] + order[: pair % len(order)]:
            rate = every[name]
            if rate is None or name in reasons:
                continue
            place = given.scratch / f"{pair}{name[:4].strip()}{len(what)}"
            try:
                rates[name].append(rate(place))
            except BenchmarkError as error:
                if not name:
                    raise
                # One peer that does not run here shall not take the others' figures along.
                reasons[name] = f"skipped: {error}"
            shutil.rmtree(place, ignore_errors=True)
    figures = []
    for name, (_, goal) in peers.items():
        if name in reasons:
            figures.append(skipped(what, reasons[name], name, goal))
            continue
        ratios = [a / b for a, b in zip(rates[""], rates[name], strict=True)]
        fastest = max(rates[""]), max(rates[name])
        note = "fastest: {:,.0f} against {:,.0f} a second".format(*fastest)
        figures.append(Figure(what, name, tuple(ratios), goal, note=note))
    return figures


def _ours(given: Measurement, jobs: tuple[int, int], *more: str) -> Rate:
    places = []
    for number in jobs:
        places.append(given.scratch / f"evnt{number}")
        make_event_files(places[-1], 1, number)

    def rate(place: Path) -> float:
        few, many = (
            hvmpi(
                [
                    "reconstruct",
                    "--engine=noop",
                    "--job-size=1",
                    f"--evnt-dir={event_files}",
                    f"--run-dir={place / event_files.name}",
                    "--nice=0",
                    *more,
                ],
                place,
                ranks=WORKERS + 1,
            ).wall_s
            for event_files in places
        )
        return _more(jobs, few, many)

    return rate


def _peer(python: Path | str, peer: str, what: str, tasks: int) -> Rate:
    launcher, runner = (mpirun(WORKERS + 1), ["-m", "mpi4py.futures"])
    if peer != "futures":
        launcher, runner = [], []

    def rate(place: Path) -> float:
        argv = [*launcher, str(python), *runner, str(PEERS), peer, what, str(tasks)]
        said = [line.split() for line in run(argv, place).output.splitlines()]
        seconds = [float(words[1]) for words in said if words[:1] == ["seconds"]]
        if len(seconds) != 1:
            msg = f"{peer} did not say what it took"
            raise BenchmarkError(msg)
        return tasks / seconds[0]

    return rate


def _parallel(jobs: tuple[int, int]) -> Rate:
    def rate(place: Path) -> float:
        few, many = (
            run(
                _parallel_words(place, number),
                place,
                stdin="".join(f"{line}\n" for line in range(number)),
            ).wall_s
            for number in jobs
        )
        return _more(jobs, few, many)

    return rate


def _parallel_words(place: Path, number: int) -> list[str]:
    log = place / f"joblog{number}"
    return ["parallel", "--will-cite", "-j2", "--joblog", str(log), "-n1", "/bin/true"]


def _more(jobs: tuple[int, int], few: float, many: float) -> float:
    if many <= few:
        msg = f"{jobs[1]} jobs took no longer than {jobs[0]}: the machine is too busy to tell"
        raise BenchmarkError(msg)
    return (jobs[1] - jobs[0]) / (many - few)
