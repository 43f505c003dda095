"""Fault matrix, state: a snapshot that is not what was committed is refused, and what repairs it works."""

import json
import os
import random
from datetime import UTC, datetime, timedelta

import pytest
from input_files import for_user

from connectors.contract import layout
from connectors.contract.storage import open_storage
from glue_jobs import state
from glue_jobs.errors import StateError
from glue_jobs.tables import USER_ARROW, read_table

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
# `make faults FULL=1` flips as many single bytes as the fault matrix asks for.
FLIPS = 100 if os.environ.get("RECSYNC_FULL") else 10


@pytest.fixture
def users(job):
    made = job("user_personalization")
    made.config(braze={"acknowledge": "onWrite", "itemMetadataFields": []})
    made.batch(for_user("ann", "1", "2"), for_user("bob", "2"))
    made.run()
    return made


def pointer_of(job):
    return job.path / layout.pointer("braze")


def snapshot_of(job):
    (file,) = state.read_pointer(open_storage(str(job.path)), "braze").pointer.snapshot
    return job.path / file.key


def is_refused(job, match):
    """The run stops, names the repair, and leaves the pointer; a full run repairs it and sends everyone once."""
    before = pointer_of(job).read_bytes()
    with pytest.raises(StateError, match=match) as caught:
        job.run()
    assert pointer_of(job).read_bytes() == before
    assert "recsync run --full" in str(caught.value)
    repaired = job.run(is_full=True)
    assert sorted(job.records(repaired)) == ["ann", "bob"]
    assert job.run().counts["unchanged"] == 2
    return repaired


def test_f26_a_snapshot_that_is_gone_stops_the_run(users):
    snapshot_of(users).unlink()
    assert is_refused(users, "is missing, and the pointer needs it").version == 2


def test_f26_only_without_a_pointer_is_a_run_the_first(users):
    pointer_of(users).unlink()
    assert users.run().counts["new"] == 2


def test_f27_a_snapshot_cut_short_stops_the_run(users):
    file = snapshot_of(users)
    file.write_bytes(file.read_bytes()[:-10])
    is_refused(users, "is damaged: its checksum")


def test_f27_any_flipped_byte_is_noticed(users):
    storage = open_storage(str(users.path))
    (file,) = state.read_pointer(storage, "braze").pointer.snapshot
    whole = storage.get(file.key).data
    assert read_table(storage, file, USER_ARROW).num_rows == 2
    for place in random.Random(1).sample(range(len(whole)), FLIPS):
        storage.put(file.key, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StateError, match="is damaged"):
            read_table(storage, file, USER_ARROW)


def test_f27_another_number_of_rows_is_noticed(users):
    storage = open_storage(str(users.path))
    (file,) = state.read_pointer(storage, "braze").pointer.snapshot
    with pytest.raises(StateError, match="holds 2 rows and should hold 3"):
        read_table(storage, file.model_copy(update={"records": 3}), USER_ARROW)


def test_f27_a_damaged_pointer_stops_the_run_and_versions_go_on_counting(users):
    users.run()
    pointer_of(users).write_bytes(b"{")
    assert is_refused(users, "is damaged").version == 3


def test_f28_a_newer_format_is_refused_also_by_a_full_run(users):
    raw = json.loads(pointer_of(users).read_text())
    pointer_of(users).write_text(json.dumps({**raw, "formatVersion": 2}))
    for is_full in (False, True):
        with pytest.raises(StateError, match="run it with the newer release"):
            users.run(is_full=is_full)


# A pointer as the first release wrote it. Readers accept it for as long as its format is named here.
GOLDEN_POINTER = """{"formatVersion":1,"version":7,"runId":"20261121T040000Z-3f9a2c","manifest":"output/braze/year=2026/month=11/day=21/time=040000-3f9a2c/_manifest.json","previous":"","snapshot":[{"key":"output/braze/state/7-20261121T040000Z-3f9a2c/00000-9.parquet","records":2,"bytes":1944,"checksum":"00"}],"items":null,"settings":"00ff","compare":"topK","compareFirst":3,"itemTypes":{"price":"n"},"attributes":["recs_items"]}"""  # noqa: E501


def test_f28_the_format_of_the_first_release_is_read(users):
    pointer_of(users).write_text(GOLDEN_POINTER)
    pointer = state.read_pointer(open_storage(str(users.path)), "braze").pointer
    assert (pointer.version, pointer.rows, pointer.compare_first) == (7, 2, 3)
    assert json.loads(pointer.to_json()) == {**json.loads(GOLDEN_POINTER), "partitions": 0}


def test_f24_a_clock_that_goes_backwards_changes_no_version_and_loses_nobody(users):
    users.batch(for_user("ann", "1"), for_user("bob", "2"), for_user("cid", "1"))
    second = users.run(NOW - timedelta(hours=1))
    assert (second.version, second.counts["changed"], second.counts["new"], second.counts["unchanged"]) == (2, 1, 1, 1)
    third = users.run(NOW - timedelta(days=400))
    assert (third.version, third.counts["records"]) == (3, 0)


def test_f24_the_lock_of_one_who_died_holds_nobody_up(users):
    lock = pointer_of(users).parent / f".{pointer_of(users).name}.lock"
    lock.write_bytes(b"")
    assert users.run().version == 2


@pytest.mark.parametrize(
    ("at", "partition"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), "year=2026/month=12/day=31/time=235959"),
        (datetime.fromisoformat("2027-01-01T00:30:00+01:00"), "year=2026/month=12/day=31/time=233000"),
        (datetime.fromisoformat("2026-10-25T02:30:00+01:00"), "year=2026/month=10/day=25/time=013000"),
    ],
)
def test_f25_partitions_are_utc_over_year_end_and_summer_time(users, at, partition):
    assert partition in users.run(at).manifest


@pytest.mark.parametrize("acknowledge", ["onDelivery", "onWrite"])
def test_f21_a_run_that_committed_and_never_published_is_made_good_by_the_next(users, monkeypatch, acknowledge):
    users.config(braze={"itemMetadataFields": [], "acknowledge": acknowledge})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(state, "publish", killed)
        users.batch(for_user("ann", "1"), for_user("bob", "9"))
        with pytest.raises(KeyboardInterrupt):
            users.run()
    result = users.run()
    assert (sorted(users.records(result)), result.version) == (["ann", "bob"], 3)


def test_f21_a_part_that_is_gone_before_all_of_it_was_delivered_stops_the_run(users):
    users.config(braze={"itemMetadataFields": []})
    users.batch(for_user("ann", "3"), for_user("bob", "3"))
    result = users.run()
    manifest = users.manifest(result)
    from connectors.contract.receipts import Receipt, write_receipts

    (file,) = manifest.files
    receipt = Receipt(file=file.key, first_line=0, last_line=0, outcome="settled", at=NOW)
    write_receipts(open_storage(str(users.path)), manifest, [receipt])
    (users.path / file.key).unlink()
    with pytest.raises(StateError, match="cannot be read, and not all of it was delivered"):
        users.run()
    assert users.run(is_full=True).counts["records"] == 2
