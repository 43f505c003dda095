import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import ChangePolicy
from connectors.contract.records import SyncRecord
from glue_jobs.decorate import (
    Catalogue,
    changed_fields,
    clear_line,
    fingerprint,
    holdout_fingerprint,
    holdout_line,
    item_piece,
    upsert_line,
)

FIELDS = ("name", "price")
EXACT, SET, TOP_2 = ChangePolicy(), ChangePolicy(compare="set"), ChangePolicy(compare="topK", k=2)
LAMP = {"name": "Lamp", "price": 9.5}
SCARF = {"name": "Scarf"}


def catalogue(fields=FIELDS, scored=False, **items):
    return Catalogue(fields, {item_id[1:]: item_piece(data, fields) for item_id, data in items.items()}, scored)


BOTH = catalogue(_1=LAMP, _2=SCARF)


def mark(items, of=BOTH, policy=EXACT, settings=b"s", scores=None):
    return fingerprint(next(of.listings([items])).entries, settings, policy, scores)


def test_an_item_is_its_id_and_the_listed_fields_in_order_with_nulls():
    of = catalogue(_2={"stock": 4, "price": 1})
    assert of.item("2", None) == b'{"itemId":"2","name":null,"price":1}'


def test_an_item_without_metadata_has_nulls():
    assert json.loads(BOTH.item("9", None)) == {"itemId": "9", "name": None, "price": None}


def test_a_score_stands_behind_the_id():
    of = catalogue(scored=True, _1=LAMP)
    assert of.item("1", 0.25) == b'{"itemId":"1","score":0.25,"name":"Lamp","price":9.5}'
    assert json.loads(of.item("1", None))["score"] is None
    assert of.items(["1"], [0.25]) == [of.item("1", 0.25)]


def test_where_no_scores_are_known_none_stands_in_an_item():
    assert catalogue(scored=True, _1=LAMP).items(["1"]) == [b'{"itemId":"1","name":"Lamp","price":9.5}']


def test_fields_of_any_name_and_type_are_carried_as_they_are():
    fields = ("pos", "userId", "a.b", "Name", "name", "big", "deep")
    item = {"pos": [1, 2], "userId": "x", "a.b": 0, "Name": "A", "name": "a", "big": 2**70, "deep": {"x": [None, "é"]}}
    of = catalogue(fields, _1=item)
    assert json.loads(of.item("1", None)) == {"itemId": "1", **item}


def test_a_record_is_put_together_from_its_items_pieces():
    line = upsert_line("ann", BOTH.items(["2", "1"]), query_item_ids=["7"], changed=["price"])
    record = SyncRecord.model_validate_json(line)
    assert (record.user_id, record.query_item_ids, record.changed) == ("ann", ["7"], ["price"])
    assert [item["name"] for item in record.recommendations] == ["Scarf", "Lamp"]
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1


def test_a_tombstone_is_a_record_of_its_own():
    assert SyncRecord.model_validate_json(clear_line('a"b')).user_id == 'a"b'


def test_a_holdout_is_a_record_of_its_own_and_so_is_its_end():
    held_out = SyncRecord.model_validate_json(holdout_line('a"b'))
    assert (held_out.user_id, held_out.op) == ('a"b', "holdout")
    assert SyncRecord.model_validate_json(upsert_line("ann", BOTH.items(["1"]), ends_holdout=True)).ends_holdout
    assert holdout_fingerprint(b"s") != holdout_fingerprint(b"t")


TEXT = st.text(min_size=1).filter(lambda text: text.isprintable())


@given(user=TEXT, name=st.text(), queries=st.lists(TEXT, max_size=3))
def test_any_text_makes_one_line_that_reads_back(user, name, queries):
    line = upsert_line(user, catalogue(("name",), _1={"name": name}).items(["1"]), query_item_ids=queries)
    record = SyncRecord.model_validate_json(line)
    assert (record.user_id, record.recommendations[0]["name"], record.query_item_ids or []) == (user, name, queries)
    assert line.count(b"\n") == 1


def test_half_a_surrogate_pair_is_no_text_and_stops_nothing():
    line = upsert_line("\udfff", catalogue(("name",), _1={"name": "\ud800"}).items(["1"]))
    assert SyncRecord.model_validate_json(line).user_id == "?"


@pytest.mark.parametrize("other", [["2", "1"], ["1"], ["1", "9"], ["12"], []])
def test_another_list_has_another_fingerprint(other):
    assert mark(["1", "2"]) != mark(other)


def test_a_listed_value_or_a_setting_changes_the_fingerprint_and_nothing_else_does():
    assert mark(["1"], catalogue(_1={**LAMP, "stock": 3})) == mark(["1"])
    assert mark(["1"], catalogue(_1={**LAMP, "price": 9.0})) != mark(["1"])
    assert mark(["1"], catalogue(_1={"name": "Lamp"})) != mark(["1"])
    assert mark(["1"], settings=b"t") != mark(["1"])
    assert mark(["1"], scores=[0.5]) != mark(["1"], scores=[0.25])
    assert -(2**63) <= mark(["1"]) < 2**63


def test_a_set_has_no_order_and_the_first_k_no_rest():
    assert mark(["1", "2"], policy=SET) == mark(["2", "1"], policy=SET)
    assert mark(["1", "2"], policy=SET) != mark(["1", "3"], policy=SET)
    assert mark(["1", "2", "3"], policy=TOP_2) == mark(["1", "2", "4"], policy=TOP_2)
    assert mark(["1", "2", "3"], policy=TOP_2) != mark(["2", "1", "3"], policy=TOP_2)
    assert len({mark(["1"], policy=policy) for policy in (EXACT, SET, TOP_2)}) == 3
    cheaper = catalogue(_1={**LAMP, "price": 1}, _2=SCARF)
    assert mark(["2", "3", "1"], policy=TOP_2) == mark(["2", "3", "1"], cheaper, TOP_2)
    assert mark(["2", "1"], policy=SET) != mark(["1", "2"], cheaper, SET)


@pytest.mark.parametrize(
    ("before", "after", "items", "changed"),
    [
        (["1"], ["1"], {"_1": {"name": "Lamp", "price": 1}}, ["price"]),
        (["1"], ["1"], {"_1": {"name": "Oil", "price": 1}}, ["name", "price"]),
        (["1", "9"], ["9", "1"], {"_1": LAMP}, ["itemId", "name", "price"]),
        (["8", "9"], ["9", "8"], {}, ["itemId"]),
        (["1"], ["1", "9"], {"_1": LAMP}, ["itemId", "name", "price"]),
        (["1"], ["2"], {"_2": LAMP}, ["itemId"]),
    ],
)
def test_the_changed_fields_are_those_whose_values_differ_at_some_rank(before, after, items, changed):
    now = catalogue(**items)
    assert changed_fields(FIELDS, before, BOTH.hashes, after, now.hashes) == changed


def test_a_catalogue_travels_without_what_it_made_ready_and_makes_the_same_again():
    scored = catalogue(scored=True, _1=LAMP)
    for one in (BOTH, scored):
        before = one.items(["1", "9"]), mark(["1", "9"], one)
        copy = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own
        assert copy == one and set(vars(copy)) == set(one.__dataclass_fields__)
        assert (copy.items(["1", "9"]), mark(["1", "9"], copy)) == before
