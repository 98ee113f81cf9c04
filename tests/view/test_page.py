"""docs/status.md says what the commands do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hvmpi.campaign.jobs import FailureClass, Kind, Outcome
from hvmpi.campaign.standing import Standing
from hvmpi.verbs.arguments import DESCRIBE, Described
from hvmpi.verbs.status import main
from hvmpi.view.export import COLUMNS, SCHEMA, SCHEMA_VERSION
from tests.conftest import Place
from tests.view.conftest import Telling

PAGE = (Path(__file__).parents[2] / "docs/status.md").read_text(encoding="utf-8")
NOW = 1795521700.0
"""24 November 2026, 12:01:40 UTC."""


@pytest.fixture
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.mark.usefixtures("_stopped_clock")
def test_its_sample_is_what_is_printed(place: Place, begin: Callable[..., Telling]) -> None:
    told = begin(9, "20261124120000")
    told.done(0, 1, 0.0, 30.3)
    told.done(1, 2, 0.0, 32.1, "tev02.example.org")
    for job in (2, 3):
        told.fail(job, 3, 30.0 * job, "chain ended with code 1: no space left on the device")
    told.start(4, 1, 30.0)
    told.start(5, 2, 31.0, "tev02.example.org")
    told.start(6, 1, 31.0)
    told.write()
    out = place.hvmpi("status").out.partition("\nstatus:")[0]
    assert f"$ python -m hvmpi status\n{out.replace(str(place.root), '/data')}\n```" in PAGE


def test_it_names_every_option_state_and_column() -> None:
    with pytest.raises(Described) as described:
        main(DESCRIBE)
    options = [name for action in described.value.parser._actions for name in action.option_strings]
    states = [standing.name.lower() for standing in Standing]
    kinds = [kind.name.lower() for kind in Kind]
    outcomes = [one.name.lower() for one in [*Outcome, *FailureClass] if one]
    words = set(re.findall(r"[\w-]+", PAGE))
    for word in [*options, *states, *kinds, *outcomes, *COLUMNS]:
        assert word in words or word in ("-h", "--help", "--config", "-c"), word
    assert f"| `{SCHEMA}`, {SCHEMA_VERSION} |" in PAGE
