"""A published run → messages on its connector's queue.

The handler reads "Object Created" events of manifests from the work queue. The rest takes a Storage and a
Queue: messages are made of a part's lines while it is read, and whatever the queue refuses is sent again until it is
taken.
"""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol

from pydantic import Field

from connectors.contract import layout
from connectors.contract.documents import read_document, read_tagged
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Receipt, write_receipts
from connectors.contract.storage import ConflictError, NotFoundError, Storage
from connectors.contract.wire import VersionedModel
from connectors.packing import pack
from functions.announcements import announced, part_of_message
from functions.parts import BATCH_BYTES, BATCH_MESSAGES, EnqueueError, Ranges, check_part, part_messages

_SEND_TRIES = 6
# The marker is moved after so many batches: a call to storage for at most 10 MiB of messages.
_BATCHES_A_CHECKPOINT = 10
# A part is one invocation's own for as long as that can live (300 s), and clocks may differ. The work queue shows a
# message again later than that.
CLAIM = timedelta(seconds=330)

Sleep = Callable[[float], None]


class Queue(Protocol):
    """Where messages wait for deliver."""

    def send(self, bodies: Sequence[str], *, delay_s: int = 0) -> list[int]:
        """Send at most 10 messages of at most 1 MiB together; the positions of those the queue refused."""


class Marker(VersionedModel):
    """How far enqueue came with a part.

    Attributes:
        next_line: The first line not handed over yet.
        done: Whether all were.
        claimed_until: Until when the part is somebody's who works on it; None where nobody does.
    """

    mend: ClassVar[str] = "remove it: its part is handed over once more"
    next_line: int = Field(default=0, ge=0)
    done: bool = False
    claimed_until: datetime | None = None


@dataclass
class Enqueued:
    """What was handed over.

    Attributes:
        too_large: Records that no message can hold; each has a receipt.
        skipped: Why nothing was done; empty when something was.
    """

    messages: int = 0
    records: int = 0
    too_large: int = 0
    skipped: str = ""


def fan_out(
    storage: Storage,
    key: str,
    work_queue: Queue,
    *,
    sleep: Sleep,
    has_queue: Callable[[str], bool] = lambda connector: True,
) -> Enqueued:
    """A published run → one message for each of its parts, on the work queue.

    Args:
        has_queue: Whether a connector has a queue, for its name.

    Raises:
        EnqueueError: The queue kept refusing, or there is none for what the parts hold.
    """
    manifest = read_document(storage, key, RunManifest)
    if manifest.acknowledge == "onWrite":
        return Enqueued(skipped=f"run {manifest.run_id} is acknowledged onWrite: someone else reads its files")
    if not has_queue(manifest.connector):
        raise EnqueueError(no_queue(manifest))
    address = f"{storage.root}/{key}"
    bodies = [json.dumps({"manifest": address, "part": file.key}).encode() for file in manifest.files]
    return Enqueued(messages=send_all(work_queue, bodies, sleep=sleep))


def no_queue(manifest: RunManifest) -> str:
    """Why a run's records go nowhere in a stack without its destination."""
    name = manifest.connector
    return (
        f"run {manifest.run_id} is for {name}, and this stack has no {name}; deploy it with the endpoint and the key "
        f"of {name}, or take {name} out of config.json"
    )


def enqueue_part(
    storage: Storage,
    key: str,
    part: str,
    queue: Queue,
    *,
    sleep: Sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Enqueued:
    """Hand every line of a part to the queue, once: what an earlier try handed over is not repeated.

    A marker beside the receipts says how far the part came, and whose it is. It is moved by compare-and-swap, so that
    of two who begin at once one does; what may be repeated is what one who died sent since its last move.

    Args:
        key: The manifest's key.
        part: The part's key.

    Raises:
        EnqueueError: The queue kept refusing, the part is not what its manifest says, or another one is at it.
    """
    manifest = read_document(storage, key, RunManifest)
    file = next((file for file in manifest.files if file.key == part), None)
    if file is None:
        raise EnqueueError(f"{part} is not a part of {key}")
    progress = _Progress(storage, layout.enqueued(manifest.connector, manifest.run_id, part))
    if progress.marker.done:
        return Enqueued(skipped=f"{part} was handed over before")
    progress.claim(now())
    ranges = [(progress.marker.next_line, file.records - 1)]
    try:
        done = enqueue_lines(storage, key, manifest, file, queue, ranges, sleep=sleep, on_sent=progress.reached)
    except EnqueueError:
        progress.release()
        raise
    progress.finish(file.records)
    return done


def enqueue_lines(
    storage: Storage,
    key: str,
    manifest: RunManifest,
    file: PartFile,
    queue: Queue,
    ranges: Ranges,
    *,
    sleep: Sleep,
    on_sent: Callable[[int], None] = lambda next_line: None,
) -> Enqueued:
    """Hand some ranges of a part's lines to the queue.

    Args:
        ranges: (first, last) line, both included, in order.
        on_sent: Is told the first line not handed over yet, after each batch.

    Raises:
        EnqueueError: The part is not what was published, and nothing of it was sent; or the queue kept refusing.
    """
    check_part(storage, file)
    too_large: list[Receipt] = []
    ends: deque[int] = deque()
    bodies = part_messages(storage, f"{storage.root}/{key}", manifest, file, ranges, too_large, ends)

    def batch_sent(count: int) -> None:
        last = [ends.popleft() for _ in range(count)][-1]
        if not too_large:  # the receipts of these are written at the end: until then nothing counts as reached
            on_sent(last + 1)

    messages = send_all(queue, bodies, sleep=sleep, batch_sent=batch_sent)
    write_receipts(storage, manifest, too_large)
    records = sum(last - first + 1 for first, last in ranges) - len(too_large)
    return Enqueued(messages, records, len(too_large))


class _Progress:
    """The marker of a part, as this invocation moves it."""

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage, self._key = storage, key
        self._batches = 0
        self.marker, self._tag = Marker(), None
        with suppress(NotFoundError):
            self.marker, self._tag = read_tagged(storage, key, Marker)

    def claim(self, now: datetime) -> None:
        """Have the part for ourselves.

        Raises:
            EnqueueError: It is somebody else's.
        """
        until = self.marker.claimed_until
        if until is not None and until > now:
            raise self._is_taken()
        self._move(self.marker.model_copy(update={"claimed_until": now.astimezone(UTC) + CLAIM}))

    def release(self) -> None:
        """Leave the part to the next one, at the last checkpoint. Whose it is by now keeps it."""
        with suppress(EnqueueError):
            self._move(self.marker.model_copy(update={"claimed_until": None}))

    def reached(self, next_line: int) -> None:
        """A batch was sent; every so many of them the marker is moved."""
        self._batches += 1
        if self._batches % _BATCHES_A_CHECKPOINT == 0:
            self._move(self.marker.model_copy(update={"next_line": next_line}))

    def finish(self, records: int) -> None:
        """All was sent."""
        self._move(Marker(next_line=records, done=True))

    def _move(self, marker: Marker) -> None:
        data = marker.to_json().encode()
        try:
            self._tag = self._storage.put(self._key, data, if_absent=self._tag is None, if_match=self._tag)
        except ConflictError as error:
            raise self._is_taken() from error
        self.marker = marker

    def _is_taken(self) -> EnqueueError:
        return EnqueueError(f"another invocation works on {self._key}; this one stops")


def send_all(
    queue: Queue,
    bodies: Iterable[bytes],
    *,
    sleep: Sleep,
    delay_s: int = 0,
    batch_sent: Callable[[int], None] = lambda count: None,
) -> int:
    """Send messages in batches the queue takes; only refused ones are sent again. How many were sent.

    Args:
        batch_sent: Is told how many messages a batch held, once all of it was taken.

    Raises:
        EnqueueError: The queue refused a message again and again.
    """
    sent = 0
    for batch in pack(bodies, max_count=BATCH_MESSAGES, max_bytes=BATCH_BYTES):
        left = [body.decode() for body in batch]
        for attempt in range(_SEND_TRIES):
            left = [left[position] for position in queue.send(left, delay_s=delay_s)]
            if not left:
                break
            sleep(random.uniform(0, min(10.0, 0.2 * 2**attempt)))  # noqa: S311 - jitter, not a secret
        else:
            raise EnqueueError(f"the queue refused {len(left)} message(s) {_SEND_TRIES} times")
        sent += len(batch)
        batch_sent(len(batch))
    return sent


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """SQS batch in, partial batch response out: events of published runs, and the parts they fan out to."""
    from functions import aws

    return aws.for_each_record(event, context, _handle)


def _handle(body: str) -> None:
    """Enqueue the part that a message names, or fan out every run that an event announces."""
    from functions import aws

    found = part_of_message(body)
    if found is not None:
        _enqueue_named(*found)
        return
    event = announced(body)
    if event.ignored:
        aws.log("events ignored", count=event.ignored)
        aws.count("EventsIgnored", event.ignored)
    failures = [error for place in event.manifests if (error := _failure_of(_fan_out_announced, *place))]
    if failures:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("several runs could not be fanned out", failures)


def _failure_of(act: Callable[[str, str], None], bucket: str, key: str) -> Exception | None:
    """Act on one of several announced runs. One that fails holds no other up: the event comes again for it."""
    try:
        act(bucket, key)
    except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it when all had their turn
        return error
    return None


def _fan_out_announced(bucket: str, key: str) -> None:
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    folder, key = layout.split_manifest_uri(f"s3://{bucket}/{key}")
    work_queue = aws.SqsQueue(settings.required("WORK_QUEUE_URL"))
    done = fan_out(open_storage(folder.root), key, work_queue, sleep=time.sleep, has_queue=settings.has_queue)
    aws.log("fanned out", job=folder.job, parts=done.messages, skipped=done.skipped)


def _enqueue_named(manifest: str, part: str) -> None:
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    folder, key = layout.split_manifest_uri(manifest)
    connector = layout.connector_of_manifest(key) or ""
    queue = aws.SqsQueue(settings.queue_url(connector))
    done = enqueue_part(open_storage(folder.root), key, part, queue, sleep=time.sleep)
    aws.log("part enqueued", job=folder.job, connector=connector, messages=done.messages, skipped=done.skipped)
    aws.count("RecordsEnqueued", done.records, connector, folder.job)
    if done.too_large:
        aws.count("RecordsRejected", done.too_large, connector, folder.job)
