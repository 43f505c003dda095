"""Dead letters that a newer run made pointless: it told the same users something newer, and all of it is settled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from pydantic import ValidationError

from connectors.contract import layout
from connectors.contract.documents import find_document, read_document
from connectors.contract.manifest import Message, Pointer, RunManifest
from connectors.contract.receipts import Fate, Receipt, read_ledger, write_receipts
from connectors.contract.storage import NotFoundError, Storage
from connectors.contract.wire import NewerFormatError

# A queue of more is read on by the next sweep.
_AT_MOST = 1_000


class DeadLetterQueue(Protocol):
    """A dead-letter queue, to be read through."""

    def receive(self) -> list[tuple[str, str]]:
        """Some messages as (handle, body); none once all were seen."""

    def delete(self, handle: str) -> None:
        """Remove one that was received."""


def remove_pointless(queue: DeadLetterQueue, open_folder: Callable[[str], Storage], now: datetime) -> int:
    """Remove the dead letters of a connector that are pointless, each with its receipt; how many.

    One that cannot be read stays: a person should look at it.
    """
    settled = functools.cache(functools.partial(settled_version, open_folder))
    seen = removed = 0
    while seen < _AT_MOST and (received := queue.receive()):
        seen += len(received)
        for handle, body in received:
            try:
                message = Message.model_validate_json(body)
                folder, _ = layout.split_manifest_uri(message.manifest)
            except (ValidationError, NewerFormatError, layout.LayoutError):
                continue
            if message.version < settled(folder.root, message.connector):
                _leave_receipt(open_folder(folder.root), message, now)
                queue.delete(handle)
                removed += 1
    return removed


def settled_version(open_folder: Callable[[str], Storage], root: str, connector: str) -> int:
    """The version of a connector's newest run, once every line of it is settled; else 0."""
    storage = open_folder(root)
    try:
        pointer = read_document(storage, layout.pointer(connector), Pointer)
        manifest = read_document(storage, pointer.manifest, RunManifest)
    except NotFoundError:
        return 0
    is_settled = manifest.acknowledge == "onDelivery" and not read_ledger(storage, manifest).counts()[Fate.OPEN]
    return manifest.version if is_settled else 0


def _leave_receipt(storage: Storage, message: Message, now: datetime) -> None:
    """Say what became of the lines; of a run that is pruned nobody asks."""
    _, key = layout.split_manifest_uri(message.manifest)
    manifest = find_document(storage, key, RunManifest)
    if manifest is None:
        return
    receipt = Receipt(
        file=message.file,
        first_line=message.first_line,
        last_line=message.last_line,
        outcome="superseded",
        attempt=message.attempt,
        at=now,
    )
    write_receipts(storage, manifest, [receipt])
