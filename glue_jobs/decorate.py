"""Items with their metadata: each item is projected and serialised once, records are put together from that.

A record's fingerprint follows from its items' digests, so an unchanged user's record is never built.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from connectors.contract import layout
from connectors.contract.records import ITEM_ID
from connectors.contract.storage import Storage
from glue_jobs.errors import ConfigError
from glue_jobs.schemas import ITEM
from glue_jobs.sources import parsed_lines, shown


@dataclass(frozen=True, slots=True)
class Piece:
    """An item as it stands in a record.

    Attributes:
        json: The item object, as UTF-8 JSON.
        digest: Eight bytes of hash over it.
    """

    json: bytes
    digest: bytes


@dataclass(frozen=True)
class Catalogue:
    """Every item's piece, for one connector's fields. Ships to the workers whole.

    Attributes:
        fields: The metadata fields of every item, in order.
        pieces: Item id → piece. An item that is not here has no metadata: its fields are null.
    """

    fields: Sequence[str]
    pieces: Mapping[str, Piece] = field(default_factory=dict)

    def piece(self, item_id: str) -> Piece:
        """The item's piece; one of nulls when there is no metadata for it."""
        return self.pieces.get(item_id) or item_piece({ITEM_ID: item_id}, self.fields)

    def fingerprint(self, item_ids: Sequence[str], settings: bytes) -> int:
        """A signed 64-bit hash of a list as it would be sent under these settings."""
        digest = hashlib.blake2b(settings, digest_size=8)
        for item_id in item_ids:
            digest.update(self.piece(item_id).digest)
        return int.from_bytes(digest.digest(), "big", signed=True)

    def upsert_line(self, user_id: str, item_ids: Sequence[str], query_item_ids: Sequence[str]) -> bytes:
        """The user's SyncRecord as one line of JSON, with its end."""
        parts = [b'{"userId":', _json(user_id), b',"op":"upsert","recommendations":[']
        parts.append(b",".join(self.piece(item_id).json for item_id in item_ids))
        parts.append(b"]")
        if query_item_ids:
            parts += [b',"queryItemIds":', _json(query_item_ids)]
        return b"".join([*parts, b"}\n"])


def item_piece(metadata: Mapping[str, Any], fields: Sequence[str]) -> Piece:
    """An item cut to some fields: ``itemId`` first, then each field in order; a missing value is null."""
    item = {ITEM_ID: metadata[ITEM_ID]} | {name: _finite(metadata.get(name)) for name in fields}
    data = _json(item)
    return Piece(data, hashlib.blake2b(data, digest_size=8).digest())


def parse_item(line: bytes, fields: Sequence[str]) -> tuple[Any, ...] | None:
    """One line of item metadata as a row of ITEM without its position; None when it is blank."""
    try:
        text = line.decode("utf-8").removeprefix("\ufeff").strip()
        if not text:
            return None
        data = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        return ("broken", None, None, None, shown(line), f"not a JSON line in UTF-8: {error}")
    item_id = data.get("id") if isinstance(data, dict) else None
    if isinstance(item_id, int) and not isinstance(item_id, bool):
        item_id = str(item_id)
    if not isinstance(item_id, str) or not item_id:
        return ("broken", None, None, None, shown(line), "id is missing")
    piece = item_piece(data | {ITEM_ID: item_id}, fields)
    return ("good", item_id, piece.json, piece.digest, None, None)


def read_items(spark: SparkSession, storage: Storage, fields: Sequence[str]) -> DataFrame | None:
    """The item metadata of a job folder, cut to these fields (ITEM); None when there is none.

    Raises:
        ConfigError: Fields are asked for and no metadata is there.
    """
    keys = [entry.key for entry in storage.list(layout.METADATA) if entry.key.endswith((".json", ".json.gz"))]
    if not keys and fields:
        raise ConfigError(
            f"itemMetadataFields asks for {', '.join(fields)}, and {storage.root}/{layout.METADATA} holds no .json file"
        )
    if not keys or not fields:
        return None
    return parsed_lines(spark, [storage.uri(key) for key in keys], lambda line: parse_item(line, fields), ITEM)


def catalogue(items: DataFrame | None, fields: Sequence[str]) -> tuple[Catalogue, dict[str, int]]:
    """The pieces of all items, and how many lines were broken or named an item again. The first line wins."""
    pieces: dict[str, Piece] = {}
    counts = {"metadataLinesBroken": 0, "metadataDuplicates": 0}
    for row in _in_order(items):
        if row.kind == "broken":
            counts["metadataLinesBroken"] += 1
        elif row.itemId in pieces:
            counts["metadataDuplicates"] += 1
        else:
            pieces[row.itemId] = Piece(bytes(row.json), bytes(row.digest))
    return Catalogue(tuple(fields), pieces), counts


def _in_order(items: DataFrame | None) -> Iterator[Any]:
    rows = items.collect() if items is not None else []
    return iter(sorted(rows, key=lambda row: (row.file, row.block, row.row)))


def _finite(value: Any) -> Any:
    """JSON has no infinity: a number too large to be one has no value."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
