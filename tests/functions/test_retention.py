"""Old runs go, and never what the newest one needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import layout
from connectors.contract.local_storage import LocalStorage
from functions.retention import needed_runs, prune

OLD, NEW = "20260101T040000Z-000001", "20261121T040000Z-000002"
BEFORE = datetime(2026, 8, 1, tzinfo=UTC)


def keys_of(run_id: str, version: int = 1) -> list[str]:
    """Everything that a run leaves."""
    part = layout.part("braze", run_id, "0")
    return [
        layout.manifest("braze", run_id),
        part,
        layout.snapshot("braze", version, run_id) + "/users.parquet",
        layout.receipts("braze", run_id) + "a.jsonl",
        layout.enqueued("braze", run_id, part),
        layout.errors(run_id) + "/part-0",
        layout.quarantine(run_id) + "/part-0",
        f"runs/{run_id}/run.json",
    ]


@pytest.fixture
def storage(folder, write):
    for key in ("config.json", "input/user_item_mapping/a.csv", layout.health("braze")):
        write(key, {})
    return LocalStorage(folder)


def left(storage) -> set[str]:
    return {entry.key for entry in storage.list()}


def point_to(write, run_id: str) -> None:
    write(
        layout.pointer("braze"),
        {"version": 2, "runId": run_id, "manifest": layout.manifest("braze", run_id), "snapshot": []},
    )


def test_a_run_that_is_too_old_leaves_nothing_behind(storage, write):
    for key in [*keys_of(OLD), *keys_of(NEW, 2)]:
        write(key)
    point_to(write, NEW)
    before = left(storage)
    assert prune(storage, BEFORE) == len(keys_of(OLD))
    assert left(storage) == before - set(keys_of(OLD))
    assert prune(storage, BEFORE) == 0


def test_what_the_committed_run_left_is_never_too_old(storage, write):
    for key in keys_of(OLD):
        write(key)
    point_to(write, OLD)
    assert prune(storage, datetime.now(UTC)) == 0


def test_the_newest_run_that_was_published_is_kept_too(storage, write):
    for key in [*keys_of(OLD), *keys_of(NEW, 2)]:
        write(key)
    manifests = [layout.manifest("braze", run) for run in (NEW, OLD)]
    write(
        layout.pointer("braze"),
        {"version": 2, "runId": NEW, "manifest": manifests[0], "previous": manifests[1], "snapshot": []},
    )
    assert prune(storage, BEFORE) == 0


def test_a_run_that_waits_for_a_yes_is_kept(storage, write):
    for key in [*keys_of(OLD), layout.held("braze", OLD)]:
        write(key)
    point_to(write, NEW)
    assert needed_runs(storage) == {OLD, NEW}
    assert prune(storage, BEFORE) == 0


def test_markers_of_starts_go_by_their_own_age(storage, write):
    write(layout.started("batch_a_2026_01_01_00_00_00"), {})
    assert prune(storage, datetime.now(UTC) - timedelta(days=1)) == 0
    assert prune(storage, datetime.now(UTC) + timedelta(days=1)) == 1


def test_a_manifest_goes_before_its_parts_and_a_little_at_a_time(storage, write):
    for key in keys_of(OLD):
        write(key)
    while layout.manifest("braze", OLD) in left(storage):
        assert layout.part("braze", OLD, "0") in left(storage)
        assert prune(storage, BEFORE, at_most=1) == 1
    assert layout.part("braze", OLD, "0") in left(storage)
    while prune(storage, BEFORE, at_most=3):
        pass
    assert set(keys_of(OLD)) & left(storage) == set()
