"""Failures that are alike, and the lines of the logs that tell of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "FailureGroup",
    "LogPlace",
    "group_failures",
    "hosts_left_out",
    "listed",
    "logs_in",
    "title",
]

_LAST_LINES = 12
_LAST_BYTES = 65536
_BEFORE, _AFTER = 3, 8
_WIDTH = 300


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Jobs or attempts that failed alike.

    Attributes
    ----------
    outcome, failure, reason : str
        What they have in common; the names in lower case.
    rows : ndarray
        Theirs, of `hvmpi.campaign.status.Status`, in their order.
    """

    outcome: str
    failure: str
    reason: str
    rows: npt.NDArray[Any]

    @property
    def title(self) -> str:
        """How many of what, in one line."""
        return title(len(self.rows), self.outcome, self.failure, self.reason)

    def counts(self, column: str) -> list[tuple[Any, int]]:
        """Count the values of a column, most frequent first."""
        return Counter(self.rows[column].tolist()).most_common()


def title(count: int, outcome: str, failure: str, reason: str) -> str:
    """Say in one line how many failed in which way."""
    of = "" if failure == "none" else f" ({failure})"
    return f"{count} x {outcome}{of}: {' '.join(reason.split())}"


def group_failures(rows: npt.NDArray[Any]) -> list[FailureGroup]:
    """Put together what failed with the same outcome, class and reason, most frequent first.

    Parameters
    ----------
    rows : ndarray
        Of jobs or attempts that failed.
    """
    groups: dict[tuple[str, str, str], list[int]] = {}
    keys = (rows[column].tolist() for column in ("outcome", "failure", "reason"))
    for place, key in enumerate(zip(*keys, strict=True)):
        groups.setdefault(key, []).append(place)
    return [
        FailureGroup(*key, rows[np.array(places)])
        for key, places in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]


def listed(counts: list[tuple[Any, int]], most: int = 4) -> str:
    """List values with how often they came; a single one alone.

    Parameters
    ----------
    counts : list of (value, int)
    most : int
        Values to be named; of the others only the number is.
    """
    if len(counts) == 1:
        return str(counts[0][0])
    named = [f"{value} ({count})" for value, count in counts[:most]]
    more = [f"{len(counts) - most} more"] if len(counts) > most else []
    return ", ".join(named + more)


def hosts_left_out(ranks: Iterable[tuple[str, str]], most: int = 8) -> list[str]:
    """Say of which hosts ranks were left out, and why, hosts with the same reason together.

    Parameters
    ----------
    ranks : iterable of (str, str)
        Host and reason of each.
    most : int
        Hosts to be named of those with the same reason; of the others only the number is.
    """
    hosts: dict[str, dict[str, None]] = {}
    for host, reason in ranks:
        hosts.setdefault(" ".join(reason.split()), {})[host] = None
    sentences = []
    for reason, those in hosts.items():
        more = [f"{len(those) - most} more"] if len(those) > most else []
        sentences.append(f"{', '.join([*list(those)[:most], *more])}: {reason}")
    return sentences


def logs_in(attempt: Path) -> list[Path]:
    """List the logs in the folder of an attempt, the one that was written last at the end."""
    logs = [*attempt.glob("*.log"), *attempt.glob("*/log.*")]
    return sorted(logs, key=lambda log: (log.stat().st_mtime_ns, log.name))


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A log, and the line in it that tells of a failure; 0 where none is known."""

    path: Path
    line: int = 0

    @classmethod
    def of(cls, job_logs: Path, attempt: int, where: str) -> LogPlace:
        """Say where a failure of an attempt is told of, as `where` has it.

        Without `where` it is the attempt's folder, or the log in there that was written last.
        """
        folder = job_logs / f"attempt{attempt}"
        if not where:
            return cls([folder, *logs_in(folder)][-1])
        name, _, line = where.rpartition(":")
        if name and line.isascii() and line.isdigit():
            return cls(folder / name, int(line))
        return cls(folder / where)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    def excerpt(self) -> list[str]:
        """Give the lines around the one that is known, with their numbers, or the last ones.

        Raises
        ------
        OSError
            If the log cannot be read.
        """
        if not self.line:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - _LAST_BYTES))
                lines = file.read().splitlines()
            return [_shown(line) for line in lines[-_LAST_LINES:]]
        first = max(1, self.line - _BEFORE)
        with self.path.open("rb") as file:
            lines = list(islice(file, first - 1, self.line + _AFTER))
        width = len(str(self.line + _AFTER))
        return [
            f"{number:{width}} {'>' if number == self.line else '|'} {_shown(line)}"
            for number, line in enumerate(lines, first)
        ]


def _shown(line: bytes) -> str:
    """Give a line of a log without what would move the cursor or change colours."""
    text = line.rstrip(b"\r\n").decode(errors="replace").expandtabs()
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
