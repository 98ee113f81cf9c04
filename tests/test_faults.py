"""The nine faults of the scripts that hvmpi replaces, each by the public way in."""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from hvmpi.campaign import journal
from tests.conftest import Place, shell, wait_for

TWO_BATCHES = ("--process=gghss", "--run-number=304794", "-b", "2", "-n", "2")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of two batches of two events, two events in a job behind one that is short."""
    root = tmp_path_factory.mktemp("generated")
    place = Place(root, dict(os.environ))
    words = ("run", *TWO_BATCHES, "--job-size=1", "--no-fused", "--run-dir", root / "runs")
    assert place.hvmpi(*words).code == 0
    return place.run().directory


def _vertices(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith("V ")]


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"^E (\d+) ", path.read_text(), re.MULTILINE)]


def test_fault_1_batches_have_seeds_of_their_own(generated: Path) -> None:
    first, second = sorted((generated / "evnt").glob("*.hepmc3"))
    assert _vertices(first)
    assert not set(_vertices(first)) & set(_vertices(second))


def test_fault_2_event_numbers_do_not_overlap_between_batches(generated: Path) -> None:
    first, second = sorted((generated / "evnt").glob("*.hepmc3"))
    assert (_numbers(first), _numbers(second)) == ([1, 2], [3, 4])


def test_fault_3_a_worker_makes_one_batch_at_a_time(place: Place) -> None:
    words = ("generate", "--engine=noop", "-b", "3", "-n", "8")
    assert place.mpirun(3, *words).code == 0
    attempts = place.run().ledger().attempts
    assert len(attempts) == 8
    assert set(attempts["rank"].tolist()) == {1, 2}
    for rank in (1, 2):
        mine = np.sort(attempts[attempts["rank"] == rank], order="started")
        ended = mine["started"] + mine["wall_s"]
        # Both clocks are read within a moment.
        assert (mine["started"][1:] > ended[:-1] - 0.005).all()
        assert (mine["wall_s"] > 0.01).all()


def test_fault_4_only_the_first_step_skips_events(generated: Path) -> None:
    made = sorted((generated / "aod").iterdir())
    numbers = []
    for path in made:
        with h5py.File(path) as file:
            numbers.append(file["events"]["event_number"].tolist())
    assert sorted(numbers) == [[1], [2], [3], [4]]


def test_fault_5_jobs_of_one_event_file_do_not_overwrite_each_other(place: Place) -> None:
    evnt = place.event_file("304795.10.1", range(1, 11)).parent
    script = 'echo "job $1" > "$4"'
    words = ("reconstruct", f"--evnt-dir={evnt}", "--job-size=4", *shell(script))
    assert place.hvmpi(*words).code == 0
    run = place.run()
    assert run.files("aod") == [f"304795.10.1.4.{skip}.aod.txt" for skip in (0, 4, 8)]
    texts = [(run.directory / "aod" / name).read_text() for name in run.files("aod")]
    assert texts == ["job 0\n", "job 1\n", "job 2\n"]


def test_fault_6_a_rerun_runs_the_jobs_that_failed_and_no_others(place: Place) -> None:
    evnt = place.event_file("304795.10.1", range(1, 11)).parent
    script = f'[ "$1" != 1 ] || [ -e "{place.root}/mended" ] || exit 3; touch "$4"'
    words = ("reconstruct", f"--evnt-dir={evnt}", "--job-size=4", *shell(script))
    assert place.hvmpi(*words).code == 1
    run = place.run()
    before = len(run.entries(journal.Started))
    (place.root / "mended").touch()
    assert place.hvmpi("rerun", run.timestamp).code == 0
    again = run.entries(journal.Started)[before:]
    assert [entry.job for entry in again] == [1]
    assert place.hvmpi("verify").code == 0


def test_fault_7_a_failed_step_shows_its_cause_and_publishes_nothing(place: Place) -> None:
    evnt = place.event_file("304795.4.1", range(1, 5)).parent
    script = 'echo half > "$4"; echo "no space in the calorimeter" >&2; exit 5'
    answer = place.hvmpi("reconstruct", f"--evnt-dir={evnt}", *shell(script))
    assert answer.code == 1
    assert "noop ended with code 5" in answer.out
    run = place.run()
    assert run.files("aod") == []
    assert "no space in the calorimeter" in run.log(0, 2)
    diagnosis = place.hvmpi("diagnose")
    assert "noop ended with code 5" in diagnosis.out
    assert "no space in the calorimeter" in diagnosis.out


def test_fault_8_events_are_counted_in_the_file(place: Place) -> None:
    evnt = place.event_file("304795.10.1", range(1, 13)).parent
    place.event_file("304795.20.2", range(21, 30))
    words = ("reconstruct", f"--evnt-dir={evnt}", "-b", "5", "--engine=noop")
    assert place.hvmpi(*words).code == 1
    status = place.run().status()
    assert status.jobs["events"].tolist() == [5, 5, 2]
    assert status.event_files["events"][0] == 12
    assert "holds 9 events, 20 are expected" in status.event_files["reason"][1]


def test_fault_9_a_hung_job_is_ended_and_tried_again(place: Place) -> None:
    evnt = place.event_file("304795.6.1", range(1, 7)).parent
    script = '[ "$1$2" != 11 ] || exec sleep 600; touch "$4"'
    words = ("reconstruct", f"--evnt-dir={evnt}", "--job-size=2", *shell(script))
    assert place.hvmpi(*words, "--job-timeout=1").code == 0
    attempts = place.run().status().attempts
    assert attempts["outcome"].tolist() == ["done", "timed_out", "done", "done"]
    assert "job-timeout" in attempts["reason"][1]


def test_fault_9_a_lost_worker_loses_no_job(place: Place) -> None:
    evnt = place.event_file("304795.6.1", range(1, 7)).parent
    script = f'[ "$1" != 1 ] || [ -e "{place.root}/mended" ] || exec sleep 600; touch "$4"'
    words = ("reconstruct", f"--evnt-dir={evnt}", "--job-size=2", *shell(script))
    process = place.start(*words, ranks=3)
    wait_for(lambda: _accepted(place) == {0, 2})
    worker = psutil.Process(_payload(place).info["ppid"])
    (place.root / "mended").touch()
    worker.kill()
    assert place.finish(process).code == 0
    started = [entry.job for entry in place.run().entries(journal.Started)]
    assert sorted(started) == [0, 1, 1, 2]
    assert place.hvmpi("verify").code == 0


def _accepted(place: Place) -> set[int]:
    if not place.runs() or not place.runs()[0].journal.exists():
        return set()
    return {entry.job for entry in place.run().entries(journal.Published)}


def _payload(place: Place) -> psutil.Process:
    """Wait for the payload that sleeps for one of our own ranks."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [
            process
            for process in psutil.process_iter(["cmdline", "ppid", "cwd"])
            if process.info["cmdline"] == ["sleep", "600"]
            and str(process.info["cwd"]).startswith(str(place.root))
        ]
        return len(found) == 1

    wait_for(look)
    return found[0]
