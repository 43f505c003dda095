"""One SyncRecord → the body of one event, and its id. Pure.

Source: Standard Webhooks 1.0.0, "Payload structure" and "Webhook metadata", read 2026-11-21.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from connectors.contract.records import SyncRecord

_TYPES = {"upsert": "recommendations.updated", "clear": "recommendations.cleared", "holdout": "recommendations.cleared"}


def event(record: SyncRecord, at: datetime) -> bytes:
    """The body: type, timestamp, and the record as it stands in the output.

    Args:
        at: When its run began, UTC: a record has no time of its own, and a retry has to say the same bytes.
    """
    return f'{{"type":"{_TYPES[record.op]}","timestamp":"{at:%Y-%m-%dT%H:%M:%SZ}","data":{record.to_json()}}}'.encode()


def event_id(run_id: str, body: bytes) -> str:
    """The event's id: the same for every try, and for no other event.

    The run is part of it. Were it made of the data alone, recommendations A, then B, then A again would give the third
    event the id of the first, and a receiver that knows it would leave the user with B.
    """
    return f"msg_{hashlib.sha256(run_id.encode() + body).hexdigest()[:32]}"
