"""What a person sets for Braze, and which endpoints are Braze's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, model_validator

from connectors.base import Limits, SyncOptions
from connectors.braze.values import LOSSES, MAX_CHARS, MAX_ELEMENTS, MAX_VALUE_BYTES, compact_json, is_key, loss_inside
from connectors.contract.records import ITEM_ID
from connectors.endpoints import shown
from connectors.errors import ConfigError
from connectors.keys import checked_key

# Source: Braze API reference, POST /users/track, "Rate limit" (75 objects of all kinds in one request) and
# user data endpoints (4 MB a request), read 2026-11-21. 5 % are kept free: Braze does not say what a MB is.
# The rate is that of contracts by data points: 3,000 requests in 3 seconds.
LIMITS = Limits(max_records=75, max_bytes=3_800_000, requests_a_minute=60_000)

# Source: Braze API reference, "API overview", table of instances, read 2026-11-21.
HOSTS = frozenset(
    [f"rest.iad-{number:02}.braze.com" for number in range(1, 9)]
    + [f"rest.{instance}.braze.com" for instance in ("us-10", "au-01", "id-01", "jp-01", "kr-01")]
    + [f"rest.fra-{number:02}.braze.eu" for number in (1, 2)]
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost"})

# Who is meant, how to apply the update, and the fields of the profile itself, which are no custom attributes.
# Source: Braze API reference, "User attributes object", read 2026-11-21.
_TAKEN = frozenset({
    "alias_label", "alias_name", "braze_id", "country", "current_location", "date_of_first_session",
    "date_of_last_session", "dob", "email", "email_click_tracking_disabled", "email_open_tracking_disabled",
    "email_subscribe", "external_id", "facebook", "first_name", "gender", "home_city", "language", "last_name",
    "marked_email_as_spam_at", "phone", "push_subscribe", "push_token_import", "push_tokens",
    "subscription_groups", "time_zone", "twitter", "user_alias", "_merge_objects", "_update_existing_only",
})  # fmt: skip


class BrazeOptions(SyncOptions):
    """The settings under `connectors.braze` of config.json.

    Attributes:
        attribute_prefix: Goes before the name of every attribute that holds recommendations.
        other_attributes: Constants for every whole record, by attribute name.
        payload_shape: ``objects``: one attribute ``<prefix>items``, an array of objects; a key without a
            value is left out, since Braze drops the whole attribute for one nested null. ``arrays``: one
            attribute a field, the shape of 2022; a missing value holds its place as an empty text.
            ``ids``: one attribute ``<prefix>itemId``.
        rank_prefix: With ``arrays``, send ``1:90.99`` in place of ``90.99``, so that equal values stay apart.
        on_oversize: What becomes of a list over what Braze keeps (100 KB an attribute, 500 elements of an array of
            plain values). ``reject`` refuses the record and says why in its receipt; ``trim`` sends as many items,
            from the best, as fit, counted as a warning.
        on_attribute_retired: What becomes of an attribute we once wrote and no longer write: ``keep`` leaves it,
            ``clear`` nulls it in whole records.
        update_existing_only: Never create a profile in Braze.
    """

    attribute_prefix: str = ""
    other_attributes: dict[str, JsonValue] = Field(default_factory=dict)
    payload_shape: Literal["objects", "arrays", "ids"] = "objects"
    rank_prefix: bool = False
    on_oversize: Literal["reject", "trim"] = "reject"
    on_attribute_retired: Literal["keep", "clear"] = "keep"
    update_existing_only: bool = False

    historic_defaults: ClassVar[Mapping[str, Any]] = {"payloadShape": "arrays"}

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        """A name of Braze's own would write every user's profile field, or send his update to another profile."""
        names = self.attribute_names()
        taken = _TAKEN.intersection(names)
        taken |= set(self.recommendation_attributes()).intersection(self.other_attributes)
        if taken:
            raise ValueError(
                f"attribute {', '.join(sorted(taken))} has a meaning already; choose another name or prefix"
            )
        if lost := [repr(name[:40]) for name in (*names, self.holdout_attribute()) if not _is_name(name)]:
            raise ValueError(
                f"attribute {', '.join(lost)}: Braze keeps names of 1 to {MAX_CHARS} characters that do not start "
                'with "$" and have no spaces around them; choose another name or prefix'
            )
        return self

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        """A field of the metadata is a key inside each of the objects."""
        if self.payload_shape == "objects" and (lost := [name for name in self.item_fields() if not is_key(name)]):
            raise ValueError(
                f"itemMetadataFields: Braze would drop {', '.join(repr(name[:40]) for name in lost)} in silence: "
                f"{LOSSES['bad_key']}"
            )
        return self

    @model_validator(mode="after")
    def _check_constants(self) -> Self:
        """What Braze would drop of one record it would drop of all."""
        for name, value in self.other_attributes.items():
            if loss := _loss_of_constant(value):
                raise ValueError(f"Braze would drop otherAttributes.{name} in silence: {loss}")
        return self

    def item_fields(self) -> list[str]:
        """See SyncOptions. Bare ids carry no metadata."""
        return [] if self.payload_shape == "ids" else super().item_fields()

    def recommendation_attributes(self) -> list[str]:
        """The attributes that hold recommendations."""
        if self.payload_shape == "objects":
            return [f"{self.attribute_prefix}items"]
        return [f"{self.attribute_prefix}{name}" for name in (ITEM_ID, *self.item_fields())]

    def attribute_names(self) -> list[str]:
        """See SyncOptions."""
        return [*self.recommendation_attributes(), *self.other_attributes]

    def holdout_attribute(self) -> str:
        """See SyncOptions."""
        return f"{self.attribute_prefix}holdout"


def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_CHARS and name == name.strip() and not name.startswith("$")


def _loss_of_constant(value: JsonValue) -> str:
    """Why Braze would not keep a constant; empty when it would. A plain null is a wish: it removes the attribute."""
    if value is None:
        return ""
    if isinstance(value, list) and len(value) > MAX_ELEMENTS:
        return f"an array of {len(value)} elements; {MAX_ELEMENTS} are kept"
    if len(compact_json(value)) > MAX_VALUE_BYTES:
        return f"over {MAX_VALUE_BYTES // 1000} KB; send less"
    code = loss_inside(value)
    return LOSSES[code] if code else ""


def checked_endpoint(endpoint: str, *, allow_loopback: bool) -> str:
    """The endpoint's origin, once it is known to be Braze's.

    The address is taken apart first and its host compared whole: a pattern over the text would also
    accept ``https://rest.iad-01.braze.com.attacker.example``.

    Raises:
        ConfigError: It is not one of Braze's REST hosts over https.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
        parts = urlsplit("")
    is_bare = not (parts.username or parts.password or parts.query or parts.fragment) and parts.path in ("", "/")
    if is_bare and "@" not in endpoint and "\\" not in endpoint:
        if parts.scheme == "https" and host in HOSTS and port in (None, 443):
            return f"https://{host}"
        if allow_loopback and parts.scheme == "http" and host in _LOOPBACK and port:
            return f"http://{host}:{port}"
    raise ConfigError(
        f"Braze endpoint {shown(endpoint)} is not one of Braze's REST endpoints; "
        "use the one of your instance, for example https://rest.iad-01.braze.com, with nothing behind the host"
    )


def checked_api_key(secret: str) -> str:
    """The API key itself, once a header can carry it.

    Raises:
        ConfigError: It is not a key alone. The message does not show it.
    """
    key = checked_key(secret, "the Braze API key (BRAZE_API_KEY, or the function's secret)")
    if " " in key:
        raise ConfigError("the Braze API key (BRAZE_API_KEY, or the function's secret) holds a blank; leave out Bearer")
    return key
