"""Campaigns in a real Slurm of one node: the script of configs/batch, srun, time limits."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import tomli_w

from hvmpi.campaign.journal import Ended
from tests.batch.conftest import CHECKOUT, Slurm
from tests.conftest import Place, accepted_once, wait_for

EVENTS = 8
JOBS = 2 + EVENTS
LAST = JOBS - 1
START = f"""\
#!/bin/sh
exec "{sys.executable}" -P -m hvmpi.supervisor "$@"
"""


@dataclass(frozen=True)
class Desk:
    """Where a user submits from: copies of the script and of a config, and the environment."""

    place: Place
    slurm: Slurm

    def write_config(self, script: str) -> None:
        """Write a campaign whose jobs run a shell script: ``$1`` the job, ``$2`` the output."""
        campaign = {
            "engine": "noop",
            "run-number": 304795,
            "num-batches": 2,
            "batch-size": EVENTS // 2,
            "job-size": 1,
            "noop-command": ["/bin/sh", "-c", script, "sh", "{job}", "{output}"],
        }
        (self.place.root / "campaign.toml").write_text(tomli_w.dumps(campaign))

    def block_the_last(self) -> Path:
        """Have the last job wait for ever, until the file that is given is there."""
        mended = self.place.root / "mended"
        self.write_config(f'[ "$1" != {LAST} ] || [ -e "{mended}" ] || sleep 600; touch "$2"')
        return mended

    def wait_for_the_last(self) -> None:
        """Wait until all others are done."""
        wait_for(lambda: len(list(self.place.root.glob("runs/*/aod/*"))) == EVENTS - 1, 60)

    def submit(self, *options: str, **variables: str) -> str:
        return self.slurm.submit(
            self.place.root / "slurm.sh",
            *options,
            HVMPI=str(self.place.root / "run_chain.sh"),
            **variables,
        )

    def log(self, job: str) -> str:
        path = self.place.root / f"hvmpi-{job}.log"
        return path.read_text() if path.exists() else ""

    def wait(self, job: str, state: str) -> None:
        try:
            self.slurm.wait(job, "JobState", state)
        except AssertionError as error:
            raise AssertionError(self.log(job)) from error

    def assert_complete(self) -> None:
        run = self.place.run()
        assert len(run.ledger().jobs) == JOBS
        assert not run.ledger().unfinished
        assert accepted_once(run)
        verified = self.place.hvmpi("verify")
        assert verified.code == 0, verified.out

    def processes(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.cwd().startswith(str(self.place.root)):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


@pytest.fixture
def desk(place: Place, slurm: Slurm) -> Desk:
    text = (CHECKOUT / "configs/batch/slurm.sh").read_text()
    assert text.count("configs/demo.toml") == 1
    (place.root / "slurm.sh").write_text(text.replace("configs/demo.toml", "campaign.toml"))
    start = place.root / "run_chain.sh"
    start.write_text(START)
    start.chmod(0o755)
    (place.root / ".venv").symlink_to(sys.prefix)
    desk = Desk(place, slurm)
    desk.write_config('touch "$2"')
    return desk


def test_a_batch_job_is_a_campaign(desk: Desk) -> None:
    job = desk.submit()
    desk.wait(job, "COMPLETED")
    desk.assert_complete()
    assert " 10 done" in desk.log(job)


@pytest.mark.parametrize("start", ["mpirun", "srun"])
def test_what_a_time_limit_cut_short_goes_on(desk: Desk, start: str) -> None:
    if start == "srun" and desk.slurm.command("srun", "--mpi=pmix", "true").returncode:
        pytest.skip("this Slurm has no PMIx (Debian: libpmix-dev)")
    mended = desk.block_the_last()
    job = desk.submit(START=start)
    desk.wait_for_the_last()
    # As two minutes before the end of its time.
    desk.slurm.ask("scancel", "--batch", "--signal=USR1", job)
    desk.slurm.wait(job, "Restarts", "1")
    run = desk.place.run()
    (ended,) = run.entries(Ended)
    assert ended.exit_code == 3
    assert "SIGUSR1" in ended.reason
    assert run.ledger().unfinished == 1
    mended.touch()
    desk.wait(job, "COMPLETED")
    assert f"goes on with run {run.timestamp}" in desk.log(job)
    desk.assert_complete()
    # Of two tasks both compute.
    assert set(run.status().jobs["rank"]) == {1, 2}


def test_what_was_cancelled_can_be_taken_up_by_hand(desk: Desk) -> None:
    mended = desk.block_the_last()
    job = desk.submit()
    desk.wait_for_the_last()
    desk.slurm.ask("scancel", job)
    desk.wait(job, "CANCELLED")
    wait_for(lambda: not desk.processes(), 30)
    assert desk.slurm.field(job, "Restarts") == "0"
    mended.touch()
    again = desk.place.hvmpi("rerun", desk.place.run().timestamp)
    assert again.code == 0, again.err
    desk.assert_complete()


def test_tasks_that_do_not_find_each_other_are_one_sentence(desk: Desk) -> None:
    words = ("-c", "campaign.toml", "--run-dir=runs")
    command = ("srun", "--ntasks=3", "--mpi=none", sys.executable, "-m", "hvmpi", *words)
    refused = desk.slurm.command(*command, cwd=desk.place.root)
    assert refused.returncode == 2
    ours = [line for line in refused.stderr.splitlines() if "hvmpi: " in line]
    (sentence,) = ours
    assert "srun started 3 ranks" in sentence
    assert "srun --mpi=pmix" in sentence
    assert not desk.place.runs()


def test_the_end_is_what_slurm_says(desk: Desk) -> None:
    ask = "import os; from hvmpi.allocation import time_left; print(time_left(os.environ))"
    told = desk.slurm.ask("srun", "--time=2", sys.executable, "-c", ask)
    assert 60 < float(told) <= 120
    assert desk.slurm.ask("srun", sys.executable, "-c", ask).strip() == "None"
