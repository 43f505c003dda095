"""One SyncRecord → the body of one event, and its id. Pure.

Source: Standard Webhooks 1.0.0, "Payload structure" and "Webhook metadata", read 2026-11-21.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from connectors.contract.records import SyncRecord

_TYPES = {"upsert": "recommendations.updated", "clear": "recommendations.cleared", "holdout": "recommendations.cleared"}


def event(record: SyncRecord, now_s: float) -> bytes:
    """The body: type, timestamp, and the record as it stands in the output.

    A retry has to say the same bytes, and is made by another process that knows nothing but the record. A
    record has no time of its own, so the event's time is the day on which it is sent, at 00:00 UTC: the same
    for all tries of a day. A try after midnight is a new event, which a receiver hears as one update more.

    The day is there also for the id. Were it made of the data alone, recommendations A, then B, then A again
    would give the third event the id of the first, and a receiver that knows it would leave the user with B.
    """
    day = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT00:00:00Z")
    return f'{{"type":"{_TYPES[record.op]}","timestamp":"{day}","data":{record.to_json()}}}'.encode()


def event_id(body: bytes) -> str:
    """The event's id: the same for the same body, and for no other."""
    return f"msg_{hashlib.sha256(body).hexdigest()[:32]}"
