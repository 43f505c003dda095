"""BrazeConnector: the sandwich of payload, send and replies."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from connectors.base import Connector, Destination, Fitted, Outcome, Reply, Request, SyncOptions
from connectors.braze.billing import data_points
from connectors.braze.config import LIMITS, BrazeOptions, checked_api_key, checked_endpoint
from connectors.braze.fit import fit
from connectors.braze.payload import attributes_object, written
from connectors.braze.replies import read_reply
from connectors.contract.records import SyncRecord
from connectors.packing import pack

_HEAD, _TAIL = b'{"attributes":[', b"]}"


class BrazeConnector(Connector):
    """Users' custom attributes, by POST /users/track."""

    name = "braze"
    limits = LIMITS
    options_model = BrazeOptions
    endpoint_variable = "BRAZE_REST_ENDPOINT"
    secret_variable = "BRAZE_API_KEY"  # noqa: S105 - a name, not a key

    def __init__(self, destination: Destination) -> None:
        endpoint = checked_endpoint(destination.endpoint, allow_loopback=destination.allow_loopback)
        self._url = f"{endpoint}/users/track"
        key = checked_api_key(destination.secret)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def fit(self, record: SyncRecord, options: SyncOptions) -> Fitted:
        """See Connector."""
        return fit(record, _braze(options))

    @classmethod
    def billed(cls, record: SyncRecord, options: SyncOptions, retired: Sequence[str] = ()) -> Mapping[str, int]:
        """See Connector. Data points."""
        return data_points(attributes_object(record, _braze(options), retired))

    def requests(
        self, records: Sequence[SyncRecord], options: SyncOptions, retired: Sequence[str] = (), *, run_id: str = ""
    ) -> list[Request]:
        """See Connector."""
        own = _braze(options)
        pieces = (written(record, own, retired).whole() for record in records)
        groups = pack(
            pieces,
            max_count=self.limits.max_records,
            max_bytes=self.limits.max_bytes,
            overhead_bytes=len(_HEAD) + len(_TAIL),
        )
        return self._numbered(groups)

    def outcomes(self, reply: Reply, sent: Sequence[SyncRecord]) -> list[Outcome]:
        """See Connector."""
        return read_reply(reply, sent=len(sent), now_s=time.time())

    def _numbered(self, groups: Iterable[list[bytes]]) -> list[Request]:
        requests, start = [], 0
        for group in groups:
            sent = range(start, start + len(group))
            requests.append(Request(self._url, self._headers, b"%b%b%b" % (_HEAD, b",".join(group), _TAIL), sent))
            start = sent.stop
        return requests


def _braze(options: SyncOptions) -> BrazeOptions:
    if not isinstance(options, BrazeOptions):
        raise TypeError(f"Braze takes BrazeOptions, not {type(options).__name__}")
    return options
