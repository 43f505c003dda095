"""One SyncRecord → one Braze attributes object. Pure.

Source for what Braze does with nulls and arrays: Braze user guide, "Array of objects" and "Custom
attributes", read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connectors.braze.config import BrazeOptions
from connectors.contract.records import ITEM_ID, Item, SyncRecord


def attributes_object(record: SyncRecord, options: BrazeOptions, retired: Iterable[str] = ()) -> dict[str, Any]:
    """What Braze is told about one user: ``external_id`` and attributes.

    An upsert sets, a clear nulls everything we ever wrote, a holdout nulls it and sets the mark.
    """
    identity = {"external_id": record.user_id}
    if record.op == "upsert":
        return identity | _recommendations(record.recommendations or [], options) | options.other_attributes
    nulls = dict.fromkeys([*retired, *options.attribute_names()])
    mark = {f"{options.attribute_prefix}holdout": True} if record.op == "holdout" else {}
    return identity | nulls | mark


def _recommendations(items: list[Item], options: BrazeOptions) -> dict[str, Any]:
    names = options.recommendation_attributes()
    if options.payload_shape == "objects":
        return {names[0]: [_without_nulls(item) for item in items]}
    fields = (ITEM_ID, *options.item_fields())
    return {name: [_held_place(item.get(field)) for item in items] for name, field in zip(names, fields, strict=True)}


def _without_nulls(item: Item) -> Item:
    """One nested null makes Braze drop the whole attribute in silence."""
    return {key: value for key, value in item.items() if value is not None}


def _held_place(value: Any) -> Any:
    """Lists of one user stay aligned: what is missing is an empty text, never a shorter list."""
    return "" if value is None else value
