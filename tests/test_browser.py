"""What looking at a page finds out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.browser import WIDTHS, Look

HEAD = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="


def page(directory: Path, body: str, head: str = HEAD) -> Path:
    path = directory / "page.html"
    path.write_text(f"{head}<title>page</title><body>{body}")
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_in_order_has_no_complaints(tmp_path: Path, look: Look, width: int) -> None:
    seen = look(page(tmp_path, f'<h1>Decays</h1><img src="{DOT}">'), width)
    assert seen.complaints == []
    assert seen.text.strip() == "Decays"
    assert seen.picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>console.error('so it is')</script>", "console, error: so it is"),
        ("<script>lacking()</script>", "script: "),
        ('<img src="gone.png">', "picture cannot be shown: "),
        ('<script src="gone.js"></script>', "request failed: "),
        ('<script src="https://example.org/a.js"></script>', "asks another machine: "),
        ('<div style="width: 2000px">wide</div>', "px wide, for a window of "),
    ],
)
@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_wrong_is_told(
    tmp_path: Path, look: Look, body: str, complaint: str, width: int
) -> None:
    assert any(complaint in line for line in look(page(tmp_path, body), width).complaints)


def test_a_page_that_phones_zoom_out_of_is_too_wide(tmp_path: Path, look: Look) -> None:
    seen = look(page(tmp_path, "no viewport", head="<!doctype html>"), 390)
    assert seen.complaints == ["980 px wide, for a window of 390"]


def test_pages_are_looked_at_in_the_dark(tmp_path: Path, look: Look) -> None:
    style = "<style>p {display: none} @media (prefers-color-scheme: dark) {p {display: block}}"
    path = page(tmp_path, f"{style}</style><p>night</p>")
    assert look(path, 1280, dark=True).text.strip() == "night"
    assert look(path, 1280).text.strip() == ""


def test_a_page_can_be_used_before_it_is_judged(tmp_path: Path, look: Look) -> None:
    path = page(tmp_path, "<button onclick=\"console.error('broken')\">go</button>")
    assert look(path, 390).complaints == []
    seen = look(path, 390, act=lambda opened: opened.click("button"))
    assert seen.complaints == ["console, error: broken"]


def test_tests_have_event_loops_of_their_own(tmp_path: Path, look: Look) -> None:
    async def answer() -> int:
        return 7

    assert look(page(tmp_path, "seven"), 390).complaints == []
    assert asyncio.run(answer()) == 7
