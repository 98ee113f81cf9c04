"""The hook of mkdocs: what pages of docs/ have from the code, put in where they ask for it.

A line ``<!-- made: options -->`` in a page gives way to what `MAKERS` makes of the code of that
moment. So nothing of it is written twice.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import commands
import messages
import physics
import schemas

__all__ = ["MAKERS", "filled", "on_page_markdown"]

MAKERS: Mapping[str, Callable[[], str]] = {
    "athena-causes": messages.athena_causes,
    "commands": commands.verbs,
    "exit-codes": commands.exit_codes,
    "journal": schemas.journal,
    "layers": physics.layers,
    "messages": messages.explained,
    "options": commands.options,
    "outcomes": messages.outcomes,
    "passes": physics.passes,
    "points": physics.points,
    "products": schemas.products,
    "sensors": physics.sensors,
    "site": commands.site,
    "status": schemas.status,
    "training": schemas.training,
}
_PLACE = re.compile(r"^<!-- made: ([\w-]+) -->$", re.MULTILINE)
_LOG = logging.getLogger("mkdocs.hooks.pages")


def filled(markdown: str) -> str:
    """Put what is made of the code into a page."""
    return _PLACE.sub(lambda place: MAKERS[place[1]](), markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill a page; a message that it does not explain is a warning, which ends a strict build."""
    for lacking in messages.unexplained() if "<!-- made: messages -->" in markdown else ():
        _LOG.warning("no entry of docs/troubleshooting.toml explains: %s", lacking)
    return filled(markdown)
