"""The committed snapshot: as rows of Spark, or part by part without it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from operator import attrgetter

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from connectors.contract.manifest import PartFile
from connectors.contract.storage import Storage
from glue_jobs.meeting import Meeting, of_told, packed_told
from glue_jobs.schemas import USER
from glue_jobs.state import Committed
from glue_jobs.tables import USER_ARROW, read_table, users_of, values_of

_ROWS_A_BATCH = 10_000


def read_snapshot(spark: SparkSession, storage: Storage, committed: Committed) -> DataFrame:
    """The users of the committed snapshot (USER); none before the first commit.

    Each file is read by one task, which knows it by its checksum; Spark alone would take what it finds.

    Raises (when the rows are used):
        StateError: A file is missing, damaged, or holds another number of rows.
    """
    files = committed.pointer.snapshot if committed.pointer else []
    if not files:
        return spark.createDataFrame([], USER)

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            for text in batch.column(0).to_pylist():
                table = read_table(storage, PartFile.model_validate_json(text), USER_ARROW)
                yield from map(_packed, table.to_batches(_ROWS_A_BATCH))

    listed = spark.createDataFrame([(file.to_json(),) for file in files], "file string")
    return listed.repartition(len(files)).mapInArrow(rows, USER)


def _packed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of a snapshot's file as USER."""
    users, *told = batch.columns
    packed = pa.array(map(packed_told, zip(*map(values_of, told), strict=True)), pa.binary())
    return pa.RecordBatch.from_arrays([users, packed], names=USER.names)


def read_parted(storage: Storage, files: Sequence[PartFile]) -> Iterator[Meeting]:
    """The users in some files of a snapshot, each file's in order, as they meet what is said of them today.

    Returns:
        They are in order of their ids, as Spark orders these.

    Raises:
        StateError: A file is missing, damaged, or holds another number of rows.
    """
    return heapq.merge(*(_told_in(storage, file) for file in files), key=attrgetter("user_id"))


def _told_in(storage: Storage, file: PartFile) -> Iterator[Meeting]:
    return starmap(of_told, users_of(read_table(storage, file, USER_ARROW)))
