"""One run told top to bottom: find what there is, read it, and sync each connector."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from itertools import chain

from pyspark.sql import DataFrame, SparkSession

from connectors.contract import layout
from connectors.contract.aliases import alias_key
from connectors.contract.layout import JobFolder
from connectors.contract.run_record import RunRecord, write_record
from connectors.contract.storage import Storage, open_storage
from glue_jobs import inference, recording
from glue_jobs.approval import check_plan
from glue_jobs.attribute import items_not_for_users, numbered, users_of_items, users_of_lines
from glue_jobs.config import load_config
from glue_jobs.connector_sync import sync_connector
from glue_jobs.dry import DryStorage
from glue_jobs.ends import End, RunResult, result_of, stopped_of
from glue_jobs.errors import InputError
from glue_jobs.failures import CutFileError, SparkError, in_our_words
from glue_jobs.lines import cut_files, listed
from glue_jobs.mapping import read_exclusions, read_mapping
from glue_jobs.proposal import JobRun
from glue_jobs.recording import Stages
from glue_jobs.report.filing import keep
from glue_jobs.work import Report, Work, find_work


def run(
    session: Callable[[], SparkSession],
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
        session: Starts Spark, once it is sure that there is something to run on.
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
        this = find_work(job, session, stages, alias_key(storage), is_plan=is_plan, only_users=only_users)
        if plan is not None:
            check_plan(plan, this.inputs, storage, is_full=is_full)
        ends = _ends(this)
    except Exception as error:
        told = in_our_words(error)
        if told is None:
            raise
        nothing = recording.of_nothing(folder, run_id, now, stages, told, token)
        _keep(storage, nothing, stages, is_plan=is_plan)
        raise told  # noqa: B904 - it is the error itself, or names it as its cause
    record = _record_of(this, ends, stages, token)
    _keep(storage, record, stages, is_plan=is_plan)
    return result_of(record, ends)


def _record_of(this: Work, ends: Sequence[End], stages: Stages, token: str) -> RunRecord:
    records, read = [end.record for end in ends], {"batch": this.batch.root, "inputs": this.inputs}
    return recording.run_record(this.run, records, stopped_of(ends), stages, token=token, **read)


def _keep(storage: Storage, record: RunRecord, report: Report, *, is_plan: bool) -> None:
    """Keep the record of a run and the page about it; of a plan the record alone."""
    if is_plan:
        write_record(storage, layout.plan_record(record.run_id), record)
    else:
        keep(storage, record, report)


def _ends(this: Work) -> list[End]:
    """Each connector's part of the run, one after the other; what stops one stops no other."""
    rows, done = _read(this)
    ends = [_end(this, connector, rows) for connector in this.run.config.connectors]
    done()  # not where it is interrupted: Spark can be asked for nothing then
    return ends


def _read(this: Work) -> tuple[DataFrame, Callable[[], object]]:
    """Today's MEETING rows, and what to call when they were read for the last time."""
    keys = [entry.key for entry in this.files]
    this.report(f"found {len(keys)} file(s) of batch inference in {this.batch.root}/{keys[0].rpartition('/')[0]}")
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


def _and_exclusions(this: Work, rows: DataFrame) -> DataFrame:
    """The rows, with the items that single users do not get, where the settings name any."""
    if this.excluded is None:
        return rows
    storage, files = this.excluded
    this.report(f"found {len(files)} file(s) of items that single users do not get in {storage.root}")
    pairs = read_exclusions(this.spark, storage, files)
    return rows.unionByName(items_not_for_users(pairs))


def _end(this: Work, connector: str, rows: DataFrame) -> End:
    try:
        return sync_connector(this, connector, rows)
    except Exception as error:
        told = in_our_words(error)
        if told is None:
            raise
        if isinstance(told, SparkError):
            this.report(f"warning: {connector}: {error}")
        if isinstance(told, CutFileError) and (cut := _cut_files(this)):
            told = InputError(f"{', '.join(cut)}: cut or damaged; write it again")
        return End(recording.of_stopped(connector, told), stopped=told)


def _cut_files(this: Work) -> list[str]:
    """Which input files end early: Spark only says that one does."""
    inputs = [entry for folder in (layout.MAPPING, layout.METADATA) for entry in listed(this.run.storage, folder)]
    folders = [(this.batch, this.files), *([this.excluded] if this.excluded else []), (this.run.storage, inputs)]
    return list(chain(*(cut_files(storage, [entry.key for entry in files]) for storage, files in folders)))
