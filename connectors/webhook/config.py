"""What a person sets for a webhook: where it may lead, and what a secret looks like.

Source: Standard Webhooks 1.0.0, standardwebhooks.com, "Webhook metadata", "Signature scheme" and
"Server side request forgery", read 2026-11-21.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from connectors.base import Limits, SyncOptions
from connectors.endpoints import shown
from connectors.errors import ConfigError
from connectors.keys import checked_key

# One event a request is the standard's; the size is ours: what one message of the queue comfortably holds.
LIMITS = Limits(max_records=1, max_bytes=256_000)
ADVISED_BYTES = 20_000  # what the standard recommends to stay below

_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret starts with
_SECRET_BYTES = range(24, 65)

_LOOPBACK = frozenset({"127.0.0.1", "localhost"})
_HOST = re.compile(r"(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])")
# Names that only a private network answers.
# Source: IANA, "Special-Use Domain Names", read 2026-11-21; ICANN resolution 2024.07.29.06 (internal).
_PRIVATE_NAMES = (
    "localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa",
    "test", "invalid", "onion",
)  # fmt: skip
# All that is assigned to hosts. Source: RFC 4291, "IPv6 addressing architecture", section 2.4.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


class WebhookOptions(SyncOptions):
    """The settings under `connectors.webhook` of config.json: those every connector has.

    The receiver is given records, so there are no attributes whose names we would have to know.
    """


def secrets_of(text: str) -> list[bytes]:
    """The signing keys, newest first; several, with spaces between, while one replaces another.

    Raises:
        ConfigError: One is not of the standard's form. The message shows none of them.
    """
    whole = checked_key(text, "the webhook secret (WEBHOOK_SECRET, or the function's secret)")
    keys = [_key(secret) for secret in whole.split()]
    if None in keys:
        raise ConfigError(
            "the webhook secret is not of the form whsec_<base64 of 24 to 64 bytes>; "
            "use the one the receiver was set up with, or two with a space between while one replaces the other"
        )
    return [key for key in keys if key is not None]


def _key(secret: str) -> bytes | None:
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if secret.startswith(_SECRET_PREFIX) and len(key) in _SECRET_BYTES else None


def checked_endpoint(endpoint: str, *, allow_loopback: bool) -> str:
    """The receiver's address, put together anew from its parts, once it is known to lead to a public host.

    Only the text is judged: no name is looked up here, so a public name may still resolve to a private address.

    Raises:
        ConfigError: It is not https, or its host is not public. Its path and query are not shown: they may be a key.
    """
    parts = _split(endpoint)
    host, port = parts.hostname or "", parts.port
    rest = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https" and _is_public(host):
        named = f"[{host}]" if ":" in host else host
        return f"https://{named}{f':{port}' if port else ''}{rest}"
    if allow_loopback and parts.scheme == "http" and host in _LOOPBACK and port:
        return f"http://{host}:{port}{rest}"
    raise ConfigError(
        f"webhook endpoint {shown(endpoint)} is not a public https address; "
        "use one such as https://hooks.example.com/recommendations, without a user name or a fragment"
    )


def _split(endpoint: str) -> SplitResult:
    """The parts of an address; of one that two readers could read in two ways, none."""
    nothing = urlsplit("")
    if not re.fullmatch(r"[!-~]+", endpoint) or "\\" in endpoint or "#" in endpoint:
        return nothing
    try:
        parts = urlsplit(endpoint)
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        return nothing
    return parts if is_port and "@" not in parts.netloc else nothing


def _is_public(host: str) -> bool:
    try:
        return _is_public_address(ipaddress.ip_address(host))
    except ValueError:  # a name, or what some readers take for an address: 127.1, 2130706433
        is_name = _HOST.fullmatch(host) is not None
        return is_name and not any(host == name or host.endswith(f".{name}") for name in _PRIVATE_NAMES)


def _is_public_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is of the public internet itself, and not an address that carries another one inside."""
    if isinstance(address, ipaddress.IPv6Address):
        is_plain = address in _GLOBAL_UNICAST and not (address.sixtofour or address.teredo or address.scope_id)
        return is_plain and address.is_global
    return address.is_global and not (address.is_multicast or address.is_reserved)
