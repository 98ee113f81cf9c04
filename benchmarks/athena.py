"""What hvmpi costs a step of athena: script, directory, checks, journal, beside the transform.

    python benchmarks/athena.py [--jobs 1000] [--events 1]

The chain of ``configs/mc15_whss.toml`` runs through the stand-in of the tests, whose transforms do
not sleep. A campaign of one rank is timed against a bare loop that runs the same scripts, those
that hvmpi wrote, one after the other: the difference, shared among the steps, is what hvmpi costs.
What a script costs itself, bash and the release's set-up, is shown beside it, as the time that the
scripts take beyond the transforms alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tomli_w

sys.path.append(str(Path(__file__).resolve().parents[1]))

from hvmpi.__main__ import main as hvmpi
from tests.athena.site import StandIn, make_templates

ROOT = Path(__file__).resolve().parents[1]
STEPS = ("s2608", "r7773", "p2952")


def campaign(place: Path, standin: StandIn, jobs: int, events: int) -> Path:
    """Write the config of a campaign of so many jobs; returns its path."""
    shutil.copytree(ROOT / "configs" / "tags", place / "tags")
    most = 100 // events
    for batch in range(1, -(-jobs // most) + 1):
        standin.evnt(place / "evnt", events * min(most, jobs), batch=batch)
    config = place / "campaign.toml"
    config.write_text(
        tomli_w.dumps(
            {
                "engine": "athena",
                "tags": list(STEPS),
                "keep": ["daod"],
                "keep-logs": True,
                "evnt-dir": str(place / "evnt"),
                "run-dir": str(place / "runs"),
                "job-size": events,
                "nice": 0,
                "site": standin.site(),
            }
        )
    )
    return config


def bare(scripts: list[list[str]]) -> float:
    """Run commands one after the other; returns the seconds that they took."""
    began = time.perf_counter()
    for argv in scripts:
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--events", type=int, default=1, help="events in a job")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        standin = StandIn(place / "site", make_templates(place / "templates", 100))
        config = campaign(place, standin, given.jobs, given.events)
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            code = hvmpi(["reconstruct", "-c", str(config)])
        whole = time.perf_counter() - began
        (run,) = (place / "runs").iterdir()
        attempts = sorted((run / "logs").glob("*/job*/attempt1"))
        scripts = [
            ["/bin/bash", "--noprofile", "--norc", str(attempt / f"{step}.sh")]
            for attempt in attempts
            for step in STEPS
        ]
        alone = bare(scripts)
        steps = len(scripts)
        made = len(list((run / "aod").iterdir()))
        print(f"{len(attempts)} jobs, {steps} steps, exit code {code}, {made} DAODs published")
        print(f"campaign, one rank                  {1e3 * whole / steps:7.1f} ms a step")
        print(f"the same scripts in a bare loop     {1e3 * alone / steps:7.1f} ms a step")
        print(f"hvmpi                               {1e3 * (whole - alone) / steps:7.1f} ms a step")
    return code


if __name__ == "__main__":
    sys.exit(main())
