"""Disks that are full, read-only or stalled, a clock that jumps, readers of the status."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import psutil
import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, Outcome
from tests.conftest import THREE_JOBS, Place, RunOnDisk, accepted_once, shell, wait_for

SMALL = "size=400k"


def mounted(*words: str | Path) -> None:
    """Mount, or skip the test with what mount says."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here ({done.stderr.strip()})")


@pytest.fixture
def disk(three: Place) -> Iterator[Path]:
    """A small disk."""
    path = three.root / "disk"
    path.mkdir()
    mounted("-t", "tmpfs", "-o", SMALL, "tmpfs", path)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True, timeout=60)


@pytest.fixture
def stalled(three: Place, tmp_path: Path) -> Iterator[Path]:
    """A disk on which every write waits, as where a server does not answer."""
    image, path = tmp_path / "image", three.root / "stalled"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True, timeout=60)
        mounted("-o", "loop", image, path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be made here ({error})")
    frozen = subprocess.run(["fsfreeze", "-f", path], capture_output=True, text=True, timeout=60)
    try:
        if frozen.returncode:
            pytest.skip(f"no disk can be stalled here ({frozen.stderr.strip()})")
        yield path
    finally:
        subprocess.run(["fsfreeze", "-u", path], check=False, capture_output=True, timeout=60)
        subprocess.run(["umount", "--lazy", path], check=True, timeout=60)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True, timeout=60)


def failures(run: RunOnDisk) -> list[journal.Failed]:
    return [entry for entry in run.entries(journal.Failed) if isinstance(entry, journal.Failed)]


def is_whole(place: Place, run: RunOnDisk, aod: Path | None = None) -> bool:
    """Say whether a rerun leaves each job done once, and nothing half."""
    assert place.hvmpi("rerun", run.timestamp, f"--run-dir={run.directory.parent}").code == 0
    assert place.hvmpi("verify", run.timestamp, f"--run-dir={run.directory.parent}").code == 0
    made = sorted((aod or run.directory / "aod").iterdir())
    assert [path.name for path in made] == [f"304795.6.1.2.{skip}.aod.txt" for skip in (0, 2, 4)]
    assert len({path.stat().st_size for path in made}) == 1
    return accepted_once(run)


@pytest.mark.parametrize("ranks", [0, 3])
def test_where_the_run_cannot_be_written_it_stops_and_says_why(
    three: Place, disk: Path, ranks: int
) -> None:
    mended, ballast = three.root / "mended", disk / "ballast"
    fill = f'[ "$1" != 1 ] || [ -e "{mended}" ] || cat /dev/zero > "{ballast}" 2>/dev/null'
    words = [*THREE_JOBS, *shell(f'{fill}; cat "$3" > "$4"'), f"--run-dir={disk}/runs"]
    answer = three.finish(three.start(*words, ranks=ranks))
    assert answer.code == 3
    assert "Traceback" not in answer.err
    (said,) = [line for line in answer.err.splitlines() if "hvmpi: error: " in line]
    assert "No space left on device" in said
    assert "rerun" in said
    ballast.unlink()
    mended.touch()
    (directory,) = (disk / "runs").iterdir()
    assert is_whole(three, RunOnDisk(directory))


def test_an_output_that_finds_no_room_fails_its_job_only(three: Place, disk: Path) -> None:
    words = [*THREE_JOBS, *shell('head -c 150000 /dev/zero > "$4"'), f"--aod-dir={disk}"]
    assert three.hvmpi(*words).code == 1
    run = three.run()
    failed = failures(run)
    assert {entry.job for entry in failed} == {2}
    assert {entry.outcome for entry in failed} == {Outcome.SETUP_FAILED}
    assert {entry.failure for entry in failed} == {FailureClass.RESOURCES}
    assert all("No space left on device" in entry.reason for entry in failed)
    aod = disk / run.timestamp
    assert len(list(aod.iterdir())) == 2
    remount(disk, "size=2m")
    assert is_whole(three, run, aod)


def test_a_working_directory_without_room_fails_the_step(three: Place, disk: Path) -> None:
    words = [*THREE_JOBS, *shell('head -c 600000 /dev/zero > "$4"'), f"--tmp-dir={disk}"]
    assert three.hvmpi(*words, "--keep-logs").code == 1
    run = three.run()
    assert {entry.outcome for entry in failures(run)} == {Outcome.PAYLOAD_FAILED}
    assert "No space left on device" in run.log(0, 1)
    assert "No space left on device" in three.hvmpi("diagnose").flat
    assert run.files("aod") == []
    remount(disk, "size=4m")
    assert is_whole(three, run)


def test_a_real_step_names_the_disk_that_is_full(place: Place, evnt_dir: Path, disk: Path) -> None:
    remount(disk, "size=40k")
    (place.root / "evnt" / "304795.6.1.evnt.txt").unlink()
    words = ["reconstruct", f"--evnt-dir={evnt_dir}", "--max-attempts=1", f"--tmp-dir={disk}"]
    assert place.hvmpi(*words).code == 1
    for entry in failures(place.run()):
        assert entry.outcome == Outcome.SETUP_FAILED
        assert "No space left on device" in entry.reason
    assert place.run().files("aod") == []


def test_a_directory_that_becomes_read_only_fails_the_job(three: Place, disk: Path) -> None:
    (three.root / "remount").write_text(f'mount -o remount,ro "{disk}"')
    turn = f'[ "$1$2" != 11 ] || sh "{three.root}/remount"'
    words = [*THREE_JOBS, *shell(f'{turn}; cat "$3" > "$4"'), f"--aod-dir={disk}"]
    assert three.hvmpi(*words).code == 1
    run = three.run()
    assert {entry.job for entry in failures(run)} == {1, 2}
    assert all("Read-only file system" in entry.reason for entry in failures(run))
    # Nothing of it can be begun anew either, and that is said before anything runs.
    refused = three.hvmpi("rerun", run.timestamp)
    assert refused.code == 2
    assert str(disk) in refused.complaint
    remount(disk, "rw")
    assert is_whole(three, run, disk / run.timestamp)


def test_an_event_file_that_vanishes_fails_its_jobs_and_is_named(
    place: Place, evnt_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = sorted(evnt_dir.glob("*.hepmc3"))

    def vanish(*_: object, **__: object) -> None:
        gone.unlink(missing_ok=True)

    monkeypatch.setattr("hvmpi.conductor._greet", vanish)
    answer = place.hvmpi("reconstruct", f"--evnt-dir={evnt_dir}", "--job-size=1")
    assert answer.code == 1
    status = place.run().status()
    # Three jobs a file, and the merge, which would be of the training files of all.
    assert status.jobs["state"].tolist() == ["failed"] * 3 + ["done"] * 3 + ["failed"]
    # The file's first failure is its last: its other jobs are not tried.
    assert [entry.outcome for entry in failures(place.run())] == [Outcome.BAD_INPUT]
    reasons = dict(zip(status.event_files["path"], status.event_files["reason"], strict=True))
    assert gone.name in reasons[str(gone)]
    assert reasons[str(kept)] == ""


def test_a_write_that_stalls_ends_at_the_time_limit(three: Place, stalled: Path) -> None:
    write = f'[ "$1$2" != 11 ] || echo x > "{stalled}/x"'
    words = [*THREE_JOBS, *shell(f'{write}; cat "$3" > "$4"'), "--job-timeout=1"]
    process = three.start(*words)
    # Not even SIGKILL ends what waits for such a disk.
    wait_for(
        lambda: three.runs() and three.run().journal.exists() and failures(three.run()), seconds=60
    )
    answer = three.finish(process)
    assert answer.code == 0
    (failed,) = failures(three.run())
    assert failed.outcome == Outcome.TIMED_OUT
    assert "cannot be killed: a file system that it uses does not answer" in failed.reason
    subprocess.run(["fsfreeze", "-u", stalled], check=True, timeout=60)
    wait_for(lambda: not _writers(three))
    assert is_whole(three, three.run())


def _writers(place: Place) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(place.root) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_a_clock_that_jumps_back_disturbs_nothing(
    three: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, calls = time.time, 0

    def jumping() -> float:
        nonlocal calls
        calls += 1
        return now() - (86400.0 if calls > 12 else 0.0)

    script = '[ "$1$2" != 11 ] || exit 3; cat "$3" > "$4"'
    monkeypatch.setattr(time, "time", jumping)
    assert three.hvmpi(*THREE_JOBS, *shell(script)).code == 0
    assert calls > 12
    run = three.run()
    times = [entry.time for entry in run.entries() if hasattr(entry, "time")]
    assert max(times) - min(times) > 86000
    status = run.status()
    assert status.jobs["state"].tolist() == ["done"] * 3
    assert min(status.attempts["wall_s"]) >= 0
    assert three.hvmpi("status").code == 0
    assert is_whole(three, run)


def test_a_clock_that_jumps_back_leaves_the_lock_where_it_is(
    three: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = three.start(*THREE_JOBS, *shell('sleep 600; touch "$4"'))
    wait_for(lambda: three.runs() and (three.runs()[0].directory / "tmp").exists())
    now = time.time
    for shift in (-86400.0, 86400.0):
        monkeypatch.setattr(time, "time", lambda shift=shift: now() + shift)
        refused = three.hvmpi("rerun", three.run().timestamp)
        assert refused.code == 2
        assert "in progress" in refused.complaint
    process.kill()
    process.communicate()


def test_the_status_is_opened_by_another_process_all_the_time(place: Place) -> None:
    place.event_file("304795.40.1", range(1, 41))
    words = ("reconstruct", "--evnt-dir=evnt", "--job-size=1", *shell('sleep 0.1; touch "$4"'))
    process = place.start(*words)
    wait_for(lambda: place.runs() and (place.runs()[0].directory / "status.h5").exists())
    path = place.run().directory / "status.h5"
    opened = 0
    while process.poll() is None or opened < 200:
        with h5py.File(path) as file:
            assert len(file["jobs"]) == 40
        opened += 1
        time.sleep(0.005)
    answer = place.finish(process)
    assert (answer.code, answer.err) == (0, "")
