"""``merge`` and ``train`` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Place
from tests.training.conftest import QCD, qcd_event, signal_event, train_of


@pytest.fixture
def parts(place: Place) -> list[Path]:
    signal = train_of(place.root, "signal", [signal_event(n) for n in (1, 2)])
    return [signal, train_of(place.root, "qcd", [qcd_event(n) for n in (1, 2, 3)], **QCD)]


@pytest.mark.usefixtures("parts")
def test_merge_says_what_it_joined(place: Place) -> None:
    answer = place.hvmpi("merge", "-o", "all.h5", "qcd.train.h5", "signal.train.h5", "--events=5")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line.split() for line in lines[:-1]] == [
        ["SAMPLE", "EVENTS"],
        ["signal", "2"],
        ["qcd", "3"],
    ]
    assert lines[-1] == "all.h5: 8 jets, 2 of them signal and 6 QCD, of 5 events in 2 files"
    assert (place.root / "all.h5").is_file()


@pytest.mark.usefixtures("parts")
def test_merge_refuses(place: Place) -> None:
    for words, said in (
        (["-o", "all.h5"], "nothing to merge"),
        (["qcd.train.h5"], "-o"),
        (["-o", "all.h5", "gone.h5"], "there is no file 'gone.h5'"),
        (["-o", "all.h5", "qcd.aod.h5"], "schema hvmpi.aod"),
        (["-o", "qcd.train.h5", "qcd.train.h5"], "is an input"),
        (["-o", "qcd.train.h5", "signal.train.h5"], "is there already"),
        (["-o", "gone/all.h5", "signal.train.h5"], "there is no directory"),
        (["-o", "all.h5", "qcd.train.h5", "qcd.train.h5"], "event 1 of run 600002 (qcd) is in"),
    ):
        before = place.tree()
        answer = place.hvmpi("merge", *words)
        assert answer.code == 2
        assert said in answer.complaint
        assert place.tree() == before
