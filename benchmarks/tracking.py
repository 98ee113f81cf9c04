"""What the tracker finds, and what it costs: the tables behind the README's figures.

    python benchmarks/tracking.py [--events 400] [--repeats 7] [--evnt FILE]

Without an event file it makes one: Phi(125 GeV) -> s s, s(50 GeV) -> bb, c tau 100 mm.
"""

from __future__ import annotations

import argparse
import itertools
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import acts.examples
import h5py
import numpy as np
import pyhepmc
from acts.examples import MeasurementContainer, SimParticleContainer

from hvmpi.files import sha256_of
from hvmpi.hdf5 import COMPRESSION
from hvmpi.openchain import chain, digitization, evnt, simulation, tracking, truth
from hvmpi.openchain.detector import LOG_LEVEL, SUB_DETECTORS, detector
from hvmpi.openchain.eventdata import Product, ProductWriter
from hvmpi.openchain.generation import generate
from hvmpi.openchain.processes import resolve
from hvmpi.openchain.record import EventRecord
from hvmpi.openchain.schemas import AOD
from hvmpi.openchain.sequence import SUCCESS, Source, generator
from hvmpi.sample import SampleOptions

SEED = 1
RUN_NUMBER = 990001
RADII_MM = (0.0, 0.1, 5.0, 25.0, 60.0, 110.0, 170.0, 250.0, 350.0)
SUMS_MM = ((0.0, 25.0, 0.99), (25.0, 170.0, 0.95), (0.0, 170.0, 0.95), (170.0, 350.0, 0.80))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--evnt", type=Path)
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_of:
        _print_memory(given.memory_of)
        return
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        path = given.evnt or _make_events(scratch / "signal.hepmc3", given.events)
        started = time.perf_counter()
        done = chain.run(path, scratch / "aod.h5", seed=SEED)
        wall = time.perf_counter() - started
        print(f"{done.events} events, EVNT to AOD in one process: {wall / done.events:.3f} s each")
        efficiencies(scratch / "aod.h5")
        fakes(scratch / "aod.h5")
        memory(path)
        sizes(path, scratch, min(done.events, 50))
        overhead(path, scratch, min(done.events, 50), given.repeats)


def _make_events(path: Path, events: int) -> Path:
    options = SampleOptions(
        name="signal",
        process="gghss",
        run_number=RUN_NUMBER,
        num_batches=1,
        batch_size=events,
        m_phi=125.0,
        m_s=50.0,
        ctau=100.0,
        decays=("bb 100",),
    )
    generate(resolve(options), seed=SEED, batch=1, output=path)
    return path


def wilson(found: int, total: int) -> tuple[float, float]:
    """Return the 68 % interval of a binomial share (Wilson, JASA 22 (1927) 209)."""
    share = found / total
    middle = (share + 0.5 / total) / (1 + 1 / total)
    half = math.sqrt(share * (1 - share) / total + 0.25 / total**2) / (1 + 1 / total)
    return middle - half, middle + half


def efficiencies(aod: Path) -> None:
    """Print the share of charged particles found, by production radius."""
    radius, found = [], []
    with Product(aod, AOD) as product:
        for event in product.iterate(range(len(product))):
            table, tracks = event.tables["truth"], event.tables["tracks"]
            pt = np.hypot(table["px"], table["py"])
            wanted = (table["charge"] != 0) & (table["status"] == 1) & (table["hits"] >= 7)
            wanted &= (table["barcode"] < 2**32) & (pt > 1.0)
            wanted &= np.abs(table["pz"]) < pt * math.sinh(2.5)
            rows = np.flatnonzero(wanted)
            radius.append(np.hypot(table["x"], table["y"])[rows])
            found.append(np.isin(rows, tracks["truth"]))
    radii, hit = np.concatenate(radius), np.concatenate(found)
    print("\ncharged, pT > 1 GeV, |eta| < 2.5, at least 7 hits")
    print(f"{'radius, mm':>14} {'found':>7} {'of':>7}   efficiency (68 % interval)   asked")
    bins = [(low, high, None) for low, high in itertools.pairwise(RADII_MM)]
    for low, high, asked in (*bins, *SUMS_MM):
        chosen = hit[(radii >= low) & (radii < high)]
        if len(chosen) == 0:
            continue
        lower, upper = wilson(int(chosen.sum()), len(chosen))
        print(
            f"{low:6g} - {high:5g} {chosen.sum():7} {len(chosen):7}"
            f"   {chosen.mean():.4f} ({lower:.4f} - {upper:.4f})"
            f"{f'   {asked:.2f}' if asked else ''}"
        )


def fakes(aod: Path) -> None:
    """Print tracks without a particle, and the noise that was there to make them."""
    expected = [
        f"{kind.noise * modules.cells.sum():.0f} {kind.name}"
        for kind, modules in zip(SUB_DETECTORS, detector().modules, strict=True)
    ]
    print(f"\nnoise measurements an event: {', '.join(expected)}")
    with Product(aod, AOD) as product:
        events, table = len(product), product["tracks"].table()
    for name, chosen in (
        ("standard", table["large_radius"] == 0),
        ("large-radius", table["large_radius"] == 1),
    ):
        fake = int((table["truth"][chosen] < 0).sum())
        print(
            f"{name:>13} pass: {chosen.sum() / events:6.2f} tracks an event, fakes"
            f" {fake} of {chosen.sum()} ({fake / max(chosen.sum(), 1):.1e})"
        )


def memory(path: Path) -> None:
    """Print the peak memory of a fused job in a process of its own."""
    argv = [sys.executable, __file__, "--memory-of", str(path)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    print(f"\npeak memory of the fused job: {done.stdout.strip()} MB")


def _print_memory(path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        chain.run(path, Path(directory) / "aod.h5", seed=SEED)
    print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def sizes(path: Path, scratch: Path, events: int) -> None:
    """Print what each product takes on disk."""
    files = {name: scratch / f"size.{name}.h5" for name in ("hits", "rdo", "aod")}
    chain.run(path, seed=SEED, events=events, **files)
    kilobytes = (f"{name} {p.stat().st_size / events / 1000:.0f}" for name, p in files.items())
    print(f"kB an event, in files of {events}: {', '.join(kilobytes)}")


# --- overhead --------------------------------------------------------------------------------


class _DrawnNoise(acts.examples.IAlgorithm):
    """Noise that was drawn before."""

    def __init__(self, tables: dict[int, Any]) -> None:
        acts.examples.IAlgorithm.__init__(self, "DrawnNoise", LOG_LEVEL)
        self._tables = tables
        self._measurements = acts.examples.ReadDataHandle(self, MeasurementContainer, "in")
        self._measurements.initialize(digitization.MEASUREMENTS)

    def execute(self, context: Any) -> Any:
        digitization._emplace(
            self._measurements(context.eventStore), self._tables[context.eventNumber]
        )
        return SUCCESS


class _AllEvents(Source):
    """A source that has every event's particles ready."""

    def __init__(self, events: dict[int, Any]) -> None:
        super().__init__(**{simulation.PARTICLES: SimParticleContainer})
        self._events = events

    def availableEvents(self) -> tuple[int, int]:  # noqa: N802 (ACTS calls it by this name)
        return min(self._events), max(self._events) + 1

    def read(self, context: Any) -> Any:
        self.containers = {simulation.PARTICLES: self._events[context.eventNumber]}
        return super().read(context)


def overhead(path: Path, scratch: Path, events: int, repeats: int) -> None:
    """Print how much longer the fused chain takes than the libraries do for the same events."""
    cost = ChainCost(path, scratch, events)
    print(f"\n{events} events, {repeats} interleaved runs, CPU time in ms an event")
    rows = []
    for _ in range(repeats):
        ours, theirs = cost.chain(), cost.libraries()
        taken = {"chain": ours, **theirs}
        row = {name: seconds / events * 1e3 for name, seconds in taken.items()}
        rows.append(row | {"ratio": ours / sum(theirs.values())})
    print_spread(rows)


def print_spread(rows: list[dict[str, float]]) -> None:
    """Print the median of each column, and from where to where it goes."""
    for name in rows[0]:
        column = [row[name] for row in rows]
        print(
            f"{name:>12}: median {statistics.median(column):7.3f}"
            f"  ({min(column):.3f} - {max(column):.3f})"
        )


class ChainCost:
    """CPU time of the fused chain, and of the libraries alone on the same events.

    The libraries: pyhepmc reading the file; ACTS running its algorithms over particles and noise
    that are ready, in one sequence; h5py compressing and writing the product's arrays, each at
    once. Everything else is the chain's. Start-up (imports, geometry) is in neither.

    Parameters
    ----------
    path : Path
        An event file whose events are numbered from 1.
    scratch : Path
        A directory to write to.
    events : int
        How many to take.
    """

    def __init__(self, path: Path, scratch: Path, events: int) -> None:
        self._path, self._events = path, events
        self._product, self._library = scratch / "cost.aod.h5", scratch / "library.h5"
        # A campaign knows the event file's checksum; here the file may hold many more events.
        self._sha256 = sha256_of(path)
        run_number = evnt.scan(path).run_number
        assert run_number is not None
        self._run_number = run_number
        self.chain()
        records = list(evnt.read_events(path, 0, events))
        if [record.event_number for record in records] != list(range(1, events + 1)):
            sys.exit(f"{path}: the events are not numbered from 1 without gaps")
        self._generated = [
            truth.from_record(EventRecord.of_genevent(record), run_number, record.event_number)
            for record in records
        ]
        self._noise = {
            number: digitization.noise(detector(), generator(SEED, run_number, number, "noise"))
            for number in range(1, events + 1)
        }
        self._arrays: dict[str, Any] = {}
        with h5py.File(self._product) as file:
            file.visititems(self._take)

    def _take(self, name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            self._arrays[name] = node[()]

    def chain(self) -> float:
        """Run the chain; give its CPU seconds."""
        return _cpu(
            lambda: chain.run(
                self._path,
                self._product,
                seed=SEED,
                events=self._events,
                evnt_sha256=self._sha256,
            )
        )

    def libraries(self) -> dict[str, float]:
        """Let each library do its part; give their CPU seconds."""
        sequence = _library_sequence(
            {event.event_number: simulation.to_acts(event) for event in self._generated},
            self._noise,
            self._run_number,
        )
        return {
            "read": _cpu(self._read),
            "ACTS": _cpu(sequence.run),
            "h5py": _cpu(self._write),
        }

    def _read(self) -> None:
        with pyhepmc.open(self._path) as stream:
            for _ in zip(range(self._events), stream, strict=False):
                pass

    def _write(self) -> None:
        with h5py.File(self._library, "w", libver="v110") as file:
            for name, values in self._arrays.items():
                file.create_dataset(
                    name,
                    data=values,
                    chunks=(ProductWriter._CHUNK,),
                    maxshape=(None,),
                    **COMPRESSION,
                )


def _library_sequence(particles: dict[int, Any], drawn: dict[int, Any], run_number: int) -> Any:
    sequencer = acts.examples.Sequencer(
        numThreads=1, logLevel=LOG_LEVEL, trackFpes=False, outputTimingFile=""
    )
    sequencer.addReader(_AllEvents(particles))
    for algorithm in (
        simulation.fatras(detector(), SEED, run_number),
        digitization.smearing(detector(), SEED, run_number),
        _DrawnNoise(drawn),
        *tracking.algorithms(detector()),
    ):
        sequencer.addAlgorithm(algorithm)
    return sequencer


def _cpu(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


if __name__ == "__main__":
    main()
