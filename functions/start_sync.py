"""A batch is done, or it is time → the Glue job of every job folder that waits for it, once.

A marker in the job folder keeps the same batch from being started twice, however often its event comes. It is
written before the start; where Glue refuses, it says so, and whoever comes next may try: the event, or the sweep.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeAlias

from connectors.contract import layout
from connectors.contract.documents import read_tagged
from connectors.contract.layout import JobFolder
from connectors.contract.storage import ConflictError, NotFoundError, OpenFolder, Storage, StorageError
from connectors.contract.wire import NewerFormatError, VersionedModel

StartRun: TypeAlias = Callable[[JobFolder], str]

# A start that has not told its run by now has died; and an event that has not come by now does not come.
PATIENCE = timedelta(minutes=15)


class StartError(Exception):
    """A run could not be started. Its event comes again, twice, and the sweep tries it for a day."""


class Started(VersionedModel):
    """That a run was started for a batch, or should be.

    Attributes:
        at: When it was asked for.
        tried_at: When it was tried again; None where it was not.
        glue_run: Glue's id of the run; empty while it is being started.
        refused: Why it was not started, as far as is known.
    """

    mend: ClassVar[str] = "remove it, and its batch may start a run once more"
    batch: str
    at: datetime
    tried_at: datetime | None = None
    glue_run: str = ""
    refused: str = ""

    @property
    def last_try(self) -> datetime:
        """When it was tried last."""
        return self.tried_at or self.at

    def is_open(self, now: datetime) -> bool:
        """Whether the start may be tried again: it was refused, or it has died."""
        return not self.glue_run and (bool(self.refused) or now - self.last_try >= PATIENCE)


def job_folders(bucket: Storage) -> Iterator[JobFolder]:
    """Every job folder of a bucket."""
    for job_type in layout.JOB_TYPES:
        for name in bucket.folders(f"etl_jobs/{job_type}/"):
            if layout.is_name(name):
                yield JobFolder.parse(f"{bucket.root}/etl_jobs/{job_type}/{name}")


def batch_path(storage: Storage) -> str | None:
    """Where a job reads its batches, without a trailing slash; None where its config.json does not say.

    A config.json that is wrong is the run's to name: here it only means that nothing waits for a batch.
    """
    try:
        path = json.loads(storage.get(layout.CONFIG).data)["batchInferencePath"]
    except (NotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return path.rstrip("/") if isinstance(path, str) else None


def bound_to(output: str, folders: Sequence[JobFolder], open_folder: OpenFolder) -> list[JobFolder]:
    """The job folders that read a batch: theirs is its folder, or one above it.

    Args:
        output: Where the batch was written.
    """
    found = []
    for folder in folders:
        path = batch_path(open_folder(folder.root))
        if path and f"{output.rstrip('/')}/".startswith(f"{path}/"):
            found.append(folder)
    return found


def start_once(folder: JobFolder, storage: Storage, batch: str, start_run: StartRun, now: datetime) -> str:
    """Start a run for a batch, unless one was.

    Args:
        batch: The batch's name, or whatever else calls for the run; the marker has it.

    Returns:
        Glue's id of the run; empty when one was started before.

    Raises:
        StartError: Glue refused. The batch may be tried again.
    """
    key = layout.started(batch)
    marker = _claim(storage, key, Started(batch=batch, at=now))
    if marker is None:
        return ""
    try:
        run = start_run(folder)
    except Exception as error:
        _put(storage, key, marker.model_copy(update={"refused": f"{type(error).__name__}: {error}"}))
        raise
    _put(storage, key, marker.model_copy(update={"glue_run": run}))
    return run


def _claim(storage: Storage, key: str, marker: Started) -> Started | None:
    """Our marker, once it is there; None when the batch is not ours to start."""
    try:
        storage.put(key, marker.to_json().encode(), if_absent=True)
    except ConflictError:
        return _take_over(storage, key, marker.at)
    return marker


def _take_over(storage: Storage, key: str, now: datetime) -> Started | None:
    """The marker of a start that was refused or died, once it is ours; None when it is not to be had."""
    try:
        was, tag = read_tagged(storage, key, Started)
        if not was.is_open(now):
            return None
        mine = was.model_copy(update={"tried_at": now, "refused": ""})
        storage.put(key, mine.to_json().encode(), if_match=tag)
    except (ConflictError, NotFoundError):
        return None
    return mine


def _put(storage: Storage, key: str, marker: Started) -> None:
    storage.put(key, marker.to_json().encode())


def start_all(
    folders: Sequence[JobFolder], open_folder: OpenFolder, batch: str, start_run: StartRun, now: datetime
) -> dict[str, str]:
    """Start a run for a batch in every one of these folders, whatever becomes of the others.

    Returns:
        Job → Glue's id of its run, for those that were started.

    Raises:
        StartError: Some could not be started; the message names them.
    """
    started, refused = {}, []
    for folder in folders:
        try:
            started[folder.job] = start_once(folder, open_folder(folder.root), batch, start_run, now)
        except StartError as error:
            refused.append(str(error))
        except (StorageError, NewerFormatError) as error:
            refused.append(f"{folder.job}: {error}")
    if refused:
        raise StartError("; ".join(refused))
    return {job: run for job, run in started.items() if run}


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """A batch's event, a schedule's, or by hand ``{"jobs": ["user_personalization/for_you"]}``; what was started."""
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    folders = list(job_folders(open_storage(f"s3://{settings.required('BUCKET')}")))
    missing: list[str] = []
    if "Arn" in event.get("detail", {}):
        arn = event["detail"]["Arn"]
        output = aws.batch_output(arn)
        folders = bound_to(output, folders, open_storage) if output else []
        batch = arn.rpartition("/")[2]
    else:
        folders, missing = _named(folders, event.get("jobs", settings.scheduled_jobs()))
        batch = f"scheduled-{_plain(event['time'])}" if "time" in event else f"by-hand-{context.aws_request_id}"
    started = start_all(folders, open_storage, batch, aws.start_run, datetime.now(UTC))
    aws.log("runs started", batch=batch, bound=len(folders), started=started)
    if missing:
        raise StartError(f"there is no job folder etl_jobs/{', etl_jobs/'.join(missing)}; put a config.json into it")
    return started


def _named(folders: Sequence[JobFolder], jobs: Sequence[str]) -> tuple[list[JobFolder], list[str]]:
    """The folders of some jobs, all for none; and those of the jobs that have no folder."""
    missing = sorted(set(jobs) - {folder.job for folder in folders})
    return [folder for folder in folders if not jobs or folder.job in jobs], missing


def _plain(time: str) -> str:
    """A time as a part of a name."""
    return "".join(character for character in time if character.isalnum())
