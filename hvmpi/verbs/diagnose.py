"""``diagnose``: the failures of a run, most frequent first, with the ends of their logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hvmpi.campaign.status import read_current_status
from hvmpi.verbs.arguments import chosen_run, run_parser

__all__ = ["main"]

_LAST_LINES = 12
_LAST_BYTES = 65536


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = run_parser(
        "diagnose",
        "the failures of a run, most frequent first, with the ends of their logs",
        "python -m hvmpi diagnose",
    )
    directory = chosen_run(parser.parse_args(argv))
    status = read_current_status(directory)
    bad = status.attempts[
        (status.attempts["outcome"] != "done") & (status.attempts["outcome"] != "none")
    ]
    logs = {int(job["job"]): Path(str(job["log"])) for job in status.jobs}
    groups = Counter((str(row["outcome"]), str(row["reason"])) for row in bad)
    aside = [str(file["reason"]) for file in status.event_files if file["reason"]]
    for reason in aside:
        print(f"put aside: {reason}")
    barred = status.jobs[(status.jobs["state"] == "failed") & (status.jobs["attempts"] == 0)]
    for reason, count in Counter(map(str, barred["reason"])).most_common():
        if reason not in aside:
            print(f"{count} jobs could not start: {reason}")
    if not groups and not aside:
        print(f"run {directory.name}: no attempt failed")
    for (outcome, reason), count in groups.most_common():
        rows = bad[(bad["outcome"] == outcome) & (bad["reason"] == reason)]
        jobs = sorted({int(row["job"]) for row in rows})
        named = ", ".join(map(str, jobs[:8])) + (", ..." if len(jobs) > 8 else "")
        print(f"{count} x {outcome}: {reason} (jobs {named})")
        last = rows[-1]
        _show_log(logs[int(last["job"])] / f"attempt{last['attempt']}")
    return 0


def _show_log(attempt: Path) -> None:
    for log in sorted(attempt.glob("*.log")):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        print(f"  {log}")
        for line in lines[-_LAST_LINES:]:
            print(f"    {line}")
