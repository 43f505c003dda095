"""One line of item metadata, and what a run asks of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from connectors.contract.records import SCORE
from glue_jobs.config import JobConfig
from glue_jobs.decorate import Catalogue, Piece, item_piece
from glue_jobs.item_filter import ItemFilter, parse
from glue_jobs.lines import LineError, decoded_object, id_of

ENDINGS = (".json", ".json.gz")


@dataclass(frozen=True)
class Wanted:
    """What is asked of every line of item metadata.

    Attributes:
        listed: The fields that records carry.
        scored: Whether an item's record carries the recommender's score, too.
        counted: Settings that ask which items have metadata, whatever stands in it.
    """

    listed: Sequence[str]
    item_filter: ItemFilter | None = None
    scored: bool = False
    counted: Sequence[str] = ()

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
        """Setting → the fields it asks for; none for one that asks which items have metadata."""
        asked = {"itemMetadataFields": self.listed, "recommendations.itemFilter": self.filtered}
        return {setting: fields for setting, fields in asked.items() if fields} | dict.fromkeys(self.counted, ())

    def fits(self, item_id: str, metadata: Mapping[str, Any]) -> bool | None:
        """What the filter says of an item. An id is a text, also where it came as a number."""
        return self.item_filter.fits({**metadata, "id": item_id}) if self.item_filter else True

    def catalogue(self, pieces: Mapping[str, Piece]) -> Catalogue:
        """The items that were read, as records take them."""
        has_filter, of_unknown = self.item_filter is not None, self.item_filter.fits({}) if self.item_filter else True
        return Catalogue(
            tuple(self.listed),
            pieces,
            self.scored,
            is_filtered=has_filter,
            fits_unknown=of_unknown,
            is_counted=bool(self.counted),
        )


def wanted_by(config: JobConfig, connector: str) -> Wanted:
    """What a connector's records ask."""
    lists, item_fields = config.recommendations, config.connectors[connector].item_fields()
    only = parse(lists.item_filter) if lists.item_filter else None
    # Of all that items carry, the score alone does not come from metadata.
    fields = [name for name in item_fields if not (lists.include_scores and name == SCORE)]
    return Wanted(fields, only, lists.include_scores, tuple(_counting(config)))


def _counting(config: JobConfig) -> Iterator[str]:
    """The settings that ask which items have metadata."""
    if config.recommendations.on_missing_metadata == "drop":
        yield "recommendations.onMissingMetadata"
    if config.guards.min_metadata_coverage_pct is not None:
        yield "guards.minMetadataCoveragePct"


class ItemLine(NamedTuple):
    """One line of item metadata, cut to what is asked of it.

    Attributes:
        types: Those of the wanted fields, as `types_of` writes them.
        not_finite: Numbers that had to become null.
    """

    item_id: str
    piece: Piece
    types: str
    not_finite: int


def parse_item(line: bytes, wanted: Wanted) -> ItemLine | None:
    """One line of item metadata; None when it is blank.

    Raises:
        LineError: It is no item.
    """
    data, _ = decoded_object(line)
    if data is None:
        return None
    item_id = id_of(data.get("id"))
    if item_id is None:
        raise LineError("id is missing, or is none")
    fields = wanted.fields
    found, not_finite = finite({name: data[name] for name in fields if name in data})
    piece = item_piece(found, wanted.listed, fits=wanted.fits(item_id, found))
    return ItemLine(item_id, piece, types_of(found, fields), not_finite)


def types_of(metadata: Mapping[str, Any], fields: Sequence[str]) -> str:
    """One letter a field: s(tring), n(umber), b(oolean), a(rray), o(bject), 0 for null, - when it is not there."""
    return "".join(_letter(metadata[name]) if name in metadata else "-" for name in fields)


def _letter(value: Any) -> str:
    names = {str: "s", bool: "b", int: "n", float: "n", list: "a", dict: "o"}
    return names.get(type(value), "0")


def finite(value: Any) -> tuple[Any, int]:
    """A value JSON can hold, and how many numbers in it had to become null: JSON has no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None, 1
    if isinstance(value, list):
        pairs = [finite(element) for element in value]
        return [element for element, _ in pairs], sum(count for _, count in pairs)
    if isinstance(value, dict):
        found = {name: finite(element) for name, element in value.items()}
        return {name: pair[0] for name, pair in found.items()}, sum(pair[1] for pair in found.values())
    return value, 0
