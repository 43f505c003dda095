"""Messages → requests → receipts. One code for every connector; DESTINATION names the one a function serves.

Every record of every message ends here as delivered or rejected, and a receipt says so, or its message
goes back to the queue.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydantic import ValidationError

from connectors.base import Connector, Outcome, Reply, Request, SyncOptions, Verdict
from connectors.contract import layout
from connectors.contract.manifest import Message, RunManifest
from connectors.contract.receipts import Receipt, Rejection, write_receipts
from connectors.contract.records import SyncRecord
from connectors.contract.storage import NotFoundError, Storage, StorageError
from connectors.contract.wire import NewerFormatError
from connectors.errors import ConfigError

Send: TypeAlias = Callable[[Request], Reply]
OpenFolder: TypeAlias = Callable[[str], Storage]

_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 900.0


@dataclass(frozen=True)
class Received:
    """A message as the queue gave it.

    Attributes:
        receives: How often the queue has handed it out, this time included.
    """

    message_id: str
    body: str
    receives: int = 1


@dataclass
class Settlement:
    """What became of a batch of messages.

    Attributes:
        waits_s: Message id → seconds to wait before it comes again; those missing here are settled.
        poison: Message id → why it can never be read.
        unread: Message id → why its run could not be read this time.
        counts: Records by verdict, and calls as ``requests``.
        warnings: Records that were sent and that a person should know of, by code.
        refused: Why the destination refuses all of it, when it does: our settings are wrong.
    """

    waits_s: dict[str, float] = field(default_factory=dict)
    poison: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    refused: str = ""


@dataclass(frozen=True)
class _Run:
    """What is the same for all messages of a run."""

    storage: Storage
    manifest: RunManifest
    options: SyncOptions


@dataclass(frozen=True)
class _Told:
    """One message after its calls: an outcome for each of its lines."""

    message: Message
    run: _Run
    outcomes: Sequence[Outcome]
    requests: int
    refused: str = ""
    warnings: Counter[str] = field(default_factory=Counter)


_Result: TypeAlias = _Told | str | NewerFormatError | StorageError


def deliver(
    batch: Sequence[Received], connector: Connector, send: Send, open_folder: OpenFolder, *, concurrency: int = 1
) -> Settlement:
    """Deliver a batch of messages, and leave a receipt for every record that is settled.

    Args:
        send: Sends one request; never raises for what the network does.
        open_folder: The storage of a job folder, by its address.
        concurrency: How many messages are on their way at once.
    """
    settlement = Settlement()
    run_of = functools.cache(functools.partial(_open_run, connector, open_folder))
    attempt = functools.partial(_attempt, connector, send, run_of)
    with ThreadPoolExecutor(max(1, min(concurrency, len(batch)))) as pool:
        results = list(pool.map(attempt, batch))
    _write_receipts([told for told in results if isinstance(told, _Told)])
    for received, result in zip(batch, results, strict=True):
        _settle(settlement, received, result)
    return settlement


def _attempt(connector: Connector, send: Send, run_of: Callable[[str], _Run], received: Received) -> _Result:
    """Send one message's records. A text says why the message is poison, an error why it has to wait."""
    try:
        message = Message.model_validate_json(received.body)
        records = [SyncRecord.model_validate(line) for line in message.lines]
        run = run_of(message.manifest)
    except NotFoundError:
        return "its manifest is gone"
    except (NewerFormatError, StorageError) as error:
        return error
    except (ValidationError, layout.LayoutError) as error:
        return f"unreadable: {type(error).__name__}"
    if message.last_line - message.first_line + 1 != len(records) or message.connector != connector.name:
        return "its range or connector does not fit its lines"
    try:
        return _send(connector, send, message, run, records)
    except ConfigError as error:
        retry = [Outcome(Verdict.RETRY, "refused_settings")] * len(records)
        return _Told(message, run, retry, requests=1, refused=str(error))


def _send(connector: Connector, send: Send, message: Message, run: _Run, records: Sequence[SyncRecord]) -> _Told:
    fitted = [connector.fit(record, run.options) for record in records]
    outcomes = {at: one.refusal for at, one in enumerate(fitted) if one.refusal is not None}
    kept = [(at, one.record) for at, one in enumerate(fitted) if one.record is not None]
    requests = connector.requests([record for _, record in kept], run.options, run.manifest.retired)
    for request in requests:
        sent = [kept[position] for position in request.sent]
        told = connector.outcomes(send(request), [record for _, record in sent])
        outcomes |= {at: outcome for (at, _), outcome in zip(sent, told, strict=True)}
    warnings = Counter(code for one in fitted for code in one.warnings)
    return _Told(message, run, [outcomes[at] for at in range(len(records))], len(requests), warnings=warnings)


def _open_run(connector: Connector, open_folder: OpenFolder, address: str) -> _Run:
    folder, key = layout.split_manifest_uri(address)
    storage = open_folder(folder.root)
    manifest = RunManifest.model_validate_json(storage.get(key).data)
    return _Run(storage, manifest, connector.options_model.model_validate(manifest.options))


def _settle(settlement: Settlement, received: Received, result: _Result) -> None:
    if isinstance(result, str):
        settlement.poison[received.message_id] = result
    elif isinstance(result, Exception):
        is_newer = isinstance(result, NewerFormatError)
        settlement.unread[received.message_id] = str(result)
        settlement.waits_s[received.message_id] = _LONGEST_WAIT_S if is_newer else wait_s((), received.receives)
    else:
        settlement.counts.update(outcome.verdict.value for outcome in result.outcomes)
        settlement.counts["requests"] += result.requests
        settlement.warnings.update(result.warnings)
        settlement.refused = settlement.refused or result.refused
        retries = [outcome for outcome in result.outcomes if outcome.verdict is Verdict.RETRY]
        if retries:
            settlement.waits_s[received.message_id] = wait_s(retries, received.receives)


def wait_s(retries: Sequence[Outcome], receives: int) -> float:
    """How long a message waits: as long as the destination asked, else backoff with full jitter."""
    asked = [outcome.retry_after_s for outcome in retries if outcome.retry_after_s is not None]
    if asked:
        return min(max(asked), _LONGEST_WAIT_S)
    ceiling = min(_FIRST_WAIT_S * 2 ** min(receives - 1, 10), _LONGEST_WAIT_S)
    return random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret


def receipts_of(message: Message, outcomes: Sequence[Outcome], at: datetime) -> Iterator[Receipt]:
    """A receipt for each run of settled lines; lines to be sent again have none."""
    numbered = zip(itertools.count(message.first_line), message.lines, outcomes, strict=False)
    for is_open, group in itertools.groupby(numbered, key=lambda entry: entry[2].verdict is Verdict.RETRY):
        if is_open:
            continue
        entries = list(group)
        yield Receipt(
            file=message.file,
            first_line=entries[0][0],
            last_line=entries[-1][0],
            outcome="settled",
            rejected=[
                Rejection(line=line, user_id=str(record["userId"]), code=outcome.code, reason=outcome.reason)
                for line, record, outcome in entries
                if outcome.verdict is Verdict.REJECTED
            ],
            attempt=message.attempt,
            at=at,
        )


def _write_receipts(results: Sequence[_Told]) -> None:
    """One object a run and invocation, under a name that nothing else has."""
    by_run: dict[str, list[Receipt]] = defaultdict(list)
    runs: dict[str, _Run] = {}
    for told in results:
        runs[told.message.manifest] = told.run
        by_run[told.message.manifest] += receipts_of(told.message, told.outcomes, datetime.now(UTC))
    for address, receipts in by_run.items():
        write_receipts(runs[address].storage, runs[address].manifest, receipts)


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """SQS batch in, partial batch response out."""
    from connectors.contract.storage import open_storage
    from functions import aws, settings

    batch = [
        Received(record["messageId"], record["body"], int(record["attributes"]["ApproximateReceiveCount"]))
        for record in event["Records"]
    ]
    connector, send = aws.destination()
    settlement = deliver(batch, connector, send, open_storage, concurrency=settings.concurrency())
    aws.settle(event, settlement)
    return {"batchItemFailures": [{"itemIdentifier": name} for name in {**settlement.waits_s, **settlement.poison}]}
