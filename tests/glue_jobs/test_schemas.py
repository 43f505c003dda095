"""Seams: what is said twice, in Spark's words and in ours, has to agree."""

from pyspark.sql.pandas.types import to_arrow_schema

from glue_jobs.item_lines import Wanted, parse_item
from glue_jobs.meeting import Meeting
from glue_jobs.schemas import BATCH_LINE, ITEM, MEETING, POSITION, USER
from glue_jobs.tables import USER_ARROW


def snake(name):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def test_a_meeting_is_a_row_of_its_schema_field_by_field():
    assert [snake(field.name) for field in MEETING] == list(Meeting._fields)


def test_the_snapshot_reads_back_as_it_was_written():
    assert to_arrow_schema(USER).names == USER_ARROW.names
    assert [str(t).replace("element", "item") for t in to_arrow_schema(USER).types] == [
        str(t).replace("element", "item") for t in USER_ARROW.types
    ]


def test_every_column_of_the_snapshot_comes_to_the_meeting():
    assert set(USER.names) <= set(MEETING.names)


def test_parsers_give_what_their_schema_says_before_the_position():
    assert len(parse_item(b'{"id":"1"}', Wanted([]))) == len(parse_item(b"{", Wanted([]))) == len(ITEM) - len(POSITION)
    assert BATCH_LINE.names[-len(POSITION) :] == ITEM.names[-len(POSITION) :] == [field.name for field in POSITION]
