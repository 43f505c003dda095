"""Delivery in this process: the functions' own code, with a queue in memory.

What is to be sent follows from the receipts: every line of a published run that none speaks of. So a
delivery that was broken off goes on where it stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from cli.fate import FATE_NAMES
from cli.memory_queue import MemoryQueue
from connectors.base import Connector
from connectors.contract import layout
from connectors.contract.documents import read_document
from connectors.contract.health import note_success
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Fate, Ledger, Receipt, read_ledger, write_receipts
from connectors.contract.storage import Storage, StorageError, open_storage
from connectors.contract.wire import NewerFormatError
from functions.calls import Pause, Send
from functions.deliver import Settlement, deliver
from functions.enqueue import enqueue_lines
from functions.intake import Received
from functions.newest import Newest
from functions.parts import Ranges

# How many messages are taken at once for each request on its way: enough that none waits for another.
MESSAGES_A_CALL = 4
# A message that fails this often waits for the next `recsync deliver`: a person is looking on.
GIVE_UP_AFTER = 6
# Why a run is left alone.
NOT_OURS = "acknowledged onWrite: someone else reads its files"

# The key of a manifest, and the manifest.
Published: TypeAlias = tuple[str, RunManifest]


class Clock(Protocol):
    """Time, as the module of that name tells it; a fast one may stand in."""

    def monotonic(self) -> float:
        """Seconds from some moment on."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass
class Delivery:
    """What became of a run's lines.

    Attributes:
        fates: All receipts of the run read together, at the end.
        lost: Lines that were refused or given up this time.
        requests: Calls made this time.
        trouble: Why lines wait or cannot be read, in sentences.
    """

    manifest: RunManifest
    fates: dict[Fate, int] = field(default_factory=dict)
    requests: int = 0
    lost: int = 0
    trouble: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Lines no receipt speaks of."""
        return self.fates.get(Fate.OPEN, 0)


def published(storage: Storage, connector: str) -> list[Published]:
    """A connector's published runs, oldest first."""
    keys = [entry.key for entry in storage.list(f"{layout.OUTPUT}{connector}/")]
    runs = [
        (key, read_document(storage, key, RunManifest))
        for key in keys
        if layout.connector_of_manifest(key) == connector
    ]
    return sorted(runs, key=lambda run: run[1].version)


def as_it_stands(storage: Storage, runs: Iterable[Published]) -> list[Delivery]:
    """What became of the lines of some runs so far, without delivering any."""
    return [Delivery(manifest, read_ledger(storage, manifest).counts()) for _, manifest in runs]


def deliver_run(
    storage: Storage,
    key: str,
    manifest: RunManifest,
    connector: Connector,
    send: Send,
    *,
    concurrency: int,
    report: Callable[[str], None],
    waits_for: str = "",
    clock: Clock | None = None,
) -> Delivery:
    """Deliver the open lines of a run, part by part, and leave their receipts.

    Args:
        manifest: It acknowledges onDelivery.
        waits_for: An older run that still has open lines. Until it has none this one is left alone, or
            old values would come after new ones.
    """
    before = read_ledger(storage, manifest)
    delivery = Delivery(manifest, before.counts())
    if waits_for:
        delivery.trouble += [f"waits for run {waits_for}"] if delivery.waiting else []
        return delivery
    note_success(storage, manifest.connector)  # a person who calls is the probe of an open circuit
    for number, file in enumerate(manifest.files, 1):
        ranges = list(before.open_ranges(file.key))
        if ranges and not delivery.trouble:
            report(f"{manifest.connector}: delivering part {number} of {len(manifest.files)}, {file.records} record(s)")
            deliver_lines(storage, key, file, ranges, connector, send, delivery, concurrency=concurrency, clock=clock)
    was, delivery.fates = delivery.fates, read_ledger(storage, manifest).counts()
    delivery.lost = sum(delivery.fates[fate] - was[fate] for fate in (Fate.REJECTED, Fate.DEAD_LETTERED))
    return delivery


def supersede_replaced(storage: Storage, runs: Iterable[Published]) -> None:
    """Say of the open lines of runs that a newer one replaced that it did. Needs no destination, and no part."""
    for _, manifest in runs:
        ledger = read_ledger(storage, manifest)
        if ledger.counts()[Fate.OPEN] and _is_replaced(storage, manifest):
            _supersede(storage, manifest, ledger)


def _is_replaced(storage: Storage, manifest: RunManifest) -> bool:
    """Whether a newer run took its place; not where nobody can tell: delivering then says why."""
    try:
        return manifest.version < Newest().version(storage, manifest.connector)
    except (NewerFormatError, StorageError):
        return False


def _supersede(storage: Storage, manifest: RunManifest, ledger: Ledger) -> None:
    """Say of the open lines of a run that a newer one took its place; its parts need not be there any more."""
    at = datetime.now(UTC)
    receipts = [
        Receipt(file=file.key, first_line=first, last_line=last, outcome="superseded", attempt=1, at=at)
        for file in manifest.files
        for first, last in ledger.open_ranges(file.key)
    ]
    write_receipts(storage, manifest, receipts)


def deliver_lines(
    storage: Storage,
    key: str,
    file: PartFile,
    ranges: Ranges,
    connector: Connector,
    send: Send,
    delivery: Delivery,
    *,
    concurrency: int,
    clock: Clock | None = None,
) -> None:
    """Deliver some lines of a part, and leave their receipts.

    Args:
        key: The manifest's key.
        delivery: Its calls and troubles are added to.
    """
    passing = clock or time
    queue = MemoryQueue(passing.monotonic)
    enqueue_lines(storage, key, delivery.manifest, file, queue, ranges, sleep=passing.sleep)
    _drain(queue, connector, send, concurrency, delivery, passing, Pause(passing.monotonic))


def _drain(
    queue: MemoryQueue,
    connector: Connector,
    send: Send,
    concurrency: int,
    delivery: Delivery,
    clock: Clock,
    pause: Pause,
) -> None:
    """Deliver until the queue is empty, or what is left has failed too often."""
    while (visible_at_s := queue.next_visible_s()) is not None:
        clock.sleep(max(0.0, visible_at_s - clock.monotonic()))
        batch = queue.receive(clock.monotonic(), MESSAGES_A_CALL * concurrency)
        settlement = deliver(
            batch,
            lambda fresh: connector,
            send,
            open_storage,
            queue,
            newest=Newest(),
            pause=pause,
            concurrency=concurrency,
        )
        delivery.requests += settlement.counts["requests"]
        for message in batch:
            _settle(queue, message, settlement, delivery, clock)
        if trouble := [*settlement.unread.values(), *settlement.faults.values()]:
            delivery.trouble.append(trouble[0])
            return
        if settlement.refused or settlement.left_alone:
            delivery.trouble.append(settlement.refused or f"the destination is in trouble: {settlement.left_alone}")
            return


def _settle(queue: MemoryQueue, message: Received, settlement: Settlement, delivery: Delivery, clock: Clock) -> None:
    wait_s = settlement.waits_s.get(message.message_id)
    if message.message_id in settlement.poison:
        delivery.trouble.append(f"a message cannot be read: {settlement.poison[message.message_id]}")
    elif wait_s is not None and (message.receives < GIVE_UP_AFTER or message.message_id in settlement.untried):
        was_tried = message.message_id not in settlement.untried
        queue.put_back(message.message_id, clock.monotonic() + wait_s, was_tried=was_tried)
        return
    elif wait_s is not None:
        delivery.trouble.append(f"the destination did not take a message in {GIVE_UP_AFTER} tries")
    queue.delete(message.message_id)


def total(deliveries: list[Delivery]) -> Counter[str]:
    """The figures of several runs together."""
    counts: Counter[str] = Counter()
    for delivery in deliveries:
        counts["records"] += sum(delivery.fates.values())
        counts.update({FATE_NAMES[fate]: count for fate, count in delivery.fates.items()})
        counts["requests"] += delivery.requests
    return counts
