"""``diagnose``: the failures of a run, most frequent first, each with its log and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from hvmpi.campaign.failures import Failures
from hvmpi.campaign.status import look_at_current
from hvmpi.verbs.arguments import chosen_run, run_parser
from hvmpi.view.diagnosis import Diagnosis
from hvmpi.view.failures import FailureGroup, group_failures, hosts_left_out
from hvmpi.view.text import folded, located, say_all, tell

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = run_parser(
        "diagnose",
        "the failures of a run, most frequent first, each with its log and what to do",
        "python -m hvmpi diagnose",
    )
    directory = chosen_run(parser.parse_args(argv))
    failures = look_at_current(directory, Failures.of)
    groups = group_failures(failures.attempts)
    all_taken_in = _show_left_out(failures)
    none_barred = _show_not_started(failures)
    if not groups and none_barred and all_taken_in:
        print(f"run {directory.name}: no attempt failed")
    for group in groups:
        _show(group, failures)
    return 0


def _show_left_out(failures: Failures) -> bool:
    """Tell of hosts that got no jobs; say whether there were none."""
    lines = hosts_left_out(failures.left_out)
    for line in lines:
        tell(f"left out: {line}")
    if lines:
        tell("what to do: Mend that, then rerun; python -m hvmpi doctor -c CONFIG says more.", "  ")
    return not lines


def _show_not_started(failures: Failures) -> bool:
    """Tell of files put aside and jobs that could not start; say whether there were none."""
    aside = dict.fromkeys(failures.put_aside)
    for reason in failures.put_aside:
        tell(f"put aside: {reason}")
    for reason, count in failures.barred.most_common():
        if reason not in aside:
            tell(f"{count} jobs could not start: {reason}")
    return not (aside or failures.barred)


def _show(group: FailureGroup, failures: Failures) -> None:
    found = Diagnosis.of(group, failures)
    tell(found.title)
    tell(f"jobs: {found.jobs}", "  ")
    tell(f"host: {found.hosts}", "  ")
    if found.decided:
        tell(f"decided: {found.decided}", "  ")
    tell(f"what to do: {found.advice}", "  ")
    say_all(located("log:", found.log, "  "))
    for line in found.excerpt:
        say_all(folded(line, "    "))
