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

from connectors.base import Connector, Outcome, Reply, Request, Verdict
from connectors.contract.health import note_failure, note_success, read_health
from connectors.contract.receipts import Receipt, write_receipts
from connectors.contract.storage import StorageError
from connectors.contract.wire import NewerFormatError
from functions.calls import SUPERSEDED, Connect, Pause, Send, Told, call
from functions.enqueue import Queue, Sleep, send_all
from functions.intake import OpenFolder, PoisonError, Received, Run, Work, open_run, work_of
from functions.newest import Newest
from functions.parts import sendable
from functions.settling import LONGEST_WAIT_S, receipt_of_all, receipts_of, rest_of, wait_s

# SQS delays a new message by at most this.
# Source: Amazon SQS API reference, SendMessage, "DelaySeconds".
_LONGEST_DELAY_S = 900
_CIRCUIT_JITTER_S = 15.0


@dataclass
class Settlement:
    """What became of a batch of messages.

    Attributes:
        waits_s: Message id → seconds to wait before it comes again; those missing here are settled.
        untried: Ids of messages for which no call was made, since the destination is to be left alone.
        poison: Message id → why it can never be read: a code, see docs/explanation/delivery.md.
        unread: Message id → why its run, or which run is the newest, could not be read this time.
        counts: Records by verdict, and calls as ``requests``. ``unanswered``: records whose call may have arrived
            and got no answer. ``repeated``: records sent of messages that had been handed out before.
        counts_by_job: The same, by job.
        warnings: Records that were sent and that a person should know of, by code.
        refused: Why the destination refuses all of it, when it does: our settings are wrong.
        left_alone: Why no call was made for some messages: the destination's circuit is open.
    """

    waits_s: dict[str, float] = field(default_factory=dict)
    untried: set[str] = field(default_factory=set)
    poison: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    counts_by_job: dict[str, Counter[str]] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)
    refused: str = ""
    left_alone: str = ""


@dataclass(frozen=True)
class _Means:
    """What it takes to deliver: see `deliver`."""

    connect: Connect
    send: Send
    queue: Queue
    newest: Newest
    pause: Pause
    now: Callable[[], datetime]
    sleep: Sleep
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
        concurrency: How many messages are on their way at once.
    """
    settlement, means = Settlement(), _Means(connect, send, queue, newest, pause, now, sleep, concurrency)
    connector = connect(False)
    run_of = functools.cache(functools.partial(open_run, connector, open_folder))
    works = [work for received in batch if (work := _read(received, connector, run_of, settlement))]
    by_folder: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        by_folder[work.run.storage.root].append(work)
    for group in by_folder.values():
        before = settlement.counts.copy()
        current = _current(group, newest, now(), settlement)
        _deliver_group(current, means, settlement)
        settlement.counts_by_job[group[0].run.manifest.job] = settlement.counts - before
    return settlement


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


def _current(group: Sequence[Work], newest: Newest, at: datetime, settlement: Settlement) -> list[Work]:
    """The messages of the newest run; while nobody can tell which that is, all of a folder wait."""
    try:
        return _without_superseded(group, newest, at, settlement)
    except (NewerFormatError, StorageError) as error:
        for work in group:
            _let_wait(work.received, error, settlement)
        return []


def _without_superseded(group: Sequence[Work], newest: Newest, at: datetime, settlement: Settlement) -> list[Work]:
    """The messages of the newest run. Older ones get their receipt: an older value never follows a newer one."""
    version = newest.version(group[0].run.storage, group[0].message.connector)
    old = [work for work in group if work.message.version < version]
    _write(old, [receipt_of_all(work.message, "superseded", at) for work in old])
    if old:
        settlement.counts["superseded"] += sum(len(work.records) for work in old)
    return [work for work in group if work.message.version >= version]


def _deliver_group(group: Sequence[Work], means: _Means, settlement: Settlement) -> None:
    """Deliver the messages of one job folder, as far as the circuit lets them."""
    if not group:
        return
    storage, name = group[0].run.storage, group[0].message.connector
    health, _ = read_health(storage, name)
    if health is not None and (closed_s := health.opens_in_s(means.now())):
        settlement.left_alone = health.reason
        _leave_alone(group, closed_s, settlement)
        return
    is_probe = health is not None and health.open_until is not None
    first = group[:1] if is_probe else group
    told = _tell_all(first, means)
    _settle_all(first, told, means, settlement)
    trouble = _trouble(told)
    if trouble:
        note_failure(storage, name, trouble, means.now(), is_refused=any(one.refused for one in told))
    elif health is not None:
        note_success(storage, name)
    rest = group[1:] if is_probe else []
    if rest and trouble:
        _leave_alone(rest, wait_s((), 1), settlement)
    elif rest:
        _settle_all(rest, _tell_all(rest, means), means, settlement)


def _tell_all(group: Sequence[Work], means: _Means) -> list[Told]:
    """What became of each message. Once one hears that our settings are refused, no other asks."""
    refusals: list[str] = []

    def one(work: Work) -> Told:
        if refusals:
            outcome = Outcome(Verdict.RETRY, "refused_settings")
            return Told([outcome] * len(work.records), requests=0, refused=refusals[0])
        send = _while_newest(work, means)
        told = call(means.connect, send, work.records, work.run.options, work.run.manifest.retired, means.pause)
        refusals.extend(filter(None, [told.refused]))
        return told

    with ThreadPoolExecutor(max(1, min(means.concurrency, len(group)))) as pool:
        return list(pool.map(one, group))


def _while_newest(work: Work, means: _Means) -> Send:
    """Sends no more once a newer run is published: a batch may take longer than that takes to happen."""

    def send(request: Request) -> Reply:
        return means.send(request) if _is_newest(work, means.newest) else Reply(0, failure=SUPERSEDED)

    return send


def _is_newest(work: Work, newest: Newest) -> bool:
    """Whether its run is the newest; not where nobody can tell: then the message comes again, and waits."""
    try:
        return newest.version(work.run.storage, work.message.connector) <= work.message.version
    except (NewerFormatError, StorageError):
        return False


def _trouble(told: Sequence[Told]) -> str:
    """Why a batch failed as a whole; empty when anything was settled, throttled or superseded."""
    outcomes = [outcome for one in told for outcome in one.outcomes]
    is_failing = bool(outcomes) and all(outcome.verdict is Verdict.RETRY for outcome in outcomes)
    reasons = Counter(one.refused for one in told if one.refused) or Counter(
        outcome.code for outcome in outcomes if outcome.code not in ("throttled", SUPERSEDED)
    )
    return reasons.most_common(1)[0][0] if is_failing and reasons else ""


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
    pairs = list(zip(group, told, strict=True))
    receipts = [list(receipts_of(work.message, one.outcomes, at)) for work, one in pairs]
    _write([work for work, found in zip(group, receipts, strict=True) for _ in found], itertools.chain(*receipts))
    for work, one in pairs:
        settlement.counts.update(_counts(work, one))
        settlement.warnings.update(one.warnings)
        settlement.refused = settlement.refused or one.refused
        retries = [outcome for outcome in one.outcomes if outcome.verdict is Verdict.RETRY]
        if retries and not (len(retries) < len(one.outcomes) and _gave_back(work, one, means)):
            settlement.waits_s[work.received.message_id] = wait_s(retries, work.received.receives)
            settlement.untried.update([] if one.requests else [work.received.message_id])


def _counts(work: Work, told: Told) -> Counter[str]:
    """The figures of one message; those that are 0 are left out."""
    counts = Counter(outcome.verdict.value for outcome in told.outcomes)
    is_repeat = told.requests and (work.received.receives > 1 or work.message.attempt > 1)
    repeated = len(work.records) if is_repeat else 0
    return +(counts + Counter(requests=told.requests, unanswered=told.unanswered, repeated=repeated))


def _gave_back(work: Work, told: Told, means: _Means) -> bool:
    """Send the unsettled rest as messages of its own; False leaves the whole message to come again."""
    bodies = [sendable(message.to_json().encode()) for message in rest_of(work.message, told.outcomes)]
    retries = [outcome for outcome in told.outcomes if outcome.verdict is Verdict.RETRY]
    delay_s = int(min(wait_s(retries, work.message.attempt), _LONGEST_DELAY_S))
    try:
        send_all(means.queue, bodies, sleep=means.sleep, delay_s=delay_s)
    except Exception:  # noqa: BLE001 - whatever the queue's client raises, the old message still holds all of it
        return False
    return True


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
        newest=aws.newest(),
        pause=aws.pause(),
        concurrency=settings.concurrency(),
    )
    failed = aws.settle(event, settlement)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
