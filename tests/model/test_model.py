"""The delta against a model of it, over random histories.

By hand: RECSYNC_MODEL_HISTORIES=10000 for the model alone, RECSYNC_HISTORIES=200 for Spark against it,
RECSYNC_SEED=123 to repeat one history of both.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from delta_model import Answer, Answers, Day, Model, NoGoodLineError, Told, is_same, read
from random_histories import Confirmed, history

from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Receipt, Rejection, write_receipts
from connectors.contract.storage import open_storage
from glue_jobs import errors, parting, state

VERDICTS = (
    *("new", "changed", "repeated", "refreshed", "unchanged", "failed", "gone", "cleared", "forgotten", "empty"),
    *("holdout", "holdoutUnchanged"),
)
RESTING = "resting"  # needs four days on which nothing moves: seldom met here, told day by day in test_sync
WITHHELD = "clearsWithheld"
SETTLED = ("delivered", "rejected")


# Ten histories that among them meet every rule, each the best of thousands at some.
FIXED = [100, 230, 342, 436, 616, 855, 1966, 2519, 2712, 2790]


def _seeds(histories: int, fixed: Sequence[int]) -> Sequence[int]:
    """The one seed that is asked for, or some that are always the same and some that are new in every run."""
    if seed := os.environ.get("RECSYNC_SEED"):
        return [int(seed)]
    # The workers of one run have to mean the same tests.
    luck = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex())
    fresh = luck.sample(range(10**6, 10**9), max(histories - len(fixed), 0))
    return [*fixed[:histories], *fresh]


MODEL_SEEDS = _seeds(int(os.environ.get("RECSYNC_MODEL_HISTORIES", "300")), range(200))
SPARK_SEEDS = _seeds(int(os.environ.get("RECSYNC_HISTORIES", "20")), FIXED)


@dataclass(frozen=True)
class Committed:
    """One run of the model that committed: its memory before and after, and what was sent."""

    day: Day
    confirmed: Confirmed
    before: Model
    after: Model
    answers: Answers
    taken: Mapping[str, Answer]
    number: int

    @property
    def records(self) -> Mapping[str, Mapping[str, Any]]:
        return {user: answer.record for user, answer in self.taken.items() if answer.record is not None}


def _heard_and_refused(users: Iterable[str], confirmed: Confirmed) -> tuple[Sequence[str], Sequence[str]]:
    """Whose records were delivered, and whose were refused."""
    fates = {user: confirmed.fate(user) for user in users}
    heard = [user for user, fate in fates.items() if fate == "delivered"]
    return heard, [user for user, fate in fates.items() if fate in ("rejected", "tooLarge")]


def model_runs(seed: int) -> Iterator[Committed]:
    """The model's own way through a history."""
    model = Model()
    for number, (day, confirmed) in enumerate(history(seed)):
        before = replace(model)
        try:
            answers = model.run(day)
        except NoGoodLineError:
            assert model == before
            continue
        taken = {user: allowed[0] for user, allowed in answers.items()}
        model.commit(day, taken, *_heard_and_refused(taken, confirmed))
        yield Committed(day, confirmed, before, replace(model), answers, taken, number)


@dataclass
class Destination:
    """Profiles as a destination holds them: user → the settings he was told under, and each field's values.

    What was sent and not confirmed may have arrived or not; a coin says which. Under onWrite all of it arrives.
    """

    profiles: dict[str, tuple[str, dict[str, list[Any]]]] = field(default_factory=dict)
    marked: set[str] = field(default_factory=set)

    def hear(self, run: Committed) -> None:
        """One run's records."""
        for record in run.records.values():
            if not run.day.waits_for_receipts or self._arrives(run, record["userId"]):
                self._take(run.day, record)

    def _arrives(self, run: Committed, user: str) -> bool:
        fate = run.confirmed.fate(user)
        is_lucky = random.Random(f"{run.confirmed.seed}/{user}/luck").random() < 0.5
        return fate == "delivered" or (fate in ("open", "superseded", "deadLettered") and is_lucky)

    def _take(self, day: Day, record: Mapping[str, Any]) -> None:
        user = record["userId"]
        if record["op"] != "upsert" or "endsHoldout" in record:
            self.marked.discard(user)
        if record["op"] != "upsert":
            self.profiles.pop(user, None)
            self.marked |= {user} if record["op"] == "holdout" else set()
            return
        values = columns(record["recommendations"])
        shape, known = self.profiles.get(user, ("", {}))
        if "changed" in record:
            assert shape == day.shape, f"{user} has a profile of other settings, and heard of some fields only"
            values = {**known, **{name: values.get(name, []) for name in record["changed"]}}
        self.profiles[user] = (day.shape, {name: value for name, value in values.items() if value})


def columns(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Each field's values, best first."""
    return {name: [item[name] for item in items] for name in (items[0] if items else {})}


@pytest.mark.parametrize(
    "seeds", [MODEL_SEEDS[part::4] for part in range(4)], ids=[f"part {part}" for part in range(4)]
)
def test_what_counts_as_known_is_what_the_destination_holds(seeds):
    for seed in seeds:
        destination = Destination()
        for run in model_runs(seed):
            destination.hear(run)
            for user, row in run.after.rows.items():
                held = (destination.profiles.get(user), user in destination.marked)
                assert not row.is_known or _held(row) == held, (seed, run.number, user)


def _held(row: Told) -> tuple[tuple[str, dict[str, list[Any]]] | None, bool]:
    """His profile, and whether he is marked."""
    is_out = row.op == "holdout" or (row.op == "gone" and row.is_marked)
    return None if is_out or row.op == "clear" else (row.shape, columns(row.items)), is_out


def test_whoever_has_a_profile_is_remembered():
    for seed in MODEL_SEEDS:
        destination = Destination()
        for run in model_runs(seed):
            destination.hear(run)
            assert destination.profiles.keys() | destination.marked <= run.after.rows.keys(), (seed, run.number)


def test_whoever_may_be_marked_and_has_a_list_is_held_out_or_hears_that_it_ended():
    for seed in MODEL_SEEDS:
        destination = Destination()
        for run in model_runs(seed):
            marked = set(destination.marked)
            destination.hear(run)
            for user in marked & read(run.day).lists.keys():
                record = run.records.get(user, {})
                is_out = run.day.is_held_out(user) and run.after.rows[user].op == "holdout"
                assert is_out or record.get("endsHoldout"), (seed, run.number, user)


def test_whoever_heard_all_and_is_asked_the_same_again_hears_nothing():
    for seed in MODEL_SEEDS:
        for run in model_runs(seed):
            model, again = replace(run.before), _again(run.day)
            model.commit(run.day, run.taken, delivered=run.records)
            unknown = {user for user, row in model.rows.items() if not row.is_known}
            sent = {user for user, allowed in model.run(again).items() if allowed[0].record is not None}
            assert not run.day.checks_delta or sent <= unknown - run.records.keys(), (seed, run.number)


def _again(day: Day) -> Day:
    """The same input a day later, when nobody is due for a refresh."""
    braze = day.config["connectors"]["braze"]
    policy = {**braze.get("changePolicy", {}), "refreshAfterDays": None}
    config = {**day.config, "connectors": {"braze": {**braze, "changePolicy": policy}}}
    return replace(day, now=day.now + timedelta(days=1), config=config, is_full=False)


def test_nobody_without_a_list_is_upserted_and_nobody_with_one_or_a_failed_line_is_cleared():
    for seed in MODEL_SEEDS:
        for run in model_runs(seed):
            today = read(run.day)
            for user, record in run.records.items():
                wanted = "holdout" if run.day.is_held_out(user) else "upsert"
                wanted = wanted if user in today.lists else "clear"
                assert record["op"] == wanted and user not in today.unanswered, (seed, run.number, user)


def test_a_run_that_could_not_read_everything_clears_nobody():
    for seed in MODEL_SEEDS:
        for run in model_runs(seed):
            is_clean = read(run.day).is_clean
            assert is_clean or all(record["op"] != "clear" for record in run.records.values()), (seed, run.number)


def test_everyone_with_a_list_has_it_or_hears_it():
    for seed in MODEL_SEEDS:
        for run in model_runs(seed):
            for user, items in read(run.day).lists.items():
                row = run.after.rows.get(user)
                if run.day.is_held_out(user):
                    assert row.op == "holdout" if row else not items, (seed, run.number, user)
                    continue
                told = row.items if row else []
                is_told_by = {"exact": told, "set": _by_id(told), "topK": told[: run.day.policy[1]]}
                wanted = {"exact": items, "set": _by_id(items), "topK": items[: run.day.policy[1]]}
                compare = run.day.policy[0]
                assert is_told_by[compare] == wanted[compare], (seed, run.number, user)


def _by_id(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return sorted(items, key=lambda item: item["itemId"])


def test_a_full_run_sends_everyone_with_a_list_whole():
    for seed in MODEL_SEEDS:
        for run in model_runs(seed):
            whole = {user for user, record in run.records.items() if "changed" not in record}
            unheard = {user for user, answer in run.taken.items() if answer.verdict == "empty"}
            assert not run.day.is_full or read(run.day).lists.keys() <= whole | unheard, (seed, run.number)


@pytest.mark.parametrize("seeds", [FIXED, range(500)], ids=["the fixed histories of Spark", "500 histories"])
def test_the_histories_meet_every_rule(seeds):
    seen: Counter[str] = Counter()
    for seed in seeds:
        runs = list(model_runs(seed))
        seen["stopped"] += len(history(seed)) - len(runs)
        for run in runs:
            seen.update([*_met(run), *_shortcuts(run)])
    missing = [name for name in (*VERDICTS, WITHHELD, *RULES, *SHORTCUTS) if not seen[name]]
    assert not missing, f"{missing} never happened: {seen}"


RULES = {
    "stopped",
    "full",
    "names changes",
    "either",
    "clear again",
    "compares exact",
    "compares set",
    "compares topK",
    "refreshes",
    "checks nothing",
    "onWrite",
    "new policy",
    "new shape",
    "shows scores",
    "merges by score",
    "drops unknown items",
    "excludes mapped items",
    "unclean",
    *("filters", "blocks", "excludes", "asks for a score", "fills up", "is too short", "drops unclear items"),
    *("enters the holdout", "is marked unheard", "holdout ends", "holdout ends again", "gone from the holdout"),
    *("cleared from the holdout", "mark told anew"),
}


# What a delta that compares fingerprints could get wrong.
SHORTCUTS = {"waits again", "changed behind the first k"}


def _met(run: Committed) -> Iterator[str]:
    """The verdicts and rules of a run."""
    day, last = run.day, run.before.last
    yield from (answer.verdict for answer in run.taken.values())
    yield f"compares {day.policy[0]}"
    related = day.of_lists("relatedItems", {})
    cleared = {user for user, row in run.before.rows.items() if row.op == "clear"}
    yield from _named(
        {
            "full": day.is_full,
            "names changes": any("changed" in record for record in run.records.values()),
            "either": any(len(allowed) > 1 for allowed in run.answers.values()),
            "clear again": any(run.taken[user].verdict == "cleared" for user in cleared),
            "refreshes": bool(day.own("changePolicy", {}).get("refreshAfterDays")),
            "checks nothing": not day.checks_delta,
            "onWrite": not day.waits_for_receipts,
            "new policy": last is not None and last.policy != day.policy,
            "new shape": last is not None and last.shape != day.shape,
            "shows scores": day.has_scores,
            "merges by score": day.job_type == "related_items" and related.get("merge") == "score",
            "drops unknown items": day.of_lists("onMissingMetadata", "keep") == "drop",
            "excludes mapped items": bool(related.get("excludeMappedItems")),
            "unclean": not read(day).is_clean,
        }
    )
    yield from _named(_rules_over_items(day))
    yield from _named(_holdout(run))


def _rules_over_items(day: Day) -> Mapping[str, bool]:
    """Which rules change lists on that day."""
    lists, now = day.config.get("recommendations", {}), read(day).lists

    def without(name: str, default: Any = None) -> Mapping[str, Sequence[Any]]:
        return read(replace(day, config={**day.config, "recommendations": {**lists, name: default}})).lists

    return {
        "filters": without("itemFilter") != now,
        "drops unclear items": "itemFilter" in lists and without("onMissingMetadata", "keep") != now,
        "blocks": without("blockItems", []) != now,
        "excludes": read(replace(day, bought=())).lists != now,
        "asks for a score": without("minScore") != now,
        "fills up": without("fallback", []) != now,
        "is too short": any(items and not now[user] for user, items in without("minItems").items()),
    }


def _holdout(run: Committed) -> Mapping[str, bool]:
    """What happens to the mark of the holdout on that day."""
    before, sent = run.before.rows, run.records
    ends = [before[user] for user, record in sent.items() if "endsHoldout" in record]
    marks = [before[user] for user, record in sent.items() if record["op"] == "holdout" and user in before]
    out = [user for user, row in before.items() if row.op == "holdout"]
    return {
        "enters the holdout": any(row.op == "upsert" and row.is_known for row in marks),
        "is marked unheard": any(row.op == "holdout" and not row.is_known for row in marks),
        "mark told anew": any(row.op == "holdout" and row.shape != run.day.shape for row in marks),
        "holdout ends": any(row.op == "holdout" and row.is_known for row in ends),
        "holdout ends again": any(row.op == "upsert" and not row.is_known for row in ends),
        "gone from the holdout": any(run.taken[user].verdict == "gone" for user in out),
        "cleared from the holdout": any(run.taken[user].verdict == "cleared" for user in out),
    }


def _shortcuts(run: Committed) -> Iterator[str]:
    """The users for whom a shortcut would send what nobody needs, or lose an update."""
    day, last, lists = run.day, run.before.last, read(run.day).lists
    for user, row in run.before.rows.items() if last else ():
        told, verdicts = run.before.as_known(row, day), {answer.verdict for answer in run.answers[user]}
        is_newest, (_, first) = row.sent_in == run.before.version, last.policy
        if is_newest and day.waits_for_receipts > last.waits_for_receipts and verdicts <= {"unchanged", "forgotten"}:
            yield "waits again"
        if verdicts != {"changed"} or last.policy == day.policy or told.shape != day.shape or not told.is_known:
            continue
        known = [last.carried(item["itemId"]) for item in told.items]
        if told.items[:first] == known[:first] and is_same(known, lists[user], day.policy):
            yield "changed behind the first k"


def _named(rules: Mapping[str, bool]) -> Iterator[str]:
    return (name for name, is_met in rules.items() if is_met)


@pytest.mark.parametrize("seed", SPARK_SEEDS)
def test_spark_tells_whom_the_model_tells(seed, job, monkeypatch):
    """Also where users fall into other parts than the day before, and the snapshot has to be brought to them."""
    print(f"RECSYNC_SEED={seed}")  # noqa: T201 - so that a failed history can be repeated
    days = history(seed)
    made, model = job(days[0][0].job_type), Model()
    parts = random.Random(seed)
    monkeypatch.setattr(parting, "_LEAST_BYTES", 1)
    for number, (day, confirmed) in enumerate(days):
        monkeypatch.setattr(parting, "_MOST_BYTES", parts.choice([10**9, 10**9, 400]))
        _run_both(f"seed {seed}, day {number} of 0 to {len(days) - 1}", made, model, day, confirmed)


def _run_both(about: str, made: Any, model: Model, day: Day, confirmed: Confirmed) -> None:
    """One day for Spark and the model; the model goes on from what Spark did, where that was right."""
    _write(made, day)
    try:
        answers = model.run(day)
    except NoGoodLineError:
        with pytest.raises(errors.NoInputError):
            made.run(day.now, is_full=day.is_full)
        return
    result = made.run(day.now, is_full=day.is_full)
    records = made.records(result)
    taken = {user: _taken(about, model, answers, records, user) for user in {*answers, *records}}
    _check_counts(about, result.counts, answers, records)
    model.commit(day, taken, *_heard_and_refused(records, confirmed))
    assert result.version == model.version, about
    _confirm(made, result, confirmed, day)


def _write(made: Any, day: Day) -> None:
    made.write("config.json", json.dumps(day.config))
    made.batch(*day.lines)
    made.items(*[{"id": item_id, **values} for item_id, values in day.items.items()])
    if day.job_type == "related_items":
        made.mapping(*day.mapping)
    if day.of_lists("excludeItems", None):
        made.write(day.of_lists("excludeItems", None), "\n".join(["USER_ID,ITEM_ID", *day.bought, ""]))


def _taken(about: str, model: Model, answers: Answers, records: Mapping[str, Any], user: str) -> Answer:
    """The answer that Spark gave, which has to be one of the model's."""
    allowed, got = answers.get(user, []), records.get(user)
    if matching := _matching(allowed, got):
        return matching[0]
    wanted = "\n      or: ".join(f"{answer.verdict}: {json.dumps(answer.record)}" for answer in allowed)
    told = model.rows.get(user)
    pytest.fail(f"{about}, user {user}\nexpected: {wanted}\n     got: {json.dumps(got)}\n    told: {told}")


def _matching(allowed: Sequence[Answer], got: Any) -> Sequence[Answer]:
    """The answers that send exactly this, down to the order of keys."""
    return [answer for answer in allowed if json.dumps(answer.record) == json.dumps(got)]


def _check_counts(about: str, counts: Mapping[str, int], answers: Answers, records: Mapping[str, Any]) -> None:
    """Each verdict is counted as often as users met it; who may have met either counts for both."""
    possible = [
        {answer.verdict for answer in _matching(allowed, records.get(user))} for user, allowed in answers.items()
    ]
    for verdict in (*VERDICTS, RESTING, WITHHELD):
        least = sum(verdicts == {verdict} for verdicts in possible)
        most = sum(verdict in verdicts for verdicts in possible)
        assert least <= counts[verdict] <= most, f"{about}: {verdict} is counted {counts[verdict]} times"


def _confirm(made: Any, result: Any, confirmed: Confirmed, day: Day) -> None:
    """Write what the destination says as receipts: one for each run of lines of one fate."""
    storage = open_storage(made.folder.root)
    manifest = state.read_manifest(storage, result.manifest)
    assert manifest is not None
    users = iter(made.records(result))
    receipts = [
        receipt
        for file in manifest.files
        for receipt in _receipts(file, list(itertools.islice(users, file.records)), confirmed, manifest)
    ]
    write_receipts(storage, manifest, receipts if day.waits_for_receipts else [])


def _receipts(file: PartFile, users: Sequence[str], confirmed: Confirmed, manifest: RunManifest) -> Iterator[Receipt]:
    """A part's receipts. A whole part is superseded first now and then, which a stronger word corrects."""
    at = manifest.created_at
    if confirmed.how == "rejected":
        yield Receipt(file=file.key, first_line=0, last_line=len(users) - 1, outcome="superseded", at=at)
    said = [(confirmed.fate(user), line, user) for line, user in enumerate(users)]
    for outcome, group in itertools.groupby(said, key=lambda one: "settled" if one[0] in SETTLED else one[0]):
        lines = list(group)
        if outcome == "open":
            continue
        refused = [
            Rejection(line=line, user_id=user, code="refused", reason="no")
            for fate, line, user in lines
            if fate == "rejected"
        ]
        first, last = lines[0][1], lines[-1][1]
        yield Receipt(file=file.key, first_line=first, last_line=last, outcome=outcome, rejected=refused, at=at)
