"""Ten thousand ranks and a billion events: what a campaign asks of its master and its files.

Measured here: the real master with 10,000 simulated workers (see `benchmarks.simulation`), what it
costs a job to publish two products on this disk, what a job adds to journal, status and memory, how
fast a journal is read again, bytes an event, and seconds a file to merge. With these costs a
simulation of a queue says how well ranks are used: all ask one master, which answers one after the
other and has given each rank its next job before it needs it.
"""

from __future__ import annotations

import heapq
import os
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import (
    BenchmarkError,
    Curve,
    Figure,
    Measured,
    Measurement,
    Plot,
    Table,
    number,
)
from benchmarks.simulation import Simulation
from hvmpi.campaign.replay import replay

TITLE = "ten thousand ranks and a billion events"

RANKS = 10_000
FEW_RANKS = 64
EVENTS = 1_000_000_000
EVENT_S = 0.1
"""Of an event on one core, as `benchmarks.shares` has it without pile-up."""
BATCH_SIZE = 5000
JOB_SIZES = (10, 100, 1000, 5000)
CURVE_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SIGMA = 0.2
"""Of the logarithm of job times: jobs of many events are much alike."""
PRODUCTS = 2
SLOWER = (1, 10)
"""How much slower than this disk a shared file system publishes."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured.

    Attributes
    ----------
    job_s : float
        Of the master's own time, without products.
    publish_s : float
        More, for two products.
    sync_s : float
        One fsync of a line of the journal.
    journal_bytes, status_bytes, memory_bytes : float
        A job.
    replay_s : float
        A job.
    snapshot_s : float
        A job.
    event_file_bytes, product_bytes : float
        An event.
    merge_s : float
        A training file.
    """

    job_s: float
    publish_s: float
    sync_s: float
    journal_bytes: float
    status_bytes: float
    memory_bytes: float
    replay_s: float
    snapshot_s: float
    event_file_bytes: float
    product_bytes: float
    merge_s: float


def measure(given: Measurement) -> Measured:
    """Measure costs, simulate, plan."""
    costs = _costs(given)
    figures = (
        Figure(
            f"master with {RANKS:,} simulated workers, jobs a second",
            values=(1.0 / costs.job_s,),
            unit="jobs/s",
        ),
        Figure(
            "the same, publishing two products a job on this disk",
            values=(1.0 / (costs.job_s + costs.publish_s),),
            unit="jobs/s",
        ),
    )
    return Measured(
        figures,
        plots=(_plot(costs),),
        tables=(_cost_table(costs), _plan_table(costs)),
    )


# Costs


def _costs(given: Measurement) -> Costs:
    small, large = given.size((20_000, 220_000), (12_000, 32_000))
    _serve(given.scratch / "small", small, RANKS)
    before = _rss()
    ours, job_s = _serve(given.scratch / "large", large, RANKS)
    memory_bytes = max(_rss() - before, 0.0) / (large - small)
    directory = ours.directory
    began = time.perf_counter()
    replay(directory / "journal.jsonl")
    replay_s = time.perf_counter() - began
    published = given.size(4000, 400)
    _, without_s = _serve(given.scratch / "without", published, FEW_RANKS)
    _, with_s = _serve(given.scratch / "with", published, FEW_RANKS, PRODUCTS)
    event_file_bytes, product_bytes, merge_s = _files(given)
    return Costs(
        job_s=job_s,
        publish_s=max(with_s - without_s, 0.0),
        sync_s=_sync_s(given.scratch / "synced"),
        journal_bytes=(directory / "journal.jsonl").stat().st_size / large,
        status_bytes=(directory / "status.h5").stat().st_size / large,
        memory_bytes=memory_bytes,
        replay_s=replay_s / large,
        snapshot_s=ours.run.write_status("complete") / large,
        event_file_bytes=event_file_bytes,
        product_bytes=product_bytes,
        merge_s=merge_s,
    )


def _serve(place: Path, jobs: int, ranks: int, products: int = 0) -> tuple[Simulation, float]:
    """Serve a campaign; give it with the master's seconds a job, once all ranks are there."""
    simulation = Simulation(place, jobs, ranks, products=products)
    before, after = simulation.work(1), simulation.work(jobs)
    simulation.end()
    return simulation, (after.wall_s - before.wall_s) / max(after.jobs - before.jobs, 1)


def _rss() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def _sync_s(path: Path) -> float:
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(b"x" * 300)
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _files(given: Measurement) -> tuple[float, float, float]:
    """Give bytes an event of event files and of products, and seconds a training file merged."""
    from hvmpi.openchain.__main__ import main as openchain
    from hvmpi.training.merging import merge

    jobs, events = given.size(12, 6), 10
    place = given.scratch / "files"
    place.mkdir()
    event_file = place / "one.hepmc3"
    sample = ["--process=gghss", "--run-number=304795", f"--batch-size={jobs * events}"]
    steps = [["generate", *sample, "-o", str(event_file)]]
    for job in range(jobs):
        chosen = [str(event_file), f"--skip={job * events}", f"--events={events}"]
        outputs = ["-o", str(place / f"{job}.aod.h5"), "--train", str(place / f"{job}.train.h5")]
        steps.append(["chain", *chosen, *outputs])
    for step in steps:
        if openchain(step):
            msg = f"a step failed: {' '.join(step)}"
            raise BenchmarkError(msg)
    trains = sorted(place.glob("*.train.h5"))
    products = [*place.glob("*.aod.h5"), *trains]
    merge(trains, place / "first.h5")
    one, every = (_fastest_merge(place, trains[:count]) for count in (1, jobs))
    return (
        event_file.stat().st_size / (jobs * events),
        sum(path.stat().st_size for path in products) / (jobs * events),
        (every - one) / (jobs - 1),
    )


def _fastest_merge(place: Path, files: list[Path]) -> float:
    from hvmpi.training.merging import merge

    taken = []
    for time_ in range(5):
        began = time.perf_counter()
        merge(files, place / f"merged{len(files)}.{time_}.h5")
        taken.append(time.perf_counter() - began)
    return min(taken)


# The queue


def use_of_ranks(ranks: int, job_s: float, cost_s: float, *, jobs: int = 12) -> float:
    """Simulate a campaign's middle; give the share of the ranks' time that jobs run.

    Parameters
    ----------
    ranks : int
    job_s : float
        Median time of a job.
    cost_s : float
        What the master needs for a job, one after the other.
    jobs : int
        Jobs a rank, about, that are simulated.
    """
    rng = random.Random(1)
    # A rank works on one job while the next is asked for: it waits only where that takes longer.
    free_at = 0.0
    finished: list[tuple[float, int]] = []
    ready_at = [0.0] * ranks
    for rank in range(ranks):
        free_at += cost_s
        heapq.heappush(finished, (free_at + job_s * rng.lognormvariate(0.0, SIGMA), rank))
        ready_at[rank] = free_at + ranks * cost_s
    begin, end = 2.0 * job_s + 2.0 * ranks * cost_s, (2.0 + jobs) * (job_s + ranks * cost_s)
    busy = 0.0
    while finished and finished[0][0] < end:
        now, rank = heapq.heappop(finished)
        free_at = max(free_at, now) + cost_s
        began = max(now, ready_at[rank])
        ready_at[rank] = free_at
        takes = job_s * rng.lognormvariate(0.0, SIGMA)
        busy += max(min(began + takes, end) - max(began, begin), 0.0)
        heapq.heappush(finished, (began + takes, rank))
    return busy / (ranks * (end - begin))


def _plot(costs: Costs) -> Plot:
    curves = [
        Curve(
            f"{ranks:,} ranks, {_disk(slower)}",
            tuple(map(float, CURVE_SIZES)),
            tuple(
                100.0 * use_of_ranks(ranks, size * EVENT_S, _cost(costs, slower), jobs=4)
                for size in CURVE_SIZES
            ),
        )
        for ranks in (RANKS, RANKS // 10)
        for slower in SLOWER
    ]
    return Plot(
        "ranks",
        f"events in a job, {EVENT_S:g} s each",
        "time of the ranks that jobs run, %",
        tuple(curves),
        log_x=True,
    )


def _disk(slower: int) -> str:
    return "this disk" if slower == 1 else f"a disk {slower} times slower"


def _cost(costs: Costs, slower: int) -> float:
    return costs.job_s + slower * costs.publish_s


# Tables


def _cost_table(costs: Costs) -> Table:
    rows = (
        ("the master, a job", f"{1e6 * costs.job_s:.0f} us"),
        ("publishing two products on this disk", f"{1e3 * costs.publish_s:.2f} ms"),
        ("an fsync of a line on this disk", f"{1e3 * costs.sync_s:.2f} ms"),
        ("journal, a job without products", f"{costs.journal_bytes:.0f} bytes"),
        ("status.h5, a job", f"{costs.status_bytes:.0f} bytes"),
        ("memory of the master, a job", f"{costs.memory_bytes:.0f} bytes"),
        ("a journal read again, a job", f"{1e6 * costs.replay_s:.0f} us"),
        ("a snapshot, a job", f"{1e6 * costs.snapshot_s:.2f} us"),
        ("event file, an event", f"{costs.event_file_bytes / 1e3:.0f} kB"),
        ("AOD and training file, an event, jobs of 10", f"{costs.product_bytes / 1e3:.0f} kB"),
        ("a training file merged", f"{1e3 * costs.merge_s:.1f} ms"),
    )
    return Table("costs", ("what", "cost"), rows)


def _plan_table(costs: Costs) -> Table:
    headings = ["events in a job", *(f"{size:,}" for size in JOB_SIZES)]
    jobs = [EVENTS // size + EVENTS // BATCH_SIZE for size in JOB_SIZES]
    rates = [RANKS / (size * EVENT_S) for size in JOB_SIZES]
    rows: list[tuple[str, ...]] = [
        ("jobs", *(f"{count:,}" for count in jobs)),
        ("jobs a second that the ranks ask for", *map(number, rates)),
        (
            "master's time, % (this disk)",
            *(number(100.0 * rate * _cost(costs, 1)) for rate in rates),
        ),
    ]
    for ranks in (RANKS, RANKS // 10):
        for slower in SLOWER:
            used = [
                100.0 * use_of_ranks(ranks, size * EVENT_S, _cost(costs, slower), jobs=4)
                for size in JOB_SIZES
            ]
            rows.append(
                (f"{ranks:,} ranks at work, % ({_disk(slower)})", *(f"{use:.1f}" for use in used))
            )
    files = [count * PRODUCTS + EVENTS // BATCH_SIZE * 2 for count in jobs]
    rows += [
        ("files of the campaign, event files with manifests", *(f"{count:,}" for count in files)),
        (
            "files made a second",
            *(number(rate * PRODUCTS + RANKS / (BATCH_SIZE * EVENT_S)) for rate in rates),
        ),
        ("journal, GB", *(number(count * costs.journal_bytes / 1e9) for count in jobs)),
        ("status.h5, GB", *(number(count * costs.status_bytes / 1e9) for count in jobs)),
        ("memory of the master, GB", *(number(count * costs.memory_bytes / 1e9) for count in jobs)),
        ("reading the journal again, s", *(number(count * costs.replay_s) for count in jobs)),
        ("one snapshot, s", *(number(count * costs.snapshot_s) for count in jobs)),
        (
            "the merge of all training files, h",
            *(number(EVENTS / size * costs.merge_s / 3600.0) for size in JOB_SIZES),
        ),
    ]
    return Table("plan", tuple(headings), tuple(rows))
