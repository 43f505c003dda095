"""One run told top to bottom: read, attribute, meet what was told before, write, commit, publish."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession

from connectors import registry
from connectors.base import SyncOptions
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.storage import Storage, open_storage
from glue_jobs import output, sources, state
from glue_jobs.attribute import meet, users_of_items, users_of_lines
from glue_jobs.config import JobConfig, load_config
from glue_jobs.decorate import catalogue, read_items
from glue_jobs.errors import NoInputError
from glue_jobs.output import WritePlan, Written
from glue_jobs.state import Committed, Unacknowledged

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


def run(spark: SparkSession, folder: JobFolder, *, now: datetime, report: Report) -> list[SyncResult]:
    """Run a job: every connector of its config.json, each committing for itself.

    Args:
        now: The run's time, aware.
        report: Is told each stage in a sentence.

    Raises:
        SyncError: The run stopped; nothing of the connector it stopped in is visible.
    """
    storage = open_storage(folder.root)
    config = load_config(storage)
    for warning in config.warnings:
        report(f"warning: {warning}")
    rows, done = _read(spark, folder, storage, config, report)
    try:
        return [_sync(spark, folder, storage, config, name, rows, now, report) for name in config.connectors]
    finally:
        done()


def _read(
    spark: SparkSession, folder: JobFolder, storage: Storage, config: JobConfig, report: Report
) -> tuple[DataFrame, Callable[[], object]]:
    """Today's MEETING rows, and what to call when they were read for the last time."""
    batch, keys = sources.find_batch(config.batch_inference_path, storage)
    report(f"reading {len(keys)} file(s) of batch inference in {batch.root}/{keys[0].rpartition('/')[0]}")
    uris = [batch.uri(key) for key in keys]
    if folder.job_type == "user_personalization":
        return users_of_lines(sources.read_batch(spark, uris, "userId")), lambda: None
    lines = sources.read_batch(spark, uris, "itemId").persist()
    return users_of_items(lines, sources.read_mapping(spark, storage)), lines.unpersist


def _sync(
    spark: SparkSession,
    folder: JobFolder,
    storage: Storage,
    config: JobConfig,
    connector: str,
    rows: DataFrame,
    now: datetime,
    report: Report,
) -> SyncResult:
    """One connector's part of a run."""
    options = config.connectors[connector]
    committed = state.read_pointer(storage, connector)
    run_id = layout.new_run_id(now)
    items, item_counts = catalogue(read_items(spark, storage, options.item_fields()), options.item_fields())
    plan = _plan(storage, config, connector, committed, run_id, now)
    report(f"{connector}: comparing with version {committed.version or 'none'} and writing")
    meetings = meet(rows, state.read_snapshot(spark, storage, committed))
    written = output.write(meetings, plan, spark.sparkContext.broadcast(items))
    _check_usable(written)
    counts = output.figures(written.counts) | item_counts
    manifest = _manifest(folder, plan, options, committed, written, counts)
    state.commit(storage, connector, committed, _pointer(manifest, written, options, committed))
    state.publish(storage, layout.manifest(connector, run_id), manifest)
    report(f"{connector}: committed and published version {plan.version}, {counts['records']} record(s) to send")
    return SyncResult(connector, run_id, plan.version, counts, layout.manifest(connector, run_id))


def _plan(
    storage: Storage, config: JobConfig, connector: str, committed: Committed, run_id: str, now: datetime
) -> WritePlan:
    options = config.connectors[connector]
    waits = options.acknowledge == "onDelivery"
    return WritePlan(
        storage=storage,
        connector=connector,
        run_id=run_id,
        version=committed.version + 1,
        at=now,
        settings=_settings_digest(options),
        merge=config.recommendations.related_items.merge,
        max_items=config.recommendations.max_items,
        checks_delta=config.checks_delta(connector),
        saves_failed_lines=config.save_batch_inference_errors,
        unacknowledged=state.unacknowledged(storage, committed) if waits else Unacknowledged(),
    )


def _settings_digest(options: SyncOptions) -> bytes:
    """A hash of every setting that shapes what is sent: when it differs, everyone is told anew."""
    settings = json.dumps(options.payload_settings(), sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(settings.encode(), digest_size=16).digest()


def _check_usable(written: Written) -> None:
    """A batch without one good line says that the batch failed, not that everybody lost his recommendations."""
    counts = written.counts
    if counts["linesRead"] == counts["linesFailed"] + counts["linesBroken"]:
        raise NoInputError(
            f"no usable line: {counts['linesRead']} read, {counts['linesFailed']} failed by the recommender, "
            f"{counts['linesBroken']} unreadable; nothing was changed"
        )


def _manifest(
    folder: JobFolder,
    plan: WritePlan,
    options: SyncOptions,
    committed: Committed,
    written: Written,
    counts: dict[str, int],
) -> RunManifest:
    return RunManifest(
        job=folder.job,
        run_id=plan.run_id,
        connector=plan.connector,
        version=plan.version,
        previous_version=committed.version or None,
        acknowledge=options.acknowledge,
        options=options.model_dump(by_alias=True, mode="json"),
        records_per_request=registry.connector_class(plan.connector).limits.max_records,
        counts=counts,
        files=written.parts,
        retired=[name for name in _attributes_ever(committed) if name not in options.attribute_names()],
        digest=written.digest,
        created_at=plan.at,
    )


def _pointer(manifest: RunManifest, written: Written, options: SyncOptions, committed: Committed) -> Pointer:
    return Pointer(
        version=manifest.version,
        run_id=manifest.run_id,
        manifest=layout.manifest(manifest.connector, manifest.run_id),
        snapshot=written.snapshot,
        attributes=list(dict.fromkeys([*_attributes_ever(committed), *options.attribute_names()])),
    )


def _attributes_ever(committed: Committed) -> Iterator[str]:
    return iter(committed.pointer.attributes if committed.pointer else ())
