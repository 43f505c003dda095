"""Who sent it, and that nobody changed it: the signature of Standard Webhooks 1.0.0. Pure.

Source: Standard Webhooks 1.0.0, "Signature scheme", read 2026-11-21.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def signatures(keys: Sequence[bytes], event_id: str, timestamp: int, body: bytes) -> str:
    """The value of webhook-signature: one signature a key, so that a receiver who knows either key is content.

    Args:
        timestamp: When this try is made, in seconds since 1970.
    """
    signed = b".".join([event_id.encode(), str(timestamp).encode(), body])
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
