"""The same account, through real HTTP."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from cli.emulators.braze import BrazeEmulator
from cli.emulators.faults import Fault, FaultPlan
from connectors.base import Request
from connectors.http import Sender

HEADERS = {"Authorization": "Bearer canary"}
ANN = {"attributes": [{"external_id": "ann", "recs_ids": ["shoe"]}]}


@pytest.fixture
def braze() -> Iterator[BrazeEmulator]:
    with BrazeEmulator(api_key="canary") as emulator:
        yield emulator


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.headers.update(HEADERS)
        opened.trust_env = False
        yield opened


def test_a_call_reaches_the_account(braze, session):
    answer = session.post(f"{braze.endpoint}/users/track", json=ANN)
    assert (answer.status_code, answer.json()) == (201, {"message": "success", "attributes_processed": 1})
    assert answer.headers["Content-Type"] == "application/json"
    assert braze.account.profiles == {"ann": {"recs_ids": ["shoe"]}}


def test_a_wrong_key_is_refused(braze, session):
    answer = session.post(f"{braze.endpoint}/users/track", json=ANN, headers={"Authorization": "Bearer no"})
    assert (answer.status_code, braze.account.profiles) == (401, {})


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/users/track/"), ("POST", "/"), ("GET", "/users/track"), ("PUT", "/users/track")],
)
def test_any_other_address_is_an_invalid_url(braze, session, method, path):
    answer = session.request(method, braze.endpoint + path, json=ANN)
    assert (answer.status_code, answer.json()) == (404, {"message": "Invalid URL"})
    assert braze.account.stats.calls == 0


def test_a_body_of_unknown_length_is_refused(braze, session):
    answer = session.post(f"{braze.endpoint}/users/track", data=iter([b"{}"]))
    assert answer.status_code == 411


def test_one_connection_carries_many_calls_without_delay(braze, session):
    started = time.perf_counter()
    for _ in range(50):
        assert session.post(f"{braze.endpoint}/users/track", json=ANN).status_code == 201
    assert time.perf_counter() - started < 1
    assert len(braze._server._connections) == 1


def test_calls_are_answered_side_by_side(braze):
    def call(number: int) -> int:
        body = {"attributes": [{"external_id": f"user-{number}"}]}
        return requests.post(f"{braze.endpoint}/users/track", json=body, headers=HEADERS, timeout=10).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(call, range(100))) == {201}
    assert len(braze.account.profiles) == 100


def test_nothing_is_answered_after_the_end_not_even_on_an_open_connection(session):
    with BrazeEmulator(api_key="canary") as braze:
        session.post(f"{braze.endpoint}/users/track", json=ANN)
    with pytest.raises(requests.ConnectionError):
        session.post(f"{braze.endpoint}/users/track", json=ANN)
    assert braze.account.stats.calls == 1


def test_a_caller_who_hangs_up_makes_no_noise(braze, capfd):
    caller = socket.create_connection(("127.0.0.1", braze._server.server_port))
    caller.sendall(b"POST /users/track HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    wait_for(lambda: len(braze._server._connections) == 1)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
    caller.close()
    wait_for(lambda: not braze._server._connections)
    assert capfd.readouterr() == ("", "")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_faults_happen_as_planned_and_what_was_taken_stays_taken():
    script = [Fault.THROTTLED, Fault.UNAVAILABLE, Fault.RESET_AFTER, Fault.LATE, Fault.NONE]
    with BrazeEmulator(api_key="canary", faults=FaultPlan(script=script, late_s=0.4)) as braze:
        send = Sender(read_timeout_s=0.2)
        headers = {"Authorization": "Bearer canary", "Content-Type": "application/json"}
        bodies = [b'{"attributes":[{"external_id":"u%d","a":1}]}' % number for number in range(5)]
        replies = [send(Request(f"{braze.endpoint}/users/track", headers, body, [0])) for body in bodies]
    assert [reply.status for reply in replies] == [429, 503, 0, 0, 201]
    assert replies[0].headers["x-ratelimit-retry-after"] == "1"
    assert sorted(braze.account.profiles) == ["u2", "u3", "u4"]
