"""Whole runs on Spark: what goes in, and what is published."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from input_files import for_user

from cli import local_spark
from connectors import registry
from connectors.braze.config import BrazeOptions
from connectors.braze.connector import BrazeConnector
from connectors.braze.payload import attributes_object
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.receipts import Receipt, Rejection, write_receipts
from connectors.contract.records import SyncRecord
from connectors.contract.run_record import read_record
from connectors.contract.storage import StorageError, open_storage
from glue_jobs import connector_sync, errors, output, state, sync
from glue_jobs.errors import OutOfDateError
from glue_jobs.holdout import Holdout
from glue_jobs.report import filing

ROOT = Path(__file__).parents[2]
BRAZE = {"itemMetadataFields": ["name", "price"], "attributePrefix": "recs_"}
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
ITEMS = [
    {"id": "106", "name": "Tan Backpack", "price": 90.99},
    {"id": "107", "name": "Oak Lamp", "price": 119.0},
    {"id": "49", "name": "Rust Scarf"},
    {"id": "201", "name": "Steel Flask", "price": 22.5},
]


def related(item, *items):
    return {"input": {"itemId": item}, "output": {"recommendedItems": list(items)}}


def ids(record):
    return [item["itemId"] for item in record["recommendations"]]


@pytest.fixture
def related_items(job):
    made = job("related_items")
    made.config(braze={"acknowledge": "onWrite"})
    made.items(*ITEMS)
    made.batch(related("105", "106", "107", "49"), related("441", "201", "106"))
    made.mapping("123,105", "124,105", "125,105", "125,441")
    return made


@pytest.fixture
def user_personalization(job):
    made = job("user_personalization")
    made.config(braze={"acknowledge": "onWrite"})
    made.items(*ITEMS)
    made.batch(for_user("ann", "106", "107"), for_user("bob", "49", "201"), for_user("cid", "107"))
    return made


@pytest.mark.parametrize(("on_missing", "kept"), [("keep", 3), ("drop", 2)])
def test_records_that_carry_ids_alone_follow_what_asks_which_items_have_metadata(
    user_personalization, on_missing, kept
):
    rules, guards = {"onMissingMetadata": on_missing}, {"minMetadataCoveragePct": 80}
    user_personalization.config(braze={"itemMetadataFields": []}, recommendations=rules, guards=guards)
    user_personalization.batch(for_user("ann", "106", "unheard-of", "107"))
    (braze,) = user_personalization.result().record.connectors
    (coverage,) = [one for one in braze.guards if one.name == "minMetadataCoveragePct"]
    assert (coverage.note, braze.outcome) == ("2 of 3 recommendations have metadata", "held")
    assert (braze.counts["itemsWithoutMetadata"], len(braze.samples[0].after)) == (1, kept)


def test_two_users_of_one_item_each_get_its_three_recommendations_in_order(related_items):
    published = related_items.records(related_items.run())
    assert ids(published["123"]) == ids(published["124"]) == ["106", "107", "49"]
    assert published["124"]["queryItemIds"] == ["105"]


def test_a_user_of_two_items_gets_one_record_holding_both_lists(related_items):
    record = related_items.records(related_items.run())["125"]
    assert ids(record) == ["106", "201", "107", "49"]
    assert record["queryItemIds"] == ["105", "441"]


def test_a_job_below_a_folder_that_looks_like_a_pattern_runs(related_items):
    """And so does one whose files look like one."""
    batch = related_items.path / "input/batch/job_config.json.out"
    batch.rename(batch.with_name("job{1}.json.out"))
    moved = related_items.path.parents[2] / "shop [2026]" / "etl_jobs/related_items/demo"
    moved.parent.mkdir(parents=True)
    related_items.path.rename(moved)
    related_items.path = moved
    assert ids(related_items.records(related_items.run())["124"]) == ["106", "107", "49"]


def test_what_crashed_exports_left_is_no_input_of_any_kind(related_items):
    before = related_items.records(related_items.run())
    related_items.forget()
    related_items.config(braze={"acknowledge": "onWrite"}, recommendations={"excludeItems": "input/bought/"})
    related_items.write("input/bought/part-0.csv", "USER_ID,ITEM_ID\n")
    related_items.write("input/bought/_temporary/0/part-0.csv", "USER_ID,ITEM_ID\n124,106\n")
    related_items.mapping("999,105", part="_temporary/0/part-0")
    related_items.write("input/item_metadata/_temporary/0/a.json", '{"id":"106","name":"old"}\n')
    related_items.write("input/batch/_temporary/0/s_2026_11_21_03_00_00/a.out", "no json\n")
    result = related_items.result()
    assert related_items.records(result.record.published[0]) == before
    assert not [one.key for one in result.record.inputs if "_temporary" in one.key]


def test_a_line_that_is_broken_is_kept_with_its_files_own_name(related_items):
    related_items.write("input/batch/job {2}.out", "no json\n")
    related_items.run()
    (kept,) = related_items.path.glob("quarantine/**/*.jsonl")
    assert json.loads(kept.read_text())["file"] == "job {2}.out"


def test_rank_orders_a_users_items_whatever_the_order_of_rows_and_columns(related_items):
    related_items.mapping("9,105,2", "9,441,1", header="USER_ID,ITEM_ID,RANK")
    related_items.mapping("105,8", "441,8", header="ITEM_ID,USER_ID", part="part-0002")
    published = related_items.records(related_items.run())
    assert published["9"]["queryItemIds"] == ["441", "105"]
    assert published["8"]["queryItemIds"] == ["105", "441"]


def test_records_hold_every_field_in_order_and_nulls_for_what_is_missing(related_items):
    record = related_items.records(related_items.run())["123"]
    assert record["recommendations"][2] == {"itemId": "49", "name": "Rust Scarf", "price": None}
    assert SyncRecord.model_validate(record).op == "upsert"


def test_user_personalization_works_without_metadata(job):
    made = job("user_personalization")
    made.config(braze={"itemMetadataFields": []})
    made.batch(for_user("ann", "106", "107"))
    assert made.records(made.run())["ann"]["recommendations"] == [{"itemId": "106"}, {"itemId": "107"}]


def test_an_item_without_metadata_keeps_its_rank(user_personalization):
    user_personalization.batch(for_user("ann", "999", "106"))
    first, second = user_personalization.records(user_personalization.run())["ann"]["recommendations"]
    assert first == {"itemId": "999", "name": None, "price": None}
    assert second["name"] == "Tan Backpack"


def test_failed_and_broken_lines_are_split_off_and_every_line_is_counted(user_personalization):
    user_personalization.config(saveBatchInferenceErrors=True)
    failed = {"input": {"userId": "dan"}, "error": "no interactions"}
    user_personalization.batch(for_user("ann", "106"), failed, "{broken", "", for_user("eve"), for_user("ann", "49"))
    result = user_personalization.run()
    assert list(user_personalization.records(result)) == ["ann"]
    wanted = {"linesRead": 5, "linesFailed": 1, "linesBroken": 1, "linesDuplicate": 1, "users": 2, "empty": 1}
    assert wanted.items() <= result.counts.items()
    (kept,) = user_personalization.path.glob("errors/*/*/*/*/*.jsonl")
    assert json.loads(kept.read_text()) == failed
    (quarantined,) = user_personalization.path.glob("quarantine/*/*/*/*/*.jsonl")
    assert json.loads(quarantined.read_text())["text"] == "{broken"


def test_f29_the_same_input_twice_sends_nothing_the_second_time(user_personalization):
    first, second = user_personalization.run(), user_personalization.run()
    assert (first.counts["records"], first.version) == (3, 1)
    assert (second.counts["records"], second.counts["unchanged"], second.version) == (0, 3, 2)


def test_a_price_change_sends_exactly_the_users_who_have_that_item(related_items):
    related_items.run()
    related_items.items(*ITEMS[:3], {**ITEMS[3], "price": 19.0})
    result = related_items.run()
    assert list(related_items.records(result)) == ["125"]
    assert result.counts["unchanged"] == 2


def test_a_field_that_is_not_listed_changes_nothing(related_items):
    related_items.run()
    related_items.items(*[{**item, "stock": 5} for item in ITEMS])
    assert related_items.run().counts["records"] == 0


def prices(job, price):
    """The settings ask for a price, and every item has this one."""
    job.config(braze={"acknowledge": "onWrite", "itemMetadataFields": ["price"]})
    job.items(*({**item, "price": price} for item in ITEMS))


@pytest.mark.parametrize("between", ["null for every item", "not listed"])
def test_f11_a_type_is_remembered_over_a_run_without_the_field(user_personalization, between):
    prices(user_personalization, 9)
    user_personalization.run()
    prices(user_personalization, None)
    if between == "not listed":
        user_personalization.config(braze={"acknowledge": "onWrite", "itemMetadataFields": ["name"]})
    user_personalization.run()
    prices(user_personalization, "9 EUR")
    with pytest.raises(errors.ConfigError, match="'price' was number and is text"):
        user_personalization.run()


def test_f11_a_full_run_takes_the_types_of_its_day(user_personalization):
    prices(user_personalization, 9)
    user_personalization.run()
    prices(user_personalization, None)
    user_personalization.run(is_full=True)
    prices(user_personalization, "9 EUR")
    assert set(user_personalization.records(user_personalization.run())) == {"ann", "bob", "cid"}


def test_a_changed_prefix_sends_everyone_anew(user_personalization):
    user_personalization.run()
    user_personalization.config(braze={"acknowledge": "onWrite", "attributePrefix": "for_you_"})
    assert user_personalization.run().counts["changed"] == 3


def test_without_delta_check_everyone_is_sent(user_personalization):
    user_personalization.config(braze={"acknowledge": "onWrite"}, performDeltaCheck=False)
    user_personalization.run()
    assert user_personalization.run().counts["records"] == 3


def test_in_arrays_shape_a_price_change_sends_the_price_alone(related_items):
    arrays = {"acknowledge": "onWrite", "payloadShape": "arrays", "otherAttributes": {"campaign": "autumn"}}
    related_items.config(braze=arrays)
    related_items.run()
    related_items.items({**ITEMS[0], "price": 80.0}, *ITEMS[1:])
    result = related_items.run()
    records = related_items.records(result)
    assert [(user, record["changed"]) for user, record in sorted(records.items())] == [
        ("123", ["price"]),
        ("124", ["price"]),
        ("125", ["price"]),
    ]
    record, options = SyncRecord.model_validate(records["123"]), BrazeOptions.model_validate(arrays | BRAZE)
    assert attributes_object(record, options) == {"external_id": "123", "recs_price": [80.0, 119.0, ""]}


def test_a_reorder_is_sent_under_exact_and_not_under_set(user_personalization):
    user_personalization.run()
    policy = {"acknowledge": "onWrite", "changePolicy": {"compare": "set"}}
    user_personalization.config(braze=policy)
    user_personalization.batch(for_user("ann", "107", "106"), for_user("bob", "49", "201"), for_user("cid", "107"))
    assert user_personalization.run().counts["unchanged"] == 3
    user_personalization.config(braze={"acknowledge": "onWrite"})
    (record,) = user_personalization.records(user_personalization.run()).values()
    assert (record["userId"], "changed" in record) == ("ann", False)
    user_personalization.batch(for_user("ann", "107", "106"), for_user("bob", "201", "49"), for_user("cid", "107"))
    (record,) = user_personalization.records(user_personalization.run()).values()
    assert (record["userId"], record["changed"]) == ("bob", ["itemId", "name", "price"])


def test_a_change_below_the_first_k_is_not_sent_under_top_k(user_personalization):
    policy = {"acknowledge": "onWrite", "changePolicy": {"compare": "topK", "k": 1}}
    user_personalization.config(braze=policy)
    user_personalization.run()
    user_personalization.batch(for_user("ann", "106", "201"), for_user("bob", "201", "49"), for_user("cid", "107"))
    assert list(user_personalization.records(user_personalization.run())) == ["bob"]
    user_personalization.items(*ITEMS[:3], {**ITEMS[3], "price": 1.0})
    assert list(user_personalization.records(user_personalization.run())) == ["bob"]


def test_who_leaves_is_cleared_once_where_the_settings_say_so(user_personalization):
    user_personalization.config(braze={"acknowledge": "onWrite", "onUserRemoved": "clear"})
    user_personalization.run()
    user_personalization.batch(for_user("ann", "106", "107"), "{broken")
    assert user_personalization.run().counts["clearsWithheld"] == 2
    user_personalization.batch(for_user("ann", "106", "107"))
    result = user_personalization.run()
    assert user_personalization.records(result) == {user: {"userId": user, "op": "clear"} for user in ("bob", "cid")}
    again = user_personalization.run()
    assert (again.counts["forgotten"], again.counts["records"]) == (2, 0)


def test_a_catalogue_on_a_shelf_gives_the_same_records(related_items, monkeypatch):
    in_memory = related_items.manifest(related_items.run())
    related_items.forget()
    monkeypatch.setattr(connector_sync, "SHELF_FROM_BYTES", 0)
    on_a_shelf = related_items.manifest(related_items.run())
    assert on_a_shelf.digest == in_memory.digest
    related_items.items({**ITEMS[0], "price": 1.0}, *ITEMS[1:])
    assert related_items.run().counts["changed"] == 3


class Letters(BrazeConnector):
    """A second destination."""

    name = "letters"


@pytest.fixture
def two_connectors(user_personalization, monkeypatch):
    monkeypatch.setitem(registry.OURS, "letters", "letters:Letters")
    monkeypatch.setitem(sys.modules, "letters", SimpleNamespace(Letters=Letters))
    own = {"acknowledge": "onWrite", "itemMetadataFields": ["name"]}
    user_personalization.config(connectors={"braze": own, "letters": {**own, "attributePrefix": "l_"}})
    return user_personalization


def run_all(job):
    return sync.run(lambda: job.spark, job.folder, now=NOW, report=lambda text: None)


def test_several_connectors_share_a_run_and_each_commits_for_itself(two_connectors):
    result = run_all(two_connectors)
    assert [(one.connector, one.version, one.counts["records"]) for one in result.record.published] == [
        ("braze", 1, 3),
        ("letters", 1, 3),
    ]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "damaged", ["output/letters/state/_current.json", "output/letters/year=*/*/*/*/_manifest.json"]
)
@pytest.mark.parametrize("content", ["{", '{"formatVersion": 99}'], ids=["damaged", "of a newer release"])
def test_what_stops_one_connector_leaves_the_other_alone(two_connectors, damaged, content):
    run_all(two_connectors)
    (path,) = two_connectors.path.glob(damaged)
    path.write_text(content)
    result = run_all(two_connectors)
    assert [one.connector for one in result.record.published] == ["braze"]
    assert list(result.stopped) == ["letters"]
    assert result.exit_code == 1
    assert read_record(open_storage(two_connectors.folder.root), layout.run_record(result.record.run_id))


def test_what_a_plan_could_not_say_is_not_published_by_its_run(two_connectors):
    run_all(two_connectors)
    pointer = two_connectors.path / "output/letters/state/_current.json"
    was = pointer.read_text()
    pointer.write_text("{")
    planned = sync.run(
        lambda: two_connectors.spark, two_connectors.folder, now=NOW, report=lambda text: None, is_plan=True
    )
    pointer.write_text(was)
    with pytest.raises(OutOfDateError, match="could not say what is done for letters"):
        sync.run(
            lambda: two_connectors.spark, two_connectors.folder, now=NOW, report=lambda text: None, plan=planned.record
        )


def test_a_user_who_is_gone_is_kept_and_sent_whole_when_he_returns(user_personalization):
    user_personalization.run()
    user_personalization.batch(for_user("ann", "106", "107"))
    gone = user_personalization.run()
    assert (gone.counts["gone"], gone.counts["records"]) == (2, 0)
    user_personalization.batch(for_user("ann", "106", "107"), for_user("bob", "49", "201"))
    assert list(user_personalization.records(user_personalization.run())) == ["bob"]


def test_a_user_whose_line_failed_keeps_what_he_was_told(user_personalization):
    user_personalization.run()
    user_personalization.batch(for_user("ann", "106", "107"), {"input": {"userId": "bob"}, "error": {"code": 5}})
    result = user_personalization.run()
    assert (result.counts["failed"], result.counts["gone"], result.counts["records"]) == (1, 1, 0)
    user_personalization.batch(for_user("bob", "49", "201"))
    assert user_personalization.run().counts["unchanged"] == 1


def test_a_list_that_becomes_empty_is_told_and_one_that_always_was_is_not(user_personalization):
    user_personalization.run()
    user_personalization.batch(for_user("ann"), for_user("zoe"))
    result = user_personalization.run()
    assert user_personalization.records(result)["ann"]["recommendations"] == []
    assert result.counts["empty"] == 1


def test_what_no_receipt_confirms_is_sent_again_with_the_newest_value(user_personalization):
    user_personalization.config()
    user_personalization.run()
    user_personalization.batch(for_user("ann", "201"), for_user("bob", "49", "201"), for_user("cid", "107"))
    result = user_personalization.run()
    assert result.counts["repeated"] == 3
    assert ids(user_personalization.records(result)["ann"]) == ["201"]


def test_only_users_without_a_receipt_are_sent_again(user_personalization):
    user_personalization.config()
    first = user_personalization.run()
    storage = open_storage(user_personalization.folder.root)
    manifest = state.read_manifest(storage, first.manifest)
    told = list(user_personalization.records(first))
    file = manifest.files[0]
    write_receipts(
        storage,
        manifest,
        [Receipt(file=file.key, first_line=0, last_line=0, outcome="settled", at=manifest.created_at)],
    )
    second = user_personalization.run()
    assert sorted(user_personalization.records(second)) == sorted(told[1:])
    assert second.counts["unchanged"] == 1


def answer(job, result, *rejected):
    """Have the destination take a run's records, but refuse some users."""
    storage, manifest = open_storage(job.folder.root), job.manifest(result)
    for file in manifest.files:
        users = [json.loads(line)["userId"] for line in gzip.decompress(storage.get(file.key).data).splitlines()]
        refused = [Rejection(line=n, user_id=u, code="x", reason="") for n, u in enumerate(users) if u in rejected]
        whole = {"file": file.key, "first_line": 0, "last_line": len(users) - 1, "outcome": "settled"}
        write_receipts(storage, manifest, [Receipt(**whole, rejected=refused, at=NOW)])


LEFT_OVER = {"rejected": 3, "deadLettered": 3, "superseded": 3, "nothing": 1}


def receipts_one_a_line(job, result, fate_of):
    """A receipt for each line of a run, by its user's fate."""
    for file in job.manifest(result).files:
        data = open_storage(job.folder.root).get(file.key).data
        for line, text in enumerate(gzip.decompress(data).splitlines()):
            user, place = json.loads(text)["userId"], {"file": file.key, "first_line": line, "last_line": line}
            fate = fate_of[user]
            refused = [Rejection(line=line, user_id=user, code="x", reason="")] if fate == "rejected" else []
            if fate != "nothing":
                outcome = fate if fate in ("deadLettered", "superseded") else "settled"
                yield Receipt(**place, outcome=outcome, rejected=refused, at=NOW)


def test_f56_f57_ten_who_were_not_delivered_are_sent_again_and_only_they(user_personalization):
    users = [f"u{number:02}" for number in range(20)]
    fates = ["delivered"] * 10 + [fate for fate, count in LEFT_OVER.items() for _ in range(count)]
    user_personalization.config()
    user_personalization.batch(*(for_user(user, "106") for user in users))
    result = user_personalization.run()
    receipts = list(receipts_one_a_line(user_personalization, result, dict(zip(users, fates, strict=True))))
    storage, manifest = open_storage(user_personalization.folder.root), user_personalization.manifest(result)
    write_receipts(storage, manifest, receipts)
    assert sorted(user_personalization.records(user_personalization.run())) == users[10:]


def test_f57_who_is_refused_is_sent_again_three_times_and_then_rests_until_his_list_changes(user_personalization):
    user_personalization.config()
    for sent in (["ann", "bob", "cid"], ["ann"], ["ann"]):
        result = user_personalization.run()
        assert sorted(user_personalization.records(result)) == sent
        answer(user_personalization, result, "ann")
    for _ in range(2):
        result = user_personalization.run()
        assert (result.counts["resting"], result.counts["records"]) == (1, 0)
    user_personalization.batch(for_user("ann", "201"), for_user("bob", "49", "201"), for_user("cid", "107"))
    assert list(user_personalization.records(user_personalization.run())) == ["ann"]


def test_max_items_cuts_the_list(user_personalization):
    user_personalization.config(recommendations={"maxItems": 1})
    published = user_personalization.records(user_personalization.run())
    assert [ids(record) for _, record in sorted(published.items())] == [["106"], ["49"], ["107"]]


def with_rules(job, braze=None, **rules):
    job.config(braze={"acknowledge": "onWrite", **(braze or {})}, recommendations=rules)


@pytest.mark.parametrize("shelf_from_bytes", [connector_sync.SHELF_FROM_BYTES, 0], ids=["in memory", "on a shelf"])
def test_nobody_is_sent_what_is_out_of_stock_and_lists_are_full_where_the_batch_has_enough(
    job, monkeypatch, shelf_from_bytes
):
    """60 of 100 items are out of stock; lines hold 5 to 40 of them."""
    monkeypatch.setattr(connector_sync, "SHELF_FROM_BYTES", shelf_from_bytes)
    made, chance = job("user_personalization"), random.Random(5)
    ranks = [str(number) for number in range(100)]
    sold_out = set(chance.sample(ranks, 60))
    lines = {f"u{number}": chance.sample(ranks, chance.randint(5, 40)) for number in range(300)}
    made.items(*[{"id": item, "name": item, "price": 1, "stock": 0 if item in sold_out else 3} for item in ranks])
    made.batch(*[for_user(user, *items) for user, items in lines.items()])
    with_rules(made, itemFilter="stock > 0", maxItems=10)
    result = made.run()
    published = {user: ids(record) for user, record in made.records(result).items()}
    wanted = {user: [item for item in items if item not in sold_out] for user, items in lines.items()}
    assert published == {user: items[:10] for user, items in wanted.items() if items}
    assert not sold_out & {item for items in published.values() for item in items}
    assert sum(len(items) == 10 for items in published.values()) > 100
    assert result.counts["itemsFiltered"] == sum(map(len, lines.values())) - sum(map(len, wanted.values()))


def test_a_sale_that_ends_tells_those_who_have_the_item_and_no_others(user_personalization):
    with_rules(user_personalization, braze={"itemMetadataFields": ["name"]}, itemFilter="price < 100 OR price IS NULL")
    published = user_personalization.records(user_personalization.run())
    assert {user: ids(record) for user, record in published.items()} == {"ann": ["106"], "bob": ["49", "201"]}
    user_personalization.items({**ITEMS[0], "price": 120}, *ITEMS[1:])
    (record,) = user_personalization.records(user_personalization.run()).values()
    assert (record["userId"], ids(record), record["changed"]) == ("ann", [], ["itemId", "name"])


def test_a_filter_works_for_bare_ids(user_personalization):
    with_rules(user_personalization, braze={"payloadShape": "ids"}, itemFilter="name LIKE '%Lamp'", maxItems=1)
    published = user_personalization.records(user_personalization.run())
    assert {user: record["recommendations"] for user, record in published.items()} == {
        "ann": [{"itemId": "107"}],
        "cid": [{"itemId": "107"}],
    }


def test_what_a_user_bought_he_is_not_sent_and_what_the_fallback_has_he_is(related_items):
    related_items.write("input/bought/a.csv", "ITEM_ID,USER_ID\n106,123\n107,123\n49,124\n,125\n201,nobody\n")
    rules = {"excludeItems": "input/bought/", "blockItems": ["107"], "minItems": 2, "fallback": ["49", "201"]}
    with_rules(related_items, **rules)
    result = related_items.run()
    published = {user: ids(record) for user, record in related_items.records(result).items()}
    assert published == {"123": ["49", "201"], "124": ["106", "201"], "125": ["106", "201", "49"]}
    wanted = {"itemsBlocked": 3, "itemsExcluded": 2, "itemsFromFallback": 2, "excludeRowsBroken": 1, "users": 3}
    assert {name: result.counts[name] for name in wanted} == wanted
    assert (result.counts["usersWithoutList"], result.counts["usersBelowMinItems"]) == (0, 0)
    (kept,) = related_items.path.glob("quarantine/*/*/*/*/*.jsonl")
    assert json.loads(kept.read_text())["text"] == ",125"
    related_items.write("input/bought/a.csv", "ITEM_ID,USER_ID\n201,124\n")
    assert ids(related_items.records(related_items.run())["124"]) == ["106", "49"]


def test_a_list_below_the_least_is_none_and_is_told_to_those_who_had_one(user_personalization):
    user_personalization.run()
    with_rules(user_personalization, minItems=2, minScore=0.6)
    user_personalization.batch(for_user("ann", "106", "107"), for_user("zoe", "49"))
    result = user_personalization.run()
    assert {user: ids(record) for user, record in user_personalization.records(result).items()} == {"ann": []}
    assert (result.counts["usersBelowMinItems"], result.counts["itemsBelowMinScore"], result.counts["empty"]) == (
        2,
        1,
        1,
    )


def test_f01_a_cut_file_of_exclusions_is_named(user_personalization):
    data = gzip.compress(b"USER_ID,ITEM_ID\n" + b"ann,106\n" * 50_000)
    user_personalization.write("input/bought.csv.gz", data[: len(data) // 2])
    with_rules(user_personalization, excludeItems="input/bought.csv.gz")
    with pytest.raises(errors.InputError, match=r"bought\.csv\.gz: cut or damaged"):
        user_personalization.run()
    assert user_personalization.visible() == []


def attributes(job, result):
    """What Braze is told of each user."""
    manifest = job.manifest(result)
    options = BrazeOptions.model_validate(manifest.options)
    records = map(SyncRecord.model_validate, job.records(result).values())
    return {record.user_id: attributes_object(record, options, manifest.retired) for record in records}


def test_entering_and_leaving_the_holdout_send_exactly_one_record_each(user_personalization):
    holdout = {"percent": 50, "salt": "c"}
    out = {user for user in ("ann", "bob", "cid") if Holdout(**holdout).holds(user)}
    assert len(out) == 1
    user_personalization.run()
    with_rules(user_personalization, holdout=holdout)
    entered = user_personalization.run()
    assert attributes(user_personalization, entered) == {
        user: {"external_id": user, "recs_items": None, "recs_holdout": True} for user in out
    }
    counted = ("holdout", "cleared", "unchanged", "records")
    assert [entered.counts[name] for name in counted] == [1, 0, 2, 1]
    again = user_personalization.run()
    assert [again.counts[name] for name in ("holdoutUnchanged", "holdout", "records")] == [1, 0, 0]
    with_rules(user_personalization)
    left = user_personalization.run()
    records = user_personalization.records(left)
    assert (records.keys(), left.counts["new"]) == (out, 1)
    assert all(record["endsHoldout"] and "changed" not in record for record in records.values())
    assert all(told["recs_holdout"] is None for told in attributes(user_personalization, left).values())
    assert user_personalization.run().counts["records"] == 0


def test_a_mark_under_a_former_prefix_goes_with_the_change_and_with_the_end(user_personalization):
    everyone = {"percent": 100, "salt": "s"}
    user_personalization.batch(for_user("ann", "106"))
    with_rules(user_personalization, holdout=everyone)
    assert attributes(user_personalization, user_personalization.run())["ann"]["recs_holdout"] is True
    with_rules(user_personalization, braze={"attributePrefix": "new_"}, holdout=everyone)
    moved = attributes(user_personalization, user_personalization.run())["ann"]
    assert moved == {
        "external_id": "ann",
        "recs_items": None,
        "recs_holdout": None,
        "new_items": None,
        "new_holdout": True,
    }
    with_rules(user_personalization, braze={"attributePrefix": "last_"})
    left = attributes(user_personalization, user_personalization.run())["ann"]
    nulled = ("recs_items", "recs_holdout", "new_items", "new_holdout", "last_holdout")
    assert {name: left.pop(name) for name in nulled} == dict.fromkeys(nulled)
    assert left.keys() == {"external_id", "last_items"}


def test_a_clear_removes_the_mark_too(user_personalization):
    with_rules(user_personalization, braze={"onUserRemoved": "clear"}, holdout={"percent": 100, "salt": "s"})
    user_personalization.run()
    user_personalization.batch(for_user("bob", "49"))
    result = user_personalization.run()
    told = attributes(user_personalization, result)
    assert told == {user: {"external_id": user, "recs_items": None, "recs_holdout": None} for user in ("ann", "cid")}
    assert (result.counts["cleared"], result.counts["holdoutUnchanged"]) == (2, 1)


def test_f17_a_batch_without_one_good_line_changes_nothing(user_personalization):
    user_personalization.run()
    before = {key: (user_personalization.path / key).read_bytes() for key in user_personalization.visible()}
    user_personalization.batch({"input": {"userId": "ann"}, "error": "x"}, "{")
    with pytest.raises(errors.NoInputError, match="2 read, 1 failed by the recommender, 1 unreadable"):
        user_personalization.run()
    assert {key: (user_personalization.path / key).read_bytes() for key in user_personalization.visible()} == before


def test_f25_two_runs_in_one_second_have_places_of_their_own(user_personalization):
    first, second = user_personalization.run(), user_personalization.run()
    assert layout.run_of_key(first.manifest)[:16] == layout.run_of_key(second.manifest)[:16]
    assert len(user_personalization.visible()) == 3


def test_retired_attributes_stay_known(user_personalization):
    user_personalization.run()
    user_personalization.config(braze={"payloadShape": "ids", "otherAttributes": {"campaign": "autumn"}})
    second = user_personalization.run()
    storage = open_storage(user_personalization.folder.root)
    assert state.read_manifest(storage, second.manifest).retired == ["recs_items"]
    pointer = state.read_pointer(storage, "braze").pointer
    assert pointer.attributes == ["recs_items", "recs_itemId", "campaign"]


class KilledError(BaseException):
    """What a kill looks like from inside: nothing catches it."""


def _kill(*_, **__):
    raise KilledError


def _kill_after_writing(*, is_snapshot_whole):
    """Tasks have written, the driver has not committed; the snapshot may be there or not."""
    write = output.write

    def killed(meetings, plan, catalogue):
        written = write(meetings, plan, catalogue)
        for file in [] if is_snapshot_whole else written.told.snapshot:
            plan.storage.delete(file.key)
        raise KilledError

    return killed


@pytest.mark.parametrize("moment", ["parts only", "parts and snapshot", "commit", "publish"])
def test_f20_f21_a_rerun_after_a_kill_gives_what_the_unkilled_run_gives(user_personalization, moment, monkeypatch):
    unkilled = user_personalization.records(user_personalization.run())
    shutil.rmtree(user_personalization.path / "output")
    user_personalization.config()
    with monkeypatch.context() as patch:
        if moment in ("commit", "publish"):
            patch.setattr(state, moment, _kill)
        else:
            patch.setattr(output, "write", _kill_after_writing(is_snapshot_whole=moment == "parts and snapshot"))
        with pytest.raises(KilledError):
            user_personalization.run()
    assert not list(user_personalization.path.rglob("_manifest.json"))
    assert user_personalization.records(user_personalization.run()) == unkilled


def test_f23_of_two_runs_at_once_one_commits_and_the_other_exits_4(user_personalization, monkeypatch):
    """The second run commits between the first one's read of the pointer and its commit."""
    write = output.write

    def overtaken(*arguments):
        monkeypatch.setattr(output, "write", write)
        user_personalization.run()
        return write(*arguments)

    monkeypatch.setattr(output, "write", overtaken)
    with pytest.raises(errors.ConflictError, match="run again") as caught:
        user_personalization.run()
    assert caught.value.exit_code == 4
    assert len(user_personalization.visible()) == 2


def test_f20_a_real_kill_of_a_spark_run_between_parts_and_commit_leaves_nothing_visible(user_personalization, tmp_path):
    """SIGKILL, while the run stands between its last write and the commit."""
    unkilled = user_personalization.records(user_personalization.run())
    shutil.rmtree(user_personalization.path / "output")
    ready = tmp_path / "ready"
    script = textwrap.dedent(f"""
        import pathlib, sys, time
        from glue_jobs import glue, state
        def stand(*_):
            pathlib.Path({str(ready)!r}).touch()
            time.sleep(300)
        state.commit = stand
        folder = {str(user_personalization.path)!r}
        glue.main("user_personalization", ["job", "--JOB_NAME", "x", "--S3_JOB_PATH", folder])
    """)
    environment = {**os.environ, **local_spark.environment(os.environ)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=ROOT, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert ready.exists()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert list(user_personalization.path.rglob("part-*"))
    assert user_personalization.visible() == []
    assert user_personalization.records(user_personalization.run()) == unkilled


def test_a_job_starts_as_glue_starts_it(related_items):
    """The script as a file of its own, Glue's own arguments around ours."""
    arguments = ["--JOB_NAME", "demo", "--S3_JOB_PATH", f"{related_items.path}/"]
    glues_own = [
        "--job-bookmark-option",
        "job-bookmark-disable",
        "--TempDir",
        "s3://aws-glue/tmp/",
        "--enable-metrics",
        "true",
    ]
    done = subprocess.run(
        [sys.executable, ROOT / "glue_jobs/related_items_etl.py", *glues_own, *arguments],
        env={**os.environ, **local_spark.environment(os.environ)},
        cwd=related_items.path,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(related_items.visible()) == 2


def test_every_sample_folder_runs(job, tmp_path, spark):
    for source in sorted((ROOT / "sample/etl_jobs").glob("*/*")):
        target = tmp_path / "sample" / source.relative_to(ROOT / "sample")
        shutil.copytree(source, target)
        (result,) = sync.run(
            lambda: spark, JobFolder.parse(str(target)), now=NOW, report=lambda text: None
        ).record.published
        assert result.counts["records"] == 4


def test_the_historic_config_of_2022_works_and_says_what_it_means(tmp_path, spark):
    target = tmp_path / "etl_jobs/related_items/similar_items"
    shutil.copytree(ROOT / "sample/etl_jobs/related_items/similar_items", target)
    shutil.copy(ROOT / "sample/config.json", target / "config.json")
    said = []
    (result,) = sync.run(lambda: spark, JobFolder.parse(str(target)), now=NOW, report=said.append).record.published
    manifest = state.read_manifest(LocalStorage(target), result.manifest)
    assert manifest.options["payloadShape"] == "arrays"
    assert any("payloadShape" in text and "version" in text for text in said)


def test_inputs_are_never_touched(related_items):
    before = {path: path.read_bytes() for path in related_items.path.rglob("input/**/*") if path.is_file()}
    related_items.run()
    assert {path: path.read_bytes() for path in before} == before


def no_spark():
    raise AssertionError("Spark was started")


def test_that_there_is_no_batch_is_told_before_spark_starts(tmp_path):
    target, said = tmp_path / "etl_jobs/user_personalization/demo", []
    target.mkdir(parents=True)
    settings = {"version": 1, "batchInferencePath": "input/batch/", "connectors": {"braze": {}}}
    (target / "config.json").write_text(json.dumps(settings))
    with pytest.raises(errors.NoInputError):
        sync.run(no_spark, JobFolder.parse(str(target)), now=NOW, report=said.append)
    assert "starting Spark" not in said


def test_a_run_that_cannot_begin_leaves_its_record_and_its_page(tmp_path):
    folder = JobFolder.parse(str(tmp_path / "etl_jobs/user_personalization/demo"))
    with pytest.raises(errors.ConfigError, match=r"config\.json"):
        sync.run(no_spark, folder, now=NOW, report=lambda text: None)
    (run,) = Path(folder.root).glob("runs/2*")
    assert sorted(path.name for path in run.iterdir()) == ["report.html", "run.json"]


def test_a_plan_that_cannot_begin_leaves_its_record_alone(tmp_path):
    folder = JobFolder.parse(str(tmp_path / "etl_jobs/user_personalization/demo"))
    with pytest.raises(errors.ConfigError, match=r"config\.json"):
        sync.run(no_spark, folder, now=NOW, report=lambda text: None, is_plan=True)
    (run,) = Path(folder.root).glob("runs/2*")
    assert [path.name for path in run.iterdir()] == ["plan.json"]


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    def file_report(storage, record, as_of):
        raise StorageError("the disk is full")

    monkeypatch.setattr(filing, "file_report", file_report)
    folder, said = JobFolder.parse(str(tmp_path / "etl_jobs/user_personalization/demo")), []
    with pytest.raises(errors.ConfigError):
        sync.run(no_spark, folder, now=NOW, report=said.append)
    assert said == ["warning: the report was not written: the disk is full; write it with recsync report"]
    assert list(Path(folder.root).glob("runs/2*/run.json"))
