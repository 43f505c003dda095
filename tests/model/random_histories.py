"""Random histories of one job, from a seed: days that differ a little, and what a destination confirms of each.

Sizes are tiny, so that things meet: few items, few values, many users of one item. The item ``anchor`` has
every field with a value of the usual type on every day, as the job refuses a field that no item has.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from delta_model import FILTERS, Day

ANCHOR = {"name": "Anchor", "price": 1.5, "stock": 3}
FIELDS = list(ANCHOR)
VALUES: Mapping[str, Sequence[Any]] = {
    "name": ["Lamp", "Scarf", "Größe 7", ""],
    "price": [2.5, 9.99, 20.25, "9.99"],
    "stock": [0, 3, 7],
}
# Of so few lines one that is broken is many; guards are another story.
NO_GUARDS = {"maxBadLinePct": None}
FATES = {
    "all": ["delivered"],
    "none": ["open"],
    "some": ["delivered", "open"],
    "rejected": ["delivered", "delivered", "rejected", "superseded", "deadLettered", "tooLarge"],
    "half": ["delivered", "delivered", "open", "rejected"],
}


@dataclass(frozen=True)
class Confirmed:
    """What becomes of a day's records: by user, whatever file or line a record stands in.

    Attributes:
        stubborn: Users whom the destination refuses, whatever they are sent.
    """

    seed: str
    how: str
    stubborn: frozenset[str] = frozenset()

    def fate(self, user: str) -> str:
        """What a receipt says of a user's record; ``open`` for no receipt."""
        if user in self.stubborn:
            return "rejected"
        return random.Random(f"{self.seed}/{user}").choice(FATES[self.how])


History = Sequence[tuple[Day, Confirmed]]


def history(seed: int) -> History:
    """The history of a seed: three to six days."""
    world = World(random.Random(seed), random.Random(f"rules/{seed}"))
    return [
        (world.next_day(), Confirmed(f"{seed}/{number}", world.rng.choice(["all"] if world.is_calm else [*FATES])))
        for number in range(world.rng.randint(3, 6))
    ]


@dataclass
class World:
    """What the inputs are made from; it drifts from day to day.

    Attributes:
        is_calm: Whether little fails, and whatever is sent is confirmed: what was told is then mostly known.
        answers: Whom the batch answers for → item ids and their scores, or None for none.
        mapping: (user, item) rows.
        bought: (user, item) rows that are not to be recommended.
        chance: Decides about the rules over items and the holdout; half of all histories have none of them.
    """

    rng: random.Random
    chance: random.Random
    now: datetime = datetime(2026, 1, 1, 4, tzinfo=UTC)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[list[str], list[float] | None]] = field(default_factory=dict)
    mapping: list[tuple[str, str]] = field(default_factory=list)
    bought: list[tuple[str, str]] = field(default_factory=list)
    root: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, Any] = field(default_factory=dict)
    braze: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = self.rng
        self.job_type = rng.choice(["user_personalization", "related_items"])
        self.users = [f"u{number}" for number in range(rng.randint(5, 12))]
        self.item_ids = ["anchor", *(f"i{number}" for number in range(rng.randint(5, 9)))]
        self.items = {item_id: self._metadata() for item_id in self.item_ids[1:] if rng.random() < 0.85}
        self.keys = self.users if self.job_type == "user_personalization" else self.item_ids[:5]
        self.answers = {key: self._answer() for key in self.keys if rng.random() < 0.85}
        if self.job_type == "related_items":
            self.mapping = [(user, key) for user in self.users for key in self._some(self.keys, 3)]
        self.braze["itemMetadataFields"] = rng.sample(FIELDS, rng.choice([0, 1, 2, 3, 3]))
        for change in (self._change_policy, self._change_removal, self._change_acknowledge):
            change()
        for _ in range(rng.randint(0, 5)):
            rng.choice([self._change_shape, self._change_lists, self._change_lists])()
        self.is_calm = rng.random() < 0.5
        usual = [self._change_config, self._change_shape]
        self._theme = rng.choice([*usual, self._change_policy, self._change_policy, self._change_acknowledge])
        self.has_rules = self.chance.random() < 0.5

    def next_day(self) -> Day:
        """Some days after the last one, nothing to several things having changed since."""
        rng = self.rng
        self.now += timedelta(days=rng.randint(1, 9), hours=rng.randint(-3, 3))
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            rng.choice(list(self._drifts()))()
        if rng.random() < 0.2:
            self._change_config()
        if rng.random() < 0.6:
            self._theme()
        if self.has_rules:
            for _ in range(self.chance.choice([0, 1, 1, 2, 3])):
                self._change_rules()
            self._agree()
        items = {"anchor": ANCHOR, **{item_id: dict(values) for item_id, values in self.items.items()}}
        rows = self._mapping_rows()
        is_full = not self.is_calm and rng.random() < 0.12
        lines = self._lines()
        return Day(self.job_type, self.now, self._config(), lines, items, rows, self._bought_rows(), is_full)

    def _config(self) -> dict[str, Any]:
        """config.json, as a copy that no later day reaches."""
        connectors = {"braze": self.braze}
        raw = {"version": 1, "batchInferencePath": "input/batch/", "guards": NO_GUARDS, "connectors": connectors}
        raw |= self.root
        copied: dict[str, Any] = json.loads(json.dumps({**raw, "recommendations": self.lists}))
        return copied

    def _lines(self) -> list[str]:
        """Today's batch: an answer, now and then beside a failed, broken or second line for the same key."""
        rng, lines, fails_wholly = self.rng, [], self.rng.random() < 0.03
        is_bad_day = rng.random() < (0.2 if self.is_calm else 0.8)
        for key, answer in self.answers.items():
            bad = [self._bad_line(key)] if is_bad_day and rng.random() < 0.3 else []
            is_answered = not fails_wholly and (not bad or rng.random() < 0.3)
            second = [self._line(key, self._answer())] if is_answered and rng.random() < 0.05 else []
            lines += [*bad, *([self._line(key, answer)] if is_answered else []), *second]
        if rng.random() < 0.1:
            lines.insert(rng.randint(0, len(lines)), "{broken")
        return lines or ["{broken"]

    def _line(self, key: str, answer: tuple[list[str], list[float] | None]) -> str:
        ids, scores = answer
        output = {"recommendedItems": ids, **({"scores": scores} if scores is not None else {})}
        return json.dumps({"input": {self._key_name: key}, "output": output, "error": None})

    def _bad_line(self, key: str) -> str:
        """A line that failed or, less often, that broke behind its readable id."""
        asked = {"input": {self._key_name: key}}
        is_broken = self.rng.random() < 0.2
        return json.dumps({**asked, "output": {"recommendedItems": "i1"}} if is_broken else {**asked, "error": "none"})

    @property
    def _key_name(self) -> str:
        return "userId" if self.job_type == "user_personalization" else "itemId"

    def _mapping_rows(self) -> list[str]:
        rows = [f"{user},{item}" for user, item in self.mapping]
        if self.mapping and self.rng.random() < 0.1:
            user, item = self.rng.choice(self.mapping)
            rows.insert(self.rng.randint(0, len(rows)), self.rng.choice([f",{item}", f"{user},", f"{user},{item}"]))
        return rows

    def _bought_rows(self) -> list[str]:
        """What excludeItems names; now and then with a row that cannot be read."""
        rows = [f"{user},{item}" for user, item in self.bought]
        return [*rows, ",i1"] if self.chance.random() < 0.1 else rows

    def _some(self, choices: Sequence[str], most: int) -> list[str]:
        return self.rng.sample(choices, self.rng.randint(0, min(most, len(choices))))

    def _answer(self) -> tuple[list[str], list[float] | None]:
        """Up to six ids, seldom with one twice; scores fall, and no two are the same."""
        rng = self.rng
        ids = rng.sample([*self.item_ids, "unheard-of"], rng.choice([0, 1, 2, 3, 3, 4, 4, 5, 5, 6]))
        if ids and rng.random() < 0.1:
            ids.append(rng.choice(ids))
        scores = sorted((score / 1e6 for score in rng.sample(range(10**6), len(ids))), reverse=True)
        return ids, scores if rng.random() < 0.6 else None

    def _metadata(self) -> dict[str, Any]:
        """Some values; the rest is null or missing."""
        rng = self.rng
        drawn = {name: rng.choice([*values, None]) for name, values in VALUES.items()}
        return {name: value for name, value in drawn.items() if rng.random() < 0.85}

    def _drifts(self) -> Iterator[Callable[[], None]]:
        """What may change between two days, the usual more often."""
        if self._theme == self._change_policy and self.is_calm:
            yield from [self._reprice] * 8
        yield from [self._reprice] * 4
        yield from [self._answer_anew] * 3
        yield from [self._reorder] * 2
        yield from [self._cut] * 2
        yield from [self._lose_an_answer] * 3
        yield from [self._lose_an_item, self._rescore, self._empty_an_answer]
        if self.job_type == "related_items":
            yield from [self._map, self._unmap, self._lose_a_user] * 2

    def _reprice(self) -> None:
        for item_id in self._some(self.item_ids[1:], 3):
            name = self.rng.choice([*FIELDS, "price"])
            self.items[item_id] = {**self.items.get(item_id, {}), name: self.rng.choice(VALUES[name])}

    def _lose_an_item(self) -> None:
        self.items.pop(self.rng.choice(self.item_ids[1:]), None)

    def _answer_anew(self) -> None:
        self.answers[self.rng.choice(self.keys)] = self._answer()

    def _lose_an_answer(self) -> None:
        if len(self.answers) > 1:
            del self.answers[self.rng.choice(list(self.answers))]

    def _empty_an_answer(self) -> None:
        self.answers[self.rng.choice(self.keys)] = ([], None)

    def _reorder(self) -> None:
        ids, scores = self._any_answer()
        self.rng.shuffle(ids)
        self._put_back(ids, scores)

    def _cut(self) -> None:
        ids, scores = self._any_answer()
        most = self.rng.randint(1, 3)
        self._put_back(ids[:most], scores[:most] if scores else scores)

    def _rescore(self) -> None:
        ids, scores = self._any_answer()
        self._put_back(ids, [score / 2 for score in scores] if scores else scores)

    def _any_answer(self) -> tuple[list[str], list[float] | None]:
        self._chosen = self.rng.choice(list(self.answers)) if self.answers else self.keys[0]
        ids, scores = self.answers.get(self._chosen, ([], None))
        return list(ids), scores

    def _put_back(self, ids: list[str], scores: list[float] | None) -> None:
        self.answers[self._chosen] = (ids, scores)

    def _map(self) -> None:
        self.mapping.insert(
            self.rng.randint(0, len(self.mapping)), (self.rng.choice(self.users), self.rng.choice(self.keys))
        )

    def _unmap(self) -> None:
        if len(self.mapping) > 1:
            self.mapping.pop(self.rng.randrange(len(self.mapping)))

    def _lose_a_user(self) -> None:
        lost = self.rng.choice(self.users)
        self.mapping = [row for row in self.mapping if row[0] != lost] or self.mapping

    def _change_config(self) -> None:
        self.rng.choice(
            [
                *[self._change_policy] * 4,
                *[self._change_removal] * 2,
                *[self._change_lists] * 4,
                *[self._change_shape] * 3,
                self._change_acknowledge,
                self._change_delta_check,
            ]
        )()

    def _change_policy(self) -> None:
        top = {"compare": "topK", "k": self.rng.randint(1, 3)}
        compare = self.rng.choice([{}, {"compare": "exact"}, {"compare": "set"}, top, top])
        days = self.rng.choice([*[None] * 6, 1, 3, 5])
        self.braze["changePolicy"] = {**compare, **({"refreshAfterDays": days} if days else {})}

    def _change_removal(self) -> None:
        self.braze["onUserRemoved"] = self.rng.choice(["keep", "clear", "clear"])

    def _change_acknowledge(self) -> None:
        self.braze["acknowledge"] = self.rng.choice(["onDelivery", "onDelivery", "onWrite"])

    def _change_delta_check(self) -> None:
        place = self.rng.choice([self.root, self.braze])
        place["performDeltaCheck"] = self.rng.choice([True, False])

    def _change_shape(self) -> None:
        """A setting that shapes what is sent."""
        name, choices = self.rng.choice(
            [
                ("attributePrefix", ["", "recs_"]),
                ("payloadShape", ["objects", "objects", "arrays", "ids"]),
                ("itemMetadataFields", [self._some(FIELDS, 3)]),
                ("otherAttributes", [{}, {"campaign": "autumn"}]),
                ("rankPrefix", [True, False]),
                ("updateExistingOnly", [True, False]),
                ("onAttributeRetired", ["keep", "clear"]),
            ]
        )
        self.braze[name] = self.rng.choice(choices)

    def _change_lists(self) -> None:
        related = dict(self.lists.get("relatedItems", {}))
        name, choices = self.rng.choice(
            [
                ("maxItems", [1, 2, 3, 25]),
                ("includeScores", [True, False]),
                ("onMissingMetadata", ["keep", "drop"]),
                ("relatedItems", [{**related, "merge": how} for how in ("roundRobin", "concatenate", "score")]),
                ("relatedItems", [{**related, "excludeMappedItems": answer} for answer in (True, False)]),
            ]
        )
        self.lists[name] = self.rng.choice(choices)

    def _change_rules(self) -> None:
        """A rule over items, or the holdout, comes, goes or changes."""
        chance, items = self.chance, [*self.item_ids, "unheard-of"]
        most = self.lists.get("maxItems", 25)
        name, value = chance.choice(
            [
                ("itemFilter", chance.choice([None, *FILTERS, *FILTERS])),
                ("minScore", chance.choice([None, 0.2, 0.5])),
                ("blockItems", chance.sample(items, chance.randint(0, 2))),
                ("excludeItems", chance.choice([None, "input/bought.csv", "input/bought.csv"])),
                ("minItems", chance.choice([None, *range(1, min(most, 3) + 1)])),
                ("fallback", chance.sample(items, chance.randint(1, 4))),
                *[("holdout", chance.choice([None, {"percent": 30, "salt": "a"}, {"percent": 60, "salt": "b"}]))] * 3,
            ]
        )
        self.lists[name] = value
        if name == "excludeItems":
            self.bought = [(user, item) for user in self.users for item in chance.sample(items, chance.randint(0, 2))]

    def _agree(self) -> None:
        """Rules that contradict each other are refused, so that one of two gives way."""
        self.lists["fallback"] = [
            item for item in self.lists.get("fallback", []) if item not in self.lists.get("blockItems", [])
        ]
        if self.lists.get("minItems") is None or self.lists["minItems"] > self.lists.get("maxItems", 25):
            self.lists["minItems"] = 1 if self.lists["fallback"] else None
