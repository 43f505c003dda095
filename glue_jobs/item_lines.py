"""One line of item metadata, and what a run asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from glue_jobs.decorate import Catalogue, Piece, finite, item_piece, types_of
from glue_jobs.item_filter import ItemFilter
from glue_jobs.lines import LineError, decoded_object, shown


@dataclass(frozen=True)
class Wanted:
    """What is asked of every line of item metadata.

    Attributes:
        listed: The fields that records carry.
    """

    listed: Sequence[str]
    item_filter: ItemFilter | None = None

    @property
    def filtered(self) -> Sequence[str]:
        """The fields that the item filter names."""
        return self.item_filter.fields if self.item_filter else ()

    @cached_property
    def fields(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys([*self.listed, *self.filtered]))

    @property
    def asking(self) -> dict[str, Sequence[str]]:
        """Setting → the fields it asks for."""
        asked = {"itemMetadataFields": self.listed, "recommendations.itemFilter": self.filtered}
        return {setting: fields for setting, fields in asked.items() if fields}

    def fits(self, item_id: str, metadata: Mapping[str, Any]) -> bool | None:
        """What the filter says of an item. An id is a text, also where it came as a number."""
        return self.item_filter.fits({**metadata, "id": item_id}) if self.item_filter else True

    def catalogue(self, pieces: Mapping[str, Piece], *, scored: bool) -> Catalogue:
        """The items that were read, as records take them."""
        has_filter, of_unknown = self.item_filter is not None, self.item_filter.fits({}) if self.item_filter else True
        return Catalogue(tuple(self.listed), pieces, scored, is_filtered=has_filter, fits_unknown=of_unknown)


def parse_item(line: bytes, wanted: Wanted) -> tuple[Any, ...] | None:
    """One line of item metadata as a row of ITEM without its position; None when it is blank."""
    try:
        data, _ = decoded_object(line)
    except LineError as error:
        return _broken(line, str(error))
    if data is None:
        return None
    item_id = data.get("id")
    if isinstance(item_id, int) and not isinstance(item_id, bool):
        item_id = str(item_id)
    if not isinstance(item_id, str) or not item_id:
        return _broken(line, "id is missing")
    fields = wanted.fields
    found, not_finite = finite({name: data[name] for name in fields if name in data})
    piece, fits = item_piece(found, wanted.listed), wanted.fits(item_id, found)
    return ("good", item_id, piece.tail, piece.hashes, fits, types_of(found, fields), not_finite, None, None)


def _broken(line: bytes, reason: str) -> tuple[Any, ...]:
    return ("broken", None, None, None, None, None, 0, shown(line), reason)
