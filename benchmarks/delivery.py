"""What delivery costs: records packed per CPU-second, and requests per second when every answer takes a while.

Packing runs delivery's own code against a destination that answers at once; sending opens real connections.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.jobs import FIELDS, LIST_LENGTH
from benchmarks.race import RESULTS, machine
from connectors.base import Destination, Outcome, Reply, Request
from connectors.braze.config import LIMITS, BrazeOptions
from connectors.braze.connector import BrazeConnector
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import Message, RunManifest
from connectors.contract.records import SyncRecord
from connectors.http import Sender
from functions.calls import Pause, call
from functions.intake import Run
from functions.reading import read_message, read_record

CONCURRENCY, ANSWER_S = 8, 0.1
_TAKEN = b'{"message":"success"}'
_OPTIONS = BrazeOptions(item_metadata_fields=list(FIELDS), attribute_prefix="recs_", payload_shape="objects")
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Packing:
    """Records through delivery's code to a destination that takes all at once.

    Attributes:
        parse_per_cpu_s: Messages' bodies → records.
        call_per_cpu_s: Records → requests → outcomes.
        per_cpu_s: Both.
    """

    parse_per_cpu_s: float
    call_per_cpu_s: float
    per_cpu_s: float


@dataclass(frozen=True)
class Sending:
    """Requests to a destination on loopback that answers after ANSWER_S, CONCURRENCY at once."""

    requests_per_s: float
    cpu_ms_a_request: float


def bodies(messages: int) -> list[str]:
    """Messages as the queue holds them, a request's records each."""
    return [_message(number).to_json() for number in range(messages)]


def packing(messages: Sequence[str]) -> Packing:
    """Measure packing. The CPU is that of this process. A second time its items are known, as where one runs on."""
    began_s = time.process_time()
    groups = [_records(body) for body in messages]
    parsed_s = time.process_time()
    connector = BrazeConnector(Destination("https://rest.iad-01.braze.com", "0" * 36))
    taken = sum(len(_called(connector, group)) for group in groups)
    ended_s = time.process_time()
    return Packing(
        round(taken / (parsed_s - began_s)), round(taken / (ended_s - parsed_s)), round(taken / (ended_s - began_s))
    )


def _called(connector: BrazeConnector, records: Sequence[SyncRecord]) -> Sequence[Outcome]:
    def send(request: Request) -> Reply:
        return Reply(201, body=_TAKEN)

    return call(connector, lambda fresh: connector, send, records, _run(), Pause()).outcomes


@functools.cache
def _run() -> Run:
    manifest = RunManifest(
        job="user_personalization/bench",
        run_id="20261121T040000Z-000000",
        connector="braze",
        version=1,
        acknowledge="onDelivery",
        options=_OPTIONS.model_dump(by_alias=True, mode="json"),
        records_per_request=LIMITS.max_records,
        counts={},
        files=[],
        digest="0",
        created_at=datetime(2026, 11, 21, 4, tzinfo=UTC),
    )
    return Run(LocalStorage(Path()), manifest, BrazeOptions)


def _records(body: str) -> list[SyncRecord]:
    return [read_record(line) for line in read_message(body).lines]


def sending(requests: int, *, body_bytes: int) -> Sending:
    """Measure sending, once every connection is open. The CPU is that of this process alone."""
    with _stub() as endpoint, ThreadPoolExecutor(CONCURRENCY) as pool:
        send, request = Sender(), Request(f"{endpoint}/users/track", {}, b"x" * body_bytes, ())
        _check_all_taken(list(pool.map(send, [request] * CONCURRENCY)))
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        _check_all_taken(list(pool.map(send, [request] * requests)))
        took_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    return Sending(round(requests / took_s, 1), round(cpu_s / requests * 1000, 2))


def _check_all_taken(replies: Sequence[Reply]) -> None:
    failed = [reply for reply in replies if reply.status != 201]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(replies)} calls failed: {failed[0].failure or failed[0].status}")


@contextmanager
def _stub() -> Iterator[str]:
    """The address of a destination in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    asyncio.run(serve())


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take whole requests, one after the other on a connection, and answer each after a while."""
    while head := await _head(reader):
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(lengths[0].partition(b":")[2]))
        await asyncio.sleep(ANSWER_S)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d%b%b" % (len(_TAKEN), _HEAD_END, _TAKEN))
        await writer.drain()
    writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(_HEAD_END)
    except asyncio.IncompleteReadError:
        return b""


def _message(number: int) -> Message:
    first = number * LIMITS.max_records
    records = [_record(user) for user in range(first, first + LIMITS.max_records)]
    return Message(
        connector="braze",
        manifest="output/braze/year=2026/month=11/day=21/time=040000-000000/_manifest.json",
        version=1,
        file="part-00000.jsonl.gz",
        first_line=first,
        last_line=first + len(records) - 1,
        lines=records,
    )


def _record(user: int) -> dict[str, object]:
    items = [_item((user * 37 + place * 101) % 20_000) for place in range(LIST_LENGTH)]
    return {"userId": str(user), "op": "upsert", "recommendations": items}


def _item(item: int) -> dict[str, object]:
    values = {
        "name": f"Tan Canvas Backpack No. {item}",
        "category": "bags",
        "price": item + 0.99,
        "current_stock": item % 130,
        "image": f"https://images.example.com/shop/items/{item}/6abdfcc.jpg",
        "page": f"https://www.example.com/shop/bags/{item}?source=recommended",
    }
    return {"itemId": str(item), **{name: values[name] for name in FIELDS}}


def main() -> int:
    """Measure both, and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery", description=__doc__)
    parser.add_argument("--messages", type=int, default=100, help="of a request's records each (%(default)s)")
    parser.add_argument("--requests", type=int, default=400, help="sent at full size (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    messages = bodies(given.messages)
    found = {
        "machine": machine(),
        "packing": asdict(packing(messages)),
        "packingOfKnownItems": asdict(packing(messages)),
        "sending": asdict(sending(given.requests, body_bytes=len(messages[0]))),
    }
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "delivery.json").write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(json.dumps({name: value for name, value in found.items() if name != "machine"}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
