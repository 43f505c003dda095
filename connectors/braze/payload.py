"""One SyncRecord → one Braze attributes object. Pure.

Source for what Braze does with nulls and arrays: Braze user guide, "Array of objects" and "Custom
attributes", read 2026-11-21.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.braze.config import BrazeOptions
from connectors.braze.values import compact_json, loss_inside
from connectors.contract.records import ITEM_ID, Item, SyncRecord, made_of


@dataclass(frozen=True, slots=True)
class ToldItem:
    """An item in the shape ``objects``.

    Attributes:
        json: As it is sent.
        loss: Why Braze would not keep it, as a key of LOSSES; empty when it would.
    """

    json: bytes
    loss: str


@dataclass(frozen=True, slots=True)
class Written:
    """An attributes object as JSON, in pieces.

    Attributes:
        items: What stands between head and tail, with a comma between neighbours.
    """

    head: bytes
    items: Sequence[ToldItem] = ()
    tail: bytes = b""

    @property
    def size_bytes(self) -> int:
        """The size of the whole."""
        inside = sum([len(item.json) for item in self.items]) + max(0, len(self.items) - 1)
        return len(self.head) + inside + len(self.tail)

    @property
    def is_kept(self) -> bool:
        """Whether Braze keeps each item."""
        return not any(item.loss for item in self.items)

    def whole(self) -> bytes:
        """The JSON in one piece."""
        return b"%b%b%b" % (self.head, b",".join([item.json for item in self.items]), self.tail)


def _told(item: Item) -> ToldItem:
    kept = _without_nulls(item) if None in item.values() else item
    return ToldItem(compact_json(kept), loss_inside(kept))


def attributes_object(record: SyncRecord, options: BrazeOptions, retired: Iterable[str] = ()) -> dict[str, Any]:
    """What Braze is told about one user: ``external_id`` and attributes.

    An upsert sets, a clear nulls everything we ever wrote, a holdout nulls it and sets the mark. Constants and
    the end of retired attributes stand only in whole records; one that ends a holdout ends all that are retired,
    which the holdout had nulled anyway.

    Args:
        retired: Attributes we once wrote that an upsert does not write, the mark of the holdout among them.
    """
    if record.op == "upsert":
        shown = _recommendations(record.recommendations or [], options, record.changed)
        return _around(record, options, retired) | shown
    nulls = dict.fromkeys([*retired, *options.attribute_names()])
    mark = {options.holdout_attribute(): True} if record.op == "holdout" else {}
    return _identity(record, options) | nulls | mark


def written(record: SyncRecord, options: BrazeOptions, retired: Iterable[str] = ()) -> Written:
    """The attributes object as it is sent. A list of objects is put together from the JSON of its items."""
    if record.op != "upsert" or options.payload_shape != "objects":
        return Written(compact_json(attributes_object(record, options, retired)))
    (name,) = options.recommendation_attributes()
    around = _around(record, options, retired)
    around.pop(name, None)
    head = b"%b,%b:[" % (compact_json(around).removesuffix(b"}"), compact_json(name))
    return Written(head, made_of(record.recommendations or [], _told), b"]}")


def _identity(record: SyncRecord, options: BrazeOptions) -> dict[str, Any]:
    identity: dict[str, Any] = {"external_id": record.user_id}
    return identity | ({"_update_existing_only": True} if options.update_existing_only else {})


def _around(record: SyncRecord, options: BrazeOptions, retired: Iterable[str]) -> dict[str, Any]:
    """All that an upsert says beside the list."""
    return _identity(record, options) | (_whole(record, options, retired) if record.changed is None else {})


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
