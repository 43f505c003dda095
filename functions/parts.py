"""The parts of a published run as messages: whether one is still what was published, and its lines, as many as fit."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice

from connectors.contract.gzipped import CutError, unpacking
from connectors.contract.manifest import MESSAGE_BYTES, PartFile, Pointer, RunManifest
from connectors.contract.receipts import Receipt
from connectors.contract.storage import NotFoundError, Storage
from connectors.contract.wire import FORMAT_VERSION
from connectors.packing import pack

# Source: Amazon SQS developer guide, "Quotas": 1 MiB a message, and a batch of at most 10 with 1 MiB in all.
BATCH_MESSAGES = 10
BATCH_BYTES = 1_048_576
# Two characters that SQS replaces or refuses, and JSON text that means the same.
# Source: Amazon SQS API reference, SendMessage, "MessageBody".
_ESCAPES = ((b"\xef\xbf\xbe", rb"\ufffe"), (b"\xef\xbf\xbf", rb"\uffff"))
_BEGIN_OF_BOTH = b"\xef"

Ranges = Sequence[tuple[int, int]]


class EnqueueError(Exception):
    """A part could not be handed to the queue whole. Nothing is lost: the event comes again."""


def check_part(storage: Storage, file: PartFile) -> None:
    """See that a part is what was published, before any of it is sent.

    Raises:
        EnqueueError: It is gone, or another one.
    """
    digest = hashlib.sha256()
    try:
        with storage.open(file.key) as stream:
            while data := stream.read(1 << 18):
                digest.update(data)
    except NotFoundError as error:
        raise EnqueueError(f"{file.key} is gone; {Pointer.mend}") from error
    if digest.hexdigest() != file.checksum:
        raise EnqueueError(f"{file.key} was replaced after its manifest was written: its checksum differs")


def part_messages(
    storage: Storage,
    address: str,
    manifest: RunManifest,
    file: PartFile,
    ranges: Ranges,
    too_large: list[Receipt],
    ends: deque[int],
) -> Iterator[bytes]:
    """The messages of one part, made while it is read: never more than a message's lines in memory.

    Args:
        address: The manifest's full address.
        ranges: (first, last) line, both included, in order.
        too_large: Receipts are added for lines that no message can hold.
        ends: The last line of each message is added, before the message is given.

    Raises:
        EnqueueError: It holds other lines than its manifest says.
    """
    with _lines_of(storage, file) as lines:
        at = 0
        for first, last in ranges:
            chosen = _exactly(islice(lines, first - at, last + 1 - at), last - first + 1, file)
            yield from message_bodies(chosen, manifest, address, file.key, first, too_large, ends)
            at = last + 1
        if at == file.records and next(lines, None) is not None:
            raise EnqueueError(f"{file.key} should hold {file.records} records and goes on; it was changed")


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


def sendable(text: bytes) -> bytes:
    """JSON text as a message may hold it."""
    if _BEGIN_OF_BOTH not in text:
        return text
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


@contextmanager
def _lines_of(storage: Storage, file: PartFile) -> Iterator[Iterator[bytes]]:
    """A part's lines without their ends, as a message may hold them."""
    try:
        with storage.open(file.key) as packed, unpacking(packed) as stream:
            yield (sendable(line.rstrip(b"\n")) for line in stream)
    except CutError as error:
        raise EnqueueError(f"{file.key} cannot be unpacked ({error}); it was changed or cut") from error


def _exactly(lines: Iterable[bytes], count: int, file: PartFile) -> Iterator[bytes]:
    seen = 0
    for line in lines:
        seen += 1
        yield line
    if seen != count:
        raise EnqueueError(f"{file.key} should hold {file.records} records and ends early; it was changed or cut")
