"""What only AWS Glue has: its arguments and its session. The only room that imports awsglue.

Job bookmarks stay off: they skip files that did not change since the last run, and a mapping that did not
change still says who gets what.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from connectors.contract import s3_storage
from connectors.contract import storage as stores
from connectors.contract.layout import JobFolder, LayoutError
from connectors.contract.storage import Storage
from glue_jobs import sync
from glue_jobs.approval import read_plan
from glue_jobs.arguments import RunArguments, given_in
from glue_jobs.ends import RunResult
from glue_jobs.errors import ConfigError
from glue_jobs.failures import in_our_words
from glue_jobs.trial import users_in

_LOG = logging.getLogger("recsync")
_ADAPTIVE = "org.apache.spark.sql.execution.adaptive"


def main(job_type: str, argv: Sequence[str]) -> int:
    """A Glue job: read the arguments, run, and give the exit code.

    Args:
        job_type: What the script is for; the job folder has to be of that type.
        argv: As Glue passes it: the script, then ``--JOB_NAME … --S3_JOB_PATH …`` among Glue's own, and those of
            `RunArguments`.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    _LOG.setLevel(logging.INFO)
    try:
        folder, asked = job_folder(job_type, argv), RunArguments.of_glue(given_in(argv))
        check_storage(folder)
        result = run_as_asked(folder, asked)
    except Exception as error:
        told = in_our_words(error)
        if told is None:
            raise
        _LOG.error("%s", told)
        return told.exit_code
    for one in result.record.published:
        _LOG.info("%s run %s: %s", one.connector, result.record.run_id, dict(one.counts))
    for connector, reason in result.stopped.items():
        _LOG.error("%s: %s", connector, reason)
    return result.exit_code


def job_folder(job_type: str, argv: Sequence[str]) -> JobFolder:
    """The job folder that S3_JOB_PATH names.

    Raises:
        ConfigError: An argument is missing, or the folder is of another type.
    """
    from awsglue.utils import GlueArgumentError, getResolvedOptions

    try:
        arguments = getResolvedOptions(list(argv), ["JOB_NAME", "S3_JOB_PATH"])
        folder = JobFolder.parse(arguments["S3_JOB_PATH"])
    except (GlueArgumentError, LayoutError) as error:
        raise ConfigError(f"arguments: {error}") from error
    if folder.job_type != job_type:
        raise ConfigError(f"S3_JOB_PATH names a {folder.job_type} job; this script runs {job_type} jobs")
    return folder


def check_storage(folder: JobFolder) -> None:
    """A commit is a write on a condition. What cannot do that is told before hours of work, not after them.

    Raises:
        ConfigError: The S3 client of this machine is too old.
    """
    if folder.is_on_s3:
        try:
            s3_storage.check_client()
        except stores.StorageError as error:
            raise ConfigError(str(error)) from error


def run_as_asked(folder: JobFolder, asked: RunArguments) -> RunResult:
    """Run a job the way that its arguments ask for.

    Raises:
        SyncError: There is nothing to run on, or the plan or the ids that were asked for are not there.
        StorageError, NewerFormatError: The plan cannot be read, or the run's record not be written.
    """
    storage = stores.open_storage(folder.root)
    plan = read_plan(storage, asked.plan_id) if asked.plan_id else None
    return sync.run(
        session,
        folder,
        now=datetime.now(UTC),
        report=_LOG.info,
        is_full=asked.is_full or bool(plan and plan.is_full),
        is_plan=asked.is_plan,
        plan=plan,
        only_users=_users(storage, asked.only_users) if asked.only_users else None,
        token=asked.token,
    )


def _users(storage: Storage, key: str) -> list[str]:
    address = f"{storage.root}/{key}"
    try:
        return users_in(storage.get(key).data.decode("utf-8-sig"), address)
    except (stores.NotFoundError, LayoutError, UnicodeDecodeError) as error:
        raise ConfigError(f"{address} cannot be read: {error}") from error


def session() -> SparkSession:
    """The Spark session, set up the way the job's rows need it; Glue's own where there is one."""
    return (
        SparkSession.builder.appName("recsync")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "false")  # Spark 4's own: one RANK that is no number would end the run
        .config("spark.io.compression.codec", "zstd")  # ids are digits, which lz4 does not pack
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "2000")
        .config("spark.sql.files.ignoreCorruptFiles", "false")
        # Where no row is read, tasks still have to look after those who were told before.
        .config("spark.sql.adaptive.optimizer.excludedRules", f"{_ADAPTIVE}.AQEPropagateEmptyRelation")
        .getOrCreate()
    )
