"""``merge`` and ``train`` on the command line."""

from __future__ import annotations

import subprocess
import sys
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


def test_names_of_others_do_not_steer_the_terminal(place: Place) -> None:
    path = train_of(place.root, "a", [signal_event(1)], sample=b"\x1b[31mred")
    path = path.rename(place.root / "a\x1b[31m.h5")
    answer = place.hvmpi("merge", "-o", "all\x1b]0;.h5", path)
    assert answer.code == 0
    assert "\\x1b[31mred" in answer.out
    assert "all\\x1b]0;.h5: " in answer.out
    assert "\x1b" not in answer.out
    answer = place.hvmpi("merge", "-o", "again.h5", path, path)
    assert "a\\x1b[31m.h5'" in answer.complaint
    assert "\x1b" not in answer.err


DIES_IN_THE_MIDST = """
import os, signal, sys
from hvmpi.__main__ import main
from hvmpi.training.files import TrainingWriter
TrainingWriter.finish = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.usefixtures("parts")
def test_a_merge_that_is_ended_leaves_nothing(place: Place) -> None:
    before = place.tree()
    words = [sys.executable, "-c", DIES_IN_THE_MIDST, "merge", "-o", "all.h5", "qcd.train.h5"]
    answer = subprocess.run(
        words, cwd=place.root, env=place.environment, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (3, "")
    assert answer.stderr == "hvmpi: ended by SIGTERM; nothing unfinished is left\n"
    assert place.tree() == before
