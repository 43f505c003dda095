"""One run told top to bottom: read, attribute, meet what was told before, write, commit, publish."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name

from connectors.contract import layout
from connectors.contract.aliases import alias_key
from connectors.contract.held import GuardReading, Held, InputObject, hold, let_go, newest_held
from connectors.contract.layout import JobFolder
from connectors.contract.run_record import ConnectorRecord, RunRecord, write_record
from connectors.contract.storage import Entry, Storage, open_storage
from glue_jobs import inference, item_filter, output, recording, state
from glue_jobs.approval import check_plan
from glue_jobs.attribute import (
    items_not_for_users,
    meet,
    numbered,
    unmatched_items,
    users_of_items,
    users_of_lines,
)
from glue_jobs.config import load_config
from glue_jobs.decorate import Catalogue
from glue_jobs.dry import DryStorage
from glue_jobs.errors import InputError, NoInputError, SyncError
from glue_jobs.failures import CutFileError, in_our_words
from glue_jobs.guards import RunNumbers, breached, read_guards
from glue_jobs.inputs import inputs_of, objects_of
from glue_jobs.items import SHELF_FROM_BYTES, Items, check_types, read_items
from glue_jobs.lines import cut_files, plain_bytes
from glue_jobs.mapping import read_exclusions, read_mapping
from glue_jobs.output import WritePlan
from glue_jobs.pairs import find_exclusions
from glue_jobs.parting import Parting, files_of_parts, parting_of
from glue_jobs.proposal import JobRun, Kept, Proposal, propose, tell_plan
from glue_jobs.recording import Stages
from glue_jobs.report.filing import keep
from glue_jobs.snapshot import read_snapshot
from glue_jobs.state import Committed
from glue_jobs.story import Story
from glue_jobs.writers import write_items

Report = Callable[[str], None]

# A row of the mapping brings a whole list to its user: that many times its own bytes.
_LINE_FOR_ROW = 12


@dataclass(frozen=True)
class SyncResult:
    """What a run did for one connector.

    Attributes:
        counts: The run's figures, by name.
        manifest: The key of what was published.
    """

    connector: str
    run_id: str
    version: int
    counts: Mapping[str, int]
    manifest: str


@dataclass(frozen=True)
class RunResult:
    """What a run did: each connector commits, waits or stops for itself.

    Attributes:
        record: The same as it is kept.
        synced: One result for each connector that committed.
        held: One for each whose commit waits for a yes.
        stopped: Connector → why nothing of it is visible.
    """

    record: RunRecord
    synced: Sequence[SyncResult] = ()
    held: Sequence[Held] = ()
    stopped: Mapping[str, SyncError] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when all committed, else that of the gravest end."""
        return self.record.exit_code


@dataclass(frozen=True)
class _Work:
    """A run, and what it takes to do it.

    Attributes:
        excluded: Where the items stand that single users do not get, file by file; None where nothing names them.
        inputs: Everything it reads, as it was before it was read.
        size_bytes: What of it becomes users' lists: lines of the batch, or one for each row of the mapping.
        alias_key: What users are named by in its record.
        is_plan: Whether it only says what it would do.
        only_users: The only users that are told anything, and nothing is committed; None for a run like any other.
    """

    run: JobRun
    spark: SparkSession
    report: Report
    batch: Storage
    files: Sequence[Entry]
    excluded: tuple[Storage, Sequence[Entry]] | None
    inputs: list[InputObject]
    size_bytes: int
    alias_key: bytes
    is_plan: bool
    only_users: Collection[str] | None

    @property
    def input_age_h(self) -> float:
        """Hours since the newest file of the batch was written."""
        return (self.run.now - max(entry.modified_at for entry in self.files)).total_seconds() / 3600


@dataclass(frozen=True)
class _End:
    """How it ended for one connector: one of the three, and what is kept of it."""

    record: ConnectorRecord
    synced: SyncResult | None = None
    held: Held | None = None
    stopped: SyncError | None = None


def run(
    spark: SparkSession,
    folder: JobFolder,
    *,
    now: datetime,
    report: Report,
    is_full: bool = False,
    is_plan: bool = False,
    plan: RunRecord | None = None,
    only_users: Collection[str] | None = None,
    token: str = "",
) -> RunResult:
    """Run a job for every connector of its config.json, and keep a record of it.

    Args:
        now: The run's time, aware.
        report: Is told each stage in a sentence.
        is_full: Send everyone once, whatever he was told; needs no readable snapshot.
        is_plan: Only say what would be done. Nothing is written but the record.
        plan: Run only where everything still is as it was for this plan.
        only_users: Tell these users, each whole, and commit nothing: a trial.
        token: Whoever starts the run elsewhere finds its record by it.

    Raises:
        SyncError: There is nothing to run on; nothing was changed.
    """
    storage, run_id, stages = open_storage(folder.root), layout.new_run_id(now), Stages(report)
    try:
        config = load_config(storage)
        work_on = DryStorage(storage) if is_plan else storage
        job = JobRun(folder, work_on, config, now, run_id, is_full)
        this = _work(job, spark, stages, alias_key(storage), is_plan=is_plan, only_users=only_users)
        if plan is not None:
            check_plan(plan, this.inputs, storage)
        ends = _ends(this)
    except SyncError as error:
        nothing = recording.of_nothing(folder, run_id, now, stages, error, token)
        _keep(storage, nothing, stages, is_plan=is_plan)
        raise
    stopped = {connector: end.stopped for connector, end in ends.items() if end.stopped}
    records = [end.record for end in ends.values()]
    read = {"batch": this.batch.root, "inputs": this.inputs}
    record = recording.run_record(this.run, records, stopped, stages, token=token, **read)
    _keep(storage, record, stages, is_plan=is_plan)
    synced, held = ([getattr(end, kind) for end in ends.values() if getattr(end, kind)] for kind in ("synced", "held"))
    return RunResult(record, synced, held, stopped)


def _keep(storage: Storage, record: RunRecord, report: Report, *, is_plan: bool) -> None:
    """Keep the record of a run and the page about it; of a plan the record alone."""
    if is_plan:
        write_record(storage, layout.plan_record(record.run_id), record)
    else:
        keep(storage, record, report)


def _work(
    run: JobRun,
    spark: SparkSession,
    report: Report,
    names: bytes,
    *,
    is_plan: bool,
    only_users: Collection[str] | None,
) -> _Work:
    """Find what there is to read."""
    for warning in run.config.warnings:
        report(f"warning: {warning}")
    batch, files = inference.find_batch(run.config.batch_inference_path, run.storage)
    mapping = list(run.storage.list(layout.MAPPING)) if run.folder.job_type == "related_items" else []
    inputs = inputs_of(run.storage, [*run.storage.list(layout.METADATA), *mapping], batch, files)
    address = run.config.recommendations.exclude_items
    excluded = find_exclusions(address, run.storage) if address else None
    inputs += objects_of(*excluded) if excluded else ()
    size_bytes = plain_bytes(files) + _LINE_FOR_ROW * plain_bytes(mapping)
    return _Work(run, spark, report, batch, files, excluded, inputs, size_bytes, names, is_plan, only_users)


def _ends(this: _Work) -> dict[str, _End]:
    """Each connector's part of the run, one after the other; what stops one stops no other."""
    rows, done = _read(this)
    try:
        return {connector: _end(this, connector, rows) for connector in this.run.config.connectors}
    finally:
        done()


def _read(this: _Work) -> tuple[DataFrame, Callable[[], object]]:
    """Today's MEETING rows, and what to call when they were read for the last time."""
    keys = [entry.key for entry in this.files]
    this.report(f"reading {len(keys)} file(s) of batch inference in {this.batch.root}/{keys[0].rpartition('/')[0]}")
    uris, keeps_scores = [this.batch.uri(key) for key in keys], this.run.config.recommendations.needs_scores
    if this.run.folder.job_type == "user_personalization":
        rows = _and_exclusions(
            this, users_of_lines(inference.read_batch(this.spark, uris, "userId", keeps_scores=keeps_scores))
        )
        if len(this.run.config.connectors) == 1:
            return rows, lambda: None
        shared = rows.persist()
        return shared, shared.unpersist
    lines = numbered(inference.read_batch(this.spark, uris, "itemId", keeps_scores=keeps_scores)).persist()
    rows = users_of_items(lines, read_mapping(this.spark, this.run.storage))
    return _and_exclusions(this, rows), lines.unpersist


def _and_exclusions(this: _Work, rows: DataFrame) -> DataFrame:
    """The rows, with the items that single users do not get, where the settings name any."""
    if this.excluded is None:
        return rows
    storage, files = this.excluded
    this.report(f"reading {len(files)} file(s) of items that single users do not get in {storage.root}")
    pairs = read_exclusions(this.spark, storage, [entry.key for entry in files])
    return rows.unionByName(items_not_for_users(pairs))


def _end(this: _Work, connector: str, rows: DataFrame) -> _End:
    try:
        return _sync(this, connector, rows)
    except Exception as error:
        told = in_our_words(error)
        if told is None:
            raise
        if isinstance(told, CutFileError):
            told = InputError(f"{', '.join(_cut_files(this))}: cut or damaged; write it again")
        return _End(recording.of_stopped(connector, told), stopped=told)


def _cut_files(this: _Work) -> list[str]:
    """Which input files end early: Spark only says that one does."""
    inputs = [entry.key for folder in (layout.MAPPING, layout.METADATA) for entry in this.run.storage.list(folder)]
    folders = [(this.batch, this.files), *([this.excluded] if this.excluded else [])]
    listed = (cut_files(storage, [entry.key for entry in files]) for storage, files in folders)
    return [*chain(*listed), *cut_files(this.run.storage, inputs)]


def _sync(this: _Work, connector: str, rows: DataFrame) -> _End:
    """One connector's part of a run."""
    if this.only_users is not None:
        return _trial(this, connector, rows.where(F.col("userId").isin(list(this.only_users))))
    committed = _committed(this, connector)
    if not this.is_plan and (held := _held_before(this, connector, committed)):
        return _End(recording.of_waiting(held), held=held)
    proposal, story = _proposal(this, connector, rows, committed, _items(this, connector, committed))
    numbers = RunNumbers(proposal.manifest.counts, committed.version == 0, this.input_age_h, story.top_item_users)
    readings = read_guards(this.run.config.guards, numbers)
    record = functools.partial(recording.connector_record, this.run, proposal, story, readings)
    if this.is_plan:
        return _End(record("planned"))
    if breached(readings):
        return _End(record("held"), held=_hold(this, proposal, readings))
    return _End(record("committed"), synced=_commit(this, proposal))


def _trial(this: _Work, connector: str, rows: DataFrame) -> _End:
    """Tell some users what a first run would, and commit nothing: no snapshot, no pointer, no clear, no guard.

    The manifest takes the committed version, so that whatever is committed next replaces what of it still waits.
    """
    run, nothing = this.run, Committed()
    version = max(1, state.read_pointer(run.storage, connector).version)
    tell = replace(tell_plan(run, connector, nothing), version=version)
    items = _items(this, connector, nothing)
    meetings = meet(rows, None, _parting(this, nothing).number)
    plan = WritePlan(run.storage, connector, run.run_id, False, tell, this.alias_key, keeps_rows=False)
    written = output.write(meetings, plan, this.spark.sparkContext.broadcast(items.catalogue))
    files, counts = written.settled()
    if not counts["users"]:
        raise NoInputError(f"{connector}: none of the {len(this.only_users or ())} user(s) has a list in this input")
    counts = {**counts, **items.counts}
    proposal = propose(run, connector, nothing, tell, files=files, counts=counts, kept=Kept())
    state.publish(run.storage, proposal.pointer.manifest, proposal.manifest)
    this.report(f"{connector}: a trial, published for {counts['records']} user(s); nothing is committed")
    result = SyncResult(connector, run.run_id, version, counts, proposal.pointer.manifest)
    return _End(recording.connector_record(run, proposal, written.story, [], "trial"), synced=result)


def _commit(this: _Work, proposal: Proposal) -> SyncResult:
    proposal.commit(this.run.storage)
    let_go(this.run.storage, proposal.connector)
    connector, manifest = proposal.connector, proposal.manifest
    sent = manifest.counts["records"]
    this.report(f"{connector}: committed and published version {manifest.version}, {sent} record(s) to send")
    return SyncResult(connector, manifest.run_id, manifest.version, manifest.counts, proposal.pointer.manifest)


def _held_before(this: _Work, connector: str, committed: Committed) -> Held | None:
    """The commit that waits already, where nothing changed since it was held."""
    held = newest_held(this.run.storage, connector)
    if held is None or (held.tag, held.inputs) != (committed.tag, this.inputs):
        return None
    this.report(f"{connector}: nothing changed since run {held.run_id} was held; it still waits")
    return held


def _hold(this: _Work, proposal: Proposal, readings: list[GuardReading]) -> Held:
    """Keep the commit for a person to decide on."""
    held = proposal.held(readings, this.inputs)
    hold(this.run.storage, held)
    names = ", ".join(reading.name for reading in breached(readings))
    this.report(f"{proposal.connector}: held by {names}; nothing is committed")
    return held


def _items(this: _Work, connector: str, committed: Committed) -> Items:
    options, lists = this.run.config.connectors[connector], this.run.config.recommendations
    items = read_items(
        this.spark,
        this.run.storage,
        options.item_fields(),
        scored=lists.include_scores,
        shelf_from_bytes=SHELF_FROM_BYTES,
        item_filter=item_filter.parse(lists.item_filter) if lists.item_filter else None,
    )
    if committed.pointer is not None and not this.run.is_full:
        check_types(committed.pointer.item_types, items.types)
    return items


def _proposal(
    this: _Work, connector: str, rows: DataFrame, committed: Committed, items: Items
) -> tuple[Proposal, Story]:
    """Decide about every user and write what follows; nothing of it is visible yet."""
    run, tell = this.run, tell_plan(this.run, connector, committed)
    saves, parting = run.config.save_batch_inference_errors, _parting(this, committed)
    told_there = files_of_parts(committed.pointer) if parting.is_as_before else {}
    told_elsewhere = None if parting.is_as_before else read_snapshot(this.spark, run.storage, committed)
    plan = WritePlan(run.storage, connector, run.run_id, saves, tell, this.alias_key, told=told_there)
    this.report(f"{connector}: comparing with version {committed.version or 'none'} and writing")
    meetings = meet(rows, told_elsewhere, parting.number)
    written = output.write(meetings, plan, this.spark.sparkContext.broadcast(_catalogue(this, committed, items)))
    files, counts = written.settled()
    _check_usable(this, counts)
    unmatched = unmatched_items(rows) if counts["mappingRowsUnmatched"] else 0
    counts = {**counts, "mappingItemsUnmatched": unmatched, **items.counts}
    key = f"{layout.snapshot(connector, tell.version, run.run_id)}/items.parquet"
    known = None if items.is_shelved else write_items(run.storage, key, items.catalogue.pieces)
    kept = Kept(known, items.types, parting.number)
    return propose(run, connector, committed, tell, files=files, counts=counts, kept=kept), written.story


def _parting(this: _Work, committed: Committed) -> Parting:
    return parting_of(committed.pointer, this.size_bytes, this.spark.sparkContext.defaultParallelism)


def _committed(this: _Work, connector: str) -> Committed:
    if not this.run.is_full:
        return state.read_pointer(this.run.storage, connector)
    committed, lost = state.recover(this.run.storage, connector)
    if lost:
        this.report(f"warning: {connector}: {lost}; users known only there keep what they have")
    return committed


def _catalogue(this: _Work, committed: Committed, items: Items) -> Catalogue:
    """Today's items, and beside them how the committed run knew them, where both fit into memory."""
    if this.run.is_full or items.is_shelved:
        return items.catalogue
    return replace(items.catalogue, known=state.read_known_items(this.run.storage, committed))


def _check_usable(this: _Work, counts: Mapping[str, int]) -> None:
    """A batch without one good line says that the batch failed, not that everybody lost his recommendations."""
    is_empty = counts["linesRead"] == counts["linesFailed"] + counts["linesBroken"]
    if is_empty and not this.run.config.guards.allow_empty:
        raise NoInputError(
            f"no usable line: {counts['linesRead']} read, {counts['linesFailed']} failed by the recommender, "
            f"{counts['linesBroken']} unreadable; nothing was changed. Where that may be, set guards.allowEmpty"
        )
