"""What Braze would accept and then drop in silence, found before it is sent. Pure.

Judged is the attributes object of one record, as the payload makes it. What would hit every record alike,
names and constants, is a mistake in the settings and refused there; see `connectors.braze.config`.

Not judged, since it shows only across records: Braze fixes an attribute's type by its first value, and
ignores later values of another type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import JsonValue

from connectors.base import Fitted, Outcome, Verdict, quoted
from connectors.braze.config import LIMITS, BrazeOptions
from connectors.braze.payload import attributes_object, written
from connectors.braze.values import (
    LOSSES,
    MAX_ELEMENTS,
    MAX_VALUE_BYTES,
    compact_json,
    is_plain_array,
    loss_inside,
)
from connectors.contract.records import ITEM_ID, SyncRecord

# Source: Braze API reference, POST /users/track and "API errors", read 2026-11-21.
MAX_EXTERNAL_ID_BYTES = 987
# A record alone in its request; what is free is for the names of retired attributes.
MAX_RECORD_BYTES = LIMITS.max_bytes - MAX_VALUE_BYTES
_REASON_CHARS = 120

Lists: TypeAlias = Mapping[str, list[Any]]


def fit(record: SyncRecord, options: BrazeOptions) -> Fitted:
    """The record as Braze will keep it whole, or why it would not.

    Trimmed is the end of the list, of every attribute alike. With ``arrays`` and ``trim`` every record is sent
    whole, or one trimmed list would stand beside another of another day and length.
    """
    if len(record.user_id.encode("utf-8", "replace")) > MAX_EXTERNAL_ID_BYTES:
        return _refused("user_id_too_long", "userId", f"over {MAX_EXTERNAL_ID_BYTES} bytes; shorten it at its source")
    if record.op != "upsert":
        return Fitted(record)
    if options.on_oversize == "trim" and options.payload_shape == "arrays":
        record = record.model_copy(update={"changed": None})
    if _is_small_and_kept(record, options):
        return Fitted(record)
    sent = attributes_object(record, options)
    lists: Lists = {name: sent[name] for name in options.recommendation_attributes() if name in sent}
    size_bytes = len(compact_json(sent))
    return _trimmed(record, options, lists, size_bytes) or _judged(record, options, lists, size_bytes)


def _is_small_and_kept(record: SyncRecord, options: BrazeOptions) -> bool:
    """Whether a record of objects is kept whole, as each of its items says by itself; clears nearly all of them."""
    if options.payload_shape != "objects":
        return False
    sent = written(record, options)
    return sent.is_kept and sent.size_bytes <= MAX_VALUE_BYTES


def _judged(record: SyncRecord, options: BrazeOptions, lists: Lists, size_bytes: int) -> Fitted:
    """Whether Braze keeps what stands in lists that are small enough."""
    if size_bytes > MAX_RECORD_BYTES:
        what = f"{_kb(size_bytes)} of {_kb(MAX_RECORD_BYTES)} KB; list fewer itemMetadataFields"
        return _refused("too_large", "the record", what)
    for name, values in lists.items():
        if code := loss_inside(values):
            return _refused(code, _place(name, values, options), LOSSES[code])
    return Fitted(record, warnings=("lists_shift",) if _shifts(lists, options) else ())


# Oversize


def _trimmed(record: SyncRecord, options: BrazeOptions, lists: Lists, size_bytes: int) -> Fitted | None:
    """A record with a list too long for Braze, cut or refused; None when no list is."""
    rooms = {name: _room(values) for name, values in lists.items()} if _may_be_over(lists, size_bytes) else {}
    over = {name: room for name, room in rooms.items() if room < len(lists[name])}
    if not over:
        return None
    name, kept = min(over.items(), key=lambda entry: entry[1])
    if options.on_oversize == "reject" or not kept:
        return _oversize(name, lists[name], options)
    shorter = record.model_copy(update={"recommendations": (record.recommendations or [])[:kept]})
    cut = {name: values[:kept] for name, values in lists.items()}
    judged = _judged(shorter, options, cut, len(compact_json(attributes_object(shorter, options))))
    return Fitted(judged.record, judged.refusal, ("trimmed", *judged.warnings) if judged.record else ())


def _may_be_over(lists: Lists, size_bytes: int) -> bool:
    """Whether any list can be over a limit at all: one measure of the whole object clears nearly all records."""
    return size_bytes > MAX_VALUE_BYTES or any(len(values) > MAX_ELEMENTS for values in lists.values())


def _room(values: list[Any]) -> int:
    """How many elements of a list, from the first, Braze keeps."""
    most = MAX_ELEMENTS if is_plain_array(values) else len(values)
    size_bytes = len("[")
    for count, element in enumerate(values[:most]):
        size_bytes += len(compact_json(element)) + len(",")  # the last one's comma is the closing bracket
        if size_bytes > MAX_VALUE_BYTES:
            return count
    return min(most, len(values))


def _oversize(name: str, values: list[Any], options: BrazeOptions) -> Fitted:
    """The refusal of a list that is too long, or whose first item alone is too large."""
    size_bytes = len(compact_json(values))
    if options.on_oversize == "trim":
        return _refused("too_large", name, f"its first item alone is over {_kb(MAX_VALUE_BYTES)} KB; {_FEWER_FIELDS}")
    if size_bytes > MAX_VALUE_BYTES:
        what = f"{_kb(size_bytes)} of {_kb(MAX_VALUE_BYTES)} KB; {_FEWER_ITEMS}, {_FEWER_FIELDS} or {_TRIM}"
        return _refused("too_large", name, what)
    return _refused("too_many", name, f"{len(values)} of {MAX_ELEMENTS} elements; {_FEWER_ITEMS} or {_TRIM}")


_FEWER_ITEMS = "lower recommendations.maxItems"
_FEWER_FIELDS = "list fewer itemMetadataFields"
_TRIM = "set onOversize to trim"


def _kb(size_bytes: int) -> int:
    return math.ceil(size_bytes / 1000)


# What a list holds


def _shifts(lists: Lists, options: BrazeOptions) -> bool:
    """Whether equal values of a list become one on the profile, and those behind them move up."""
    if options.payload_shape != "arrays" or options.rank_prefix:
        return False
    return any(is_plain_array(values) and _has_equals(values) for values in lists.values())


def _has_equals(values: list[Any]) -> bool:
    return len(set(map(compact_json, values))) < len(values)


def _place(name: str, values: list[Any], options: BrazeOptions) -> str:
    """Where a loss stands: the attribute, and the field of an item where the settings name it."""
    known = {ITEM_ID, *options.item_fields()}
    fields = (field for field, value in _parts(values) if field in known and loss_inside({field: value}))
    field = next(fields, "") if options.payload_shape == "objects" else ""
    return f"{name}.{field}" if field else name


def _parts(values: list[Any]) -> Iterator[tuple[str, JsonValue]]:
    for item in values:
        yield from item.items() if isinstance(item, dict) else ()


def _refused(code: str, place: str, what: str) -> Fitted:
    """A refusal that names place and fix, never a value; of a long place its beginning."""
    room = _REASON_CHARS - len(what) - len(": ")
    shown = place if len(place) <= room else f"{place[: room - 1]}…"
    return Fitted(None, Outcome(Verdict.REJECTED, code, quoted(f"{shown}: {what}")))
