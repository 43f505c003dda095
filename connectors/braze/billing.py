"""What Braze bills for a record. Pure.

Source: Braze Docs, "Data points", and "Nested custom attributes", section "Data points", read 2026-11-21: one
for each attribute that is sent, changed or not; for an object one for each of its keys; for an array of objects
the sum of its objects; for an array of plain values one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NO_ATTRIBUTE = frozenset({"external_id", "_update_existing_only"})


def data_points(attributes: Mapping[str, Any]) -> dict[str, int]:
    """The data points of an attributes object, by attribute."""
    return {name: _points(value) for name, value in attributes.items() if name not in _NO_ATTRIBUTE}


def _points(value: Any) -> int:
    if isinstance(value, dict):
        return max(1, sum(map(_points, value.values())))
    if isinstance(value, list) and any(isinstance(element, dict) for element in value):
        return sum(map(_points, value))
    return 1
