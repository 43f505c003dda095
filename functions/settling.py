"""What follows from the outcomes of a message's records: receipts, the rest that comes again, and when."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from connectors.base import Outcome, Verdict
from connectors.contract.manifest import Message
from connectors.contract.receipts import Receipt, Rejection

# A line's number, the line, and its outcome.
_Entry: TypeAlias = tuple[int, Any, Outcome]
_FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 900.0
# A wait that the destination asked for is drawn out by up to a fifth, so that not all come back at once.
_ASKED_JITTER = 0.2


def receipts_of(message: Message, outcomes: Sequence[Outcome], at: datetime) -> Iterator[Receipt]:
    """A receipt for each run of settled lines; lines to be sent again have none."""
    for entries in _neighbours(message, outcomes, are_open=False):
        yield Receipt(
            file=message.file,
            first_line=entries[0][0],
            last_line=entries[-1][0],
            outcome="settled",
            rejected=[
                Rejection(line=line, user_id=str(record["userId"]), code=outcome.code, reason=outcome.reason)
                for line, record, outcome in entries
                if outcome.verdict is Verdict.REJECTED
            ],
            attempt=message.attempt,
            at=at,
        )


def receipt_of_all(message: Message, outcome: Any, at: datetime) -> Receipt:
    """One receipt for all lines of a message."""
    return Receipt(
        file=message.file,
        first_line=message.first_line,
        last_line=message.last_line,
        outcome=outcome,
        attempt=message.attempt,
        at=at,
    )


def rest_of(message: Message, outcomes: Sequence[Outcome]) -> Iterator[Message]:
    """What is left of a message: one for each run of neighbouring lines that are not settled."""
    for entries in _neighbours(message, outcomes, are_open=True):
        yield message.model_copy(
            update={
                "first_line": entries[0][0],
                "last_line": entries[-1][0],
                "lines": [line for _, line, _ in entries],
                "attempt": message.attempt + 1,
            }
        )


def _neighbours(message: Message, outcomes: Sequence[Outcome], *, are_open: bool) -> Iterator[list[_Entry]]:
    """Each run of neighbouring lines that are to be sent again, or that are not."""
    numbered = zip(itertools.count(message.first_line), message.lines, outcomes, strict=False)
    for is_open, group in itertools.groupby(numbered, key=lambda entry: entry[2].verdict is Verdict.RETRY):
        if is_open is are_open:
            yield list(group)


def wait_s(retries: Sequence[Outcome], receives: int) -> float:
    """How long a message waits: with each time longer, with full jitter, and never less than the destination asked."""
    asked = max((outcome.retry_after_s or 0.0 for outcome in retries), default=0.0)
    drawn_out = asked * random.uniform(1, 1 + _ASKED_JITTER)  # noqa: S311 - jitter, not a secret
    ceiling = min(_FIRST_WAIT_S * 2 ** min(receives - 1, 10), LONGEST_WAIT_S)
    return min(max(drawn_out, random.uniform(0, ceiling)), LONGEST_WAIT_S)  # noqa: S311
