"""The verbs that look at a run: status, verify, diagnose, plan; and clean."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hvmpi.campaign import journal
from hvmpi.campaign.jobs import FailureClass, Job, Kind, Outcome
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.snapshot import write_status
from hvmpi.engine import Step, Verdict
from hvmpi.settings import load, to_dict
from hvmpi.view.diagnosis import advice
from tests.conftest import Place, RunOnDisk, noop, shell, wait_for

RUN = ("run", "-b6", "-n1", "--job-size=2")


@pytest.fixture
def done(place: Place) -> RunOnDisk:
    assert place.hvmpi(*RUN, *shell('cat "$3" > "$4"')).code == 0
    return place.run()


@pytest.fixture
def failed(place: Place) -> RunOnDisk:
    script = '[ "$1" != 2 ] || { echo "a wire is loose"; exit 3; }; cat "$3" > "$4"'
    assert place.hvmpi(*RUN, *shell(script)).code == 1
    return place.run()


# status


def test_status_is_a_table_of_the_newest_run(place: Place, failed: RunOnDisk) -> None:
    answer = place.hvmpi("status")
    assert answer.code == 0
    head, *rows = answer.out.splitlines()
    assert head.split() == (
        ["JOB", "STATE", "TRY", "RANK", "HOST", "EVENTS", "TIME", "RSS", "EXIT", "REASON"]
    )
    assert rows[0].split()[:4] == ["0", "done", "1", "1"]
    assert rows[2].split()[:4] == ["2", "failed", "2", "1"]
    assert rows[2].endswith("noop ended with code 3")
    # Columns stand under their names.
    for row in rows[:4]:
        assert row.index("failed" if row is rows[2] else "done") == head.index("STATE")
    assert f"run {failed.timestamp} incomplete" in answer.out
    assert "\n4 jobs: 3 done, 1 failed\n" in answer.out
    assert "\ndone: generation 1 of 1, reconstruction 2 of 3\n" in answer.out
    log = failed.directory / "logs/0000/job00000002/attempt2/noop.log"
    assert (
        f"failed: 1 x payload_failed: noop ended with code 3 (job 2)\n  {log}\n"
        f"what to do: python -m hvmpi diagnose {failed.timestamp}\n"
    ) in answer.out
    assert str(failed.directory / "aod") in answer.out


def test_status_of_a_run_that_was_cut_short_is_the_journals(
    place: Place, failed: RunOnDisk
) -> None:
    lines = failed.journal.read_bytes().splitlines(keepends=True)
    assert b'"ended"' in lines[-1]
    failed.journal.write_bytes(b"".join(lines[:-1]))
    path = failed.directory / "status.h5"
    whole = path.read_bytes()
    for damaged in (b"half", whole[:500], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        answer = place.hvmpi("status")
        assert answer.code == 0
        assert "cut short" in answer.out
        assert "1 failed" in answer.out
        assert answer.err.count("\n") == 1
        assert f"'{path}' is damaged" in answer.err
        assert place.hvmpi("diagnose").code == 0


def test_status_finds_the_run_dir_of_a_config(place: Place, failed: RunOnDisk) -> None:
    config = place.root / "mine.toml"
    config.write_text(f'run-dir = "{failed.directory.parent}"\n')
    assert failed.timestamp in place.hvmpi("status", "-c", config).out


def test_status_of_one_state(place: Place, failed: RunOnDisk) -> None:
    answer = place.hvmpi("status", failed.timestamp, "--state=failed")
    rows = [line.split()[0] for line in answer.out.partition("\n\n")[0].splitlines()]
    assert rows == ["JOB", "2"]


def test_status_of_many_jobs_shows_the_telling_ones(place: Place) -> None:
    script = '[ "$1" != 77 ] || exit 3; touch "$4"'
    place.event_file("a", range(1, 101))
    words = ("reconstruct", "--evnt-dir=evnt", "-b1", "--max-attempts=1", *shell(script))
    assert place.hvmpi(*words).code == 1
    table, _, rest = place.hvmpi("status").out.partition("\n... ")
    assert rest.startswith("60 more jobs")
    assert len(table.splitlines()) == 41
    assert any(line.split()[:2] == ["77", "failed"] for line in table.splitlines())
    assert len(place.hvmpi("status", "--all").out.partition("\n\n")[0].splitlines()) == 101


# verify


def test_verify_finds_all_as_it_should_be(place: Place, done: RunOnDisk) -> None:
    answer = place.hvmpi("verify", done.timestamp)
    assert answer.code == 0
    assert answer.out == f"run {done.timestamp}: 4 files, 6 events: as the journal says\n"


def _append(path: Path) -> None:
    path.chmod(0o644)
    path.write_text(path.read_text() + "7\n")


def _exchange(path: Path) -> None:
    path.chmod(0o644)
    path.write_text(path.read_text().replace("1", "9"))


@pytest.mark.parametrize("name", ["evnt/304795.6.1.evnt.txt", "aod/304795.6.1.2.4.aod.txt"])
@pytest.mark.parametrize(
    ("spoil", "fault"),
    [(Path.unlink, "is missing"), (_append, "bytes"), (_exchange, "SHA-256")],
)
def test_verify_finds_a_product_that_was_changed(
    place: Place, done: RunOnDisk, name: str, spoil: object, fault: str
) -> None:
    spoil(done.directory / name)  # type: ignore[operator]
    answer = place.hvmpi("verify")
    assert answer.code == 1
    assert any(
        line.startswith("fault: ") and name in line and fault in line
        for line in answer.out.splitlines()
    )


def test_verify_says_what_is_not_done_and_why(place: Place, failed: RunOnDisk) -> None:
    answer = place.hvmpi("verify", failed.timestamp)
    assert answer.code == 1
    assert "not done: job 2 (reconstruction, 2 events) is failed: noop ended with code 3" in (
        answer.out
    )


def test_verify_finds_an_event_that_is_there_twice(place: Place, event_files: Path) -> None:
    """Two products of one run with the same event, each as the journal says of itself."""
    words = ("reconstruct", f"--evnt-dir={event_files}", "--job-size=3", "--keep=aod")
    assert place.hvmpi(*words).code == 0
    run = place.run()
    first, second = run.entries(journal.Accepted)
    final = run.directory / second.outputs[0][2]
    final.unlink()
    final.write_bytes((run.directory / first.outputs[0][2]).read_bytes())
    text = run.journal.read_text()
    for old, new in zip(second.outputs[0][3:], first.outputs[0][3:], strict=True):
        text = text.replace(f"{old}", f"{new}")
    run.journal.write_text(text)
    answer = place.hvmpi("verify")
    assert answer.code == 1
    assert "event 1 of run 304794 is in the aod of job 0 and of job 1" in answer.out


# diagnose


def test_diagnose_groups_failures_and_shows_the_log(place: Place, failed: RunOnDisk) -> None:
    answer = place.hvmpi("diagnose")
    assert answer.code == 0
    host = socket.gethostname()
    assert answer.out.splitlines() == [
        "2 x payload_failed: noop ended with code 3",
        "  jobs: 2 (now 1 failed)",
        f"  host: {host}",
        "  decided: payload failed: the 2 attempts are used up",
        "  what to do: Read the log; mend what it tells of, then rerun: only what is not",
        "    done is run.",
        "  log:",
        f"    {failed.directory / 'logs/0000/job00000002/attempt2/noop.log'}",
        "    a wire is loose",
    ]


SAYS = "import sys; print('\\n'.join(f'line {n}' for n in range(1, 41)), flush=True); sys.exit(3)"


@pytest.fixture
def told(place: Place, monkeypatch: pytest.MonkeyPatch) -> RunOnDisk:
    """A run of ten jobs of which an engine tells more: class, and line of a log."""

    def check(_engine: object, job: Job, _step: Step, _code: int) -> Verdict:
        if job.number < 4:
            failure = FailureClass.PERMANENT
            return Verdict(Outcome.PAYLOAD_FAILED, "no \n geometry", -1, failure, "noop.log:17")
        if job.number < 9:
            passing = FailureClass.PASSING if job.attempt < 3 else FailureClass.PERMANENT
            return Verdict(Outcome.SETUP_FAILED, "no database", -1, passing, "noop/log.sub:2")
        return Verdict(Outcome.DONE, events=job.events)

    monkeypatch.setattr("hvmpi.noop.NoopEngine.check", check)
    place.event_file("a", range(1, 11))
    words = ("reconstruct", "--evnt-dir=evnt", "-b1", *noop(sys.executable, "-c", SAYS))
    assert place.hvmpi(*words).code == 1
    return place.run()


def test_status_groups_failures_by_outcome_class_and_reason(place: Place, told: RunOnDisk) -> None:
    _, _, lines = place.hvmpi("status").out.partition("\nfailed: ")
    logs = told.directory / "logs/0000"
    assert lines.splitlines()[:4] == [
        "5 x setup_failed (permanent): no database (job 4)",
        f"  {logs}/job00000004/attempt3/noop/log.sub:2",
        "failed: 4 x payload_failed (permanent): no geometry (job 0)",
        f"  {logs}/job00000000/attempt1/noop.log:17",
    ]


def test_status_names_the_run_dir_where_it_is_not_the_usual_one(
    place: Place, failed: RunOnDisk
) -> None:
    moved = failed.directory.parent.rename(place.root / "my runs")
    answer = place.hvmpi("status", f"--run-dir={moved}")
    command = answer.out.partition("what to do:")[2].lstrip().partition("\n")[0]
    assert shlex.split(command)[-3:] == [failed.timestamp, "--run-dir", str(moved)]


def test_diagnose_puts_the_most_frequent_first(place: Place, told: RunOnDisk) -> None:
    answer = place.hvmpi("diagnose", told.timestamp)
    assert [line for line in answer.out.splitlines() if not line.startswith(" ")] == [
        "10 x setup_failed (passing): no database",
        "5 x setup_failed (permanent): no database",
        "4 x payload_failed (permanent): no geometry",
    ]
    assert "jobs: 4, 5, 6, 7, 8 (5 jobs, now 5 failed)" in answer.flat
    again = "passing: again, on another host if there is one"
    assert f"decided: {again}, 2 of 10 lost (5 jobs)" in answer.flat
    assert "decided: permanent: not tried again (4 jobs)" in answer.flat


def test_diagnose_shows_the_lines_around_the_one_that_tells(place: Place, told: RunOnDisk) -> None:
    out = place.hvmpi("diagnose").out
    log = told.directory / "logs/0000/job00000003/attempt1/noop.log"
    shown = out.partition(f"  log:\n    {log}:17\n")[2].splitlines()
    assert shown[:5] == [f"    {n} {'>' if n == 17 else '|'} line {n}" for n in range(14, 19)]
    assert shown[-1] == "    25 | line 25"


def test_diagnose_says_that_a_log_is_gone(place: Place, told: RunOnDisk) -> None:
    out = place.hvmpi("diagnose").out
    gone = told.directory / "logs/0000/job00000008/attempt3/noop/log.sub:2"
    assert f"  log:\n    {gone}\n    (not there: " in out


def test_diagnose_says_what_to_do_of_every_outcome_and_class() -> None:
    for outcome in set(Outcome) - {Outcome.NONE, Outcome.DONE}:
        for failure in FailureClass:
            for engine in ("noop", "athena"):
                said = advice(outcome, failure, "why", engine)
                assert said[0].isupper()
                assert said.endswith(".")


def test_advice_on_athena_is_found_by_its_reason() -> None:
    said = advice(Outcome.PAYLOAD_FAILED, FailureClass.PASSING, "SETUP_FAILED: no", "athena")
    assert "CVMFS" in said
    assert "CVMFS" not in advice(
        Outcome.PAYLOAD_FAILED, FailureClass.PASSING, "SETUP_FAILED: no", "openchain"
    )


def test_a_host_on_which_all_of_a_kind_failed_is_named(place: Place) -> None:
    run = place.run_dir / "20260101000000"
    run.mkdir(parents=True)
    ledger = Ledger()
    ledger.apply(journal.JobsPlanned(Kind.MERGE, -1, 1, 4, [], []))
    ledger.apply(journal.PlanComplete(0, 4))
    for job in range(4):
        ledger.apply(journal.Started(job, 1, job, f"tev{job // 2}", 0.0))
    for job in range(2):
        told = FailureClass.RESOURCES, "", "resources: not tried again"
        how = (Outcome.PAYLOAD_FAILED, 1, 0, "no disk", False)
        ledger.apply(journal.Failed(job, 1, 0.0, 1.0, *how, [], *told))
    settings = to_dict(load("run", ["--engine=noop"]))
    write_status(run / "status.h5", ledger, settings=settings, state="incomplete")
    out = place.hvmpi("diagnose").out
    assert "2 x payload_failed (resources): no disk\n" in out
    assert "  host: tev0, all of them, and none on the other host\n" in out


@pytest.fixture
def deserted(place: Place) -> RunOnDisk:
    """A run with a job that none of its hosts was fit for."""
    directory = place.run_dir / "20260101000000"
    directory.mkdir(parents=True)
    ledger = Ledger()
    ledger.apply(journal.JobsPlanned(Kind.MERGE, -1, 1, 1, [], []))
    ledger.apply(journal.PlanComplete(0, 1))
    reasons = {"tev03": "CVMFS: gone", "tev04": "no room", "tev05": "CVMFS: gone"}
    for rank, host in enumerate([*reasons, "tev03", *[f"vm{n}" for n in range(9)]], 1):
        ledger.apply(journal.LeftOut(host, rank, reasons.get(host, "no memory"), 1.0))
    settings = to_dict(load("run", ["--engine=noop"]))
    write_status(directory / "status.h5", ledger, settings=settings, state="incomplete")
    return RunOnDisk(directory)


LEFT_OUT = [
    "left out: tev03, tev05: CVMFS: gone",
    "left out: tev04: no room",
    "left out: vm0, vm1, vm2, vm3, vm4, vm5, vm6, vm7, 1 more: no memory",
]


def test_status_says_which_hosts_were_left_out_below_its_totals(
    place: Place, deserted: RunOnDisk
) -> None:
    lines = place.hvmpi("status", deserted.timestamp).out.splitlines()
    totals, first = lines.index("1 job: 1 ready"), lines.index(LEFT_OUT[0])
    assert totals < first
    assert lines[first : first + len(LEFT_OUT)] == LEFT_OUT


def test_diagnose_says_first_which_hosts_were_left_out(place: Place, deserted: RunOnDisk) -> None:
    lines = place.hvmpi("diagnose", deserted.timestamp).out.splitlines()
    assert lines == [
        *LEFT_OUT,
        "  what to do: Mend that, then rerun; python -m hvmpi doctor -c CONFIG says more.",
    ]


def test_diagnose_of_a_run_without_failures(place: Place, done: RunOnDisk) -> None:
    assert place.hvmpi("diagnose").out == f"run {done.timestamp}: no attempt failed\n"


# clean


def test_clean_asks_first(place: Place, failed: RunOnDisk) -> None:
    before = place.tree()
    answer = place.finish(place.start("clean", failed.timestamp))
    assert answer.code == 2
    assert "--yes" in answer.complaint
    assert place.tree() == before


def test_clean_removes_logs_of_that_run_only(place: Place, failed: RunOnDisk) -> None:
    assert place.hvmpi(*RUN, *shell("exit 3")).code == 1
    other = place.runs()[1]
    assert place.hvmpi("clean", failed.timestamp, "--yes").code == 0
    assert not (failed.directory / "logs").exists()
    assert len(failed.files("aod")) == 2
    assert (other.directory / "logs").exists()
    assert "as the journal says" in place.hvmpi("verify", failed.timestamp).out
    assert place.hvmpi("rerun", failed.timestamp).code == 1


def test_clean_all_removes_what_the_run_made(place: Place) -> None:
    words = (*RUN, "--evnt-dir=evnt", "--aod-dir=aod", *shell('cat "$3" > "$4"'))
    assert place.hvmpi(*words).code == 0
    assert place.hvmpi(*words).code == 0
    first, second = place.runs()
    assert place.hvmpi("clean", first.timestamp, "--all", "--yes").code == 0
    assert place.runs() == [second]
    assert [path.name for path in (place.root / "aod").iterdir()] == [second.timestamp]
    assert (place.root / "evnt/304795.6.1.evnt.txt").exists()
    assert place.hvmpi("verify").code == 0


def test_clean_refuses_a_run_in_progress(place: Place) -> None:
    process = place.start(*RUN, *shell("exec sleep 600"))
    wait_for(lambda: place.runs() and (place.runs()[0].directory / "tmp/0000").exists())
    answer = place.hvmpi("clean", "--all", "--yes")
    assert answer.code == 2
    assert "in progress" in answer.complaint
    process.send_signal(signal.SIGTERM)
    assert place.finish(process).code == 3
    assert place.run().entries()


# plan


@pytest.mark.parametrize(
    "words", [["plan"], ["plan", "run"], ["run", "-t"], ["--test"]], ids=" ".join
)
def test_plan_prints_jobs_and_commands_and_leaves_nothing(place: Place, words: list[str]) -> None:
    before = place.tree()
    answer = place.hvmpi(*words, "-n3", "-b100", "--job-size=10", *shell("true"))
    assert answer.code == 0
    assert "3 event files, 300 events; 3 generation jobs, 30 reconstruction jobs" in answer.out
    table = answer.out.partition("\n\n")[2].partition("...")[0]
    assert len(table.splitlines()) == 21
    assert "... 13 more jobs" in answer.out
    assert place.tree() == before


def test_the_plan_of_a_rerun_is_what_is_not_done(place: Place, failed: RunOnDisk) -> None:
    before = place.tree()
    answer = place.hvmpi("run", "-r", failed.timestamp, "-t")
    assert answer.code == 0
    assert "jobs are not done" in answer.out
    assert place.tree() == before


def test_plan_all_prints_each_job(place: Place) -> None:
    answer = place.hvmpi("plan", "-n3", "-b100", "--job-size=10", "--engine=noop", "--all")
    rows = [line for line in answer.out.splitlines() if line.strip()[:1].isdigit()]
    assert len([row for row in rows if "evnt.txt" in row]) == 33


def test_plan_prints_the_exact_commands_of_a_job(place: Place) -> None:
    words = ["--process=gghss", "--run-number=304794", "-n2", "-b10", "--job-size=4"]
    answer = place.hvmpi("plan", *words, "--no-fused", "--job=3")
    commands = answer.out.partition("commands of job 3 (reconstruction):\n")[2].splitlines()
    assert [shlex.split(line)[3:5][-1] for line in commands if "openchain" in line]
    assert len(commands) == 4
    for line, step in zip(commands[:3], ("simulate", "digitize", "reconstruct"), strict=True):
        assert f" -m hvmpi.openchain {step} " in line
    assert " -m hvmpi.training extract " in commands[3]
    assert "--skip=8 --events=2" in commands[0]
    assert not any("--skip" in line for line in commands[1:])


def test_a_planned_command_is_one_that_runs(place: Place) -> None:
    words = ["--engine=noop", "-n1", "-b5", f"--run-dir={place.root}/my 'runs'"]
    answer = place.hvmpi("plan", "generate", *words)
    command = answer.out.splitlines()[-1]
    output = Path(shlex.split(command)[4])
    output.parent.mkdir(parents=True)
    subprocess.run(["/bin/sh", "-c", command], check=True, timeout=60)
    assert output.read_text().split() == ["1", "2", "3", "4", "5"]


def test_plan_without_a_second_word_reconstructs_where_event_files_are(place: Place) -> None:
    place.event_file("a", range(1, 8))
    answer = place.hvmpi("plan", "--engine=noop", "--evnt-dir=evnt", "--job-size=3")
    assert "1 event files, 7 events; 0 generation jobs, 3 reconstruction jobs" in answer.out
    answer = place.hvmpi("plan", "--engine=noop", "--evnt-dir=new", "-n2", "-b4")
    assert "2 event files, 8 events; 2 generation jobs" in answer.out
    assert not (place.root / "new").exists()


def test_plan_says_what_is_put_aside(place: Place) -> None:
    place.event_file("304795.9.1", range(1, 8))
    answer = place.hvmpi("reconstruct", "-t", "--engine=noop", "--evnt-dir=evnt")
    assert "put aside: " in answer.out
    assert "holds 7 events, 9 are expected" in answer.out


def test_plan_under_mpirun_speaks_once(place: Place) -> None:
    answer = place.mpirun(3, "run", "-t", "--engine=noop", "-n1", "-b4")
    assert answer.code == 0
    assert answer.out.count("1 event files, 4 events;") == 1
    assert not place.run_dir.exists()
