"""A run on this machine, with Spark in local mode, and what a job's settings say of one."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli import local_spark
from cli.console import Voice
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.run_record import RunRecord
from connectors.contract.storage import open_storage

if TYPE_CHECKING:
    from glue_jobs.ends import RunResult
    from glue_jobs.proposal import JobRun


def check_config(folder: JobFolder) -> tuple[list[str], list[str]]:
    """The mistakes and the warnings of a job's config.json, a sentence each."""
    from glue_jobs.config import load_config
    from glue_jobs.errors import ConfigError

    try:
        return [], load_config(open_storage(folder.root)).warnings
    except ConfigError as error:
        return error.mistakes, []


def run_job(
    folder: JobFolder,
    voice: Voice,
    *,
    is_full: bool = False,
    is_plan: bool = False,
    plan: RunRecord | None = None,
    only_users: Sequence[str] | None = None,
) -> RunResult:
    """Run a job here, on Spark in local mode.

    Args:
        is_full: Send everyone once, whatever he was told.
        is_plan: Only say what would be done.
        plan: Run only where everything still is as it was for this plan.
        only_users: Tell these users only, and commit nothing.

    Raises:
        SyncError: There is nothing to run on; nothing was changed.
        JavaError: There is no Java to run Spark with.
    """
    os.environ.update(local_spark.environment(os.environ))
    from glue_jobs import glue, sync

    try:
        return sync.run(
            functools.partial(local_spark.started, glue.session),
            folder,
            now=datetime.now(UTC),
            report=reporter(voice),
            is_full=is_full or bool(plan and plan.is_full),
            is_plan=is_plan,
            plan=plan,
            only_users=only_users,
        )
    except KeyboardInterrupt:
        local_spark.end()
        raise


def reporter(voice: Voice) -> Callable[[str], None]:
    """Says what a run reports: a stage, or a warning."""

    def report(text: str) -> None:
        voice.warn(text.removeprefix("warning: ")) if text.startswith("warning: ") else voice.stage(text)

    return report


def job_run(folder: JobFolder) -> JobRun:
    """What a run of this job would have in hand, now.

    Raises:
        ConfigError: config.json is wrong.
    """
    from glue_jobs.config import load_config
    from glue_jobs.proposal import JobRun

    storage, now = open_storage(folder.root), datetime.now(UTC)
    return JobRun(folder, storage, load_config(storage), now, layout.new_run_id(now))
