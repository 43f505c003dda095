"""The only room that opens a socket.

A reply is data, a failure to get one too: nothing is raised for what the network does. Redirects are
never followed, since the key would travel with them; proxies, .netrc and other settings of the
environment are not read, since they could change where the key goes.
"""

from __future__ import annotations

import queue

import requests

from connectors.base import Reply, Request

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 25.0


class Sender:
    """Sends requests and reads replies over kept-alive connections. May be shared by threads."""

    def __init__(self, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._timeouts = (connect_timeout_s, read_timeout_s)
        self._idle: queue.LifoQueue[requests.Session] = queue.LifoQueue()

    def __call__(self, request: Request) -> Reply:
        """Send one request and read its whole reply, or say why there is none."""
        session = self._session()
        try:
            response = session.request(
                request.method,
                request.url,
                data=request.body,
                headers=dict(request.headers),
                timeout=self._timeouts,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as error:  # ValueError: a host or header it cannot even encode
            return Reply(status=0, failure=type(error).__name__)
        finally:
            self._idle.put(session)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, headers, response.content)

    def _session(self) -> requests.Session:
        """A session no one else uses now: requests does not promise that they can be shared."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            session = _Session()
            session.trust_env = False
            return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: requests reads where a redirect leads even when it does not follow, and raises if it cannot."""
