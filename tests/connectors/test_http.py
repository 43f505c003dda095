"""The sender against a real server on loopback: every answer is a Reply, and so is every failure."""

from __future__ import annotations

import gzip
import logging
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from connectors.base import Reply, Request
from connectors.http import CONNECT_TIMEOUT_S, MAX_IDLE_S, MAX_REPLY_BYTES, READ_TIMEOUT_S, TOTAL_TIMEOUT_S, Sender

Answer = Callable[["Handler"], None]


@dataclass(frozen=True)
class Heard:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int


class Server(ThreadingHTTPServer):
    """Answers every call as `answer` says, and keeps what it heard."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = whole()
        self.heard: list[Heard] = []
        self.is_over = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/track"

    def handle_error(self, *_: object) -> None:
        """Say nothing: a caller who hung up is what the test is about."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.heard.append(Heard(self.command, self.path, headers, body, self.client_address[1]))
        self.server.answer(self)

    do_GET = do_PUT = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def whole(status: int = 201, body: bytes = b"{}", **headers: str) -> Answer:
    return raw(
        f"HTTP/1.1 {status} Prose\r\nContent-Length: {len(body)}\r\n".encode()
        + b"".join(f"{name.replace('_', '-')}: {value}\r\n".encode("latin-1") for name, value in headers.items())
        + b"\r\n"
        + body,
        is_last=False,
    )


def raw(content: bytes, *, is_last: bool = True) -> Answer:
    """These bytes, after which the connection is closed unless the answer was whole."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(content)
        handler.close_connection = is_last

    return answer


def never(handler: Handler) -> None:
    handler.server.is_over.wait(5)
    handler.close_connection = True


def half_and_then_never(handler: Handler) -> None:
    handler.wfile.write(b'HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"message":')
    handler.wfile.flush()
    never(handler)


def dripping(head: bytes, rest: bytes = b"x" * 500) -> Answer:
    """A head at once, then a byte now and then, each well within the read limit."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(head)
        handler.wfile.flush()
        with suppress(OSError):  # the caller hung up
            for byte in rest:
                if handler.server.is_over.wait(0.02):
                    return
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.is_over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def other() -> Iterator[Server]:
    with Server() as running:
        thread = Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def send() -> Sender:
    return Sender(connect_timeout_s=1, read_timeout_s=0.2)


def request_to(
    url: str, *, headers: dict[str, str] | None = None, body: bytes = b"{}", method: str = "POST"
) -> Request:
    return Request(url, {"Authorization": "Bearer canary"} if headers is None else headers, body, [0], method)


def test_a_reply_has_status_headers_in_lower_case_and_body(server, send):
    server.answer = whole(201, b'{"message":"success"}', X_RateLimit_Reset="7", Content_Type="application/json")
    reply = send(request_to(server.url))
    assert (reply.status, reply.body, reply.failure) == (201, b'{"message":"success"}', "")
    assert reply.headers["x-ratelimit-reset"] == "7"
    assert all(name == name.lower() for name in reply.headers)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_request_arrives_as_it_was_made(server, send, method):
    body = '{"name":"Tänn"}'.encode()
    headers = {"Authorization": "Bearer canary", "Content-Type": "application/json"}
    send(request_to(server.url, headers=headers, body=body, method=method))
    (heard,) = server.heard
    assert (heard.method, heard.path, heard.body) == (method, "/track", body)
    assert heard.headers["authorization"] == "Bearer canary"
    assert heard.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [200, 400, 401, 404, 413, 429, 500, 503])
def test_no_status_is_an_exception(server, send, status):
    server.answer = whole(status, b"<html>prose</html>")
    assert send(request_to(server.url)) == Reply(status, {"content-length": "18"}, b"<html>prose</html>")


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints\r\nLink: </x>; rel=preload"])
def test_an_interim_answer_is_none_and_the_next_call_hears_its_own(server, send, interim):
    server.answer = raw(b"HTTP/1.1 %b\r\n\r\nHTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n" % interim, is_last=False)
    first = send(request_to(server.url))
    server.answer = whole(201)
    assert [first.status, send(request_to(server.url)).status] == [422, 201]


def test_a_connection_is_used_again_but_not_once_it_was_idle_for_long(server):
    times = iter([0.0, MAX_IDLE_S, MAX_IDLE_S, 2 * MAX_IDLE_S + 1, 2 * MAX_IDLE_S + 1])
    send = Sender(clock=lambda: next(times))
    for _ in range(3):
        assert send(request_to(server.url)).status == 201
    first, second, third = (heard.port for heard in server.heard)
    assert first == second != third


def test_an_answer_that_takes_the_connection_for_something_else_ends_it(server, send):
    server.answer = raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 201 Not ours\r\n\r\n", is_last=False)
    first = send(request_to(server.url))
    server.answer = whole(200)
    assert [first.status, send(request_to(server.url)).status] == [101, 200]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_f51_a_redirect_is_not_followed(server, other, send, status):
    server.answer = whole(status, b"", Location=other.url)
    reply = send(request_to(server.url))
    assert (reply.status, reply.headers["location"]) == (status, other.url)
    assert (len(server.heard), other.heard) == (1, [])


@pytest.mark.parametrize(
    "location", ["http://[::1", "\xff\xfe", "http://a..b/", "//", "", "javascript:1", "http://%zz:1"]
)
def test_f51_where_a_redirect_leads_is_not_even_read(server, send, location):
    server.answer = whole(302, b"", Location=location)
    assert send(request_to(server.url)).status == 302


def test_f48_a_slow_answer_is_no_reply(server, send):
    server.answer = never
    assert send(request_to(server.url)) == Reply(status=0, failure="ReadTimeout")


def test_f48_a_refused_connection_is_no_reply_and_nothing_can_have_arrived(send):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        reply = send(request_to(f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert (reply.status, reply.failure) == (0, "NotConnected")


@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n"),
        raw(b'HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"message":"success"}'),
        raw(b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{"message":"success"}\r\n'),
        raw(b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{"message":"success"}'),
        raw(b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        raw(b"not HTTP at all\r\n\r\n"),
        raw(b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 300 + b"\r\n"),
        half_and_then_never,
    ],
)
def test_f48_half_a_reply_is_no_reply(server, send, answer):
    server.answer = answer
    reply = send(request_to(server.url))
    assert (reply.status, reply.headers, reply.body) == (0, {}, b"")
    assert reply.failure


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n",
        b'HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n{"message":"success"}',
        b"HTTP/1.1 201 Created\r\nX-Long: ",
        b"HTTP/1.1 20",
        b"",
    ],
    ids=["body", "chunks", "body until closed", "header", "status", "nothing yet"],
)
def test_f48_a_server_that_drips_does_not_hold_a_call_for_ever(server, head):
    """Ten seconds of drops, each within the read limit of one second; only the limit of the whole call ends it."""
    server.answer = dripping(head)
    send = Sender(connect_timeout_s=1, read_timeout_s=1, total_timeout_s=0.3)
    reply = send(request_to(server.url))
    assert (reply.status, reply.failure, reply.body) == (0, "TotalTimeout", b"")


def test_f48_an_answer_that_drips_and_ends_in_time_is_a_reply(server):
    server.answer = dripping(b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n", b"slow")
    send = Sender(connect_timeout_s=1, read_timeout_s=1, total_timeout_s=20)
    assert send(request_to(server.url)).body == b"slow"


def test_f48_a_call_that_ran_out_of_time_leaves_the_next_one_all_of_it(server):
    send = Sender(connect_timeout_s=1, read_timeout_s=1, total_timeout_s=0.8)
    server.answer = dripping(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n")
    assert send(request_to(server.url)).failure == "TotalTimeout"
    server.answer = whole(201, b"in time")
    assert [send(request_to(server.url)).body for _ in range(3)] == [b"in time"] * 3


def test_f48_the_limits_of_a_call_are_in_order():
    assert 0 < CONNECT_TIMEOUT_S < READ_TIMEOUT_S < TOTAL_TIMEOUT_S
    assert CONNECT_TIMEOUT_S + READ_TIMEOUT_S < TOTAL_TIMEOUT_S


@pytest.mark.parametrize("packed", [False, True])
def test_f48_an_answer_without_end_is_no_reply(server, send, packed):
    body = b"x" * (MAX_REPLY_BYTES + 1)
    content = gzip.compress(body) if packed else body
    server.answer = whole(201, content, **({"Content_Encoding": "gzip"} if packed else {}))
    assert send(request_to(server.url)) == Reply(status=0, failure="ReplyTooLarge")
    server.answer = whole(201, b"x" * MAX_REPLY_BYTES)
    assert len(send(request_to(server.url)).body) == MAX_REPLY_BYTES


@pytest.mark.parametrize("head", [b"HTTP/1.1 201 Cre", b"HTTP/1.1 201 Created\r\nContent-Le"])
def test_f48_a_head_cut_short_brings_no_body_that_could_say_success(server, send, head):
    server.answer = raw(head)
    assert send(request_to(server.url)).body == b""


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://[::1/", {}),
        ("http://a..b/", {}),
        ("http://é..b/", {}),
        ("http://127.0.0.1:99999/", {}),
        ("nowhere", {}),
        ("http://127.0.0.1:9/", {"Authorization": "Bearer canary\n"}),
        ("http://127.0.0.1:9/", {"Authorization": "Bearer canary €"}),
    ],
)
def test_what_cannot_be_sent_is_no_reply_either(send, url, headers):
    reply = send(request_to(url, headers=headers))
    assert reply.status == 0
    assert reply.failure
    assert "canary" not in repr(reply)


def test_the_next_call_after_a_failure_is_answered(server, send):
    server.answer = raw(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\nhalf")
    assert send(request_to(server.url)).status == 0
    server.answer = whole()
    assert send(request_to(server.url)).status == 201


def test_proxies_of_the_environment_are_ignored(server, other, send, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert send(request_to(server.url)).status == 201
    assert (len(server.heard), other.heard) == (1, [])


@pytest.mark.parametrize(("headers", "arrived"), [({}, None), ({"Authorization": "Bearer canary"}, "Bearer canary")])
def test_a_netrc_file_is_ignored(server, send, monkeypatch, tmp_path, headers, arrived):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    send(request_to(server.url, headers=headers))
    assert server.heard[0].headers.get("authorization") == arrived


def test_cookies_are_not_kept(server, send):
    server.answer = whole(201, Set_Cookie="id=1")
    for _ in range(2):
        send(request_to(server.url))
    assert "cookie" not in server.heard[1].headers


def test_nothing_is_sent_by_a_call_whose_time_went_by_while_it_connected(server, monkeypatch):
    connect = socket.socket.connect

    def slowly(self: socket.socket, address: object) -> None:
        time.sleep(0.05)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", slowly)
    reply = Sender(total_timeout_s=0.02)(request_to(server.url))
    assert (reply.status, reply.failure, server.heard) == (0, "ConnectTimeout", [])


def test_an_address_that_is_a_key_is_not_logged_by_whoever_cannot_read_the_answer(server, send, caplog):
    server.answer = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nthis line is no header\r\nX-Other: 1\r\n\r\n")
    with caplog.at_level(logging.DEBUG):
        send(request_to(f"{server.url}/canary?token=canary"))
    assert "canary" not in caplog.text


def test_many_threads_may_share_a_sender(server):
    send = Sender()  # patient: all of them want the processor at once
    server.answer = lambda handler: whole(201, handler.server.heard[-1].path.encode())(handler)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: send(request_to(server.url)), range(40)))
    assert {(reply.status, reply.body) for reply in replies} == {(201, b"/track")}
    assert len(server.heard) == 40


def test_a_request_shows_neither_key_nor_records():
    request = request_to("https://rest.iad-01.braze.com/users/track", body=b'{"external_id":"ann"}')
    assert "canary" not in repr(request)
    assert "ann" not in repr(request)
    assert "users/track" in repr(request)
