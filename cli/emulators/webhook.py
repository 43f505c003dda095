"""A receiver of Standard Webhooks on loopback, as careful as a good one should be.

with WebhookEmulator(secret="whsec_...") as webhook:
    requests.post(webhook.endpoint, ...)
    webhook.receiver.users["ann"]

Source: Standard Webhooks 1.0.0, "Signature scheme" and "Verifying webhook authenticity", read 2026-11-21.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from threading import Lock
from typing import Any

from cli.emulators.faults import FaultPlan
from cli.emulators.server import Emulator, Manners, Said

PATH = "/hooks/recommendations"
TOLERANCE_S = 300


class WebhookReceiver:
    """What a receiver knows. Safe to call from many threads.

    An event is a repeat when it has the id of the user's last one. An id of longer ago says nothing: what
    was recommended then may be recommended again.

    Attributes:
        users: User id → the data of his last event; a clear takes him out.
        events: Genuine events heard, repeats included.
        repeats: Events that were heard before.
        refused: Calls that were not genuine, or not an event.
    """

    def __init__(self, secret: str) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.events = self.repeats = self.refused = 0
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._last_ids: dict[str, str] = {}
        self._lock = Lock()

    def receive(self, headers: Mapping[str, str], body: bytes, now_s: float) -> int:
        """Take one call, and answer with a status."""
        given = {name.lower(): value for name, value in headers.items()}
        event = _event(body)
        status = 401 if not self._is_genuine(given, body, now_s) else 400 if event is None else 204
        with self._lock:
            if event is None or status != 204:
                self.refused += 1
            else:
                self._take(event["data"], given["webhook-id"])
        return status

    def _is_genuine(self, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
        """Whether one of the signatures is ours, and the call is of now. Compared in constant time."""
        name, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        signed = f"{name}.{timestamp}.".encode() + body
        expected = b"v1," + base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest())
        given = headers.get("webhook-signature", "").encode().split(b" ")
        is_signed = any(hmac.compare_digest(expected, one) for one in given)
        is_now = len(timestamp) < 12 and timestamp.isdecimal() and abs(now_s - int(timestamp)) <= TOLERANCE_S
        return is_signed and is_now and name != ""

    def _take(self, data: dict[str, Any], event_id: str) -> None:
        user_id = data["userId"]
        self.events += 1
        if self._last_ids.get(user_id) == event_id:
            self.repeats += 1
            return
        self._last_ids[user_id] = event_id
        if data["op"] == "clear":
            self.users.pop(user_id, None)
        else:
            self.users[user_id] = data


def _event(body: bytes) -> dict[str, Any] | None:
    """The event, or None for what is none of ours."""
    try:
        event = json.loads(body)
        is_known = event["type"] in ("recommendations.updated", "recommendations.cleared")
        is_whole = isinstance(event["timestamp"], str) and {"userId", "op"} <= event["data"].keys()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return event if is_known and is_whole else None


class WebhookEmulator(Emulator):
    """A server that runs while the context is open.

    Attributes:
        receiver: What came in.
        endpoint: The address to call.
    """

    def __init__(self, secret: str, faults: FaultPlan | None = None) -> None:
        self.receiver = WebhookReceiver(secret)
        manners = Manners(
            path=PATH,
            take=lambda headers, body: Said(self.receiver.receive(headers, body, time.time())),
            throttled=Said(429, headers={"Retry-After": "1"}),
        )
        super().__init__(manners, faults)
        self.endpoint = self.origin + PATH
