"""What a run can tell people beyond its figures: changes by field, items, movers, and some users.

Each writing task takes down its own story; the driver puts them together. Which users stand in it is drawn by a
hash of their id: they are anybody, and the same ones every day.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract.aliases import alias
from connectors.contract.run_record import ItemCount, Sample
from glue_jobs.columns import plain
from glue_jobs.decorate import upsert_line
from glue_jobs.delta import Verdict
from glue_jobs.tell import Telling

# Records that the cost at the destination is worked out from.
MEASURED = 200
_SHOWN_SAMPLES, _SHOWN_UNCHANGED, _SHOWN_ITEMS = 20, 12, 20
# Of each task at least: enough that an item which matters in all of them together is among them.
_ITEMS_A_TASK = 100
# Items are counted so many at once: Arrow does it many times faster than one by one.
_COUNTED_AT_ONCE = 1_000_000

# A list → its items as they stand in a record.
ItemsOf = Callable[[Sequence[str]], Iterable[bytes]]


@dataclass(frozen=True)
class Story:
    """A run's story.

    Attributes:
        fields: Field → users of whose record it differs.
        items: Item → users who have it today.
        recommendations: Items in today's lists of all users together.
        gained: Item → users who are told of it and did not have it before; `lost` the reverse.
        told: Some users who are told something, at most MEASURED: a Sample's fields, and `record`.
        unchanged: Some who are not.
    """

    fields: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    recommendations: int = 0
    gained: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    told: Sequence[Mapping[str, Any]] = ()
    unchanged: Sequence[Mapping[str, Any]] = ()

    @property
    def top_item_users(self) -> int:
        """Users who have the most recommended item."""
        return max(self.items.values(), default=0)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Some of the records that are sent."""
        return [json.loads(one["record"]) for one in self.told]

    def samples(self) -> list[Sample]:
        """Some users who are told something."""
        return [_sample(one) for one in self.told[:_SHOWN_SAMPLES]]

    def unchanged_samples(self) -> list[Sample]:
        """Some users who are told nothing."""
        return [_sample(one) for one in self.unchanged[:_SHOWN_UNCHANGED]]


def counted(items: Counter[str]) -> list[ItemCount]:
    """The first of some items, most users first."""
    return [ItemCount(item_id=item, users=users) for item, users in items.most_common(_SHOWN_ITEMS)]


def together(reports: Iterable[Mapping[str, Any]]) -> Story:
    """What all tasks took down."""
    reports = list(reports)
    return Story(
        **{name: _summed(one[name] for one in reports) for name in _COUNTERS},
        recommendations=sum(one["recommendations"] for one in reports),
        told=_in_order(one["told"] for one in reports)[:MEASURED],
        unchanged=_in_order(one["unchanged"] for one in reports)[:_SHOWN_UNCHANGED],
    )


def _summed(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return total


def _in_order(drawn: Iterable[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """The users of all tasks, by their aliases."""
    return sorted(chain.from_iterable(drawn), key=lambda user: str(user["user"]))


_COUNTERS = ("fields", "items", "gained", "lost")
# Items of lists that replace none: in `items` and in `gained`, and counted once.
_FIRST = "first"


class Narrator:
    """Takes down the story of one task."""

    def __init__(self, key: bytes, items_of: ItemsOf, parts: int = 1) -> None:
        """Begin.

        Args:
            key: What users are named by: see `aliases`.
            items_of: For the record of a user who is told nothing.
            parts: How many tasks there are. All reports meet in one place, so of many each is shorter.
        """
        self._key, self._items_of = key, items_of
        self._tallies = {name: _Tally() for name in (*_COUNTERS, _FIRST)}
        self._longest = 0
        self._told, self._unchanged = (_Draw(_share_of(most, parts)) for most in (MEASURED, _SHOWN_UNCHANGED))

    def note(self, user_id: str, telling: Telling) -> None:
        """One user was decided about."""
        before, after = telling.was.item_ids if telling.was else (), telling.items
        self._longest = max(self._longest, len(after))
        if telling.line is None:
            self._tallies["items"].add(after)
            if telling.verdict is Verdict.UNCHANGED:
                self._unchanged.offer(alias(self._key, user_id), user_id, telling)
            return
        self._told.offer(alias(self._key, user_id), user_id, telling)
        self._tallies["fields"].add(telling.changed)
        if not before:
            self._tallies[_FIRST].add(after)
            return
        self._tallies["items"].add(after)
        self._tallies["gained"].add(set(after).difference(before))
        self._tallies["lost"].add(set(before).difference(after))

    def report(self) -> dict[str, Any]:
        """The story as JSON data."""
        totals = {name: tally.counted() for name, tally in self._tallies.items()}
        first = totals.pop(_FIRST)
        totals |= {name: totals[name] + first for name in ("items", "gained")}
        counters = {name: dict(total.most_common(self._most)) for name, total in totals.items()}
        drawn = {"told": self._users(self._told), "unchanged": self._users(self._unchanged)}
        return {**counters, **drawn, "recommendations": totals["items"].total()}

    @property
    def _most(self) -> int:
        """How many of each to report.

        Of lists of L items at most L / p items stand in a share p of them. So twice as many as the longest list has
        hold every item that half of the users have, which a guard on the top item must not miss.
        """
        return max(_ITEMS_A_TASK, 2 * self._longest)

    def _users(self, draw: _Draw) -> list[dict[str, Any]]:
        return [
            {
                "user": name,
                "verdict": telling.verdict,
                "before": list(telling.was.item_ids) if telling.was else None,
                "record": (telling.line or upsert_line(user_id, self._items_of(telling.items))).decode(),
            }
            for name, (user_id, telling) in draw.drawn()
        ]


class _Tally:
    """How often each text was added."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._waiting: list[str] = []

    def add(self, texts: Iterable[str]) -> None:
        self._waiting += texts
        if len(self._waiting) >= _COUNTED_AT_ONCE:
            self.counted()

    def counted(self) -> Counter[str]:
        """What was added so far."""
        texts, counts = pc.value_counts(pa.array(self._waiting, pa.string())).flatten()
        self._counts.update(dict(zip(plain(texts), plain(counts), strict=True)))
        self._waiting.clear()
        return self._counts


def _share_of(most: int, parts: int) -> int:
    """How many of the first users of all parts stand in one part, at most: they fall into parts at random.

    So many that more of them are in any part in fewer than one of a thousand million runs; some would be missing then.
    Source: Chernoff's bound for a Poisson variable, P(X >= k) <= exp(-mean) (e mean / k)^k.
    """
    mean, allowed = most / parts, math.log(1e-9 / parts)
    rare = (few for few in count(math.ceil(mean) + 1) if few * (1 + math.log(mean / few)) - mean <= allowed)
    return min(most, next(rare))


class _Draw:
    """Keeps those of the first names, so many at most."""

    def __init__(self, most: int) -> None:
        self._most, self._beyond = most, "~"
        self._found: dict[str, tuple[str, Telling]] = {}

    def offer(self, name: str, user_id: str, telling: Telling) -> None:
        if name < self._beyond:
            self._found[name] = (user_id, telling)
            if len(self._found) == 2 * self._most:
                self._found = dict(self.drawn())
                self._beyond = max(self._found)

    def drawn(self) -> list[tuple[str, tuple[str, Telling]]]:
        return sorted(self._found.items(), key=lambda one: one[0])[: self._most]


def _sample(one: Mapping[str, Any]) -> Sample:
    record = json.loads(one["record"])
    after, changed = record.get("recommendations"), record.get("changed")
    return Sample(user=one["user"], verdict=one["verdict"], before=one["before"], after=after, changed=changed)
