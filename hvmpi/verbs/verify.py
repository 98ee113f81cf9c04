"""``verify``: prove that every event of a run is in exactly one product, or say why it is not."""

from __future__ import annotations

from collections.abc import Sequence

from hvmpi.campaign.audit import audit
from hvmpi.verbs.arguments import chosen_run, run_parser

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns 1 if the run has a fault or a job that is not done."""
    parser = run_parser(
        "verify",
        "re-read journal, products, checksums and event numbers of a run",
        "python -m hvmpi verify 20261124120000",
    )
    directory = chosen_run(parser.parse_args(argv))
    found = audit(directory)
    for fault in found.faults:
        print(f"fault: {fault}")
    for sentence in found.not_done:
        print(f"not done: {sentence}")
    verdict = "as the journal says" if not found.faults else f"faults: {len(found.faults)}"
    rest = f"; {len(found.not_done)} not done" if found.not_done else ""
    print(f"run {directory.name}: {found.files} files, {found.events} events: {verdict}{rest}")
    return 1 if found.faults or found.not_done else 0
