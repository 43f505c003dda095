"""A queue as SQS is one: at least once, in any order, hidden for a while when handed out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cli.simulation.world import World
from functions.intake import Received


@dataclass
class _Held:
    received: Received
    visible_at_s: float


class SimulatedQueue:
    """See functions.enqueue.Queue."""

    def __init__(self, world: World, *, delay_s: float, visibility_s: float, wake: Callable[[], None]) -> None:
        """Take the rules of the queue.

        Args:
            delay_s: How long a new message waits where its sender says nothing.
            visibility_s: How long one that was handed out is hidden.
            wake: Called when a message becomes visible.
        """
        self._world, self._delay_s, self._visibility_s, self._wake = world, delay_s, visibility_s, wake
        self._numbers = itertools.count()
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        """Messages that are not deleted."""
        return len(self._held)

    def send(self, bodies: Sequence[str], *, delay_s: int = 0) -> list[int]:
        """See Queue."""
        self._world.may_crash()
        refused = []
        for position, body in enumerate(bodies):
            if self._world.goes_wrong("queue refuses an entry"):
                refused.append(position)
                continue
            for _ in range(2 if self._world.goes_wrong("queue doubles a message") else 1):
                self.add(body, delay_s)
        self._world.may_crash()
        return refused

    def add(self, body: str, delay_s: float = 0) -> None:
        """A message comes in, as it is."""
        delay_s = delay_s or self._delay_s
        name = f"m{next(self._numbers)}"
        self._held[name] = _Held(Received(name, body, 0), self._world.now_s + delay_s)
        self._world.later(delay_s, self._wake)

    def receive(self, most: int) -> list[Received]:
        """Some visible messages, in any order; each comes again unless it is deleted."""
        visible = [name for name, held in self._held.items() if held.visible_at_s <= self._world.now_s]
        names = self._world.random.sample(visible, min(most, len(visible)))
        if len(visible) > len(names):
            self._world.later(0.1, self._wake)
        return [self._hand_out(name) for name in names]

    def _hand_out(self, name: str) -> Received:
        held = self._held[name]
        held.received = replace(held.received, receives=held.received.receives + 1)
        hidden_s = 1.0 if self._world.goes_wrong("queue hands a message out twice") else self._visibility_s
        self.hide(name, hidden_s)
        return held.received

    def hide(self, name: str, seconds: float) -> None:
        """A message comes again after so many seconds."""
        if name in self._held:
            self._held[name].visible_at_s = self._world.now_s + seconds
            self._world.later(seconds, self._wake)

    def delete(self, name: str) -> None:
        """A message does not come again."""
        self._held.pop(name, None)
