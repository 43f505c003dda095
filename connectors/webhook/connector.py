"""WebhookConnector: the sandwich of payload and signature, send, and replies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from connectors.base import Connector, Destination, Fitted, Outcome, Reply, Request, SyncOptions, Verdict
from connectors.contract.layout import time_of_run
from connectors.contract.records import SyncRecord
from connectors.webhook.config import ADVISED_BYTES, LIMITS, WebhookOptions, checked_endpoint, secrets_of
from connectors.webhook.payload import event, event_id
from connectors.webhook.replies import read_reply
from connectors.webhook.signature import signatures

# All are as long.
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


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
        size_bytes = len(event(record, _ANY_TIME))
        if size_bytes > self.limits.max_bytes:
            return Fitted(None, Outcome(Verdict.REJECTED, "too_large", _too_large(size_bytes, self.limits.max_bytes)))
        return Fitted(record, warnings=("over_20_kb",) if size_bytes > ADVISED_BYTES else ())

    def requests(
        self, records: Sequence[SyncRecord], options: SyncOptions, retired: Sequence[str] = (), *, run_id: str
    ) -> list[Request]:
        """See Connector. Ids and bodies are those of every other try; time and signature are this one's."""
        at, now_s = time_of_run(run_id), int(self._clock())
        bodies = [event(record, at) for record in records]
        return [self._request(body, event_id(run_id, body), position, now_s) for position, body in enumerate(bodies)]

    def outcomes(self, reply: Reply, sent: Sequence[SyncRecord]) -> list[Outcome]:
        """See Connector."""
        return read_reply(reply, sent=len(sent), now_s=self._clock())

    def _request(self, body: bytes, name: str, position: int, timestamp: int) -> Request:
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
