"""What failed and why, with the lines of the logs, and which hosts were left out."""

from __future__ import annotations

from hvmpi.campaign.failures import Failures
from hvmpi.report.html import Markup, element, joined, table
from hvmpi.view.diagnosis import Diagnosis
from hvmpi.view.failures import FailureGroup, group_failures, hosts_left_out

__all__ = ["failures_content", "left_out_content"]

_MOST_GROUPS = 20
"""Reasons that are told with their log."""
_MOST_ROWS = 100
"""Reasons that are told at all."""


def failures_content(failures: Failures) -> Markup:
    """Make the section: a part for each reason, most frequent first."""
    groups = group_failures(failures.attempts)
    pieces = list(_not_started(failures))
    if not groups:
        pieces.append(element("p", "No attempt failed."))
    pieces += [_group(group, failures) for group in groups[:_MOST_GROUPS]]
    rest = groups[_MOST_GROUPS:_MOST_ROWS]
    if rest:
        rows = [(str(len(group.rows)), group.outcome, group.reason) for group in rest]
        pieces.append(
            table("Less frequent reasons", ("ATTEMPTS", "OUTCOME", "REASON"), rows, ("ATTEMPTS",))
        )
    if len(groups) > _MOST_ROWS:
        pieces.append(element("p", f"... and {len(groups) - _MOST_ROWS:,} more reasons."))
    return joined(pieces)


def left_out_content(failures: Failures) -> Markup:
    """Tell of the hosts that got no jobs; nothing where there are none."""
    lines = hosts_left_out(failures.left_out)
    if not lines:
        return Markup()
    named = [element("li", line) for line in lines[:_MOST_ROWS]]
    return joined([element("h3", "Left out"), element("ul", *named)])


def _not_started(failures: Failures) -> list[Markup]:
    """Tell of files put aside, and of jobs that failed without an attempt."""
    aside = list(dict.fromkeys(failures.put_aside))
    lines = [f"put aside: {reason}" for reason in aside]
    lines += [
        f"{count:,} jobs could not start: {reason}"
        for reason, count in failures.barred.most_common()
        if reason not in aside
    ]
    if not lines:
        return []
    shown = [element("li", line) for line in lines[:_MOST_ROWS]]
    if len(lines) > _MOST_ROWS:
        shown.append(element("li", f"... and {len(lines) - _MOST_ROWS:,} more"))
    return [element("ul", *shown)]


def _group(group: FailureGroup, failures: Failures) -> Markup:
    found = Diagnosis.of(group, failures)
    rows = [
        ("Jobs", found.jobs),
        ("Hosts", found.hosts),
        ("Decided", found.decided),
        ("What to do", found.advice),
        ("Log", element("code", str(found.log))),
    ]
    pairs = [(element("dt", what), element("dd", text)) for what, text in rows if text]
    return element(
        "article",
        element("h3", found.title),
        element("dl", *(piece for pair in pairs for piece in pair), class_="about"),
        element(
            "pre",
            "\n".join(found.excerpt),
            tabindex="0",
            role="region",
            aria_label="lines of the log",
        ),
        class_="failure",
    )
