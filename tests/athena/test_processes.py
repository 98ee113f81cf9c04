"""Nothing of a step outlives its end, whatever brings that about; hosts are not overcommitted."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hvmpi.campaign import journal

from ..conftest import Place, wait_for
from .campaigns import config, tag
from .site import StandIn

WITHIN_S = 10.0
"""In which no process of a step may be left."""

STUBBORN = {"sleep": 3600, "children": 2, "ignore_sigterm": True}


def sleeping(place: Place, standin: StandIn, **settings: Any) -> Path:
    """Write the config of two jobs that sleep, with children in their group and out of it."""
    standin.evnt(place.root / "evnt", 4)
    standin.misbehave(STUBBORN, job_number=1)
    standin.misbehave({**STUBBORN, "children_in_own_group": True}, job_number=2)
    mine = tag(place, "mine", arguments={"jobNumber": "{job}"})
    return config(place, standin, [mine], job_size=2, keep=["hits"], **settings)


def asleep(standin: StandIn, steps: int = 1) -> bool:
    """Say whether so many steps sleep, and their children too."""
    names = [process.name() for process in standin.alive()]
    return names.count("sleep") >= 3 * steps


@pytest.mark.parametrize("ranks", [0, 3])
def test_a_signal_to_the_campaign_leaves_no_process(
    place: Place, standin: StandIn, ranks: int
) -> None:
    chosen = sleeping(place, standin)
    started = place.start("reconstruct", "-c", chosen, "--evnt-dir=evnt", ranks=ranks)
    wait_for(lambda: asleep(standin, steps=max(ranks - 1, 1)))
    started.send_signal(signal.SIGTERM)
    wait_for(lambda: not standin.alive(), WITHIN_S)
    assert place.finish(started).code != 0
    assert set(place.run().ledger().jobs["attempts"]) <= {0, 1}
    assert place.run().files("hits") == []


def test_jobs_that_take_too_long_leave_no_process(place: Place, standin: StandIn) -> None:
    chosen = sleeping(place, standin, job_timeout=2.0, max_attempts=1)
    started = place.start("reconstruct", "-c", chosen, "--evnt-dir=evnt", ranks=3)
    wait_for(lambda: asleep(standin, steps=2))
    wait_for(lambda: not standin.alive(), 2.0 + WITHIN_S)
    assert place.finish(started).code == 1
    for job in place.run().status().jobs:
        assert (job["state"], job["outcome"]) == ("failed", "timed_out")
    assert place.run().files("hits") == []


def test_killed_workers_leave_no_process(place: Place, standin: StandIn) -> None:
    chosen = sleeping(place, standin)
    started = place.start("reconstruct", "-c", chosen, "--evnt-dir=evnt", ranks=3)
    wait_for(lambda: asleep(standin, steps=2))
    workers = [psutil.Process(call.pid).parents()[1] for call in standin.calls()]
    for worker in workers:
        assert "hvmpi" in worker.cmdline()
        worker.kill()
    wait_for(lambda: not standin.alive(), WITHIN_S)
    assert place.finish(started).code != 0


def test_a_job_by_hand_that_is_ended_leaves_no_process(place: Place, standin: StandIn) -> None:
    chosen = sleeping(place, standin)
    (evnt,) = (place.root / "evnt").iterdir()
    started = place.start("job", evnt, "-c", chosen)
    wait_for(lambda: asleep(standin))
    started.kill()
    wait_for(lambda: not standin.alive(), WITHIN_S)


def test_a_release_that_hangs_in_a_job_ends_with_it(place: Place, standin: StandIn) -> None:
    # Behind the look at the host it does not come up any more.
    script = place.root / "hang.sh"
    looked = place.root / "looked"
    script.write_text(f"if [ -e {looked} ]; then sleep 3600; fi; touch {looked}\n")
    standin.evnt(place.root / "evnt", 2)
    chosen = config(
        place,
        standin,
        ["s2608"],
        site={"setup_script": str(script)},
        job_timeout=1.0,
        max_attempts=1,
        keep=["hits"],
    )
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 1
    assert place.run().status().jobs[0]["outcome"] == "timed_out"
    assert standin.calls() == []
    assert not [one for one in psutil.process_iter() if str(script) in _words(one)]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


# Several cores


def test_no_host_gets_more_cores_of_jobs_than_it_may(place: Place, standin: StandIn) -> None:
    wide = tag(place, "wide", cores=2, arguments={"multithreaded": True})
    chosen = config(place, standin, [wide], job_size=2, keep=["hits"], host_cores=2)
    standin.evnt(place.root / "evnt", 6)
    standin.misbehave({"sleep": 0.2})
    answer = place.mpirun(4, "reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 0, answer.out + answer.err
    running: set[int] = set()
    for entry in place.run().entries(journal.Started, journal.Accepted):
        if isinstance(entry, journal.Started):
            assert not running
            running.add(entry.job)
        elif isinstance(entry, journal.Accepted):
            running.discard(entry.job)
    attempts = sorted(place.run().status().attempts, key=lambda row: float(row["started"]))
    for before, after in itertools.pairwise(attempts):
        assert before["started"] + before["wall_s"] <= after["started"]
    for call in standin.calls():
        assert call.environment["ATHENA_CORE_NUMBER"] == "2"
        assert "ATHENA_PROC_NUMBER" not in call.environment
        assert "--multithreaded" in call.argv


def test_a_host_with_too_few_cores_gets_no_job(place: Place, standin: StandIn) -> None:
    wide = tag(place, "wide", cores=100)
    chosen = config(place, standin, [wide], keep=["hits"])
    standin.evnt(place.root / "evnt", 2)
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 3
    assert left_out(answer.out, "100")
    assert standin.calls() == []


def left_out(said: str, why: str) -> bool:
    """Say whether a rank was left out for a reason."""
    return any("is left out: " in line and why in line for line in said.splitlines())


# Looking at hosts


@dataclass(frozen=True)
class Unfit:
    """What is wrong with a host, and what is to be said of it."""

    why: str
    site: Mapping[str, Any] = field(default_factory=dict)
    release: str = "well"
    has_transform: bool = True


RELEASE = "release AtlasProduction,19.2.3.7: "
UNFIT = {
    "CVMFS": Unfit("directory /no/cvmfs: cannot be listed", {"cvmfs": ["/no/cvmfs"]}),
    "ALRB": Unfit(
        "there is no /no/base/user/atlasLocalSetup.sh", {"atlas_local_root_base": "/no/base"}
    ),
    "unknown release": Unfit(f"{RELEASE}asetup AtlasProduction,19.2.3.7 ended with code", {}, "-"),
    "fatal release": Unfit("AtlasSetup(FATAL): the database", {}, "fatal"),
    "hanging release": Unfit(f"{RELEASE}was not set up in", {}, "hang"),
    "no transform": Unfit("brought no Sim_tf.py", has_transform=False),
    "no room": Unfit("scratch-gb", {"scratch_gb": 1e9}),
    "no memory": Unfit("memory-gb", {"memory_gb": 1e6}),
    "no runtime": Unfit(
        "there is no container runtime '/no/apptainer'",
        {"container": "centos7", "container_runtime": "/no/apptainer"},
    ),
    "no image": Unfit("container /no/image: the image is not there", {"container": "/no/image"}),
    "no setup-script": Unfit(
        "setup-script /no/setup.sh: cannot be read", {"setup_script": "/no/setup.sh"}
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_host_that_is_not_fit_is_left_out_before_any_job_runs(
    place: Place, standin: StandIn, name: str
) -> None:
    unfit = UNFIT[name]
    standin.release("19.2.3.7", unfit.release)
    if not unfit.has_transform:
        (standin.cvmfs / "transforms/bin/Sim_tf.py").unlink()
    standin.evnt(place.root / "evnt", 2)
    chosen = config(
        place, standin, ["s2608"], site=unfit.site, keep=["hits"], preflight_timeout=1.5
    )
    answer = place.hvmpi("reconstruct", "-c", chosen, "--evnt-dir=evnt")
    assert answer.code == 3, answer.out + answer.err
    assert left_out(answer.out, unfit.why), answer.out
    assert standin.calls() == []
    assert standin.alive() == []
    (job,) = place.run().status().jobs
    assert (job["state"], job["attempts"]) == ("ready", 0)
    ended = place.run().entries(journal.Ended)[-1]
    assert isinstance(ended, journal.Ended)
    assert unfit.why in ended.reason
    closing = answer.out.splitlines()[-1]
    assert closing.startswith("hvmpi: no host is fit: ")
    assert unfit.why in closing
    assert "looks at them without running anything" in closing
    assert unfit.why in place.hvmpi("status").flat
    assert unfit.why in place.hvmpi("diagnose").flat
    assert place.run().files("hits") == []
