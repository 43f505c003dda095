"""A queue in memory: what SQS does for the functions, for one process."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Sequence

from functions.intake import Received


class MemoryQueue:
    """Messages that come again, after a wait, until they are deleted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, Received]] = []
        self._out: dict[str, Received] = {}

    def __len__(self) -> int:
        """Messages that are not deleted."""
        return len(self._waiting) + len(self._out)

    def send(self, bodies: Sequence[str], *, delay_s: int = 0) -> list[int]:
        """See functions.enqueue.Queue. Nothing is refused here."""
        visible_at_s = self._clock() + delay_s if delay_s else 0.0
        for body in bodies:
            number = next(self._numbers)
            heapq.heappush(self._waiting, (visible_at_s, number, Received(str(number), body, receives=0)))
        return []

    def receive(self, now_s: float, most: int) -> list[Received]:
        """The messages whose wait is over, first come first; they stay out until deleted or put back."""
        batch: list[Received] = []
        while self._waiting and self._waiting[0][0] <= now_s and len(batch) < most:
            waited = heapq.heappop(self._waiting)[2]
            message = Received(waited.message_id, waited.body, waited.receives + 1)
            self._out[message.message_id] = message
            batch.append(message)
        return batch

    def delete(self, message_id: str) -> None:
        """A message is settled."""
        del self._out[message_id]

    def put_back(self, message_id: str, visible_at_s: float, *, was_tried: bool = True) -> None:
        """A message comes again, not before this time. One that was not tried counts as not handed out."""
        message = self._out.pop(message_id)
        received = Received(message_id, message.body, message.receives - (not was_tried))
        heapq.heappush(self._waiting, (visible_at_s, next(self._numbers), received))

    def next_visible_s(self) -> float | None:
        """When the next message may be received; None when none waits."""
        return self._waiting[0][0] if self._waiting else None
