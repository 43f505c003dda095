"""A made-up shop: what it sells, who looked at what, and what a recommender would say.

Nothing is read or written here. Every fact is drawn from the seed and the id it is about, so a shop of a
million users streams, and a user is the same however many others there are. Only the ranking of the items
is held, since lists and looks go by popularity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

LIST_LENGTH = 25
FEWEST = 6
DAYS = (1, 2)

_FIRST_USER, _FIRST_ITEM = 1001, 101
_ALWAYS_COMPLETE = 50
_LONGEST_STRIDE = 40

_COLOURS = ("Tan", "Navy", "Olive", "Crème", "Charcoal", "Rust", "Sage", "Indigo", "Sand", "Plum", "Slate", "Amber")
_MATERIALS = ("Canvas", "Leather", "Linen", "Wool", "Cotton", "Bamboo", "Cork", "Felt", "Oak", "Steel")
_THINGS = {
    "bags": ("Backpack", "Tote", "Satchel", "Duffel"),
    "clothing": ("Jacket", "Scarf", "Cap", "Belt"),
    "home": ("Lamp", "Cushion", "Tray", "Stool"),
    "desk": ("Notebook Cover", "Pen Case", "Organiser", "Laptop Sleeve"),
    "travel": ("Passport Wallet", "Wash Bag", "Flask", "Blanket"),
}
_CATEGORIES = tuple(_THINGS)
_FALL_OFF = tuple(1 / (1 + 0.15 * rank) for rank in range(LIST_LENGTH))


class Recommended(NamedTuple):
    """One list, best item first. Related items come without scores."""

    query: str
    items: Sequence[str]
    scores: Sequence[float] = ()


def spread(total: int, share: float, least: int = 1) -> range:
    """Positions below total, evenly apart: about that share of them, and no fewer than least."""
    count = max(least, round(total * share))
    step = max(1, total // count)
    return range(step // 2, total, step)[:count]


@dataclass(frozen=True)
class Shop:
    """The shop on one day. Day 2 differs from day 1 in some lists and a few prices, and in nothing else.

    Attributes:
        users: How many users there are; their ids count up from "1001".
        items: How many items there are; their ids count up from "101".
        seed: Same seed, same shop.
        day: 1 or 2.

    Raises:
        ValueError: The shop is too small to show a failed, an empty and a good line, or the day is unknown.
    """

    users: int
    items: int
    seed: int
    day: int = 1

    def __post_init__(self) -> None:
        if min(self.users, self.items) < FEWEST:
            raise ValueError(
                f"a shop of {self.users} users and {self.items} items is too small; give at least {FEWEST} of each"
            )
        if self.day not in DAYS:
            raise ValueError(f"day is {self.day}; the shop knows days 1 and 2")

    def user_ids(self) -> Iterator[str]:
        """Every user's id, lowest first."""
        return map(str, range(_FIRST_USER, _FIRST_USER + self.users))

    def item_ids(self) -> Iterator[str]:
        """Every item's id, lowest first, those without metadata included."""
        return map(str, range(_FIRST_ITEM, _FIRST_ITEM + self.items))

    def catalogue(self) -> Iterator[dict[str, Any]]:
        """The metadata of each item that has any; a few lack their price or their image.

        Every item has metadata among the first 50; beyond, about 2 in 1,000 have none.
        """
        for item in self.item_ids():
            if item not in self._unknown:
                yield self._metadata(item)

    def looked_at(self) -> Iterator[tuple[str, str]]:
        """(user id, item id) of what each user looked at last: mostly one item, at most three."""
        for user in self.user_ids():
            chance = self._draw("looks", user)
            looks = 1 + (chance > 0.75) + (chance > 0.92)
            for item in self._walk("looked at", user, looks):
                yield user, item

    def recommended(self) -> Iterator[Recommended]:
        """A scored list for each user."""
        return map(self._for_user, self.user_ids())

    def related(self) -> Iterator[Recommended]:
        """A list without scores for each item, never naming the item itself."""
        return map(self._for_item, self.item_ids())

    def _for_user(self, user: str) -> Recommended:
        best = 0.2 + 0.75 * self._draw("best score", user)
        items = self._of_the_day("user", user, self._walk("recommended", user, LIST_LENGTH))
        return Recommended(user, items, [round(best * part, 7) for part in _FALL_OFF[: len(items)]])

    def _for_item(self, item: str) -> Recommended:
        others = [other for other in self._walk("related", item, LIST_LENGTH + 1) if other != item]
        return Recommended(item, self._of_the_day("item", item, others[:LIST_LENGTH]))

    def _of_the_day(self, kind: str, query: str, items: list[str]) -> list[str]:
        """On day 2, one list in twenty has its last item first."""
        is_changed = self.day == 2 and self._draw(f"changed {kind}", query) < 0.05
        return [items[-1], *items[:-1]] if is_changed else items

    def _metadata(self, item: str) -> dict[str, Any]:
        category = _pick(_CATEGORIES, self._draw("category", item))
        row = {
            "id": item,
            "name": self._name(item, category),
            "category": category,
            "price": self._price(item),
            "current_stock": max(0, int(130 * self._draw("stock", item)) - 10),
            "image": f"https://images.example.com/items/{item}.jpg",
        }
        missing = self._missing_field.get(item)
        return {field: value for field, value in row.items() if field != missing}

    def _name(self, item: str, category: str) -> str:
        lists = {"colour": _COLOURS, "material": _MATERIALS, "thing": _THINGS[category]}
        return " ".join(_pick(words, self._draw(topic, item)) for topic, words in lists.items())

    def _price(self, item: str) -> float:
        price = 5 + 195 * self._draw("price", item)
        is_reduced = self.day == 2 and item in self._sale
        return round(price * 0.9 if is_reduced else price, 2)

    @cached_property
    def _ranking(self) -> list[str]:
        """Item ids, most popular first, twice over: a walk that starts near the end goes on at the top."""
        return 2 * sorted(self.item_ids(), key=lambda item: self._draw("popularity", item))

    @cached_property
    def _unknown(self) -> frozenset[str]:
        """The items without metadata."""
        return frozenset(self._beyond_complete(0.002))

    @cached_property
    def _missing_field(self) -> dict[str, str]:
        """Which field an item lacks; most lack none."""
        incomplete = self._beyond_complete(0.01, least=2)
        return {item: ("price", "image")[place % 2] for place, item in enumerate(incomplete)}

    @cached_property
    def _sale(self) -> frozenset[str]:
        """The items with a new price on day 2, one of them in the first user's list, one in the first item's."""
        lists = (self._for_user(str(_FIRST_USER)), self._for_item(str(_FIRST_ITEM)))
        shown = {next(filter(self._is_priced, found.items)) for found in lists}
        return frozenset(shown | {str(_FIRST_ITEM + place) for place in spread(self.items, 0.003, least=3)})

    def _is_priced(self, item: str) -> bool:
        return item not in self._unknown and self._missing_field.get(item) != "price"

    def _beyond_complete(self, share: float, least: int = 1) -> list[str]:
        first = _FIRST_ITEM + _ALWAYS_COMPLETE
        return [str(first + place) for place in spread(self.items - _ALWAYS_COMPLETE, share, least)]

    def _walk(self, topic: str, who: str, length: int) -> list[str]:
        """Up to length different items, met in strides down the ranking from a place likely near its top."""
        length = min(length, self.items)
        start = int(self.items * self._draw(topic, who) ** 2)
        longest = max(1, min(_LONGEST_STRIDE, self.items // (LIST_LENGTH + 1)))
        stride = 1 + int(longest * self._draw(f"{topic} stride", who))
        return self._ranking[start : start + stride * length : stride]

    def _draw(self, topic: str, who: str) -> float:
        """A number in [0, 1), always the same for this seed, topic and id."""
        digest = blake2b(f"{self.seed}/{topic}/{who}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / 2**48


def _pick(words: Sequence[str], chance: float) -> str:
    return words[int(len(words) * chance)]
