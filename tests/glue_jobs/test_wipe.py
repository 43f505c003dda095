"""A wipe waits for a yes, clears everyone and is repeated until it is confirmed. Without Spark."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest

from connectors.contract import layout
from connectors.contract.held import newest_held
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import Pointer
from connectors.contract.storage import LocalStorage
from glue_jobs import state
from glue_jobs.approval import approve
from glue_jobs.config import parse_config
from glue_jobs.delta import Told
from glue_jobs.errors import OutOfDateError
from glue_jobs.proposal import JobRun
from glue_jobs.tables import USER_ARROW, read_table
from glue_jobs.wipe import wipe
from glue_jobs.writers import SnapshotWriter

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
BEFORE, RUN = "20261120T040000Z-3f9a2c", "20261121T040000Z-000001"
CONFIG = {"version": 1, "batchInferencePath": "in/", "connectors": {"braze": {"attributePrefix": "recs_"}}}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "etl_jobs/user_personalization/demo"
    return JobRun(JobFolder.parse(str(folder)), LocalStorage(folder), parse_config(CONFIG), AT, RUN)


def told(storage, *files):
    """Commit a snapshot of these users, a file for each list."""
    snapshot = []
    for number, users in enumerate(files):
        writer = SnapshotWriter(storage, f"{layout.snapshot('braze', 1, BEFORE)}/{number}.parquet")
        for user in users:
            writer.write(user, Told("upsert", ["1"], 7, 1, AT, is_marked=user == "bob"))
        snapshot += writer.close()
    pointer = Pointer(version=1, run_id=BEFORE, manifest="m", snapshot=snapshot, attributes=["old_items", "recs_items"])
    state.commit(storage, "braze", state.Committed(), pointer)


def test_a_wipe_waits_for_a_yes_and_then_clears_everyone(run):
    told(run.storage, ["ann", "bob"], ["cleo"])
    held = wipe(run, "braze")
    assert state.read_pointer(run.storage, "braze").version == 1
    assert [reading.name for reading in held.guards if reading.is_breached] == ["wipe"]
    manifest = state.read_manifest(run.storage, approve(run.storage, "braze").manifest)
    lines = [
        json.loads(line)
        for file in manifest.files
        for line in gzip.decompress(run.storage.get(file.key).data).splitlines()
    ]
    assert lines == [{"userId": user, "op": "clear"} for user in ("ann", "bob", "cleo")]
    assert manifest.retired == ["old_items"]


def test_the_snapshot_after_a_wipe_waits_for_each_clear_to_be_confirmed(run):
    told(run.storage, ["ann", "bob"])
    wipe(run, "braze")
    approve(run.storage, "braze")
    committed = state.read_pointer(run.storage, "braze")
    (file,) = committed.pointer.snapshot
    rows = read_table(run.storage, file, USER_ARROW).to_pylist()
    assert [(row["userId"], row["op"], row["sentIn"]) for row in rows] == [("ann", "clear", 2), ("bob", "clear", 2)]
    assert [row["isMarked"] for row in rows] == [False, True]  # until then he may be marked as held out
    assert state.unacknowledged(run.storage, committed).everyone


def test_where_nobody_was_told_anything_there_is_nothing_to_wipe(run):
    with pytest.raises(OutOfDateError, match="nobody was told anything yet"):
        wipe(run, "braze")
    assert newest_held(run.storage, "braze") is None
