"""A worker, driven by messages as a master sends them."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from hvmpi.campaign.jobs import FailureClass, Job, Kind, Outcome
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.run import Run, begin_run
from hvmpi.channel import LocalChannel, local_pair
from hvmpi.engine import StepOutput, Verdict, make_engine
from hvmpi.hosts import usable_cores
from hvmpi.messages import (
    Alive,
    Assign,
    Cancel,
    GiveBack,
    Goodbye,
    Hello,
    Message,
    Report,
    Stop,
    Welcome,
)
from hvmpi.settings import load
from hvmpi.worker import Worker
from tests.conftest import LIMIT_S, Place, noop, shell, wait_for


class Bench:
    """A run, the master's end of a channel, and a worker at the other."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.end, theirs = local_pair()
        assert isinstance(self.end, LocalChannel)
        self.worker = Worker(theirs)
        self.answers: deque[Message] = deque()

    def welcome(self, **changes: str) -> Hello:
        words = {"directory": str(self.run.paths.directory), "token": self.run.token} | changes
        self.end.send(1, Welcome(words["directory"], words["token"], self.run.scheduling))
        answer = self.answer()
        assert isinstance(answer, Hello)
        return answer

    def job(self, number: int = 0, attempt: int = 1) -> Job:
        job = self.run.ledger.job(number)
        return Job(**{f: getattr(job, f) for f in job.__slots__} | {"attempt": attempt})

    def answer(self) -> Message:
        """Let the worker work until it says something."""
        deadline = time.monotonic() + LIMIT_S
        while not self.answers:
            assert time.monotonic() < deadline, "the worker says nothing"
            self.worker.step()
            self.answers.extend(message for _, message in self.end.receive())
            time.sleep(0.005)
        return self.answers.popleft()

    def report(self, job: Job) -> Report:
        self.end.send(1, Assign(job))
        answer = self.answer()
        assert isinstance(answer, Report)
        assert (answer.job, answer.attempt) == (job.number, job.attempt)
        return answer


def bench_of(place: Place, script: str, *words: str) -> Bench:
    place.event_file("304795.4.1", range(1, 5))
    return bench_of_command(place, *shell(script), *words)


def bench_without_output(place: Place, script: str, *words: str) -> Bench:
    place.event_file("304795.4.1", range(1, 5))
    return bench_of_command(place, *noop("/bin/sh", "-c", script), *words)


def bench_of_command(place: Place, *words: str) -> Bench:
    given = ["--evnt-dir=evnt", "--job-size=2", f"--run-dir={place.run_dir}", *words]
    settings = load("reconstruct", given)
    engine = make_engine(settings)
    return Bench(begin_run(settings, engine, make_plan(settings, engine)))


def test_it_says_that_it_is_ready(place: Place) -> None:
    hello = bench_of(place, "true").welcome()
    assert hello.reason == ""
    assert hello.cores == usable_cores()


@pytest.mark.parametrize("changes", [{"token": "another"}, {"directory": "/no/such/run"}])
def test_it_says_that_it_cannot_see_the_run(place: Place, changes: dict[str, str]) -> None:
    bench = bench_of(place, "true")
    hello = bench.welcome(**changes)
    assert hello.reason
    assert hello.host in hello.reason
    bench.end.send(1, Stop("left out"))
    assert bench.answer() == Goodbye()


def test_it_brings_the_output_beside_its_place(place: Place) -> None:
    bench = bench_of(place, 'echo 12 > "$4"')
    bench.welcome()
    report = bench.report(bench.job(1, attempt=3))
    assert (report.outcome, report.reason, report.events_out) == (Outcome.DONE, "", 2)
    (output,) = report.outputs
    assert output.path == "aod/304795.4.1.2.2.aod.txt"
    assert output.part == "aod/.304795.4.1.2.2.aod.txt.attempt3.part"
    part = bench.run.paths.directory / output.part
    assert part.read_text() == "12\n"
    assert output.size == 3
    assert output.sha256 == hashlib.sha256(b"12\n").hexdigest()
    assert [step.step for step in report.steps] == ["noop"]
    assert not (bench.run.paths.directory / output.path).exists()
    assert not bench.run.paths.attempt(1, 3).tmp.exists()


def test_it_brings_the_output_across_file_systems(place: Place, tmp_path: Path) -> None:
    shared = Path("/dev/shm")  # noqa: S108 - another file system than the run's, on Linux
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    elsewhere = shared / f"hvmpi-{place.root.name}-{time.monotonic_ns()}"
    bench = bench_of(place, 'echo 12 > "$4"', f"--tmp-dir={elsewhere}")
    try:
        bench.welcome()
        (output,) = bench.report(bench.job()).outputs
        assert (bench.run.paths.directory / output.part).read_text() == "12\n"
        assert list(elsewhere.rglob("job*")) == []
    finally:
        for path in sorted(elsewhere.rglob("*"), reverse=True):
            path.rmdir()
        elsewhere.rmdir()


@pytest.mark.parametrize(
    ("script", "outcome", "why"),
    [
        ("exit 3", Outcome.PAYLOAD_FAILED, "code 3"),
        ("kill -SEGV $$", Outcome.PAYLOAD_FAILED, "SIGSEGV"),
        ("true", Outcome.OUTPUT_INVALID, "304795.4.1.2.0.aod.txt"),
        ("exec sleep 600", Outcome.TIMED_OUT, "job-timeout"),
    ],
)
def test_it_reports_failures_and_goes_on(
    place: Place, script: str, outcome: Outcome, why: str
) -> None:
    bench = bench_of(place, f'[ "$1" = 1 ] && touch "$4" || {script}', "--job-timeout=1")
    bench.welcome()
    report = bench.report(bench.job())
    assert report.outcome is outcome
    assert why in report.reason
    assert report.outputs == ()
    assert bench.report(bench.job(1)).outcome is Outcome.DONE


def test_it_passes_on_what_the_engine_thinks_of_a_failure(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(place, "true")
    bench.welcome()
    for told, where in (("sub/log.x:12", "sub/log.x:12"), ("", "noop.log")):
        verdict = Verdict(Outcome.OUTPUT_INVALID, "why", -1, FailureClass.ONCE_MORE, told)
        monkeypatch.setattr("hvmpi.noop.NoopEngine.check", lambda *_, given=verdict: given)
        report = bench.report(bench.job())
        assert (report.failure, report.where) == (FailureClass.ONCE_MORE, where)


def test_it_brings_what_a_step_really_made_under_the_name_that_it_has(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(place, "echo 12 > DAOD_X.root")
    bench.welcome()
    made = bench.run.paths.attempt(0, 1).tmp / "DAOD_X.root"
    verdict = Verdict(Outcome.DONE, events=2, outputs=(StepOutput("aod", made, "X.my.root"),))
    monkeypatch.setattr("hvmpi.noop.NoopEngine.check", lambda *_: verdict)
    (output,) = bench.report(bench.job()).outputs
    assert output.path == "aod/X.my.root"
    assert output.part == "aod/.X.my.root.attempt1.part"
    assert (bench.run.paths.directory / output.part).read_text() == "12\n"


def test_a_disk_that_is_full_is_no_fault_of_the_payload(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench = bench_of(place, 'touch "$4"')
    bench.welcome()
    monkeypatch.setattr("hvmpi.delivery.sync_file", full)
    report = bench.report(bench.job())
    assert (report.outcome, report.failure) == (Outcome.SETUP_FAILED, FailureClass.RESOURCES)


def test_it_reports_an_output_that_cannot_be_brought(place: Place) -> None:
    bench = bench_of(place, 'touch "$4"')
    bench.welcome()
    (bench.run.paths.directory / "aod").rmdir()
    report = bench.report(bench.job())
    assert report.outcome is Outcome.SETUP_FAILED
    assert "aod" in report.reason


def test_it_reports_a_working_directory_that_cannot_be_made(place: Place) -> None:
    bench = bench_of(place, 'touch "$4"')
    bench.welcome()
    (bench.run.paths.directory / "tmp").write_text("in the way")
    report = bench.report(bench.job())
    assert report.outcome is Outcome.SETUP_FAILED
    assert "tmp" in report.reason


def test_stop_ends_the_payload_and_the_worker(place: Place) -> None:
    bench = bench_of(place, "exec sleep 600")
    bench.welcome()
    bench.end.send(1, Assign(bench.job()))
    for _ in range(5):
        bench.worker.step()
    bench.end.send(1, Stop("enough"))
    report = bench.answer()
    assert isinstance(report, Report)
    assert (report.outcome, report.reason) == (Outcome.INTERRUPTED, "enough")
    assert bench.answer() == Goodbye()
    assert bench.worker.left


def test_stop_before_the_payload_began_reports_the_job_too(place: Place) -> None:
    bench = bench_of(place, 'touch "$4"')
    bench.welcome()
    bench.end.send(1, Stop("enough"))
    bench.end.send(1, Assign(bench.job()))
    report = bench.answer()
    assert isinstance(report, Report)
    assert report.outcome is Outcome.INTERRUPTED


def test_stop_at_rest(place: Place) -> None:
    bench = bench_of(place, "true")
    bench.welcome()
    bench.end.send(1, Stop("over"))
    assert bench.answer() == Goodbye()


def test_a_library_and_a_merge_are_brought_beside_their_places(place: Place) -> None:
    words = ["--engine=noop", "-n1", "-b3", "--pileup-mu=1", "--pileup-events=10"]
    words += ["--noop-command={train}", f"--run-dir={place.run_dir}"]
    settings = load("run", words)
    engine = make_engine(settings)
    bench = Bench(begin_run(settings, engine, make_plan(settings, engine)))
    bench.welcome()
    (library,) = bench.report(bench.job(0)).outputs
    assert (library.product, library.path) == ("library", "library/minbias.10.hits.txt")
    assert library.part == "library/.minbias.10.hits.txt.attempt1.part"
    (bench.run.paths.directory / "train/a.train.txt").write_text("1\n2\n3\n")
    report = bench.report(bench.job(3))
    assert (report.outcome, report.events_out) == (Outcome.DONE, 3)
    assert [output.path for output in report.outputs] == ["train/train.txt"]


def test_a_generation_job_is_published_where_event_files_lie(place: Place) -> None:
    settings = load("generate", ["--engine=noop", "-n1", "-b3", f"--run-dir={place.run_dir}"])
    engine = make_engine(settings)
    bench = Bench(begin_run(settings, engine, make_plan(settings, engine)))
    bench.welcome()
    job = bench.job()
    assert job.kind is Kind.GENERATION
    (output,) = bench.report(job).outputs
    assert (output.product, output.path) == ("evnt", "evnt/304795.3.1.evnt.txt")


# The master and the worker know of each other


def _pass_time(monkeypatch: pytest.MonkeyPatch, bench: Bench, seconds: int) -> list[Message]:
    """Let the worker work through a time in which nobody says anything to it."""
    now = time.monotonic()
    for second in range(seconds + 1):
        monkeypatch.setattr(time, "monotonic", lambda at=now + second: at)
        bench.worker.step()
    monkeypatch.undo()
    return [message for _, message in bench.end.receive()]


def test_it_gives_signs_of_life_while_a_payload_runs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(place, "exec sleep 600", "--lease=60")
    bench.welcome()
    bench.end.send(1, Assign(bench.job()))
    for _ in range(5):
        bench.worker.step()
    signs = _pass_time(monkeypatch, bench, 33)
    assert signs == [Alive()] * 3
    bench.end.send(1, Stop("enough"))
    assert isinstance(bench.answer(), Report)


@pytest.mark.parametrize(("seconds", "leaves"), [(50, False), (70, True)])
def test_without_signs_of_life_of_the_master_it_leaves(
    place: Place, monkeypatch: pytest.MonkeyPatch, seconds: int, leaves: bool
) -> None:
    bench = bench_of(place, "exec sleep 600", "--lease=10")
    bench.welcome()
    _pass_time(monkeypatch, bench, seconds)
    assert bench.worker.left == leaves


def test_the_death_of_the_master_ends_the_payload(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(place, "exec sleep 600")
    bench.welcome()
    bench.end.send(1, Assign(bench.job()))
    for _ in range(5):
        bench.worker.step()
    monkeypatch.setattr(LocalChannel, "failed", lambda _: [0])
    report = bench.answer()
    assert isinstance(report, Report)
    assert (report.outcome, report.reason) == (Outcome.INTERRUPTED, "the master died")
    assert bench.worker.left
    assert not bench.run.paths.attempt(0, 1).tmp.exists()


def test_a_master_that_is_about_to_go_too_hears_nothing(place: Place) -> None:
    bench = bench_of(place, "exec sleep 600")
    bench.welcome()
    bench.end.send(1, Assign(bench.job()))
    bench.worker.step()
    bench.worker.abandon("mpirun is gone", silently=True)
    wait_for(lambda: [bench.worker.step()] and bench.worker.left)
    assert bench.end.receive() == []


def test_an_output_that_nobody_will_hear_of_is_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(place, 'touch "$4"')
    bench.welcome()

    def dies_meanwhile(_: Path) -> str:
        bench.worker.abandon("the master died")
        return "0"

    monkeypatch.setattr("hvmpi.delivery.sha256_of", dies_meanwhile)
    bench.report(bench.job())
    assert list((bench.run.paths.directory / "aod").iterdir()) == []


def test_a_cancelled_attempt_ends_and_the_next_job_is_taken(place: Place) -> None:
    bench = bench_of(place, '[ "$2" = 2 ] || exec sleep 600; touch "$4"')
    bench.welcome()
    bench.end.send(1, Assign(bench.job()))
    for _ in range(5):
        bench.worker.step()
    bench.end.send(1, Cancel(1, 1))
    bench.end.send(1, Cancel(0, 1))
    report = bench.answer()
    assert isinstance(report, Report)
    assert (report.job, report.attempt, report.outcome) == (0, 1, Outcome.INTERRUPTED)
    assert bench.report(bench.job(1, attempt=2)).outcome is Outcome.DONE


def test_it_begins_the_next_job_without_being_asked(place: Place) -> None:
    bench = bench_of(place, 'touch "$4"')
    bench.welcome()
    for number in (0, 1):
        bench.end.send(1, Assign(bench.job(number)))
    first, second = bench.answer(), bench.answer()
    assert isinstance(first, Report)
    assert isinstance(second, Report)
    assert [(one.job, one.outcome) for one in (first, second)] == [
        (0, Outcome.DONE),
        (1, Outcome.DONE),
    ]
    # It says when each really began.
    assert second.began >= first.began + first.wall_s - 0.001


@pytest.mark.parametrize("asked", [GiveBack, Cancel])
def test_what_has_not_begun_is_given_back_and_never_begins(
    place: Place, asked: type[GiveBack | Cancel]
) -> None:
    begun = place.root / "begun"
    bench = bench_of(place, f'echo "$1" >> "{begun}"; [ "$1" = 1 ] || exec sleep 600')
    bench.welcome()
    for number in (0, 1):
        bench.end.send(1, Assign(bench.job(number)))
    for _ in range(5):
        bench.worker.step()
    wait_for(begun.exists)
    bench.end.send(1, asked(1, 1))
    report = bench.answer()
    assert isinstance(report, Report)
    assert (report.job, report.outcome, report.began) == (1, Outcome.INTERRUPTED, 0.0)
    # What runs is not given back.
    bench.end.send(1, GiveBack(0, 1))
    for _ in range(5):
        bench.worker.step()
    assert bench.end.receive() == []
    bench.end.send(1, Stop("enough"))
    assert isinstance(bench.answer(), Report)
    assert bench.answer() == Goodbye()
    assert begun.read_text() == "0\n"


def test_stop_gives_back_what_waits(place: Place) -> None:
    bench = bench_of(place, "exec sleep 600")
    bench.welcome()
    for number in (0, 1):
        bench.end.send(1, Assign(bench.job(number)))
    for _ in range(5):
        bench.worker.step()
    bench.end.send(1, Stop("enough"))
    for number in (0, 1):
        report = bench.answer()
        assert isinstance(report, Report)
        assert (report.job, report.outcome) == (number, Outcome.INTERRUPTED)
        assert (report.began > 0) == (number == 0)
    assert bench.answer() == Goodbye()


def test_it_gives_signs_of_life_while_an_output_is_brought(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bringing a large file may take longer than a lease."""
    bench = bench_of(place, 'touch "$4"', "--lease=1")
    bench.welcome()
    alive = threading.Event()

    def slow(_: Path) -> None:
        assert alive.wait(LIMIT_S)

    monkeypatch.setattr("hvmpi.delivery.sync_file", slow)
    bench.end.send(1, Assign(bench.job()))
    assert bench.answer() == Alive()
    alive.set()
    answers = iter(bench.answer, None)
    report = next(answer for answer in answers if not isinstance(answer, Alive))
    assert isinstance(report, Report)
    assert report.outcome is Outcome.DONE


@pytest.mark.parametrize("what", ["sync_file", "check"])
def test_a_file_system_that_stalls_costs_the_job_a_lost_attempt(
    place: Place, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    bench = bench_of(place, 'touch "$4"')
    bench.welcome()
    over = threading.Event()
    monkeypatch.setattr("hvmpi.attempt._ERRAND_LEAST_S", 0.2)
    monkeypatch.setattr("hvmpi.attempt._ERRAND_LEASES", 0.0)
    whose = "hvmpi.delivery.sync_file" if what == "sync_file" else "hvmpi.noop.NoopEngine.check"
    monkeypatch.setattr(whose, lambda *_: over.wait(LIMIT_S))
    report = bench.report(bench.job())
    over.set()
    assert (report.outcome, report.failure) == (Outcome.SETUP_FAILED, FailureClass.PASSING)
    assert "No answer of the file system in 0.2 s" in report.reason


SAYS = {
    "nothing": ("/bin/true", None),
    "nothing, and fails": ("exit 3", ""),
    "something": ("echo said", "said\n"),
    "nothing, for a while": ("sleep 0.1", ""),
    "something after a while": ("sleep 0.1; echo said", "said\n"),
}


@pytest.mark.parametrize(("script", "said"), SAYS.values(), ids=SAYS)
def test_a_log_is_made_unless_a_step_ends_well_at_once_without_a_word(
    place: Place, script: str, said: str | None
) -> None:
    bench = bench_without_output(place, script)
    bench.welcome()
    for number in (0, 1):
        bench.report(bench.job(number))
        log = bench.run.paths.attempt(number, 1).step_log("noop")
        assert (log.read_text() if log.exists() else None) == said
        assert log.parent.exists() == (said is not None)
    bench.end.send(1, Stop("over"))
    assert bench.answer() == Goodbye()
    assert list(bench.run.paths.logs.glob(".*")) == []


def test_a_silent_step_has_a_log_where_logs_are_kept(place: Place) -> None:
    bench = bench_without_output(place, "true", "--keep-logs")
    bench.welcome()
    bench.report(bench.job())
    assert bench.run.paths.attempt(0, 1).step_log("noop").read_text() == ""


def test_what_a_step_said_is_kept_when_the_server_that_started_it_is_killed(place: Place) -> None:
    bench = bench_without_output(place, "echo said; kill -9 $PPID; sleep 600")
    bench.welcome()
    report = bench.report(bench.job())
    assert (report.outcome, report.failure) == (Outcome.SETUP_FAILED, FailureClass.PASSING)
    assert bench.run.paths.attempt(0, 1).step_log("noop").read_text() == "said\n"
    bench.end.send(1, Stop("over"))
    assert bench.answer() == Goodbye()
    assert list(bench.run.paths.logs.glob(".*")) == []
