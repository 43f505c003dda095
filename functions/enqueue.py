"""A published run → messages on its connector's queue.

The handler reads "Object Created" events of manifests from the work queue. The rest takes a Storage and a
Queue: a part is streamed line by line, its raw lines packed into messages, and whatever the queue refuses
is sent again until it is taken.
"""

from __future__ import annotations

import gzip
import json
import random
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Protocol
from urllib.parse import unquote_plus

from connectors.contract import layout
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Receipt, write_receipts
from connectors.contract.storage import Storage
from connectors.contract.wire import FORMAT_VERSION
from connectors.packing import pack

# Source: Amazon SQS developer guide, "Quotas": 1 MiB a message, and a batch of at most 10 with 1 MiB in all.
BATCH_MESSAGES = 10
BATCH_BYTES = 1_048_576
# A message holds at most one request's records, so that a retry repeats no delivered neighbour; and about
# this much, so that a batch of them is a comfortable Lambda payload. A larger record travels alone.
MESSAGE_BYTES = 250_000
_SEND_TRIES = 6
# Two characters that SQS replaces or refuses, and JSON text that means the same.
# Source: Amazon SQS API reference, SendMessage, "MessageBody".
_ESCAPES = ((b"\xef\xbf\xbe", rb"\ufffe"), (b"\xef\xbf\xbf", rb"\uffff"))

Sleep = Callable[[float], None]
Ranges = Sequence[tuple[int, int]]


class EnqueueError(Exception):
    """A part could not be handed to the queue whole. Nothing is lost: the event comes again."""


class Queue(Protocol):
    """Where messages wait for deliver."""

    def send(self, bodies: Sequence[str]) -> list[int]:
        """Send at most 10 messages of at most 1 MiB together; the positions of those the queue refused."""


@dataclass
class Enqueued:
    """What was handed over.

    Attributes:
        too_large: Records that no message can hold; each has a receipt.
        skipped: Why a run was left alone; empty when it was not.
    """

    messages: int = 0
    records: int = 0
    too_large: int = 0
    skipped: str = ""


def enqueue(storage: Storage, key: str, queue: Queue, *, sleep: Sleep) -> Enqueued:
    """Hand every line of a published run to the queue.

    Args:
        storage: The job folder.
        key: The manifest's key.

    Raises:
        EnqueueError: The queue kept refusing, or a part is not what its manifest says.
    """
    manifest = RunManifest.model_validate_json(storage.get(key).data)
    if manifest.acknowledge == "onWrite":
        return Enqueued(skipped=f"run {manifest.run_id} is acknowledged onWrite: someone else reads its files")
    done = Enqueued()
    for file in manifest.files:
        enqueue_part(storage, key, manifest, file, queue, [(0, file.records - 1)], done, sleep=sleep)
    return done


def enqueue_part(
    storage: Storage,
    key: str,
    manifest: RunManifest,
    file: PartFile,
    queue: Queue,
    ranges: Ranges,
    done: Enqueued,
    *,
    sleep: Sleep,
) -> None:
    """Hand some ranges of a part's lines to the queue, and add to what was done.

    Args:
        ranges: (first, last) line, both included, in order.

    Raises:
        EnqueueError: The queue kept refusing, or the part is not what its manifest says.
    """
    too_large: list[Receipt] = []
    bodies = _part_messages(storage, f"{storage.root}/{key}", manifest, file, ranges, too_large)
    done.messages += send_all(queue, bodies, sleep=sleep)
    write_receipts(storage, manifest, too_large)
    done.too_large += len(too_large)
    done.records += sum(last - first + 1 for first, last in ranges) - len(too_large)


def send_all(queue: Queue, bodies: Iterable[bytes], *, sleep: Sleep) -> int:
    """Send messages in batches the queue takes; only refused ones are sent again. How many were sent.

    Raises:
        EnqueueError: The queue refused a message again and again.
    """
    sent = 0
    for batch in pack(bodies, max_count=BATCH_MESSAGES, max_bytes=BATCH_BYTES):
        left = [body.decode() for body in batch]
        for attempt in range(_SEND_TRIES):
            left = [left[position] for position in queue.send(left)]
            if not left:
                break
            sleep(random.uniform(0, min(10.0, 0.2 * 2**attempt)))  # noqa: S311 - jitter, not a secret
        else:
            raise EnqueueError(f"the queue refused {len(left)} message(s) {_SEND_TRIES} times")
        sent += len(batch)
    return sent


def message_bodies(
    lines: Iterable[bytes], manifest: RunManifest, address: str, file: str, first_line: int, too_large: list[Receipt]
) -> Iterator[bytes]:
    """Neighbouring lines of a part as message bodies, as many lines in each as fit.

    Args:
        lines: Without their ends.
        address: The manifest's full address.
        first_line: The number of the first of the lines in the part.
        too_large: Receipts are added for lines that no message can hold.
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
) -> Iterator[bytes]:
    """The messages of one part, made while it is read: never more than a message's lines in memory."""
    with storage.open(file.key) as raw, gzip.open(raw, "rb") as stream:
        lines = _lines(stream, file)
        at = 0
        for first, last in ranges:
            chosen = _exactly(islice(lines, first - at, last + 1 - at), last - first + 1, file)
            yield from message_bodies(chosen, manifest, address, file.key, first, too_large)
            at = last + 1
        if at == file.records and next(lines, None) is not None:
            raise EnqueueError(f"{file.key} should hold {file.records} records and goes on; it was changed")


def _lines(stream: Iterable[bytes], file: PartFile) -> Iterator[bytes]:
    """A part's lines without their ends, as a message may hold them."""
    try:
        for line in stream:
            text = line.rstrip(b"\n")
            for character, escape in _ESCAPES:
                text = text.replace(character, escape)
            yield text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EnqueueError(f"{file.key} cannot be unpacked ({error}); it was changed or cut") from error


def _exactly(lines: Iterable[bytes], count: int, file: PartFile) -> Iterator[bytes]:
    seen = 0
    for line in lines:
        seen += 1
        yield line
    if seen != count:
        raise EnqueueError(f"{file.key} should hold {file.records} records and ends early; it was changed or cut")


def manifest_of_event(body: str) -> tuple[str, str] | None:
    """The manifest that an event on the work queue announces, as (bucket, key).

    EventBridge carries the key as it is, an S3 notification URL-encoded. None for every other object.

    Raises:
        ValueError: The body is no JSON object.
    """
    event: Any = json.loads(body)
    if not isinstance(event, dict):
        raise ValueError("the event is no JSON object")
    if "detail" in event:
        bucket, key = event["detail"]["bucket"]["name"], event["detail"]["object"]["key"]
    elif event.get("Records"):
        record = event["Records"][0]["s3"]
        bucket, key = record["bucket"]["name"], unquote_plus(record["object"]["key"])
    else:
        return None
    try:
        layout.split_manifest_uri(f"s3://{bucket}/{key}")
    except layout.LayoutError:
        return None
    return bucket, key


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """SQS batch of events in, partial batch response out."""
    from functions import aws

    return aws.for_each_record(event, context, _handle)


def _handle(body: str) -> None:
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    found = manifest_of_event(body)
    if found is None:
        aws.log("event ignored")
        return
    folder, key = layout.split_manifest_uri("s3://{}/{}".format(*found))
    connector = layout.connector_of_manifest(key) or ""
    queue = aws.SqsQueue(settings.queue_url(connector))
    done = enqueue(open_storage(folder.root), key, queue, sleep=time.sleep)
    aws.log("enqueued", job=folder.job, connector=connector, messages=done.messages, skipped=done.skipped)
    aws.count("RecordsEnqueued", done.records, connector)
