"""Where the Python half of our job spends its CPU: its stages on one partition, in this process, without Spark.

    python -m benchmarks.profiled JOB_FOLDER --users 10000 --profile

A stage is what a Spark worker does to the rows of a batch. One in brackets is a part of the next, measured by itself.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice, starmap
from pathlib import Path
from typing import TypeVar

import orjson
import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.jobs import METADATA, newest_batch
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.storage import open_storage
from glue_jobs import inference, output
from glue_jobs.collecting import collect_rarely
from glue_jobs.config import load_config
from glue_jobs.decorate import Catalogue
from glue_jobs.item_lines import parse_item, wanted_by
from glue_jobs.output import WritePlan
from glue_jobs.proposal import JobRun, tell_plan
from glue_jobs.schemas import BATCH_LINE, MEETING
from glue_jobs.shortlist import Shortlister
from glue_jobs.sources import to_rows
from glue_jobs.state import Committed
from glue_jobs.story import Narrator
from glue_jobs.tell import Teller
from glue_jobs.writers import PartWriter, SnapshotWriter

_SHOWN = 35
Result = TypeVar("Result")


class Watch:
    """Adds up what each stage takes.

    Attributes:
        took_s: Stage → seconds of CPU.
        profiles: Stage → where it spent them; none unless asked for.
    """

    def __init__(self, *, profiles: bool = False) -> None:
        self.took_s = defaultdict[str, float](float)
        self.profiles = defaultdict[str, cProfile.Profile](cProfile.Profile)
        self._is_profiled = profiles

    def __call__(self, stage: str, work: Callable[[], Result]) -> Result:
        """Do some work of a stage."""
        began_s = time.process_time()
        result = self.profiles[stage].runcall(work) if self._is_profiled else work()
        self.took_s[stage] += time.process_time() - began_s
        return result


def full_run(job: Path, users: int, watch: Watch) -> None:
    """What workers do in a full run, some users at a time."""
    with newest_batch(job).open("rb") as stream, tempfile.TemporaryDirectory() as folder:
        worker = _Worker(_plan(job, LocalStorage(Path(folder))), _catalogue(job), watch)
        lines = islice(stream, users)
        while some := list(islice(lines, output.USERS_AT_ONCE)):
            worker.take(some)
        worker.close()


class _Worker:
    def __init__(self, plan: WritePlan, catalogue: Catalogue, watch: Watch) -> None:
        self._watch, self._shape, self._counts = watch, to_arrow_schema(BATCH_LINE), Counter[str]()
        self._shortlister, self._teller = Shortlister(plan.tell.lists, catalogue), Teller(plan.tell, catalogue)
        self._parts = PartWriter(plan.storage, lambda number: f"part-{number}")
        self._snapshot = SnapshotWriter(plan.storage, "snapshot")
        self._narrator = Narrator(plan.alias_key, catalogue.items)

    def take(self, lines: list[bytes]) -> None:
        watch = self._watch
        watch("(JSON alone)", lambda: _use_up(map(orjson.loads, lines)))
        read = watch("parse lines", lambda: list(_parsed(lines, self._shape)))
        meetings = [_as_meetings(batch) for batch in read]
        rows = watch("rows from Arrow", lambda: list(output.rows_of(meetings)))
        users = [(row.user_id, [row]) for row in rows if row.user_id]
        watch("(lists)", lambda: _use_up(self._shortlister.shortlists((his for _, his in users), self._counts)))
        tellings = watch("lists, decisions", lambda: list(self._teller.tell_all(users, self._counts)))
        told = list(zip((user_id for user_id, _ in users), tellings, strict=True))
        watch("records packed", lambda: _use_up(map(self._parts.write, (one.line for _, one in told if one.line))))
        kept = [(user_id, one.kept) for user_id, one in told if one.kept]
        watch("snapshot", lambda: _use_up(starmap(self._snapshot.write, kept)))
        watch("story", lambda: _use_up(starmap(self._narrator.note, told)))

    def close(self) -> None:
        self._watch("records packed", self._parts.close)
        self._watch("snapshot", self._snapshot.close)
        self._watch("story", self._narrator.report)


def _use_up(things: Iterable[object]) -> None:
    deque(things, maxlen=0)


def _parsed(lines: list[bytes], shape: pa.Schema) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([("line", pa.binary()), ("file", pa.string()), ("block", pa.int64()), ("row", pa.int64())])
    columns = [lines, ["job_config.json.out"] * len(lines), [0] * len(lines), list(range(len(lines)))]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    return to_rows([batch], partial(inference.batch_row, key_name="userId", keeps_scores=False), shape)


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
    wanted = wanted_by(load_config(open_storage(str(job))), "braze")
    with (job / METADATA).open("rb") as lines:
        items = [item for line in lines if (item := parse_item(line, wanted))]
    return wanted.catalogue({item.item_id: item.piece for item in items})


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
    collect_rarely()
    watch = Watch(profiles=given.profile)
    full_run(given.job.absolute(), given.users, watch)
    for stage, took_s in watch.took_s.items():
        sys.stdout.write(f"{stage:16} {took_s * 1e6 / given.users:7.1f} us a user\n")
        if stage in watch.profiles:
            pstats.Stats(watch.profiles[stage], stream=sys.stdout).sort_stats("tottime").print_stats(_SHOWN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
