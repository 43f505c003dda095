"""One run told top to bottom: read, attribute, meet what was told before, write, commit, publish."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession

from connectors import registry
from connectors.base import ChangePolicy, SyncOptions
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.storage import Storage, open_storage
from glue_jobs import inference, output, state
from glue_jobs.attribute import meet, numbered, unmatched_items, users_of_items, users_of_lines
from glue_jobs.config import JobConfig, load_config
from glue_jobs.decorate import Catalogue
from glue_jobs.delta import Rules
from glue_jobs.errors import InputError, NoInputError, SyncError, gravest
from glue_jobs.failures import CutFileError, in_our_words
from glue_jobs.items import SHELF_FROM_BYTES, Items, check_types, read_items
from glue_jobs.mapping import read_mapping
from glue_jobs.output import Files, WritePlan
from glue_jobs.sources import cut_files
from glue_jobs.state import Committed, Unacknowledged
from glue_jobs.tell import TellPlan
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
class _Run:
    """What is the same for all connectors of a run."""

    spark: SparkSession
    folder: JobFolder
    storage: Storage
    config: JobConfig
    now: datetime
    is_full: bool
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
    this = _Run(spark, folder, storage, config, now, is_full, report)
    rows, done = _read(this)
    try:
        return _sync_all(this, rows)
    finally:
        done()


def _read(this: _Run) -> tuple[DataFrame, Callable[[], object]]:
    """Today's MEETING rows, and what to call when they were read for the last time."""
    batch, keys = inference.find_batch(this.config.batch_inference_path, this.storage)
    this.report(f"reading {len(keys)} file(s) of batch inference in {batch.root}/{keys[0].rpartition('/')[0]}")
    uris = [batch.uri(key) for key in keys]
    if this.folder.job_type == "user_personalization":
        rows = users_of_lines(inference.read_batch(this.spark, uris, "userId"))
        if len(this.config.connectors) == 1:
            return rows, lambda: None
        shared = rows.persist()
        return shared, shared.unpersist
    lines = numbered(inference.read_batch(this.spark, uris, "itemId")).persist()
    return users_of_items(lines, read_mapping(this.spark, this.storage)), lines.unpersist


def _sync_all(this: _Run, rows: DataFrame) -> RunResult:
    synced, stopped = [], {}
    for connector in this.config.connectors:
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


def _cut_files(this: _Run) -> list[str]:
    """Which input files end early: Spark only says that one does."""
    batch, keys = inference.find_batch(this.config.batch_inference_path, this.storage)
    inputs = [entry.key for folder in (layout.MAPPING, layout.METADATA) for entry in this.storage.list(folder)]
    return [*cut_files(batch, keys), *cut_files(this.storage, inputs)]


def _sync(this: _Run, connector: str, rows: DataFrame) -> SyncResult:
    """One connector's part of a run."""
    options, storage = this.config.connectors[connector], this.storage
    committed = _committed(this, connector)
    scored = this.config.recommendations.include_scores
    items = read_items(this.spark, storage, options.item_fields(), scored=scored, shelf_from_bytes=SHELF_FROM_BYTES)
    if committed.pointer is not None and not this.is_full:
        check_types(committed.pointer.item_types, items.types)
    plan = _plan(this, connector, committed)
    this.report(f"{connector}: comparing with version {committed.version or 'none'} and writing")
    meetings = meet(rows, state.read_snapshot(this.spark, storage, committed))
    written = output.write(meetings, plan, this.spark.sparkContext.broadcast(_catalogue(this, committed, items)))
    files, counts = written.settled()
    _check_usable(counts)
    unmatched = unmatched_items(rows) if counts["mappingRowsUnmatched"] else 0
    counts = {**counts, "mappingItemsUnmatched": unmatched, **items.counts}
    manifest = _manifest(this, plan, committed, files, counts)
    state.commit(storage, connector, committed, _pointer(this, plan, committed, files, items))
    state.publish(storage, layout.manifest(connector, plan.run_id), manifest)
    this.report(
        f"{connector}: committed and published version {manifest.version}, {counts['records']} record(s) to send"
    )
    key = layout.manifest(connector, plan.run_id)
    return SyncResult(connector, plan.run_id, manifest.version, manifest.counts, key)


def _committed(this: _Run, connector: str) -> Committed:
    if not this.is_full:
        return state.read_pointer(this.storage, connector)
    committed, lost = state.recover(this.storage, connector)
    if lost:
        this.report(f"warning: {connector}: {lost}; users known only there keep what they have")
    return committed


def _catalogue(this: _Run, committed: Committed, items: Items) -> Catalogue:
    """Today's items, and beside them how the committed run knew them, where both fit into memory."""
    if this.is_full or items.is_shelved:
        return items.catalogue
    return replace(items.catalogue, known=state.read_known_items(this.storage, committed))


def _plan(this: _Run, connector: str, committed: Committed) -> WritePlan:
    options, lists, was = this.config.connectors[connector], this.config.recommendations, committed.pointer
    waits = options.acknowledge == "onDelivery" and not this.is_full
    policy = options.change_policy
    tell = TellPlan(
        version=committed.version + 1,
        at=this.now,
        settings=_settings_digest(options),
        policy=policy.comparison(),
        rules=Rules(this.config.checks_delta(connector), options.on_user_removed == "clear", policy.refresh_after_days),
        merge=lists.related_items.merge,
        max_items=lists.max_items,
        unacknowledged=state.unacknowledged(this.storage, committed) if waits else Unacknowledged(committed.version),
        previous_settings=bytes.fromhex(was.settings) if was else b"",
        previous_policy=ChangePolicy(compare=was.compare, k=was.compare_first) if was else None,
        excludes_mapped_items=lists.related_items.exclude_mapped_items,
        keeps_unknown_items=lists.on_missing_metadata == "keep",
        is_full=this.is_full,
    )
    run_id = layout.new_run_id(this.now)
    return WritePlan(this.storage, connector, run_id, this.config.save_batch_inference_errors, tell)


def _settings_digest(options: SyncOptions) -> bytes:
    """A hash of every setting that shapes what is sent: when it differs, everyone is told anew."""
    settings = json.dumps(options.payload_settings(), sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(settings.encode(), digest_size=16).digest()


def _check_usable(counts: Mapping[str, int]) -> None:
    """A batch without one good line says that the batch failed, not that everybody lost his recommendations."""
    if counts["linesRead"] == counts["linesFailed"] + counts["linesBroken"]:
        raise NoInputError(
            f"no usable line: {counts['linesRead']} read, {counts['linesFailed']} failed by the recommender, "
            f"{counts['linesBroken']} unreadable; nothing was changed"
        )


def _manifest(
    this: _Run, plan: WritePlan, committed: Committed, files: Files, counts: Mapping[str, int]
) -> RunManifest:
    options = this.config.connectors[plan.connector]
    return RunManifest(
        job=this.folder.job,
        run_id=plan.run_id,
        connector=plan.connector,
        version=plan.tell.version,
        previous_version=committed.version or None,
        acknowledge=options.acknowledge,
        options=options.model_dump(by_alias=True, mode="json"),
        records_per_request=registry.connector_class(plan.connector).limits.max_records,
        counts=dict(counts),
        files=files.parts,
        retired=[name for name in _attributes_ever(committed) if name not in options.attribute_names()],
        digest=files.digest,
        created_at=this.now,
    )


def _pointer(this: _Run, plan: WritePlan, committed: Committed, files: Files, items: Items) -> Pointer:
    options, pieces = this.config.connectors[plan.connector], items.catalogue.pieces
    key = f"{layout.snapshot(plan.connector, plan.tell.version, plan.run_id)}/items.parquet"
    return Pointer(
        version=plan.tell.version,
        run_id=plan.run_id,
        manifest=layout.manifest(plan.connector, plan.run_id),
        snapshot=files.snapshot,
        items=None if items.is_shelved else write_items(this.storage, key, pieces),
        settings=plan.tell.settings.hex(),
        compare=plan.tell.policy.compare,
        compare_first=plan.tell.policy.k,
        item_types=dict(items.types),
        attributes=list(dict.fromkeys([*_attributes_ever(committed), *options.attribute_names()])),
    )


def _attributes_ever(committed: Committed) -> Sequence[str]:
    return committed.pointer.attributes if committed.pointer else ()
