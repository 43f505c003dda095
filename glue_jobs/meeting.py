"""What meets at a user, as Python sees it, and how it travels through Spark.

Spark looks at who, what and where. A list and a row of the snapshot are of no use to it, so each travels packed, as
bytes: many columns and lists of texts would be taken apart and put together again several times on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from glue_jobs.delta import Told
from glue_jobs.tables import told_of


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
