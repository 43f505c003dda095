"""Pairs of a user and an item, as CSV: the user-item mapping, and the items that single users do not get."""

from __future__ import annotations

import csv
import functools
import io
from collections import defaultdict
from collections.abc import Iterable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name
from pyspark.sql import types as T  # noqa: N812

from connectors.contract import layout
from connectors.contract.storage import Entry, Storage
from glue_jobs.errors import ConfigError, NoInputError
from glue_jobs.sources import input_folder, position, readable_files, unpacked

_COLUMNS = ("USER_ID", "ITEM_ID")
_RANK = "RANK"
_CORRUPT = "_corrupt_record"
_ENDINGS = (".csv", ".csv.gz")


def read_mapping(spark: SparkSession, storage: Storage) -> DataFrame:
    """The user-item mapping, which says which users are served by the recommendations for which items: PAIRS.

    Raises:
        NoInputError: There is no mapping file.
        ConfigError: A file lacks a column.
    """
    keys = [file.key for file in readable_files(storage, layout.MAPPING, _ENDINGS)]
    if not keys:
        raise NoInputError(f"{storage.root}/{layout.MAPPING} holds no .csv file; put USER_ID,ITEM_ID rows there")
    return _read_pairs(spark, storage, keys, ranked=True)


def find_exclusions(address: str, job_folder: Storage) -> tuple[Storage, list[Entry]]:
    """The files that say which items single users do not get.

    Args:
        address: A folder, or one file, by its ending. Relative to the job folder where that is local.

    Returns:
        The storage they lie in, and what its listing says of them.

    Raises:
        InputError: A file is packed otherwise than its name says.
        NoInputError: There is none: whoever names them wants to be sure that they are heeded.
    """
    setting, name = "recommendations.excludeItems", address.rpartition("/")[2]
    is_file = name.endswith(_ENDINGS)
    storage = input_folder(address.removesuffix(name) if is_file else address, job_folder, setting)
    files = readable_files(storage, "", (name,) if is_file else _ENDINGS)
    files = [file for file in files if not is_file or file.key == name]
    if not files:
        raise NoInputError(f"{setting} is {address!r}, and there is no .csv file; put USER_ID,ITEM_ID rows there")
    return storage, files


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
        by_header[_header(storage, key)].append(storage.uri(key))
    frames = [_read_csv(spark, header, uris, ranked=ranked) for header, uris in sorted(by_header.items())]
    return functools.reduce(DataFrame.unionByName, frames)


def _header(storage: Storage, key: str) -> tuple[str, ...]:
    with unpacked(storage, key) as stream:
        first = stream.readline().decode("utf-8-sig", "replace")
    header = tuple(name.strip() for name in next(csv.reader(io.StringIO(first)), []))
    for name in _COLUMNS:
        if header.count(name) != 1:
            raise ConfigError(f"{storage.root}/{key} should have a header with one {name}; its columns are {header}")
    return header


def _read_csv(spark: SparkSession, header: tuple[str, ...], uris: list[str], *, ranked: bool) -> DataFrame:
    """Files of one header. Columns are read by their place in it, so two spare ones may share a name."""
    columns = [f"_{place}" for place in range(len(header))]
    schema = T.StructType([T.StructField(name, T.StringType()) for name in [*columns, _CORRUPT]])
    rows = spark.read.csv(
        uris, schema, header=True, multiLine=True, quote='"', escape='"', columnNameOfCorruptRecord=_CORRUPT
    )
    user, item = (F.trim(F.col(columns[header.index(name)])) for name in _COLUMNS)
    rank_text = F.col(columns[header.index(_RANK)]) if ranked and _RANK in header else F.lit(None)
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
