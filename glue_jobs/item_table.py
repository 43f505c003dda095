"""Items as lists take them: each made once, known by a number, and looked up for many lists at a time.

Twenty-five items looked up one by one are a hundred objects all over the memory. Arrow finds the numbers of a thousand
lists in one go, and their hashes lie side by side.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from glue_jobs.columns import plain

HASH_BYTES = 8
# How many items each worker keeps ready. When they become more, it begins anew.
KEPT_READY = 100_000


class Item(NamedTuple):
    """What lists take of an item.

    Attributes:
        entry: HASH_BYTES of hash over the item as a list holds it.
        json: The item as it stands in a record without scores.
    """

    entry: bytes
    json: bytes
    lacks_metadata: bool


class Listing(NamedTuple):
    """What a list takes of its items.

    Attributes:
        entries: Those of its items, one after the other.
        lacking: How many of them lack metadata.
        numbers: Of its items, in NumPy; `texts` holds at each number the item's JSON.
    """

    entries: bytes
    lacking: int
    numbers: Any
    texts: Sequence[bytes]

    @property
    def json(self) -> list[bytes]:
        """Its items as they stand in a record without scores."""
        return list(map(self.texts.__getitem__, self.numbers.tolist()))


class ItemTable:
    """The items that were asked for, each at its number."""

    def __init__(self, make: Callable[[str], Item]) -> None:
        self._make = make
        self._begin()

    def _begin(self) -> None:
        self._texts: list[bytes] = []
        self._ids = pa.array([], pa.string())
        self._entries, self._lacks = pa.array([], pa.binary(HASH_BYTES)), pa.array([], pa.bool_())

    def listings(self, lists: Sequence[Sequence[str]]) -> Iterator[Listing]:
        """What each of some lists takes of its items."""
        if len(self._texts) > KEPT_READY:
            self._begin()
        found = self._found(pa.array(chain.from_iterable(lists), pa.string()))
        numbers, entries = found.to_numpy(), self._entries.take(found).buffers()[1].to_pybytes()
        lacking = plain(pc.indices_nonzero(self._lacks.take(found)))
        end = 0
        for one in lists:
            start, end = end, end + len(one)
            missing = bisect_left(lacking, end) - bisect_left(lacking, start) if lacking else 0
            yield Listing(entries[start * HASH_BYTES : end * HASH_BYTES], missing, numbers[start:end], self._texts)

    def _found(self, ids: pa.Array) -> pa.Array:
        """The number of each item; those never asked for before are made."""
        found = pc.index_in(ids, value_set=self._ids)
        if found.null_count:
            self._add(pc.unique(ids.filter(found.is_null())))
            found = pc.index_in(ids, value_set=self._ids)
        return found

    def _add(self, ids: pa.Array) -> None:
        entries, texts, lacks = zip(*map(self._make, plain(ids)), strict=True)
        self._texts += texts
        self._ids = pa.concat_arrays([self._ids, ids])
        self._entries = pa.concat_arrays([self._entries, pa.array(entries, pa.binary(HASH_BYTES))])
        self._lacks = pa.concat_arrays([self._lacks, pa.array(lacks, pa.bool_())])
