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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Self

HOST, PATH = "127.0.0.1", "/hooks/recommendations"
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


class WebhookEmulator:
    """A server that runs while the context is open. Each call has a connection of its own, so none outlives it.

    Attributes:
        receiver: What came in.
        endpoint: The address to call.
    """

    def __init__(self, secret: str, port: int = 0) -> None:
        self.receiver = WebhookReceiver(secret)
        self._server = _Server(self.receiver, port)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.endpoint = f"http://{HOST}:{self._server.server_port}{PATH}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, receiver: WebhookReceiver, port: int) -> None:
        self.receiver = receiver
        super().__init__((HOST, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    wbufsize = -1  # head and body in one packet

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PATH or not length.isdecimal():
            self._answer(404 if self.path != PATH else 411)
            return
        body = self.rfile.read(int(length))
        self._answer(self.server.receiver.receive(dict(self.headers.items()), body, time.time()))

    def log_message(self, *_: Any) -> None:
        """Say nothing: what came in stands in the receiver."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
