"""One job by hand, of an engine whose steps have directories and leave things behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hvmpi.campaign.jobs import Job, Outcome
from hvmpi.campaign.paths import AttemptPaths
from hvmpi.engine import Inputs, Step, StepOutput, Verdict, ended
from hvmpi.noop import NoopEngine
from hvmpi.verbs import job as verb
from tests.conftest import Place, shell


class TwoSteps(NoopEngine):
    """Makes an event file's copy, and of that a file whose name nobody knows before."""

    def steps(self, job: Job, inputs: Inputs, paths: AttemptPaths) -> tuple[Step, ...]:
        self.logs = paths.logs
        first, second = paths.tmp / "one", paths.tmp / "two"
        copied = StepOutput("train", first / "copy", "copy.txt")
        made = StepOutput("aod", second / "expected", f"{job.stem}.txt")
        one = Step("one", ("cp", str(inputs.event_file), "copy"), {}, (copied,), directory=first)
        (two,) = super().steps(job, inputs, paths)
        script = {paths.logs / "two.sh": "cat ../one/copy > DAOD_PHYS.expected; echo 1 > log.x\n"}
        argv = ("/bin/sh", "-c", f". {paths.logs}/two.sh; {two.argv[2]}")
        two = replace(two, name="two", argv=argv, outputs=(made,), directory=second)
        return one, replace(two, files=script, leaves=("log.*",))

    def check(self, job: Job, step: Step, exit_code: int) -> Verdict:
        if exit_code:
            reason = f"{step.name} {ended(exit_code)}"
            return Verdict(Outcome.PAYLOAD_FAILED, reason, where="two/log.x:1")
        if step.name == "one":
            return Verdict(Outcome.DONE, events=job.events)
        assert (self.logs / "two" / "log.x").read_text() == "1\n"
        (output,) = step.outputs
        real = replace(output, path=output.path.with_name("DAOD_PHYS.expected"))
        return Verdict(Outcome.DONE, events=job.events, outputs=(real,))


@pytest.fixture
def two_steps(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(verb, "make_engine", TwoSteps)
    (place.root / "tmp").mkdir()
    (place.root / "out").mkdir()
    return place


def job(place: Place, script: str) -> list[str | Path]:
    event_file = place.event_file("a", [1, 2])
    where = ["--output-dir=out", "--tmp-dir=tmp", "--keep=aod", "--keep=train"]
    return ["job", event_file, *where, *shell(script)]


def test_what_was_really_made_is_published_under_the_jobs_name(two_steps: Place) -> None:
    words = job(two_steps, "true")
    assert two_steps.hvmpi(*words).code == 0
    made = sorted((two_steps.root / "out").iterdir())
    # The second step read what the first made, though that is kept.
    assert [path.name for path in made] == ["a.2.0.txt", "copy.txt"]
    assert [path.read_text() for path in made] == ["1\n2\n", "1\n2\n"]
    assert list((two_steps.root / "tmp").iterdir()) == []
    again = two_steps.hvmpi(*words)
    assert again.code == 2
    assert "copy.txt" in again.complaint


def test_what_a_failed_step_left_stays_and_the_error_says_where(two_steps: Place) -> None:
    answer = two_steps.hvmpi(*job(two_steps, "exit 3"))
    assert answer.code == 1
    assert "code 3" in answer.complaint
    (log,) = (two_steps.root / "tmp").glob("*/logs/two/log.x")
    assert answer.complaint.endswith(f"see {log}:1")
    assert list((two_steps.root / "tmp").glob("*/work")) == []
    assert list((two_steps.root / "out").iterdir()) == []
