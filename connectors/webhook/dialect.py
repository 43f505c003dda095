"""How a receiver of webhooks answers, for the contract suite.

Source: Standard Webhooks 1.0.0, "Deliverability and reliability", read 2026-11-21.
"""

from __future__ import annotations

from connectors.base import Reply
from connectors.dialect import Dialect

DIALECT = Dialect(
    endpoint="https://hooks.example.com/recommendations",
    secret="whsec_" + "Y2FuYXJ5" * 4,
    answer=lambda sent, refused: Reply(422 if refused else 204),
    throttled=Reply(429, {"retry-after": "7"}),
    wait_s=7.0,
    attempt_headers=frozenset({"webhook-timestamp", "webhook-signature"}),
)
