"""The only room that opens a socket.

A reply is data, a failure to get one too: nothing is raised for what the network does. Redirects are
never followed, since the key would travel with them; proxies, .netrc and other settings of the
environment are not read, since they could change where the key goes.

Three limits hold for a call: to connect, to wait for the next bytes, and for all of it. The last one is
needed because a server that sends a byte now and then never makes the second one pass.
"""

from __future__ import annotations

import http.client
import io
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from connectors.base import Reply, Request

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 14.0
# An old call has to be over before a newer run's first one leaves: see docs/explanation/delivery.md.
TOTAL_TIMEOUT_S = 20.0
# An answer says something about at most one request's records; what is longer is not one of theirs.
MAX_REPLY_BYTES = 1_000_000

# A connection that nobody used for so long may be gone without a word, while a function waits to be called or on the
# way through a NAT. The next call on it would fail, as if the destination were in trouble.
MAX_IDLE_S = 30.0

# It logs addresses, and that of a webhook is a key.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)

# Until when the call of this thread has to be over, by the monotonic clock.
_call = threading.local()


class Sender:
    """Sends requests and reads replies over kept-alive connections. May be shared by threads."""

    def __init__(
        self,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._timeouts = (connect_timeout_s, read_timeout_s)
        self._total_timeout_s = total_timeout_s
        self._clock = clock
        self._idle: queue.LifoQueue[tuple[requests.Session, float]] = queue.LifoQueue()

    def __call__(self, request: Request) -> Reply:
        """Send one request and read its whole reply, or say why there is none."""
        session = self._session()
        _call.until_s = time.monotonic() + self._total_timeout_s
        try:
            return self._exchange(session, request)
        except (requests.RequestException, ValueError) as error:  # ValueError: a host or header it cannot even encode
            return Reply(status=0, failure=_failure(error))
        finally:
            self._idle.put((session, self._clock()))

    def _exchange(self, session: requests.Session, request: Request) -> Reply:
        with session.request(
            request.method,
            request.url,
            data=request.body,
            headers=dict(request.headers),
            timeout=self._timeouts,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = bytearray()
            for piece in response.iter_content(65_536):
                body += piece
                if len(body) > MAX_REPLY_BYTES:
                    return Reply(status=0, failure="ReplyTooLarge")
        return Reply(
            response.status_code, {name.lower(): value for name, value in response.headers.items()}, bytes(body)
        )

    def _session(self) -> requests.Session:
        """A session no one else uses now: requests does not promise that they can be shared."""
        with suppress(queue.Empty):
            while True:
                session, since_s = self._idle.get_nowait()
                if self._clock() - since_s <= MAX_IDLE_S:
                    return session
                session.close()
        return _new_session()


def _new_session() -> requests.Session:
    session = _Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("http://", _Adapter())
    session.mount("https://", _Adapter())
    return session


def _failure(error: Exception) -> str:
    """Why there is no reply, as a short name. `NotConnected` and `ConnectTimeout`: nothing can have arrived."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NewConnectionError):
        return "NotConnected"
    if isinstance(error, requests.ConnectTimeout):
        return "ConnectTimeout"
    return "TotalTimeout" if _left_s() <= 0 else type(error).__name__


def _left_s() -> float:
    return float(_call.until_s - time.monotonic())


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: requests reads where a redirect leads even when it does not follow, and raises if it cannot."""


class _Timed(io.RawIOBase):
    """What a connection brings, as long as its call may last."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw, self._connection = raw, connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s, usual_s = _left_s(), self._connection.gettimeout()
        if left_s <= 0:
            raise TimeoutError("the call lasts too long")
        self._connection.settimeout(left_s if usual_s is None else min(left_s, usual_s))
        try:
            return self._raw.readinto(buffer)
        finally:
            self._connection.settimeout(usual_s)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp: io.BufferedReader = io.BufferedReader(_Timed(self.fp.detach(), sock))

    def begin(self) -> None:
        """Read the head of the answer. http.client takes an interim one for it, and the next call would read ours."""
        super().begin()
        while self.status < HTTPStatus.OK and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment] # as before it has begun
            super().begin()


class _HttpConnection(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        super().connect()
        _check_time(self)


class _HttpsConnection(HTTPSConnection):
    response_class = _Response

    def connect(self) -> None:
        super().connect()
        _check_time(self)


def _check_time(connection: HTTPConnection) -> None:
    """Send nothing when the call's time went by: each address of a name may take as long as connecting may."""
    if _left_s() <= 0:
        connection.close()
        raise ConnectTimeoutError(connection, "connecting took all of the call's time")


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
