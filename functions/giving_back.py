"""The way back to the queue: for what is left of a message, and for one that has waited too often."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from connectors.base import Outcome, Verdict
from connectors.contract.manifest import Message
from functions.enqueue import Queue, Sleep, send_all
from functions.parts import sendable
from functions.settling import rest_of, wait_s

# SQS delays a new message by at most this.
# Source: Amazon SQS API reference, SendMessage, "DelaySeconds".
_LONGEST_DELAY_S = 900


@dataclass
class WayBack:
    """The queue that messages came from. What it does not take now still is in the message that it gave out.

    Once it takes nothing it is not asked again for this batch: trying takes the function's time.
    """

    queue: Queue
    sleep: Sleep
    _is_shut: bool = field(default=False, init=False)

    def took_rest(self, message: Message, outcomes: Sequence[Outcome]) -> bool:
        """Send what is left of a message as messages of its own; False where the whole one has to come again."""
        bodies = [sendable(rest.to_json().encode()) for rest in rest_of(message, outcomes)]
        retries = [outcome for outcome in outcomes if outcome.verdict is Verdict.RETRY]
        return self._took(bodies, wait_s(retries, message.attempt))

    def took_anew(self, body: str, after_s: float) -> bool:
        """Send a message as a new one; False where the old one has to come again."""
        return self._took([body.encode()], after_s)

    def _took(self, bodies: Iterable[bytes], after_s: float) -> bool:
        if self._is_shut:
            return False
        try:
            send_all(self.queue, bodies, sleep=self.sleep, delay_s=int(min(after_s, _LONGEST_DELAY_S)))
        except Exception:  # noqa: BLE001 - whatever the queue's client raises, the old message still holds all of it
            self._is_shut = True
        return not self._is_shut
