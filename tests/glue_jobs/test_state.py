import gzip
import io
import os
from datetime import UTC, datetime
from multiprocessing import get_context

import pyarrow.parquet as pq
import pytest

from connectors.contract import layout
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import PartFile, Pointer, RunManifest
from connectors.contract.receipts import Receipt, Rejection, write_receipts
from glue_jobs import state
from glue_jobs.decorate import clear_line
from glue_jobs.delta import Told
from glue_jobs.errors import ConflictError, StateError
from glue_jobs.tables import USER_ARROW, read_table
from glue_jobs.writers import SnapshotWriter, store

AT = datetime(2026, 11, 21, tzinfo=UTC)
RUN = "20261121T040000Z-3f9a2c"
# `make faults FULL=1` holds as many races as the fault matrix asks for.
RACES = 100 if os.environ.get("RECSYNC_FULL") else 10


def pointer(version=1, run_id=RUN):
    return Pointer(version=version, run_id=run_id, manifest=layout.manifest("braze", run_id), snapshot=[])


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


def publish(storage, *parts, acknowledge="onDelivery"):
    """A committed and published run whose parts hold these users."""
    files = []
    for number, users in enumerate(parts):
        key = layout.part("braze", RUN, str(number))
        data = gzip.compress(b"".join(map(clear_line, users)))
        storage.put(key, data)
        files.append(PartFile(key=key, records=len(users), size_bytes=len(data), checksum=""))
    manifest = RunManifest(
        job="user_personalization/demo",
        run_id=RUN,
        connector="braze",
        version=1,
        acknowledge=acknowledge,
        options={},
        records_per_request=75,
        counts={},
        files=files,
        digest="",
        created_at=AT,
    )
    state.commit(storage, "braze", state.Committed(), pointer())
    state.publish(storage, layout.manifest("braze", RUN), manifest)
    return manifest


def settled(file, first, last, rejected=()):
    """A receipt that names whom the destination refused, as (line, user id)."""
    return Receipt(
        file=file.key,
        first_line=first,
        last_line=last,
        outcome="settled",
        rejected=[Rejection(line=line, user_id=user, code="c", reason="r") for line, user in rejected],
        at=AT,
    )


def test_before_the_first_commit_there_is_nothing(storage):
    assert state.read_pointer(storage, "braze") == state.Committed()
    assert state.unacknowledged(storage, state.Committed()) == state.Unacknowledged()


def test_a_commit_is_what_the_next_run_reads(storage):
    state.commit(storage, "braze", state.Committed(), pointer())
    read = state.read_pointer(storage, "braze")
    assert (read.pointer, read.version) == (pointer(), 1)
    state.commit(storage, "braze", read, pointer(version=2))
    assert state.read_pointer(storage, "braze").version == 2


@pytest.mark.parametrize("is_first", [True, False])
def test_f23_of_two_commits_from_one_state_the_second_is_refused(storage, is_first):
    if not is_first:
        state.commit(storage, "braze", state.Committed(), pointer())
    read = state.read_pointer(storage, "braze")
    state.commit(storage, "braze", read, pointer(version=read.version + 1))
    with pytest.raises(ConflictError, match="another run"):
        state.commit(storage, "braze", read, pointer(version=read.version + 1, run_id="20261121T040000Z-ffffff"))
    assert state.read_pointer(storage, "braze").pointer.run_id == RUN


def _commit(folder, barrier, digits, wins):
    storage = LocalStorage(folder)
    read = state.read_pointer(storage, "braze")
    barrier.wait()
    try:
        state.commit(storage, "braze", read, pointer(read.version + 1, f"20261121T040000Z-{digits}"))
    except ConflictError:
        return
    wins.put(digits)


def test_f23_of_two_processes_at_a_barrier_exactly_one_commits_each_round(storage):
    context = get_context("fork")
    for version in range(1, RACES + 1):
        barrier, wins = context.Barrier(2), context.Queue()
        racers = [
            context.Process(target=_commit, args=(storage.folder, barrier, digits * 6, wins)) for digits in ("a", "b")
        ]
        for racer in racers:
            racer.start()
        winner = wins.get(timeout=20)
        for racer in racers:
            racer.join()
        assert wins.empty()
        committed = state.read_pointer(storage, "braze")
        assert committed.version == version
        assert committed.pointer.run_id.endswith(winner)


def test_connectors_commit_each_for_itself(storage):
    state.commit(storage, "braze", state.Committed(), pointer())
    state.commit(storage, "webhook", state.Committed(), pointer())


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"formatVersion":99}'])
def test_a_pointer_that_cannot_be_read_stops_the_run(storage, content):
    storage.put(layout.pointer("braze"), content)
    with pytest.raises(StateError, match=r"_current\.json"):
        state.read_pointer(storage, "braze")


def test_f21_a_commit_that_was_never_published_was_told_to_nobody(storage):
    state.commit(storage, "braze", state.Committed(), pointer())
    found = state.unacknowledged(storage, state.read_pointer(storage, "braze"))
    assert found.everyone and found.holds("ann", 1) and not found.holds("ann", 0)


def test_without_any_receipt_nobody_is_confirmed(storage):
    publish(storage, ["ann"])
    assert state.unacknowledged(storage, state.read_pointer(storage, "braze")).everyone


def test_rejected_and_open_lines_are_not_confirmed_and_whole_parts_are_not_opened(storage):
    manifest = publish(storage, ["ann", "bob"], ["cid", "dan", "eve"])
    whole, half = manifest.files
    write_receipts(storage, manifest, [settled(whole, 0, 1), settled(half, 0, 1, [(1, "dan")])])
    storage.delete(whole.key)
    found = state.unacknowledged(storage, state.read_pointer(storage, "braze"))
    assert (found.everyone, found.users, found.version) == (False, {"dan", "eve"}, 1)
    assert found.rejected == {"dan"}


def test_when_everyone_was_rejected_that_is_known_of_each(storage):
    manifest = publish(storage, ["ann", "bob"])
    write_receipts(storage, manifest, [settled(manifest.files[0], 0, 1, [(0, "ann"), (1, "bob")])])
    found = state.unacknowledged(storage, state.read_pointer(storage, "braze"))
    assert (found.everyone, found.rejected) == (False, {"ann", "bob"})


def test_whom_receipts_name_is_known_without_opening_his_part(storage):
    manifest = publish(storage, ["ann", "bob", "cid"])
    (file,) = manifest.files
    repeated = [settled(file, 0, 1, [(0, "ann"), (1, "bob")]), settled(file, 0, 0), settled(file, 2, 2)]
    write_receipts(storage, manifest, repeated)
    storage.delete(file.key)
    found = state.unacknowledged(storage, state.read_pointer(storage, "braze"))
    assert (found.users, found.rejected) == ({"bob"}, {"bob"})


def test_whom_receipts_do_not_name_is_looked_up_in_his_part(storage):
    manifest = publish(storage, ["ann", "bob", "cid"])
    (file,) = manifest.files
    too_large = Receipt(file=file.key, first_line=1, last_line=1, outcome="tooLarge", at=AT)
    write_receipts(storage, manifest, [settled(file, 0, 0), too_large, settled(file, 2, 2, [(2, "cid")])])
    found = state.unacknowledged(storage, state.read_pointer(storage, "braze"))
    assert (found.users, found.rejected) == ({"bob", "cid"}, {"bob", "cid"})


@pytest.mark.parametrize(("acknowledge", "is_owed"), [("onDelivery", True), ("onWrite", False)])
def test_what_a_run_was_to_deliver_stays_owed_whoever_delivers_the_next(storage, acknowledge, is_owed):
    publish(storage, ["ann"], acknowledge=acknowledge)
    assert state.unacknowledged(storage, state.read_pointer(storage, "braze")).holds("ann", 1) is is_owed


def test_a_manifest_is_written_once(storage):
    manifest = publish(storage, ["ann"])
    with pytest.raises(Exception, match="there already"):
        state.publish(storage, layout.manifest("braze", RUN), manifest)


def test_a_run_without_a_manifest_reads_as_none(storage):
    assert state.read_manifest(storage, layout.manifest("braze", RUN)) is None


def test_f28_a_snapshot_from_before_there_was_a_holdout_is_read_and_marks_nobody(storage):
    writer = SnapshotWriter(storage, "now.parquet")
    writer.write("ann", Told("upsert", ["1"], 5, 3, AT, is_marked=True))
    (file,) = writer.close()
    table = read_table(storage, file, USER_ARROW).drop_columns(["isMarked"])
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    before = store(storage, "before.parquet", buffer.getvalue(), 1)
    (row,) = read_table(storage, before, USER_ARROW).to_pylist()
    assert (row["userId"], row["rejections"], row["isMarked"]) == ("ann", 0, None)
