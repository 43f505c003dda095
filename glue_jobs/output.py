"""The one pass that writes everything a run leaves.

Rows arrive sorted by user (MEETING). A task takes them one user after the other, has a `Teller` decide, and
writes his record and his row of the next snapshot. Figures are counted here, where each line and user is
seen exactly once; only those of attempts that won reach the driver.

Clears stand in parts of their own, with two versions of their users' rows: whether they may be sent is only
known when every line was seen, and then the driver takes one version or the other.
"""

from __future__ import annotations

import functools
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Any, TypeAlias

import pyarrow as pa
from pyspark import Broadcast, TaskContext
from pyspark.sql import DataFrame

from connectors.contract import layout
from connectors.contract.manifest import PartFile
from connectors.contract.storage import Storage
from glue_jobs import story as stories
from glue_jobs.batch_lines import REPEATED_KEY
from glue_jobs.collecting import collect_rarely
from glue_jobs.columns import plain
from glue_jobs.decorate import Catalogue
from glue_jobs.delta import Told, Verdict
from glue_jobs.meeting import Meeting, of_told, unpacked
from glue_jobs.parting import name_of
from glue_jobs.schemas import WRITTEN
from glue_jobs.snapshot import read_parted
from glue_jobs.story import Narrator, Story
from glue_jobs.tell import Teller, Telling, TellPlan, figure_names
from glue_jobs.writers import Files, LinesWriter, PartWriter, SnapshotWriter, add_digests

# A user, and all that is said of him.
_User: TypeAlias = tuple[str, list[Meeting]]
# Users that are told at a time. Each time all items are put into a table to look theirs up in: fewer would cost more.
USERS_AT_ONCE = 4_000
# A row that is counted by itself → its figure.
_FIGURE_OF_LINE = {"failed": "linesFailed", "broken": "linesBroken", "duplicate": "linesDuplicate"}
_FIGURE_OF_PAIR = {
    "unmatched": "mappingRowsUnmatched",
    "mappingBroken": "mappingRowsBroken",
    "excludeBroken": "excludeRowsBroken",
}
# A row that is no line of the batch → the figure that it was read counts under.
_READ_OF_PAIR = dict.fromkeys(("list", "failed", "broken", "unmatched", "mappingBroken"), "mappingRowsRead")
_READ_OF_PAIR |= dict.fromkeys(("excluded", "excludeBroken"), "excludeRowsRead")


@dataclass(frozen=True)
class WritePlan:
    """Where a writing task writes, and what it keeps. Travels to the workers.

    Attributes:
        saves_failed_lines: Whether lines that the recommender failed are kept under errors/.
        alias_key: What users are named by in the run's story.
        keeps_rows: Whether it leaves a snapshot; a trial leaves none.
        parts: How many tasks there are.
        told: Part → the files of the committed snapshot with its users, where a task reads these itself.
    """

    storage: Storage
    connector: str
    run_id: str
    saves_failed_lines: bool
    tell: TellPlan
    alias_key: bytes
    keeps_rows: bool = True
    parts: int = 1
    told: Mapping[int, Sequence[PartFile]] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """What the tasks of a run wrote.

    Attributes:
        told: Upserts and holdouts, and the rows of everyone but those to be cleared.
        clears: Clears, and their users' rows once these are sent.
        withheld: The same users' rows as they were: taken in place of `clears` when none may be sent.
        story: Of whatever is taken: clears that are withheld stand in none.
        why_broken: Why one of the batch's unreadable lines is; empty where there is none.
    """

    told: Files
    clears: Files
    withheld: Files
    counts: Counter[str]
    story: Story = field(default_factory=Story)
    why_broken: str = ""

    def settled(self) -> tuple[Files, dict[str, int]]:
        """What of it is committed, and the figures."""
        counts = Counter(self.counts)
        is_clean = _is_clean(counts)
        taken = self.clears if is_clean else self.withheld
        if not is_clean:
            counts["clearsWithheld"] = counts.pop(Verdict.CLEARED, 0)
            counts["records"] -= counts["clearsWithheld"]
            counts["clearedAgain"] = 0
        files = Files(
            sorted([*self.told.parts, *taken.parts], key=lambda file: file.key),
            sorted([*self.told.snapshot, *taken.snapshot], key=lambda file: file.key),
            add_digests([self.told.digest, taken.digest]),
        )
        return files, {name: counts[name] for name in _figure_names()}


def write(meetings: DataFrame, plan: WritePlan, catalogue: Catalogue) -> Written:
    """Write parts, snapshot and saved lines of a run; nothing of it is visible yet.

    Args:
        meetings: MEETING rows; all rows of a user are neighbours in one partition, in the order of users' ids.
    """
    # Once for each worker, not for each task: after an outage the plan names everyone whom nothing reached.
    shared = meetings.sparkSession.sparkContext.broadcast((plan, catalogue))
    task = functools.partial(_write_partition, shared=shared)
    rows, reports = meetings.mapInArrow(task, WRITTEN).collect(), dict[int, dict[str, Any]]()
    while rows:  # of thousands of tasks the texts are not all kept beside what they say
        row = rows.pop()
        reports[row.part] = json.loads(row.json)
    if unread := plan.told.keys() - reports.keys():
        raise RuntimeError(f"no task looked after part(s) {sorted(unread)} of the snapshot; nothing is committed")
    return together(reports.values())


def together(reports: Iterable[dict[str, Any]]) -> Written:
    """The reports of all tasks as one."""
    reports = list(reports)
    told, clears, withheld = ([report[name] for report in reports] for name in ("told", "clears", "withheld"))
    counts = sum((Counter(report["counts"]) for report in reports), Counter[str]())
    taken = clears if _is_clean(counts) else withheld
    story = stories.together([report["story"] for report in (*told, *taken)])
    why_broken = next((why for report in reports if (why := report["whyBroken"])), "")
    return Written(_joined(told), _joined(clears), _joined(withheld), counts, story, why_broken)


def _is_clean(counts: Counter[str]) -> bool:
    """Whether clears may be sent: a batch or mapping line that cannot be read may be of a user who seems gone."""
    return not counts["linesBroken"] and not counts["mappingRowsBroken"]


def _joined(reports: list[dict[str, Any]]) -> Files:
    return Files(
        [PartFile.model_validate(file) for report in reports for file in report["parts"]],
        [PartFile.model_validate(file) for report in reports for file in report["snapshot"]],
        add_digests([report["digest"] for report in reports]),
    )


def _write_partition(
    batches: Iterable[pa.RecordBatch], shared: Broadcast[tuple[WritePlan, Catalogue]]
) -> Iterator[pa.RecordBatch]:
    plan, catalogue = shared.value
    collect_rarely()
    context = TaskContext.get()
    part, attempt = (context.partitionId(), context.taskAttemptId()) if context else (0, 0)
    told = read_parted(plan.storage, plan.told.get(part, ()))
    report = write_users(rows_of(batches), plan, catalogue, told=told, name=name_of(part, attempt))
    yield pa.RecordBatch.from_pydict({"part": [part], "json": [json.dumps(report)]})


def rows_of(batches: Iterable[pa.RecordBatch]) -> Iterator[Meeting]:
    """The MEETING rows of some batches, one by one."""
    for batch in batches:
        yield from unpacked(zip(*map(plain, batch.columns), strict=True))


def write_users(
    rows: Iterable[Meeting], plan: WritePlan, catalogue: Catalogue, *, told: Iterable[tuple[str, Told]] = (), name: str
) -> dict[str, Any]:
    """Take users one after the other, and write what each is to be told.

    Args:
        rows: In the order of users' ids, those of nobody first; all of a user in the order of his items.
        told: Users of the snapshot, in the same order, where `rows` does not hold them.
        name: Unique to this attempt of this task.

    Returns:
        What was written, for `together`.

    Raises:
        RuntimeError: Rows are in another order; someone might be told twice.
    """
    task = _Task(plan, catalogue, name)
    users = _each_once(_with_told(told, _by_user(map(task.count_line, rows))))
    while some := list(islice(users, USERS_AT_ONCE)):
        task.tell(some)
    return task.close()


def _by_user(rows: Iterable[Meeting]) -> Iterator[_User]:
    """Neighbours of one user together. Rows of nobody are used up."""
    for user_id, his in groupby(rows, key=attrgetter("user_id")):
        if user_id is None:
            deque(his, maxlen=0)
        else:
            yield user_id, list(his)


def _with_told(told: Iterable[tuple[str, Told]], users: Iterable[_User]) -> Iterator[_User]:
    """Users of today and users told before, each once, in the order of their ids, as both are."""
    rest = iter(told)
    last = next(rest, None)
    for user_id, his in users:
        while last and last[0] < user_id:
            yield last[0], [of_told(*last)]
            last = next(rest, None)
        if last and last[0] == user_id:
            his.append(of_told(*last))
            last = next(rest, None)
        yield user_id, his
    for gone in chain([last] if last else [], rest):
        yield gone[0], [of_told(*gone)]


def _each_once(users: Iterable[_User]) -> Iterator[_User]:
    """The same users, once it is sure that none comes twice."""
    before = ""
    for user_id, his in users:
        if user_id <= before:
            raise RuntimeError("rows are not in the order of users' ids; nothing is committed")
        before = user_id
        yield user_id, his


class _Files:
    """Parts, snapshot rows and story of one kind of users, being written."""

    def __init__(self, plan: WritePlan, catalogue: Catalogue, name: str):
        self.parts = PartWriter(plan.storage, lambda n: layout.part(plan.connector, plan.run_id, f"{name}-{n:03d}"))
        snapshot = layout.snapshot(plan.connector, plan.tell.version, plan.run_id)
        self.rows = SnapshotWriter(plan.storage, f"{snapshot}/{name}.parquet")
        self.narrator = Narrator(plan.alias_key, catalogue.items, plan.parts)

    def close(self) -> dict[str, Any]:
        parts, rows = self.parts.close(), self.rows.close()
        return {
            "parts": [file.model_dump(by_alias=True) for file in parts],
            "snapshot": [file.model_dump(by_alias=True) for file in rows],
            "digest": self.parts.digest,
            "story": self.narrator.report(),
        }


class _Task:
    """One writing task: the open files, and the figures."""

    def __init__(self, plan: WritePlan, catalogue: Catalogue, name: str):
        self._plan, self._teller = plan, Teller(plan.tell, catalogue)
        self._told, self._clears, self._withheld = (
            _Files(plan, catalogue, f"{name}{kind}") for kind in ("", layout.CLEARS, layout.WITHHELD)
        )
        lines = f"{plan.connector}-{name}.jsonl"
        self._errors = LinesWriter(plan.storage, f"{layout.errors(plan.run_id)}/{lines}")
        self._quarantine = LinesWriter(plan.storage, f"{layout.quarantine(plan.run_id)}/{lines}")
        self._counts: Counter[str] = Counter()
        self._why_broken = ""

    def count_line(self, row: Meeting) -> Meeting:
        """Count a line of the batch, or of the pairs of users and items, and keep it where it is of no use."""
        self._counts["linesRead"] += row.is_line
        self._counts["linesWithRepeatedKeys"] += row.is_line and row.reason == REPEATED_KEY
        figure = (_FIGURE_OF_LINE if row.is_line else _FIGURE_OF_PAIR).get(row.kind)
        if figure:
            self._counts[figure] += 1
        if not row.is_line and row.kind in _READ_OF_PAIR:
            self._counts[_READ_OF_PAIR[row.kind]] += 1
        if figure == "linesFailed" and self._plan.saves_failed_lines:
            self._errors.write((row.text or "").encode("utf-8", "replace"))
        if figure == "linesBroken":
            self._why_broken = self._why_broken or row.reason or ""
        if figure in ("linesBroken", "mappingRowsBroken", "excludeRowsBroken"):
            self._quarantine.set_aside(row.file, row.text, row.reason or _PAIR_REASON)
        return row

    def tell(self, users: Sequence[_User]) -> None:
        """Decide about some users and write what follows."""
        for (user_id, _), telling in zip(users, self._teller.tell_all(users, self._counts), strict=True):
            self._write(user_id, telling)

    def _write(self, user_id: str, telling: Telling) -> None:
        is_clear = telling.verdict is Verdict.CLEARED
        files = self._clears if is_clear else self._told
        files.narrator.note(user_id, telling)
        if telling.line is not None:
            files.parts.write(telling.line)
            self._counts["records"] += 1
        if telling.kept is not None and self._plan.keeps_rows:
            files.rows.write(user_id, telling.kept)
        if is_clear and telling.was is not None:
            self._withheld.rows.write(user_id, telling.was)

    def close(self) -> dict[str, Any]:
        """Finish the files; what `write_users` returns."""
        self._errors.close()
        self._quarantine.close()
        return {
            "told": self._told.close(),
            "clears": self._clears.close(),
            "withheld": self._withheld.close(),
            "counts": {name: count for name, count in self._counts.items() if count},
            "whyBroken": self._why_broken,
        }


_PAIR_REASON = "USER_ID or ITEM_ID is blank, RANK is no number, or the columns are not those of the header"


def _figure_names() -> Iterator[str]:
    yield from ("linesRead", "linesFailed", "linesBroken", "linesWithRepeatedKeys")
    yield from ("mappingRowsRead", "mappingRowsBroken", "mappingRowsUnmatched", "excludeRowsRead", "excludeRowsBroken")
    yield from map(str, figure_names())
    yield from ("clearsWithheld", "records")
