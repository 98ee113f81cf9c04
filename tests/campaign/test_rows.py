"""Tables that grow: by blocks, and nothing is lost between them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.campaign import rows as module
from hvmpi.campaign.rows import ATTEMPT_FIELDS, Rows, Span

FIELDS = [("job", "i4"), ("attempt", "u2"), ("wall_s", "f4"), ("exit_code", "i4"), ("time", "f8")]
ROWS = st.lists(
    st.tuples(
        st.integers(-(2**31), 2**31 - 1),
        st.integers(0, 2**16 - 1),
        st.floats(width=32, allow_nan=False),
        st.integers(-128, 255),
        st.floats(allow_nan=False),
    ),
    max_size=40,
)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", 8)
        yield


@given(ROWS, st.data())
def test_rows_are_those_of_an_array(values: list[tuple[float, ...]], data: st.DataObject) -> None:
    rows = Rows(FIELDS)
    assert [rows.append(*value) for value in values] == list(range(len(values)))
    expected = np.array(values, dtype=FIELDS)
    if values:
        changed = data.draw(st.integers(0, len(values) - 1))
        rows.write(Span(FIELDS, "attempt", "exit_code"), changed, 7, 1.5, -3)
        expected["attempt"][changed] = 7
        expected["wall_s"][changed] = 1.5
        expected["exit_code"][changed] = -3
        rows.set(changed, "job", 12)
        expected["job"][changed] = 12
        assert rows.value(changed, "wall_s") == 1.5
        numbers = data.draw(st.lists(st.integers(0, len(values) - 1)))
        assert np.array_equal(rows.take(np.array(numbers, dtype=np.int64)), expected[numbers])
    assert len(rows) == len(values)
    assert np.array_equal(np.asarray(rows), expected)
    assert [len(part) for part in rows.parts()] == [
        min(8, len(values) - first) for first in range(0, len(values), 8)
    ]


@pytest.mark.parametrize("value", [2**31, "1", None])
def test_what_does_not_fit_is_refused(value: object) -> None:
    rows = Rows(FIELDS)
    with pytest.raises(struct.error):
        rows.append(value, 1, 1.0, 0, 0.0)
    assert len(rows) == 0


def test_a_span_is_where_numpy_has_it() -> None:
    rows = Rows(ATTEMPT_FIELDS)
    row = rows.append(*range(len(ATTEMPT_FIELDS)))
    rows.write(Span(ATTEMPT_FIELDS, "outcome", "reason"), row, 9, 5, -1)
    found = np.asarray(rows)[0]
    assert [found[name] for name in ("signal", "outcome", "failure", "reason", "where")] == [
        9, 9, 5, -1, 13,
    ]  # fmt: skip
