"""The user-item mapping: which users are served by the recommendations for which items."""

from __future__ import annotations

import csv
import functools
import io
from collections import defaultdict

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name
from pyspark.sql import types as T  # noqa: N812

from connectors.contract import layout
from connectors.contract.storage import Storage
from glue_jobs.errors import ConfigError, NoInputError
from glue_jobs.sources import position, readable_files, unpacked

_COLUMNS = ("USER_ID", "ITEM_ID")
_CORRUPT = "_corrupt_record"


def read_mapping(spark: SparkSession, storage: Storage) -> DataFrame:
    """The user-item mapping: userId, itemId, rank (long, nullable), text (of a row that is broken), POSITION.

    Columns are found by name. Each file's header is read first and files of one header read together, since
    Spark matches the columns of a given schema by place and would swap the ids of a file with another order in
    silence.

    Raises:
        NoInputError: There is no mapping file.
        ConfigError: A file lacks a column.
    """
    by_header: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in readable_files(storage, layout.MAPPING, (".csv", ".csv.gz")):
        by_header[_header(storage, file.key)].append(storage.uri(file.key))
    if not by_header:
        raise NoInputError(f"{storage.root}/{layout.MAPPING} holds no .csv file; put USER_ID,ITEM_ID rows there")
    frames = [_read_csv(spark, header, uris) for header, uris in sorted(by_header.items())]
    return functools.reduce(DataFrame.unionByName, frames)


def _header(storage: Storage, key: str) -> tuple[str, ...]:
    with unpacked(storage, key) as stream:
        first = stream.readline().decode("utf-8-sig", "replace")
    header = tuple(name.strip() for name in next(csv.reader(io.StringIO(first)), []))
    for name in _COLUMNS:
        if header.count(name) != 1:
            raise ConfigError(f"{storage.root}/{key} should have a header with one {name}; its columns are {header}")
    return header


def _read_csv(spark: SparkSession, header: tuple[str, ...], uris: list[str]) -> DataFrame:
    """Files of one header. Columns are read by their place in it, so two spare ones may share a name."""
    columns = [f"_{place}" for place in range(len(header))]
    schema = T.StructType([T.StructField(name, T.StringType()) for name in [*columns, _CORRUPT]])
    rows = spark.read.csv(
        uris, schema, header=True, multiLine=True, quote='"', escape='"', columnNameOfCorruptRecord=_CORRUPT
    )
    user, item = (F.trim(F.col(columns[header.index(name)])) for name in _COLUMNS)
    rank_text = F.col(columns[header.index("RANK")]) if "RANK" in header else F.lit(None)
    rank = rank_text.cast("long")
    is_id = [F.coalesce((column != "") & ~column.contains("\ufffd"), F.lit(False)) for column in (user, item)]
    is_ranked = rank_text.isNull() | rank.isNotNull()
    is_good = is_id[0] & is_id[1] & is_ranked & F.col(_CORRUPT).isNull()
    text = F.coalesce(F.col(_CORRUPT), F.concat_ws(",", *columns))
    return rows.select(
        F.when(is_good, user).alias("userId"),
        F.when(is_good, item).alias("itemId"),
        F.when(is_good, rank).alias("rank"),
        F.when(~is_good, text).alias("text"),
        *position(),
    )
