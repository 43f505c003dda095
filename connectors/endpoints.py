"""What may be said aloud of an endpoint that somebody set."""

from __future__ import annotations

import re


def shown(endpoint: str) -> str:
    """Its scheme, host and port. The rest, or a text that is no address at all, may be a key."""
    origin = re.match(r"[a-z]+://[a-z0-9.-]+(:\d+)?", endpoint, re.IGNORECASE)
    return repr(origin[0][:120]) if origin and "@" not in endpoint else "(not shown, it may hold a key)"
