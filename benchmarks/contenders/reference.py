"""The reference: the algorithm of the sample of 2022, ported to plain Spark by us.

It explodes every list, decorates every row, collects lists again in a window, keeps the longest of each user,
adds constants in Python row by row and writes gzip; a delta subtracts whole rows. Three things are not as they
were: the window is partitioned by user (by item alone it gives wrong lists), lines are read one by one with a
given schema (Spark's multi-line reader takes the first line for all of it, and a guessed schema sorts fields by
name), and the state is a folder of its own (constants are added after the comparison).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name

from benchmarks.jobs import FIELDS, METADATA, newest_batch
from cli import local_spark

_LINE = "input struct<userId: string>, output struct<recommendedItems: array<string>>"
_TYPES = {"price": "double", "current_stock": "bigint"}
_SHOWN = ", ".join(f"{name}: {_TYPES.get(name, 'string')}" for name in FIELDS)
_USER = f"userId string, recommendations array<struct<itemId: string, {_SHOWN}>>"
_RECORD = f"userId string, op string, recommendations array<struct<itemId: string, {_SHOWN}>>"


def run(job: Path, out: Path, *, state: Path | None = None, previous: Path | None = None) -> None:
    """Write the records of a user_personalization job.

    Args:
        state: Where what was found is kept for the next day's delta; None keeps nothing.
        previous: What the day before kept; None sends everyone.
    """
    os.environ.update(local_spark.environment(os.environ))
    spark = SparkSession.builder.appName("reference").getOrCreate()
    users = _users(spark, job)
    if state is not None:
        _write(users, state)
    if previous is not None:
        users = users.subtract(spark.read.schema(_USER).json(str(previous)))
        print(f"{users.count()} users changed")  # noqa: T201 - the sample logs it, and pays for it
    _write(_with_constants(spark, users), out / "records")
    spark.stop()


def _users(spark: SparkSession, job: Path) -> DataFrame:
    """One decorated list a user."""
    lines = spark.read.schema(_LINE).json(str(newest_batch(job)))
    ranked = lines.where(F.col("output").isNotNull()).select(
        "input.userId", F.posexplode("output.recommendedItems").alias("rank", "itemId")
    )
    fields = ", ".join(f"{name} {_TYPES.get(name, 'string')}" for name in ("id", *FIELDS))
    items = spark.read.schema(fields).json(str(job / METADATA)).withColumnRenamed("id", "itemId")
    in_order = Window.partitionBy("userId").orderBy("rank")
    return (
        ranked.join(items, on="itemId", how="left")
        .withColumn("recommendations", F.collect_list(F.struct("itemId", *FIELDS)).over(in_order))
        .groupBy("userId")
        .agg(F.max_by("recommendations", "rank").alias("recommendations"))
    )


def _with_constants(spark: SparkSession, users: DataFrame) -> DataFrame:
    """Every row through a function of Python, which adds what is the same for all."""

    def added(row: Row) -> Sequence[object]:
        return row["userId"], "upsert", row["recommendations"]

    return spark.createDataFrame(users.rdd.map(added), _RECORD, verifySchema=False)


def _write(rows: DataFrame, folder: Path) -> None:
    rows.write.json(str(folder), compression="gzip", ignoreNullFields=False)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contenders.reference")
    parser.add_argument("job", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--previous", type=Path)
    given = parser.parse_args()
    run(given.job, given.out, state=given.state, previous=given.previous)


if __name__ == "__main__":
    main()
