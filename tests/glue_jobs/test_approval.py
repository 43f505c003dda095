"""A held commit: approved exactly as it was looked at, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.contract import layout
from connectors.contract.held import GuardReading, Held, InputObject, hold, let_go, newest_held
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.storage import StorageError
from glue_jobs import state
from glue_jobs.approval import approve, discard
from glue_jobs.errors import OutOfDateError, UnpublishedError
from glue_jobs.inputs import changed_since, inputs_of, objects_of
from glue_jobs.pairs import find_exclusions

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
RUN = "20261121T040000Z-3f9a2c"
LATER = "20261122T040000Z-000001"


@pytest.fixture
def storage(tmp_path):
    made = LocalStorage(tmp_path / "etl_jobs/user_personalization/demo")
    made.put("config.json", b"{}")
    made.put("input/batch/a.out", b"1")
    made.put("input/item_metadata/items.json", b"1")
    return made


def inputs(storage):
    batch = LocalStorage(storage.folder / "input/batch")
    return inputs_of(storage, storage.list("input/item_metadata/"), batch, list(batch.list()))


def held(storage, run_id=RUN, tag=None, version=1):
    key = layout.manifest("braze", run_id)
    manifest = RunManifest(
        job="user_personalization/demo",
        run_id=run_id,
        connector="braze",
        version=version,
        acknowledge="onDelivery",
        options={},
        records_per_request=75,
        counts={"records": 3},
        files=[],
        digest="0",
        created_at=AT,
    )
    made = Held(
        connector="braze",
        run_id=run_id,
        tag=tag,
        pointer=Pointer(version=version, run_id=run_id, manifest=key, snapshot=[]),
        manifest=manifest,
        guards=[GuardReading(name="maxCleared", number=2, limit=1, is_breached=True, note="…")],
        inputs=inputs(storage),
        held_at=AT,
    )
    hold(storage, made)
    return made


def test_a_yes_commits_and_publishes_what_was_held(storage):
    was = held(storage)
    assert approve(storage, "braze") == was
    assert state.read_pointer(storage, "braze").pointer == was.pointer
    assert state.read_manifest(storage, was.pointer.manifest) == was.manifest


def test_a_commit_that_could_not_be_published_says_that_it_is_one(storage, monkeypatch):
    held(storage)

    def refuse(*arguments):
        raise StorageError("S3 answered AccessDenied")

    monkeypatch.setattr(state, "publish", refuse)
    with pytest.raises(UnpublishedError, match=r"version 1 is committed and could not be published: .*; the next run"):
        approve(storage, "braze")
    assert state.read_pointer(storage, "braze").version == 1


def test_a_second_yes_finds_nothing_held(storage):
    held(storage)
    approve(storage, "braze")
    with pytest.raises(OutOfDateError, match="no run is held"):
        approve(storage, "braze")


def test_a_no_leaves_everything_as_it_was(storage):
    held(storage)
    assert discard(storage, "braze").run_id == RUN
    assert state.read_pointer(storage, "braze").pointer is None
    assert newest_held(storage, "braze") is None


def test_a_newer_held_run_takes_the_place_of_an_older_one(storage):
    held(storage)
    held(storage, LATER)
    with pytest.raises(OutOfDateError, match=f"run {RUN} is not held; run {LATER} is"):
        approve(storage, "braze", RUN)
    assert approve(storage, "braze", LATER).run_id == LATER


def test_an_older_run_that_is_held_late_does_not_take_the_place_of_a_newer_one(storage):
    newer = held(storage, LATER)
    held(storage)
    assert newest_held(storage, "braze") == newer
    assert len(list(storage.list("held/"))) == 1


@pytest.mark.parametrize("first", ["000000", "ffffff"])
def test_of_two_runs_of_one_second_the_one_that_is_held_last_waits(storage, first):
    held(storage, f"20261121T040000Z-{first}")
    last = held(storage, "20261121T040000Z-7f7f7f")
    assert newest_held(storage, "braze") == last
    assert len(list(storage.list("held/"))) == 1


def test_a_no_to_one_run_is_none_to_a_newer_one(storage):
    held(storage)
    newer = held(storage, LATER)
    let_go(storage, "braze", until=RUN)
    assert newest_held(storage, "braze") == newer


def test_what_was_committed_since_is_named(storage):
    held(storage)
    state.commit(storage, "braze", state.Committed(), Pointer(version=1, run_id=LATER, manifest="m", snapshot=[]))
    with pytest.raises(OutOfDateError, match="was held before version 1 was committed"):
        approve(storage, "braze")


@pytest.mark.parametrize("key", ["config.json", "input/batch/a.out", "input/item_metadata/items.json"])
@pytest.mark.parametrize("change", ["written", "removed"])
def test_what_changed_since_it_was_read_is_named(storage, key, change):
    held(storage)
    storage.put(key, b"another one") if change == "written" else storage.delete(key)
    with pytest.raises(OutOfDateError, match=f"{key} changed since run {RUN} read it"):
        approve(storage, "braze")
    assert state.read_pointer(storage, "braze").pointer is None


def test_what_the_run_did_not_read_may_change(storage):
    held(storage)
    storage.put("input/other/a.out", b"a newer batch")
    storage.put("input/batch/b.out", b"another file")
    approve(storage, "braze")


@pytest.mark.parametrize("address", ["input/bought/", "input/bought/a.csv", "bought.csv"])
def test_what_excludes_items_is_an_input_wherever_it_stands(storage, address):
    for key in ("input/bought/a.csv", "bought.csv"):
        storage.put(key, b"USER_ID,ITEM_ID\n")
    found = list(objects_of(*find_exclusions(address, storage)))
    assert list(changed_since(found)) == []
    for key in ("input/bought/a.csv", "bought.csv"):
        storage.put(key, b"USER_ID,ITEM_ID\nann,1\n")
    assert list(changed_since(found)) == [f"{one.root}/{one.key}" for one in found]


def test_an_object_that_is_the_same_has_not_changed(storage):
    assert list(changed_since(inputs(storage))) == []


def test_of_an_object_that_is_gone_the_address_is_named(storage):
    gone = InputObject(root=storage.root, key="input/gone/a", mark="1")
    assert list(changed_since([gone])) == [f"{storage.root}/input/gone/a"]
