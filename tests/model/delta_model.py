"""What a run should tell whom, said naively: whole values in plain dicts, no Spark and no fingerprints.

The oracle that Spark's result is held against. It shares nothing with the product but the two functions that
spread users: refreshes over days, and who is in the holdout; where the product may choose, the model names every
answer that is right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, zip_longest
from typing import Any

Item = dict[str, Any]
Listed = Sequence[tuple[str, float | None]]

# Settings that shape what is sent, with their defaults: who was told under others is told anew.
SHAPING = {
    "attributePrefix": "",
    "itemMetadataFields": [],
    "otherAttributes": {},
    "payloadShape": "objects",
    "rankPrefix": False,
    "updateExistingOnly": False,
    "onAttributeRetired": "keep",
    "onOversize": "reject",
}


def _stocked(item: Item) -> bool | None:
    return item["stock"] > 0 if item.get("stock") is not None else None


def _cheap_or_a_lamp(item: Item) -> bool | None:
    if item.get("name") == "Lamp" or (isinstance(item.get("price"), float) and item["price"] < 10):
        return True
    return False if item.get("name") is not None and isinstance(item.get("price"), float) else None


def _no_scarf(item: Item) -> bool | None:
    return item.get("name") is None or not item["name"].startswith("S")


# What filters say, in Python: yes, no, or None for neither.
FILTERS: Mapping[str, Callable[[Item], bool | None]] = {
    "stock > 0": _stocked,
    "price < 10 OR name = 'Lamp'": _cheap_or_a_lamp,
    "name IS NULL OR name NOT LIKE 'S%'": _no_scarf,
}


class NoGoodLineError(Exception):
    """The batch answers for nobody: the run changes nothing."""


@dataclass(frozen=True)
class Day:
    """What one run reads.

    Attributes:
        config: config.json, with version 1 and the connector braze.
        lines: The batch, line by line.
        items: Item id → its metadata; an item that is not here has none.
        mapping: Rows of USER_ID,ITEM_ID; related_items only.
        bought: Rows of USER_ID,ITEM_ID that excludeItems names.
    """

    job_type: str
    now: datetime
    config: Mapping[str, Any]
    lines: Sequence[str]
    items: Mapping[str, Mapping[str, Any]]
    mapping: Sequence[str] = ()
    bought: Sequence[str] = ()
    is_full: bool = False

    def own(self, name: str, default: Any) -> Any:
        """A setting of the connector."""
        return self.config["connectors"]["braze"].get(name, default)

    def of_lists(self, name: str, default: Any) -> Any:
        """A setting of the lists."""
        return self.config.get("recommendations", {}).get(name, default)

    @property
    def fields(self) -> Sequence[str]:
        """What an item carries beside its id and score."""
        return [] if self.own("payloadShape", "objects") == "ids" else self.own("itemMetadataFields", [])

    @property
    def has_scores(self) -> bool:
        return bool(self.of_lists("includeScores", False))

    @property
    def policy(self) -> tuple[str, int | None]:
        policy = self.own("changePolicy", {})
        return policy.get("compare", "exact"), policy.get("k")

    @property
    def checks_delta(self) -> bool:
        return bool(self.own("performDeltaCheck", self.config.get("performDeltaCheck", True)))

    @property
    def waits_for_receipts(self) -> bool:
        return bool(self.own("acknowledge", "onDelivery") == "onDelivery")

    @property
    def shape(self) -> str:
        """Every setting that shapes what is sent, as one text."""
        settings = {name: self.own(name, default) for name, default in SHAPING.items()}
        return json.dumps([settings, self.has_scores], sort_keys=True)

    def is_allowed(self, item_id: str) -> bool:
        """Whether the item may be in anyone's list."""
        says = FILTERS.get(self.of_lists("itemFilter", None) or "")
        answer = says(dict(self.items.get(item_id, {}))) if says else True
        is_unclear = answer is None or item_id not in self.items
        is_dropped = is_unclear and self.of_lists("onMissingMetadata", "keep") == "drop"
        return answer is not False and not is_dropped and item_id not in self.of_lists("blockItems", [])

    def is_held_out(self, user: str) -> bool:
        """Whether a user is in the holdout. The product's own word: any steady choice would be right."""
        from glue_jobs.holdout import Holdout

        holdout = self.of_lists("holdout", None)
        return holdout is not None and Holdout(**holdout).holds(user)

    def carried(self, item_id: str, score: float | None = None) -> Item:
        """An item as a record carries it."""
        known = self.items.get(item_id, {})
        shown = {"score": score} if self.has_scores else {}
        return {"itemId": item_id, **shown, **{name: known.get(name) for name in self.fields}}


@dataclass(frozen=True)
class Told:
    """What a user was last told.

    Attributes:
        shape: `Day.shape` of the run that told him.
        sent_in: The version that told him.
        is_known: Whether he surely heard it.
        is_unclear: Whether the policy changed while the last run's items no longer said what he was told.
        policy: How lists were compared when he was told.
        refused: How often the destination refused this content, one time after the other; `refused_most` counts
            those, too, after which the policy changed: whether the content stayed the same then nobody says.
        is_marked: Whether he may be marked as held out, for all that runs that asked for receipts know.
    """

    op: str
    items: Sequence[Item]
    shape: str
    at: datetime
    sent_in: int
    is_known: bool = False
    is_unclear: bool = False
    policy: tuple[str, int | None] = ("exact", None)
    refused: int = 0
    refused_most: int = 0
    is_marked: bool = False


@dataclass(frozen=True)
class Answer:
    """What a run may do about a user: why, the record he gets or None, and the row he keeps or None."""

    verdict: str
    record: Mapping[str, Any] | None = None
    row: Told | None = None


Answers = Mapping[str, Sequence[Answer]]


@dataclass
class Read:
    """A day as it was understood.

    Attributes:
        lists: User → his final list.
        sources: User → the mapped items that have a list.
        unanswered: Users without a list for whom a line that would have answered failed or broke.
        is_clean: Whether every line and mapping row could be read.
    """

    lists: dict[str, list[Item]] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    is_clean: bool = True


def read_line(text: str, key_name: str) -> tuple[str, str | None, Listed]:
    """A line as (good, failed or broken; whom it answers for; its list)."""
    try:
        line = json.loads(text)
    except ValueError:
        return "broken", None, []
    key, output = line["input"][key_name], line.get("output")
    if output is None:
        return "failed", key, []
    ids = output["recommendedItems"]
    if not isinstance(ids, list):
        return "broken", key, []
    return "good", key, list(zip(ids, output.get("scores") or [None] * len(ids), strict=True))


def merged(lists: Sequence[Listed], how: str) -> list[tuple[str, float | None]]:
    """One list out of several: every item once, at its first place, with its highest score."""
    in_turns = [listed for turn in zip_longest(*lists) for listed in turn if listed is not None]
    ordered = list(chain(*lists)) if how == "concatenate" else in_turns
    if how == "score":
        scored = sorted((one for one in in_turns if one[1] is not None), key=lambda one: -(one[1] or 0.0))
        ordered = scored + [one for one in in_turns if one[1] is None]
    best: dict[str, float] = {}
    for item_id, score in ordered:
        if score is not None:
            best[item_id] = max(score, best.get(item_id, score))
    return [(item_id, best.get(item_id)) for item_id in dict.fromkeys(item_id for item_id, _ in ordered)]


def read_mapping(rows: Sequence[str]) -> tuple[dict[str, list[str]], bool]:
    """User → his items in order, and whether every row could be read."""
    items_of: dict[str, list[str]] = {}
    pairs = [[part.strip() for part in row.split(",")] for row in rows]
    for user, item in pairs:
        if user and item and item not in items_of.setdefault(user, []):
            items_of[user].append(item)
    return items_of, all(user and item for user, item in pairs)


def final_list(day: Day, lists: Sequence[Listed], mapped: Sequence[str], bought: Sequence[str]) -> list[Item]:
    """A user's list as his record carries it."""
    related = day.of_lists("relatedItems", {})
    ranked, least = merged(lists, related.get("merge", "roundRobin")), day.of_lists("minScore", None)
    low = [item_id for item_id, score in ranked if None not in (least, score) and score < least]
    not_his = [*low, *bought, *(mapped if related.get("excludeMappedItems") else [])]
    best = [one for one in ranked if one[0] not in not_his and day.is_allowed(one[0])][: day.of_lists("maxItems", 25)]
    scores, wanted = dict(ranked), day.of_lists("minItems", None) or 0
    for item_id in day.of_lists("fallback", []):
        is_new = item_id not in dict(best) and item_id not in not_his
        if len(best) < wanted and is_new and day.is_allowed(item_id):
            best.append((item_id, scores.get(item_id)))
    return [day.carried(item_id, score) for item_id, score in best] if len(best) >= wanted else []


def read(day: Day) -> Read:
    """A day as a run understands it.

    Raises:
        NoGoodLineError: Not one line is good.
    """
    is_by_user = day.job_type == "user_personalization"
    found = [read_line(text, "userId" if is_by_user else "itemId") for text in day.lines]
    good: dict[str, Listed] = {}
    for kind, key, listed in found:
        if kind == "good":
            good.setdefault(key or "", listed)
    if not good:
        raise NoGoodLineError
    bad = {key for kind, key, _ in found if kind != "good" and key is not None} - set(good)
    items_of, is_mapping_clean = read_mapping(day.mapping)
    bought, _ = read_mapping(day.bought if day.of_lists("excludeItems", None) else [])
    asked = {user: [user] for user in [*good, *bad]} if is_by_user else items_of
    today = Read(is_clean=is_mapping_clean and all(kind != "broken" for kind, _, _ in found))
    for user, keys in asked.items():
        answered = [key for key in keys if key in good]
        if answered:
            mapped = [] if is_by_user else keys
            today.lists[user] = final_list(day, [good[key] for key in answered], mapped, bought.get(user, []))
            today.sources[user] = answered
        elif bad & set(keys):
            today.unanswered.add(user)
    return today


def is_same(was: Sequence[Item], now: Sequence[Item], policy: tuple[str, int | None]) -> bool:
    """Whether two lists are the same under a policy."""
    compare, first = policy
    if compare == "set":
        return sorted(was, key=lambda item: item["itemId"]) == sorted(now, key=lambda item: item["itemId"])
    return list(was[:first]) == list(now[:first]) if compare == "topK" else list(was) == list(now)


def _is_same_content(told: Told, items: Sequence[Item], day: Day) -> bool:
    """Whether a list is surely what was told, for one who compares as he did then."""
    return told.shape == day.shape and told.policy == day.policy and is_same(told.items, items, day.policy)


def _is_due(user: str, sent_at: datetime, now: datetime, days: int) -> bool:
    """The product's own word: any spread over the days would be right."""
    from glue_jobs.delta import is_due

    return is_due(user, sent_at, now, days)


@dataclass
class Model:
    """One job's memory: what each user was last told.

    Attributes:
        last: The day of the last committed run.
    """

    rows: dict[str, Told] = field(default_factory=dict)
    version: int = 0
    last: Day | None = None

    def run(self, day: Day) -> Answers:
        """What the run may do about each user it says anything of, likeliest first. Remembers nothing yet.

        Raises:
            NoGoodLineError: The run should stop and change nothing.
        """
        today = read(day)
        told = {user: self.as_known(row, day) for user, row in self.rows.items()}
        answers = {user: self._with_list(day, today, user, told.get(user)) for user in today.lists}
        for user in told.keys() - today.lists.keys():
            answers[user] = [self._without_list(day, today, user, told[user])]
        return answers

    def commit(
        self, day: Day, taken: Mapping[str, Answer], delivered: Iterable[str], refused: Iterable[str] = ()
    ) -> None:
        """Remember what a run did, and what receipts say of it."""
        before = self.rows
        self.rows = {user: answer.row for user, answer in taken.items() if answer.row is not None}
        self.version, self.last = self.version + 1, day
        sent = {user for user, answer in taken.items() if answer.record is not None}
        for user in sent if not day.waits_for_receipts else sent & set(delivered):
            self.rows[user] = replace(self.rows[user], is_known=True)
        for user in sent & set(refused) if day.waits_for_receipts else ():
            self.rows[user] = self._refused_again(day, before.get(user), self.rows[user])

    def _refused_again(self, day: Day, before: Told | None, now: Told) -> Told:
        """A row whose content was refused, once more where it is the content refused before."""
        if before is None or day.is_full or before.op != now.op or (now.op != "clear" and before.shape != now.shape):
            return replace(now, refused=1, refused_most=1)
        is_surely_same = now.op != "upsert" or _is_same_content(before, now.items, day)
        return replace(now, refused=1 + (before.refused if is_surely_same else 0), refused_most=1 + before.refused_most)

    def as_known(self, row: Told, day: Day) -> Told:
        """A row with what this run may believe of it.

        Under a new policy the product knows what he was told only where the last run's items still say it, and
        nothing of what the former policy never looked at.
        """
        is_known = row.is_known and not day.is_full
        is_new_policy = self.last is not None and self.last.policy != day.policy
        is_proven = self._is_what_last_run_knew(row) and not self._looks_further(day)
        is_unclear = row.is_unclear or (is_new_policy and not is_proven)
        heard = {"refused": 0, "refused_most": 0} if is_known or day.is_full else {}
        is_confirmed = is_known and row.sent_in == self.version and row.op != "gone"
        is_marked = row.op == "holdout" if is_confirmed else row.is_marked
        return replace(row, is_known=is_known, is_unclear=is_unclear, is_marked=is_marked, **heard)

    def _looks_further(self, day: Day) -> bool:
        """Whether today's policy compares items that the last run's never did."""
        first, last_first = day.policy[1], self.last.policy[1] if self.last else None
        return last_first is not None and (first is None or first > last_first)

    def _with_list(self, day: Day, today: Read, user: str, told: Told | None) -> Sequence[Answer]:
        is_blank = told is None or (told.op == "clear" and told.is_known)
        if is_blank and not today.lists[user]:
            return [Answer("empty")]
        if day.is_held_out(user):
            return [self._held_out(day, user, told)]
        if told is None or told.op != "upsert":
            return [self._upsert("new", day, today, user, told)]
        if not told.is_known:
            return self._unheard(day, today, user, told)
        if told.shape != day.shape or not is_same(told.items, today.lists[user], day.policy):
            return self._changed(day, today, user, told)
        or_changed = [self._upsert("changed", day, today, user, told)] if told.is_unclear else []
        return [self._same(day, today, user, told), *or_changed]

    def _unheard(self, day: Day, today: Read, user: str, told: Told) -> Sequence[Answer]:
        """Sent again, until the same content was refused three times and no refresh is due."""
        again, rest = self._upsert("repeated", day, today, user, told), Answer("resting", row=told)
        days = day.own("changePolicy", {}).get("refreshAfterDays")
        if told.shape != day.shape or (days and _is_due(user, told.at, day.now, days)):
            return [again]
        if told.refused >= 3 and _is_same_content(told, today.lists[user], day):
            return [rest]
        return [again, rest] if told.refused_most >= 3 else [again]

    def _same(self, day: Day, today: Read, user: str, told: Told) -> Answer:
        if not day.checks_delta:
            return self._upsert("repeated", day, today, user, told)
        days = day.own("changePolicy", {}).get("refreshAfterDays")
        if days and _is_due(user, told.at, day.now, days):
            return self._upsert("refreshed", day, today, user, told)
        return Answer("unchanged", row=told)

    def _changed(self, day: Day, today: Read, user: str, told: Told) -> Sequence[Answer]:
        whole = self._upsert("changed", day, today, user, told)
        if not self._may_name_changes(day, told):
            return [whole]
        names = ["itemId", *day.fields]
        now, was = today.lists[user], told.items
        changed = [name for name in names if [item[name] for item in now] != [item[name] for item in was]]
        named = replace(whole, record={**(whole.record or {}), "changed": changed})
        is_surely_known = self._is_what_last_run_knew(told) and not told.is_unclear
        return [named] if is_surely_known else [named, whole]

    def _may_name_changes(self, day: Day, told: Told) -> bool:
        if self.last is None or day.has_scores or self.last.has_scores:
            return False
        are_exact = day.policy == self.last.policy == ("exact", None)
        return are_exact and day.shape == self.last.shape == told.shape

    def _is_what_last_run_knew(self, told: Told) -> bool:
        """Whether the last run's settings and items still say what he was told. Of scores they say nothing."""
        last = self.last
        if last is None or last.has_scores or last.shape != told.shape:
            return False
        return all(item == last.carried(item["itemId"]) for item in told.items)

    def _without_list(self, day: Day, today: Read, user: str, told: Told) -> Answer:
        if user in today.unanswered:
            return Answer("failed", row=told)
        days = day.own("changePolicy", {}).get("refreshAfterDays")
        if told.op == "clear" and told.refused >= 3 and not (days and _is_due(user, told.at, day.now, days)):
            return Answer("resting", row=told)
        if told.op == "clear" and told.is_known:
            return Answer("forgotten")
        if told.op != "clear" and day.own("onUserRemoved", "keep") == "keep":
            return Answer("gone", row=replace(told, op="gone"))
        if not today.is_clean:
            return Answer("clearsWithheld", row=told)
        return Answer("cleared", {"userId": user, "op": "clear"}, self._row("clear", day, told))

    def _held_out(self, day: Day, user: str, told: Told | None) -> Answer:
        """Told once, and again as a list would be; what is compared is the settings alone."""
        told_now = Answer("holdout", {"userId": user, "op": "holdout"}, self._row("holdout", day, told))
        if told is None or told.op != "holdout" or told.shape != day.shape:
            return told_now
        days = day.own("changePolicy", {}).get("refreshAfterDays")
        if days and _is_due(user, told.at, day.now, days):
            return told_now
        if told.refused >= 3:
            return Answer("resting", row=told)
        return Answer("holdoutUnchanged", row=told) if told.is_known and day.checks_delta else told_now

    def _upsert(self, verdict: str, day: Day, today: Read, user: str, told: Told | None) -> Answer:
        items = today.lists[user]
        record = {"userId": user, "op": "upsert", "recommendations": items}
        if day.job_type == "related_items":
            record["queryItemIds"] = today.sources[user]
        if told is not None and told.is_marked:
            record["endsHoldout"] = True
        return Answer(verdict, record, self._row("upsert", day, told, items))

    def _row(self, op: str, day: Day, told: Told | None, items: Sequence[Item] = ()) -> Told:
        """What is remembered of a record that is sent."""
        is_marked = op == "holdout" or (told is not None and told.is_marked)
        return Told(op, items, day.shape, day.now, self.version + 1, policy=day.policy, is_marked=is_marked)
