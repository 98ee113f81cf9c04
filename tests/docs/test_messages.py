"""That every message of hvmpi has a cause and a cure in docs/troubleshooting.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.conftest import Docs

NEW = """\
class OwnError(InputError):
    pass
def look(what):
    msg = f"no {what} is here" if what else "nothing is here"
    if not what:
        raise OwnError(msg)
    def further():
        raise UsageError(f"{what!r} is gone")
"""


def test_every_message_is_explained(docs: Docs) -> None:
    assert [str(message) for message in docs.messages.unexplained()] == []


def test_every_fragment_stands_in_a_message(docs: Docs) -> None:
    left_over = [
        fragment
        for entry in docs.messages.entries()
        for fragment in entry.find
        if not any(docs.messages.stands_in(fragment, one) for one in docs.messages.messages())
    ]
    assert left_over == []


def test_messages_are_found_with_what_is_filled_in(docs: Docs) -> None:
    found = {one.text: one for one in docs.messages.messages()}
    assert found["…: … must be …, not …"].where.startswith("hvmpi/option.py:")
    assert found["the host file … names no host; write one a line, such as 'localhost'"]
    assert found["event file … is in the way: other settings made it; …"].kind == "InputError"
    assert found["no CPython 3.11, 3.12 or 3.13 in PATH: install one or set PYTHON to it"]


def test_what_new_code_says_is_found(
    docs: Docs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "hvmpi").mkdir()
    (tmp_path / "hvmpi" / "new.py").write_text(NEW)
    (tmp_path / ".setup.sh").write_text('die "no $thing in ${place:-here}: see $log"\n')
    monkeypatch.setattr(docs.messages, "_CHECKOUT", tmp_path)
    found = [(one.where, one.kind, one.text) for one in docs.messages.messages()]
    assert found == [
        ("hvmpi/new.py:6", "OwnError", "no … is here"),
        ("hvmpi/new.py:6", "OwnError", "nothing is here"),
        ("hvmpi/new.py:8", "UsageError", "… is gone"),
        (".setup.sh:0", "set-up", "no … in …: see …"),
    ]
    assert len(docs.messages.unexplained()) == 4
