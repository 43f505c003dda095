"""Records → signed requests, and through real HTTP to a receiver that checks them."""

from __future__ import annotations

import json
from itertools import count

import pytest

from cli.emulators.webhook import WebhookEmulator, WebhookReceiver
from connectors.base import Destination, Reply, Verdict
from connectors.contract.records import SyncRecord
from connectors.errors import ConfigError
from connectors.http import Sender
from connectors.webhook.config import LIMITS, WebhookOptions
from connectors.webhook.connector import WebhookConnector

SECRET = "whsec_" + "Y2FuYXJ5" * 4
OLD_SECRET = "whsec_" + "b2xk" * 8
NOW_S = 1_795_233_600.0
RUN = "20261121T040000Z-3f9a2c"
OPTIONS = WebhookOptions(item_metadata_fields=["name"])


def webhook(secret: str = SECRET, clock=lambda: NOW_S) -> WebhookConnector:
    return WebhookConnector(Destination("https://hooks.example.com/recs?token=canary", secret), clock)


def upsert(user: str, name: str = "Tan Shoe") -> SyncRecord:
    return SyncRecord(user_id=user, op="upsert", recommendations=[{"itemId": "106", "name": name}])


def test_each_record_is_a_request_of_its_own():
    requests = webhook().requests([upsert("ann"), SyncRecord(user_id="bob", op="clear")], OPTIONS, run_id=RUN)
    assert [json.loads(request.body)["data"]["userId"] for request in requests] == ["ann", "bob"]
    assert [list(request.sent) for request in requests] == [[0], [1]]
    assert {request.url for request in requests} == {"https://hooks.example.com/recs?token=canary"}


def test_a_retry_has_the_same_id_and_body_and_a_time_and_signature_of_its_own():
    times = count(NOW_S, 60)
    connector = webhook(clock=lambda: next(times))
    (first,), (again,) = (connector.requests([upsert("ann")], OPTIONS, run_id=RUN) for _ in range(2))
    assert first.body == again.body
    differ = {name for name in first.headers if first.headers[name] != again.headers[name]}
    assert differ == {"webhook-timestamp", "webhook-signature"}


@pytest.mark.parametrize("known", [SECRET, OLD_SECRET])
def test_while_a_secret_is_replaced_a_receiver_of_either_is_content(known):
    (request,) = webhook(f"{SECRET} {OLD_SECRET}").requests([upsert("ann")], OPTIONS, run_id=RUN)
    assert WebhookReceiver(known).receive(request.headers, request.body, NOW_S) == 204
    (request,) = webhook("whsec_" + "b3Ro" * 8).requests([upsert("ann")], OPTIONS, run_id=RUN)
    assert WebhookReceiver(known).receive(request.headers, request.body, NOW_S) == 401


def test_f58_the_secret_stands_nowhere():
    (request,) = webhook().requests([upsert("ann")], OPTIONS, run_id=RUN)
    texts = [repr(webhook()), repr(request), str(request.headers), str(request.body)]
    assert not any(SECRET in text or SECRET[6:] in text for text in texts)


def test_an_event_over_20_kb_is_a_warning_and_one_over_256_kb_is_refused():
    assert webhook().fit(upsert("ann", "x" * 19_000), OPTIONS).warnings == ()
    large = upsert("ann", "x" * 21_000)
    assert (webhook().fit(large, OPTIONS).record, webhook().fit(large, OPTIONS).warnings) == (large, ("over_20_kb",))
    refused = webhook().fit(upsert("user-4711", "x" * 256_000), OPTIONS)
    assert refused.record is None and refused.refusal.verdict is Verdict.REJECTED
    assert refused.refusal.code == "too_large" and "lower recommendations.maxItems" in refused.refusal.reason
    assert len(refused.refusal.reason) <= 120 and "4711" not in refused.refusal.reason
    assert len(webhook().requests([large], OPTIONS, run_id=RUN)[0].body) <= LIMITS.max_bytes


@pytest.mark.parametrize("endpoint", ["http://hooks.example.com", "https://10.0.0.1/", "http://127.0.0.1:80/"])
def test_f55_an_endpoint_that_is_not_public_gets_no_connector(endpoint):
    with pytest.raises(ConfigError) as caught:
        WebhookConnector(Destination(endpoint, SECRET))
    assert SECRET not in str(caught.value)


def test_a_receiver_hears_who_gets_what_and_who_gets_nothing_any_more():
    with WebhookEmulator(SECRET) as emulator:
        connector, send = WebhookConnector(Destination(emulator.endpoint, SECRET, allow_loopback=True)), Sender()
        first = [upsert("ann"), upsert("bob"), SyncRecord(user_id="eve", op="holdout")]
        for records in (first, first, [SyncRecord(user_id="bob", op="clear")]):
            for request in connector.requests(records, OPTIONS, run_id=RUN):
                told = connector.outcomes(send(request), [records[position] for position in request.sent])
                assert [outcome.verdict for outcome in told] == [Verdict.DELIVERED]
    receiver = emulator.receiver
    assert receiver.users == {"ann": json.loads(upsert("ann").to_json()), "eve": {"userId": "eve", "op": "holdout"}}
    assert (receiver.events, receiver.repeats, receiver.refused) == (7, 3, 0)


def test_a_wrong_secret_is_a_mistake_of_the_settings():
    with WebhookEmulator(OLD_SECRET) as emulator:
        connector = WebhookConnector(Destination(emulator.endpoint, SECRET, allow_loopback=True))
        (request,) = connector.requests([upsert("ann")], OPTIONS, run_id=RUN)
        with pytest.raises(ConfigError, match="WEBHOOK_SECRET"):
            connector.outcomes(Sender()(request), [upsert("ann")])


def test_outcomes_stand_for_every_record_sent():
    assert webhook().outcomes(Reply(204), []) == []
