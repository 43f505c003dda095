"""How a run's users are parted, and that those told before are found where today's are."""

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import functions as F  # noqa: N812

from connectors.contract import layout
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import PartFile, Pointer
from connectors.contract.storage import open_storage
from glue_jobs import connector_sync, parting, state
from glue_jobs.delta import Told
from glue_jobs.parting import Parting, files_of_parts, name_of, parting_of
from glue_jobs.snapshot import read_parted
from glue_jobs.writers import SnapshotWriter

MIB = 2**20
NOW = AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
GUARDS_OFF = {"allowEmpty": True, "maxClearedPct": None, "maxBadLinePct": None}


RUN = "20260131T020000Z-3f9a2c"


def committed(partitions, files=()):
    return Pointer(version=1, run_id=RUN, manifest="m", snapshot=list(files), partitions=partitions)


@pytest.mark.parametrize(
    ("size_bytes", "cores", "number"),
    [(0, 2, 1), (4 * MIB, 2, 1), (5 * MIB, 2, 2), (32 * MIB, 2, 2), (33 * MIB, 2, 4), (400 * MIB, 40, 40)],
)
def test_every_core_gets_as_many_parts_and_none_is_large_or_tiny(size_bytes, cores, number):
    assert parting_of(None, size_bytes, cores) == Parting(number, is_as_before=False)


@pytest.mark.parametrize(("was", "number"), [(1, 1), (2, 2), (3, 3), (8, 8), (9, 2), (0, 2)])
def test_a_snapshot_stays_as_it_is_parted_while_that_suits(was, number):
    """Too few parts leave cores idle, too many cost a file each."""
    assert parting_of(committed(was), 8 * MIB, 2) == Parting(number, is_as_before=was == number)


def test_files_are_found_by_their_part():
    files = [PartFile(key=f"s/{name}.parquet", records=1, size_bytes=1, checksum="") for name in
             (name_of(0, 7), name_of(12, 8), f"{name_of(12, 8)}-clear")]  # fmt: skip
    assert files_of_parts(committed(13, files)) == {0: files[:1], 12: files[1:]}
    assert files_of_parts(None) == {}


def test_users_of_several_files_come_in_the_order_spark_sorts_them(tmp_path, spark):
    users, storage = ["a", "B", "é", "", "\U0001f600", "ab"], LocalStorage(tmp_path)
    ordered = [row.id for row in spark.createDataFrame([(user,) for user in users], "id string").sort("id").collect()]
    files = [kept(storage, f"{number}.parquet", ordered[number::2]) for number in range(2)]
    assert [user_id for user_id, _ in read_parted(storage, files)] == ordered == sorted(users)


def kept(storage, key, users):
    writer = SnapshotWriter(storage, key)
    for user in users:
        writer.write(user, Told("upsert", ["1"], 5, 1, AT))
    (file,) = writer.close()
    return file


def test_a_user_falls_into_the_same_part_in_every_release_of_spark(spark):
    """Written down from Spark 3.5.6. Were it otherwise, everyone would seem gone, and new."""
    known = {"a": 1485273170, "b": 1905031361, "é日本": 476632978, "": 142593372}
    rows = spark.createDataFrame([(user,) for user in known], "userId string")
    assert {row.userId: row.hash for row in rows.select("userId", F.hash("userId").alias("hash")).collect()} == known
    parts = rows.repartition(5, "userId").select("userId", F.spark_partition_id().alias("part")).collect()
    assert {row.userId: row.part for row in parts} == {user: value % 5 for user, value in known.items()}


DAY = timedelta(days=1)
LAMP, SCARF = {"id": "1", "name": "Lamp", "price": 9}, {"id": "2", "name": "Scarf", "price": 5}


@pytest.fixture(params=["one part", "a part for each core"])
def told(job, monkeypatch, request):
    """A job whose first run told forty users."""
    if request.param == "a part for each core":
        monkeypatch.setattr(parting, "_LEAST_BYTES", 1)
    shop = job("user_personalization")
    shop.config(braze={"onUserRemoved": "clear", "acknowledge": "onWrite"}, guards={"allowEmpty": True})
    shop.items(LAMP, SCARF)
    shop.batch(*(line_of(f"u{number}", "1") for number in range(40)))
    shop.run()
    return shop


def line_of(user, *items):
    return {"input": {"userId": user}, "output": {"recommendedItems": items}, "error": None}


def next_day(shop):
    """The next day without u0 and with u40, and another list for u1; the figures, and who is sent what."""
    shop.config(braze={"onUserRemoved": "clear", "acknowledge": "onWrite"}, guards=GUARDS_OFF)
    shop.batch(*(line_of(f"u{number}", "2" if number == 1 else "1") for number in range(1, 41)))
    result = shop.run(NOW + DAY)
    found = {name: count for name, count in result.counts.items() if name in ("new", "changed", "unchanged", "cleared")}
    return found, {user: record["op"] for user, record in shop.records(result).items()}


EXPECTED = (
    {"new": 1, "changed": 1, "unchanged": 38, "cleared": 1},
    {"u0": "clear", "u1": "upsert", "u40": "upsert"},
)


def test_a_delta_reads_the_snapshot_where_it_lies(told, monkeypatch):
    monkeypatch.setattr(connector_sync, "read_snapshot", None)
    assert next_day(told) == EXPECTED


def test_a_snapshot_in_no_order_is_brought_to_todays_users_and_left_in_order(told, monkeypatch):
    """As older releases left it, or a wipe."""
    storage = open_storage(told.folder.root)
    pointer = state.read_pointer(storage, "braze").pointer.model_copy(update={"partitions": 0})
    storage.put(layout.pointer("braze"), pointer.to_json().encode())
    assert next_day(told) == EXPECTED
    assert state.read_pointer(storage, "braze").pointer.partitions > 0
    monkeypatch.setattr(connector_sync, "read_snapshot", None)
    assert told.run(NOW + 2 * DAY).counts["unchanged"] == 40


def test_where_nobody_has_a_line_everyone_told_is_still_looked_after(told):
    told.config(braze={"onUserRemoved": "clear", "acknowledge": "onWrite"}, guards=GUARDS_OFF)
    told.write("input/batch/job_config.json.out", "\n \n")
    assert told.run(NOW + DAY).counts["cleared"] == 40
