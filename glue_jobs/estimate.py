"""What sending a run's records costs at the destination, worked out from some of them. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.base import Connector, SyncOptions
from connectors.contract.manifest import MESSAGE_BYTES
from connectors.contract.records import SyncRecord
from connectors.contract.run_record import Estimate


def estimate(
    connector: type[Connector],
    options: SyncOptions,
    records: Sequence[Mapping[str, Any]],
    total: int,
    retired: Sequence[str] = (),
) -> Estimate:
    """The cost of `total` records that are like these; exact when these are all.

    Args:
        records: Some of them, as JSON data.
    """
    measured = [SyncRecord.model_validate(record) for record in records]
    units: Counter[str] = Counter()
    for record in measured:
        units.update(connector.billed(record, options, retired))
    share = total / len(measured) if measured else 0.0
    requests = math.ceil(total / _a_request(connector, measured)) if measured else 0
    rate = connector.limits.requests_a_minute
    return Estimate(
        measured=len(measured),
        requests=requests,
        minutes=round(requests / rate, 2) if rate else None,
        units={name: round(count * share) for name, count in sorted(units.items())},
    )


def _a_request(connector: type[Connector], records: Sequence[SyncRecord]) -> float:
    """How many such records a request holds: as many as may, unless they are too large for that, or for a message."""
    mean_bytes = sum(len(record.to_json().encode()) for record in records) / len(records)
    return max(1.0, min(connector.limits.max_records, min(connector.limits.max_bytes, MESSAGE_BYTES) / mean_bytes))
