"""Records → requests: all of them, in order, within the limits, in the documented form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Destination, Limits, Reply, Request, SyncOptions, Verdict
from connectors.braze.config import LIMITS, BrazeOptions
from connectors.braze.connector import BrazeConnector
from connectors.contract.records import SyncRecord
from connectors.errors import ConfigError

KEY = "canary-4f1c-92ab"
ENDPOINT = "https://rest.iad-01.braze.com"
OPTIONS = BrazeOptions(attribute_prefix="recs_", item_metadata_fields=["name"])


class NarrowConnector(BrazeConnector):
    """Braze, were its limits small enough to meet them with a few records."""

    limits = Limits(max_records=4, max_bytes=300)


@pytest.fixture
def braze() -> BrazeConnector:
    return BrazeConnector(Destination(ENDPOINT, KEY))


def upsert(user: str, name: str = "Tan Shoe") -> SyncRecord:
    return SyncRecord(user_id=user, op="upsert", recommendations=[{"itemId": "106", "name": name}])


def users_of(requests: Sequence[Request]) -> list[str]:
    return [sent["external_id"] for request in requests for sent in json.loads(request.body)["attributes"]]


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (74, [74]), (75, [75]), (76, [75, 1]), (200, [75, 75, 50])]
)
def test_75_records_fit_a_request_and_the_76th_does_not(braze, count, sizes):
    requests = braze.requests([upsert(f"u{number}") for number in range(count)], OPTIONS)
    assert [len(json.loads(request.body)["attributes"]) for request in requests] == sizes


@settings(max_examples=200)
@given(st.lists(st.integers(0, 400), max_size=20))
def test_each_record_is_in_exactly_one_request_in_order_and_within_the_limits(name_sizes):
    narrow = NarrowConnector(Destination(ENDPOINT, KEY))
    records = [upsert(f"u{number}", "é" * (size // 2)) for number, size in enumerate(name_sizes)]
    requests = narrow.requests(records, OPTIONS)
    assert list(chain.from_iterable(request.sent for request in requests)) == list(range(len(records)))
    assert users_of(requests) == [record.user_id for record in records]
    for request in requests:
        assert users_of([request]) == [records[position].user_id for position in request.sent]
        assert len(request.sent) <= 4
        assert len(request.body) <= 300 or len(request.sent) == 1
    for request, following in pairwise(requests):
        first_of_next = len(narrow.requests([records[following.sent[0]]], OPTIONS)[0].body) - len(b'{"attributes":[]}')
        assert len(request.sent) == 4 or len(request.body) + 1 + first_of_next > 300


def test_large_records_fill_a_request_by_bytes(braze):
    records = [upsert(f"u{number}", "x" * 60_000) for number in range(150)]
    requests = braze.requests(records, OPTIONS)
    assert [len(request.sent) for request in requests] == [63, 63, 24]
    assert all(len(request.body) <= LIMITS.max_bytes for request in requests)


def test_a_body_is_the_documented_json(braze):
    (request,) = braze.requests([upsert("ann"), SyncRecord(user_id="bob", op="clear")], OPTIONS, retired=["old"])
    assert (request.method, request.url) == ("POST", f"{ENDPOINT}/users/track")
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {
        "attributes": [
            {"external_id": "ann", "recs_items": [{"itemId": "106", "name": "Tan Shoe"}]},
            {"external_id": "bob", "old": None, "recs_items": None},
        ]
    }


@given(st.text(min_size=1), st.text())
def test_any_text_arrives_as_it_was(user, name):
    (request,) = BrazeConnector(Destination(ENDPOINT, KEY)).requests([upsert(user, name)], OPTIONS)
    (sent,) = json.loads(request.body)["attributes"]
    assert (sent["external_id"], sent["recs_items"][0]["name"]) == (user, name)


def test_every_request_of_a_retry_is_the_same(braze):
    records = [upsert(f"u{number}") for number in range(80)]
    assert braze.requests(records, OPTIONS) == braze.requests(records, OPTIONS)


def test_f58_the_key_stands_in_the_authorization_header_and_nowhere_else(braze):
    (request,) = braze.requests([upsert("ann")], OPTIONS)
    holders = [name for name, value in request.headers.items() if KEY in value]
    assert (holders, request.headers["Authorization"]) == (["Authorization"], f"Bearer {KEY}")
    assert KEY.encode() not in request.body
    assert KEY not in request.url
    assert KEY not in repr(request) + repr(braze) + repr(Destination(ENDPOINT, KEY))


def test_f55_an_endpoint_that_is_not_brazes_gets_no_connector():
    with pytest.raises(ConfigError) as caught:
        BrazeConnector(Destination("https://attacker.io", KEY))
    assert KEY not in str(caught.value)


def test_loopback_is_an_endpoint_where_it_is_allowed():
    here = BrazeConnector(Destination("http://127.0.0.1:8080/", KEY, allow_loopback=True))
    assert here.requests([upsert("ann")], OPTIONS)[0].url == "http://127.0.0.1:8080/users/track"
    with pytest.raises(ConfigError):
        BrazeConnector(Destination("http://127.0.0.1:8080/", KEY))


def test_options_of_another_connector_are_a_mistake_of_ours(braze):
    with pytest.raises(TypeError, match="BrazeOptions, not SyncOptions"):
        braze.requests([upsert("ann")], SyncOptions())


def test_outcomes_stand_in_the_order_sent(braze):
    records = [upsert("ann"), upsert("bob")]
    reply = Reply(201, {}, b'{"message":"success","errors":[{"type":"t","input_array":"attributes","index":1}]}')
    assert [outcome.verdict for outcome in braze.outcomes(reply, records)] == [Verdict.DELIVERED, Verdict.REJECTED]
    assert braze.outcomes(reply, []) == []
