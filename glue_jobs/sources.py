"""Files as rows of Spark: each line is given to a parser of ours, and keeps its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name
from pyspark.sql import types as T  # noqa: N812

from glue_jobs.collecting import collect_rarely
from glue_jobs.columns import plain


def parsed_lines(
    spark: SparkSession, uris: Sequence[str], parse: Callable[[bytes], tuple[Any, ...] | None], shape: T.StructType
) -> DataFrame:
    """The lines of some files, each given to `parse`; those it answers None to are left out.

    Args:
        shape: What `parse` returns, followed by POSITION.
    """
    lines = spark.read.text(list(uris), lineSep="\n").select(F.col("value").cast("binary").alias("line"), *position())

    schema = arrow_schema(shape)  # made here once, and not by each task

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        collect_rarely()
        return to_rows(batches, parse, schema)

    return lines.mapInArrow(rows, shape)


def to_rows(
    batches: Iterable[pa.RecordBatch], parse: Callable[[bytes], tuple[Any, ...] | None], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Lines (line, then POSITION), parsed: what `parse` returns, followed by POSITION."""
    for batch in batches:
        lines, *where = batch.columns
        rows = list(map(parse, plain(lines)))
        read = [row for row in rows if row is not None]
        if len(read) < len(rows):
            is_read = pa.array([row is not None for row in rows])
            where = [column.filter(is_read) for column in where]
        found = zip(*read, strict=True) if read else [()] * (len(schema) - len(where))
        parsed = [pa.array(column, field.type) for column, field in zip(found, schema, strict=False)]
        yield pa.RecordBatch.from_arrays([*parsed, *where], schema=schema)


def position() -> list[Column]:
    """POSITION of the rows of a file source, as they are read."""
    return [
        F.col("_metadata.file_name").alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("row"),
    ]


def arrow_schema(shape: T.StructType) -> pa.Schema:
    """A shape of Spark's as Arrow has it."""
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(shape)
