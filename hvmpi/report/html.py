"""Pieces of HTML in which no text of others can be taken for a tag."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from hvmpi.view.text import printable

__all__ = ["Markup", "element", "joined", "table"]

_EMPTY = frozenset({"meta", "br"})


class Markup(str):
    """Text that is HTML; all other text is escaped before it becomes a part of a page."""

    __slots__ = ()


def joined(pieces: Iterable[str]) -> Markup:
    """Put pieces one behind the other."""
    return Markup("".join(map(_escaped, pieces)))


def element(name: str, /, *content: str, **attributes: str) -> Markup:
    """Make an element.

    Parameters
    ----------
    name : str
    *content : str
        What is in it; escaped unless it is `Markup`.
    **attributes : str
        ``class_`` is ``class``, ``aria_label`` is ``aria-label``; empty ones are left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for key, value in attributes.items()
        if value
    )
    if name in _EMPTY:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(content)}</{name}>")


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Iterable[str] = (),
) -> Markup:
    """Make a table that scrolls within itself where it is wider than the page.

    Parameters
    ----------
    caption : str
    columns : sequence of str
    rows : iterable of sequence of str
        The first cell of each names it.
    right : iterable of str
        The columns that are aligned to the right: numbers.
    """
    sides = ["number" if column in set(right) else "" for column in columns]
    head = [
        element("th", column, scope="col", class_=side)
        for column, side in zip(columns, sides, strict=True)
    ]
    body = []
    for row in rows:
        first, *rest = zip(row, sides, strict=True)
        cells = [element("th", first[0], scope="row", class_=first[1])]
        cells += [element("td", cell, class_=side) for cell, side in rest]
        body.append(element("tr", *cells))
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    return element("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)


def _escaped(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(printable(text))
