"""SyncRecord: one line of output, which is what one user's profile should become."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal, Never, Self, TypeVar

from pydantic import Field, JsonValue, model_serializer, model_validator

from connectors.contract.wire import WireModel

ITEM_ID = "itemId"
SCORE = "score"
Item = dict[str, JsonValue]
_Made = TypeVar("_Made")


class SharedItem(Item):
    """An item that was read once for all records that recommend it. It cannot be changed; ``{**item}`` is a copy.

    Attributes:
        shape: Its keys, in order.
        made: A function and what it made of the item; see `made_of`.
    """

    __slots__ = ("made", "shape")

    def __init__(self, item: Item) -> None:
        super().__init__(item)
        self.shape = tuple(item)
        self.made: tuple[Callable[[Item], Any] | None, Any] = (None, None)

    def _refuse(self, *_: Any, **__: Any) -> Never:
        raise TypeError("an item is shared by all records that recommend it; change a copy: {**item}")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[Item], tuple[Item]]:
        """Copied and pickled it is an ordinary item."""
        return dict, (dict(self),)


def made_of(items: Sequence[Item], make: Callable[[Item], _Made]) -> list[_Made]:
    """What a pure function makes of each item. A shared item keeps it until another function asks."""
    return [
        made[1] if isinstance(item, SharedItem) and (made := item.made)[0] is make else _made_anew(item, make)
        for item in items
    ]


def _made_anew(item: Item, make: Callable[[Item], _Made]) -> _Made:
    made = make(item)
    if isinstance(item, SharedItem):
        item.made = (make, made)
    return made


# What stands before a record's user, and behind him: within a text of JSON no quote is without a backslash.
_BEFORE_USER, _BEHIND_USER = b'{"userId":', b'","op":'


def user_of(line: bytes) -> str:
    """Whom a record is for, by its line as a run writes it. What follows is most of it, and is not read.

    Raises:
        ValueError: The line is no such record.
    """
    end = line.find(_BEHIND_USER)
    if end < 0 or not line.startswith(_BEFORE_USER):
        raise ValueError("the line is no record")
    return str(json.loads(line[len(_BEFORE_USER) : end + 1]))


class SyncRecord(WireModel):
    """What one user's profile should become.

    Attributes:
        user_id: The destination's key of the user.
        op: ``upsert`` sets the recommendations; ``clear``, the tombstone, removes what we ever wrote;
            ``holdout`` removes it and marks the user as one who gets none, so that uplift can be measured.
        recommendations: Best first. Every item has ``itemId`` and then the same keys in the same order;
            a missing value is an explicit None. Only upserts have it, and it may be empty.
        query_item_ids: The items the recommendations derive from; related_items only.
        changed: The fields that differ from what the destination acknowledged. None: the whole record.
        ends_holdout: Whether the user may still be marked as in the holdout, and no longer is in it. Only whole
            upserts have it.
    """

    user_id: str = Field(min_length=1)
    op: Literal["upsert", "clear", "holdout"]
    recommendations: list[Item] | None = None
    query_item_ids: list[str] | None = None
    changed: list[str] | None = None
    ends_holdout: Literal[True] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.op == "upsert") != (self.recommendations is not None):
            raise ValueError("an upsert has recommendations, and nothing else has")
        if self.ends_holdout and (self.op != "upsert" or self.changed is not None):
            raise ValueError("what ends a holdout is a whole upsert")
        items = self.recommendations or []
        if any(not isinstance(item.get(ITEM_ID), str) for item in items):
            raise ValueError(f"every recommendation needs {ITEM_ID}, a text")
        if any(list(item) != list(items[0]) for item in items):
            raise ValueError("all recommendations of a record have the same keys in the same order")
        return self

    @model_serializer(mode="wrap")
    def _without_absent_keys(self, serialize: Any) -> dict[str, Any]:
        """Absent parts are left out; the explicit nulls inside an item stay."""
        return {key: value for key, value in serialize(self).items() if value is not None}
