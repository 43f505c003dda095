"""SyncRecord: what stands on a line, and what comes back from it."""

from __future__ import annotations

import copy
import json
import pickle
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.contract.manifest import Message
from connectors.contract.receipts import Receipt
from connectors.contract.records import SharedItem, SyncRecord, made_of, user_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def recommendations(draw):
    keys = draw(st.lists(st.text(max_size=6).filter(lambda key: key != "itemId"), unique=True, max_size=3))
    return [
        {"itemId": draw(st.text(max_size=6)), **{key: draw(json_values) for key in keys}}
        for _ in range(draw(st.integers(0, 3)))
    ]


names = st.none() | st.lists(st.text(max_size=6), max_size=3)
user_ids = st.text(min_size=1, max_size=12)
upserts = st.builds(
    SyncRecord,
    user_id=user_ids,
    op=st.just("upsert"),
    recommendations=recommendations(),
    query_item_ids=names,
    changed=names,
)
ends = st.builds(
    SyncRecord,
    user_id=user_ids,
    op=st.just("upsert"),
    recommendations=recommendations(),
    query_item_ids=names,
    ends_holdout=st.just(True),
)
others = st.builds(SyncRecord, user_id=user_ids, op=st.sampled_from(["clear", "holdout"]))


@given(upserts | ends | others)
@example(SyncRecord(user_id='","op":"', op="clear"))
@example(SyncRecord(user_id="\\", op="upsert", recommendations=[{"itemId": '","op":'}]))
def test_a_record_says_whom_it_is_for_before_the_rest_is_read(record):
    assert user_of(f"{record.to_json()}\n".encode()) == record.user_id


@pytest.mark.parametrize("line", [b"", b"{}", b'{"userId":"ann"}', b'{"op":"clear","userId":"ann"}', b"\x00\xff"])
def test_what_is_no_record_is_for_nobody(line):
    with pytest.raises(ValueError, match="no record"):
        user_of(line)


@given(upserts | ends | others)
def test_a_record_comes_back_from_its_line_as_it_was(record):
    line = record.to_json()
    assert "\n" not in line
    assert SyncRecord.model_validate_json(line) == record


@given(upserts | ends | others)
def test_what_a_record_has_not_is_no_key_of_its_line(record):
    has = {
        "userId": record.user_id,
        "op": record.op,
        "recommendations": record.recommendations,
        "queryItemIds": record.query_item_ids,
        "changed": record.changed,
        "endsHoldout": record.ends_holdout,
    }
    assert json.loads(record.to_json()) == {key: value for key, value in has.items() if value is not None}


@given(upserts)
def test_items_keep_their_keys_in_order_and_their_nulls(record):
    items = json.loads(record.to_json())["recommendations"]
    assert [list(item.items()) for item in items] == [list(item.items()) for item in record.recommendations]


@pytest.mark.parametrize(
    "line",
    [
        '{"userId":"124","op":"upsert","recommendations":[{"itemId":"106","price":90.99,"image":null}],'
        '"queryItemIds":["105"],"changed":["itemId","price"]}',
        '{"userId":"124","op":"upsert","recommendations":[]}',
        '{"userId":"125","op":"clear"}',
        '{"userId":"126","op":"holdout"}',
        '{"userId":"126","op":"upsert","recommendations":[],"endsHoldout":true}',
    ],
)
def test_a_line_is_written_as_it_was_read(line):
    assert SyncRecord.model_validate_json(line).to_json() == line


def test_every_digit_of_a_long_number_is_kept():
    line = '{"userId":"a","op":"upsert","recommendations":[{"itemId":"1","ean":123456789012345678901234567890}]}'
    assert SyncRecord.model_validate_json(line).to_json() == line


def test_an_unknown_key_is_passed_over():
    record = SyncRecord.model_validate_json('{"userId":"a","op":"clear","mood":"good"}')
    assert record == SyncRecord(user_id="a", op="clear")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "null",
        '{"op":"clear"}',
        '{"userId":"","op":"clear"}',
        '{"userId":7,"op":"clear"}',
        '{"userId":null,"op":"clear"}',
        '{"userId":"a"}',
        '{"userId":"a","op":"delete"}',
        '{"userId":"a","op":"upsert"}',
        '{"userId":"a","op":"upsert","recommendations":null}',
        '{"userId":"a","op":"clear","recommendations":[]}',
        '{"userId":"a","op":"holdout","recommendations":[{"itemId":"1"}]}',
        '{"userId":"a","op":"clear","endsHoldout":true}',
        '{"userId":"a","op":"upsert","recommendations":[],"endsHoldout":false}',
        '{"userId":"a","op":"upsert","recommendations":[],"changed":["itemId"],"endsHoldout":true}',
        '{"userId":"a","op":"upsert","recommendations":["1"]}',
        '{"userId":"a","op":"upsert","recommendations":[{"name":"shoe"}]}',
        '{"userId":"a","op":"upsert","recommendations":[{"itemId":1}]}',
        '{"userId":"a","op":"upsert","recommendations":[{"itemId":null}]}',
        '{"userId":"a","op":"upsert","recommendations":[{"itemId":"1","name":"x"},{"itemId":"2"}]}',
        '{"userId":"a","op":"upsert","recommendations":[{"itemId":"1","a":1,"b":2},{"itemId":"2","b":2,"a":1}]}',
    ],
)
def test_a_line_of_another_shape_is_refused(line):
    with pytest.raises(ValidationError):
        SyncRecord.model_validate_json(line)


def test_a_record_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        SyncRecord(user_id="a", op="clear").op = "holdout"


@pytest.mark.parametrize(
    ("model", "raw"),
    [
        (SyncRecord, {"userId": "ann", "op": "explode"}),
        (SyncRecord, {"userId": "ann", "op": "upsert"}),
        (SyncRecord, {"userId": ["ann"], "op": "clear"}),
        (SyncRecord, {"userId": "bob", "op": "upsert", "recommendations": [{"id": "ann"}]}),
        (Receipt, {"file": "part", "from": 1, "to": 0, "rejected": [{"line": "x", "userId": "ann"}]}),
        (Message, {"lines": [{"userId": "ann"}, "bob"], "from": -1}),
        (Message, {"lines": "ann"}),
    ],
)
def test_f58_what_cannot_be_read_is_named_and_not_quoted(model, raw):
    for read in (model.model_validate, lambda content: model.model_validate_json(json.dumps(content))):
        with pytest.raises(ValidationError, match=model.__name__) as caught:
            read(raw)
        assert not re.search("ann|bob", str(caught.value))
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json('{"userId": "ann", ')
    assert "ann" not in str(caught.value)


# Items that records share


@given(upserts)
def test_a_record_of_shared_items_is_the_same_record(record):
    shared = record.model_copy(update={"recommendations": [SharedItem(item) for item in record.recommendations]})
    assert shared == record
    assert shared.to_json() == record.to_json()
    assert json.dumps(shared.recommendations) == json.dumps(record.recommendations)


def unpickled(item):
    return pickle.loads(pickle.dumps(item))  # noqa: S301 - made here


@pytest.mark.parametrize(
    "change",
    [
        lambda item: item.update(name="b"),
        lambda item: item.__setitem__("name", "b"),
        lambda item: item.__delitem__("name"),
        lambda item: item.__ior__({"name": "b"}),
        lambda item: item.setdefault("size", 7),
        lambda item: item.pop("name"),
        lambda item: item.popitem(),
        lambda item: item.clear(),
    ],
)
def test_a_shared_item_cannot_be_changed_and_its_copy_can(change):
    item = SharedItem({"itemId": "1", "name": "a"})
    with pytest.raises(TypeError, match="change a copy"):
        change(item)
    assert item == {"itemId": "1", "name": "a"}
    for copied in (
        {**item},
        item.copy(),
        item | {},
        copy.copy(item),
        copy.deepcopy(item),
        unpickled(item),
    ):
        change(copied)
        assert type(copied) is dict and copied != item


def test_what_is_made_of_a_shared_item_is_made_once_until_another_function_asks():
    asked, items = [], [SharedItem({"itemId": "1"}), {"itemId": "2"}]

    def name(item):
        asked.append(item["itemId"])
        return f"item {item['itemId']}"

    def other(item):
        return None

    assert made_of(items, name) == made_of(items, name) == ["item 1", "item 2"]
    assert asked == ["1", "2", "2"]
    assert made_of(items, other) == [None, None]
    assert made_of(items, name) == ["item 1", "item 2"]
    assert asked == ["1", "2", "2", "1", "2"]
