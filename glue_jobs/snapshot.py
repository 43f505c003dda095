"""The committed snapshot as rows of Spark."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from connectors.contract.manifest import PartFile
from connectors.contract.storage import Storage
from glue_jobs.schemas import USER
from glue_jobs.state import Committed
from glue_jobs.tables import USER_ARROW, read_table


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
                yield from read_table(storage, PartFile.model_validate_json(text), USER_ARROW).to_batches()

    listed = spark.createDataFrame([(file.to_json(),) for file in files], "file string")
    return listed.repartition(len(files)).mapInArrow(rows, USER)
