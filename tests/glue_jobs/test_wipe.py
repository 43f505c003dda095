"""A wipe waits for a yes, clears everyone and is repeated until it is confirmed. Without Spark."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest

from connectors.contract import layout
from connectors.contract.held import newest_held
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import PartFile, Pointer
from connectors.contract.receipts import Receipt, write_receipts
from connectors.contract.run_record import read_record, run_ids
from glue_jobs import state
from glue_jobs.approval import approve
from glue_jobs.config import parse_config
from glue_jobs.delta import Told
from glue_jobs.errors import OutOfDateError, StateError
from glue_jobs.proposal import JobRun, Kept, propose, tell_plan
from glue_jobs.report.filing import file_report
from glue_jobs.tables import USER_ARROW, read_table
from glue_jobs.wipe import wipe
from glue_jobs.writers import Files, SnapshotWriter

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
BEFORE, RUN = "20261120T040000Z-3f9a2c", "20261121T040000Z-000001"
CONFIG = {"version": 1, "batchInferencePath": "in/", "connectors": {"braze": {"attributePrefix": "recs_"}}}


NOTHING = {"files": Files(), "counts": {}, "kept": Kept()}


def SILENT(text):  # noqa: N802 - stands for nothing
    """Nobody listens."""


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
    (held,) = wipe(run, ["braze"], SILENT).held
    assert state.read_pointer(run.storage, "braze").version == 1
    assert [reading.name for reading in held.guards if reading.is_breached] == ["wipe"]
    manifest = state.read_manifest(run.storage, approve(run.storage, "braze").pointer.manifest)
    lines = [
        json.loads(line)
        for file in manifest.files
        for line in gzip.decompress(run.storage.get(file.key).data).splitlines()
    ]
    assert lines == [{"userId": user, "op": "clear"} for user in ("ann", "bob", "cleo")]
    assert manifest.retired == ["old_items"]


def test_the_snapshot_after_a_wipe_waits_for_each_clear_to_be_confirmed(run):
    told(run.storage, ["ann", "bob"])
    wipe(run, ["braze"], SILENT)
    approve(run.storage, "braze")
    committed = state.read_pointer(run.storage, "braze")
    (file,) = committed.pointer.snapshot
    rows = read_table(run.storage, file, USER_ARROW).to_pylist()
    assert [(row["userId"], row["op"], row["sentIn"]) for row in rows] == [("ann", "clear", 2), ("bob", "clear", 2)]
    assert [row["isMarked"] for row in rows] == [False, True]  # until then he may be marked as held out
    assert state.unacknowledged(run.storage, committed).everyone


def test_a_wipe_leaves_the_record_of_a_run_and_the_page_about_it(run):
    told(run.storage, ["ann", "bob"], ["cleo"])
    wiped = wipe(run, ["braze"], SILENT)
    assert run_ids(run.storage) == [RUN]
    record = read_record(run.storage, layout.run_record(RUN))
    assert record == wiped.record
    (part,) = record.connectors
    assert (record.exit_code, part.outcome, part.version, part.manifest) == (
        3,
        "held",
        2,
        wiped.held[0].pointer.manifest,
    )
    assert part.counts["cleared"] == part.counts["records"] == part.estimate.measured == 3
    assert [(one.item_id, one.users) for one in part.lost] == [("1", 3)]
    assert [(one.verdict, one.before, one.after) for one in part.samples] == [("cleared", ["1"], None)] * 3
    page = run.storage.get(layout.report(RUN)).data.decode()
    assert "Held by wipe: all 3 users lose every attribute we ever wrote" in page
    assert not [user for user in ("ann", "bob", "cleo") if user in page or user in record.to_json()]


def test_the_page_says_that_a_wipe_was_approved(run):
    told(run.storage, ["ann"])
    record = wipe(run, ["braze"], SILENT).record
    approve(run.storage, "braze")
    page = run.storage.get(file_report(run.storage, record, AT)).data.decode()
    assert "Held, then approved: 1 user gets an update (cleared); nothing is delivered yet." in page


def test_a_connector_that_told_nobody_anything_keeps_no_other_from_its_wipe(run):
    told(run.storage, ["ann"])
    wiped = wipe(run, ["webhook", "braze"], SILENT)
    assert [held.connector for held in wiped.held] == ["braze"]
    assert "nobody was told anything yet" in str(wiped.stopped["webhook"])
    assert [(part.connector, part.outcome) for part in wiped.record.connectors] == [
        ("webhook", "stopped"),
        ("braze", "held"),
    ]
    assert wiped.record.exit_code == 4


def test_a_wipe_asks_nothing_of_what_was_delivered(run):
    """Parts that are gone keep nobody from it."""
    told(run.storage, ["ann"])
    file = PartFile(key=layout.part("braze", BEFORE, "gone"), records=2, size_bytes=1, checksum="c")
    manifest = propose(run, "braze", state.Committed(), tell_plan(run, "braze", state.Committed()), **NOTHING).manifest
    published = manifest.model_copy(update={"run_id": BEFORE, "version": 1, "files": [file]})
    pointer = state.read_pointer(run.storage, "braze").pointer
    run.storage.put(pointer.manifest, published.to_json().encode())
    receipt = Receipt(file=file.key, first_line=0, last_line=0, outcome="settled", at=AT)
    write_receipts(run.storage, published, [receipt])
    with pytest.raises(StateError, match="not all of it was delivered"):
        tell_plan(run, "braze", state.read_pointer(run.storage, "braze"))
    assert wipe(run, ["braze"], SILENT).held


def test_where_nobody_was_told_anything_there_is_nothing_to_wipe(run):
    with pytest.raises(OutOfDateError, match="nobody was told anything yet"):
        wipe(run, ["braze"], SILENT)
    assert newest_held(run.storage, "braze") is None
    assert run_ids(run.storage) == []
