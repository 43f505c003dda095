"""What meets at a user, as Python sees it, and how it travels through Spark.

Spark looks at who, what and where. A list and a row of the snapshot are of no use to it, so each travels packed, as
bytes: many columns and lists of texts would be taken apart and put together again several times on the way.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

_NOT_TOLD: tuple[Any, ...] = (None,) * 6
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
    op: str | None = None
    fingerprint: int | None = None
    sent_in: int | None = None
    sent_at: datetime | None = None
    rejections: int | None = None
    is_marked: bool | None = None


@functools.lru_cache
def _time(us: int) -> datetime:
    """Microseconds since 1970 as a time. All of a run were sent at one."""
    return _EPOCH + timedelta(microseconds=us)


def packed_list(item_ids: Sequence[str], scores: Sequence[float] | None) -> bytes:
    """A list as it travels."""
    return orjson.dumps((item_ids, scores))


def packed_told(
    op: str,
    item_ids: Sequence[str] | None,
    fingerprint: int | None,
    sent_in: int | None,
    sent_at: int | None,
    rejections: int | None,
    is_marked: bool | None,
) -> bytes:
    """A row of the snapshot as it travels, but for whose it is.

    Args:
        sent_at: In microseconds since 1970, UTC: as Parquet keeps a time.
    """
    return orjson.dumps((item_ids, op, fingerprint, sent_in, sent_at, rejections, is_marked))


def unpacked(rows: Iterable[Sequence[Any]]) -> Iterator[Meeting]:
    """Rows of `schemas.MEETING` as they come from Spark."""
    for *where, listed, told, text, reason in rows:
        item_ids, scores = (None, None) if listed is None else orjson.loads(listed)
        was = _NOT_TOLD
        if told is not None:
            item_ids, op, fingerprint, sent_in, at, *rest = orjson.loads(told)
            was = (op, fingerprint, sent_in, None if at is None else _time(at), *rest)
        yield Meeting._make((*where, item_ids, scores, text, reason, *was))
