"""What Braze answered → one Outcome per record. Pure.

Source: Braze API reference, POST /users/track and "API errors and responses", read 2026-11-21. The prose
of an error is passed on and never matched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.base import Outcome, Reply, Verdict, quoted
from connectors.errors import ConfigError

_EPOCH_FROM = 1e9  # X-RateLimit-Reset: two of Braze's pages disagree; above this it is a time, below it seconds


def read_reply(reply: Reply, *, sent: int, now_s: float) -> list[Outcome]:
    """What Braze said about each attributes object, in the order sent.

    Args:
        sent: How many objects the request held.
        now_s: The time, in seconds since 1970, to read a reset time by.

    Raises:
        ConfigError: Braze refused the key, the right or the host; no record is to blame.
    """
    if reply.status in (401, 403, 404):
        raise ConfigError(_REFUSED[reply.status])
    body = _body(reply)
    if reply.status == 201 and body.get("message") == "success":
        return _by_index(body, sent, otherwise=_unless_unnamed(body, sent))
    if reply.status in (400, 413):
        return _by_index(body, sent, otherwise=Outcome(Verdict.SPLIT, f"http_{reply.status}", _message(body)))
    if reply.status == 415:
        return [Outcome(Verdict.REJECTED, "http_415", _message(body))] * sent
    wait_s = _wait_s(reply.headers, now_s) if reply.status == 429 else None
    return [Outcome(Verdict.RETRY, _code(reply), _message(body), wait_s)] * sent


_REFUSED = {
    401: "Braze refused the API key (401): check the key, and that it belongs to this endpoint's instance",
    403: "Braze denied access (403): the key needs the permission users.track",
    404: "Braze does not know /users/track at this endpoint (404): check the REST endpoint",
}


def _body(reply: Reply) -> Mapping[str, Any]:
    """The answer's JSON object; empty for HTML, half an answer, or anything else."""
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _by_index(body: Mapping[str, Any], sent: int, otherwise: Outcome) -> list[Outcome]:
    """Objects named in `errors` are refused, the rest share one outcome. An index may repeat."""
    outcomes = [otherwise] * sent
    for error in _errors(body):
        index = _index(error, sent)
        if index is not None:
            outcomes[index] = Outcome(Verdict.REJECTED, "refused_by_braze", _prose(error))
    return outcomes


def _unless_unnamed(body: Mapping[str, Any], sent: int) -> Outcome:
    """Delivered, unless an error names none of ours: somebody was refused, and nobody can tell who.

    Refused rather than sent again: the same request would be answered in the same way.
    """
    unnamed = [error for error in _errors(body) if _index(error, sent) is None]
    return Outcome(Verdict.REJECTED, "refused_unnamed", _prose(unnamed[0])) if unnamed else Outcome(Verdict.DELIVERED)


def _errors(body: Mapping[str, Any]) -> Sequence[Any]:
    errors = body.get("errors") or []
    return errors if isinstance(errors, list) else [errors]


def _index(error: Any, sent: int) -> int | None:
    """Which object an error is about; None for the plain texts of older accounts, and for none that we sent."""
    if not isinstance(error, dict) or error.get("input_array", "attributes") != "attributes":
        return None
    index = error.get("index")
    return index if type(index) is int and 0 <= index < sent else None


def _prose(error: Any) -> str:
    return quoted(str(error.get("type", "") if isinstance(error, dict) else error))


def _message(body: Mapping[str, Any]) -> str:
    return quoted(str(body.get("message", "")))


def _code(reply: Reply) -> str:
    if reply.status == 0:
        return reply.failure or "no_reply"
    return "throttled" if reply.status == 429 else f"http_{reply.status}"


def _wait_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """How long to wait: X-Ratelimit-Retry-After in seconds, else X-RateLimit-Reset in either dialect."""
    for name in ("x-ratelimit-retry-after", "x-ratelimit-reset"):
        try:
            value = float(headers[name])
        except (KeyError, ValueError):
            continue
        if math.isfinite(value):
            return max(0.0, value - now_s if value > _EPOCH_FROM else value)
    return None
