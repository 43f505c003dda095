"""Items looked up for many lists at a time are what each would be by itself."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_jobs import item_table
from glue_jobs.item_table import HASH_BYTES, Item, ItemTable

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=3)
LISTS = st.lists(st.lists(IDS, max_size=6), max_size=5)


def made(item_id):
    entry = hashlib.blake2b(item_id.encode(), digest_size=HASH_BYTES).digest()
    return Item(entry, f'{{"itemId":"{item_id}"}}'.encode(), len(item_id) > 1)


def as_told(listing):
    return listing.entries, listing.json, listing.lacking


def one_by_one(item_ids):
    items = [made(item_id) for item_id in item_ids]
    return b"".join(item.entry for item in items), [item.json for item in items], sum(i.lacks_metadata for i in items)


@given(st.lists(LISTS, max_size=4), st.sampled_from([0, 3, 100]))
def test_many_lists_at_a_time_are_what_each_item_is_by_itself(batches, kept):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_table, "KEPT_READY", kept)
        table = ItemTable(made)
        for lists in batches:
            assert list(map(as_told, table.listings(lists))) == list(map(one_by_one, lists))


def test_an_item_is_made_once():
    asked = []
    table = ItemTable(lambda item_id: asked.append(item_id) or made(item_id))
    for _ in range(2):
        assert len(list(table.listings([["1", "2"], [], ["2", "2", "3"]]))) == 3
    assert sorted(asked) == ["1", "2", "3"]


def test_a_list_stays_what_it_was_when_the_table_begins_anew(monkeypatch):
    monkeypatch.setattr(item_table, "KEPT_READY", 1)
    table = ItemTable(made)
    (before,) = table.listings([["1", "2"]])
    list(table.listings([["8", "9"]]))
    assert as_told(before) == one_by_one(["1", "2"])
