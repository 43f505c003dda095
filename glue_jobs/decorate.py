"""Items with their metadata: each item is projected and serialised once, records are put together from that.

A list's fingerprint follows from its items' hashes, so an unchanged user's record is never built.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from operator import add
from typing import Any

import orjson

from connectors.base import ChangePolicy
from connectors.contract.records import ITEM_ID
from glue_jobs.item_table import HASH_BYTES, KEPT_READY, Item, ItemTable, Listing

_OF_NULL = bytes(HASH_BYTES)

# Item id → the hashes of its listed fields, one after the other.
HashesOf = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Piece:
    """An item's metadata, cut to the listed fields.

    Attributes:
        tail: What follows the id in the item's JSON object: ``,"name":"Tan Backpack"}``.
        hashes: Eight bytes of hash for each field, in order; zeros for a missing value.
        fits: Whether the item filter lets the item stay; None where its metadata does not say.
    """

    tail: bytes
    hashes: bytes
    fits: bool | None = True


@dataclass(frozen=True)
class Catalogue:
    """Every item's piece, for one connector's fields. Ships to the workers.

    Attributes:
        fields: The metadata fields of every item, in order.
        pieces: Item id → piece. An item that is not here has no metadata.
        scored: Whether every item carries the recommender's score, right behind its id.
        known: Item id → hashes of the same fields, as the committed run knew them; None when it kept none.
        is_filtered: Whether an item filter judged the items.
        fits_unknown: What it says of an item without metadata.
        is_counted: Whether a setting asks which items have metadata, whatever stands in it.
    """

    fields: Sequence[str]
    pieces: Mapping[str, Piece] = field(default_factory=dict)
    scored: bool = False
    known: Mapping[str, bytes] | None = None
    is_filtered: bool = False
    fits_unknown: bool | None = True
    is_counted: bool = False

    def fits(self, item_id: str) -> bool | None:
        """Whether the item filter lets the item stay; None where its metadata does not say."""
        piece = self.pieces.get(item_id)
        return piece.fits if piece else self.fits_unknown

    @property
    def is_read(self) -> bool:
        """Whether anything asks for metadata."""
        return bool(self.fields) or self.is_filtered or self.is_counted

    def lacks_metadata(self, item_id: str) -> bool:
        """Whether the item has no metadata, or none that the item filter can judge by."""
        piece = self.pieces.get(item_id)
        return piece is None or piece.fits is None

    def is_unclear(self, item_id: str) -> bool:
        """Whether the item has metadata, which does not say what the item filter asks."""
        piece = self.pieces.get(item_id)
        return piece is not None and piece.fits is None

    def listings(self, lists: Sequence[Sequence[str]]) -> Iterator[Listing]:
        """What each of some lists takes of its items: many lists at a time cost less than one by one."""
        return self._table.listings(lists)

    def known_entries(self, item_ids: Iterable[str]) -> bytes:
        """The entries of items, one after the other, as the committed run knew them."""
        return b"".join(map(self._known_entry, item_ids))

    def hashes(self, item_id: str) -> bytes:
        """The hashes of the item's fields."""
        return self._piece(item_id).hashes

    def known_hashes(self, item_id: str) -> bytes:
        """The hashes of the item's fields, as the committed run knew them."""
        return (self.known or {}).get(item_id) or _OF_NULL * len(self.fields)

    def item(self, item_id: str, score: float | None) -> bytes:
        """The item as it stands in a record; its fields are null when there is no metadata for it."""
        if not self.scored:
            return self._made(item_id).json
        return b'{"itemId":%b,"score":%b%b' % (to_json(item_id), to_json(score), self._piece(item_id).tail)

    def items(self, item_ids: Sequence[str], scores: Sequence[float | None] | None = None) -> list[bytes]:
        """Items as they stand in a record; without scores where these are not known."""
        if scores is None:
            return [self._made(item_id).json for item_id in item_ids]
        return list(map(self.item, item_ids, scores))

    def _piece(self, item_id: str) -> Piece:
        return self.pieces.get(item_id) or self._unknown

    @cached_property
    def _unknown(self) -> Piece:
        """An item without metadata."""
        return item_piece({}, self.fields)

    @cached_property
    def _table(self) -> ItemTable:
        return ItemTable(self._made)

    def _made(self, item_id: str) -> Item:
        piece = self._piece(item_id)
        json_of = b'{"itemId":%b%b' % (to_json(item_id), piece.tail)
        return Item(_entry(item_id, piece.hashes), json_of, self.lacks_metadata(item_id))

    @cached_property
    def _known_entry(self) -> Callable[[str], bytes]:
        return lru_cache(KEPT_READY)(lambda item_id: _entry(item_id, self.known_hashes(item_id)))

    def __getstate__(self) -> dict[str, Any]:
        """Travel without what was made ready here."""
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__}


def upsert_line(
    user_id: str,
    items: Iterable[bytes],
    query_item_ids: Sequence[str] = (),
    changed: Sequence[str] = (),
    *,
    ends_holdout: bool = False,
) -> bytes:
    """The user's SyncRecord as one line of JSON, with its end.

    Args:
        items: His list's items as they stand in a record.
    """
    parts = [b'{"userId":', to_json(user_id), b',"op":"upsert","recommendations":[', b",".join(items), b"]"]
    if query_item_ids:
        parts += [b',"queryItemIds":', to_json(query_item_ids)]
    if changed:
        parts += [b',"changed":', to_json(changed)]
    if ends_holdout:
        parts += [b',"endsHoldout":true']
    return b"".join([*parts, b"}\n"])


def clear_line(user_id: str) -> bytes:
    """The tombstone as one line of JSON, with its end."""
    return b'{"userId":%b,"op":"clear"}\n' % to_json(user_id)


def holdout_line(user_id: str) -> bytes:
    """The record of a user who gets nothing as one line of JSON, with its end."""
    return b'{"userId":%b,"op":"holdout"}\n' % to_json(user_id)


def holdout_fingerprint(settings: bytes) -> int:
    """The fingerprint of such a record: it holds nothing but what the settings make of it."""
    return int.from_bytes(hashlib.blake2b(settings + b"holdout", digest_size=HASH_BYTES).digest(), "big", signed=True)


def fingerprint(
    entries: bytes,
    settings: bytes,
    policy: ChangePolicy,
    scores: Sequence[float | None] | None = None,
) -> int:
    """A signed 64-bit hash of as much of a list as the policy compares.

    ``exact``: all of it, in order. ``set``: all of it in any order. ``topK``: the first k, in order. What two
    policies make of one list never agrees: a list that is its own first k is another list under ``exact``.

    Args:
        entries: Those of the list's items, one after the other: see `item_table.Item`.
        settings: A hash of every setting that shapes what is sent.
        scores: Where records carry them: one an item.
    """
    compared = entries
    if scores is not None or policy.compare == "set" or policy.k is not None:
        each = [entries[start : start + HASH_BYTES] for start in range(0, len(entries), HASH_BYTES)]
        if scores is not None:
            each = [entry + _packed(score) for entry, score in zip(each, scores, strict=True)]
        compared = b"".join(sorted(each) if policy.compare == "set" else each[: policy.k])
    hashed = b"".join([settings, f"{policy.compare}:{policy.k}".encode(), compared])
    return int.from_bytes(hashlib.blake2b(hashed, digest_size=HASH_BYTES).digest(), "big", signed=True)


def changed_fields(
    fields: Sequence[str], before: Sequence[str], were: HashesOf, after: Sequence[str], are: HashesOf
) -> list[str]:
    """The fields of a list whose values differ, rank by rank, between what was told and now.

    Args:
        fields: The metadata fields, in the order of the hashes.
        before: The item ids told, and `were` their hashes then.
        after: The item ids now, and `are` their hashes.
    """
    old, new = _eights(map(were, before)), _eights(map(are, after))
    differ = [name for place, name in enumerate(fields) if old[place :: len(fields)] != new[place :: len(fields)]]
    return [ITEM_ID, *differ] if list(before) != list(after) else differ


def _eights(hashes: Iterable[bytes]) -> array[int]:
    """Hashes of HASH_BYTES each as numbers."""
    return array("q", b"".join(hashes))


def item_piece(metadata: Mapping[str, Any], fields: Sequence[str], *, fits: bool | None = True) -> Piece:
    """An item's metadata cut to some fields, in their order; a missing value is null.

    Args:
        fits: What the item filter says of it.
    """
    values = [to_json(metadata.get(name)) for name in fields]
    tail = b"".join(map(add, _names(tuple(fields)), values))
    return Piece(tail + b"}", b"".join(map(_value_hash, values)), fits)


@lru_cache
def _names(fields: tuple[str, ...]) -> list[bytes]:
    """What stands before each field's value: ``,"name":``."""
    return [b",%b:" % to_json(name) for name in fields]


def to_json(data: Any) -> bytes:
    """Compact JSON in UTF-8. Half a surrogate pair is no text and becomes a question mark."""
    try:
        return orjson.dumps(data)
    except orjson.JSONEncodeError:  # half a surrogate pair, or a long integer
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _entry(item_id: str, hashes: bytes) -> bytes:
    """Eight bytes of hash over an item as a list holds it."""
    return hashlib.blake2b(item_id.encode("utf-8", "surrogatepass") + b"\0" + hashes, digest_size=HASH_BYTES).digest()


def _value_hash(value: bytes) -> bytes:
    return _OF_NULL if value == b"null" else hashlib.blake2b(value, digest_size=HASH_BYTES).digest()


def _packed(score: float | None) -> bytes:
    return struct.pack(">d", math.nan if score is None else score)
