"""What the whole event loop costs, Pythia to AOD, over what the libraries do for the same events.

Ours is what a generation payload and a fused payload do between start-up and end: events from
Pythia sorted into an event file, and that file through the tracker to an AOD. The libraries' part
is Pythia's ``next``, ``from_hepevt`` with the arrays ready and ``write_event`` (see `generation`),
pyhepmc reading the file, ACTS, and h5py with compression (`tracking.ChainCost`). All in CPU time,
in turns, after start-up.

Run: ``python benchmarks/event_loop.py [PROCESS] [EVENTS] [REPETITIONS]``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import generation
import tracking

from hvmpi.openchain.hepmc import from_hepevt_arguments
from hvmpi.openchain.processes import resolve
from hvmpi.openchain.pythia import Generator
from hvmpi.sample import SampleOptions


def main(argv: list[str]) -> None:
    """Measure, and print the ratios."""
    name = argv[0] if argv else "gghss"
    events = int(argv[1]) if len(argv) > 1 else 100
    repetitions = int(argv[2]) if len(argv) > 2 else 7
    process = resolve(SampleOptions("benchmark", name, batch_size=events))
    made = Generator(process, generation.SEED).events(events)
    arrays = [from_hepevt_arguments(event.record) for event in made]
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        path, again = scratch / "events.hepmc3", scratch / "again.hepmc3"
        generation.whole(process, events, path)
        cost = tracking.ChainCost(path, scratch, events)
        for _ in range(repetitions):
            generated = generation.whole(process, events, again)
            theirs = generation.libraries(process, arrays, again)
            reconstructed = cost.chain()
            theirs |= cost.libraries()
            seconds = {"generate": generated, "chain": reconstructed, **theirs}
            row = {part: 1e3 * taken / events for part, taken in seconds.items()}
            ours, total = generated + reconstructed, sum(theirs.values())
            row["ratio"] = ours / total
            # The event file is read because generation and tracking are processes of their own.
            row["without read"] = ours / (total - theirs["read"])
            rows.append(row)
    print(f"{name}, {events} events, {repetitions} interleaved runs, CPU time in ms an event")
    tracking.print_spread(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
