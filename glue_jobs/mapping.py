"""Pairs of a user and an item as rows of Spark: the user-item mapping, and the items that single users do not get."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from connectors.contract import layout
from connectors.contract.storage import Entry, Storage, at_once
from glue_jobs.collecting import collect_rarely
from glue_jobs.errors import NoInputError
from glue_jobs.lines import place_of, plain_bytes, readable_files
from glue_jobs.pairs import ENDINGS, header_of, rows_of
from glue_jobs.schemas import PAIRS
from glue_jobs.sources import arrow_schema

# Small files are read by one task together, until they hold this much.
_TASK_BYTES = 4 * 1024 * 1024


def read_mapping(spark: SparkSession, storage: Storage) -> DataFrame:
    """The user-item mapping, which says which users are served by the recommendations for which items: PAIRS.

    Raises:
        NoInputError: There is no mapping file, or all are empty.
        ConfigError: A file lacks a column.
        InputError: A file's first line is no header.
    """
    files = readable_files(storage, layout.MAPPING, ENDINGS)
    if not files:
        raise NoInputError(f"{storage.root}/{layout.MAPPING} holds no .csv file; put USER_ID,ITEM_ID rows there")
    return _read_pairs(spark, storage, files, ranked=True)


def read_exclusions(spark: SparkSession, storage: Storage, files: Iterable[Entry]) -> DataFrame:
    """The items that single users do not get: PAIRS, without rank.

    Raises:
        NoInputError: All files are empty.
        ConfigError: A file lacks a column.
        InputError: A file's first line is no header.
    """
    return _read_pairs(spark, storage, files, ranked=False)


def _read_pairs(spark: SparkSession, storage: Storage, files: Iterable[Entry], *, ranked: bool) -> DataFrame:
    """PAIRS, as `pairs.rows_of` reads them. A file is read by one task: a line end may stand in quotes."""
    in_order = sorted(files, key=lambda file: place_of(file.key))
    _check_headers(storage, [file.key for file in in_order])
    tasks, schema = list(_shared_out(in_order)), arrow_schema(PAIRS)

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        collect_rarely()
        for task in (number for batch in batches for number in batch.column(0).to_pylist()):
            for place, key in tasks[task]:
                yield from _batches(storage, place, key, schema, ranked=ranked)

    return spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(rows, PAIRS)


def _check_headers(storage: Storage, keys: Sequence[str]) -> None:
    """Every file has its columns or is empty, and one is not."""
    headers = list(at_once(functools.partial(header_of, storage), keys))
    if not any(headers):
        raise NoInputError(
            f"{storage.root}/{keys[0]} is empty, and no other file there has a line; put USER_ID,ITEM_ID rows there"
        )


def _shared_out(files: Iterable[Entry]) -> Iterator[Sequence[tuple[int, str]]]:
    """What each task reads, as (place among all files, key)."""
    some, size = list[tuple[int, str]](), 0
    for place, file in enumerate(files):
        some.append((place, file.key))
        size += plain_bytes([file])
        if size >= _TASK_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _batches(storage: Storage, place: int, key: str, schema: pa.Schema, *, ranked: bool) -> Iterator[pa.RecordBatch]:
    """A file's rows as PAIRS."""
    name = key.rpartition("/")[2]
    for *pairs, lines in rows_of(storage, key, ranked=ranked):
        columns = (*pairs, [name] * len(lines), [place] * len(lines), lines)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
