"""What travels through Spark packed comes out as it went in."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from glue_jobs.delta import Told
from glue_jobs.meeting import Meeting, packed_list, packed_told, unpacked

IDS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1))
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
WHERE = ("ann", "list", True, None, "a.out", 0, 7, "105")


@given(IDS, st.none() | st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_a_list_arrives_as_it_was_read(item_ids, scores):
    (found,) = unpacked([(*WHERE, packed_list(item_ids, scores), None, "text", "why")])
    assert found == Meeting(*WHERE, item_ids, scores, "text", "why")


@given(IDS, st.none() | st.integers(-(2**63), 2**63 - 1), TIMES, st.integers(0, 9), st.booleans())
def test_a_row_of_the_snapshot_arrives_as_it_was_kept(item_ids, fingerprint, at, rejections, is_marked):
    us = (at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    packed = packed_told(("upsert", item_ids, fingerprint, 3, us, rejections, is_marked))
    (found,) = unpacked([(*WHERE, None, packed, None, None)])
    assert found == Meeting(*WHERE, told=Told("upsert", item_ids, fingerprint, 3, at, rejections, is_marked))


def test_what_a_snapshot_never_knew_is_nothing():
    (found,) = unpacked([(*WHERE, None, packed_told(("gone", None, None, None, None, None, None)), None, None)])
    assert found.told == Told("gone", [], None, 0, datetime.fromtimestamp(0, UTC))


def test_a_line_without_a_list_has_none():
    (found,) = unpacked([(*WHERE, None, None, "text", "why")])
    assert found == Meeting(*WHERE, text="text", reason="why")
