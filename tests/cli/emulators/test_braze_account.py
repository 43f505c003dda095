"""What the account answers, what it keeps, and what it drops without a word."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cli.emulators.braze_account import Answer, BrazeAccount, Stats, as_set, data_points

HEADERS = {"Authorization": "Bearer secret", "Content-Type": "application/json"}


@pytest.fixture
def account() -> BrazeAccount:
    return BrazeAccount("secret")


def track(account: BrazeAccount, *attributes: Any, **arrays: Any) -> Answer:
    return account.track(HEADERS, json.dumps({"attributes": list(attributes), **arrays}).encode())


def track_ann(account: BrazeAccount, **attributes: Any) -> dict[str, Any]:
    assert track(account, {"external_id": "ann", **attributes}).status == 201
    return account.profiles["ann"]


# The call


def test_an_accepted_attribute_stands_on_the_profile(account):
    answer = track(account, {"external_id": "ann", "recs_ids": ["shoe", "hat"]})
    assert answer == Answer(201, {"message": "success", "attributes_processed": 1})
    assert account.profiles == {"ann": {"recs_ids": ["shoe", "hat"]}}
    assert account.stats == Stats(calls=1, objects=1, data_points=1)


@pytest.mark.parametrize("key", ["Bearer wrong", "Basic secret", "secret", "Bearer", ""])
def test_a_missing_or_wrong_key_is_refused(account, key):
    answer = account.track({**HEADERS, "Authorization": key}, b"{}")
    assert (answer.status, list(answer.body)) == (401, ["message"])
    assert account.stats == Stats(calls=1)


def test_header_names_scheme_and_charset_may_be_written_in_any_way(account):
    headers = {"AUTHORIZATION": "bearer secret", "content-type": "Application/JSON; charset=utf-8"}
    assert account.track(headers, b'{"attributes":[{"external_id":"ann"}]}').status == 201


def test_another_content_type_is_refused(account):
    assert account.track({**HEADERS, "Content-Type": "text/plain"}, b"{}").status == 415


def test_a_body_of_4_mb_is_taken_and_one_byte_more_is_not(account):
    body = b'{"attributes":[{"external_id":"ann"}]}'.ljust(4 * 1024 * 1024)
    assert account.track(HEADERS, body).status == 201
    assert account.track(HEADERS, body + b" ").status == 413


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"attributes":[NaN]}', b"[" * 100_000])
def test_what_is_not_json_is_refused(account, body):
    assert account.track(HEADERS, body) == Answer(400, {"message": "Invalid JSON"})


def test_75_objects_are_taken_and_76_over_all_arrays_are_not(account):
    users = [{"external_id": f"user-{number}"} for number in range(75)]
    event = {"external_id": "ann", "name": "seen", "time": "2026-01-31T02:00:00Z"}
    assert track(account, *users).body["attributes_processed"] == 75
    assert track(account, *users, events=[event]) == Answer(400, {"message": "Max Input Length Exceeded"})
    assert account.stats.objects == 75


# The objects


def test_a_refused_object_is_listed_by_its_place_and_its_neighbours_are_taken(account):
    event = {"external_id": "ann", "name": "seen"}
    answer = track(account, {"external_id": "ann", "a": 1}, {"a": 1}, {"external_id": "bob"}, events=[event])
    assert (answer.status, answer.body["message"]) == (201, "success")
    assert (answer.body["attributes_processed"], answer.body["events_processed"]) == (2, 0)
    places = [(error["input_array"], error["index"]) for error in answer.body["errors"]]
    assert places == [("attributes", 1), ("events", 0)]
    assert answer.body["errors"][1]["type"] == "'time' is required"
    assert account.profiles == {"ann": {"a": 1}, "bob": {}}
    assert (account.stats.objects, account.stats.refused) == (4, 2)


def test_a_call_of_nothing_but_refused_objects_fails(account):
    answer = track(account, {"a": 1}, "ann")
    assert (answer.status, [error["index"] for error in answer.body["errors"]]) == (400, [0, 1])
    assert (account.profiles, account.stats.refused) == ({}, 2)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"attributes":[]}', b'{"attributes":{"external_id":"ann"}}'])
def test_a_call_with_nothing_in_it_fails(account, body):
    answer = account.track(HEADERS, body)
    assert (answer.status, answer.body["errors"]) == (400, [])


@pytest.mark.parametrize(
    "identity",
    [
        {"external_id": "é" * 493},
        {"external_id": "\ud800"},
        {"external_id": "ann", "email": "ann@example.com"},
        {"braze_id": "b1"},
        {"user_alias": {"alias_name": "ann", "alias_label": "shop"}},
        {"email": "ann@example.com"},
        {"phone": "+14155550100"},
    ],
)
def test_one_identifier_is_enough(account, identity):
    assert track(account, identity).status == 201


@pytest.mark.parametrize(
    "identity",
    [
        {},
        {"external_id": ""},
        {"external_id": 7},
        {"external_id": None},
        {"external_id": {"alias_name": "ann", "alias_label": "shop"}},
        {"external_id": "é" * 494},
        {"external_id": "ann", "braze_id": "b1"},
        {"user_alias": {"alias_name": "ann"}},
        {"user_alias": "ann"},
        {"email": ""},
    ],
)
def test_no_identifier_two_or_a_broken_one_is_refused(account, identity):
    assert track(account, {**identity, "a": 1}).status == 400


def test_users_without_an_external_id_are_taken_and_not_kept(account):
    track(account, {"braze_id": "b1", "a": 1})
    assert (account.profiles, account.stats.data_points) == ({}, 1)


def test_events_and_purchases_cost_one_data_point_each(account):
    event = {"external_id": "ann", "name": "seen", "time": "2026-01-31T02:00:00Z"}
    purchase = {**event, "product_id": "shoe", "currency": "EUR", "price": 9.5}
    assert track(account, events=[event], purchases=[purchase]).status == 201
    assert account.stats == Stats(calls=1, objects=2, data_points=2)


def test_an_unknown_user_is_created_unless_only_existing_ones_are_to_be_updated(account):
    track(account, {"external_id": "ann", "a": 1, "_update_existing_only": False})
    answer = track(
        account,
        {"external_id": "ann", "a": 2, "_update_existing_only": True},
        {"external_id": "bob", "a": 2, "_update_existing_only": True},
    )
    assert answer == Answer(201, {"message": "success", "attributes_processed": 2})
    assert account.profiles == {"ann": {"a": 2}}
    assert (account.stats.data_points, account.stats.dropped) == (2, 0)


def test_the_fields_of_the_profile_itself_are_no_custom_attributes(account):
    assert track_ann(account, email="ann@example.com", first_name=None, _merge_objects=False) == {}
    assert account.stats.data_points == 0


# The values


@pytest.mark.parametrize(
    "value",
    ["x" * 255, "", 1, 1.5, True, [], ["x", 2], {"a": {"b": [1]}}, [{"a": 1}], {"on": {"$time": "2026-11-21"}}],
)
def test_a_good_value_is_kept_as_it_came(account, value):
    assert track_ann(account, a=value) == {"a": value}
    assert account.stats.dropped == 0


@pytest.mark.parametrize(
    "value",
    [
        "x" * 256,
        ["x" * 256],
        {"name": "x" * 256},
        {"name": None},
        {"deep": {"list": [None]}},
        [{"name": "shoe"}, {"name": None}],
        [{"name": "shoe"}, None],
        {"a.b": 1},
        {"$a": 1},
        {"a b": 1},
        {"x" * 256: 1},
        {"on": {"$time": "soon"}},
        [{"text": "x" * 250}] * 400,
        {f"key-{number}": "x" * 250 for number in range(400)},
    ],
)
def test_a_bad_value_is_dropped_under_an_answer_of_success(account, value):
    assert track_ann(account, a=value, b=1) == {"b": 1}
    assert account.stats.dropped == 1


def test_an_array_of_objects_may_have_exactly_100_kb(account):
    frame = len(json.dumps([{"text": ""}] * 500, separators=(",", ":")))
    items = [{"text": "x" * size} for size in share(100 * 1024 - frame, 500)]
    assert len(json.dumps(items, separators=(",", ":"))) == 100 * 1024
    assert track_ann(account, recs=items) == {"recs": items}
    track_ann(account, recs=[{"text": items[0]["text"] + "x"}, *items[1:]])
    assert (account.profiles["ann"]["recs"], account.stats.dropped) == (items, 1)


def share(total: int, parts: int) -> list[int]:
    return [total // parts + (number < total % parts) for number in range(parts)]


def test_a_dropped_update_leaves_the_old_value_and_costs_its_data_points(account):
    track_ann(account, recs=[{"name": "shoe"}])
    assert track_ann(account, recs=[{"name": None}]) == {"recs": [{"name": "shoe"}]}
    assert (account.stats.data_points, account.stats.dropped) == (2, 1)


def test_null_removes_an_attribute_and_costs_one_data_point(account):
    track_ann(account, recs=["shoe"], other="kept")
    assert track_ann(account, recs=None, never_there=None) == {"other": "kept"}
    assert (account.stats.data_points, account.stats.dropped) == (4, 0)


def test_an_attribute_keeps_the_type_of_its_first_value_for_all_users(account):
    track_ann(account, price=1, ids=["shoe"], recs=[])
    track(account, {"external_id": "bob", "price": "1", "ids": [{"id": "shoe"}], "recs": [{"id": "shoe"}]})
    assert account.profiles["bob"] == {"recs": [{"id": "shoe"}]}
    assert account.stats.dropped == 2


def test_a_type_outlives_null_and_is_not_set_by_a_dropped_value(account):
    track_ann(account, a="x" * 256, b="text")
    assert track_ann(account, a=1, b=None) == {"a": 1}
    assert track_ann(account, a=2.5, b=2) == {"a": 2.5}
    assert account.stats.dropped == 2


def test_true_is_not_the_number_one(account):
    track_ann(account, a=1)
    assert track_ann(account, a=True)["a"] is not True
    assert as_set([True, 1]) == [True, 1]


def test_a_name_is_trimmed_and_one_that_is_too_long_is_dropped(account):
    assert track_ann(account, **{" a ": 1, "x" * 256: 1}) == {"a": 1}
    assert account.stats.dropped == 1


def test_an_array_of_scalars_keeps_each_element_where_it_stood_last():
    assert as_set(["shoe", "hat", None, "shoe", "bag"]) == ["hat", "shoe", "bag"]


def test_an_array_of_scalars_keeps_its_last_500_elements():
    assert as_set(list(range(501))) == list(range(1, 501))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("shoe", 1),
        (None, 1),
        ([], 1),
        (["shoe", "hat"], 1),
        ({"a": 1, "b": [1, 2]}, 2),
        ({"a": 1, "b": {"c": 1, "d": 2}}, 3),
        ([dict.fromkeys("abcde", 1)] * 10, 50),
    ],
)
def test_a_data_point_is_a_key_sent(value, expected):
    assert data_points(value) == expected


def test_many_threads_are_all_counted(account):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: track(account, {"external_id": f"user-{number}", "a": 1}), range(400)))
    assert account.stats == Stats(calls=400, objects=400, data_points=400)
    assert len(account.profiles) == 400
