"""Job folders and what is done with them: on this machine with Spark in local mode, on S3 what needs none."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cli import embedded, local_spark
from cli.console import Voice
from connectors import registry
from connectors.base import Connector, Destination
from connectors.contract import layout
from connectors.contract.layout import JobFolder, LayoutError
from connectors.contract.run_record import RunRecord
from connectors.contract.storage import Storage, open_storage
from connectors.http import Sender
from glue_jobs.trial import users_in

if TYPE_CHECKING:
    from glue_jobs.ends import RunResult
    from glue_jobs.proposal import JobRun

CONCURRENCY = 8


class UsageError(Exception):
    """What was typed, or set in the environment, cannot be done. Exit code 2."""


def any_folder(text: str) -> JobFolder:
    """A job folder on this machine or on S3, by its address.

    Raises:
        UsageError: It is not there, or is not shaped like one.
    """
    path = None if text.startswith("s3://") else path_of(text)
    if path and not path.is_dir():
        raise UsageError(f"there is no folder {path}")
    try:
        return JobFolder.parse(_place(path) if path else text)
    except LayoutError as error:
        raise UsageError(str(error)) from error


def _place(path: Path) -> str:
    """Where a folder really is, so that it has one name; as it is named, where only that is a job folder's."""
    real = str(path.resolve())
    try:
        return JobFolder.parse(real).root
    except LayoutError:
        return os.path.normpath(path)


def path_of(text: str) -> Path:
    """A path on this machine, whole.

    Raises:
        UsageError: It begins with the home of someone who has none.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"{text}: {error}") from error


def users_of(path: str) -> list[str]:
    """The user ids of a file, one a line.

    Raises:
        UsageError: It cannot be read.
        ConfigError: It names nobody, or more than a trial is for.
    """
    try:
        text = path_of(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    return users_in(text, path)


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


def after_publishing(folder: str) -> str:
    """What a person types once a run is published: on S3 the stack delivers it by itself."""
    return f"recsync {'status' if folder.startswith('s3://') else 'deliver'} {shlex.quote(folder)}"


def known(connector: str, names: Collection[str]) -> str:
    """The connector, once it is known that the job has it.

    Raises:
        UsageError: It has not.
    """
    if connector not in names:
        raise UsageError(f"config.json names no connector {connector!r}; it names {', '.join(sorted(names))}")
    return connector


def check_deliverable(folder: JobFolder) -> None:
    """Two who deliver at once send the same twice.

    Raises:
        UsageError: The folder is on S3, where the stack delivers.
    """
    if folder.is_on_s3:
        raise UsageError(
            f"the stack delivers what is published in {folder.root}, and two who deliver send the same twice; "
            f"see how it stands: recsync status {shlex.quote(folder.root)}; "
            f"what was given up is sent again by: recsync redeliver {shlex.quote(folder.root)}"
        )


def deliver_job(
    storage: Storage, runs: Sequence[embedded.Published], connector: Connector, voice: Voice
) -> list[embedded.Delivery]:
    """Deliver what no receipt speaks of.

    Args:
        runs: What was published for the connector, as `embedded.published` has it.
    """
    send = Sender()
    deliver = functools.partial(embedded.deliver_run, concurrency=CONCURRENCY, report=voice.stage)
    deliveries: list[embedded.Delivery] = []
    for key, manifest in runs:
        waits_for = next((one.manifest.run_id for one in deliveries if one.waiting), "")
        deliveries.append(deliver(storage, key, manifest, connector, send, waits_for=waits_for))
    return deliveries


def connectors_of(folder: JobFolder, only: str | None = None) -> list[str]:
    """The connectors that have output in a job folder, or the one of them that is meant.

    Raises:
        UsageError: That one has none.
    """
    storage = open_storage(folder.root)
    return meant(storage, only, set(storage.folders(layout.OUTPUT)))


def meant(storage: Storage, only: str | None, names: Collection[str]) -> list[str]:
    """Those of a job folder's connectors that are meant: the one that is named, or all.

    Raises:
        UsageError: The one that is named is none of them.
    """
    if only is not None and only not in names:
        known = ", ".join(sorted(names)) or "none"
        raise UsageError(f"{storage.root} has nothing of {only!r}; it has something of {known}")
    return sorted(names) if only is None else [only]


def destinations_of(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, Connector]:
    """Some connectors, all of them before anything is sent.

    Raises:
        UsageError: A variable of one is not set.
        ConfigError: An endpoint is not the destination's.
    """
    try:
        return {name: destination_of(name, environ) for name in names}
    except UsageError as error:
        if len(names) == 1:
            raise
        raise UsageError(f"{error}; with --connector NAME only that one is delivered to") from error


def destination_of(name: str, environ: Mapping[str, str]) -> Connector:
    """A connector, with its endpoint and key from the environment.

    Raises:
        UsageError: A variable is not set.
        ConfigError: The endpoint is not the destination's.
    """
    connector = registry.connector_class(name)
    missing = [v for v in (connector.endpoint_variable, connector.secret_variable) if not environ.get(v)]
    if missing:
        raise UsageError(f"set {' and '.join(missing)} to deliver to {name}")
    allow_loopback = environ.get("RECSYNC_ALLOW_LOOPBACK") == "1"
    endpoint, secret = environ[connector.endpoint_variable], environ[connector.secret_variable]
    return connector(Destination(endpoint, secret, allow_loopback))
