"""What goes wrong at a destination, on purpose: by rates from a seed, or by a script."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from threading import Lock


class Fault(Enum):
    """How a call ends."""

    NONE = "none"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    RESET_AFTER = "taken, then reset"
    LATE = "taken, answered late"


class FaultPlan:
    """Which fault each call meets. May be asked by many threads.

    Attributes:
        seed: Repeats the same faults for the same order of calls.
        met: How many calls met each fault.
    """

    def __init__(
        self,
        rates: Mapping[Fault, float] | None = None,
        *,
        seed: int = 0,
        script: Sequence[Fault] = (),
        late_s: float = 1,
    ) -> None:
        """Plan faults.

        Args:
            rates: Fault → share of calls, together at most 1.
            script: What the first calls meet, before the rates hold.
            late_s: How late a late answer is.
        """
        self.seed, self.late_s = seed, late_s
        self.met: Counter[Fault] = Counter()
        self._rates, self._script = dict(rates or {}), list(script)
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._lock = Lock()

    def next(self) -> Fault:
        """The fault of the next call."""
        with self._lock:
            fault = self._script.pop(0) if self._script else self._drawn()
            self.met[fault] += 1
            return fault

    def _drawn(self) -> Fault:
        drawn = self._random.random()
        for fault, rate in self._rates.items():
            drawn -= rate
            if drawn < 0:
                return fault
        return Fault.NONE
