"""What events missed. Every quarter of an hour it looks at each job folder, heals what it can, and counts the rest.

An event may get lost, a function may die between two steps, a batch may never come: nothing of that calls anybody.
So this looks at what should have happened by now, and does it.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from connectors import registry
from connectors.contract import layout
from connectors.contract.batches import newest_batch
from connectors.contract.documents import find_document
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.storage import OpenFolder, Storage, at_once
from functions import retention
from functions.dead_letters import Accounted, account_for
from functions.enqueue import Marker, Queue, no_queue
from functions.newest import newest_published
from functions.start_sync import PATIENCE, Started, StartRun, batch_path, job_folders, start_once

# A start that was refused for so long is not tried any more.
_GIVES_UP = timedelta(days=1)

# The newest batch of a job: its name, and when it was done.
NewestBatch: TypeAlias = tuple[str, datetime]


class SweepError(Exception):
    """Some job folders or dead letters could not be looked at; all others were."""


@dataclass
class Findings:
    """What a sweep saw and did.

    Attributes:
        not_enqueued: Connector → runs that were published and not handed to its queue in time; they are now.
        held: Connector → runs that wait for a yes.
        batch_age_hours: Job → the age of its newest batch.
        started: Job → Glue's id of the run that an event should have started, or could not.
        failed: Job → why it could not be looked at, or could not be healed.
    """

    not_enqueued: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    batch_age_hours: dict[str, float] = field(default_factory=dict)
    started: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def sweep(
    folders: Sequence[JobFolder],
    open_folder: OpenFolder,
    work_queue: Queue,
    start_run: StartRun,
    now: datetime,
    *,
    starts_missed: bool,
    has_queue: Callable[[str], bool] = lambda connector: True,
) -> Findings:
    """Look at every job folder. One that cannot be read keeps nobody else from being looked at."""
    findings = Findings()
    for folder in folders:
        try:
            storage = open_folder(folder.root)
            _heal_publishes(storage, work_queue, now, findings, has_queue)
            newest = _look_at_batch(folder, storage, open_folder, now, findings)
            due = due_start(storage, newest if starts_missed else None, now)
            if due and (run := start_once(folder, storage, due, start_run, now)):
                findings.started[folder.job] = run
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told for this folder
            findings.failed[folder.job] = f"{type(error).__name__}: {error}"
    return findings


def _heal_publishes(
    storage: Storage, work_queue: Queue, now: datetime, findings: Findings, has_queue: Callable[[str], bool]
) -> None:
    for connector in storage.folders(layout.OUTPUT):
        findings.held[connector] += sum(1 for _ in storage.list(layout.held_folder(connector)))
        runs = dict(newest_published(storage, connector))
        late = [key for key, manifest in runs.items() if _is_late(storage, key, manifest, now)]
        findings.not_enqueued[connector] += len(late)
        if late and not has_queue(connector):
            findings.failed[runs[late[0]].job] = no_queue(runs[late[0]])
        elif late and work_queue.send([event_of(f"{storage.root}/{key}") for key in late]):
            raise SweepError(f"the work queue refused {' or '.join(late)}")


def _is_late(storage: Storage, key: str, manifest: RunManifest, now: datetime) -> bool:
    """Whether a run was published long enough ago, some part was never handed over, and nobody is at it.

    One that was replaced meanwhile is none the less: deliver says of its records that they were.
    """
    if manifest.acknowledge == "onWrite" or not manifest.files or now - _written_at(storage, key) < PATIENCE:
        return False
    markers = [layout.enqueued(manifest.connector, manifest.run_id, file.key) for file in manifest.files]
    moved = storage.list(layout.enqueued_folder(manifest.connector, manifest.run_id))
    if any(now - entry.modified_at < PATIENCE for entry in moved):
        return False
    return not all(at_once(functools.partial(_is_done, storage), markers))


def event_of(address: str) -> str:
    """The event that S3 would have sent for an object."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    detail = {"bucket": {"name": bucket}, "object": {"key": key}}
    return json.dumps({"source": "recsync.sweep", "detail-type": "Object Created", "detail": detail})


def _is_done(storage: Storage, marker: str) -> bool:
    found = find_document(storage, marker, Marker)
    return found is not None and found.done


def _written_at(storage: Storage, key: str) -> datetime:
    folder = key.rpartition("/")[0] + "/"
    return next(entry.modified_at for entry in storage.list(folder) if entry.key == key)


def _look_at_batch(
    folder: JobFolder, storage: Storage, open_folder: OpenFolder, now: datetime, findings: Findings
) -> NewestBatch | None:
    """Note how old the newest batch of a job is; gives its name and when it was done, None where there is none."""
    path = batch_path(storage)
    batch = newest_batch(open_folder(path).list()) if path and "://" in path else None
    if path is None or batch is None:
        return None
    findings.batch_age_hours[folder.job] = (now - batch.finished_at) / timedelta(hours=1)
    return f"{path}/{batch.folder}".rstrip("/").rpartition("/")[2], batch.finished_at.replace(microsecond=0)


def due_start(storage: Storage, newest: NewestBatch | None, now: datetime) -> str:
    """What a run should have been started for, and was not; empty where nothing is due.

    Args:
        newest: The newest batch, where its event should start a run.
    """
    committed, asked = _last_commit(storage), _newest_asked(storage)
    started = [asked.last_try] if asked and asked.glue_run else []
    if newest and committed and max([committed, *started]) < newest[1] <= now - PATIENCE:
        return newest[0]
    is_open = asked is not None and asked.is_open(now) and now - asked.at < _GIVES_UP
    return asked.batch if asked and is_open and (committed is None or committed < asked.at) else ""


def _newest_asked(storage: Storage) -> Started | None:
    """The newest start that was asked for: its run has read what an earlier one would have."""
    newest = max(storage.list(layout.STARTED), key=lambda entry: entry.modified_at, default=None)
    return find_document(storage, newest.key, Started) if newest else None


def _last_commit(storage: Storage) -> datetime | None:
    """When the run began that committed last; None in a folder that never committed.

    There nothing is missed: its first run tells everyone, and whoever put it there may still try it out.
    """
    pointers = (find_document(storage, layout.pointer(name), Pointer) for name in storage.folders(layout.OUTPUT))
    return max((layout.time_of_run(pointer.run_id) for pointer in pointers if pointer), default=None)


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{"task": "heal"}`` or ``{"task": "prune"}``; by hand also ``"now"``, a time to judge by.

    Raises:
        SweepError: Some job folders could not be looked at, or a run could not be started.
    """
    from connectors.contract.storage import open_storage
    from functions import settings

    now = datetime.fromisoformat(event["now"]).astimezone(UTC) if "now" in event else datetime.now(UTC)
    folders = list(job_folders(open_storage(f"s3://{settings.required('BUCKET')}")))
    tasks = {"heal": _heal, "prune": _prune}
    if event.get("task") not in tasks:
        raise SweepError(f"task is {event.get('task')!r}; it should be heal or prune")
    return tasks[event["task"]](folders, now)


def _heal(folders: Sequence[JobFolder], now: datetime) -> dict[str, Any]:
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    queue = aws.SqsQueue(settings.required("WORK_QUEUE_URL"))
    found = sweep(
        folders,
        open_storage,
        queue,
        aws.start_run,
        now,
        starts_missed=settings.starts_missed(),
        has_queue=lambda connector: bool(settings.dead_letter_queue_url(connector)),
    )
    for connector in found.not_enqueued:
        aws.count("PublishedNotEnqueued", found.not_enqueued[connector], connector)
        aws.count("HeldRuns", found.held[connector], connector)
    for job, hours in found.batch_age_hours.items():
        aws.count("BatchAgeHours", hours, job=job)
    dead, unaccounted = _dead_letters(now)
    removed = {name: accounted.removed for name, accounted in dead.items()}
    receipted = {name: accounted.receipted for name, accounted in dead.items()}
    aws.log("swept", folders=len(folders), started=found.started, dead_removed=removed, dead_receipted=receipted)
    _raise_if_any(found.failed | unaccounted)
    return {"notEnqueued": found.not_enqueued.total(), "started": found.started, "deadLettersRemoved": removed}


def _dead_letters(now: datetime) -> tuple[dict[str, Accounted], dict[str, str]]:
    """What was done about the dead letters of each connector; and what could not be, and why."""
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    urls = {name: url for name in registry.names() if (url := settings.dead_letter_queue_url(name))}
    found, failed = dict[str, Accounted](), dict[str, str]()
    for name, url in urls.items():
        try:
            found[name] = account_for(aws.DeadLetters(url), open_storage, now)
            failed |= found[name].failed
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told for this connector
            failed[f"dead letters of {name}"] = f"{type(error).__name__}: {error}"
    return found, failed


def _prune(folders: Sequence[JobFolder], now: datetime) -> dict[str, Any]:
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    before = now - timedelta(days=settings.retention_days())
    removed, failed = Counter[str](), {}
    for folder in folders:
        left = retention.AT_MOST - removed.total()
        try:
            removed[folder.job] = retention.prune(open_storage(folder.root), before, at_most=left)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told for this folder
            failed[folder.job] = f"{type(error).__name__}: {error}"
    aws.log("pruned", removed=removed)
    _raise_if_any(failed)
    return {"removed": dict(removed)}


def _raise_if_any(failed: dict[str, str]) -> None:
    if failed:
        raise SweepError("; ".join(f"{job}: {reason}" for job, reason in failed.items()))
