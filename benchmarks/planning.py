"""How long it takes to plan a million jobs, and what memory: 20,000 event files with manifests.

``python -m hvmpi plan reconstruct``, start of Python and its table included. The event files are
the noop engine's, 50 events each, as ``generate`` would have left them; their counts are in their
manifests, as they are for the open chain's.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import BenchmarkError, Figure, Measured, Measurement, at_most
from benchmarks.launching import hvmpi
from benchmarks.simulation import make_event_files
from hvmpi.campaign.event_files import Manifest
from hvmpi.campaign.paths import manifest
from hvmpi.files import sha256_of

TITLE = "planning of a million jobs"

EVENTS = 50


def measure(given: Measurement) -> Measured:
    """Plan."""
    files = given.size(20_000, 500)
    place = given.scratch / "evnt"
    make_event_files(place, files, EVENTS)
    for path in sorted(place.iterdir()):
        _write_manifest(path)
    words = ["plan", "reconstruct", "--engine=noop", "--job-size=1", f"--evnt-dir={place}"]
    ends = [hvmpi(words, given.scratch / "plan") for _ in range(given.pairs)]
    jobs = files * EVENTS
    if f"{jobs} reconstruction jobs" not in ends[0].output.replace(",", ""):
        msg = f"the plan is not of {jobs} jobs: {ends[0].output[:200]}"
        raise BenchmarkError(msg)
    what = f"planning {jobs:,} jobs from {files:,} event files (counts known)"
    return Measured(
        (
            Figure(what, values=tuple(e.wall_s for e in ends), goal=at_most(5.0), unit="s"),
            Figure(
                f"{what}: peak memory",
                values=(max(e.max_rss_mb for e in ends),),
                goal=at_most(300.0),
                unit="MB",
            ),
        )
    )


def _write_manifest(path: Path) -> None:
    run_number, events, batch = (int(part) for part in path.name.split(".")[:3])
    made = Manifest(
        settings_hash="0" * 64,
        sha256=sha256_of(path),
        size=path.stat().st_size,
        events=events,
        first_event=(batch - 1) * events + 1,
        run_number=run_number,
        batch=batch,
        sample="noop",
    )
    manifest(path).write_text(made.to_json())
