"""Write the tables of ``docs/validation.md`` anew from the numbers of the studies.

    python docs/validation/page.py [--check]

What stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced. NAME is
``STUDY.goals``, ``STUDY.made`` or ``STUDY.TABLE`` with a study's JSON file in
``docs/validation/figures``; or ``missed``, all goals that are not reached, and ``summary``, how
many are. With ``--check`` nothing is written; the exit code is 1 if the page is not up to date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from study import FIGURES, answer

from hvmpi.files import write_whole

PAGE = Path(__file__).parents[1] / "validation.md"
BLOCK = re.compile(r"(<!-- begin (?P<name>[\w.]+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def goals(entries: Sequence[dict[str, Any]]) -> str:
    """Return the goals as a table."""
    rows = [[one["what"], one["asked"], one["text"], answer(one)] for one in entries]
    return table(["figure", "asked", "measured", "reached"], rows)


def made(study: dict[str, Any]) -> str:
    """Return what a study was made of as one paragraph."""
    parts = []
    for name, value in study["made"].items():
        if isinstance(value, dict):
            text = "; ".join(f"{key}: {part}" for key, part in value.items())
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        parts.append(f"{name.replace('_', ' ')}: {text}")
    return f"Made with {'; '.join(parts)}.\n"


def content(name: str, studies: dict[str, dict[str, Any]]) -> str:
    """Return what stands in a block."""
    every = [goal for study in studies.values() for goal in study["goals"]]
    missed = [goal for goal in every if not goal["reached"]]
    if name == "summary":
        return f"{len(every) - len(missed)} of {len(every)} figures are reached.\n"
    if name == "missed":
        return goals(missed) if missed else "None.\n"
    study, _, part = name.partition(".")
    if study not in studies:
        return f"*Not measured: there is no {study}.json.*\n"
    if part == "goals":
        return goals(studies[study]["goals"])
    if part == "made":
        return made(studies[study])
    if part not in studies[study]["tables"]:
        return f"*Not measured: {study}.json has no {part}.*\n"
    own = studies[study]["tables"][part]
    return table(own["columns"], own["text"])


def filled(page: str, figures: Path) -> str:
    """Return the page with its blocks filled."""
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(figures.glob("*.json"))
    ]
    studies = {one["study"]: one for one in found}
    return BLOCK.sub(lambda block: block[1] + content(block["name"], studies) + block[3], page)


def main(argv: Sequence[str]) -> int:
    """Fill the page, or see whether it is."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--check", action="store_true", help="write nothing; 1 if out of date")
    options.add_argument("--page", type=Path, default=PAGE)
    options.add_argument("--figures", type=Path, default=FIGURES)
    given = options.parse_args(argv)
    old = given.page.read_text(encoding="utf-8")
    new = filled(old, given.figures)
    if given.check:
        if new != old:
            print(f"{given.page} is out of date: run python docs/validation/page.py")
        return int(new != old)
    with write_whole(given.page) as beside:
        beside.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
