"""A published run → messages on its connector's queue.

The handler reads "Object Created" events of manifests from the work queue. The rest takes a Storage and a
Queue: a part is streamed line by line, its raw lines packed into messages, and whatever the queue refuses
is sent again until it is taken.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Protocol
from urllib.parse import unquote_plus

from pydantic import Field

from connectors.contract import layout
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Receipt, write_receipts
from connectors.contract.storage import ConflictError, NotFoundError, Storage
from connectors.contract.wire import FORMAT_VERSION, VersionedModel
from connectors.packing import pack

# Source: Amazon SQS developer guide, "Quotas": 1 MiB a message, and a batch of at most 10 with 1 MiB in all.
BATCH_MESSAGES = 10
BATCH_BYTES = 1_048_576
# A message holds at most one request's records, so that a retry repeats no delivered neighbour; and of long ones as
# many as fit into this, which leaves room for a rest that is written otherwise. A larger record travels alone. Of such
# messages Lambda hands over fewer at once: as many as its payload of 6 MB holds.
# Source: AWS Lambda developer guide, "How Lambda processes records from stream and queue-based event sources",
# section "Batching behavior", read 2026-11-22.
MESSAGE_BYTES = 1_000_000
_SEND_TRIES = 6
# The marker is moved after so many batches: a call to storage for at most 10 MiB of messages.
_BATCHES_A_CHECKPOINT = 10
# Two characters that SQS replaces or refuses, and JSON text that means the same.
# Source: Amazon SQS API reference, SendMessage, "MessageBody".
_ESCAPES = ((b"\xef\xbf\xbe", rb"\ufffe"), (b"\xef\xbf\xbf", rb"\uffff"))

Sleep = Callable[[float], None]
Ranges = Sequence[tuple[int, int]]


class EnqueueError(Exception):
    """A part could not be handed to the queue whole. Nothing is lost: the event comes again."""


class Queue(Protocol):
    """Where messages wait for deliver."""

    def send(self, bodies: Sequence[str], *, delay_s: int = 0) -> list[int]:
        """Send at most 10 messages of at most 1 MiB together; the positions of those the queue refused."""


class Marker(VersionedModel):
    """How far enqueue came with a part.

    Attributes:
        next_line: The first line not handed over yet.
        done: Whether all were.
    """

    next_line: int = Field(default=0, ge=0)
    done: bool = False


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


def fan_out(storage: Storage, key: str, work_queue: Queue, *, sleep: Sleep) -> Enqueued:
    """A published run → one message for each of its parts, on the work queue.

    Raises:
        EnqueueError: The queue kept refusing.
    """
    manifest = RunManifest.model_validate_json(storage.get(key).data)
    if manifest.acknowledge == "onWrite":
        return Enqueued(skipped=f"run {manifest.run_id} is acknowledged onWrite: someone else reads its files")
    address = f"{storage.root}/{key}"
    bodies = [json.dumps({"manifest": address, "part": file.key}).encode() for file in manifest.files]
    return Enqueued(messages=send_all(work_queue, bodies, sleep=sleep))


def enqueue_part(storage: Storage, key: str, part: str, queue: Queue, *, sleep: Sleep) -> Enqueued:
    """Hand every line of a part to the queue, once: what an earlier try handed over is not repeated.

    A marker beside the receipts says how far the part came. It is moved by compare-and-swap, so that of two
    who work on one part at once one stops; what may be repeated is what was sent since the last move.

    Args:
        key: The manifest's key.
        part: The part's key.

    Raises:
        EnqueueError: The queue kept refusing, the part is not what its manifest says, or another one is at it.
    """
    manifest = RunManifest.model_validate_json(storage.get(key).data)
    file = next((file for file in manifest.files if file.key == part), None)
    if file is None:
        raise EnqueueError(f"{part} is not a part of {key}")
    progress = _Progress(storage, layout.enqueued(manifest.connector, manifest.run_id, part))
    if progress.marker.done:
        return Enqueued(skipped=f"{part} was handed over before")
    _check(storage, file)
    ranges = [(progress.marker.next_line, file.records - 1)]
    done = enqueue_lines(storage, key, manifest, file, queue, ranges, sleep=sleep, on_sent=progress.reached)
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
        EnqueueError: The queue kept refusing, or the part is not what its manifest says.
    """
    too_large: list[Receipt] = []
    ends: deque[int] = deque()
    bodies = _part_messages(storage, f"{storage.root}/{key}", manifest, file, ranges, too_large, ends)

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
        try:
            blob = storage.get(key)
            self.marker, self._tag = Marker.model_validate_json(blob.data), blob.tag
        except NotFoundError:
            self.marker, self._tag = Marker(), ""

    def reached(self, next_line: int) -> None:
        """A batch was sent; every so many of them the marker is moved."""
        self._batches += 1
        if self._batches % _BATCHES_A_CHECKPOINT == 0:
            self._move(Marker(next_line=next_line))

    def finish(self, records: int) -> None:
        """All was sent."""
        self._move(Marker(next_line=records, done=True))

    def _move(self, marker: Marker) -> None:
        data = marker.to_json().encode()
        try:
            if self._tag:
                self._tag = self._storage.put(self._key, data, if_match=self._tag)
            else:
                self._tag = self._storage.put(self._key, data, if_absent=True)
        except ConflictError as error:
            raise EnqueueError(f"another invocation works on {self._key}; this one stops") from error


def _check(storage: Storage, file: PartFile) -> None:
    """The part is what was published, before any of it is sent."""
    digest = hashlib.sha256()
    try:
        with storage.open(file.key) as stream:
            while data := stream.read(1 << 18):
                digest.update(data)
    except NotFoundError as error:
        raise EnqueueError(f"{file.key} is gone; the next run sends its users again") from error
    if digest.hexdigest() != file.checksum:
        raise EnqueueError(f"{file.key} was replaced after its manifest was written: its checksum differs")


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


def message_bodies(
    lines: Iterable[bytes],
    manifest: RunManifest,
    address: str,
    file: str,
    first_line: int,
    too_large: list[Receipt],
    ends: deque[int],
) -> Iterator[bytes]:
    """Neighbouring lines of a part as message bodies, as many lines in each as fit.

    Args:
        lines: Without their ends.
        address: The manifest's full address.
        first_line: The number of the first of the lines in the part.
        too_large: Receipts are added for lines that no message can hold.
        ends: The last line of each message is added, before the message is given.
    """
    head = _head(manifest, address, file)
    room = BATCH_BYTES - len(head) - 100
    start = first_line
    for group in pack(lines, max_count=manifest.records_per_request, max_bytes=MESSAGE_BYTES, overhead_bytes=len(head)):
        last = start + len(group) - 1
        if len(group) == 1 and len(group[0]) > room:
            at = datetime.now(UTC)
            too_large.append(Receipt(file=file, first_line=start, last_line=last, outcome="tooLarge", at=at))
        else:
            ends.append(last)
            yield b'%b"from":%d,"to":%d,"lines":[%b]}' % (head, start, last, b",".join(group))
        start = last + 1


def _head(manifest: RunManifest, address: str, file: str) -> bytes:
    """A message's JSON up to what differs between those of a part."""
    head = {
        "formatVersion": FORMAT_VERSION,
        "connector": manifest.connector,
        "manifest": address,
        "version": manifest.version,
        "file": file,
        "attempt": 1,
    }
    return json.dumps(head).removesuffix("}").encode() + b","


def _part_messages(
    storage: Storage,
    address: str,
    manifest: RunManifest,
    file: PartFile,
    ranges: Ranges,
    too_large: list[Receipt],
    ends: deque[int],
) -> Iterator[bytes]:
    """The messages of one part, made while it is read: never more than a message's lines in memory."""
    with storage.open(file.key) as raw, gzip.open(raw, "rb") as stream:
        lines = _lines(stream, file)
        at = 0
        for first, last in ranges:
            chosen = _exactly(islice(lines, first - at, last + 1 - at), last - first + 1, file)
            yield from message_bodies(chosen, manifest, address, file.key, first, too_large, ends)
            at = last + 1
        if at == file.records and next(lines, None) is not None:
            raise EnqueueError(f"{file.key} should hold {file.records} records and goes on; it was changed")


def sendable(text: bytes) -> bytes:
    """JSON text as a message may hold it."""
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


def _lines(stream: Iterable[bytes], file: PartFile) -> Iterator[bytes]:
    """A part's lines without their ends, as a message may hold them."""
    try:
        for line in stream:
            yield sendable(line.rstrip(b"\n"))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EnqueueError(f"{file.key} cannot be unpacked ({error}); it was changed or cut") from error


def _exactly(lines: Iterable[bytes], count: int, file: PartFile) -> Iterator[bytes]:
    seen = 0
    for line in lines:
        seen += 1
        yield line
    if seen != count:
        raise EnqueueError(f"{file.key} should hold {file.records} records and ends early; it was changed or cut")


@dataclass(frozen=True)
class Announced:
    """What a body on the work queue announces.

    Attributes:
        manifests: Manifests that were written, as (bucket, key), in order.
        ignored: Events in it that are of no interest to us; a body that holds none counts as one.
    """

    manifests: tuple[tuple[str, str], ...]
    ignored: int


def announced(body: str) -> Announced:
    """The manifests that a body on the work queue announces. Whatever else it may be is ignored and counted.

    EventBridge tells of one object and carries its key as it is; an S3 notification tells of several, and their
    keys are URL-encoded.

    Raises:
        ValueError: The body is no JSON.

    Source: Amazon S3 user guide, "Event message structure" and "EventBridge event message structure", read 2026-11-22.
    """
    event: Any = json.loads(body)
    records = _at(event, "Records")
    places = [_place_in_record(one) for one in records] if isinstance(records, list) else [_place_in_event(event)]
    manifests = tuple(place for place in places if place is not None and _is_manifest(*place))
    return Announced(manifests, ignored=max(1, len(places)) - len(manifests))


def _place_in_event(event: Any) -> tuple[str, str] | None:
    """Bucket and key of an object that EventBridge says was written."""
    bucket, key = _at(event, "detail", "bucket", "name"), _at(event, "detail", "object", "key")
    is_written = _at(event, "detail-type") == "Object Created" and isinstance(bucket, str) and isinstance(key, str)
    return (bucket, key) if is_written else None


def _place_in_record(record: Any) -> tuple[str, str] | None:
    """Bucket and key of an object that an S3 notification says was written."""
    bucket, key = _at(record, "s3", "bucket", "name"), _at(record, "s3", "object", "key")
    is_written = str(_at(record, "eventName")).startswith("ObjectCreated:")
    return (bucket, unquote_plus(key)) if is_written and isinstance(bucket, str) and isinstance(key, str) else None


def _at(value: Any, *path: str) -> Any:
    """What stands at a path of keys; None where the path ends early."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_manifest(bucket: str, key: str) -> bool:
    try:
        layout.split_manifest_uri(f"s3://{bucket}/{key}")
    except layout.LayoutError:
        return False
    return True


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
    done = fan_out(open_storage(folder.root), key, work_queue, sleep=time.sleep)
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


def part_of_message(body: str) -> tuple[str, str] | None:
    """The manifest's address and the part's key, when the message is one of a fan-out.

    Raises:
        ValueError: The body is no JSON.
    """
    message = json.loads(body)
    if not isinstance(message, dict) or not {"manifest", "part"} <= message.keys():
        return None
    return str(message["manifest"]), str(message["part"])
