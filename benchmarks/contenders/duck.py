"""DuckDB: the records in one SQL statement, by unnest, join and list."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb

from benchmarks.jobs import FIELDS, METADATA, newest_batch

_LINES = "{input: 'STRUCT(userId VARCHAR)', output: 'STRUCT(recommendedItems VARCHAR[])'}"
_TYPES = {"price": "DOUBLE", "current_stock": "BIGINT"}


def run(job: Path, out: Path) -> None:
    """Write the records of a user_personalization job."""
    with duckdb.connect() as database:
        database.execute(f"SET threads = {os.cpu_count()}")
        database.execute(f"SET temp_directory = '{out / 'spilled'}'")
        database.execute(_statement(job, out))


def _statement(job: Path, out: Path) -> str:
    columns = ", ".join(f"{name}: '{_TYPES.get(name, 'VARCHAR')}'" for name in ("id", *FIELDS))
    shown = ", ".join(f"{name}: m.{name}" for name in FIELDS)
    return f"""
        COPY (
            SELECT userId, 'upsert' AS op, list({{itemId: itemId, {shown}}} ORDER BY rank) AS recommendations
            FROM (
                SELECT
                    input.userId AS userId,
                    unnest(output.recommendedItems) AS itemId,
                    generate_subscripts(output.recommendedItems, 1) AS rank
                FROM read_json('{newest_batch(job)}', format = 'newline_delimited', columns = {_LINES})
            )
            LEFT JOIN read_json('{job / METADATA}', format = 'newline_delimited', columns = {{{columns}}}) AS m
                ON m.id = itemId
            GROUP BY userId
        ) TO '{out / "part-0.jsonl.gz"}' (FORMAT json, COMPRESSION gzip)
    """  # noqa: S608 - paths and names of our own


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
