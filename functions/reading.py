"""A message's body → the message; its lines → records. What stands in many lines is read once.

Lists of recommendations are most of a body, and the items of one list stand in other lists too. So a body is cut
where lines and items begin, as our own writers put them, and an item whose text was read before is not read
again. A cut is right when all its pieces are whole JSON values. Where it is not, the body is read in one go,
which also tells what is wrong with it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from connectors.contract.manifest import Message
from connectors.contract.records import ITEM_ID, SharedItem, SyncRecord

_RECOMMENDATIONS = "recommendations"
_LINES, _LINE, _ITEM = ',"lines":[', '{"userId":', f'{{"{ITEM_ID}":'
# Of a line, from the user's id to the first item. Only behind this may items be taken out: nothing else can be there.
_UP_TO_ITEMS = re.compile(rf'"(?:[^"\\]|\\.)*","op":"upsert","{_RECOMMENDATIONS}":\[')
# How many items are remembered, of lists whose items are not longer: at most 250 MB of a function's 512, and that
# only where each of them holds an emoji.
_ITEMS, _MEAN_CHARS = 32_768, 600


def read_message(body: str) -> Message:
    """A message. The items of its lines may be shared ones.

    Raises:
        ValidationError: The body is no message.
        NewerFormatError: It is one that only a newer release can read.
    """
    return _in_pieces(body) or Message.model_validate_json(body)


def read_record(line: Mapping[str, Any]) -> SyncRecord:
    """A line of `read_message` as a record. What was found of a shared item when it was read is not looked for again.

    Raises:
        ValidationError: The line is no record.
    """
    items = line.get(_RECOMMENDATIONS)
    if not (items and isinstance(items, list) and isinstance(items[0], SharedItem) and _are_alike(items)):
        return SyncRecord.model_validate(line)
    record = SyncRecord.model_validate({**line, _RECOMMENDATIONS: []})
    return record.model_copy(update={_RECOMMENDATIONS: items})


def _are_alike(items: Sequence[SharedItem]) -> bool:
    """Whether they have the same keys in the same order."""
    shapes = [item.shape for item in items]
    return shapes.count(shapes[0]) == len(shapes)


def _in_pieces(body: str) -> Message | None:
    """The message, put together from pieces; None where the cuts are wrong, or the body is no message."""
    start = body.find(_LINES) + len(_LINES)
    if start < len(_LINES) or not body.endswith("]}"):
        return None
    try:
        lines = [_line(piece) for piece in _pieces(body, start, len(body) - len("]}"), _LINE)]
        message = Message.model_validate_json(f"{body[:start]}]}}")
    except ValueError:
        return None
    return message.model_copy(update={"lines": lines})


def _pieces(text: str, start: int, end: int, opening: str) -> list[str]:
    """Neighbouring objects, each without its opening and the brace at its end."""
    if not text.startswith(opening, start, end) or not text.endswith("}", start, end):
        raise ValueError(f"these are no objects that begin with {opening}")
    return text[start + len(opening) : end - 1].split("}," + opening)


def _line(piece: str) -> dict[str, Any]:
    before, end = _UP_TO_ITEMS.match(piece), piece.rfind("}]") + 1
    if before is None or end <= before.end():
        return _object(f"{_LINE}{piece}}}")
    after = piece[end:]
    if _RECOMMENDATIONS in after or "\\" in after:
        raise ValueError("the list may be named again behind the items")
    line = _object(f"{_LINE}{piece[: before.end()]}{after}}}")
    line[_RECOMMENDATIONS] = _items(_pieces(piece, before.end(), end, _ITEM))
    return line


def _items(pieces: Sequence[str]) -> list[SharedItem]:
    is_remembered = sum(map(len, pieces)) <= _MEAN_CHARS * len(pieces)
    return list(map(_remembered_item if is_remembered else _item, pieces))


def _item(piece: str) -> SharedItem:
    item = _object(f"{_ITEM}{piece}}}")
    if not isinstance(item[ITEM_ID], str):
        raise ValueError(f"{ITEM_ID} is no text")
    return SharedItem(item)


_remembered_item = functools.lru_cache(_ITEMS)(_item)


def _object(text: str) -> dict[str, Any]:
    found = from_json(text)
    if not isinstance(found, dict):
        raise ValueError("this is no JSON object")
    return found
