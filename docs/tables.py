"""Tables of Markdown, of rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["code", "plain", "table"]


def plain(text: object) -> str:
    """Give text as it is to be read, whatever Markdown would make of its signs."""
    said = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in ("\\", "*", "_", "[", "]", "`"):
        said = said.replace(sign, f"&#{ord(sign)};")
    return " ".join(said.split())


def code(text: object) -> str:
    """Give text as code; nothing for no text."""
    said = " ".join(str(text).split())
    fence = "``" if "`" in said else "`"
    pad = " " if "`" in said else ""
    return f"{fence}{pad}{said}{pad}{fence}" if said else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table; cells are Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)]) + "\n"
