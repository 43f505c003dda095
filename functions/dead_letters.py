"""Dead letters: receipts say what became of their lines, and those that a newer run made pointless go."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Protocol

from pydantic import ValidationError

from connectors.contract import layout
from connectors.contract.documents import find_document, read_document
from connectors.contract.manifest import Message, Pointer, RunManifest
from connectors.contract.receipts import Fate, Ledger, Receipt, read_ledger, write_receipts
from connectors.contract.storage import NotFoundError, OpenFolder, Storage, StorageError
from connectors.contract.wire import NewerFormatError
from functions.settling import receipt_of_all

# A queue of more is read on by the next sweep.
_AT_MOST = 1_000


class DeadLetterQueue(Protocol):
    """A dead-letter queue, to be read through."""

    def receive(self) -> list[tuple[str, str]]:
        """Some messages as (handle, body); none once all were seen."""

    def delete(self, handle: str) -> None:
        """Remove one that was received."""


@dataclass
class Accounted:
    """What was done about the dead letters of a connector.

    Attributes:
        removed: Messages that a newer run made pointless.
        receipted: Messages that stay, whose lines are known to be dead-lettered from now on.
        failed: Run, by its manifest's address → why its messages could not be accounted for.
    """

    removed: int = 0
    receipted: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def but_for(self, address: str) -> Iterator[None]:
        """Go on after trouble with a run, and keep it."""
        try:
            yield
        except (StorageError, NewerFormatError) as error:
            self.failed[address] = str(error)


def account_for(queue: DeadLetterQueue, open_folder: OpenFolder, now: datetime) -> Accounted:
    """Leave receipts for the dead letters of a connector, and remove those that are pointless.

    Pointless is one of a run whose users were all told something newer since. One that cannot be read stays: a person
    should look at it. So do those of a run that cannot be, and keep no other's from being accounted for.
    """
    settled = functools.cache(functools.partial(settled_version, open_folder))
    run_of = functools.cache(functools.partial(_run_of, open_folder))
    accounted, left = Accounted(), defaultdict[str, list[Message]](list)
    for handle, message in _readable(queue):
        folder, _ = layout.split_manifest_uri(message.manifest)
        with accounted.but_for(message.manifest):
            if message.version < settled(folder.root, message.connector):
                _supersede(run_of(message.manifest), message, now)
                queue.delete(handle)
                accounted.removed += 1
            else:
                left[message.manifest].append(message.model_copy(update={"lines": []}))  # a thousand fill the memory
    for address, messages in left.items():
        with accounted.but_for(address):
            if run := run_of(address):
                accounted.receipted += _say_dead_lettered(*run, messages, now)
    return accounted


def _supersede(run: tuple[Storage, RunManifest] | None, message: Message, now: datetime) -> None:
    """Say of a message's lines that a newer run replaced them, where anybody may still ask."""
    if run:
        write_receipts(*run, [receipt_of_all(message, "superseded", now)])


def _readable(queue: DeadLetterQueue) -> Iterator[tuple[str, Message]]:
    """The messages that can be read, as (handle, message)."""
    seen = 0
    while seen < _AT_MOST and (received := queue.receive()):
        seen += len(received)
        for handle, body in received:
            try:
                message = Message.model_validate_json(body)
                layout.split_manifest_uri(message.manifest)
            except (ValidationError, NewerFormatError, layout.LayoutError):
                continue
            if message.first_line <= message.last_line:
                yield handle, message


def settled_version(open_folder: OpenFolder, root: str, connector: str) -> int:
    """The version of a connector's newest run, once every line of it is settled or someone else's; else 0."""
    storage = open_folder(root)
    try:
        pointer = read_document(storage, layout.pointer(connector), Pointer)
        manifest = read_document(storage, pointer.manifest, RunManifest)
    except NotFoundError:
        return 0
    is_settled = manifest.acknowledge == "onWrite" or not read_ledger(storage, manifest).counts()[Fate.OPEN]
    return manifest.version if is_settled else 0


def _say_dead_lettered(storage: Storage, manifest: RunManifest, messages: Iterable[Message], now: datetime) -> int:
    """Say so of those lines of a run's messages that nothing is known about; how many messages had such lines."""
    ledger = read_ledger(storage, manifest)
    said = [receipts for message in messages if (receipts := list(_open_of(message, ledger, now)))]
    write_receipts(storage, manifest, list(chain(*said)))
    return len(said)


def _open_of(message: Message, ledger: Ledger, now: datetime) -> Iterator[Receipt]:
    """A receipt for each run of a message's lines nothing is known about."""
    whole = receipt_of_all(message, "deadLettered", now)
    for first, last in ledger.open_ranges(message.file) if message.file in ledger.fates else ():
        first_line, last_line = max(first, message.first_line), min(last, message.last_line)
        if first_line <= last_line:
            yield whole.model_copy(update={"first_line": first_line, "last_line": last_line})


def _run_of(open_folder: OpenFolder, address: str) -> tuple[Storage, RunManifest] | None:
    """The run of a manifest's address; None where it is pruned, and nobody asks what became of it."""
    folder, key = layout.split_manifest_uri(address)
    storage = open_folder(folder.root)
    manifest = find_document(storage, key, RunManifest)
    return (storage, manifest) if manifest else None
