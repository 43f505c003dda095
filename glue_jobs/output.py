"""Telling each user apart: the one pass that decides, builds the records and writes everything a run leaves.

Rows arrive sorted by user (MEETING). A task takes them one user after the other: makes one list of his,
compares it with what he was told, writes a record if that is news, and his row of the next snapshot.
Figures are counted here, where each line and user is seen exactly once; only those of attempts that won
reach the driver.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark import TaskContext
from pyspark.broadcast import Broadcast
from pyspark.sql import DataFrame

from connectors.contract import layout
from connectors.contract.manifest import PartFile
from connectors.contract.storage import Storage
from glue_jobs.attribute import RankedList, merge
from glue_jobs.config import Merge
from glue_jobs.decorate import Catalogue
from glue_jobs.delta import SENT, Now, Told, Verdict, baseline, decide, remember
from glue_jobs.schemas import WRITTEN
from glue_jobs.state import Unacknowledged
from glue_jobs.writers import LinesWriter, PartWriter, SnapshotWriter, add_digests


class Meeting(NamedTuple):
    """One row of MEETING."""

    user_id: str | None
    kind: str
    is_line: bool
    rank: int | None
    file: str | None
    block: int | None
    row: int | None
    query_item_id: str | None
    item_ids: list[str] | None
    scores: list[float] | None
    text: str | None
    reason: str | None
    op: str | None
    fingerprint: int | None
    sent_in: int | None
    sent_at: datetime | None
    rejections: int | None


@dataclass(frozen=True)
class WritePlan:
    """What a writing task has to know of the run. Travels to the workers.

    Attributes:
        settings: A hash of every setting that shapes what is sent.
        saves_failed_lines: Whether lines that the recommender failed are kept under errors/.
    """

    storage: Storage
    connector: str
    run_id: str
    version: int
    at: datetime
    settings: bytes
    merge: Merge
    max_items: int | None
    checks_delta: bool
    saves_failed_lines: bool
    unacknowledged: Unacknowledged


@dataclass(frozen=True)
class Written:
    """What the tasks of a run wrote."""

    parts: list[PartFile] = field(default_factory=list)
    snapshot: list[PartFile] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    digest: str = "0"


def write(meetings: DataFrame, plan: WritePlan, catalogue: Broadcast[Catalogue]) -> Written:
    """Write parts, snapshot and saved lines of a run; nothing of it is visible yet.

    Args:
        meetings: MEETING rows; all rows of a user are neighbours in one partition.
    """
    task = functools.partial(_write_partition, plan=plan, catalogue=catalogue)
    reports = [json.loads(row.json) for row in meetings.mapInArrow(task, WRITTEN).collect()]
    return Written(
        parts=sorted(_files(reports, "parts"), key=lambda file: file.key),
        snapshot=sorted(_files(reports, "snapshot"), key=lambda file: file.key),
        counts=sum((Counter(report["counts"]) for report in reports), Counter()),
        digest=add_digests([report["digest"] for report in reports]),
    )


def _files(reports: Iterable[dict[str, Any]], kind: str) -> Iterator[PartFile]:
    return (PartFile.model_validate(file) for report in reports for file in report[kind])


def _write_partition(
    batches: Iterable[pa.RecordBatch], plan: WritePlan, catalogue: Broadcast[Catalogue]
) -> Iterator[pa.RecordBatch]:
    rows = (
        Meeting._make(row) for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
    )
    report = write_users(rows, plan, catalogue.value, name=_attempt())
    yield pa.RecordBatch.from_pydict({"kind": ["report"], "json": [json.dumps(report)]})


def _attempt() -> str:
    """A name no other attempt of any task of this run has."""
    context = TaskContext.get()
    return f"{context.partitionId():05d}-{context.taskAttemptId()}" if context else "00000-0"


def write_users(rows: Iterable[Meeting], plan: WritePlan, catalogue: Catalogue, *, name: str) -> dict[str, Any]:
    """Take users one after the other, and write what each is to be told.

    Args:
        rows: All rows of a user are neighbours, in the order of his items.
        name: Unique to this attempt of this task.

    Returns:
        What was written: ``parts``, ``snapshot``, ``counts`` and ``digest``.
    """
    task = _Task(plan, catalogue, name)
    for user_id, his in groupby(rows, key=lambda row: row.user_id):
        seen = map(task.count_line, his)
        if user_id is None:
            for _ in seen:
                pass
        else:
            task.tell(user_id, list(seen))
    return task.close()


class _Task:
    """One writing task: the open files, and the figures."""

    def __init__(self, plan: WritePlan, catalogue: Catalogue, name: str):
        self._plan, self._catalogue = plan, catalogue
        storage, connector, run_id = plan.storage, plan.connector, plan.run_id
        snapshot = layout.snapshot(connector, plan.version, run_id)
        self._parts = PartWriter(storage, lambda n: layout.part(connector, run_id, f"{name}-{n:03d}"))
        self._snapshot = SnapshotWriter(storage, f"{snapshot}/{name}.parquet")
        self._errors = LinesWriter(storage, f"{layout.errors(run_id)}/{connector}-{name}.jsonl")
        self._quarantine = LinesWriter(storage, f"{layout.quarantine(run_id)}/{connector}-{name}.jsonl")
        self._counts: Counter[str] = Counter()

    def count_line(self, row: Meeting) -> Meeting:
        """Count a line of the batch, and keep it where it is of no use."""
        if row.is_line:
            self._counts["linesRead"] += 1
            if row.kind == "failed":
                self._counts["linesFailed"] += 1
                if self._plan.saves_failed_lines:
                    self._errors.write((row.text or "").encode())
            elif row.kind == "broken":
                self._counts["linesBroken"] += 1
                kept = {"file": row.file, "text": row.text, "reason": row.reason}
                self._quarantine.write(json.dumps(kept, ensure_ascii=False).encode("utf-8", "replace"))
        elif row.kind == "unmatched":
            self._counts["mappingRowsUnmatched"] += 1
        return row

    def tell(self, user_id: str, rows: Sequence[Meeting]) -> None:
        """Decide about one user and write what follows."""
        lists = self._lists(rows)
        told = next((self._told(user_id, row) for row in rows if row.kind == "told"), None)
        has_failed = any(row.kind in ("failed", "broken") for row in rows)
        now = self._now(lists) if lists else None
        if now is None and told is None:
            self._counts["usersWithoutList"] += 1
            return
        verdict = decide(now, told, has_failed=has_failed, checks_delta=self._plan.checks_delta)
        self._counts["users"] += now is not None
        self._counts[verdict] += 1
        if verdict in SENT and now is not None:
            self._send(user_id, now, lists)
        kept = remember(verdict, now, told, version=self._plan.version, at=self._plan.at)
        if kept is not None:
            self._snapshot.write(user_id, kept)

    def close(self) -> dict[str, Any]:
        """Finish the files; what `write_users` returns."""
        self._errors.close()
        self._quarantine.close()
        return {
            "parts": [file.model_dump(by_alias=True) for file in self._parts.close()],
            "snapshot": [file.model_dump(by_alias=True) for file in self._snapshot.close()],
            "counts": dict(self._counts),
            "digest": self._parts.digest,
        }

    def _lists(self, rows: Sequence[Meeting]) -> list[RankedList]:
        """The user's lists in order. Of several lines made for the user himself the first one counts."""
        lists = [RankedList(row.item_ids or [], row.scores, row.query_item_id) for row in rows if row.kind == "list"]
        if len(lists) > 1 and lists[0].query_item_id is None:
            self._counts["linesDuplicate"] += len(lists) - 1
            return lists[:1]
        return lists

    def _now(self, lists: Sequence[RankedList]) -> Now:
        item_ids = merge(lists, self._plan.merge, self._plan.max_items)
        return Now(item_ids, self._catalogue.fingerprint(item_ids, self._plan.settings))

    def _told(self, user_id: str, row: Meeting) -> Told:
        sent_in, sent_at = row.sent_in or 0, row.sent_at or datetime.fromtimestamp(0, UTC)
        told = Told(row.op or "upsert", row.item_ids or [], row.fingerprint, sent_in, sent_at, row.rejections or 0)
        return baseline(told, is_acknowledged=not self._plan.unacknowledged.holds(user_id, sent_in))

    def _send(self, user_id: str, now: Now, lists: Sequence[RankedList]) -> None:
        queries = list(dict.fromkeys(one.query_item_id for one in lists if one.query_item_id is not None))
        self._parts.write(self._catalogue.upsert_line(user_id, now.item_ids, queries))
        self._counts["records"] += 1


def figures(counts: Counter[str]) -> dict[str, int]:
    """A run's figures by name, those that are zero too."""
    names = ["linesRead", "linesFailed", "linesBroken", "linesDuplicate", "mappingRowsUnmatched"]
    names += ["users", *Verdict, "usersWithoutList", "records"]
    return {str(name): counts[name] for name in names}
