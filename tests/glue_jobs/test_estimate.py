"""What sending costs, worked out from some of the records."""

from __future__ import annotations

import pytest

from connectors.braze.config import BrazeOptions
from connectors.braze.connector import BrazeConnector
from glue_jobs.estimate import estimate


def upsert(size_bytes: int) -> dict[str, object]:
    return {"userId": "ann", "op": "upsert", "recommendations": [{"itemId": "1", "name": "ä" * (size_bytes // 2)}]}


@pytest.mark.parametrize(
    ("size_bytes", "requests"),
    [(10, 2), (12_000, 2), (20_000, 4), (2_000_000, 150)],
    ids=["as many as a request may hold", "just as many", "as many as a message holds", "one a message"],
)
def test_a_request_holds_what_destination_and_message_allow(size_bytes, requests):
    assert estimate(BrazeConnector, BrazeOptions(), [upsert(size_bytes)], 150).requests == requests


def test_nothing_to_send_costs_nothing():
    assert estimate(BrazeConnector, BrazeOptions(), [], 0).requests == 0
