"""How Braze answers, for the contract suite.

Source: Braze API reference, POST /users/track and "API errors and responses", read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from connectors.base import Reply
from connectors.braze.values import compact_json
from connectors.contract.records import SyncRecord
from connectors.dialect import Dialect


def _answer(sent: Sequence[SyncRecord], refused: Collection[int]) -> Reply:
    problem = {"type": "The value provided is not valid", "input_array": "attributes"}
    errors = {"errors": [problem | {"index": index} for index in refused]} if refused else {}
    if len(refused) == len(sent):
        return Reply(
            400, body=compact_json({"message": "Valid data must be provided in the 'attributes' field."} | errors)
        )
    processed = {"attributes_processed": len(sent) - len(refused)}
    return Reply(201, body=compact_json({"message": "success"} | processed | errors))


DIALECT = Dialect(
    endpoint="https://rest.iad-01.braze.com",
    secret="canary-4f1c-92ab-braze",  # noqa: S106 - made up
    answer=_answer,
    throttled=Reply(429, {"x-ratelimit-retry-after": "7"}, b'{"message":"Rate limit exceeded"}'),
    wait_s=7.0,
)
