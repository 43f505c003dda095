"""Braze on loopback: a real HTTP server in front of a `BrazeAccount`.

with BrazeEmulator(api_key="secret") as braze:
    requests.post(f"{braze.endpoint}/users/track", ...)
    braze.account.profiles["ann"]
"""

from __future__ import annotations

import json

from cli.emulators.braze_account import Answer, BrazeAccount
from cli.emulators.faults import FaultPlan
from cli.emulators.server import Emulator, Manners, Said

PATH = "/users/track"


class BrazeEmulator(Emulator):
    """A server that runs while the context is open.

    Attributes:
        account: What Braze would know.
        endpoint: The address to call, without a trailing slash.
    """

    def __init__(self, api_key: str, faults: FaultPlan | None = None) -> None:
        self.account = BrazeAccount(api_key)
        manners = Manners(
            path=PATH,
            take=lambda headers, body: _said(self.account.track(headers, body)),
            throttled=_said(Answer(429, {"message": "Rate limit exceeded"}, {"X-Ratelimit-Retry-After": "1"})),
            unavailable=_said(Answer(503, {"message": "Service Unavailable"})),
            unknown=_said(Answer(404, {"message": "Invalid URL"})),
            unmeasured=_said(Answer(411, {"message": "Length Required"})),
        )
        super().__init__(manners, faults)
        self.endpoint = self.origin


def _said(answer: Answer) -> Said:
    headers = {"Content-Type": "application/json", **answer.headers}
    return Said(answer.status, json.dumps(answer.body).encode(), headers)
