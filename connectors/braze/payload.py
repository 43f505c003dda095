"""One SyncRecord → one Braze attributes object. Pure.

Source for what Braze does with nulls and arrays: Braze user guide, "Array of objects" and "Custom
attributes", read 2026-11-21.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from connectors.braze.config import BrazeOptions
from connectors.contract.records import ITEM_ID, Item, SyncRecord


def attributes_object(record: SyncRecord, options: BrazeOptions, retired: Iterable[str] = ()) -> dict[str, Any]:
    """What Braze is told about one user: ``external_id`` and attributes.

    An upsert sets, a clear nulls everything we ever wrote, a holdout nulls it and sets the mark. Constants and
    the end of retired attributes stand only in whole records; one that ends a holdout ends all that are retired,
    which the holdout had nulled anyway.

    Args:
        retired: Attributes we once wrote that an upsert does not write, the mark of the holdout among them.
    """
    identity: dict[str, Any] = {"external_id": record.user_id}
    if options.update_existing_only:
        identity |= {"_update_existing_only": True}
    if record.op == "upsert":
        shown = _recommendations(record.recommendations or [], options, record.changed)
        return identity | (_whole(record, options, retired) if record.changed is None else {}) | shown
    nulls = dict.fromkeys([*retired, *options.attribute_names()])
    mark = {options.holdout_attribute(): True} if record.op == "holdout" else {}
    return identity | nulls | mark


def _whole(record: SyncRecord, options: BrazeOptions, retired: Iterable[str]) -> dict[str, Any]:
    """What only a whole record carries."""
    if record.ends_holdout:
        return dict.fromkeys([*retired, options.holdout_attribute()]) | options.other_attributes
    ended = dict.fromkeys(retired) if options.on_attribute_retired == "clear" else {}
    return ended | options.other_attributes


def _recommendations(items: list[Item], options: BrazeOptions, changed: Collection[str] | None) -> dict[str, Any]:
    """The attributes that hold the list; of one attribute a field, those whose field changed."""
    names = options.recommendation_attributes()
    if options.payload_shape == "objects":
        return {names[0]: [_without_nulls(item) for item in items]}
    fields = zip(names, (ITEM_ID, *options.item_fields()), strict=True)
    return {name: _column(items, field, options) for name, field in fields if changed is None or field in changed}


def _column(items: list[Item], field: str, options: BrazeOptions) -> list[Any]:
    """One field of all items. What is missing is an empty text, never a shorter list: the lists stay aligned.

    With ``rankPrefix`` every value is a text of its own, so Braze, which keeps such a list as a set, keeps all.
    """
    values = ["" if item.get(field) is None else item.get(field) for item in items]
    return [f"{rank}:{_text(value)}" for rank, value in enumerate(values, 1)] if options.rank_prefix else values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _without_nulls(item: Item) -> Item:
    """One nested null makes Braze drop the whole attribute in silence."""
    return {key: value for key, value in item.items() if value is not None}
