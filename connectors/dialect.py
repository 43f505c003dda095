"""How a destination says what every destination says. The contract suite speaks to a connector in these words.

A connector's dialect is called DIALECT and stands in its own module, or in the module `dialect` beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from connectors.base import Reply
from connectors.contract.records import SyncRecord

Answer: TypeAlias = Callable[[Sequence[SyncRecord], Collection[int]], Reply]
_THROTTLED, _UNAUTHORIZED = Reply(429), Reply(401)


@dataclass(frozen=True)
class Dialect:
    """A destination's endpoint, key and answers, all made up but of its form.

    Attributes:
        answer: The answer to a request of these records that refuses those at these positions: none, some or
            all. A destination that takes one record a request refuses it or does not.
        throttled: The answer when calls come too fast, and `wait_s` how long it asks to wait; None: it does not.
        unauthorized: The answer to a wrong key.
        options: The least settings of `connectors.<name>`, as a person writes them, with `name` among the
            fields an item carries.
        attempt_headers: Headers that differ from try to try, in lower case.
    """

    endpoint: str
    secret: str = field(repr=False)
    answer: Answer
    throttled: Reply = _THROTTLED
    wait_s: float | None = None
    unauthorized: Reply = _UNAUTHORIZED
    options: Mapping[str, Any] = field(default_factory=lambda: {"itemMetadataFields": ["name"]})
    attempt_headers: frozenset[str] = frozenset()
