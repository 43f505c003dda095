"""One record → one event."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract.records import SyncRecord
from connectors.webhook.payload import event, event_id

AT, RUN = datetime(2026, 11, 21, 4, 0, tzinfo=UTC), "20261121T040000Z-000001"
ITEMS = [{"itemId": "106", "name": "Tan Shoe", "image": None}]
ANN = SyncRecord(user_id="ann", op="upsert", recommendations=ITEMS, query_item_ids=["1"], changed=["name"])


def test_an_event_is_the_record_as_it_stands_in_the_output():
    assert json.loads(event(ANN, AT)) == {
        "type": "recommendations.updated",
        "timestamp": "2026-11-21T04:00:00Z",
        "data": json.loads(ANN.to_json()),
    }


@pytest.mark.parametrize("op", ["clear", "holdout"])
def test_what_removes_is_a_clear_and_says_which(op):
    told = json.loads(event(SyncRecord(user_id="ann", op=op), AT))
    assert (told["type"], told["data"]) == ("recommendations.cleared", {"userId": "ann", "op": op})


def test_what_ends_a_holdout_is_an_update_that_says_so():
    left = SyncRecord(user_id="ann", op="upsert", recommendations=ITEMS, ends_holdout=True)
    told = json.loads(event(left, AT))
    assert (told["type"], told["data"]["endsHoldout"]) == ("recommendations.updated", True)
    assert "endsHoldout" not in json.loads(event(ANN, AT))["data"]


def test_a_list_that_comes_back_in_another_run_is_another_event():
    ids = {event_id(run_id, event(ANN, AT)) for run_id in (RUN, RUN, "20261121T040000Z-000002")}
    assert len(ids) == 2


@given(st.text(min_size=1), st.text())
def test_any_text_arrives_as_it_was(user, name):
    record = SyncRecord(user_id=user, op="upsert", recommendations=[{"itemId": "1", "name": name}])
    data = json.loads(event(record, AT))["data"]
    assert (data["userId"], data["recommendations"][0]["name"]) == (user, name)


def test_an_id_has_no_dot_as_dots_part_what_is_signed():
    name = event_id(RUN, event(ANN, AT))
    assert name.startswith("msg_") and len(name) == 36 and "." not in name
