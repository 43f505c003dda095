"""Braze on loopback: a real HTTP server in front of a `BrazeAccount`.

with BrazeEmulator(api_key="secret") as braze:
    requests.post(f"{braze.endpoint}/users/track", ...)
    braze.account.profiles["ann"]
"""

from __future__ import annotations

import json
import socket
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

from cli.emulators.braze_account import Answer, BrazeAccount
from cli.emulators.faults import Fault, FaultPlan

HOST = "127.0.0.1"
PATH = "/users/track"


class BrazeEmulator:
    """A server that runs while the context is open.

    Attributes:
        account: What Braze would know.
        endpoint: The address to call, without a trailing slash.
    """

    def __init__(self, api_key: str, port: int = 0, faults: FaultPlan | None = None) -> None:
        self.account = BrazeAccount(api_key)
        self._server = _Server(self.account, port, faults or FaultPlan())
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.endpoint = f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, account: BrazeAccount, port: int, faults: FaultPlan) -> None:
        self.account, self.faults = account, faults
        self._connections: set[socket.socket] = set()
        super().__init__((HOST, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close the open connections too, or a kept-alive one would go on being answered."""
        super().server_close()
        for connection in list(self._connections):
            with suppress(OSError):  # the caller hung up first
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong here; a caller who hung up is not that."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet; in two, delayed acknowledgements cost 40 ms a call
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True  # where the next call begins cannot be known
            self._send(Answer(411, {"message": "Length Required"}, {"Connection": "close"}))
            return
        body = self.rfile.read(int(length))
        is_track = self.command == "POST" and self.path.partition("?")[0] == PATH
        if is_track:
            self._meet(self.server.faults.next(), body)
        else:
            self._send(Answer(404, {"message": "Invalid URL"}))

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing: what came in stands in the account."""

    def _meet(self, fault: Fault, body: bytes) -> None:
        """Answer the call as its fault says; what is taken stays taken, whatever becomes of the answer."""
        if fault is Fault.THROTTLED:
            self._send(Answer(429, {"message": "Rate limit exceeded"}, {"X-Ratelimit-Retry-After": "1"}))
        elif fault is Fault.UNAVAILABLE:
            self._send(Answer(503, {"message": "Service Unavailable"}))
        else:
            answer = self._track(body)
            if fault is Fault.RESET_AFTER:
                self.close_connection = True
                return
            if fault is Fault.LATE:
                time.sleep(self.server.faults.late_s)
            self._send(answer)

    def _track(self, body: bytes) -> Answer:
        return self.server.account.track(dict(self.headers.items()), body)

    def _send(self, answer: Answer) -> None:
        content = json.dumps(answer.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        self.send_response(answer.status)
        for name, value in (headers | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
