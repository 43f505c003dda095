"""SyncRecord: one line of output, which is what one user's profile should become."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, JsonValue, model_serializer, model_validator

from connectors.contract.wire import WireModel

ITEM_ID = "itemId"
SCORE = "score"
Item = dict[str, JsonValue]


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
