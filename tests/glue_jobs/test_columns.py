from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_jobs.columns import plain

TEXTS, LISTS = pa.string(), pa.list_(pa.string())
VALUES = {
    TEXTS: st.text(st.characters(codec="utf-8")),
    pa.binary(): st.binary(),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    LISTS: st.lists(st.none() | st.text(st.characters(codec="utf-8"))),
    pa.list_(pa.float64()): st.lists(st.none() | st.floats(allow_nan=False)),
    pa.timestamp("us", tz="UTC"): st.just(datetime(2026, 11, 21, 4, 0, tzinfo=UTC)),
}


@pytest.mark.parametrize("kind", VALUES, ids=str)
def test_every_value_comes_back_as_it_was_with_its_own_type(kind):
    @given(st.lists(st.none() | VALUES[kind]))
    def check(values):
        found = plain(pa.array(values, kind))
        assert found == values
        assert list(map(type, found)) == list(map(type, values))

    check()


def test_a_slice_of_a_column_holds_its_own_values_only():
    column = pa.array([["1"], None, ["2", "3"], [], ["4"]], LISTS)
    assert plain(column[1:4]) == [None, ["2", "3"], []]


def test_what_stands_behind_a_null_list_is_not_taken_for_the_next_one():
    whole = pa.array([["1"], ["2"], ["3"]], LISTS)
    column = pa.ListArray.from_arrays(whole.offsets, whole.values, mask=pa.array([False, True, False]))
    assert plain(column) == [["1"], None, ["3"]]
