"""Job reports of transforms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.athena.reports import JobReport, LoggedError, read_report

REPORT: dict[str, Any] = {
    "cmdLine": "Reco_tf.py --inputHITSFile x",
    "created": "2024-05-01T12:00:00",
    "executor": [
        {"name": "HITtoRDO", "rc": 0, "statusOK": True, "errMsg": "", "logfileReport": {}},
        {
            "name": "RAWtoALL",
            "rc": 65,
            "statusOK": False,
            "errMsg": "Non-zero return code from RAWtoALL (65)",
            "exeConfig": {"inputs": ["RDO"], "outputs": ["AOD"], "substep": "r2a"},
            "logfileReport": {
                "countSummary": {"ERROR": 2, "FATAL": 1},
                "details": {
                    "ERROR": [
                        {"message": "Late ERROR two", "firstLine": 9, "count": 1},
                        {"message": "Early ERROR one", "firstLine": 3, "count": 4},
                    ],
                    "FATAL": [{"message": "Alg FATAL gone", "firstLine": 12, "count": 1}],
                    "WARNING": [{"message": "Alg WARNING well", "firstLine": 1, "count": 1}],
                },
            },
        },
    ],
    "exitAcronym": "TRF_EXEC_FAIL",
    "exitCode": 65,
    "exitMsg": "Non-zero return code from RAWtoALL (65)",
    "exitMsgExtra": "see the log",
    "files": {
        "input": [{"type": "HITS", "nentries": 10, "subFiles": [{"name": "/d/in.root"}]}],
        "output": [
            {
                "type": "AOD",
                "argName": "outputAODFile",
                "subFiles": [{"name": "out.root", "file_guid": "A", "nentries": 9}],
            },
            {"type": "RDO", "argName": "outputRDOFile", "subFiles": [{"name": "r.root"}]},
        ],
    },
    "name": "Reco_tf",
    "reportVersion": "2.1.2",
    "resource": {
        "executor": {
            "HITtoRDO": {"cpuTime": 3, "wallTime": 4, "memory": {"Max": {"rss": 2000000}}},
            "RAWtoALL": {"cpuTime": 5, "wallTime": 6, "memory": {"Max": {"rss": 3000000}}},
        },
        "transform": {"cpuTime": 10, "wallTime": 12, "processedEvents": 9},
    },
}


def written(directory: Path, content: object) -> Path:
    path = directory / "jobReport.json"
    path.write_text(json.dumps(content))
    return path


def read(directory: Path, content: object) -> JobReport:
    report = read_report(written(directory, content))
    assert report is not None
    return report


def test_a_report_tells_why_the_transform_failed(tmp_path: Path) -> None:
    report = read(tmp_path, REPORT)
    assert (report.exit_code, report.acronym) == (65, "TRF_EXEC_FAIL")
    assert report.message == "Non-zero return code from RAWtoALL (65): see the log"


def test_a_report_tells_how_each_substep_ended(tmp_path: Path) -> None:
    good, bad = read(tmp_path, REPORT).executors
    assert (good.name, good.rc, good.status_ok, good.errors) == ("HITtoRDO", 0, True, ())
    assert (bad.name, bad.rc, bad.status_ok, bad.substep) == ("RAWtoALL", 65, False, "r2a")
    assert bad.error_message == "Non-zero return code from RAWtoALL (65)"


def test_errors_come_the_worst_first_and_then_in_the_order_of_the_log(tmp_path: Path) -> None:
    assert read(tmp_path, REPORT).executors[1].errors == (
        LoggedError("FATAL", "Alg FATAL gone", 12),
        LoggedError("ERROR", "Early ERROR one", 3),
        LoggedError("ERROR", "Late ERROR two", 9),
    )


def test_outputs_are_found_by_type_and_by_argument(tmp_path: Path) -> None:
    report = read(tmp_path, REPORT)
    assert report.output("AOD") == report.output("outputAODFile") == (("out.root", 9),)
    assert report.output("RDO") == (("r.root", None),)
    assert report.output("ESD") == ()


def test_events_of_the_input_are_known_with_its_base_name(tmp_path: Path) -> None:
    report = read(tmp_path, REPORT)
    assert report.input_entries == 10
    assert report.inputs[0].files == (("in.root", 10),)


def test_events_of_several_files_are_added_up(tmp_path: Path) -> None:
    files = [{"name": "a", "nentries": 3}, {"name": "b", "nentries": 4}]
    content = {"exitCode": 0, "files": {"output": [{"type": "HITS", "subFiles": files}]}}
    assert read(tmp_path, content).outputs[0].entries == 7
    del files[0]["nentries"]
    assert read(tmp_path, content).outputs[0].entries is None


def test_resources_are_those_of_the_transform_and_the_largest_substep(tmp_path: Path) -> None:
    report = read(tmp_path, REPORT)
    assert (report.cpu_s, report.wall_s, report.max_rss_kb) == (10.0, 12.0, 3000000)


def test_resources_of_an_old_report_are_added_up_from_its_substeps(tmp_path: Path) -> None:
    content = dict(REPORT, resource={"executor": REPORT["resource"]["executor"]})
    report = read(tmp_path, content)
    assert (report.cpu_s, report.wall_s) == (8.0, 10.0)


def test_the_executor_that_failed_is_the_one_whose_code_says_so(tmp_path: Path) -> None:
    failed = read(tmp_path, REPORT).failed_executor()
    assert failed is not None
    assert failed.name == "RAWtoALL"


def test_a_substep_that_never_ran_has_no_code(tmp_path: Path) -> None:
    content = {"exitCode": 9, "executor": [{"name": "EVNTtoHITS", "rc": -1, "statusOK": False}]}
    assert read(tmp_path, content).executors[0].rc is None


def test_a_report_with_nothing_but_its_code_is_a_report(tmp_path: Path) -> None:
    assert read(tmp_path, {"exitCode": 0}) == JobReport(exit_code=0)


@pytest.mark.parametrize("key", [key for key in REPORT if key != "exitCode"])
def test_any_key_but_the_code_may_be_missing_or_of_another_kind(tmp_path: Path, key: str) -> None:
    for other in (None, 1, "text", [], {}, [None], {"input": 3, "executor": [1]}):
        assert read(tmp_path, {**REPORT, key: other}).exit_code == 65
    assert read(tmp_path, {k: v for k, v in REPORT.items() if k != key}).exit_code == 65


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"exitCode": 0',
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"exitAcronym": "OK"}',
        b'{"exitCode": "0"}',
        b'{"exitCode": null}',
        b'{"exitCode": true}',
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_relied_on_is_no_report(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "jobReport.json"
    path.write_bytes(text)
    assert read_report(path) is None


def test_no_file_is_no_report(tmp_path: Path) -> None:
    assert read_report(tmp_path / "jobReport.json") is None
    assert read_report(tmp_path) is None


def test_numbers_that_no_float_holds_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "jobReport.json"
    times = {"cpuTime": 10**400, "wallTime": float("nan")}
    memory = {"Max": {"rss": float("inf")}}
    resource = {"transform": times, "executor": {"a": {"memory": memory}}}
    path.write_text(json.dumps({"exitCode": 0, "resource": resource}))
    report = read_report(path)
    assert report is not None
    assert (report.cpu_s, report.wall_s, report.max_rss_kb) == (None, None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "rc", "subFiles", "nentries", "memory", "Max", "rss"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["executor", "files", "resource", "exitMsg"]), JSON))
def test_no_report_of_any_shape_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({**content, "exitCode": 3}))
    report = read_report(path)
    assert report is not None
    assert report.exit_code == 3
