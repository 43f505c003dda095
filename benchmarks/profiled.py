"""Where the Python half of our job spends its CPU: its stages on one partition, in this process, without Spark.

    python -m benchmarks.profiled JOB_FOLDER --users 10000 --profile

A stage is what a Spark worker does to the rows of a batch: parse lines, take rows from Arrow, tell users and write.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.jobs import METADATA, newest_batch
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.storage import open_storage
from glue_jobs import inference, output
from glue_jobs.config import load_config
from glue_jobs.decorate import Catalogue, Piece
from glue_jobs.item_lines import Wanted, parse_item
from glue_jobs.meeting import Meeting
from glue_jobs.output import WritePlan
from glue_jobs.proposal import JobRun, tell_plan
from glue_jobs.schemas import BATCH_LINE, MEETING
from glue_jobs.sources import to_rows
from glue_jobs.state import Committed

_ROWS_A_BATCH = 2_000
_SHOWN = 35
Result = TypeVar("Result")


def stages(job: Path, users: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The stages of a full run, each ready to be called once, in order."""
    with newest_batch(job).open("rb") as stream:
        lines = list(islice(stream, users))
    shape = to_arrow_schema(BATCH_LINE)
    read: list[pa.RecordBatch] = []
    rows: list[Meeting] = []
    yield "parse lines", lambda: read.extend(_parsed(lines, shape))
    meetings = [_as_meetings(batch) for batch in read]
    yield "rows from Arrow", lambda: rows.extend(output.rows_of(meetings))
    catalogue = _catalogue(job)
    with tempfile.TemporaryDirectory() as folder:
        plan = _plan(job, LocalStorage(Path(folder)))
        yield "tell and write", lambda: output.write_users(rows, plan, catalogue, name="00000-0")


def _parsed(lines: list[bytes], shape: pa.Schema) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([("line", pa.binary()), ("file", pa.string()), ("block", pa.int64()), ("row", pa.int64())])
    starts = range(0, len(lines), _ROWS_A_BATCH)
    chunks = (lines[start : start + _ROWS_A_BATCH] for start in starts)
    batches = (
        pa.RecordBatch.from_arrays(
            [chunk, ["job_config.json.out"] * len(chunk), [0] * len(chunk), list(range(len(chunk)))], schema=schema
        )
        for chunk in chunks
    )
    return to_rows(batches, partial(inference.batch_row, key_name="userId", keeps_scores=False), shape)


def _as_meetings(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Lines of a batch as MEETING, the way `attribute.users_of_lines` shapes them."""
    names = {"key": "userId"}
    found = {names.get(name, name): batch.column(name) for name in batch.schema.names}
    found |= {"isLine": pa.array([True] * batch.num_rows)}
    kinds = ["list" if kind == "good" else kind for kind in batch.column("kind").to_pylist()]
    found |= {"kind": pa.array(kinds)}
    shape = to_arrow_schema(MEETING)
    return pa.RecordBatch.from_arrays(
        [found[field.name] if field.name in found else pa.nulls(batch.num_rows, field.type) for field in shape],
        schema=shape,
    )


def _catalogue(job: Path) -> Catalogue:
    fields = load_config(open_storage(str(job))).connectors["braze"].item_fields()
    wanted = Wanted(fields)
    with (job / METADATA).open("rb") as lines:
        rows = [row for line in lines if (row := parse_item(line, wanted))]
    return Catalogue(tuple(fields), {row[1]: Piece(row[2], row[3], row[4]) for row in rows})


def _plan(job: Path, storage: LocalStorage) -> WritePlan:
    now = datetime.now(UTC)
    run_id = layout.new_run_id(now)
    config = load_config(open_storage(str(job)))
    run = JobRun(JobFolder.parse(str(job)), storage, config, now, run_id)
    return WritePlan(storage, "braze", run_id, True, tell_plan(run, "braze", Committed()), b"key")


def main() -> int:
    """Print each stage's CPU a user; with --profile also where it went."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiled", description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    for name, stage in stages(given.job.absolute(), given.users):
        profile = cProfile.Profile()
        began_s = time.process_time()
        profile.runcall(stage) if given.profile else stage()
        took_us = (time.process_time() - began_s) * 1e6 / given.users
        sys.stdout.write(f"{name:16} {took_us:7.1f} us a user\n")
        if given.profile:
            pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(_SHOWN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
