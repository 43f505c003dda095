"""Polars: the records in one lazy query, by explode, join and group_by, on its streaming engine."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from benchmarks.jobs import FIELDS, METADATA, newest_batch

_LINES = {"input": pl.Struct({"userId": pl.String}), "output": pl.Struct({"recommendedItems": pl.List(pl.String)})}
_TYPES: dict[str, type[pl.DataType]] = {"price": pl.Float64, "current_stock": pl.Int64}


def run(job: Path, out: Path) -> None:
    """Write the records of a user_personalization job."""
    items = pl.scan_ndjson(job / METADATA, schema={name: _TYPES.get(name, pl.String) for name in ("id", *FIELDS)})
    listed = pl.struct(pl.col("itemId"), *FIELDS).sort_by("rank").alias("recommendations")
    records = (
        pl.scan_ndjson(newest_batch(job), schema=_LINES)
        .select(
            pl.col("input").struct.field("userId"),
            pl.col("output").struct.field("recommendedItems").alias("itemId"),
        )
        .filter(pl.col("itemId").list.len() > 0)
        .with_columns(pl.int_ranges(pl.col("itemId").list.len()).alias("rank"))
        .explode("itemId", "rank")
        .join(items, left_on="itemId", right_on="id", how="left")
        .group_by("userId")
        .agg(listed)
        .select("userId", pl.lit("upsert").alias("op"), "recommendations")
    )
    records.sink_ndjson(out / "part-0.jsonl.gz", compression="gzip", engine="streaming")


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
