"""WebhookConnector: the sandwich of payload and signature, send, and replies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from connectors.base import Connector, Destination, Fitted, Outcome, Reply, Request, SyncOptions, Verdict
from connectors.contract.records import SyncRecord
from connectors.webhook.config import ADVISED_BYTES, LIMITS, WebhookOptions, checked_endpoint, secrets_of
from connectors.webhook.payload import event, event_id
from connectors.webhook.replies import read_reply
from connectors.webhook.signature import signatures


class WebhookConnector(Connector):
    """Signed events to a receiver of one's own, a record each."""

    name = "webhook"
    limits = LIMITS
    options_model = WebhookOptions
    endpoint_variable = "WEBHOOK_URL"
    secret_variable = "WEBHOOK_SECRET"  # noqa: S105 - a name, not a key

    def __init__(self, destination: Destination, clock: Callable[[], float] = time.time) -> None:
        self._url = checked_endpoint(destination.endpoint, allow_loopback=destination.allow_loopback)
        self._keys = secrets_of(destination.secret)
        self._clock = clock

    def fit(self, record: SyncRecord, options: SyncOptions) -> Fitted:
        """See Connector. Nothing is lost in silence, but a large event is refused by many a receiver."""
        size_bytes = len(event(record, self._clock()))
        if size_bytes > self.limits.max_bytes:
            return Fitted(None, Outcome(Verdict.REJECTED, "too_large", _too_large(size_bytes, self.limits.max_bytes)))
        return Fitted(record, warnings=("over_20_kb",) if size_bytes > ADVISED_BYTES else ())

    def requests(
        self, records: Sequence[SyncRecord], options: SyncOptions, retired: Sequence[str] = ()
    ) -> list[Request]:
        """See Connector. Ids and bodies are those of every other try of the day; time and signature are this one's."""
        now_s = self._clock()
        return [self._request(event(record, now_s), position, int(now_s)) for position, record in enumerate(records)]

    def outcomes(self, reply: Reply, sent: Sequence[SyncRecord]) -> list[Outcome]:
        """See Connector."""
        return read_reply(reply, sent=len(sent), now_s=self._clock())

    def _request(self, body: bytes, position: int, timestamp: int) -> Request:
        name = event_id(body)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(self._keys, name, timestamp, body),
        }
        return Request(self._url, headers, body, (position,))


def _too_large(size_bytes: int, max_bytes: int) -> str:
    sizes = f"{-(-size_bytes // 1000)} of {max_bytes // 1000} KB"
    return f"the event: {sizes}; lower recommendations.maxItems or list fewer itemMetadataFields"
