"""Pairs of a user and an item as rows of Spark: the user-item mapping, and the items that single users do not get."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name
from pyspark.sql import types as T  # noqa: N812

from connectors.contract import layout
from connectors.contract.storage import Storage
from glue_jobs.errors import NoInputError
from glue_jobs.lines import readable_files
from glue_jobs.pairs import COLUMNS, ENDINGS, RANK, header_of
from glue_jobs.sources import position

_CORRUPT = "_corrupt_record"


def read_mapping(spark: SparkSession, storage: Storage) -> DataFrame:
    """The user-item mapping, which says which users are served by the recommendations for which items: PAIRS.

    Raises:
        NoInputError: There is no mapping file.
        ConfigError: A file lacks a column.
    """
    keys = [file.key for file in readable_files(storage, layout.MAPPING, ENDINGS)]
    if not keys:
        raise NoInputError(f"{storage.root}/{layout.MAPPING} holds no .csv file; put USER_ID,ITEM_ID rows there")
    return _read_pairs(spark, storage, keys, ranked=True)


def read_exclusions(spark: SparkSession, storage: Storage, keys: Iterable[str]) -> DataFrame:
    """The items that single users do not get: PAIRS, without rank.

    Raises:
        ConfigError: A file lacks a column.
    """
    return _read_pairs(spark, storage, keys, ranked=False)


def _read_pairs(spark: SparkSession, storage: Storage, keys: Iterable[str], *, ranked: bool) -> DataFrame:
    """PAIRS: userId, itemId, rank (long, nullable), text (of a row that is broken), POSITION.

    Columns are found by name. Each file's header is read first and files of one header read together, since
    Spark matches the columns of a given schema by place and would swap the ids of a file with another order in
    silence.
    """
    by_header: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key in keys:
        by_header[header_of(storage, key)].append(storage.uri(key))
    frames = [_read_csv(spark, header, uris, ranked=ranked) for header, uris in sorted(by_header.items())]
    return functools.reduce(DataFrame.unionByName, frames)


def _read_csv(spark: SparkSession, header: tuple[str, ...], uris: list[str], *, ranked: bool) -> DataFrame:
    """Files of one header. Columns are read by their place in it, so two spare ones may share a name."""
    columns = [f"_{place}" for place in range(len(header))]
    schema = T.StructType([T.StructField(name, T.StringType()) for name in [*columns, _CORRUPT]])
    rows = spark.read.csv(
        uris, schema, header=True, multiLine=True, quote='"', escape='"', columnNameOfCorruptRecord=_CORRUPT
    )
    user, item = (F.trim(F.col(columns[header.index(name)])) for name in COLUMNS)
    rank_text = F.col(columns[header.index(RANK)]) if ranked and RANK in header else F.lit(None)
    rank = rank_text.cast("long")
    is_id = [F.coalesce((column != "") & ~column.contains("\ufffd"), F.lit(False)) for column in (user, item)]
    is_ranked = rank_text.isNull() | rank.isNotNull()
    is_good = is_id[0] & is_id[1] & is_ranked & F.col(_CORRUPT).isNull()
    text = F.coalesce(F.col(_CORRUPT), F.concat_ws(",", *[F.coalesce(column, F.lit("")) for column in columns]))
    return rows.select(
        F.when(is_good, user).alias("userId"),
        F.when(is_good, item).alias("itemId"),
        F.when(is_good, rank).alias("rank"),
        F.when(~is_good, text).alias("text"),
        *position(),
    )
