"""One run told top to bottom: read, attribute, meet what was told before, write, commit, publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession

from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.storage import open_storage
from glue_jobs import inference, output, state
from glue_jobs.attribute import meet, numbered, unmatched_items, users_of_items, users_of_lines
from glue_jobs.config import load_config
from glue_jobs.decorate import Catalogue
from glue_jobs.errors import InputError, NoInputError, SyncError, gravest
from glue_jobs.failures import CutFileError, in_our_words
from glue_jobs.items import SHELF_FROM_BYTES, Items, check_types, read_items
from glue_jobs.mapping import read_mapping
from glue_jobs.output import WritePlan
from glue_jobs.proposal import JobRun, Proposal, propose, tell_plan
from glue_jobs.snapshot import read_snapshot
from glue_jobs.sources import cut_files
from glue_jobs.state import Committed
from glue_jobs.writers import write_items

Report = Callable[[str], None]


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
    """What a run did: each connector commits, or stops, for itself.

    Attributes:
        synced: One result for each connector that committed.
        stopped: Connector → why nothing of it is visible.
    """

    synced: Sequence[SyncResult] = ()
    stopped: Mapping[str, SyncError] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when all committed, else that of the gravest error."""
        return gravest(error.exit_code for error in self.stopped.values())


@dataclass(frozen=True)
class _Work:
    """A run, and what it takes to do it."""

    run: JobRun
    spark: SparkSession
    report: Report


def run(spark: SparkSession, folder: JobFolder, *, now: datetime, report: Report, is_full: bool = False) -> RunResult:
    """Run a job for every connector of its config.json.

    Args:
        now: The run's time, aware.
        report: Is told each stage in a sentence.
        is_full: Send everyone once, whatever he was told; needs no readable snapshot.

    Raises:
        SyncError: There is nothing to run on; nothing was changed.
    """
    storage = open_storage(folder.root)
    config = load_config(storage)
    for warning in config.warnings:
        report(f"warning: {warning}")
    this = _Work(JobRun(folder, storage, config, now, is_full), spark, report)
    rows, done = _read(this)
    try:
        return _sync_all(this, rows)
    finally:
        done()


def _read(this: _Work) -> tuple[DataFrame, Callable[[], object]]:
    """Today's MEETING rows, and what to call when they were read for the last time."""
    batch, keys = inference.find_batch(this.run.config.batch_inference_path, this.run.storage)
    this.report(f"reading {len(keys)} file(s) of batch inference in {batch.root}/{keys[0].rpartition('/')[0]}")
    uris = [batch.uri(key) for key in keys]
    if this.run.folder.job_type == "user_personalization":
        rows = users_of_lines(inference.read_batch(this.spark, uris, "userId"))
        if len(this.run.config.connectors) == 1:
            return rows, lambda: None
        shared = rows.persist()
        return shared, shared.unpersist
    lines = numbered(inference.read_batch(this.spark, uris, "itemId")).persist()
    return users_of_items(lines, read_mapping(this.spark, this.run.storage)), lines.unpersist


def _sync_all(this: _Work, rows: DataFrame) -> RunResult:
    synced, stopped = [], {}
    for connector in this.run.config.connectors:
        try:
            synced.append(_sync(this, connector, rows))
        except Exception as error:
            told = in_our_words(error)
            if told is None:
                raise
            if isinstance(told, CutFileError):
                told = InputError(f"{', '.join(_cut_files(this))}: cut or damaged; write it again")
            stopped[connector] = told
    return RunResult(synced, stopped)


def _cut_files(this: _Work) -> list[str]:
    """Which input files end early: Spark only says that one does."""
    batch, keys = inference.find_batch(this.run.config.batch_inference_path, this.run.storage)
    inputs = [entry.key for folder in (layout.MAPPING, layout.METADATA) for entry in this.run.storage.list(folder)]
    return [*cut_files(batch, keys), *cut_files(this.run.storage, inputs)]


def _sync(this: _Work, connector: str, rows: DataFrame) -> SyncResult:
    """One connector's part of a run."""
    options, storage = this.run.config.connectors[connector], this.run.storage
    committed = _committed(this, connector)
    scored = this.run.config.recommendations.include_scores
    items = read_items(this.spark, storage, options.item_fields(), scored=scored, shelf_from_bytes=SHELF_FROM_BYTES)
    if committed.pointer is not None and not this.run.is_full:
        check_types(committed.pointer.item_types, items.types)
    proposal = _proposal(this, connector, rows, committed, items)
    proposal.commit(storage)
    manifest = proposal.manifest
    sent = manifest.counts["records"]
    this.report(f"{connector}: committed and published version {manifest.version}, {sent} record(s) to send")
    return SyncResult(connector, manifest.run_id, manifest.version, manifest.counts, proposal.pointer.manifest)


def _proposal(this: _Work, connector: str, rows: DataFrame, committed: Committed, items: Items) -> Proposal:
    """Decide about every user and write what follows; nothing of it is visible yet."""
    run, run_id, tell = this.run, layout.new_run_id(this.run.now), tell_plan(this.run, connector, committed)
    plan = WritePlan(run.storage, connector, run_id, run.config.save_batch_inference_errors, tell)
    this.report(f"{connector}: comparing with version {committed.version or 'none'} and writing")
    meetings = meet(rows, read_snapshot(this.spark, run.storage, committed))
    catalogue = this.spark.sparkContext.broadcast(_catalogue(this, committed, items))
    files, counts = output.write(meetings, plan, catalogue).settled()
    _check_usable(counts)
    unmatched = unmatched_items(rows) if counts["mappingRowsUnmatched"] else 0
    counts = {**counts, "mappingItemsUnmatched": unmatched, **items.counts}
    key = f"{layout.snapshot(connector, tell.version, run_id)}/items.parquet"
    known = None if items.is_shelved else write_items(run.storage, key, items.catalogue.pieces)
    return propose(
        run, connector, committed, tell, run_id, files=files, counts=counts, items=known, item_types=items.types
    )


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


def _check_usable(counts: Mapping[str, int]) -> None:
    """A batch without one good line says that the batch failed, not that everybody lost his recommendations."""
    if counts["linesRead"] == counts["linesFailed"] + counts["linesBroken"]:
        raise NoInputError(
            f"no usable line: {counts['linesRead']} read, {counts['linesFailed']} failed by the recommender, "
            f"{counts['linesBroken']} unreadable; nothing was changed"
        )
