"""The files that a repository has for its users: citation, changes, links."""

from __future__ import annotations

import re

import pytest

import hvmpi
from tests.docs.conftest import CHECKOUT

yaml = pytest.importorskip("yaml")

LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def test_the_citation_has_what_its_format_asks_for() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"]
    assert citation["type"] == "software"
    assert citation["authors"] == [{"name": "The hvmpi developers"}]
    assert str(citation["version"]) == hvmpi.__version__
    assert citation["license"] == "Apache-2.0"
    allowed = {"abstract", "keywords"} | {"authors", "license", "message", "title", "type"}
    assert set(citation) == allowed | {"cff-version", "version"}


def test_the_changelog_knows_this_version() -> None:
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert hvmpi.__version__ in dict(versions)
    assert all(date for version, date in versions[1:])
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    lost = [target for target in LINK.findall(text) if not (CHECKOUT / target).exists()]
    assert lost == []
