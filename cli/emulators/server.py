"""The HTTP half of every emulator: a server on loopback that answers calls, and fails as its plan says."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self, TypeAlias

from cli.emulators.faults import Fault, FaultPlan

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Said:
    """One HTTP answer."""

    status: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Take: TypeAlias = Callable[[Mapping[str, str], bytes], Said]


@dataclass(frozen=True)
class Manners:
    """How a destination says what has nothing to do with the call's content.

    Attributes:
        path: The one address that takes calls, by POST.
        take: The answer to a call, which is carried out.
        throttled: Calls come too fast.
        unavailable: Nothing can be taken now.
        unknown: There is no such address.
        unmeasured: The call does not say how long its body is.
    """

    path: str
    take: Take
    throttled: Said
    unavailable: Said = Said(503)
    unknown: Said = Said(404)
    unmeasured: Said = Said(411)


class Emulator:
    """A server that runs while the context is open.

    Attributes:
        origin: Scheme, host and port, without a trailing slash.
    """

    def __init__(self, manners: Manners, faults: FaultPlan | None) -> None:
        self._server = _Server(manners, faults or FaultPlan())
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.origin = f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, manners: Manners, faults: FaultPlan) -> None:
        self.manners, self.faults = manners, faults
        self._connections: set[socket.socket] = set()
        super().__init__((HOST, 0), _Handler)

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
        manners, length = self.server.manners, self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True  # where the next call begins cannot be known
            self._say(manners.unmeasured)
            return
        body = self.rfile.read(int(length))
        if self.command == "POST" and self.path.partition("?")[0] == manners.path:
            self._meet(self.server.faults.next(), body)
        else:
            self._say(manners.unknown)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing: what came in stands in the account."""

    def _meet(self, fault: Fault, body: bytes) -> None:
        """Answer the call as its fault says; what is taken stays taken, whatever becomes of the answer."""
        manners = self.server.manners
        if fault is Fault.THROTTLED:
            self._say(manners.throttled)
        elif fault is Fault.UNAVAILABLE:
            self._say(manners.unavailable)
        else:
            said = manners.take(dict(self.headers.items()), body)
            if fault is Fault.RESET_AFTER:
                self.close_connection = True
                return
            if fault is Fault.LATE:
                time.sleep(self.server.faults.late_s)
            self._say(said)

    def _say(self, said: Said) -> None:
        self.send_response(said.status)
        closing = {"Connection": "close"} if self.close_connection else {}
        for name, value in {"Content-Length": str(len(said.content)), **said.headers, **closing}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.content)
