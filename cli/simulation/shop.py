"""What the recommender says, day by day, and what a profile should hold after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from cli.simulation.destination import FATAL_ITEM, REFUSED_ITEM
from glue_jobs.config import JobConfig, parse_config
from glue_jobs.decorate import Catalogue, item_piece
from glue_jobs.meeting import Meeting

FIELDS = ("name", "price")
PREFIX = "recs_"
_ITEMS = [f"i{number}" for number in range(8)]


@dataclass(frozen=True)
class Day:
    """One day's input.

    Attributes:
        lists: User → his items, best first.
        failed: Users whose line the recommender failed.
        items: Item → its metadata.
        is_full: Whether the run is a `run --full`.
    """

    lists: Mapping[str, Sequence[str]]
    failed: frozenset[str]
    items: Mapping[str, Mapping[str, Any]]
    config: JobConfig
    is_full: bool = False

    def catalogue(self, known: Mapping[str, bytes] | None) -> Catalogue:
        """The items as the writing tasks have them."""
        fields = self.options.item_fields()
        pieces = {item: item_piece(values, fields) for item, values in self.items.items()}
        return Catalogue(fields, pieces, known=known)

    @property
    def options(self) -> Any:
        """Braze's settings."""
        return self.config.connectors["braze"]

    def rows(self) -> list[Meeting]:
        """Today's lines, as they meet their users."""
        told = [Meeting(user, "list", is_line=True, item_ids=list(items)) for user, items in self.lists.items()]
        return told + [Meeting(user, "failed", is_line=True) for user in self.failed]

    def is_held_out(self, user: str) -> bool:
        """Whether he gets nothing today, whatever stands in his line."""
        holdout = self.config.recommendations.holdout
        return holdout is not None and user in self.lists and holdout.holds(user)

    def profile(self, user: str) -> dict[str, Any]:
        """What a profile holds once its user is told: our attributes that are not empty."""
        if self.is_held_out(user):
            return {f"{PREFIX}holdout": True}
        listed = [{"itemId": item, **self.items[item]} for item in self.lists.get(user, ())]
        shape = self.options.payload_shape
        if shape == "objects":
            said: dict[str, list[Any]] = {"items": listed}
        else:
            names = ("itemId",) if shape == "ids" else ("itemId", *FIELDS)
            said = {name: [_ranked(rank, item[name], self.options) for rank, item in enumerate(listed, 1)]
                    for name in names}  # fmt: skip
        return {f"{PREFIX}{name}": values for name, values in said.items() if values}

    def is_refused(self, user: str) -> bool:
        """Whether the destination takes no list like his."""
        return bool({REFUSED_ITEM, FATAL_ITEM} & set(self.lists.get(user, ())))


def _ranked(rank: int, value: Any, options: Any) -> Any:
    return f"{rank}:{value}" if options.rank_prefix else value


def draw_days(random: Random, number: int, holdouts: Random) -> list[Day]:
    """The input of so many days, each a little different from the one before.

    Args:
        holdouts: Draws who gets nothing; in half of all shops everybody gets his list.
    """
    users = [f"user-{n}" for n in range(random.randint(2, 9))]
    braze: dict[str, Any] = {"attributePrefix": PREFIX, "onAttributeRetired": random.choice(["keep", "clear"])}
    braze |= {"onUserRemoved": random.choice(["keep", "clear"])}
    braze |= _shape(random)
    items = {item: {"name": f"n-{item}", "price": 1} for item in [*_ITEMS, REFUSED_ITEM, FATAL_ITEM]}
    lists = {user: _draw_list(random) for user in users}
    days, has_holdouts, held_out = [], holdouts.random() < 0.5, {}
    for _ in range(number):
        lists = {user: _draw_list(random) if random.random() < 0.4 else lists[user] for user in users}
        items = items | {
            item: {"name": f"n-{item}", "price": random.randint(1, 3)} for item in random.sample(_ITEMS, 2)
        }
        braze |= _shape(random) if random.random() < 0.1 else {}
        absent = [user for user in users[1:] if random.random() < 0.2]  # a batch without a good line is no input
        failed = frozenset(user for user in absent if random.random() < 0.3)
        today = {user: items_ for user, items_ in lists.items() if user not in absent}
        if has_holdouts and holdouts.random() < 0.4:
            held_out = _draw_holdout(holdouts)
        raw = {"version": 1, "batchInferencePath": "in/", "recommendations": held_out}
        config = parse_config({**raw, "connectors": {"braze": dict(braze)}})
        days.append(Day(today, failed, items, config, is_full=random.random() < 0.05))
    return days


def _shape(random: Random) -> dict[str, Any]:
    """How records are laid out. Columns carry ranks: without them Braze keeps equal values once."""
    shape = random.choice(["objects", "arrays", "ids"])
    fields = [] if shape == "ids" else list(FIELDS)
    return {"payloadShape": shape, "itemMetadataFields": fields, "rankPrefix": shape == "arrays"}


def _draw_holdout(random: Random) -> dict[str, Any]:
    percent = random.choice([None, 30, 60])
    return {"holdout": {"percent": percent, "salt": random.choice("ab")} if percent else None}


def _draw_list(random: Random) -> list[str]:
    items = random.sample(_ITEMS, random.randint(0, 4))
    spoilt = random.choice([REFUSED_ITEM, FATAL_ITEM]) if random.random() < 0.08 else None
    return [*items, spoilt] if spoilt else items
