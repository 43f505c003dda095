"""Braze in virtual time: takes calls early or late, answers wrongly or not at all, and refuses some content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cli.emulators.braze_account import BrazeAccount
from cli.simulation.world import World
from connectors.base import Reply, Request
from connectors.http import TOTAL_TIMEOUT_S

# A list that holds this item is refused alone, one that holds the other refuses its whole call.
REFUSED_ITEM, FATAL_ITEM = "refused", "fatal"
# So many workers at once; one more finds every call answered at once.
_MOST_AT_ONCE = 4


class SimulatedBraze:
    """The destination.

    Attributes:
        taken: What was applied, in order: (external_id, the whole object sent), as compact JSON.
    """

    def __init__(self, world: World, secret: str) -> None:
        self._world, self._account, self._at_once = world, BrazeAccount(secret), 0
        self.taken: list[tuple[str, str]] = []

    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        """external_id → attributes."""
        return self._account.profiles

    def __call__(self, request: Request) -> Reply:
        """Send one request: see functions.calls.Send."""
        self._world.may_crash()
        if early := self._refusal_of_all():
            return early
        return self._takes_it(request)

    def _refusal_of_all(self) -> Reply | None:
        """An answer that says nothing about the records; none of them is taken."""
        world = self._world
        if world.goes_wrong("throttled"):
            return Reply(429, {"x-ratelimit-retry-after": str(world.random.randint(1, 60))}, b"{}")
        if world.goes_wrong("unavailable"):
            return Reply(503, {}, b"<html>")
        if world.goes_wrong("key refused"):
            return Reply(401, {}, b'{"message":"Invalid API key"}')
        return Reply(0, failure="ConnectTimeout") if world.goes_wrong("not reached") else None

    def _takes_it(self, request: Request) -> Reply:
        """Take the request somewhere in the time of the call; others go on meanwhile."""
        answers: list[Reply] = []
        is_lost = self._world.goes_wrong("answer lost")
        lasts_s = TOTAL_TIMEOUT_S if is_lost else self._world.random.choice([0.1, 0.1, 0.1, 5.0, 15.0])
        if self._at_once >= _MOST_AT_ONCE:
            answers.append(self._take(request))
        else:
            self._world.later(self._world.random.uniform(0, lasts_s), lambda: answers.append(self._take(request)))
            self._at_once += 1
            try:
                self._world.pass_time(lasts_s)
            finally:
                self._at_once -= 1
        self._world.may_crash()
        if self._world.goes_wrong("answer garbled"):
            return Reply(200, {}, b"<html>welcome</html>")
        return Reply(0, failure="ReadTimeout") if is_lost else answers[0]

    def _take(self, request: Request) -> Reply:
        body = json.loads(request.body)
        objects, kept = body["attributes"], []
        if any(_holds(thing, FATAL_ITEM) for thing in objects):
            return Reply(400, {}, b'{"message":"fatal"}')
        for thing in objects:
            is_refused = _holds(thing, REFUSED_ITEM)
            kept.append({"external_id": ""} if is_refused else thing)
            if not is_refused:
                self.taken.append((thing["external_id"], compact(thing)))
        answer = self._account.track(request.headers, json.dumps({**body, "attributes": kept}).encode())
        return Reply(answer.status, answer.headers, json.dumps(answer.body).encode())


def compact(thing: Mapping[str, Any]) -> str:
    """One text for one content."""
    return json.dumps(thing, sort_keys=True)


def _holds(thing: Mapping[str, Any], item_id: str) -> bool:
    return f'"{item_id}"' in json.dumps(thing) or f':{item_id}"' in json.dumps(thing)
