"""The page of an event, in Chromium."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hvmpi.display.drawing import Drawing
from hvmpi.display.page import page
from hvmpi.display.scene import read_scene
from hvmpi.openchain.eventdata import Table
from tests.browser import WIDTHS, Look
from tests.display.conftest import changed, nothing_seen

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = b"</script><script>alert(1)</script><b>&"
PIXELS = "() => [...document.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())"
"""What is seen of each view."""


def written(aod: Path, directory: Path, event: int | None = None) -> Path:
    path = directory / "event.html"
    path.write_text(page(Drawing(read_scene(aod, event))), encoding="utf-8")
    return path


def settled(browser: Page) -> list[str]:
    """Give what is seen once all has been drawn."""
    browser.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    return list(browser.evaluate(PIXELS))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_looked_around_in(
    look: Look, signal: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    def act(browser: Page) -> None:
        seen = [settled(browser)]
        # Each of these changes what is seen.
        browser.get_by_label("Longitudinal view: tracker").click()
        seen.append(settled(browser))
        browser.get_by_label("Transverse view: zoom in").click()
        seen.append(settled(browser))
        browser.locator("input[name=em]").uncheck()
        seen.append(settled(browser))
        browser.get_by_text("true long-lived particle 2").click()
        browser.get_by_label("choose true long-lived particle 1").click()
        seen.append(settled(browser))
        browser.locator("canvas").first.focus()
        for key in ("ArrowLeft", "ArrowUp", "-"):
            browser.keyboard.press(key)
            seen.append(settled(browser))
        assert all(before != after for before, after in pairwise(seen))

    seen = look(written(signal, tmp_path, 2), width, dark=dark, act=act)
    assert seen.complaints == []
    assert "signal, run 304815, event 2" in seen.text
    assert "decays at Lxy = " in seen.text
    told = seen.text.partition("\nShown")[0]
    assert "true long-lived particle 1" in told
    assert re.search(r"mass \[GeV\]\s+150\.00", told)


def test_pointing_tells_what_is_there(look: Look, signal: Path, tmp_path: Path) -> None:
    def at_decay(browser: Page) -> tuple[float, float]:
        place = browser.evaluate(
            """() => {
                const decay = views[0].byStyle.get("long_lived").find(s => s.points.length === 2);
                return views[0].toPixels(...decay.points);
            }"""
        )
        box = browser.locator("canvas").first.bounding_box()
        assert box is not None
        return box["x"] + place[0], box["y"] + place[1]

    def hover(browser: Page) -> None:
        browser.get_by_label("Transverse view: tracker").click()
        settled(browser)
        browser.mouse.move(*at_decay(browser))
        browser.locator("#told dl").wait_for()

    def tap(browser: Page) -> None:
        browser.get_by_label("Transverse view: tracker").click()
        settled(browser)
        browser.touchscreen.tap(*at_decay(browser))
        browser.locator("#told dl").wait_for()

    path = written(signal, tmp_path, decaying_in_the_tracker(signal))
    for width, act in zip(WIDTHS, (hover, tap), strict=True):
        seen = look(path, width, act=act)
        assert seen.complaints == []
        assert "true long-lived particle" in seen.text.partition("\nShown")[0]


def decaying_in_the_tracker(aod: Path) -> int:
    """Give an event whose first s decays there."""
    for number in range(1, 7):
        decay = read_scene(aod, number).long_lived["path"][0, 1]
        if 30.0 < np.hypot(*decay[:2]) < 900.0:
            return number
    raise AssertionError("none does")


def test_thousands_of_tracks_can_be_looked_at(look: Look, signal: Path, tmp_path: Path) -> None:
    def crowd(tables: dict[str, Table]) -> None:
        tracks = tables["tracks"]
        rows = np.resize(np.arange(len(tracks["phi"])), 2000)
        tables["tracks"] = {name: values[rows] for name, values in tracks.items()}
        tables["tracks"]["phi"] = np.linspace(-np.pi, np.pi, 2000, endpoint=False)

    path = written(changed(signal, tmp_path / "crowd.aod.h5", crowd), tmp_path)
    assert path.stat().st_size < 5e6
    seen = look(path, WIDTHS[1])
    assert seen.complaints == []
    kinds = re.findall(r"track[^\n]*?\D(\d+)\n", seen.text.partition("Shown")[2])
    assert sum(map(int, kinds[:3])) == 2000


def test_an_event_in_which_nothing_was_seen(look: Look, signal: Path, tmp_path: Path) -> None:
    path = written(changed(signal, tmp_path / "nothing.aod.h5", nothing_seen), tmp_path)
    assert [look(path, width).complaints for width in WIDTHS] == [[], []]


def test_what_a_file_says_is_text_and_no_more(look: Look, qcd: Path, tmp_path: Path) -> None:
    aod = changed(qcd, tmp_path / "hostile.aod.h5", lambda _: None, HOSTILE)
    path = written(aod, tmp_path)
    seen = look(path, WIDTHS[1])
    assert seen.complaints == []
    assert HOSTILE.decode() in seen.text
    text = path.read_text()
    assert text.count("<script") == text.count("</script>") == 2


def test_the_page_asks_nobody_and_runs_nothing_else(signal: Path, tmp_path: Path) -> None:
    text = written(signal, tmp_path).read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    # The name of a kind of elements, which nothing is asked of.
    assert set(re.findall(r"https?://[^\"' ]*", text)) == {"http://www.w3.org/2000/svg"}
