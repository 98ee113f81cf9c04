"""What the event loop of generation costs above the libraries' own work on the same events.

The libraries' own work: Pythia's ``next``, ``GenEvent.from_hepevt`` on arrays that lie ready, and
``WriterAscii.write_event``. The whole: `EventWriter.write` on what `Generator.events` gives, with
sorting into vertices, weights, cross-section, counts. Both in CPU time, in turns, after start-up.

Run: ``python benchmarks/generation.py [PROCESS] [EVENTS] [REPETITIONS]``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyhepmc
from pyhepmc.io import WriterAscii, pyiostream

from hvmpi.openchain.generation import BUFFER, PRECISION, EventWriter
from hvmpi.openchain.hepmc import from_hepevt_arguments
from hvmpi.openchain.processes import Process, resolve
from hvmpi.openchain.pythia import Generator
from hvmpi.sample import SampleOptions

SEED = 20_260_301


def whole(process: Process, events: int, path: Path) -> float:
    """Generate and write, as hvmpi does; give the CPU seconds."""
    generator = Generator(process, SEED)
    start = time.process_time()
    with EventWriter(path, process, SEED, 1) as writer:
        writer.begin(["Weight"])
        for number, event in enumerate(generator.events(events), start=1):
            writer.write(number, event)
    return time.process_time() - start


def libraries(process: Process, arrays: list[tuple[Any, ...]], path: Path) -> dict[str, float]:
    """Let the libraries do their part on the same events; give the CPU seconds of each."""
    generator = Generator(process, SEED)
    pythia = generator._pythia
    run = pyhepmc.GenRunInfo()
    run.weight_names = ["Weight"]
    event = pyhepmc.GenEvent(run, pyhepmc.Units.GEV, pyhepmc.Units.MM)
    seconds = dict.fromkeys(("Pythia", "from_hepevt", "write"), 0.0)
    with path.open("wb") as file, pyiostream(file, BUFFER) as stream:
        writer = WriterAscii(stream, run)
        writer.precision = PRECISION
        for number, columns in enumerate(arrays, start=1):
            t0 = time.process_time()
            while not pythia.next():
                pass
            t1 = time.process_time()
            event.from_hepevt(number, *columns, fortran=False)
            event.weights = [1.0]
            t2 = time.process_time()
            writer.write_event(event)
            t3 = time.process_time()
            for part, taken in zip(seconds, (t1 - t0, t2 - t1, t3 - t2), strict=True):
                seconds[part] += taken
        writer.close()
    return seconds


def main(argv: list[str]) -> None:
    """Measure, and print the ratio."""
    name = argv[0] if argv else "gghss"
    events = int(argv[1]) if len(argv) > 1 else 200
    repetitions = int(argv[2]) if len(argv) > 2 else 7
    process = resolve(SampleOptions("benchmark", name, batch_size=events))
    made = Generator(process, SEED).events(events)
    arrays = [from_hepevt_arguments(event.record) for event in made]
    ratios = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "events.hepmc3")
        whole(process, events, path)
        for _ in range(repetitions):
            ours = whole(process, events, path)
            size = path.stat().st_size
            theirs = libraries(process, arrays, path)
            ratios.append(ours / sum(theirs.values()))
            parts = ", ".join(f"{part} {1e3 * s / events:.2f}" for part, s in theirs.items())
            print(f"ours {1e3 * ours / events:.2f} ms an event; {parts}; ratio {ratios[-1]:.3f}")
    print(
        f"{name}, {events} events, {size / events / 1e3:.0f} kB an event: median ratio "
        f"{statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f} "
        f"in {repetitions} repetitions"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
