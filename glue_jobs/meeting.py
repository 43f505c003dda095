"""What meets at a user, as Python sees it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class Meeting(NamedTuple):
    """One row of `schemas.MEETING`."""

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
