"""A first send to some users: no commit, no clears, receipts of its own. With Spark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cli.embedded import deliver_run, published
from cli.explain import explain
from connectors.base import Destination, Reply
from connectors.braze.connector import BrazeConnector
from connectors.contract import layout
from connectors.contract.receipts import Fate, read_ledger
from connectors.contract.run_record import read_record
from connectors.contract.storage import open_storage
from functions.newest import Newest
from glue_jobs import state, sync
from glue_jobs.errors import NoInputError

NOW = datetime(2026, 11, 21, 4, tzinfo=UTC)


def line(user, *items):
    return {"input": {"userId": user}, "output": {"recommendedItems": list(items)}, "error": None}


@pytest.fixture
def shop(job):
    made = job("user_personalization")
    made.config(braze={"itemMetadataFields": ["price"], "onUserRemoved": "clear"})
    made.items({"id": "1", "price": 5}, {"id": "2", "price": 6})
    made.batch(line("ann", "1"), line("bob", "2"), line("cid", "1", "2"))
    return made


def trial(shop, *users):
    result = sync.run(lambda: shop.spark, shop.folder, now=NOW, report=lambda text: None, only_users=users)
    for error in result.stopped.values():
        raise error
    (committed,) = result.record.published
    return committed, result.record


def deliver(shop, key, manifest):
    connector = BrazeConnector(Destination("http://127.0.0.1:1", "key", allow_loopback=True))
    answer = Reply(201, {}, b'{"message": "success"}')
    storage = open_storage(shop.folder.root)
    return deliver_run(
        storage, key, manifest, connector, lambda request: answer, concurrency=1, report=lambda text: None
    )


def test_a_trial_tells_its_users_whole_and_changes_nothing_that_is_committed(shop):
    shop.run()
    storage = open_storage(shop.folder.root)
    before = {entry.key for entry in storage.list("output/braze/state/")}
    pointer = state.read_pointer(storage, "braze")
    shop.batch(line("bob", "1"))
    done, record = trial(shop, "ann", "bob", "nobody")
    assert {user: one["op"] for user, one in shop.records(done).items()} == {"bob": "upsert"}
    assert record.of("braze").outcome == "trial"
    assert state.read_pointer(storage, "braze") == pointer
    assert {entry.key for entry in storage.list("output/braze/state/")} == before


def test_a_trial_has_receipts_of_its_own_and_the_next_run_tells_everyone_all_the_same(shop):
    done, _ = trial(shop, "ann")
    storage, manifest = open_storage(shop.folder.root), shop.manifest(done)
    assert deliver(shop, done.manifest, manifest).fates[Fate.DELIVERED] == 1
    assert read_ledger(storage, manifest).counts()[Fate.DELIVERED] == 1
    first = shop.run(NOW + timedelta(hours=1))
    assert (first.version, first.counts["new"], first.counts["records"]) == (1, 3, 3)
    assert [key for key, _ in published(storage, "braze")] == [done.manifest, first.manifest]


@pytest.mark.parametrize("commits", [0, 1])
def test_what_of_a_trial_still_waits_is_replaced_by_the_next_commit(shop, commits):
    for _ in range(commits):
        shop.run()
    done, _ = trial(shop, "ann")
    storage = open_storage(shop.folder.root)
    assert Newest().version(storage, "braze") == done.version == commits
    shop.run()
    assert deliver(shop, done.manifest, shop.manifest(done)).fates[Fate.SUPERSEDED] == 1


def test_a_trial_without_anyone_who_has_a_list_is_no_input(shop):
    with pytest.raises(NoInputError, match=r"none of the 2 user\(s\) has a list in this input"):
        trial(shop, "nobody", "else")
    assert shop.visible() == []


def test_a_trial_is_explained_by_the_record_it_sent(shop):
    _, record = trial(shop, "ann")
    assert read_record(open_storage(shop.folder.root), layout.run_record(record.run_id)) == record
    (braze,) = explain(shop.folder, "ann").connectors
    assert (braze.outcome, braze.sent.fate, braze.verdict) == ("trial", "waiting", None)
    assert braze.sent.record["recommendations"] == [{"itemId": "1", "price": 5}]


def test_a_related_items_trial_follows_the_mapping(job):
    made = job("related_items")
    made.config(braze={"itemMetadataFields": []})
    made.batch({"input": {"itemId": "9"}, "output": {"recommendedItems": ["1"]}})
    made.mapping("ann,9", "bob,9", "cid,9")
    done, _ = trial(made, "bob")
    assert list(made.records(done)) == ["bob"]
