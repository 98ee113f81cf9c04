"""Failures of athena's steps: what each is called, what it means, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hvmpi.athena.failures import (
    Failure,
    advice_for,
    bad_output,
    classify,
    no_output,
    setup_failed,
    short_output,
)
from hvmpi.athena.reports import Executor, JobReport, LoggedError
from hvmpi.campaign.jobs import FailureClass, Outcome

BAD_INPUT = Outcome.BAD_INPUT
SETUP_FAILED = Outcome.SETUP_FAILED
PAYLOAD_FAILED = Outcome.PAYLOAD_FAILED
OUTPUT_INVALID = Outcome.OUTPUT_INVALID
OUT_OF_MEMORY = Outcome.OUT_OF_MEMORY
PASSING = FailureClass.PASSING
RESOURCES = FailureClass.RESOURCES
ONCE_MORE = FailureClass.ONCE_MORE
PERMANENT = FailureClass.PERMANENT
CHECK_THE_FILES = FailureClass.CHECK_THE_FILES


def report(code: int, rc: int | None = None, message: str = "", acronym: str = "") -> JobReport:
    executor = Executor("EVNTtoHITS", rc=rc, status_ok=not rc)
    return JobReport(code, acronym, message, (executor,) if rc is not None else ())


def judged(
    directory: Path,
    code: int,
    found: JobReport | None = None,
    lines: Sequence[str] = (),
    private: Sequence[str] = (),
) -> Failure:
    log = directory / "s2608" / "log.EVNTtoHITS"
    log.parent.mkdir(exist_ok=True)
    log.write_text("".join(f"{line}\n" for line in ("Py:Athena   INFO starts", *lines)))
    return classify(
        step="s2608",
        exit_code=code,
        report=found,
        logs=[log],
        logs_root=directory,
        private=private,
    )


@pytest.mark.parametrize(
    ("code", "has_report", "acronym", "outcome", "failure"),
    [
        (1, True, "NEEDCHECK", PAYLOAD_FAILED, ONCE_MORE),
        (2, False, "TRF_USAGE", SETUP_FAILED, PERMANENT),
        (3, True, "TRF_SETUP", SETUP_FAILED, PERMANENT),
        (4, True, "TRF_ARG_CONV_FAIL", SETUP_FAILED, PERMANENT),
        (5, True, "TRF_ARG_OUT_OF_RANGE", SETUP_FAILED, PERMANENT),
        (7, True, "TRF_ARG_ERROR", SETUP_FAILED, PERMANENT),
        (8, True, "TRF_ARG_DATASET", SETUP_FAILED, PERMANENT),
        (9, True, "TRF_INPUT_FILE_ERROR", BAD_INPUT, CHECK_THE_FILES),
        (10, True, "TRF_10", SETUP_FAILED, PERMANENT),
        (11, True, "TRF_OUTPUT_FILE_ERROR", OUTPUT_INVALID, ONCE_MORE),
        (12, True, "TRF_GRAPH_ERROR", SETUP_FAILED, PERMANENT),
        (13, True, "TRF_EXECUTION_PATH_ERROR", SETUP_FAILED, PERMANENT),
        (14, True, "TRF_KEY_ERROR", SETUP_FAILED, PERMANENT),
        (15, True, "TRF_NOEVENTS", BAD_INPUT, PERMANENT),
        (16, True, "TRF_ARG_CHOICES_FAIL", SETUP_FAILED, PERMANENT),
        (17, True, "TRF_ARG_MISSING", SETUP_FAILED, PERMANENT),
        (18, True, "TRF_REDUCTION_CONFIG_ERROR", SETUP_FAILED, PERMANENT),
        (19, True, "TRF_GRAPH_STEERING_ERROR", SETUP_FAILED, PERMANENT),
        (35, True, "TRF_INTERNAL_REPORT_ERROR", PAYLOAD_FAILED, ONCE_MORE),
        (36, True, "TRF_METADATA_CALL_FAIL", PAYLOAD_FAILED, ONCE_MORE),
        (37, True, "TRF_RUNTIME_ERROR", PAYLOAD_FAILED, ONCE_MORE),
        (38, True, "TRF_EXEC_VALIDATION_EVENTCOUNT", OUTPUT_INVALID, ONCE_MORE),
        (39, True, "TRF_DBRELEASE_PROBLEM", SETUP_FAILED, PASSING),
        (52, True, "TRF_FILEMERGE_PROBLEM", OUTPUT_INVALID, ONCE_MORE),
        (64, True, "TRF_EXEC", PAYLOAD_FAILED, ONCE_MORE),
        (65, True, "TRF_EXEC_FAIL", PAYLOAD_FAILED, ONCE_MORE),
        (66, True, "TRF_EXEC_VALIDATION_FAIL", OUTPUT_INVALID, ONCE_MORE),
        (67, True, "TRF_EXEC_TIMEOUT", PAYLOAD_FAILED, PASSING),
        (68, True, "TRF_EXEC_LOGERROR", PAYLOAD_FAILED, ONCE_MORE),
        (69, True, "TRF_EXEC_SETUP_FAIL", SETUP_FAILED, PASSING),
        (70, True, "TRF_EXEC_SETUP_WRAPPER", SETUP_FAILED, PASSING),
        (71, True, "TRF_LOGFILE_FAIL", PAYLOAD_FAILED, PASSING),
        (72, True, "TRF_AMI_ERROR", SETUP_FAILED, PASSING),
        (73, True, "TRF_EXEC_RUNARGS_ERROR", SETUP_FAILED, PERMANENT),
        (74, True, "TRF_INPUT_FILE_VALIDATION_FAIL", BAD_INPUT, CHECK_THE_FILES),
        (75, True, "TRF_OUTPUT_FILE_VALIDATION_FAIL", OUTPUT_INVALID, ONCE_MORE),
        (126, False, "TRF_NOT_EXECUTABLE", SETUP_FAILED, ONCE_MORE),
        (127, False, "TRF_NOT_FOUND", SETUP_FAILED, ONCE_MORE),
        (129, False, "TRF_SIGNAL", PAYLOAD_FAILED, PASSING),
        (137, False, "TRF_SIGNAL", PAYLOAD_FAILED, PASSING),
        (143, False, "TRF_SIGNAL", PAYLOAD_FAILED, PASSING),
        (152, False, "TRF_SIGNAL", PAYLOAD_FAILED, PASSING),
        (-9, False, "TRF_SIGNAL", PAYLOAD_FAILED, PASSING),
        (-15, False, "TRF_SIGNAL", PAYLOAD_FAILED, PASSING),
        (-11, False, "TRF_SIGNAL", PAYLOAD_FAILED, PASSING),
        (250, True, "TRF_UNEXPECTED_TRF_EXCEPTION", PAYLOAD_FAILED, ONCE_MORE),
        (251, False, "TRF_UNEXPECTED_OTHER_EXCEPTION", BAD_INPUT, CHECK_THE_FILES),
        (252, True, "TRF_INTERNAL", PAYLOAD_FAILED, ONCE_MORE),
        (253, True, "TRF_UNKNOWN", PAYLOAD_FAILED, ONCE_MORE),
    ],
)
def test_an_exit_code_of_the_transform_has_a_name_and_a_class(
    tmp_path: Path,
    code: int,
    has_report: bool,
    acronym: str,
    outcome: Outcome,
    failure: FailureClass,
) -> None:
    found = judged(tmp_path, code, report(code) if has_report else None)
    assert (found.outcome, found.failure) == (outcome, failure)
    assert found.reason.startswith(f"{acronym}: s2608 ")
    assert found.advice.endswith(".")


@pytest.mark.parametrize("code", [64, 65, 68])
@pytest.mark.parametrize(
    ("rc", "name", "failure"),
    [
        (1, "ATHENA_OPTION", PERMANENT),
        (2, "ATHENA_INCLUDE", PERMANENT),
        (3, "ATHENA_IMPORT", PERMANENT),
        (4, "ATHENA_INPUT_FILE", CHECK_THE_FILES),
        (5, "ATHENA_OUTPUT_FILE", CHECK_THE_FILES),
        (6, "ATHENA_HISTOGRAM_FILE", CHECK_THE_FILES),
        (7, "ATHENA_DATABASE", PASSING),
        (8, "ATHENA_EXCEPTION", ONCE_MORE),
        (9, "ATHENA_CONFIGURATION", PERMANENT),
        (33, "ATHENA_INITIALIZE", ONCE_MORE),
        (65, "ATHENA_EXECUTE", ONCE_MORE),
        (81, "ATHENA_ENDRUN", ONCE_MORE),
        (97, "ATHENA_FINALIZE", ONCE_MORE),
        (127, "ATHENA_NOT_FOUND", ONCE_MORE),
        (42, "ATHENA_42", ONCE_MORE),
        (129, "ATHENA_SIGNAL", PASSING),
        (137, "ATHENA_SIGNAL", PASSING),
        (143, "ATHENA_SIGNAL", PASSING),
        (152, "ATHENA_SIGNAL", PASSING),
        (134, "ATHENA_CRASHED", ONCE_MORE),
        (139, "ATHENA_CRASHED", ONCE_MORE),
        (-11, "ATHENA_CRASHED", ONCE_MORE),
    ],
)
def test_athenas_own_code_says_more_than_that_of_the_transform(
    tmp_path: Path, code: int, rc: int, name: str, failure: FailureClass
) -> None:
    found = judged(tmp_path, code, report(code, rc))
    assert (found.outcome, found.failure) == (PAYLOAD_FAILED, failure)
    assert found.reason.startswith(f"{name}: s2608 ")


@pytest.mark.parametrize("code", [3, 9, 65, 66, 68, 69, 137, 0])
@pytest.mark.parametrize(
    ("line", "outcome", "failure"),
    [
        ("AtlasSetup(FATAL): no such release", SETUP_FAILED, PASSING),
        ("CORAL/frontier Error Cannot find a valid frontier connection", PAYLOAD_FAILED, PASSING),
        ("Error in <TFile::ReadBuffer>: error reading", PAYLOAD_FAILED, PASSING),
        ("Error in <TFile::WriteBuffer>: error writing", PAYLOAD_FAILED, PASSING),
        ("cat: x: Stale file handle", PAYLOAD_FAILED, PASSING),
        ("IOVDbSvc   ERROR database is locked", PAYLOAD_FAILED, PASSING),
        ("FATAL:   container creation failed: mount error", SETUP_FAILED, PASSING),
        ("what(): std::bad_alloc", OUT_OF_MEMORY, RESOURCES),
        ("FATAL out of memory: taking the application down", OUT_OF_MEMORY, RESOURCES),
        ("write: No space left on device", SETUP_FAILED, RESOURCES),
    ],
)
def test_a_sign_in_the_log_says_more_than_any_code(
    tmp_path: Path, code: int, line: str, outcome: Outcome, failure: FailureClass
) -> None:
    found = judged(tmp_path, code, report(code, 33) if code else None, [line])
    assert (found.outcome, found.failure) == (outcome, failure)
    assert found.where == "s2608/log.EVNTtoHITS:2"


G4EXCEPTION = (
    "-------- EEEE ------- G4Exception-START -------- EEEE -------",
    "*** G4Exception : GeomNav0003",
    "      issued by : G4Navigator::ComputeStep()",
)
TRACEBACK = ("Traceback (most recent call last):", "  File x", "ValueError: no such key")


@pytest.mark.parametrize("code", [65, 68])
@pytest.mark.parametrize(
    ("lines", "name", "failure"),
    [
        (["warn  [frontier.c:1014]: Request failed", "Alg   FATAL no"], "FRONTIER", PASSING),
        (["Core dump from CoreDumpSvc"], "ATHENA_CRASHED", ONCE_MORE),
        (G4EXCEPTION, "G4EXCEPTION", ONCE_MORE),
        (TRACEBACK, "PYTHON_TRACEBACK", ONCE_MORE),
        (["Core dump from CoreDumpSvc", "warn [frontier.c:1]: x"], "ATHENA_CRASHED", ONCE_MORE),
    ],
)
def test_a_sign_in_the_log_says_how_athena_failed(
    tmp_path: Path, code: int, lines: Sequence[str], name: str, failure: FailureClass
) -> None:
    found = judged(tmp_path, code, report(code), lines)
    assert (found.outcome, found.failure) == (PAYLOAD_FAILED, failure)
    assert found.reason.startswith(f"{name}: s2608 ")
    assert found.where.startswith("s2608/log.EVNTtoHITS:")


def test_full_disks_explain_what_else_went_wrong(tmp_path: Path) -> None:
    lines = ["Error in <TFile::WriteBuffer>: x", "std::bad_alloc", "No space left on device"]
    assert judged(tmp_path, 65, report(65, 139), lines).reason.startswith("NO_SPACE: ")


def test_a_permanent_code_of_athena_stays_permanent_beside_its_traceback(tmp_path: Path) -> None:
    found = judged(tmp_path, 65, report(65, 3), TRACEBACK)
    assert found.failure is PERMANENT
    assert "ValueError: no such key" in found.reason


@pytest.mark.parametrize(("negative", "shell"), [(-15, 143), (-9, 137), (-1, 129), (-24, 152)])
def test_a_signal_is_the_same_however_it_is_told(tmp_path: Path, negative: int, shell: int) -> None:
    assert judged(tmp_path, negative) == judged(tmp_path, shell)


def test_a_signal_that_only_the_report_knows_is_passing(tmp_path: Path) -> None:
    for code in (129, 152):
        assert judged(tmp_path, 65, report(code)).failure is PASSING


def test_no_report_is_a_failure_though_the_code_is_0(tmp_path: Path) -> None:
    found = judged(tmp_path, 0)
    assert (found.outcome, found.failure) == (OUTPUT_INVALID, ONCE_MORE)
    assert "jobReport.json" in found.reason


def test_a_report_that_speaks_of_failure_counts_though_the_code_is_0(tmp_path: Path) -> None:
    assert judged(tmp_path, 0, report(66)) == judged(tmp_path, 66, report(66))


@pytest.mark.parametrize(
    ("code", "acronym", "name"),
    [(99, "", "TRF_99"), (99, "TRF_NEW_PROBLEM", "TRF_NEW_PROBLEM"), (255, "bad: \n", "TRF_255")],
)
def test_an_unknown_code_is_named(tmp_path: Path, code: int, acronym: str, name: str) -> None:
    found = judged(tmp_path, code, report(code, acronym=acronym))
    assert (found.outcome, found.failure) == (PAYLOAD_FAILED, ONCE_MORE)
    assert found.reason.startswith(f"{name}: s2608 ")
    assert str(code) in found.reason
    assert found.advice


def test_the_reason_quotes_the_first_error_of_the_log_and_says_where(tmp_path: Path) -> None:
    found = judged(
        tmp_path, 68, report(68, 0), ["Alg   INFO an ERROR", "IOVDbSvc   FATAL no folder /X"]
    )
    assert found.reason.endswith(": IOVDbSvc FATAL no folder /X")
    assert found.where == "s2608/log.EVNTtoHITS:3"


def test_the_transforms_own_account_of_the_log_is_believed_first(tmp_path: Path) -> None:
    errors = (LoggedError("ERROR", "Real   ERROR counts", 3),)
    executor = Executor("EVNTtoHITS", rc=0, status_ok=False, errors=errors)
    found = judged(
        tmp_path,
        68,
        JobReport(68, executors=(executor,)),
        ["Ignored   ERROR by its tag", "Real   ERROR counts"],
    )
    assert found.reason.endswith("Real ERROR counts")
    assert found.where == "s2608/log.EVNTtoHITS:3"


def test_a_refused_argument_is_told_in_the_words_of_the_report(tmp_path: Path) -> None:
    found = judged(tmp_path, 4, report(4, message="'ten' is no int for maxEvents"))
    assert found.reason.endswith(": 'ten' is no int for maxEvents")


def test_an_unknown_argument_is_told_in_the_words_of_the_log(tmp_path: Path) -> None:
    found = judged(tmp_path, 2, None, ["Sim_tf.py: error: unrecognized arguments: --foo"])
    assert found.reason.endswith("unrecognized arguments: --foo")
    assert found.where == "s2608/log.EVNTtoHITS:2"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bad pointer 0x7f00ab12", "bad pointer 0x55aa0"),
        ("cannot open {}/in.root", "cannot open {}/in.root"),
        ("failed for event 17", "failed for event 12345"),
        ("failed for EventNumber=17", "failed for EventNumber=8"),
        ("no squid at 10.0.0.1:3128", "no squid at 10.0.17.4:3128"),
        ("at 2024-05-01 12:00:00,123 no", "at 2025-06-02 00:01:59,9 no"),
        ("energy 1.25e+03 lost", "energy -7.5 lost"),
        ("in /tmp/abc123/x", "in /tmp/q9/x"),
        ("GUID 12345678-1234-1234-1234-1234567890AB", "GUID A2345678-1234-1234-1234-12345678BCDE"),
    ],
)
def test_the_same_cause_gives_the_same_reason_in_every_job(
    tmp_path: Path, one: str, other: str
) -> None:
    reasons = set()
    for number, text in ((1, one), (23, other)):
        private = f"/scratch/job{number}.attempt{number}"
        line = f"Alg   FATAL {text.format(private)}"
        reasons.add(judged(tmp_path, 65, report(65, 65), [line], [private]).reason)
    assert len(reasons) == 1


def test_the_input_of_a_job_is_private_by_its_bare_name_too(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        9,
        report(9, message="Input file 304795.5000.1.evnt.pool.root is not there"),
        private=["/data/evnt/304795.5000.1.evnt.pool.root"],
    )
    assert found.reason.endswith(": Input file ... is not there")


def test_events_counted_by_the_transform_do_not_split_a_group(tmp_path: Path) -> None:
    one = judged(tmp_path, 38, report(38, message="7 events, expected from 9 to 10"))
    two = judged(tmp_path, 38, report(38, message="3 events, expected from 9 to 10"))
    assert one == two


def test_versions_and_small_numbers_stay_in_the_reason(tmp_path: Path) -> None:
    found = judged(tmp_path, 65, report(65, 33), ["Alg   FATAL no tag 3 in 23.0.53"])
    assert "no tag 3 in 23.0.53" in found.reason


def test_a_reason_is_one_line_of_bearable_length(tmp_path: Path) -> None:
    found = judged(tmp_path, 65, report(65, 33), [f"Alg   FATAL {'word ' * 500}"])
    assert len(found.reason) <= 300
    assert "\n" not in found.reason


def test_a_log_elsewhere_is_named_without_its_folder(tmp_path: Path) -> None:
    log = tmp_path / "log.elsewhere"
    log.write_text("Alg   FATAL no\n")
    found = classify(step="s", exit_code=65, report=None, logs=[log], logs_root=tmp_path / "logs")
    assert found.where == "log.elsewhere:1"


def test_no_log_at_all_is_no_hindrance(tmp_path: Path) -> None:
    found = classify(step="s", exit_code=65, report=None, logs=[], logs_root=tmp_path)
    assert (found.outcome, found.failure, found.where) == (PAYLOAD_FAILED, ONCE_MORE, "")


def test_too_few_and_too_many_events_make_an_output_invalid() -> None:
    few, none, many = (short_output("s", got, 9, 10) for got in (8, 0, 11))
    assert {(f.outcome, f.failure) for f in (few, none, many)} == {(OUTPUT_INVALID, ONCE_MORE)}
    assert len({f.reason for f in (few, none, many)}) == 3
    assert few == short_output("s", 3, 9, 10)


def test_what_the_engine_finds_itself_has_a_name() -> None:
    assert no_output("s", "HITS").outcome is OUTPUT_INVALID
    assert no_output("s", "HITS").reason.endswith(" HITS")
    bad = bad_output("s", "/a/job1/x.root is truncated", ["/a/job1"])
    assert (bad.outcome, bad.failure) == (OUTPUT_INVALID, ONCE_MORE)
    assert bad.reason.endswith(": .../x.root is truncated")
    failed = setup_failed("s", "asetup ended with code 1", where="s/s.log:3")
    assert (failed.outcome, failed.failure) == (SETUP_FAILED, PASSING)
    assert failed.where == "s/s.log:3"


@pytest.mark.parametrize("code", [2, 9, 15, 38, 65, 66, 69, 137, 251])
def test_a_reason_alone_is_enough_to_find_the_advice_again(tmp_path: Path, code: int) -> None:
    found = judged(tmp_path, code)
    assert advice_for(found.reason) == found.advice


def test_the_advice_for_an_unknown_code_follows_from_its_class(tmp_path: Path) -> None:
    found = judged(tmp_path, 99)
    assert advice_for(found.reason, found.outcome, found.failure) == found.advice


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (Outcome.NONE, Outcome.DONE)])
@pytest.mark.parametrize("failure", list(FailureClass))
def test_every_outcome_and_class_has_advice(outcome: Outcome, failure: FailureClass) -> None:
    advice = advice_for("s2608 ran longer than 60 s", outcome, failure)
    assert advice.endswith(".")


def test_a_time_limit_asks_for_time_and_a_lost_worker_for_its_host() -> None:
    assert "time" in advice_for("ran too long", Outcome.TIMED_OUT)
    assert "host" in advice_for("lost", Outcome.WORKER_LOST)
