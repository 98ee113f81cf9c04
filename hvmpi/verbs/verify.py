"""``verify``: prove that every event of a run is in exactly one product, or say why it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hvmpi.campaign.audit import Audit, audit
from hvmpi.errors import HvmpiError
from hvmpi.verbs.arguments import chosen_run, run_parser
from hvmpi.view.text import say, tell, terminal

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb.

    Returns
    -------
    int
        1 if the run has a fault or a job that is not done; of a run in progress, if what was
        published so far has a fault.
    """
    parser = run_parser(
        "verify",
        "re-read journal, products, checksums and event numbers of a run; of a run in progress, "
        "what was published so far",
        "python -m hvmpi verify 20261124120000",
    )
    directory = chosen_run(parser.parse_args(argv))
    found = _audit(directory)
    # In a pipe each sentence is one line, for grep.
    write = tell if terminal() is not None else say
    for fault in found.faults:
        write(f"fault: {fault}")
    for sentence in found.remarks:
        write(f"remark: {sentence}")
    for sentence in found.not_done:
        write(f"not done: {sentence}")
    verdict = "as the journal says" if not found.faults else f"faults: {len(found.faults)}"
    rest = f"; {len(found.not_done)} not done" if found.not_done else ""
    write(f"run {directory.name}: {found.files} files, {found.events} events: {verdict}{rest}")
    if found.master is not None:
        write(
            f"run {directory.name} is in progress: process {found.master.pid} on "
            f"{found.master.host} is its master; {found.done} of {found.jobs} jobs are done, "
            "and only those were looked at"
        )
        return 1 if found.faults else 0
    return 1 if found.faults or found.not_done else 0


def _audit(directory: Path) -> Audit:
    """Audit a run; that it cannot be is a fault of the run, not of the command line."""
    try:
        return audit(directory)
    except HvmpiError as error:
        return Audit(faults=(str(error),))
    except OSError as error:
        return Audit(faults=(f"{str(error.filename)!r} cannot be read ({error.strerror})",))
