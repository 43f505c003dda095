"""Seams: what is said twice, in Spark's words and in ours, has to agree."""

import inspect

from glue_jobs.inference import batch_row
from glue_jobs.meeting import Meeting
from glue_jobs.schemas import BATCH_LINE, MEETING, POSITION, USER
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


def test_a_line_of_the_batch_gives_what_its_schema_says_before_the_position():
    assert len(batch_row(b"{", "userId")) == len(BATCH_LINE) - len(POSITION)
    assert BATCH_LINE.names[-len(POSITION) :] == [field.name for field in POSITION]
