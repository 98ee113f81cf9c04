"""The reference curves of the report: what a campaign's AODs hold, as one JSON file.

    ./run_chain.sh -c docs/validation/reference.toml            # run it, RUN
    python docs/validation/reference.py RUN

RUN: the directory of the campaign. Written is ``hvmpi/report/data/reference.json``, which reports
are drawn against: histograms of jets and curves of tracks and jets, for each sample, as
`hvmpi.report` measures them in any run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from study import rounded

from hvmpi.campaign.status import StatusFile
from hvmpi.files import write_whole
from hvmpi.report.reference import component_of, pythia_hash
from hvmpi.report.samples import read_samples
from hvmpi.report.selection import select
from hvmpi.report.variables import Quantity

OUTPUT = Path(__file__).parents[2] / "hvmpi" / "report" / "data" / "reference.json"


def measure(run: Path) -> dict[str, Any]:
    """Return the reference that a run makes."""
    with StatusFile(run / "status.h5") as status:
        samples = read_samples(status, select(status))
        attributes = status.attributes
    if samples.notes:
        sys.exit("\n".join(samples.notes))
    components = {}
    for sample in samples.samples:
        if sample.asked is None:
            sys.exit(f"{sample.name}: it is not known how its events were made")
        tables = {quantity: sample.table(quantity) for quantity in Quantity}
        made = component_of(sample.name, sample.events, tables)
        components[pythia_hash(sample.asked)] = made.as_json()
    return {
        "made_by": "docs/validation/reference.py, of docs/validation/reference.toml",
        "hvmpi_version": attributes["hvmpi_version"],
        **{name: samples.provenance[name] for name in ("versions", "cpu_type", "settings_hash")},
        "seed": attributes["settings"]["seed"],
        "events": {sample.name: sample.events for sample in samples.samples},
        "components": components,
    }


def main(argv: Sequence[str]) -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(argv)
    text = json.dumps(rounded(measure(given.run)), indent=None, separators=(",", ":"))
    # A line a sample, so that what changed can be seen.
    text = text.replace('},"', '},\n"') + "\n"
    with write_whole(given.output) as beside:
        beside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
