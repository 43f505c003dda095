"""What meets at a user, as Python sees it, and how it travels through Spark.

Spark looks at who, what and where. A list and a row of the snapshot are of no use to it, so each travels packed, as
bytes: many columns and lists of texts would be taken apart and put together again several times on the way.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

import orjson

from glue_jobs.delta import Op, Told

_EPOCH = datetime.fromtimestamp(0, UTC)


class Meeting(NamedTuple):
    """One row of `schemas.MEETING`, unpacked."""

    user_id: str | None
    kind: str
    is_line: bool
    rank: int | None = None
    file: str | None = None
    block: int | None = None
    row: int | None = None
    query_item_id: str | None = None
    item_ids: list[str] | None = None
    scores: list[float] | None = None
    text: str | None = None
    reason: str | None = None
    told: Told | None = None


def of_told(user_id: str, told: Told) -> Meeting:
    """A user's row of the snapshot, as it meets what is said of him today."""
    return Meeting(user_id, "told", False, told=told)


def told_of(
    op: str,
    item_ids: list[str] | None,
    fingerprint: int | None,
    sent_in: int | None,
    sent_at: int | None,
    rejections: int | None,
    is_marked: bool | None,
) -> Told:
    """A row of the snapshot, given its columns. Those that older releases did not write are null.

    Args:
        sent_at: In microseconds since 1970, UTC: as Parquet keeps a time.
    """
    return Told(
        cast(Op, op), item_ids or [], fingerprint, sent_in or 0, _time(sent_at or 0), rejections or 0, bool(is_marked)
    )


@functools.lru_cache
def _time(us: int) -> datetime:
    """Microseconds since 1970 as a time. All of a run were sent at one."""
    return _EPOCH + timedelta(microseconds=us)


def packed_list(item_ids: Sequence[str], scores: Sequence[float] | None) -> bytes:
    """A list as it travels."""
    return orjson.dumps((item_ids, scores))


def packed_told(columns: Sequence[Any]) -> bytes:
    """A row of the snapshot as it travels, but for whose it is: what `told_of` takes."""
    return orjson.dumps(columns)


def unpacked(rows: Iterable[Sequence[Any]]) -> Iterator[Meeting]:
    """Rows of `schemas.MEETING` as they come from Spark."""
    for *where, listed, told, text, reason in rows:
        item_ids, scores = (None, None) if listed is None else orjson.loads(listed)
        was = None if told is None else told_of(*orjson.loads(told))
        yield Meeting._make((*where, item_ids, scores, text, reason, was))
