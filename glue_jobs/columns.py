"""Columns of Arrow as plain Python values. `to_pylist` says the same, one slow object a value."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.types as kinds


def plain(column: pa.Array) -> list[Any]:
    """The values of a column as Python has them; None for null."""
    if column.null_count == len(column):
        return [None] * len(column)
    if kinds.is_list(column.type):
        return _lists(column)
    if _is_text(column.type) or (column.null_count == 0 and _is_number(column.type)):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    return list(column.to_pylist())


def _lists(column: pa.Array) -> list[list[Any] | None]:
    """Slices of what all lists hold together: those that are null take no part in it."""
    inside, found, start = plain(column.flatten()), [], 0
    for length in column.value_lengths().to_pylist():
        found.append(None if length is None else inside[start : start + length])
        start += length or 0
    return found


def _is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    """Numbers that NumPy and Python agree on, where none is null."""
    return bool(kinds.is_integer(kind) or kinds.is_float64(kind) or kinds.is_boolean(kind))
