"""The committed snapshot: as rows of Spark, or part by part without it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from connectors.contract.manifest import PartFile
from connectors.contract.storage import Storage
from glue_jobs.delta import Told
from glue_jobs.meeting import packed_told
from glue_jobs.schemas import USER
from glue_jobs.state import Committed
from glue_jobs.tables import USER_ARROW, read_table, users_of, values_of

_ROWS_A_BATCH = 10_000


def read_snapshot(spark: SparkSession, storage: Storage, committed: Committed) -> DataFrame | None:
    """The users of the committed snapshot (USER); None where it has no files: before the first commit, say.

    Each file is read by one task, which knows it by its checksum; Spark alone would take what it finds.

    Raises (when the rows are used):
        StateError: A file is missing, damaged, or holds another number of rows.
    """
    files = committed.pointer.snapshot if committed.pointer else []
    if not files:
        return None

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


def read_parted(storage: Storage, files: Sequence[PartFile]) -> Iterator[tuple[str, Told]]:
    """The users in some files of a snapshot, each file's in order, and what each was told.

    Returns:
        They are in order of their ids, as Spark orders these.

    Raises:
        StateError: A file is missing, damaged, or holds another number of rows.
    """
    each = (users_of(read_table(storage, file, USER_ARROW)) for file in files)
    return heapq.merge(*each, key=itemgetter(0))
