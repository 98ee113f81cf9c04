"""The signs of life of a launch."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from hvmpi.campaign.journal import Ended, Entry, Journal, PlanComplete, Published, Resumed, RunBegun
from hvmpi.campaign.pulse import Pulse

TIMESTAMP = "20260101000000"
LAUNCH = "of this test"


@dataclass
class Scene:
    """A run directory, and a clock that the test moves."""

    run_dir: Path
    now: float = 1000.0
    journals: list[Journal] = field(default_factory=list)

    def pulse(self, timestamp: str = "", lease: float = 60.0) -> Pulse:
        return Pulse(
            self.run_dir, LAUNCH, timestamp, lease=lease, start=120.0, clock=lambda: self.now
        )

    def begin(
        self, launch: str = LAUNCH, timestamp: str = TIMESTAMP, *, planned: bool = True
    ) -> None:
        (self.run_dir / timestamp).mkdir()
        self.journals.append(Journal(self.run_dir / timestamp / "journal.jsonl"))
        self.add(RunBegun("hvmpi-journal", 3, timestamp, 0.0, "run", "", {}, "", launch))
        if planned:
            self.add(PlanComplete(0, 0))

    def add(self, entry: Entry) -> None:
        self.journals[-1].append(entry)

    def lock(self, *, host: str = "far", pid: int = 1, began: float = 0.0) -> Path:
        path = self.run_dir / TIMESTAMP / "lock.json"
        path.write_text(json.dumps({"host": host, "pid": pid, "began": began}))
        return path

    def resumed(self) -> Resumed:
        return Resumed(0.0, "", {}, LAUNCH, "", fresh=False)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_launch_has_its_time_to_begin(scene: Scene) -> None:
    pulse = scene.pulse()
    scene.begin("another launch", "20260101000001")
    scene.now += 120
    assert pulse.look() == ""
    assert pulse.directory is None
    scene.begin(planned=False)
    assert pulse.look() == ""
    assert not pulse.begun
    scene.now += 1
    assert pulse.look() == "the run did not begin in 120 s (start-timeout)"
    scene.add(PlanComplete(0, 0))
    assert pulse.look() == ""
    assert pulse.directory == scene.run_dir / TIMESTAMP
    assert pulse.begun


@pytest.mark.parametrize(("lease", "limit"), [(5.0, 60.0), (60.0, 180.0)])
def test_a_master_that_shows_nothing_hangs(scene: Scene, lease: float, limit: float) -> None:
    pulse = scene.pulse(lease=lease)
    scene.begin()
    lock = scene.lock()
    assert pulse.look() == ""
    scene.now += limit
    assert pulse.look() == ""
    # What the machine's time says does not matter: that it changed does.
    os.utime(lock, (0, 0))
    assert pulse.look() == ""
    scene.now += limit
    assert pulse.look() == ""
    scene.now += 1.0
    assert pulse.look() == f"the master gave no sign of life for {limit:g} s"


def test_what_is_journaled_is_a_sign_too(scene: Scene) -> None:
    pulse = scene.pulse(lease=5.0)
    scene.begin()
    for _ in range(3):
        scene.now += 50
        scene.add(Published(0, 1))
        assert pulse.look() == ""
    assert pulse.jobs_done == 3


def test_a_restart_that_does_not_begin_hangs(scene: Scene) -> None:
    scene.begin("the first launch")
    scene.add(Published(0, 1))
    pulse = scene.pulse(TIMESTAMP)
    assert pulse.look() == ""
    scene.now += 120
    assert pulse.look() == ""
    scene.now += 1
    assert "did not begin in 120 s" in pulse.look()
    assert not pulse.begun


def test_of_a_run_that_is_resumed_the_new_lines_count(scene: Scene) -> None:
    scene.begin("the first launch")
    scene.add(Published(0, 1))
    path = scene.run_dir / TIMESTAMP / "journal.jsonl"
    with path.open("a") as torn:
        torn.write('{"type":"publ')
    pulse = scene.pulse(TIMESTAMP)
    pulse.look()
    scene.journals.append(Journal(path))
    scene.add(scene.resumed())
    scene.add(Published(1, 1))
    assert pulse.look() == ""
    assert pulse.begun
    assert pulse.jobs_done == 1


def test_a_launch_that_stays_after_its_end_is_ended(scene: Scene) -> None:
    pulse = scene.pulse()
    scene.begin()
    scene.add(Ended(0.0, "complete", 0, 0, 0, 0, "", "another launch"))
    pulse.look()
    scene.now += 20
    assert pulse.look() == ""
    scene.add(Ended(0.0, "complete", 0, 0, 0, 0, "", LAUNCH))
    assert pulse.look() == ""
    scene.now += 16
    assert pulse.look() == "it stayed after the campaign had ended"


def test_a_master_that_died_here_is_not_waited_for(scene: Scene) -> None:
    pulse = scene.pulse()
    scene.begin()
    process = psutil.Process()
    scene.lock(host=socket.gethostname(), pid=process.pid, began=process.create_time())
    scene.now += 20
    assert pulse.look() == ""
    scene.lock(host=socket.gethostname(), pid=2**22 + 1)
    assert pulse.look() == ""
    scene.now += 16
    assert pulse.look() == "the master died, and the other ranks did not leave"
    assert pulse.holder is not None
    assert pulse.holder.pid == 2**22 + 1


def test_a_master_that_gave_the_run_free_did_not_die(scene: Scene) -> None:
    pulse = scene.pulse()
    scene.begin()
    scene.lock(host=socket.gethostname(), pid=2**22 + 1).unlink()
    for _ in range(2):
        assert pulse.look() == ""
        scene.now += 16
