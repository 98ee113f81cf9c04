"""The site of docs/: built without a warning, complete, and looked at in a browser."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser import WIDTHS, Look
from tests.conftest import clean_environment
from tests.docs.conftest import CHECKOUT

pytest.importorskip("material", reason="the extra docs is not installed")
pytest.importorskip("acts", reason="pages tell of the open chain, which is not installed")

SMALL = {"HVMPI_NUM_BATCHES": "1", "HVMPI_BATCH_SIZE": "6"}
"""What keeps the campaigns of the quick start short."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "mkdocs", "build", "--strict", "-d", directory],
        cwd=CHECKOUT,
        env=clean_environment() | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return directory


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Serve the site: browsers let no search work from files."""
    handler = functools.partial(_Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def pages(site: Path) -> list[str]:
    return sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))


def test_each_page_is_well_on_screen_and_phone(site: Path, address: str, look: Look) -> None:
    found = pages(site)
    assert {"index.html", "quickstart.html", "reference/commands.html"} <= set(found)
    complaints = {
        (page, width): seen.complaints
        for width in WIDTHS
        for page in found
        if page != "404.html"
        for seen in [look(f"{address}/{page}", width, whole=False)]
        if seen.complaints
    }
    assert complaints == {}


def test_the_site_is_well_in_the_dark(address: str, look: Look) -> None:
    assert look(f"{address}/index.html", 1280, dark=True).complaints == []
    assert look(f"{address}/reference/options.html", 390, dark=True).complaints == []


def test_the_site_is_searched_without_a_network(address: str, look: Look) -> None:
    def wait(page: Page) -> None:
        page.wait_for_selector("a.md-search-result__link", state="attached")

    seen = look(f"{address}/index.html?q=job-timeout", 1280, whole=False, act=wait)
    assert seen.complaints == []


def test_pages_take_nothing_from_elsewhere(site: Path) -> None:
    asset = re.compile(
        r"<(?:script|img|iframe|source|object|embed)[^>]+(?:src|data)=\"?(?:https?:)?//"
        r"|<link[^>]+rel=\"?(?:stylesheet|preload|icon|preconnect)[^>]+href=\"?(?:https?:)?//"
        r"|@import|url\([\"']?(?:https?:)?//"
    )
    outside = {
        str(path.relative_to(site)): found[0]
        for path in [*site.rglob("*.html"), *site.rglob("*.css")]
        if (found := asset.search(path.read_text(encoding="utf-8")))
    }
    assert outside == {}


def test_what_pages_have_from_the_code_is_there(site: Path) -> None:
    for page in pages(site):
        assert "<!-- made" not in (site / page).read_text(encoding="utf-8"), page
    options = (site / "reference" / "options.html").read_text(encoding="utf-8")
    assert "HVMPI_JOB_TIMEOUT" in options
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--state" in commands
    products = (site / "reference" / "products.html").read_text(encoding="utf-8")
    assert "vertex_weight" in products
    python = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert "read_status" in python


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    for name in ("run_chain.sh", "hostfile", "configs", ".venv"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    text = (CHECKOUT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert {kind for kind, _ in blocks} == {"bash", "python"}
    script = "set -euo pipefail\n" + "".join(
        block if kind == "bash" else f"python - <<'END_OF_PYTHON'\n{block}END_OF_PYTHON\n"
        for kind, block in blocks
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=clean_environment() | SMALL,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    assert "events," in done.stdout
    assert len(list((tmp_path / "runs").iterdir())) == 2, done.stdout
