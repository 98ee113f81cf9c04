"""Job size auto: by the time that events take, fewer towards the end, the same events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hvmpi.campaign.jobs import Job, Kind
from hvmpi.campaign.plan import Plan, make_plan
from hvmpi.engine import make_engine
from hvmpi.errors import ConfigError
from hvmpi.sample import SampleOptions
from hvmpi.settings import load
from tests.campaign.test_plan import SAMPLES, jobs_of
from tests.conftest import Place, noop, shell

BASE = load("run", ["--engine=noop", "--job-size=auto"])


def _plan(place: Place, *words: str, workers: int = 1) -> Plan:
    asked = load(
        "reconstruct", ["--engine=noop", f"--evnt-dir={place.root / 'evnt'}", "-bauto", *words]
    )
    return make_plan(asked, make_engine(asked), workers)


def _read(plan: Plan) -> list[Job]:
    return [job for job in jobs_of(plan) if job.kind is Kind.RECONSTRUCTION]


@given(samples=SAMPLES, workers=st.integers(1, 200))
@settings(deadline=None)
def test_every_event_is_in_one_job_and_every_name_is_its_own(
    samples: list[SampleOptions], workers: int
) -> None:
    asked = replace(
        BASE, samples=tuple(replace(sample, name=f"s{n}") for n, sample in enumerate(samples))
    )
    jobs = _read(make_plan(asked, make_engine(asked), workers))
    assert len({job.stem for job in jobs}) == len(jobs)
    events = [
        (job.event_file.run_number, job.first_event + event)
        for job in jobs
        for event in range(job.events)
    ]
    assert len(set(events)) == len(events)
    assert len(events) == sum(sample.num_batches * sample.batch_size for sample in samples)
    sizes = [job.job_size for job in jobs]
    assert sizes == sorted(sizes, reverse=True)


@given(
    numbers=st.lists(st.integers(1, 10**6), unique=True, min_size=2, max_size=400),
    workers=st.integers(1, 30),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_event_numbers_that_do_not_follow_are_each_jobs_own(
    place: Place, numbers: list[int], workers: int
) -> None:
    place.event_file("foreign", numbers)
    jobs = _read(_plan(place, workers=workers))
    assert [job.first_event for job in jobs] == [numbers[job.skip_events] for job in jobs]
    assert sum(job.events for job in jobs) == len(numbers)


def test_a_campaign_with_jobs_of_several_sizes_is_verified_and_rerun_as_planned(
    place: Place,
) -> None:
    place.event_file("304795.3000.1", range(1, 3001))
    script = '[ "$1" != 3 ] || [ -e mended ] || exit 3; touch "$4"'.replace(
        "mended", str(place.root / "mended")
    )
    words = ("reconstruct", "--evnt-dir", place.root / "evnt", "-b", "auto", *shell(script))
    assert place.hvmpi(*words).code == 1
    run = place.run()
    jobs = run.status().jobs
    names = [f"304795.3000.1.{job['job_size']}.{job['skip_events']}.aod.txt" for job in jobs]
    assert jobs["job_size"].tolist() == sorted(jobs["job_size"], reverse=True)
    assert len(set(jobs["job_size"].tolist())) > 3
    assert jobs["events"].sum() == 3000
    assert run.files("aod") == sorted(names[:3] + names[4:])
    assert [Path(path).name for path in jobs["output"]] == [*names[:3], "", *names[4:]]
    (place.root / "mended").touch()
    assert place.hvmpi("rerun", run.timestamp).code == 0
    assert run.files("aod") == sorted(names)
    assert place.hvmpi("verify").code == 0
    assert place.hvmpi("rerun", run.timestamp, "--job-size=50").code == 2


def test_measured_times_give_the_size(place: Place) -> None:
    numbers = list(range(1, 20_001))
    place.event_file("304795.20000.1", numbers)
    assert _read(_plan(place))[0].job_size == 1000
    words = ("reconstruct", "--evnt-dir", place.root / "evnt", *noop("sleep", "1"))
    assert place.hvmpi(*words, "-b20000").code == 0
    (job,) = place.run().status().jobs
    jobs = _read(_plan(place, f"--times-from={place.run().directory}"))
    # As little as these events take is cut into the shortest jobs that there are, of 0.5 s.
    assert jobs[0].job_size == round(0.5 / (float(job["wall_s"]) / 20_000))
    assert _read(_plan(place, "--job-timeout=4"))[0].job_size == 100


def test_a_config_and_the_environment_may_say_auto(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = place.root / "mine.toml"
    config.write_text('job-size = "auto"\n')
    assert load("run", ["-c", str(config)]).job_size == "auto"
    config.write_text('job-size = "large"\n')
    with pytest.raises(ConfigError, match="line 1: job-size wants a whole number or 'auto', not"):
        load("run", ["-c", str(config)])
    monkeypatch.setenv("HVMPI_JOB_SIZE", "auto")
    assert load("run", []).job_size == "auto"
