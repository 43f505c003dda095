"""Seams: what is said twice, in Spark's words and in ours, has to agree."""

import inspect

from glue_jobs.item_lines import Wanted, parse_item
from glue_jobs.meeting import Meeting
from glue_jobs.schemas import BATCH_LINE, ITEM, MEETING, POSITION, USER
from glue_jobs.tables import USER_ARROW, told_of


def snake(name):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def test_what_spark_looks_at_of_a_meeting_comes_first_and_in_order():
    seen = MEETING.names[: MEETING.names.index("list")]
    assert [snake(name) for name in seen] == list(Meeting._fields[: len(seen)])
    assert [*Meeting._fields[len(seen) :]][:4] == ["item_ids", "scores", "text", "reason"]


def test_a_row_of_the_snapshot_travels_whole():
    assert list(inspect.signature(told_of).parameters) == [snake(name) for name in USER_ARROW.names[1:]]
    assert set(USER.names) <= set(MEETING.names)


def test_parsers_give_what_their_schema_says_before_the_position():
    assert len(parse_item(b'{"id":"1"}', Wanted([]))) == len(parse_item(b"{", Wanted([]))) == len(ITEM) - len(POSITION)
    assert BATCH_LINE.names[-len(POSITION) :] == ITEM.names[-len(POSITION) :] == [field.name for field in POSITION]
