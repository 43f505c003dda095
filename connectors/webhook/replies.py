"""What the receiver answered → one Outcome per record. Pure.

Only the status counts. The body is passed over: it may be anything, what we sent included.

Source: Standard Webhooks 1.0.0, "Deliverability and reliability", read 2026-11-21; RFC 9110 section 10.2.3
(Retry-After) and 15 (status codes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from connectors.base import Outcome, Reply, Verdict
from connectors.errors import ConfigError

LONGEST_WAIT_S = 86_400.0

_REFUSED = {
    401: "the receiver refused the signature (401): check that WEBHOOK_SECRET is the receiver's",
    403: "the receiver denied access (403): check its secret, and whether it lets us in",
    404: "the receiver does not know this address (404): check the webhook's endpoint",
    405: "the receiver takes no POST at this address (405): check the webhook's endpoint",
    410: "the receiver disabled this webhook (410): enable it there, or take it out of config.json",
}
_LATER = frozenset({408, 425, 429})


def read_reply(reply: Reply, *, sent: int, now_s: float) -> list[Outcome]:
    """What the receiver said, for each record of the request.

    Args:
        now_s: The time, in seconds since 1970, to read a date in Retry-After by.

    Raises:
        ConfigError: The receiver refused the address or the signature; no record is to blame.
    """
    if reply.status in _REFUSED:
        raise ConfigError(_REFUSED[reply.status])
    if 200 <= reply.status < 300:
        return [Outcome(Verdict.DELIVERED)] * sent
    if 400 <= reply.status < 500 and reply.status not in _LATER:
        reason = f"the receiver refused the event ({reply.status}); its own log says why"
        return [Outcome(Verdict.REJECTED, f"http_{reply.status}", reason)] * sent
    wait_s = _wait_s(reply.headers, now_s)
    return [Outcome(Verdict.RETRY, _code(reply), retry_after_s=wait_s)] * sent


def _code(reply: Reply) -> str:
    if reply.status == 0:
        return reply.failure or "no_reply"
    return "throttled" if reply.status == 429 else f"http_{reply.status}"


def _wait_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """How long Retry-After asks us to wait, in seconds or as a date; None when it does not say."""
    asked = headers.get("retry-after", "")
    try:
        wait_s = float(asked) if _is_number(asked) else parsedate_to_datetime(asked).timestamp() - now_s
    except (ValueError, TypeError, IndexError, OverflowError):  # what the parser raises for what is no date
        return None
    return min(max(0.0, wait_s), LONGEST_WAIT_S) if math.isfinite(wait_s) else None


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdecimal()
