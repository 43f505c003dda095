"""One record → one attributes object."""

from __future__ import annotations

import json

import pytest

from connectors.braze.config import BrazeOptions
from connectors.braze.payload import attributes_object, written
from connectors.braze.values import compact_json
from connectors.contract.records import SharedItem, SyncRecord

SHOES = [
    {"itemId": "106", "name": "Tan Shoe", "price": 90.99, "image": None},
    {"itemId": "7", "name": None, "price": 0, "image": ""},
]


def options(shape: str, **more) -> BrazeOptions:
    fields = ["name", "price", "image"]
    return BrazeOptions(payload_shape=shape, attribute_prefix="recs_", item_metadata_fields=fields, **more)


def upsert(*items: dict) -> SyncRecord:
    return SyncRecord(user_id="ann", op="upsert", recommendations=list(items), query_item_ids=["1"])


def test_objects_are_one_attribute_and_leave_nulls_out():
    assert attributes_object(upsert(*SHOES), options("objects")) == {
        "external_id": "ann",
        "recs_items": [
            {"itemId": "106", "name": "Tan Shoe", "price": 90.99},
            {"itemId": "7", "price": 0, "image": ""},
        ],
    }


def test_arrays_are_one_attribute_a_field_and_a_missing_value_holds_its_place():
    assert attributes_object(upsert(*SHOES), options("arrays")) == {
        "external_id": "ann",
        "recs_itemId": ["106", "7"],
        "recs_name": ["Tan Shoe", ""],
        "recs_price": [90.99, 0],
        "recs_image": ["", ""],
    }


def test_ids_are_one_attribute_without_metadata():
    assert attributes_object(upsert(*SHOES), options("ids")) == {"external_id": "ann", "recs_itemId": ["106", "7"]}


def test_best_comes_first_and_the_id_before_everything_else():
    sent = attributes_object(upsert(*SHOES), options("objects"))
    assert next(iter(sent)) == "external_id"
    assert [next(iter(item)) for item in sent["recs_items"]] == ["itemId", "itemId"]


@pytest.mark.parametrize(("shape", "name"), [("objects", "items"), ("arrays", "itemId"), ("ids", "itemId")])
def test_without_a_prefix_the_names_stand_alone(shape, name):
    bare = BrazeOptions(payload_shape=shape)
    assert list(attributes_object(upsert({"itemId": "1"}), bare)) == ["external_id", name]


def test_a_field_that_no_item_has_holds_its_places_too():
    sent = attributes_object(upsert({"itemId": "1"}, {"itemId": "2"}), options("arrays"))
    assert sent["recs_name"] == ["", ""]


@pytest.mark.parametrize(
    ("shape", "sent"),
    [
        ("objects", {"recs_items": []}),
        ("arrays", {"recs_itemId": [], "recs_name": [], "recs_price": [], "recs_image": []}),
        ("ids", {"recs_itemId": []}),
    ],
)
def test_an_empty_list_is_sent_as_one(shape, sent):
    assert attributes_object(upsert(), options(shape)) == {"external_id": "ann", **sent}


@pytest.mark.parametrize("shape", ["objects", "arrays", "ids"])
def test_constants_ride_along_as_they_are(shape):
    constants = {"campaign": "autumn", "nested": {"a": [1]}, "none": None, "flag": False}
    sent = attributes_object(upsert(*SHOES), options(shape, other_attributes=constants))
    assert {name: sent[name] for name in constants} == constants


@pytest.mark.parametrize(
    ("shape", "ours"),
    [
        ("objects", {"recs_items"}),
        ("arrays", {"recs_itemId", "recs_name", "recs_price", "recs_image"}),
        ("ids", {"recs_itemId"}),
    ],
)
def test_a_clear_nulls_what_is_ours_and_what_once_was(shape, ours):
    record = SyncRecord(user_id="ann", op="clear")
    settings = options(shape, other_attributes={"campaign": "autumn"})
    sent = attributes_object(record, settings, retired=["old_items", "old_campaign"])
    nulls = dict.fromkeys([*ours, "campaign", "old_items", "old_campaign"])
    assert sent == {"external_id": "ann", **nulls}


def test_an_upsert_leaves_retired_attributes_alone():
    assert "old" not in attributes_object(upsert(*SHOES), options("objects"), retired=["old"])


def test_an_attribute_both_retired_and_ours_is_nulled_once():
    record = SyncRecord(user_id="ann", op="clear")
    sent = attributes_object(record, options("ids"), retired=["recs_itemId"])
    assert sent == {"external_id": "ann", "recs_itemId": None}


def test_a_holdout_nulls_what_is_ours_and_sets_the_mark():
    record = SyncRecord(user_id="ann", op="holdout")
    sent = attributes_object(record, options("objects"), retired=["old"])
    assert sent == {"external_id": "ann", "old": None, "recs_items": None, "recs_holdout": True}


@pytest.mark.parametrize("on_retired", ["keep", "clear"])
def test_what_ends_a_holdout_removes_the_mark_and_what_the_holdout_had_nulled(on_retired):
    record = upsert(*SHOES).model_copy(update={"ends_holdout": True})
    settings = options("ids", other_attributes={"campaign": "autumn"}, on_attribute_retired=on_retired)
    sent = attributes_object(record, settings, retired=["old_items", "old_holdout", "recs_holdout"])
    assert sent == {
        "external_id": "ann",
        "old_items": None,
        "old_holdout": None,
        "recs_holdout": None,
        "campaign": "autumn",
        "recs_itemId": ["106", "7"],
    }


def test_the_mark_is_removed_also_where_nothing_is_retired():
    record = upsert().model_copy(update={"ends_holdout": True})
    assert attributes_object(record, options("ids")) == {
        "external_id": "ann",
        "recs_holdout": None,
        "recs_itemId": [],
    }


def test_a_mark_that_was_set_before_is_set_again_by_a_holdout_and_nulled_by_a_clear():
    retired = ["recs_holdout", "old_holdout"]
    held_out = attributes_object(SyncRecord(user_id="ann", op="holdout"), options("ids"), retired)
    assert (held_out["recs_holdout"], held_out["old_holdout"]) == (True, None)
    cleared = attributes_object(SyncRecord(user_id="ann", op="clear"), options("ids"), retired)
    assert (cleared["recs_holdout"], cleared["old_holdout"]) == (None, None)


def test_the_record_itself_stays_as_it_was():
    record = upsert(*SHOES)
    before = record.to_json()
    attributes_object(record, options("objects"))["recs_items"][0]["name"] = "changed"
    assert record.to_json() == before


@pytest.mark.parametrize("text", ["<script>", "=cmd|' /C calc'!A0", "\x00", "\x1b[31m", "\u202e", "👟", "{{ x }}", '"'])
def test_f16_hostile_text_is_delivered_unchanged(text):
    sent = attributes_object(upsert({"itemId": text, "name": text}), options("objects"))
    assert json.loads(json.dumps(sent))["recs_items"] == [{"itemId": text, "name": text}]


def changed(*fields: str) -> SyncRecord:
    return upsert(*SHOES).model_copy(update={"changed": list(fields)})


def test_a_record_that_names_what_changed_sends_those_arrays_and_no_constants():
    settings = options("arrays", other_attributes={"campaign": "autumn"})
    assert attributes_object(changed("price"), settings) == {"external_id": "ann", "recs_price": [90.99, 0]}
    assert list(attributes_object(changed("itemId", "name"), settings)) == ["external_id", "recs_itemId", "recs_name"]


@pytest.mark.parametrize(("shape", "name"), [("objects", "recs_items"), ("ids", "recs_itemId")])
def test_one_attribute_is_sent_whole_whatever_changed_in_it(shape, name):
    settings = options(shape, other_attributes={"campaign": "autumn"})
    assert list(attributes_object(changed("itemId", "price"), settings)) == ["external_id", name]


def test_with_a_rank_before_it_every_value_of_an_array_is_its_own():
    same = [
        {"itemId": "1", "name": "x", "price": None, "image": True},
        {"itemId": "2", "name": "x", "price": 5, "image": 5},
    ]
    sent = attributes_object(upsert(*same), options("arrays", rank_prefix=True))
    assert sent["recs_name"] == ["1:x", "2:x"]
    assert sent["recs_price"] == ["1:", "2:5"]
    assert sent["recs_image"] == ["1:true", "2:5"]
    assert all(len(set(values)) == 2 for name, values in sent.items() if name != "external_id")


def test_profiles_are_not_created_where_the_settings_say_so():
    assert attributes_object(upsert(*SHOES), options("ids", update_existing_only=True))["_update_existing_only"] is True
    assert "_update_existing_only" not in attributes_object(upsert(*SHOES), options("ids"))


def test_retired_attributes_end_with_whole_records_where_the_settings_say_so():
    clears, keeps = options("ids", on_attribute_retired="clear"), options("ids")
    assert attributes_object(upsert(*SHOES), clears, ["old"])["old"] is None
    assert "old" not in attributes_object(upsert(*SHOES), keeps, ["old"])
    assert "old" not in attributes_object(changed("itemId"), clears, ["old"])


def shared(record: SyncRecord) -> SyncRecord:
    """The record as it comes out of a message."""
    items = record.recommendations
    return record.model_copy(update={"recommendations": items and [SharedItem(item) for item in items]})


@pytest.mark.parametrize("shape", ["objects", "arrays", "ids"])
@pytest.mark.parametrize(
    "record",
    [
        upsert(),
        upsert(*SHOES),
        upsert(*SHOES, {**SHOES[0], "name": {"a": [None, float("inf"), "\ud800"]}}),
        upsert(*SHOES).model_copy(update={"changed": ["price"]}),
        upsert(*SHOES).model_copy(update={"ends_holdout": True}),
        SyncRecord(user_id='"é', op="clear"),
        SyncRecord(user_id="ann", op="holdout"),
    ],
)
def test_what_is_written_is_the_attributes_object_and_its_size_is_known_before(shape, record):
    settings = options(shape, other_attributes={"campaign": "autumn"}, update_existing_only=True)
    for one in (record, shared(record), shared(record)):
        sent = written(one, settings, ["old"])
        assert sent.whole() == compact_json(attributes_object(record, settings, ["old"]))
        assert sent.size_bytes == len(sent.whole())


def test_an_attribute_both_retired_and_ours_is_written_once():
    settings = options("objects", on_attribute_retired="clear")
    sent = written(upsert(*SHOES), settings, ["recs_items", "old"]).whole()
    assert sent.count(b"recs_items") == 1
    assert json.loads(sent) == attributes_object(upsert(*SHOES), settings, ["recs_items", "old"])


def test_a_shared_item_is_written_once_for_all_records():
    item = SharedItem(SHOES[0])
    first, second = (written(SyncRecord(user_id="a", op="clear").model_copy(
        update={"op": "upsert", "recommendations": [item]}), options("objects")) for _ in range(2))  # fmt: skip
    assert first.items[0] is second.items[0]
