"""A receiver takes what is genuine, of now and an event, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from cli.emulators.faults import Fault, FaultPlan
from cli.emulators.webhook import WebhookEmulator, WebhookReceiver
from connectors.base import Request
from connectors.http import Sender

KEY = b"k" * 24
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
NOW_S = 1_795_233_600


def event(op: str = "upsert", user: str = "ann", **more: Any) -> bytes:
    kind = "updated" if op == "upsert" else "cleared"
    data = {"userId": user, "op": op, **more}
    return json.dumps({"type": f"recommendations.{kind}", "timestamp": "2026-11-21T00:00:00Z", "data": data}).encode()


def headers(body: bytes, name: str = "msg_1", timestamp: int | str = NOW_S, key: bytes = KEY) -> dict[str, str]:
    digest = hmac.new(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"Webhook-Id": name, "webhook-timestamp": str(timestamp), "WEBHOOK-SIGNATURE": signature}


@pytest.fixture
def receiver() -> WebhookReceiver:
    return WebhookReceiver(SECRET)


def test_a_genuine_event_is_kept_by_user(receiver):
    body = event(recommendations=[{"itemId": "1"}])
    assert receiver.receive(headers(body), body, NOW_S) == 204
    assert receiver.users == {"ann": {"userId": "ann", "op": "upsert", "recommendations": [{"itemId": "1"}]}}


def test_a_clear_takes_the_user_out(receiver):
    for name, body in (("msg_1", event()), ("msg_2", event("clear")), ("msg_3", event("clear", user="bob"))):
        assert receiver.receive(headers(body, name), body, NOW_S) == 204
    assert receiver.users == {}


def test_a_repeat_changes_nothing_and_an_older_id_is_no_repeat(receiver):
    first, second = event(n=1), event(n=2)
    for name, body in (("msg_1", first), ("msg_1", first), ("msg_2", second), ("msg_1", first)):
        assert receiver.receive(headers(body, name), body, NOW_S) == 204
    assert (receiver.users["ann"]["n"], receiver.events, receiver.repeats) == (1, 4, 1)


def test_one_right_signature_among_others_is_enough(receiver):
    body = event()
    given = headers(body)
    given["WEBHOOK-SIGNATURE"] = f"v1,bm9wZQ== v1a,x {given['WEBHOOK-SIGNATURE']}"
    assert receiver.receive(given, body, NOW_S) == 204


@pytest.mark.parametrize(
    "given",
    [
        {},
        headers(event(), key=b"x" * 24),
        headers(event(user="bob")),
        headers(event(), name=""),
        headers(event()) | {"Webhook-Id": "msg_2"},
        headers(event()) | {"webhook-timestamp": str(NOW_S + 1)},
        headers(event()) | {"WEBHOOK-SIGNATURE": ""},
        headers(event()) | {"WEBHOOK-SIGNATURE": headers(event())["WEBHOOK-SIGNATURE"].replace("v1,", "v2,")},
        headers(event(), timestamp=NOW_S - 301),
        headers(event(), timestamp=NOW_S + 301),
        headers(event(), timestamp="now"),
        headers(event(), timestamp="9" * 5000),
    ],
)
def test_what_is_not_genuine_or_not_of_now_is_refused(receiver, given):
    assert receiver.receive(given, event(), NOW_S) == 401
    assert (receiver.users, receiver.refused) == ({}, 1)


@pytest.mark.parametrize("age_s", [-300, 0, 300])
def test_five_minutes_are_now(receiver, age_s):
    assert receiver.receive(headers(event()), event(), NOW_S + age_s) == 204


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b'{"type":"other"}', event().replace(b"userId", b"user"), b"null"],
)
def test_what_is_genuine_and_no_event_is_refused(receiver, body):
    assert receiver.receive(headers(body), body, NOW_S) == 400
    assert receiver.refused == 1


def test_calls_reach_the_receiver_side_by_side():
    with WebhookEmulator(SECRET) as emulator, requests.Session() as session:
        session.trust_env = False

        def call(number: int) -> int:
            body = event(user=f"user-{number}")
            sent = headers(body, f"msg_{number}", int(time.time()))
            return requests.post(emulator.endpoint, data=body, headers=sent, timeout=10).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(call, range(40))) == {204}
        assert session.post(emulator.endpoint + "/other", data=b"{}").status_code == 404
        assert session.post(emulator.endpoint, data=iter([b"{}"])).status_code == 411
        assert session.get(emulator.endpoint).status_code == 404
    assert len(emulator.receiver.users) == 40
    with pytest.raises(requests.ConnectionError):
        requests.post(emulator.endpoint, data=b"{}", timeout=10)


def test_faults_happen_as_planned_and_what_was_taken_stays_taken():
    script = [Fault.THROTTLED, Fault.UNAVAILABLE, Fault.RESET_AFTER, Fault.LATE, Fault.NONE]
    with WebhookEmulator(SECRET, faults=FaultPlan(script=script, late_s=0.4)) as emulator:
        send, replies = Sender(read_timeout_s=0.2), []
        for number in range(5):
            body = event(user=f"user-{number}")
            sent = headers(body, f"msg_{number}", int(time.time()))
            replies.append(send(Request(emulator.endpoint, sent, body, [0])))
    assert [reply.status for reply in replies] == [429, 503, 0, 0, 204]
    assert replies[0].headers["retry-after"] == "1"
    assert sorted(emulator.receiver.users) == ["user-2", "user-3", "user-4"]
