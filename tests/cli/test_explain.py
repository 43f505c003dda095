"""One user's story: told by the run's own code, and held against what the run left. With Spark, once a module."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.explain import explain
from cli.explanation import CLEARED_AGAIN, LEFT_OUT, NEW_AFTER, NOT_WIPED, VERDICTS, in_words
from cli.typed import UsageError
from connectors.contract import layout
from connectors.contract.aliases import alias, alias_key
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.receipts import Receipt, Rejection, write_receipts
from connectors.contract.run_record import run_ids
from glue_jobs import shortlist, state, sync
from glue_jobs.approval import approve, discard
from glue_jobs.config import load_config
from glue_jobs.delta import Verdict
from glue_jobs.errors import ConfigError
from glue_jobs.holdout import Holdout
from glue_jobs.proposal import JobRun
from glue_jobs.shortlist import BEYOND_MAX
from glue_jobs.wipe import wipe

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 21, 4, tzinfo=UTC)
USERS = ("una", "pia", "fil", "rex", "res", "hol")
SALT = next(
    str(salt)
    for salt in range(10_000)
    if [user for user in USERS if Holdout(percent=20, salt=str(salt)).holds(user)] == ["hol"]
)
SHOP = {"1": 10, "2": 20, "3": 30, "sold": 5}


class Shop:
    """A job folder, its nights, and a destination that refuses some users."""

    def __init__(self, path: Path, spark) -> None:
        self.storage, self.spark, self.nights = LocalStorage(path), spark, 0
        self.folder = JobFolder.parse(str(path))

    def write(self, key: str, *lines: object) -> None:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.storage.put(key, "\n".join([*texts, ""]).encode())

    def config(self, lists, guards=(), **braze) -> None:
        own = {"itemMetadataFields": ["price"], **braze}
        raw = {"version": 1, "batchInferencePath": "input/batch/", "guards": {"maxBadLinePct": None, **dict(guards)}}
        self.write("config.json", {**raw, "recommendations": lists, "connectors": {"braze": own}})

    def items(self, **prices: float) -> None:
        items = [
            {"id": item, "price": price, "stock": 0 if item == "sold" else 3}
            for item, price in {**SHOP, **prices}.items()
        ]
        self.write("input/item_metadata/items.json", *items)

    def night(self, refused: tuple[str, ...] = ()) -> str:
        """Run, and have the destination answer; gives the run's id."""
        at = NOW + timedelta(days=self.nights)
        self.nights += 1
        result = sync.run(lambda: self.spark, self.folder, now=at, report=lambda text: None)
        assert not result.stopped, result.stopped
        for one in result.record.published:
            self.answer(state.read_manifest(self.storage, one.manifest), refused)
        return result.record.run_id

    def answer(self, manifest, refused) -> None:
        for file in manifest.files:
            lines = gzip.decompress(self.storage.get(file.key).data).splitlines()
            users = [json.loads(line)["userId"] for line in lines]
            rejected = [
                Rejection(line=number, user_id=user, code="refused_by_braze", reason=f"no profile of {user} here")
                for number, user in enumerate(users)
                if user in refused
            ]
            receipt = Receipt(
                file=file.key,
                first_line=0,
                last_line=len(users) - 1,
                outcome="settled",
                rejected=rejected,
                at=manifest.created_at + timedelta(minutes=5),
            )
            write_receipts(self.storage, manifest, [receipt])


def for_user(user, *items):
    scores = [round(0.9 - 0.1 * rank, 1) for rank in range(len(items))]
    return {"input": {"userId": user}, "output": {"recommendedItems": list(items), "scores": scores}, "error": None}


@pytest.fixture(scope="module")
def shop(tmp_path_factory, spark) -> Shop:
    """Four nights of a shop: one user refused three times rests in the fourth."""
    made = Shop(tmp_path_factory.mktemp("explain") / "etl_jobs/user_personalization/demo", spark)
    made.config({"maxItems": 2, "itemFilter": "stock > 0", "holdout": {"percent": 20, "salt": SALT}})
    made.items()
    lines = [for_user("una", "1"), for_user("fil", "sold", "1", "3"), for_user("res", "3"), for_user("hol", "1")]
    made.write("input/batch/a.out", *lines, for_user("pia", "2", "unknown"))
    for _ in range(3):
        made.night(refused=("res",))
    made.write("input/batch/a.out", for_user("una", "1"), for_user("res", "3"), for_user("hol", "1"))
    made.write("input/batch/b.out", for_user("fil", "sold", "1", "3", "2"), for_user("pia", "2", "unknown"), lines[1])
    made.write("input/batch/c.out", for_user("rex", "3", "1"), {"input": {"userId": "kim"}, "error": "kim is unknown"})
    made.items(**{"2": 19})
    made.night(refused=("rex",))
    return made


def story(shop, user, **how):
    (told,) = explain(shop.folder, user, **how).connectors
    assert told.notes == []
    return told


def test_an_unchanged_user_was_told_this_before(shop):
    told = story(shop, "una")
    assert (told.verdict, told.sent) == ("unchanged", None)
    assert (told.before.item_ids, told.before.sent_in, told.before.fate) == (["1"], 1, "delivered")
    assert told.before.fingerprint == told.after.fingerprint


def test_a_user_changed_by_price_only_is_told_so_with_the_record_and_its_fate(shop):
    told = story(shop, "pia")
    assert (told.verdict, told.changed) == ("changed", ["price"])
    assert told.before.item_ids == ["2", "unknown"]
    assert [(one.item_id, one.score, one.has_metadata) for one in told.items] == [
        ("2", 0.9, True),
        ("unknown", 0.8, False),
    ]
    assert told.sent.record["recommendations"][0] == {"itemId": "2", "price": 19}
    assert (told.sent.fate, told.sent.code, "userId" in told.sent.record) == ("delivered", "", False)
    assert told.before.fingerprint != told.after.fingerprint


def test_what_filters_and_limits_left_out_stands_with_its_reason(shop):
    told = story(shop, "fil")
    assert [(one.item_id, one.reason) for one in told.left_out] == [("sold", "itemsFiltered"), ("2", BEYOND_MAX)]
    assert "itemFilter" in told.left_out[0].meaning
    assert [one.item_id for one in told.items] == ["1", "3"]


@pytest.mark.parametrize("on_missing", ["keep", "drop"])
def test_an_item_that_the_filter_cannot_judge_is_not_taken_for_one_without_metadata(tmp_path, spark, on_missing):
    made = Shop(tmp_path / "etl_jobs/user_personalization/demo", spark)
    made.config({"itemFilter": "stock > 0", "onMissingMetadata": on_missing})
    made.write("input/item_metadata/items.json", {"id": "a", "price": 9}, {"id": "b", "price": 8, "stock": 3})
    made.write("input/batch/a.out", for_user("una", "a", "unknown", "b"))
    made.night()
    told = story(made, "una")
    said = dict(in_words(explain(made.folder, "una"))[1][1])
    if on_missing == "keep":
        assert [(one.has_metadata, one.is_unclear) for one in told.items] == [
            (True, True),
            (False, False),
            (True, False),
        ]
        assert said["no metadata"] == "unknown"
        assert said["unclear"] == "a: the metadata does not say what recommendations.itemFilter asks"
    else:
        assert {one.item_id: one.meaning.partition(",")[0] for one in told.left_out} == {
            "a": "its metadata does not say what recommendations.itemFilter asks",
            "unknown": "there is no metadata for it",
        }
        assert [one.reason for one in told.left_out] == ["itemsWithoutMetadata"] * 2


def test_the_lines_of_the_batch_that_concern_a_user_are_named(shop):
    answers = explain(shop.folder, "fil").answers
    assert [(Path(one.file).name, one.line, one.counts) for one in answers] == [("b.out", 1, True), ("b.out", 3, False)]
    assert [item.score for item in answers[0].items] == [0.9, 0.8, 0.7, 0.6]


def test_a_user_whom_the_destination_refused_is_told_why(shop):
    told = story(shop, "rex")
    name = alias(alias_key(shop.storage), "rex")
    assert (told.verdict, told.sent.fate, told.sent.code) == ("new", "rejected", "refused_by_braze")
    assert told.sent.reason == f"no profile of {name} here"
    assert story(shop, "rex", show_ids=True).sent.reason == "no profile of rex here"


def test_a_resting_user_is_told_what_was_refused_and_how_often(shop):
    told = story(shop, "res")
    assert (told.verdict, told.sent) == ("resting", None)
    assert (told.before.sent_in, told.before.fate, told.before.code) == (3, "rejected", "refused_by_braze")
    assert told.after.rejections == 3


def test_a_user_in_the_holdout_gets_nothing_and_it_is_said(shop):
    told = story(shop, "hol")
    assert (told.verdict, told.items, told.sent, told.before.op) == ("holdoutUnchanged", [], None, "holdout")


def test_a_user_whose_line_failed_and_one_whom_nobody_knows(shop):
    failed = explain(shop.folder, "kim")
    assert (failed.answers[0].kind, failed.connectors[0].verdict) == ("failed", None)
    assert failed.answers[0].reason == f"{failed.user} is unknown"
    assert "no list for this user" in failed.connectors[0].meaning
    nobody = explain(shop.folder, "nobody")
    assert (nobody.answers, nobody.connectors[0].sent, nobody.connectors[0].before) == ([], None, None)


def test_an_older_run_is_told_while_its_input_is_what_it_was(shop):
    first = min(entry.key.split("/")[1] for entry in shop.storage.list("runs/") if entry.key.endswith("run.json"))
    told = explain(shop.folder, "pia", first)
    assert {Path(address).name for address in told.changed_inputs} == {"a.out", "items.json"}
    (braze,) = told.connectors
    assert (braze.verdict, braze.sent.fate, braze.before) == (None, "delivered", None)
    assert braze.notes == ["why is not known any more: what the run read is not what it was"]
    assert braze.sent.record["recommendations"][0]["price"] == 20


def test_an_alias_finds_its_user_and_the_answer_never_names_him_unasked(shop):
    name = alias(alias_key(shop.storage), "pia")
    told = explain(shop.folder, name)
    assert (told.user, told.connectors[0].verdict) == (name, "changed")
    assert "pia" not in told.to_json()
    assert explain(shop.folder, name, show_ids=True).user == "pia"
    with pytest.raises(UsageError, match="knows no user by the alias u-0123456789"):
        explain(shop.folder, "u-0123456789")


def test_a_run_that_is_not_there_is_named(shop, tmp_path):
    with pytest.raises(UsageError, match="has no run 20260101T000000Z-abcdef"):
        explain(shop.folder, "una", "20260101T000000Z-abcdef")


def test_what_the_run_did_not_leave_is_never_told(shop):
    """Receipts that came after the run would have it decide otherwise: then only what it left is told."""
    manifest = state.read_manifest(shop.storage, layout.manifest("braze", explain(shop.folder, "una").run_id))
    third = next(
        found
        for entry in shop.storage.list("output/braze/")
        if entry.key.endswith("_manifest.json")
        and (found := state.read_manifest(shop.storage, entry.key)).version == manifest.version - 1
    )
    folder = layout.receipts("braze", third.run_id)
    kept = {entry.key: shop.storage.get(entry.key).data for entry in shop.storage.list(folder)}
    for key in kept:
        shop.storage.delete(key)
    try:
        (told,) = explain(shop.folder, "res").connectors
        assert told.verdict is None
        assert "would leave something else" in told.notes[0]
        assert told.after.rejections == 3
    finally:
        for key, data in kept.items():
            shop.storage.put(key, data)


def test_a_damaged_part_is_said_and_the_rest_is_told(shop):
    (told,) = explain(shop.folder, "rex").connectors
    part = told.sent.file
    whole = shop.storage.get(part).data
    shop.storage.put(part, whole[:20])
    try:
        (told,) = explain(shop.folder, "rex").connectors
        assert (told.sent, told.verdict, told.after.op) == (None, None, "upsert")
        assert "gone or damaged" in told.notes[0]
    finally:
        shop.storage.put(part, whole)


def test_words_stand_for_every_verdict_and_every_figure_of_a_list():
    assert set(VERDICTS) == set(map(str, Verdict))
    counted = {"linesDuplicate", "mappingDuplicates", "itemsRanked", "itemsFromFallback"}
    assert set(LEFT_OUT) == {*shortlist.figure_names(), BEYOND_MAX} - counted


def test_a_person_reads_the_story_in_order(shop):
    words = in_words(explain(shop.folder, "pia"))
    (_, said), (title, facts) = words
    assert title == "braze: committed, version 4"
    assert [name for name, _ in said] == ["answered"]
    assert [name for name, _ in facts] == [
        "before",
        "list",
        "no metadata",
        "verdict",
        "differs",
        "record",
        "",
        "",
        "became",
    ]


@pytest.mark.parametrize("module", ["cli.explain", "cli.main"])
def test_explaining_needs_neither_spark_nor_java(shop, module):
    script = f"""
import sys, {module}
sys.argv = ["recsync", "explain", {shop.folder.root!r}, "--user", "una", "--output", "json"]
from cli import main
code = main._exit_code()
assert "pyspark" not in sys.modules and "py4j" not in sys.modules
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["connectors"][0]["verdict"]) == (0, "unchanged"), done.stderr


@pytest.fixture(scope="module")
def mapped(tmp_path_factory, spark) -> Iterator[Shop]:
    """A related_items job with a user of two items, one who left, and one whose clear waits."""
    made = Shop(tmp_path_factory.mktemp("explain") / "etl_jobs/related_items/demo", spark)
    made.config({"relatedItems": {"excludeMappedItems": True}, "excludeItems": "input/bought/"}, onUserRemoved="clear")
    made.items()
    made.write("input/bought/b.csv", "USER_ID,ITEM_ID", "ann,3")
    answers = [("9", "1", "2"), ("8", "3", "9")]
    made.write("input/batch/a.out", *[{"input": {"itemId": q}, "output": {"recommendedItems": i}} for q, *i in answers])
    made.write("input/user_item_mapping/m.csv", "USER_ID,ITEM_ID,RANK", "ann,8,2", "ann,9,1", "bob,9,", "cid,9,")
    made.night()
    made.write("input/user_item_mapping/m.csv", "USER_ID,ITEM_ID,RANK", "ann,8,2", "ann,9,1", "dan,7,", ",9,")
    made.night()
    return made


def test_the_mapping_rows_that_led_to_a_list_stand_in_their_order(mapped):
    told = explain(mapped.folder, "ann")
    assert [(one.item_id, one.rank, one.line) for one in told.mapped] == [("9", 1, 3), ("8", 2, 2)]
    assert [(one.query_item_id, one.line) for one in told.answers] == [("9", 1), ("8", 2)]
    assert [(one.item_id, one.line) for one in told.excluded] == [("3", 2)]
    (braze,) = told.connectors
    assert [(one.item_id, one.reason) for one in braze.left_out] == [("9", "itemsMapped"), ("3", "itemsExcluded")]
    assert (braze.verdict, [one.item_id for one in braze.items]) == ("unchanged", ["1", "2"])


def test_a_clear_that_was_withheld_is_told_as_that(mapped):
    told = story(mapped, "bob")
    assert (told.verdict, told.sent, told.after.op) == ("cleared", None, "upsert")
    assert "withheld" in told.meaning


def test_a_user_mapped_to_an_item_that_nothing_answers_for_has_no_list(mapped):
    told = explain(mapped.folder, "dan")
    assert ([one.item_id for one in told.mapped], told.answers) == (["7"], [])
    assert told.connectors[0].verdict is None


def test_a_held_run_is_told_as_what_it_would_tell(mapped, tmp_path):
    path = tmp_path / "etl_jobs/related_items/demo"
    shutil.copytree(mapped.folder.root, path)
    shop = Shop(path, mapped.spark)
    shop.config({"excludeItems": "input/bought/"}, {"maxCleared": 0}, onUserRemoved="clear")
    shop.write("input/user_item_mapping/m.csv", "USER_ID,ITEM_ID,RANK", "ann,8,2", "ann,9,1")
    shop.nights = 9
    shop.night()
    told = explain(shop.folder, "bob").connectors[0]
    assert (told.outcome, told.verdict, told.notes) == ("held", "cleared", [])
    assert (told.sent.record, told.sent.fate) == ({"op": "clear"}, "held")
    assert explain(shop.folder, alias(alias_key(shop.storage), "bob")).connectors[0].verdict == "cleared"


def test_a_record_that_someone_else_reads_does_not_wait_for_us(tmp_path, spark):
    shop = Shop(tmp_path / "etl_jobs/user_personalization/files", spark)
    shop.config({}, acknowledge="onWrite")
    shop.items()
    shop.write("input/batch/a.out", for_user("ann", "1"))
    assert not sync.run(lambda: spark, shop.folder, now=NOW, report=lambda text: None).stopped
    assert explain(shop.folder, "ann").connectors[0].sent.fate == "handedOver"


def test_a_user_who_comes_back_is_told_what_he_was_left_with(tmp_path, spark):
    made = Shop(tmp_path / "etl_jobs/user_personalization/demo", spark)
    made.config({}, {"maxClearedPct": None}, onUserRemoved="keep")
    made.items()
    both = [for_user("una", "1", "2"), for_user("pia", "2")]
    for lines in (both, both[1:], both):
        made.write("input/batch/a.out", *lines)
        made.night()
    told = story(made, "una")
    assert (told.verdict, told.before.op, told.before.item_ids) == ("new", "gone", ["1", "2"])
    assert told.meaning == NEW_AFTER["gone"]
    assert "left with what he had" in told.meaning


def test_a_clear_that_nothing_confirms_is_told_again_whatever_becomes_of_users_who_leave(shop, tmp_path):
    path = tmp_path / "etl_jobs/user_personalization/demo"
    shutil.copytree(shop.folder.root, path)
    again = wiped(Shop(path, shop.spark))
    approve(again.storage, "braze")
    again.write("input/batch/a.out", for_user("una", "1"))
    again.storage.delete("input/batch/b.out")
    again.nights = 21
    again.night()
    assert (story(again, "fil").verdict, story(again, "fil").meaning) == ("cleared", CLEARED_AGAIN)
    assert (story(again, "una").verdict, story(again, "una").meaning) == ("new", NEW_AFTER["clear"])


def wiped(shop) -> Shop:
    """The shop, with a wipe that waits for a yes."""
    at = NOW + timedelta(days=20)
    run = JobRun(shop.folder, shop.storage, load_config(shop.storage), at, layout.new_run_id(at))
    wipe(run, ["braze"], lambda text: None)
    return shop


def test_a_wipe_is_told_as_what_was_asked_for_and_its_approval_too(shop, tmp_path):
    path = tmp_path / "etl_jobs/user_personalization/demo"
    shutil.copytree(shop.folder.root, path)
    again = wiped(Shop(path, shop.spark))
    for outcome, title in [("held", "braze: held, version 5"), ("approved", "braze: held, then approved, version 5")]:
        told = story(again, "una")
        assert (told.outcome, told.verdict, told.sent.record, told.after.op) == (
            outcome,
            "cleared",
            {"op": "clear"},
            "clear",
        )
        assert told.meaning == "a wipe was asked for, so that everyone loses every attribute we ever wrote"
        (_, said), (braze, _) = in_words(explain(again.folder, "una"))
        assert (said, braze) == ([("input", "none was read: this run is a wipe")], title)
        if outcome == "held":
            approve(again.storage, "braze")
    nobody = story(again, "nobody")
    assert (nobody.verdict, nobody.sent, nobody.meaning) == (None, None, NOT_WIPED)


def test_a_wipe_that_was_discarded_told_nobody_anything(shop, tmp_path):
    path = tmp_path / "etl_jobs/user_personalization/demo"
    shutil.copytree(shop.folder.root, path)
    again = wiped(Shop(path, shop.spark))
    discard(again.storage, "braze")
    (told,) = explain(again.folder, "una", max(run_ids(again.storage))).connectors
    assert (told.outcome, told.verdict) == ("dropped", None)
    assert told.notes == ["nobody was told anything: the run was discarded, or a newer one took its place"]


def test_a_user_is_named_by_his_alias_also_where_a_snapshot_is_damaged_and_no_traceback_comes(shop):
    name = alias(alias_key(shop.storage), "una")
    newest = max(entry.key for entry in shop.storage.list("output/braze/state/") if entry.key.endswith(".parquet"))
    was = shop.storage.get(newest).data
    shop.storage.put(newest, b"damaged")
    try:
        assert explain(shop.folder, name).user == name
    finally:
        shop.storage.put(newest, was)


@pytest.mark.parametrize("damage", [lambda data: b"damaged", lambda data: data[:8] + bytes(40) + data[48:]])
def test_where_the_items_of_the_run_before_are_damaged_it_is_said_that_why_is_not_known(shop, tmp_path, damage):
    path = tmp_path / "etl_jobs/user_personalization/demo"
    shutil.copytree(shop.folder.root, path)
    again = Shop(path, shop.spark)
    for entry in again.storage.list("output/braze/state/"):
        if entry.key.endswith("/items.parquet"):
            again.storage.put(entry.key, damage(again.storage.get(entry.key).data))
    (told,) = explain(again.folder, "pia").connectors
    assert (told.verdict, told.sent.fate) == (None, "delivered")
    (note,) = told.notes
    assert note.startswith("why is not known any more: ") and note.endswith("/items.parquet is gone or damaged")


def test_a_run_that_stopped_says_why(mapped, tmp_path):
    path = tmp_path / "etl_jobs/related_items/demo"
    shutil.copytree(mapped.folder.root, path)
    shop = Shop(path, mapped.spark)
    shop.write("config.json", "{")
    with pytest.raises(ConfigError):
        sync.run(lambda: shop.spark, shop.folder, now=NOW + timedelta(days=30), report=lambda text: None)
    newest = max(run_ids(shop.storage))
    told = explain(shop.folder, "bob", newest)
    assert ("is not JSON" in told.message, told.connectors) == (True, [])
    assert in_words(told)[0][1][0][0] == "stopped"
    assert explain(shop.folder, "bob").run_id < newest  # the last one that decided about anybody


def test_of_a_copy_with_other_settings_it_is_said_that_why_is_not_known(mapped, tmp_path):
    path = tmp_path / "etl_jobs/related_items/demo"
    shutil.copytree(mapped.folder.root, path)
    copy = Shop(path, mapped.spark)
    copy.write("config.json", {"version": 1, "batchInferencePath": "input/batch/", "connectors": {"webhook": {}}})
    (told,) = explain(copy.folder, "bob").connectors
    assert (told.verdict, told.notes) == (None, ["why is not known any more: what the run read is not what it was"])


def test_nobody_is_named_on_a_terminal_unless_it_is_asked_for(mapped, recsync):
    """That the answer holds no user is seen by the canaries of all tests."""
    code, out, _ = recsync("explain", mapped.folder.root, "--user", "ann")
    assert code == 0
    assert out.startswith(alias(alias_key(mapped.storage), "ann"))
    assert "  mapped to   9, rank 1  (" in out


@pytest.mark.shows("users", reason="that is what --show-ids is for")
def test_a_person_may_ask_for_the_id(mapped, recsync):
    _, out, _ = recsync("explain", mapped.folder.root, "--user", "ann", "--show-ids")
    assert out.startswith("ann in run ")
