"""What the bodies on the work queue say: that runs were published, or which part is to be enqueued. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from connectors.contract import layout


@dataclass(frozen=True)
class Announced:
    """What a body on the work queue announces.

    Attributes:
        manifests: Manifests that were written, as (bucket, key), in order.
        ignored: Events in it that are of no interest to us; a body that holds none counts as one.
    """

    manifests: tuple[tuple[str, str], ...]
    ignored: int


def announced(body: str) -> Announced:
    """The manifests that a body on the work queue announces. Whatever else it may be is ignored and counted.

    EventBridge tells of one object and carries its key as it is; an S3 notification tells of several, and their
    keys are URL-encoded.

    Raises:
        ValueError: The body is no JSON.

    Source: Amazon S3 user guide, "Event message structure" and "EventBridge event message structure", read 2026-11-22.
    """
    event: Any = json.loads(body)
    records = _at(event, "Records")
    places = [_place_in_record(one) for one in records] if isinstance(records, list) else [_place_in_event(event)]
    manifests = tuple(place for place in places if place is not None and _is_manifest(*place))
    return Announced(manifests, ignored=max(1, len(places)) - len(manifests))


def _place_in_event(event: Any) -> tuple[str, str] | None:
    """Bucket and key of an object that EventBridge says was written."""
    bucket, key = _at(event, "detail", "bucket", "name"), _at(event, "detail", "object", "key")
    is_written = _at(event, "detail-type") == "Object Created" and isinstance(bucket, str) and isinstance(key, str)
    return (bucket, key) if is_written else None


def _place_in_record(record: Any) -> tuple[str, str] | None:
    """Bucket and key of an object that an S3 notification says was written."""
    bucket, key = _at(record, "s3", "bucket", "name"), _at(record, "s3", "object", "key")
    is_written = str(_at(record, "eventName")).startswith("ObjectCreated:")
    return (bucket, unquote_plus(key)) if is_written and isinstance(bucket, str) and isinstance(key, str) else None


def _at(value: Any, *path: str) -> Any:
    """What stands at a path of keys; None where the path ends early."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_manifest(bucket: str, key: str) -> bool:
    try:
        layout.split_manifest_uri(f"s3://{bucket}/{key}")
    except layout.LayoutError:
        return False
    return True


def part_of_message(body: str) -> tuple[str, str] | None:
    """The manifest's address and the part's key, when the message is one of a fan-out.

    Raises:
        ValueError: The body is no JSON.
    """
    message = json.loads(body)
    if not isinstance(message, dict) or not {"manifest", "part"} <= message.keys():
        return None
    return str(message["manifest"]), str(message["part"])
