"""Where the time of the events goes: the limit says inside Pythia, ACTS, FastJet and the showers.

Batches are generated and reconstructed in jobs of ten events in one process, which looks at itself
each millisecond of CPU time and books what passed since the last look under the code where it is.
A look waits for the library's call to return, so what a call took is booked where it was called.
"""

from __future__ import annotations

import contextlib
import io
import signal
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.figures import Bars, Figure, Measured, Measurement, Table, number

TITLE = "where the time of the events goes"

JOB_SIZE = 10
LOOK_S = 0.001

PHYSICS = ("Pythia", "ACTS", "FastJet", "showers", "readout of cells", "clusters of cells")
_PACKAGES = {
    "/fastjet/": "FastJet",
    "/acts/": "ACTS",
    "/pythia8mc": "Pythia",
    "/h5py/": "HDF5 files",
    "/pyhepmc/": "event file written",
    "importlib._bootstrap": "imports",
}
_MODULES = {
    "openchain/pythia.py": "Pythia",
    "openchain/generation.py": "event file written",
    "openchain/hepmc.py": "event file written",
    "openchain/evnt.py": "event file read",
    "openchain/asciiv3.py": "event file read",
    "openchain/truth.py": "event record to arrays",
    "openchain/record.py": "event record to arrays",
    "openchain/sequence.py": "ACTS",
    "openchain/simulation.py": "between ACTS and arrays",
    "openchain/digitization.py": "between ACTS and arrays",
    "openchain/tracking.py": "between ACTS and arrays",
    "openchain/detector.py": "between ACTS and arrays",
    "openchain/vertices.py": "vertices, leptons, missing energy",
    "openchain/leptons.py": "vertices, leptons, missing energy",
    "openchain/missing.py": "vertices, leptons, missing energy",
    "openchain/calorimeter.py": "showers",
    "openchain/flight.py": "showers",
    "openchain/layers.py": "showers",
    "openchain/readout.py": "readout of cells",
    "openchain/clusters.py": "clusters of cells",
    "openchain/jets.py": "jets behind FastJet",
    "openchain/eventdata.py": "HDF5 files",
    "hvmpi/hdf5.py": "HDF5 files",
    "hvmpi/training/": "training variables",
}
_FUNCTIONS = {
    ("pythia.py", "_event"): "event record to arrays",
    ("pythia.py", "_record"): "event record to arrays",
    ("pythia.py", "__init__"): "Pythia's start",
    ("pythia.py", "_configured"): "Pythia's start",
    ("pythia.py", "_read"): "Pythia's start",
    ("pythia.py", "sm_width"): "Pythia's start",
    ("calorimeter.py", "is_invisible"): "event record to arrays",
}


class Sampler:
    """Books CPU time under the part of the code that runs."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._at = 0.0
        self._known: dict[Any, str | None] = {}

    def __enter__(self) -> Counter[str]:
        self._at = time.process_time()
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, LOOK_S, LOOK_S)
        return self.seconds

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        self.seconds["other"] += time.process_time() - self._at

    def _look(self, _number: int, frame: FrameType | None) -> None:
        now = time.process_time()
        self.seconds[self._part(frame)] += now - self._at
        self._at = time.process_time()

    def _part(self, frame: FrameType | None) -> str:
        while frame is not None:
            code = frame.f_code
            if code not in self._known:
                self._known[code] = _part_of(code.co_filename, code.co_name)
            part = self._known[code]
            if part is not None:
                return part
            frame = frame.f_back
        return "other"


def _part_of(file: str, function: str) -> str | None:
    """Say which part a function belongs to; None where its caller tells."""
    special = _FUNCTIONS.get((file.rsplit("/", 1)[-1], function))
    if special is not None:
        return special
    for marks in (_MODULES, _PACKAGES):
        for mark, part in marks.items():
            if mark in file:
                return part
    return None


def measure(given: Measurement) -> Measured:
    """Make events."""
    events, batches = given.size((100, 5), (10, 2))
    from hvmpi.openchain.__main__ import main as openchain

    def step(*words: str) -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = openchain([*words, "--seed=1"])
        if code:
            raise RuntimeError(said.getvalue().strip())

    def batch(number: int, events: int) -> None:
        stem = given.scratch / f"{number}"
        event_file = str(stem.with_suffix(".hepmc3"))
        sample = ("--process=gghss", "--run-number=304795", f"--batch-size={events}")
        step("generate", *sample, f"--batch={number}", "-o", event_file)
        for skip in range(0, events, JOB_SIZE):
            outputs = ("-o", f"{stem}.{skip}.aod.h5", "--train", f"{stem}.{skip}.train.h5")
            words = (f"--skip={skip}", f"--events={min(JOB_SIZE, events - skip)}")
            # Known in a campaign, from the file's manifest.
            step("chain", event_file, *words, f"--input-sha256={'0' * 64}", *outputs)

    batch(1, 2)
    booked = []
    for number_ in range(2, batches + 2):
        with Sampler() as seconds:
            batch(number_, events)
        booked.append(dict(seconds))
    return _told(booked, events)


def _told(booked: list[dict[str, float]], events: int) -> Measured:
    parts = sorted({part for one in booked for part in one})
    mean = {part: sum(one.get(part, 0.0) for one in booked) / len(booked) for part in parts}
    order = sorted(parts, key=lambda part: -mean[part])
    whole = sum(mean.values())
    physics = tuple(
        100.0 * sum(one.get(part, 0.0) for part in PHYSICS) / sum(one.values()) for one in booked
    )
    rows = [(part, mean[part]) for part in order if mean[part] >= 0.001 * whole]
    return Measured(
        (
            Figure(
                "CPU time inside Pythia, ACTS, FastJet and the calorimeters' kernels",
                "all of an event's, batches of 100 in jobs of 10, start of Python excluded",
                physics,
                unit="%",
                note=f"{1e3 * whole / events:.0f} ms an event",
            ),
        ),
        bars=(
            Bars(
                "parts",
                "CPU time, ms an event",
                {part: 1e3 * seconds / events for part, seconds in rows},
            ),
        ),
        tables=(
            Table(
                "parts",
                ("where", "ms an event", "%"),
                tuple(
                    (part, number(1e3 * seconds / events), f"{100.0 * seconds / whole:.1f}")
                    for part, seconds in rows
                ),
            ),
        ),
    )


def main() -> None:
    """Print the shares alone."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for row in measure(Measurement(place, place)).tables[0].rows:
            print("{:35s} {:>8s} {:>6s} %".format(*row))


if __name__ == "__main__":
    main()
