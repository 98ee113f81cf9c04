"""What a job of ten events takes in a warm payload, over one in a fresh process (``--cold``).

The same event file is reconstructed by one worker, warm and cold in turns; the time of a job is the
wall time of its attempt in ``status.h5``, the median of the run's jobs.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path

import hvmpi as package
from benchmarks.figures import Figure, Measured, Measurement, paired, skipped
from benchmarks.launching import hvmpi, run, the_run

TITLE = "a warm job of ten events against a cold one"

EVENTS = 10
OPTION = "--cold"


def measure(given: Measurement) -> Measured:
    """Reconstruct warm and cold."""
    if OPTION not in hvmpi(["reconstruct", "--help"], given.scratch / "help").output:
        return Measured((skipped(TITLE, f"skipped: this hvmpi has no option {OPTION}"),))
    jobs = given.size(6, 3)
    event_file = given.scratch / "evnt" / f"304795.{jobs * EVENTS}.1.evnt.hepmc3"
    words = ["generate", "--process=gghss", "--run-number=304795", "-o", str(event_file)]
    words.append(f"--batch-size={jobs * EVENTS}")
    event_file.parent.mkdir()
    run([sys.executable, "-P", "-m", "hvmpi.openchain", *words], given.scratch / "generate")

    def job_s(place: Path, *more: str) -> float:
        words = ["reconstruct", f"--evnt-dir={event_file.parent}", f"--job-size={EVENTS}"]
        hvmpi([*words, f"--run-dir={place / 'runs'}", "--nice=0", *more], place, ranks=2)
        jobs = package.read_status(the_run(place / "runs")).jobs
        taken = jobs["wall_s"][jobs["kind"] == "reconstruction"].tolist()
        shutil.rmtree(place)
        return statistics.median(taken)

    both = paired(
        given.pairs,
        lambda pair: job_s(given.scratch / f"warm{pair}"),
        lambda pair: job_s(given.scratch / f"cold{pair}", OPTION),
    )
    return Measured(
        (
            Figure(
                f"job of {EVENTS} events, warm, wall time of its attempt",
                "a fresh process",
                tuple(warm / cold for warm, cold in both),
                note=f"fastest: {min(w for w, _ in both):.2f} s against "
                f"{min(c for _, c in both):.2f} s",
            ),
        )
    )
