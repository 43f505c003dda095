"""Files as rows of Spark: each line is given to a parser of ours, and keeps its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name
from pyspark.sql import types as T  # noqa: N812

from glue_jobs.collecting import collect_rarely
from glue_jobs.columns import plain
from glue_jobs.errors import InputError

# What Hadoop takes for a pattern in a path.
# Source: Hadoop's `FileSystem.globStatus`, "a path pattern", read 2026-11-23: a backslash takes a character's meaning.
_PATTERN = re.compile(r"([\[\]{}*?\\])")


def parsed_lines(
    spark: SparkSession, uris: Sequence[str], parse: Callable[[bytes], tuple[Any, ...] | None], shape: T.StructType
) -> DataFrame:
    """The lines of some files, each given to `parse`; those it answers None to are left out.

    Args:
        shape: What `parse` returns, followed by POSITION.

    Raises:
        InputError: A file is called something that Spark cannot read.
    """
    read = spark.read.text(list(map(path_of, uris)), lineSep="\n")
    lines = read.select(F.col("value").cast("binary").alias("line"), *_position())

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


def path_of(uri: str) -> str:
    """A file's address as Spark takes it: for this one file, whatever its name holds.

    Raises:
        InputError: There is a colon in a local file's name, or beside what has to be escaped: Hadoop takes what stands
            before it for a scheme.
    """
    path = _PATTERN.sub(r"\\\1", uri)
    scheme, _, below = uri.partition("://")
    name = below.rpartition("/")[2] if scheme == "file" else ""
    if ":" in (below if path != uri else name):
        raise InputError(f"{uri} has a colon in its name, which Spark cannot read here; rename it")
    return path


def _position() -> list[Column]:
    """POSITION of the rows of a file source, as they are read. Spark writes a name as it stands in a URI."""
    name = F.col("_metadata.file_name")
    plain_name = F.url_decode(F.replace(name, F.lit("+"), F.lit("%2B")))
    return [
        F.when(name.contains("%"), plain_name).otherwise(name).alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("row"),
    ]


def arrow_schema(shape: T.StructType) -> pa.Schema:
    """A shape of Spark's as Arrow has it."""
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(shape)
