"""Messages → requests → receipts. One code for every connector; DESTINATION names the one a function serves.

Every record of every message ends here as delivered, rejected or superseded, and a receipt says so, or it
goes back to the queue. What no one can ever read goes to the dead-letter queue with its reason.
"""

from __future__ import annotations

import functools
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.base import Connector, Reply, Request, Verdict
from connectors.contract.health import FIRST_WAIT_S, Circuit, read_circuit
from connectors.contract.receipts import Receipt, write_receipts
from connectors.contract.storage import OpenFolder, StorageError
from connectors.contract.wire import NewerFormatError
from connectors.errors import ConfigError
from functions.calls import (
    FAILED,
    NOT_MADE,
    OUT_OF_TIME,
    SUPERSEDED,
    Connect,
    Pause,
    Send,
    Told,
    call,
    not_called,
)
from functions.enqueue import Queue, Sleep
from functions.giving_back import WayBack
from functions.intake import PoisonError, Received, Run, Work, open_run, work_of
from functions.newest import NEWEST_MAX_AGE_S, Newest
from functions.settling import LONGEST_WAIT_S, receipt_of_all, receipts_of, wait_s

_CIRCUIT_JITTER_S = 15.0
# A message that was handed out so often goes back as a new one. The queue counts, and buries at 100 what kills the
# function again and again; one that only has to wait is none of those.
RENEWED_FROM = 50
# What is left of a function's time when no further call is made: for the one under way, receipts and the queue.
_RESERVE_MS = 45_000


@dataclass
class Settlement:
    """What became of a batch of messages.

    Attributes:
        waits_s: Message id → seconds to wait before it comes again; those missing here are settled.
        untried: Ids of messages for which no call was made, since the destination is to be left alone.
        poison: Message id → why it can never be read: a code, see docs/explanation/delivery.md.
        unread: Message id → what it needs and could not be had this time: its run, which run is the newest, the
            destination's health, or a place for its receipt.
        faults: Message id → where its connector failed, which is a fault of ours.
        counts: Records by verdict, and calls as ``requests``. ``unanswered``: records whose call may have arrived
            and got no answer. ``repeated``: records sent of messages that had been handed out before.
        counts_by_job: The same, by job.
        warnings: Records that were sent and that a person should know of, by code.
        refused: Why the destination refuses all of it, when it does: our settings are wrong.
        left_alone: Why no call was made for some messages: the destination's circuit is open.
        health_lost: Why the destination's health could not be kept, where it could not.
    """

    waits_s: dict[str, float] = field(default_factory=dict)
    untried: set[str] = field(default_factory=set)
    poison: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    counts_by_job: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    warnings: Counter[str] = field(default_factory=Counter)
    refused: str = ""
    left_alone: str = ""
    health_lost: str = ""


@dataclass(frozen=True)
class _Means:
    """What it takes to deliver: see `deliver`."""

    connect: Connect
    send: Send
    open_folder: OpenFolder
    way_back: WayBack
    newest: Newest
    pause: Pause
    now: Callable[[], datetime]
    has_time: Callable[[], bool]
    concurrency: int


def deliver(
    batch: Sequence[Received],
    connect: Connect,
    send: Send,
    open_folder: OpenFolder,
    queue: Queue,
    *,
    newest: Newest,
    pause: Pause,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Sleep = time.sleep,
    has_time: Callable[[], bool] = lambda: True,
    concurrency: int = 1,
) -> Settlement:
    """Deliver a batch of messages, and leave a receipt for every record that is settled.

    Args:
        connect: The connector; given True, with its secret read anew.
        send: Sends one request; never raises for what the network does.
        open_folder: The storage of a job folder, by its address.
        queue: Where the rest of a message goes when only a part of it was settled.
        newest: Which version replaces older ones.
        pause: How long the destination asked not to be called.
        has_time: Whether there is time for another call; what is left when there is none waits.
        concurrency: How many messages are on their way at once.
    """
    settlement = Settlement()
    means = _Means(connect, send, open_folder, WayBack(queue, sleep), newest, pause, now, has_time, concurrency)
    try:
        connector = connect(False)
    except ConfigError as error:  # its secret or its endpoint cannot be read, or is none: as if it refused the key
        settlement.refused = str(error)
        settlement.waits_s = {received.message_id: wait_s((), received.receives) for received in batch}
    else:
        _deliver_all(batch, connector, means, settlement)
    _renew(batch, means.way_back, settlement)
    return settlement


def _deliver_all(batch: Iterable[Received], connector: Connector, means: _Means, settlement: Settlement) -> None:
    """Deliver what can be read, job folder by job folder."""
    run_of = functools.cache(functools.partial(open_run, connector, means.open_folder))
    works = [work for received in batch if (work := _read(received, connector, run_of, settlement))]
    by_folder: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        by_folder[work.run.storage.root].append(work)
    for group in by_folder.values():
        before = settlement.counts.copy()
        current = _of_this_release(_current(group, means.newest, means.now(), settlement), settlement)
        _deliver_group(current, means, settlement)
        settlement.counts_by_job[group[0].run.manifest.job] += settlement.counts - before


def _read(
    received: Received, connector: Connector, run_of: Callable[[str], Run], settlement: Settlement
) -> Work | None:
    """The message, read; None when it is poison or has to wait, which the settlement then says."""
    try:
        return work_of(received, connector, run_of)
    except PoisonError as error:
        settlement.poison[received.message_id] = str(error)
    except (NewerFormatError, StorageError) as error:
        _let_wait(received, error, settlement)
    return None


def _let_wait(received: Received, error: Exception, settlement: Settlement) -> None:
    """Something that a message needs cannot be read this time."""
    is_newer = isinstance(error, NewerFormatError)
    settlement.unread[received.message_id] = str(error)
    settlement.waits_s[received.message_id] = LONGEST_WAIT_S if is_newer else wait_s((), received.receives)


def _all_wait(group: Iterable[Work], error: Exception, settlement: Settlement) -> None:
    for work in group:
        _let_wait(work.received, error, settlement)


def _current(group: Sequence[Work], newest: Newest, at: datetime, settlement: Settlement) -> list[Work]:
    """The messages of the newest run; while nobody can tell which that is, all of a folder wait."""
    try:
        return _without_superseded(group, newest, at, settlement)
    except (NewerFormatError, StorageError) as error:
        _all_wait(group, error, settlement)
        return []


def _without_superseded(group: Sequence[Work], newest: Newest, at: datetime, settlement: Settlement) -> list[Work]:
    """The messages of the newest run. Older ones get their receipt: an older value never follows a newer one."""
    version = newest.version(group[0].run.storage, group[0].message.connector)
    old = [work for work in group if work.message.version < version]
    _write(old, [receipt_of_all(work.message, "superseded", at) for work in old])
    if old:
        settlement.counts["superseded"] += sum(len(work.records) for work in old)
    return [work for work in group if work.message.version >= version]


def _of_this_release(group: Iterable[Work], settlement: Settlement) -> list[Work]:
    """The messages whose run has settings that can be read; the others wait for a newer release."""
    return [work for work in group if _is_of_this_release(work, settlement)]


def _is_of_this_release(work: Work, settlement: Settlement) -> bool:
    try:
        return work.run.options is not None
    except NewerFormatError as error:
        _let_wait(work.received, error, settlement)
        return False


def _deliver_group(group: Sequence[Work], means: _Means, settlement: Settlement) -> None:
    """Deliver the messages of one job folder, as far as the circuit lets them."""
    if not group:
        return
    try:
        circuit, closed_s = _circuit_of(group[0], means.now())
    except (NewerFormatError, StorageError) as error:
        _all_wait(group, error, settlement)
        return
    if closed_s:
        settlement.left_alone = circuit.health.reason if circuit.health else ""
        _leave_alone(group, closed_s, settlement)
        return
    tried = group[:1] if circuit.is_to_be_probed else group
    told = _tell_all(tried, means)
    _settle_all(tried, told, means, settlement)
    _note(circuit, told, means, settlement)
    _deliver_group(group[len(tried) :], means, settlement)


def _circuit_of(work: Work, now: datetime) -> tuple[Circuit, float]:
    """The circuit, its probe claimed where one is due; and for how many seconds we may make no call."""
    circuit = read_circuit(work.run.storage, work.message.connector)
    closed_s = circuit.closed_s(now)
    if closed_s or not circuit.is_to_be_probed:
        return circuit, closed_s
    claimed = circuit.claimed(now)
    return (claimed, 0.0) if claimed else (circuit, FIRST_WAIT_S)


def _note(circuit: Circuit, told: Sequence[Told], means: _Means, settlement: Settlement) -> None:
    """Keep what was heard of the destination's health. Where that fails nothing is lost: the next batch hears it."""
    trouble = _trouble(told)
    try:
        if trouble:
            circuit.note_failure(trouble, means.now(), is_refused=any(one.refused for one in told))
        elif any(one.is_answered for one in told):
            circuit.note_success()
    except StorageError as error:
        settlement.health_lost = str(error)


def _tell_all(group: Sequence[Work], means: _Means) -> list[Told]:
    """What became of each message. Once one hears that our settings are refused, no other asks."""
    refusals: list[str] = []

    def one(work: Work) -> Told:
        told = not_called(work.records, refusals[0]) if refusals else _tell(work, means)
        refusals.extend(filter(None, [told.refused]))
        return told

    with ThreadPoolExecutor(max(1, min(means.concurrency, len(group)))) as pool:
        return list(pool.map(one, group))


def _tell(work: Work, means: _Means) -> Told:
    try:
        connector = means.connect(False)
    except ConfigError as error:  # the secret was to be read anew meanwhile, and could not be
        return not_called(work.records, str(error))
    return call(connector, means.connect, _while_due(work, means), work.records, work.run, means.pause)


def _while_due(work: Work, means: _Means) -> Send:
    """Makes no more calls once time runs out, or a newer run is published: a batch may take longer than that takes."""

    def send(request: Request) -> Reply:
        if not means.has_time():
            return Reply(0, failure=OUT_OF_TIME)
        return means.send(request) if _is_newest(work, means.newest) else Reply(0, failure=SUPERSEDED)

    return send


def _is_newest(work: Work, newest: Newest) -> bool:
    """Whether its run is the newest; not where nobody can tell: then the message comes again, and waits."""
    try:
        return newest.version(work.run.storage, work.message.connector) <= work.message.version
    except (NewerFormatError, StorageError):
        return False


def _trouble(told: Sequence[Told]) -> str:
    """Why all calls of a batch failed; empty when one was answered, or none was made."""
    if any(one.is_answered for one in told):
        return ""
    reasons = Counter(one.refused for one in told if one.refused) or Counter(
        outcome.code
        for one in told
        for outcome in one.outcomes
        if outcome.verdict is Verdict.RETRY and outcome.code not in NOT_MADE | {FAILED}
    )
    return reasons.most_common(1)[0][0] if reasons else ""


def _leave_alone(group: Iterable[Work], closed_s: float, settlement: Settlement) -> None:
    """No call is made; the messages come again when the circuit may be probed."""
    for work in group:
        jitter = random.uniform(0, _CIRCUIT_JITTER_S)  # noqa: S311 - jitter, not a secret
        settlement.waits_s[work.received.message_id] = min(closed_s + jitter, LONGEST_WAIT_S)
        settlement.untried.add(work.received.message_id)
        settlement.counts[Verdict.RETRY.value] += len(work.records)


def _settle_all(group: Sequence[Work], told: Sequence[Told], means: _Means, settlement: Settlement) -> None:
    """Receipts for what is settled, then the rest back to the queue; in this order nothing is lost."""
    at = means.now()
    receipts = [list(receipts_of(work.message, one.outcomes, at)) for work, one in zip(group, told, strict=True)]
    try:
        _write([work for work, found in zip(group, receipts, strict=True) for _ in found], itertools.chain(*receipts))
    except StorageError as error:  # without a receipt nothing is settled, whatever the destination took
        settlement.counts["requests"] += sum(one.requests for one in told)
        _all_wait(group, error, settlement)
        return
    for work, one in zip(group, told, strict=True):
        _settle(work, one, means, settlement)


def _settle(work: Work, told: Told, means: _Means, settlement: Settlement) -> None:
    """Count what became of a message; what of it is not settled waits, or goes back alone."""
    settlement.counts.update(_counts(work, told))
    settlement.warnings.update(told.warnings)
    settlement.refused = settlement.refused or told.refused
    if told.fault:
        settlement.faults[work.received.message_id] = told.fault
    retries = [outcome for outcome in told.outcomes if outcome.verdict is Verdict.RETRY]
    is_part_settled = len(retries) < len(told.outcomes)
    if retries and not (is_part_settled and means.way_back.took_rest(work.message, told.outcomes)):
        settlement.waits_s[work.received.message_id] = wait_s(retries, work.received.receives)
        settlement.untried.update([] if told.requests else [work.received.message_id])


def _counts(work: Work, told: Told) -> Counter[str]:
    """The figures of one message; those that are 0 are left out."""
    counts = Counter(outcome.verdict.value for outcome in told.outcomes)
    is_repeat = told.requests and (work.received.receives > 1 or work.message.attempt > 1)
    repeated = len(work.records) if is_repeat else 0
    return +(counts + Counter(requests=told.requests, unanswered=told.unanswered, repeated=repeated))


def _renew(batch: Iterable[Received], way_back: WayBack, settlement: Settlement) -> None:
    """Send messages that wait for the fiftieth time as new ones. Waiting buries nobody; a connector that fails does."""
    for received in batch:
        waits_s = settlement.waits_s.get(received.message_id)
        if waits_s is None or received.receives < RENEWED_FROM or received.message_id in settlement.faults:
            continue
        if way_back.took_anew(received.body, waits_s):
            del settlement.waits_s[received.message_id]


def _write(works: Iterable[Work], receipts: Iterable[Receipt]) -> None:
    """One object a run and call, under a name that nothing else has. The n-th receipt is the n-th work's."""
    by_run: dict[str, list[Receipt]] = defaultdict(list)
    runs: dict[str, Run] = {}
    for work, receipt in zip(works, receipts, strict=True):
        runs[work.message.manifest] = work.run
        by_run[work.message.manifest].append(receipt)
    for address, found in by_run.items():
        write_receipts(runs[address].storage, runs[address].manifest, found)


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """SQS batch in, partial batch response out."""
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    batch = [
        Received(record["messageId"], record["body"], int(record["attributes"]["ApproximateReceiveCount"]))
        for record in event["Records"]
    ]
    queue = aws.SqsQueue(settings.queue_url(settings.required("DESTINATION")))
    settlement = deliver(
        batch,
        aws.connect,
        aws.sender(),
        open_storage,
        queue,
        newest=Newest(NEWEST_MAX_AGE_S),
        pause=aws.pause(),
        has_time=lambda: context.get_remaining_time_in_millis() > _RESERVE_MS,
        concurrency=settings.concurrency(),
    )
    failed = aws.settle(event, settlement)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
