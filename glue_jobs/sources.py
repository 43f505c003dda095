"""What a run reads: batch inference, the user-item mapping, item metadata. Nothing is guessed.

Lines are parsed in Python, one at a time, since Spark's own JSON reader is kinder than we can afford: it
keeps the first of two objects on a line and drops the second, turns long ids into other numbers, and
repairs invalid UTF-8 in silence.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name
from pyspark.sql import types as T  # noqa: N812

from connectors.contract import layout
from connectors.contract.storage import LocalStorage, Storage, open_storage
from glue_jobs.errors import ConfigError, NoInputError
from glue_jobs.schemas import BATCH_LINE

# Source: "Maintaining Personalized Experiences with Machine Learning" v1.4.5: a job's folder is
# batch_<solution>_<UTC time>; its README leaves the first word out.
_BATCH_JOB = re.compile(r"(?:batch_)?.+_(\d{4}(?:_\d{2}){5})")
_MAPPING_COLUMNS = ("USER_ID", "ITEM_ID")


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One line of batch inference.

    Attributes:
        kind: ``good``, ``failed`` (the recommender says so) or ``broken`` (unreadable).
        key: The user or item it answers for; None when the line does not say.
        scores: One a recommended item, or None.
        reason: Why it is failed or broken.
    """

    kind: str
    key: str | None = None
    item_ids: list[str] | None = None
    scores: list[float] | None = None
    reason: str | None = None


def parse_batch_line(line: bytes, key_name: str) -> BatchLine | None:
    """One line of batch inference, read strictly; None when it is blank.

    Ids become text, digit by digit: 00105 and 105 are different items, and no id is too long.

    Args:
        line: The line, with or without its end.
        key_name: ``userId`` or ``itemId``: what `input` names the one it answers for by.
    """
    try:
        text = line.decode("utf-8").removeprefix("\ufeff").strip()
        if not text:
            return None
        data = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        return BatchLine("broken", reason=f"not a JSON line in UTF-8: {error}")
    if not isinstance(data, dict):
        return BatchLine("broken", reason="not a JSON object")
    query = data.get("input")
    key = query.get(key_name) if isinstance(query, dict) else None
    if not isinstance(key, str) or not key:
        return BatchLine("broken", reason=f"input.{key_name} is missing")
    return _answer(key, data)


def _answer(key: str, data: dict[str, Any]) -> BatchLine:
    """A line is good when its output holds a list; an empty list is a good answer."""
    output = data.get("output")
    if output is None:
        error = data.get("error")
        return BatchLine("failed", key, reason=error if isinstance(error, str) else json.dumps(error))
    items = output.get("recommendedItems") if isinstance(output, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
        return BatchLine("broken", key, reason="output.recommendedItems is not a list of ids")
    return BatchLine("good", key, items, _scores(output.get("scores"), len(items)))


def _scores(raw: Any, length: int) -> list[float] | None:
    """The scores, where there is a number for each item."""
    if not isinstance(raw, list) or len(raw) != length:
        return None
    try:
        scores = [float(score) for score in raw]
    except (TypeError, ValueError):
        return None
    return scores if all(map(math.isfinite, scores)) else None


def find_batch(address: str, job_folder: Storage) -> tuple[Storage, list[str]]:
    """The finished output files of a batch inference job.

    Args:
        address: The folder of one job, or of a solution: then its newest job that has finished output.
            Relative to the job folder where that is local.

    Returns:
        The storage they lie in, and their keys.

    Raises:
        NoInputError: No file ends in ``.out``: the job failed or is still running.
    """
    storage = _batch_storage(address, job_folder)
    finished: dict[str, list[str]] = defaultdict(list)
    for entry in storage.list():
        if entry.key.endswith(".out") and not entry.key.rpartition("/")[2].startswith("_"):
            finished[entry.key.rpartition("/")[0]].append(entry.key)
    if finished.get(""):
        return storage, finished[""]
    jobs = {folder: match[1] for folder in finished if (match := _BATCH_JOB.fullmatch(folder))}
    if not jobs:
        raise NoInputError(
            f"{storage.root} holds no finished batch inference: no file ends in .out, here or in a job's folder"
        )
    newest = max(jobs, key=lambda folder: (jobs[folder], folder))
    return storage, finished[newest]


def _batch_storage(address: str, job_folder: Storage) -> Storage:
    is_relative = not address.startswith("s3://") and not Path(address).is_absolute()
    if not is_relative:
        return open_storage(address)
    if not isinstance(job_folder, LocalStorage):
        raise ConfigError(f"batchInferencePath is {address!r}; beside a job folder on S3 it should start with s3://")
    try:
        return open_storage(f"{job_folder.root}/{layout.check_key(address.rstrip('/'))}")
    except layout.LayoutError as error:
        raise ConfigError(f"batchInferencePath: {error}") from error


def read_batch(spark: SparkSession, uris: Sequence[str], key_name: str) -> DataFrame:
    """Every line of the batch that is not blank, as BATCH_LINE."""

    def parse(line: bytes) -> tuple[Any, ...] | None:
        read = parse_batch_line(line, key_name)
        if read is None:
            return None
        text = None if read.kind == "good" else shown(line)
        return (read.kind, read.key, read.item_ids, read.scores, text, read.reason)

    return parsed_lines(spark, uris, parse, BATCH_LINE)


def parsed_lines(
    spark: SparkSession, uris: Sequence[str], parse: Callable[[bytes], tuple[Any, ...] | None], shape: T.StructType
) -> DataFrame:
    """The lines of some files, each given to `parse`; those it answers None to are left out.

    Args:
        shape: What `parse` returns, followed by POSITION.
    """
    lines = spark.read.text(list(uris), lineSep="\n").select(F.col("value").cast("binary").alias("line"), *_position())

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        schema = _arrow(shape)
        for batch in batches:
            columns = [column.to_pylist() for column in batch.columns]
            read = [(*row, *where) for line, *where in zip(*columns, strict=True) if (row := parse(line)) is not None]
            yield pa.RecordBatch.from_arrays(
                [pa.array(column, field.type) for column, field in zip(zip(*read, strict=True), schema, strict=True)]
                if read
                else [pa.array([], field.type) for field in schema],
                schema=schema,
            )

    return lines.mapInArrow(rows, shape)


def read_mapping(spark: SparkSession, storage: Storage) -> DataFrame:
    """The user-item mapping: userId, itemId, rank (long, nullable), POSITION. Columns are found by name.

    Each file's header is read first and files of one header read together, since Spark matches the columns
    of a given schema by place and would swap the ids of a file with another order in silence.

    Raises:
        NoInputError: There is no mapping file.
        ConfigError: A file lacks a column.
    """
    by_header: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for entry in storage.list(layout.MAPPING):
        if entry.key.endswith(".csv") and not entry.key.rpartition("/")[2].startswith("_"):
            by_header[_header(storage, entry.key)].append(storage.uri(entry.key))
    if not by_header:
        raise NoInputError(f"{storage.root}/{layout.MAPPING} holds no .csv file; put USER_ID,ITEM_ID rows there")
    frames = [_read_csv(spark, header, uris) for header, uris in sorted(by_header.items())]
    mapping = frames[0]
    for frame in frames[1:]:
        mapping = mapping.unionByName(frame)
    return mapping


def _header(storage: Storage, key: str) -> tuple[str, ...]:
    with storage.open(key) as stream:
        first = stream.readline().decode("utf-8-sig")
    header = tuple(name.strip() for name in next(csv.reader(io.StringIO(first)), []))
    for name in _MAPPING_COLUMNS:
        if header.count(name) != 1:
            raise ConfigError(f"{storage.root}/{key} should have a header with one {name}; its columns are {header}")
    return header


def _read_csv(spark: SparkSession, header: tuple[str, ...], uris: list[str]) -> DataFrame:
    schema = T.StructType([T.StructField(name, T.StringType()) for name in header])
    rows = spark.read.csv(uris, schema=schema, header=True, multiLine=True, quote='"', escape='"')
    rank = F.col("RANK").cast("long") if "RANK" in header else F.lit(None).cast("long")
    ids = [F.trim(F.col(name)) for name in _MAPPING_COLUMNS]
    return rows.select(ids[0].alias("userId"), ids[1].alias("itemId"), rank.alias("rank"), *_position()).where(
        (F.col("userId") != "") & (F.col("itemId") != "")
    )


def _position() -> list[Column]:
    """POSITION of the rows of a file source, as they are read."""
    return [
        F.col("_metadata.file_name").alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("row"),
    ]


def shown(line: bytes) -> str:
    """A line as a person may read it: what is no UTF-8 stands as U+FFFD."""
    return line.decode("utf-8", "replace").rstrip("\r\n")


def _arrow(shape: T.StructType) -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(shape)
