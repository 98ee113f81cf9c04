"""Logs of athena: the lines that tell why a step failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.athena.logs import LogLine, Sign, first_errors


def log(directory: Path, *lines: str, name: str = "log.EVNTtoHITS") -> Path:
    path = directory / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def first(path: Path) -> LogLine:
    return next(iter(first_errors([path]).values()))


@pytest.mark.parametrize(
    ("level", "sign"),
    [
        ("ERROR", Sign.ERROR),
        ("CRITICAL", Sign.FATAL),
        ("FATAL", Sign.FATAL),
        ("CATASTROPHE", Sign.FATAL),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "IOVDbSvc           {} cannot read folder",
        "IOVDbSvc {} cannot read folder",
        "12:01:02 IOVDbSvc     {} cannot read folder",
        "AthenaHiveEventLoopMgr   12 0   {} cannot read folder",
        "PyAthena.trf 2024-05-01 12:00:00,123 {} cannot read folder",
        "ToolSvc.Very.LongNameOfATo...   {} cannot read folder",
    ],
)
def test_a_message_of_a_bad_level_is_an_error(
    tmp_path: Path, form: str, level: str, sign: Sign
) -> None:
    line = first(log(tmp_path, "Py:Athena   INFO starts", form.format(level)))
    assert (line.number, line.sign) == (2, sign)
    assert line.text.endswith(f"{level} cannot read folder")


@pytest.mark.parametrize(
    "line",
    [
        "Py:Athena          INFO set ERROR threshold: FATAL is an ERROR",
        "IOVDbSvc           INFO ERROR handling is on",
        "IOVDbSvc   3 0 WARNING  FATAL would follow: database is locked",
        "Py:Sim_tf    DEBUG std::bad_alloc is searched for",
        "Alg   VERBOSE No space left on device",
        "PyJobTransforms.exe 2024-05-01 12:00:00,1 INFO no ERROR, no Core dump from CoreDumpSvc",
        "there was no ERROR in this",
        "No ERROR found",
        "0 ERRORS, 0 FATALS",
        "TERROR FATALITY",
        "INFO:    Could not find any nv files: failed to mount nothing",
        "-------- WWWW ------- G4Exception-START -------- WWWW -------",
        "Py:Athena          INFO leaving with code 0: 'successful run'",
        "",
    ],
)
def test_a_line_that_only_mentions_an_error_is_none(tmp_path: Path, line: str) -> None:
    assert first_errors([log(tmp_path, line)]) == {}


@pytest.mark.parametrize(
    ("line", "sign"),
    [
        ("AtlasSetup(FATAL): release 1.2.3 not found", Sign.SETUP),
        ("terminate called after throwing an instance of 'std::bad_alloc'", Sign.NO_MEMORY),
        ("FATAL out of memory: taking the application down", Sign.NO_MEMORY),
        ("Athena     FATAL out of memory", Sign.NO_MEMORY),
        ("MemoryError", Sign.NO_MEMORY),
        ("cp: error writing 'x': No space left on device", Sign.NO_SPACE),
        ("Error in <TFile::ReadBuffer>: error reading all requested bytes", Sign.FILE_SYSTEM),
        ("Error in <TFile::WriteBuffer>: error writing to file", Sign.FILE_SYSTEM),
        ("TFile::ReadBuffer    ERROR error reading", Sign.FILE_SYSTEM),
        ("ls: cannot access '/data': Stale file handle", Sign.FILE_SYSTEM),
        ("open: Stale NFS file handle", Sign.FILE_SYSTEM),
        ("sqlite3.OperationalError: database is locked", Sign.DATABASE_LOCKED),
        ("CORAL/frontier  Error Cannot find a valid frontier connection", Sign.FRONTIER),
        ("warn  [frontier.c:1014]: Request 1 on chan 1 failed", Sign.FRONTIER_WARNING),
        ("warn [frontier.c:1014]: Request 1 on chan 1 failed", Sign.FRONTIER_WARNING),
        (
            "FATAL:   container creation failed: mount hook function failure: mount /proc/self",
            Sign.CONTAINER,
        ),
        ("ERROR  : Failed to mount squashfs image", Sign.CONTAINER),
        ("Core dump from CoreDumpSvc on tev03", Sign.CRASH),
        ("Sim_tf.py: error: unrecognized arguments: --foo", Sign.ERROR),
        ("PyJobTransforms.transform.execute 2024-05-01 12:00:00,1 CRITICAL no", Sign.TRANSFORM),
    ],
)
def test_a_special_line_is_known(tmp_path: Path, line: str, sign: Sign) -> None:
    found = first(log(tmp_path, "first", line))
    assert (found.sign, found.number) == (sign, 2)


def test_the_first_line_of_each_sign_is_given_the_most_telling_first(tmp_path: Path) -> None:
    path = log(tmp_path, "Alg   ERROR one", "Alg   ERROR two", "Svc   FATAL three", "Svc   FATAL 4")
    assert [(line.number, line.text) for line in first_errors([path]).values()] == [
        (3, "Svc FATAL three"),
        (1, "Alg ERROR one"),
    ]


def test_the_first_of_several_logs_is_believed(tmp_path: Path) -> None:
    one = log(tmp_path, "Alg   ERROR one", name="log.one")
    two = log(tmp_path, "Alg   ERROR two", "Alg   FATAL three", name="log.two")
    found = first_errors([one, two])
    assert found[Sign.ERROR].path == one
    assert found[Sign.FATAL].path == two


@pytest.mark.parametrize("prefix", ["", "13:13:13 "])
@pytest.mark.parametrize(
    "head",
    [
        "Shortened traceback (most recent user call last):",
        "Traceback (most recent call last):",
    ],
)
def test_a_traceback_is_told_by_its_last_line(tmp_path: Path, head: str, prefix: str) -> None:
    lines = [
        head,
        '  File "/x/skeleton.py", line 22, in <module>',
        "    import foo",
        "ImportError: No module named foo",
        "Py:Athena            INFO leaving with code 3",
    ]
    path = log(tmp_path, *(prefix + line for line in lines))
    line = first(path)
    assert (line.sign, line.number, line.text) == (
        Sign.TRACEBACK,
        4,
        "ImportError: No module named foo",
    )


def test_a_traceback_for_want_of_room_tells_of_the_room(tmp_path: Path) -> None:
    path = log(
        tmp_path, "Traceback (most recent call last):", "  x", "OSError: No space left on device"
    )
    assert first(path).sign is Sign.NO_SPACE


def test_a_traceback_that_is_cut_off_still_tells_of_itself(tmp_path: Path) -> None:
    line = first(log(tmp_path, "Traceback (most recent call last):", "  File x"))
    assert (line.sign, line.number) == (Sign.TRACEBACK, 1)


def test_a_core_dump_tells_of_its_signal(tmp_path: Path) -> None:
    path = log(
        tmp_path,
        "Core dump from CoreDumpSvc on tev03 at Mon",
        "",
        "Caught signal 11(Segmentation fault). Details: ",
        "  signal address = 0x7f12",
    )
    line = first(path)
    assert line.number == 1
    assert "Caught signal 11(Segmentation fault)" in line.text


def test_a_g4exception_tells_of_its_code_and_its_origin(tmp_path: Path) -> None:
    path = log(
        tmp_path,
        "-------- EEEE ------- G4Exception-START -------- EEEE -------",
        "*** G4Exception : GeomNav0003",
        "      issued by : G4Navigator::ComputeStep()",
        "Track 17 is stuck",
    )
    line = first(path)
    assert line.sign is Sign.GEANT4
    assert line.text == "G4Exception GeomNav0003 issued by G4Navigator::ComputeStep()"


def test_a_line_behind_an_unfinished_entry_is_not_lost(tmp_path: Path) -> None:
    path = log(tmp_path, "Core dump from CoreDumpSvc", "Alg   FATAL one", *["x"] * 50)
    assert set(first_errors([path])) == {Sign.CRASH, Sign.FATAL}


@pytest.mark.parametrize("place", ["head", "tail"])
def test_a_long_log_is_searched_at_both_ends_and_lines_are_counted(
    tmp_path: Path, place: str
) -> None:
    lines = [f"Alg   INFO event {i:06d}" for i in range(5000)]
    number = 5 if place == "head" else 4990
    lines[number - 1] = "Alg   FATAL gone"
    found = first_errors([log(tmp_path, *lines)], part=2000)
    assert found[Sign.FATAL].number == number


def test_the_middle_of_a_long_log_is_not_read(tmp_path: Path) -> None:
    lines = [f"Alg   INFO event {i:06d}" for i in range(5000)]
    lines[2500] = "Alg   FATAL gone"
    assert first_errors([log(tmp_path, *lines)], part=2000) == {}


def test_a_line_without_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 1_000_000 + b" Alg   FATAL no\n" + b"Alg   ERROR yes\n")
    line = first(path)
    assert (line.sign, line.number) == (Sign.ERROR, 2)


def test_any_bytes_become_one_printable_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\x00\xff\n" + b"Alg   ERROR b\xffd\x1b[31m\tthing\x00\r\n")
    line = first(path)
    assert line.number == 2
    assert line.text.isprintable()
    assert line.text.startswith("Alg ERROR b")


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    assert first_errors([tmp_path, tmp_path / "none"]) == {}


@given(st.binary(max_size=300))
def test_no_bytes_break_the_search(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.log"
    path.write_bytes(content + b"\nAlg   FATAL end")
    first_errors([path], part=50)
    assert Sign.FATAL in first_errors([path])
