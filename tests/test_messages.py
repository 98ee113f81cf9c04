"""What master and worker say to each other survives the way."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign.jobs import (
    NO_EVENT_FILE,
    EventFile,
    FailureClass,
    Job,
    Kind,
    Outcome,
    Output,
    StepResult,
)
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
    decode,
    encode,
)

TEXT = st.text()
# Names of files may hold bytes that are no UTF-8.
PATH = st.text(st.characters(exclude_characters="\0") | st.characters(categories=["Cs"]))
NUMBER = st.integers(-(2**63), 2**63 - 1)
SECONDS = st.floats(allow_nan=False)

FILE = st.builds(EventFile, path=PATH, sample=TEXT, run_number=NUMBER, batch=NUMBER, events=NUMBER,
                 first_event=NUMBER, stem=PATH, size=NUMBER, sha256=TEXT, number_from=NUMBER,
                 reason=TEXT)  # fmt: skip
JOB = st.builds(Job, number=NUMBER, kind=st.sampled_from(Kind), attempt=NUMBER, event_file=FILE,
                skip_events=NUMBER, first_event=NUMBER, events=NUMBER,
                job_size=NUMBER)  # fmt: skip
OUTPUTS = st.lists(st.builds(Output, TEXT, PATH, PATH, NUMBER, TEXT), max_size=3).map(tuple)
PARTS = st.dictionaries(TEXT, SECONDS, max_size=3)
STEPS = st.lists(
    st.builds(StepResult, TEXT, SECONDS, SECONDS, SECONDS, NUMBER, PARTS), max_size=3
).map(tuple)
VALUES = st.none() | st.booleans() | NUMBER | SECONDS | TEXT | st.lists(TEXT)

MESSAGES = st.one_of(
    st.builds(Welcome, PATH, TEXT, st.dictionaries(TEXT, VALUES)),
    st.builds(Hello, TEXT, NUMBER, TEXT, NUMBER),
    st.builds(Assign, JOB),
    st.builds(Report, NUMBER, NUMBER, st.sampled_from(Outcome), TEXT, SECONDS, NUMBER, NUMBER,
              NUMBER, OUTPUTS, STEPS, st.sampled_from(FailureClass), TEXT, SECONDS),
    st.builds(Stop, TEXT),
    st.builds(Cancel, NUMBER, NUMBER),
    st.builds(GiveBack, NUMBER, NUMBER),
    st.builds(Goodbye),
    st.builds(Alive),
)  # fmt: skip


@given(MESSAGES)
def test_decode_undoes_encode(message: Message) -> None:
    for together in ([message], [Alive(), message, message]):
        data = encode(together)
        for received in (data, bytearray(data)):
            again = decode(received)
            assert again == together
            assert [type(one) for one in again] == [type(one) for one in together]


@given(MESSAGES)
def test_nothing_on_the_way_can_run_code(message: Message) -> None:
    data = encode([message])
    ((name, *fields),) = json.loads(data) if data[:1] == b"[" else msgspec.msgpack.decode(data)
    assert name == type(message).__name__
    assert len(fields) == len(type(message).__struct_fields__)


@pytest.mark.parametrize(
    "wrong", [["Cancel", 1, "2"], ["Cancel", 1], ["Cancel", 1, 2, 3], ["?"], ["Cancel", 1.5, 2]]
)
def test_what_is_no_message_is_refused(wrong: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.msgpack.encode([wrong]))


def test_kinds_come_back_as_kinds() -> None:
    file = EventFile("evnt/1.evnt", "s", 1, 1, 5, 1, "1")
    (assign,) = decode(encode([Assign(Job(3, Kind.RECONSTRUCTION, 2, file, 0, 1, 5, 5))]))
    assert isinstance(assign, Assign)
    assert assign.job.kind is Kind.RECONSTRUCTION
    (report,) = decode(encode([Report(3, 2, Outcome.TIMED_OUT, "slow", 1.5, -15, 15, -1)]))
    assert isinstance(report, Report)
    assert report.outcome is Outcome.TIMED_OUT
    assert report.failure is FailureClass.NONE


def test_a_job_without_an_event_file_comes_back() -> None:
    job = Job(0, Kind.LIBRARY, 1, NO_EVENT_FILE, 0, 0, 30, 30)
    assert decode(encode([Assign(job)])) == [Assign(job)]
