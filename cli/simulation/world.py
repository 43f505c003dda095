"""Virtual time, what is due in it, and what goes wrong."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random

_START = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
# A history that goes on for longer never comes to rest.
_MOST_EVENTS = 50_000

Action = Callable[[], None]


class CrashError(BaseException):
    """The process is gone, at this very point. No `except Exception` notices."""


class RestlessError(Exception):
    """Something goes on for ever."""


class World:
    """Time that passes from one thing that is due to the next.

    While someone waits (`pass_time`) all that is due meanwhile happens, other workers included: that is how
    calls and runs overlap here.

    Attributes:
        random: All chance of a history.
        rates: What may go wrong → how often, of one time.
        met: What went wrong → how often.
        is_kind: Whether nothing goes wrong any more.
    """

    def __init__(self, seed: int, rates: Mapping[str, float]) -> None:
        self.random = Random(seed)  # noqa: S311 - repeatable on purpose
        self.rates, self.met, self.is_kind = rates, Counter[str](), False
        self.now_s = 0.0
        self._due: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        """The time, aware."""
        return _START + timedelta(seconds=self.now_s)

    def monotonic(self) -> float:
        """The time in seconds from the beginning."""
        return self.now_s

    def goes_wrong(self, what: str) -> bool:
        """Whether this goes wrong, this time."""
        is_met = not self.is_kind and self.random.random() < self.rates.get(what, 0.0)
        self.met[what] += is_met
        return is_met

    def may_crash(self) -> None:
        """Raises CrashError now and then."""
        if self.goes_wrong("crash"):
            raise CrashError

    def later(self, after_s: float, action: Action) -> None:
        """Have something happen after so many seconds."""
        number = next(self._numbers)
        if number > _MOST_EVENTS:
            raise RestlessError(f"after {self.now_s:.0f} s the system has not come to rest")
        heapq.heappush(self._due, (self.now_s + after_s, number, action))

    def pass_time(self, seconds: float) -> None:
        """Wait, while all that is due meanwhile happens."""
        until_s = self.now_s + seconds
        while self._due and self._due[0][0] <= until_s:
            self._do_next()
        self.now_s = max(self.now_s, until_s)

    def come_to_rest(self) -> None:
        """Go on until nothing is due."""
        while self._due:
            self._do_next()

    def _do_next(self) -> None:
        at_s, _, action = heapq.heappop(self._due)
        self.now_s = max(self.now_s, at_s)
        action()
