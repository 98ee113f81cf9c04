"""What the calorimeter costs, step by step, and the whole chain with and without pile-up.

    python benchmarks/cost.py [--events 100] [--passes 5] [--signal EVNT] [--qcd EVNT]
        [--library HITS]

CPU time, all in one thread, after start-up: the steps of a pass over the same events in turns with
those of the other sample, medians over passes with the least and the most. The chain is the fused
job, files read and written, in a process of its own: its time per event leaves out start-up and the
reading of the library; its memory is the peak of the whole process. Events and library are made
when none are given. Numbers go to ``docs/validation/figures``, for the page of the validation.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "docs" / "validation"))

from study import Cell, Column, Study, parser, within

from hvmpi.errors import HvmpiError
from hvmpi.files import sha256_of
from hvmpi.openchain import calibration, calorimeter, chain, clusters, evnt, jets, readout, truth
from hvmpi.openchain.eventdata import Table
from hvmpi.openchain.generation import generate
from hvmpi.openchain.library import make_library
from hvmpi.openchain.pileup import check_library
from hvmpi.openchain.processes import resolve
from hvmpi.openchain.sequence import generator
from hvmpi.openchain.truth import GeneratedEvent
from hvmpi.sample import SampleOptions

SEED = 1
MU = 20.0
STEPS = ("simulation", "digitization", "clusters", "jets")
SAMPLES = {
    "signal": SampleOptions(
        name="signal", process="gghss", run_number=304815, num_batches=1, batch_size=1
    ),
    "qcd": SampleOptions(name="qcd", process="qcd", run_number=600002, num_batches=1, batch_size=1),
}


def events_of(path: Path, number: int) -> list[GeneratedEvent]:
    """Return the first events of a file."""
    run_number = evnt.scan(path).run_number or 1
    return [
        truth.from_record(record, run_number, own)
        for own, record in evnt.read_records(path, 0, number)
    ]


def one_pass(events: Sequence[GeneratedEvent]) -> dict[str, float]:
    """Return the CPU time of each step over some events, ms an event."""
    spent = np.zeros(len(STEPS))
    no_truth: Table = {name: np.zeros(0) for name in ("eta", "phi", "pt")}
    constants = calibration.jet_calibration()
    for event in events:
        numbers = SEED, event.run_number, event.event_number
        at = [time.process_time()]
        deposits, _ = calorimeter.simulate(event.stable, generator(*numbers, "calorimeter"))
        at.append(time.process_time())
        read = readout.digitize(deposits, generator(*numbers, "readout"))
        energy, times = readout.energies(read)
        cell = read["cell"].astype(np.int64)
        at.append(time.process_time())
        found = clusters.find_clusters(cell, energy, times, readout.noise(cell, 0.0))
        at.append(time.process_time())
        jets.reconstruct_jets(found, cell, energy, no_truth, constants)
        at.append(time.process_time())
        spent += np.diff(at)
    return dict(zip(STEPS, (1000.0 * spent / len(events)).tolist(), strict=True))


def spread(values: Sequence[float]) -> Cell:
    """Return the median, with the least and the most."""
    return within(statistics.median(values), (min(values), max(values)))


def steps(study: Study, files: dict[str, Path], number: int, passes: int) -> None:
    """Measure the steps, and compare them with the goals."""
    events = {name: events_of(path, number) for name, path in files.items()}
    for own in events.values():
        one_pass(own[:10])
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in events}
    for _ in range(passes):
        for name, own in events.items():
            measured[name].append(one_pass(own))
    rows: list[list[Cell]] = []
    for name, made in measured.items():
        together = [sum(one[step] for step in STEPS[:3]) for one in made]
        each = [spread([one[step] for one in made]) for step in STEPS]
        rows.append([name, len(events[name]), *each, spread(together)])
        for what, asked, cell, limit in (
            ("calorimeter simulation", "at most 10", each[0], 10.0),
            ("with digitization and clustering", "at most 60", rows[-1][-1], 60.0),
        ):
            what = f"{name}: {what}, CPU time (ms an event)"
            study.goal(what, asked, cell, cell["value"] <= limit, ".1f")
    study.table(
        "steps",
        [
            Column("sample"),
            Column("events", "d"),
            *(Column(f"{step} (ms)", ".1f") for step in STEPS),
            Column("the first three (ms)", ".1f"),
        ],
        rows,
    )


def whole_chain(
    study: Study, files: dict[str, Path], library: Path, number: int, passes: int
) -> None:
    """Measure the fused job without and with pile-up."""
    jobs = [(name, mu) for name in files for mu in (0.0, MU)]
    measured: dict[tuple[str, float], list[dict[str, float]]] = {job: [] for job in jobs}
    for _ in range(passes):
        for name, mu in jobs:
            argv = [sys.executable, __file__, "--job", str(files[name]), "--events", str(number)]
            argv += ["--library", str(library)] if mu else []
            done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
            measured[name, mu].append(json.loads(done.stdout.splitlines()[-1]))
    rows: list[list[Cell]] = []
    for (name, mu), made in measured.items():
        cpu, wall = (spread([one[key] for one in made]) for key in ("cpu_s", "wall_s"))
        memory = max(one["max_rss_mb"] for one in made)
        rows.append([name, mu, number, cpu, wall, memory])
        if mu:
            study.goal(
                f"{name}, mu = {mu:g}: whole chain, CPU time (s an event)",
                "under 1.5",
                cpu,
                cpu["value"] < 1.5,
                ".2f",
            )
            study.goal(
                f"{name}, mu = {mu:g}: peak memory (MB)",
                "under 1000",
                memory,
                memory < 1000.0,
                ".0f",
            )
    study.table(
        "chain",
        [
            Column("sample"),
            Column("mu", "g"),
            Column("events", "d"),
            Column("CPU time (s an event)", ".3f"),
            Column("wall time (s an event)", ".3f"),
            Column("peak memory (MB)", ".0f"),
        ],
        rows,
    )


def job(path: Path, library: Path | None, number: int) -> dict[str, float]:
    """Run the fused job; return its costs. Start-up is what a job of one event takes."""
    pile_up = chain.PileUp(MU, library) if library else None
    digest = sha256_of(path)
    taken = []
    with tempfile.TemporaryDirectory() as scratch:
        for events in (1, number + 1):
            cpu, wall = time.process_time(), time.perf_counter()
            chain.run(
                path,
                Path(scratch) / "aod.h5",
                seed=SEED,
                events=events,
                evnt_sha256=digest,
                pile_up=pile_up,
            )
            taken.append((time.process_time() - cpu, time.perf_counter() - wall))
    (first_cpu, first_wall), (cpu, wall) = taken
    return {
        "cpu_s": (cpu - first_cpu) / number,
        "wall_s": (wall - first_wall) / number,
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
    }


def main(argv: Sequence[str]) -> None:
    """Measure, compare."""
    options = parser(__doc__)
    options.add_argument("--events", type=int, default=100)
    options.add_argument("--passes", type=int, default=5)
    options.add_argument("--signal", type=Path, metavar="EVNT")
    options.add_argument("--qcd", type=Path, metavar="EVNT")
    options.add_argument("--library", type=Path, metavar="HITS")
    options.add_argument("--library-events", type=int, default=1000)
    options.add_argument("--job", type=Path, help="used by itself: cost of one job, as JSON")
    given = options.parse_args(argv)
    if given.job:
        print(json.dumps(job(given.job, given.library, given.events)))
        return
    study = Study("cost", given.output, given.pdf)
    study.made |= {"events": given.events, "passes": given.passes, "seed": SEED}
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        files = {name: getattr(given, name) or scratch / f"{name}.hepmc3" for name in SAMPLES}
        for name, path in files.items():
            if not path.is_file():
                _make(name, path, given.events + 1)
        library = given.library or scratch / "minbias.hits.h5"
        if not library.is_file():
            make_library(library, seed=SEED, events=given.library_events)
        try:
            check_library(library, MU)
        except HvmpiError as error:
            sys.exit(str(error))
        steps(study, files, given.events, given.passes)
        whole_chain(study, files, library, given.events, given.passes)
    study.finish()


def _make(name: str, path: Path, events: int) -> None:
    from dataclasses import replace

    options = replace(SAMPLES[name], batch_size=events)
    generate(resolve(options), seed=SEED, batch=1, output=path)


if __name__ == "__main__":
    main(sys.argv[1:])
