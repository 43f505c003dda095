import gzip
import hashlib
import io
import random
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract.local_storage import LocalStorage
from glue_jobs.delta import Told
from glue_jobs.tables import USER_ARROW
from glue_jobs.writers import LinesWriter, PartWriter, SnapshotWriter, add_digests


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


def write(storage, lines, **limits):
    writer = PartWriter(storage, lambda number: f"part-{number}.gz", **limits)
    for line in lines:
        writer.write(line)
    return writer, writer.close()


def test_parts_roll_by_count_and_bytes_and_hold_every_line_in_order(storage):
    lines = [b"%d\n" % number for number in range(25)]
    _, files = write(storage, lines, max_records=10, max_bytes=1000)
    assert [file.records for file in files] == [10, 10, 5]
    _, by_bytes = write(storage, [b"x" * 99 + b"\n"] * 7, max_records=100, max_bytes=250)
    assert [file.records for file in by_bytes] == [2, 2, 2, 1]


def test_a_part_is_what_its_entry_says(storage):
    _, (file,) = write(storage, [b"a\n", b"b\n"])
    data = storage.get(file.key).data
    assert gzip.decompress(data) == b"a\nb\n"
    assert (file.size_bytes, file.checksum) == (len(data), hashlib.sha256(data).hexdigest())


def test_no_line_no_part(storage):
    writer, files = write(storage, [])
    assert (files, int(writer.digest, 16)) == ([], 0)


@given(lines=st.lists(st.binary(max_size=8), max_size=20), cut=st.integers(0, 20), seed=st.integers())
def test_f_i5_the_digest_does_not_depend_on_order_or_on_who_wrote_what(tmp_path_factory, lines, cut, seed):
    storage = LocalStorage(tmp_path_factory.mktemp("parts"))
    whole, _ = write(storage, lines)
    shuffled = random.Random(seed).sample(lines, len(lines))
    halves = [write(storage, part)[0].digest for part in (shuffled[:cut], shuffled[cut:])]
    assert add_digests(halves) == whole.digest


def test_the_digest_notices_a_line_that_is_there_twice(storage):
    assert write(storage, [b"a", b"a"])[0].digest != write(storage, [])[0].digest


def test_a_snapshot_holds_one_row_a_user(storage):
    at = datetime(2026, 11, 21, tzinfo=UTC)
    writer = SnapshotWriter(storage, "s.parquet")
    writer.write("ann", Told("upsert", ["1", "2"], -5, 3, at))
    writer.write("bob", Told("gone", [], None, 1, at, 2, is_marked=True))
    (file,) = writer.close()
    table = pq.read_table(io.BytesIO(storage.get("s.parquet").data))
    assert (file.records, table.schema) == (2, USER_ARROW)
    assert table.to_pylist()[1] == {
        "userId": "bob",
        "op": "gone",
        "itemIds": [],
        "fingerprint": None,
        "sentIn": 1,
        "sentAt": at,
        "rejections": 2,
        "isMarked": True,
    }


def test_no_user_no_snapshot_file(storage):
    assert SnapshotWriter(storage, "s.parquet").close() == []


def test_kept_lines_stand_one_a_line(storage):
    writer = LinesWriter(storage, "errors/a.jsonl")
    writer.write(b"{}")
    writer.write(b"[]")
    writer.close()
    assert storage.get("errors/a.jsonl").data == b"{}\n[]\n"


def test_lines_that_memory_would_not_hold_go_into_several_files(storage):
    """All unreadable lines of a batch meet in one task."""
    writer = LinesWriter(storage, "errors/a.jsonl", max_bytes=10)
    for number in range(5):
        writer.write(b"line %d" % number)
    writer.close()
    assert {entry.key: storage.get(entry.key).data for entry in storage.list("errors/")} == {
        "errors/a.jsonl": b"line 0\nline 1\n",
        "errors/a-001.jsonl": b"line 2\nline 3\n",
        "errors/a-002.jsonl": b"line 4\n",
    }
