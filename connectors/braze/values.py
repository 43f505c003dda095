"""Which values Braze keeps whole. Of any other it says "success" and drops the update, or a part of it. Pure.

Source: Braze user guide, "Custom attributes", "Nested custom attributes" and "Array of objects", read 2026-11-21.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable
from datetime import datetime

from pydantic import JsonValue
from pydantic_core import PydanticSerializationError, to_json

# Braze says "100 KB" and not whether a KB has 1,000 or 1,024 bytes: the smaller one is safe under both readings.
MAX_VALUE_BYTES = 100_000
MAX_ELEMENTS = 500  # of an array of plain values; of more, Braze drops the first, which are our best
MAX_CHARS = 255  # of names, of keys inside objects and of texts
_UNSAFE_IN_KEY = re.compile(r"[.$\s]")

# What is lost for each code, and what mends it.
LOSSES = {
    "bad_key": 'a key inside an object is over 255 long or holds a dot, "$" or space; rename it',
    "bad_time": "a $time that is no ISO 8601 date of a year up to 3000; mend it in the item metadata",
    "nested_null": "a null inside a value; give it a value or leave its key out",
    "not_finite": "a number that JSON cannot hold (NaN or infinity); mend it in the item metadata",
    "text_too_long": "a text of over 255 characters; shorten it, or leave its field out",
}


def compact_json(data: object) -> bytes:
    """JSON as it is sent: UTF-8, nothing between its parts. Half a surrogate pair, which UTF-8 has not, is a "?"."""
    try:
        return to_json(data, inf_nan_mode="constants")
    except PydanticSerializationError:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def is_plain_array(value: JsonValue) -> bool:
    """Whether Braze keeps a value as a set: an array without objects."""
    return isinstance(value, list) and not any(isinstance(element, dict) for element in value)


def loss_inside(value: JsonValue) -> str:
    """Why Braze would not keep what a value holds, as a key of LOSSES; empty when it would."""
    match value:
        case str():
            return "text_too_long" if len(value) > MAX_CHARS else ""
        case dict():
            return _loss_of_object(value)
        case list():
            return _first_loss(value)
        case float():
            return "" if math.isfinite(value) else "not_finite"
    return "nested_null" if value is None else ""


def _loss_of_object(value: dict[str, JsonValue]) -> str:
    if "$time" in value and len(value) == 1:
        return "" if _is_time(value["$time"]) else "bad_time"
    return ("" if all(map(is_key, value)) else "bad_key") or _first_loss(value.values())


def _first_loss(values: Iterable[JsonValue]) -> str:
    return next(filter(None, map(loss_inside, values)), "")


@functools.lru_cache(1_024)  # keys are few, and stand in every item
def is_key(key: str) -> bool:
    """Whether Braze keeps a key inside an object."""
    return 0 < len(key) <= MAX_CHARS and not _UNSAFE_IN_KEY.search(key)


def _is_time(moment: JsonValue) -> bool:
    """A date or a date and time, in the one form Braze shows: 2026-11-21, 2026-11-21T04:00:00Z."""
    if not isinstance(moment, str) or not re.match(r"\d{4}-\d\d-\d\d(?![^T ])", moment, re.ASCII):
        return False
    try:
        return datetime.fromisoformat(moment).year <= 3000
    except ValueError:
        return False
