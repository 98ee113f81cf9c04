"""Pages looked at in Chromium: what a reader would see go wrong, and a picture of each.

The fixture `look` of `conftest.py` opens a page and says what it found::

    def test_the_page(look: Look, page: Path) -> None:
        for width in WIDTHS:
            assert look(page, width).complaints == []
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

WIDTHS = (1280, 390)
"""A screen and a phone, in px."""

PHONE = 600
"""Narrower ones are phones: they ask for a page's viewport, and zoom out if it has none."""

HEIGHT = 844
TALLEST = 8000
"""Pictures end here, in px."""

LIMIT_S = 20.0
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # Nothing but this machine can be reached; that a page asks for more is seen all the same.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

SEEN = """async () => {
    const pictures = [...document.images];
    for (const picture of pictures) picture.loading = "eager";
    await Promise.all(pictures.map(picture => picture.decode().catch(() => null)));
    await document.fonts.ready;
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    return {
        width: document.scrollingElement.scrollWidth,
        broken: pictures.filter(p => !p.naturalWidth).map(p => p.currentSrc || p.outerHTML),
        text: document.body.innerText,
    };
}"""
"""What of a page is to be known once all of it is there."""


@dataclass(frozen=True)
class Seen:
    """A page that was looked at."""

    page: str
    width: int
    complaints: list[str]
    """What is wrong, a line each: of the console, scripts, requests, pictures, the width."""

    text: str
    """All that can be read on it."""

    picture: Path
    """A PNG of the page from top to bottom."""


class Look(Protocol):
    """Open a page `width` px wide; `act` may click and ask before the page is judged."""

    def __call__(
        self,
        page: Path | str,
        width: int,
        *,
        dark: bool = False,
        act: Callable[[Page], object] | None = None,
    ) -> Seen: ...


class Eyes:
    """One Chromium, in a thread of its own: Playwright's event loop is no business of tests."""

    def __init__(self, program: str, pictures: Path) -> None:
        self._pictures = pictures
        self._contexts: dict[tuple[int, bool], BrowserContext] = {}
        self._thread = ThreadPoolExecutor(1, "eyes")
        self._playwright: Playwright
        self._browser: Browser
        self._thread.submit(self._open, program).result()

    def look(
        self,
        page: Path | str,
        width: int,
        *,
        dark: bool = False,
        act: Callable[[Page], object] | None = None,
    ) -> Seen:
        """See `Look`."""
        address = page.resolve().as_uri() if isinstance(page, Path) else page
        return self._thread.submit(self._look, address, width, dark, act).result()

    def close(self) -> None:
        """End Chromium."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _open(self, program: str) -> None:
        # Few tests look at pages: the others need not load it.
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=program, args=list(ARGUMENTS)
        )

    def _close(self) -> None:
        self._browser.close()
        self._playwright.stop()

    def _context(self, width: int, dark: bool) -> BrowserContext:
        if (width, dark) not in self._contexts:
            phone = width < PHONE
            scheme: Literal["dark", "light"] = "dark" if dark else "light"
            context = self._browser.new_context(
                viewport={"width": width, "height": HEIGHT},
                is_mobile=phone,
                has_touch=phone,
                color_scheme=scheme,
            )
            context.set_default_timeout(1000 * LIMIT_S)
            self._contexts[width, dark] = context
        return self._contexts[width, dark]

    def _look(
        self, address: str, width: int, dark: bool, act: Callable[[Page], object] | None
    ) -> Seen:
        page = self._context(width, dark).new_page()
        try:
            witness = _Witness(page, address)
            page.goto(address, wait_until="load")
            if act is not None:
                act(page)
            seen = page.evaluate(SEEN)
            witness.wait()
            complaints = [*witness.complaints]
            complaints += [f"picture cannot be shown: {name}" for name in seen["broken"]]
            if seen["width"] > width:
                complaints.append(f"{seen['width']} px wide, for a window of {width}")
            picture = self._picture(page, address, width, dark)
            return Seen(address, width, complaints, seen["text"], picture)
        finally:
            page.close()

    def _picture(self, page: Page, address: str, width: int, dark: bool) -> Path:
        parts = urlsplit(address)
        name = re.sub(r"[^\w.-]+", "_", parts.path.strip("/"))[-80:] or "index"
        path = self._pictures / f"{name}-{width}{'-dark' if dark else ''}.png"
        tall = page.evaluate("document.scrollingElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": max(HEIGHT, min(tall, TALLEST))}
        page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")
        return path


class _Witness:
    """What happens to a page while it is looked at."""

    def __init__(self, page: Page, address: str) -> None:
        self.complaints: list[str] = []
        self._page = page
        self._own = urlsplit(address).netloc
        self._under_way = 0
        page.on("console", lambda said: self._heard(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("requestfinished", lambda _: self._answered())
        page.on("requestfailed", lambda request: self._failed(request.url, request.failure))
        page.on("response", lambda answer: self._status(answer.url, answer.status))
        page.on("websocket", lambda socket: self._asked(socket.url))

    def wait(self) -> None:
        """Let requests come to an end."""
        deadline = time.monotonic() + LIMIT_S
        while self._under_way and time.monotonic() < deadline:
            self._page.wait_for_timeout(20)
        if self._under_way:
            self.complaints.append(f"{self._under_way} requests without an answer")

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"console, {kind}: {text}")

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("file", "data", "blob") and parts.netloc != self._own:
            self.complaints.append(f"asks another machine: {url[:200]}")
        if not parts.scheme.startswith("ws"):
            self._under_way += 1

    def _answered(self) -> None:
        self._under_way -= 1

    def _failed(self, url: str, reason: str | None) -> None:
        self._under_way -= 1
        self.complaints.append(f"request failed: {url[:200]}: {reason}")

    def _status(self, url: str, status: int) -> None:
        if status >= 400:
            self.complaints.append(f"answered with {status}: {url[:200]}")


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """Look at pages in one Chromium for all tests of a process."""
    programs = [path for name in CHROMIUM if (path := shutil.which(name))]
    if not programs:
        pytest.skip("no Chromium is installed here")
    eyes = Eyes(programs[0], tmp_path_factory.mktemp("looks"))
    yield eyes.look
    eyes.close()
