"""The committed snapshot as rows of Spark."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from connectors.contract.manifest import PartFile
from connectors.contract.storage import Storage
from glue_jobs.columns import plain
from glue_jobs.meeting import packed_told
from glue_jobs.schemas import USER
from glue_jobs.state import Committed
from glue_jobs.tables import USER_ARROW, read_table

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
    users, *told = (
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in batch.columns
    )
    packed = pa.array(list(map(packed_told, *map(plain, told))), pa.binary())
    return pa.RecordBatch.from_arrays([users, packed], names=USER.names)
